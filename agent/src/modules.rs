//! Loads the kernel modules that the initramfs carries. A module that fails is reported; what it drives is asked for
//! later and its absence is fatal there.

use crate::console::report;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::fs::{self, File};
use std::path::Path;

/// `NN-name.ko`, uncompressed, loaded in the order of their names.
const DIRECTORY: &str = "/modules";

/// Loads every module, then removes the files: in an initramfs they are memory.
pub fn load_modules() {
    for name in module_names(Path::new(DIRECTORY)) {
        let path = Path::new(DIRECTORY).join(&name);
        match File::open(&path) {
            Ok(file) => match finit_module(&file, c"", ModuleInitFlags::empty()) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => report(&format!("module {name}: {}", errno.desc())),
            },
            Err(error) => report(&format!("module {name}: {error}")),
        }
        if let Err(error) = fs::remove_file(&path) {
            report(&format!("module {name}: cannot remove: {error}"));
        }
    }
}

fn module_names(directory: &Path) -> Vec<String> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            report(&format!("no modules in {}: {error}", directory.display()));
            return Vec::new();
        }
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".ko"))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_taken_in_the_order_of_their_names() {
        let directory = std::env::temp_dir().join(format!("torpor-modules-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for name in ["20-b.ko", "10-c.ko", "notes.txt", "05-a.ko"] {
            fs::write(directory.join(name), "").unwrap();
        }
        let names = module_names(&directory);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(names, ["05-a.ko", "10-c.ko", "20-b.ko"]);
    }
}
