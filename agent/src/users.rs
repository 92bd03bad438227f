//! Resolves the image's USER against the root file system's own `/etc/passwd` and `/etc/group`, by the rules of
//! container engines: a number is always an id, an explicit group replaces the supplementary ones.

use crate::error::{AgentError, Result};

/// Who a process of the container runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// Home directory; "/" when unknown.
    pub home: String,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Resolves `user` ("", "name", "uid", "name:group", "uid:gid"). Malformed lines of the files are skipped.
pub fn resolve_user(user: &str, passwd: &str, group: &str) -> Result<Identity> {
    let (user_part, group_part) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user_id = parse_id(user_part, user)?;
    let entry = passwd_entries(passwd).find(|entry| match user_id {
        Some(uid) => entry.uid == uid,
        None if user_part.is_empty() => entry.uid == 0,
        None => entry.name == user_part,
    });
    if entry.is_none() && user_id.is_none() && !user_part.is_empty() {
        return Err(unknown("user", user_part, "/etc/passwd"));
    }
    let mut identity = Identity {
        uid: entry
            .as_ref()
            .map_or(user_id.unwrap_or(0), |entry| entry.uid),
        gid: entry.as_ref().map_or(0, |entry| entry.gid),
        groups: Vec::new(),
        home: entry.as_ref().map_or("", |entry| entry.home).to_owned(),
    };
    if identity.home.is_empty() {
        identity.home.push('/');
    }
    match (group_part, entry) {
        (Some(wanted), _) => identity.gid = resolve_group(wanted, user, group)?,
        (None, Some(entry)) => identity.groups = groups_of(entry.name, group),
        (None, None) => {}
    }
    Ok(identity)
}

fn resolve_group(wanted: &str, user: &str, group: &str) -> Result<u32> {
    if let Some(gid) = parse_id(wanted, user)? {
        return Ok(gid);
    }
    group_entries(group)
        .find(|entry| entry.name == wanted)
        .map(|entry| entry.gid)
        .ok_or_else(|| unknown("group", wanted, "/etc/group"))
}

fn groups_of(name: &str, group: &str) -> Vec<u32> {
    group_entries(group)
        .filter(|entry| entry.members.split(',').any(|member| member == name))
        .map(|entry| entry.gid)
        .collect()
}

/// A number that fits an id, or `None` for a name. The kernel keeps the highest id for "no change".
fn parse_id(text: &str, user: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id != u32::MAX => Ok(Some(id)),
        _ => Err(AgentError::Invalid(format!(
            "User \"{user}\" has an id that is out of range"
        ))),
    }
}

fn unknown(kind: &str, name: &str, file: &str) -> AgentError {
    AgentError::Invalid(format!("Unknown {kind} \"{name}\": not in {file}"))
}

fn passwd_entries(passwd: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        Some(PasswdEntry {
            name: fields.next().filter(|name| is_name(name))?,
            uid: fields.nth(1)?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
            home: fields.nth(1).unwrap_or(""),
        })
    })
}

fn group_entries(group: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        Some(GroupEntry {
            name: fields.next().filter(|name| is_name(name))?,
            gid: fields.nth(1)?.parse().ok()?,
            members: fields.next().unwrap_or(""),
        })
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        # comment:x:5:5::/:/bin/sh\n\
        broken line\n\
        app:x:1000:1001:App,,,:/home/app:/bin/sh\n\
        1234:x:77:77::/odd:/bin/sh\n\
        homeless:x:90:90:::\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:app,other\ndocker:x:999:other,app\napps:x:1001:\n";

    fn identity(uid: u32, gid: u32, groups: &[u32], home: &str) -> Identity {
        Identity {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.into(),
        }
    }

    fn resolve(user: &str) -> Identity {
        resolve_user(user, PASSWD, GROUP).unwrap()
    }

    fn refusal(user: &str) -> String {
        resolve_user(user, PASSWD, GROUP).unwrap_err().to_string()
    }

    #[test]
    fn empty_user_is_root_with_its_home() {
        assert_eq!(resolve(""), identity(0, 0, &[], "/root"));
    }

    #[test]
    fn empty_files_still_give_root() {
        assert_eq!(resolve_user("", "", "").unwrap(), identity(0, 0, &[], "/"));
        assert_eq!(
            resolve_user("0:0", "", "").unwrap(),
            identity(0, 0, &[], "/")
        );
    }

    #[test]
    fn name_gives_primary_and_supplementary_groups() {
        assert_eq!(
            resolve("app"),
            identity(1000, 1001, &[50, 999], "/home/app")
        );
    }

    #[test]
    fn uid_of_a_known_user_is_that_user() {
        assert_eq!(resolve("1000"), resolve("app"));
    }

    #[test]
    fn uid_of_nobody_known_has_group_zero() {
        assert_eq!(resolve("4242"), identity(4242, 0, &[], "/"));
    }

    #[test]
    fn number_is_an_id_even_when_it_is_a_name() {
        assert_eq!(resolve("1234"), identity(1234, 0, &[], "/"));
    }

    #[test]
    fn explicit_group_replaces_supplementary_groups() {
        assert_eq!(resolve("app:staff"), identity(1000, 50, &[], "/home/app"));
        assert_eq!(resolve("app:7"), identity(1000, 7, &[], "/home/app"));
        assert_eq!(resolve("4242:4243"), identity(4242, 4243, &[], "/"));
        assert_eq!(resolve(":staff"), identity(0, 50, &[], "/root"));
        assert_eq!(resolve("app:"), resolve("app"));
    }

    #[test]
    fn missing_home_is_the_root_directory() {
        assert_eq!(resolve("homeless"), identity(90, 90, &[], "/"));
    }

    #[test]
    fn unknown_names_are_refused_with_the_name() {
        assert_eq!(
            refusal("ghost"),
            "Unknown user \"ghost\": not in /etc/passwd"
        );
        assert_eq!(
            refusal("app:ghosts"),
            "Unknown group \"ghosts\": not in /etc/group"
        );
        assert_eq!(
            refusal("# comment"),
            "Unknown user \"# comment\": not in /etc/passwd"
        );
    }

    #[test]
    fn ids_out_of_range_are_refused() {
        assert!(refusal("4294967295").contains("out of range"));
        assert!(refusal("0:99999999999").contains("out of range"));
    }
}
