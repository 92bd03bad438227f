//! Environment and program search of a process in the container. Pure but for the probing of candidates.

use crate::error::{AgentError, Result};
use std::ffi::CString;

/// PATH of a container whose image sets none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Merges `NAME=value` lists: later ones win, first positions stay. Adds PATH and HOME when absent.
pub fn build_environment(lists: &[&[String]], home: &str) -> Result<Vec<String>> {
    let mut merged: Vec<String> = Vec::new();
    for entry in lists.iter().copied().flatten() {
        let name = variable_name(entry)?;
        match merged.iter_mut().find(|known| name_of(known) == name) {
            Some(known) => known.clone_from(entry),
            None => merged.push(entry.clone()),
        }
    }
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", home)] {
        if lookup(&merged, name).is_none() {
            merged.push(format!("{name}={value}"));
        }
    }
    Ok(merged)
}

/// The value of a variable.
pub fn lookup<'a>(environment: &'a [String], name: &str) -> Option<&'a str> {
    environment
        .iter()
        .find(|entry| name_of(entry) == name)
        .map(|entry| &entry[name.len() + 1..])
}

/// Refuses argument lists and environments that no kernel would take.
pub fn check_arguments(args: &[String], env: &[String]) -> Result<()> {
    if args.first().is_none_or(|program| program.is_empty()) {
        return Err(AgentError::Invalid(
            "No program to run: args is empty".into(),
        ));
    }
    if args.iter().chain(env).any(|text| text.contains('\0')) {
        return Err(AgentError::Invalid("args and env may not hold NUL".into()));
    }
    env.iter()
        .try_for_each(|entry| variable_name(entry).map(drop))
}

/// Paths to try for `program`, best first: itself when it has a slash, else one in each directory of `path`.
pub fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':')
        .map(|directory| match directory {
            "" => format!("./{program}"),
            _ => format!("{}/{program}", directory.trim_end_matches('/')),
        })
        .collect()
}

/// Strings for `execve`; NUL was refused by [`check_arguments`].
pub fn c_strings(texts: &[String]) -> Result<Vec<CString>> {
    texts
        .iter()
        .map(|text| {
            CString::new(text.as_str())
                .map_err(|_| AgentError::Invalid("args and env may not hold NUL".into()))
        })
        .collect()
}

fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

fn variable_name(entry: &str) -> Result<&str> {
    match entry.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(name),
        // The value may be a secret, so that the entry itself is not repeated.
        _ => Err(AgentError::Invalid(
            "Each entry of env must be NAME=value".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    #[test]
    fn later_entries_win_and_keep_the_first_place() {
        let image = list(&["A=1", "PATH=/bin", "B=2"]);
        let more = list(&["A=3", "C=x=y"]);
        assert_eq!(
            build_environment(&[&image, &more], "/root").unwrap(),
            list(&["A=3", "PATH=/bin", "B=2", "C=x=y", "HOME=/root"])
        );
    }

    #[test]
    fn path_and_home_have_defaults() {
        assert_eq!(
            build_environment(&[], "/home/app").unwrap(),
            list(&[&format!("PATH={DEFAULT_PATH}"), "HOME=/home/app"])
        );
        assert_eq!(
            build_environment(&[&list(&["HOME=", "PATH="])], "/x").unwrap(),
            list(&["HOME=", "PATH="])
        );
    }

    #[test]
    fn lookup_needs_the_whole_name() {
        let environment = list(&["PATHS=1", "PATH=2"]);
        assert_eq!(lookup(&environment, "PATH"), Some("2"));
        assert_eq!(lookup(&environment, "PAT"), None);
    }

    #[test]
    fn malformed_entries_are_refused_without_repeating_them() {
        for entry in ["SECRET", "=SECRET", ""] {
            let error = build_environment(&[&list(&[entry])], "/").unwrap_err();
            assert!(!error.to_string().contains("SECRET"));
        }
    }

    #[test]
    fn unusable_arguments_are_refused() {
        assert!(check_arguments(&[], &[]).is_err());
        assert!(check_arguments(&list(&[""]), &[]).is_err());
        assert!(check_arguments(&list(&["a\0b"]), &[]).is_err());
        assert!(check_arguments(&list(&["a"]), &list(&["A=\0"])).is_err());
        assert!(check_arguments(&list(&["a", ""]), &list(&["A="])).is_ok());
    }

    #[test]
    fn bare_program_is_searched_in_order() {
        assert_eq!(
            candidates("sh", "/usr/bin/::/bin"),
            list(&["/usr/bin/sh", "./sh", "/bin/sh"])
        );
    }

    #[test]
    fn program_with_a_slash_is_taken_as_it_is() {
        assert_eq!(candidates("./run", "/bin"), list(&["./run"]));
        assert_eq!(candidates("/bin/sh", ""), list(&["/bin/sh"]));
    }
}
