//! Files appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Writes `bytes` to `folder/name`, making the folder if need be, and returns the file's path.
///
/// The bytes go to a temporary file in the same folder, which then takes the name: a reader sees the
/// old file or the new one, never a part.
///
/// # Errors
/// [`Error::Io`] naming the path and what to do about it; a temporary file is removed.
pub fn write_atomically(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    fs::create_dir_all(folder).map_err(|e| failed("make the folder", folder, &e))?;
    let path = folder.join(name);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{name}.{}-{number}.tmp", std::process::id()));
    let written = create(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|e| {
        // It may never have come to be; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        failed("write the file", &path, &e)
    })?;
    Ok(path)
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    // Before the rename, or a power cut could leave the name on an empty file.
    file.sync_all()
}

fn failed(task: &str, path: &Path, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose another folder with --out, or allow writing to this one"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space, or choose another folder with --out"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where the folder should be: choose another folder with --out"
        }
        io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty => {
            "a folder has the file's name: remove it, or choose another folder with --out"
        }
        _ => "choose another folder with --out",
    };
    Error::io(format!("cannot {task}: {error}"), path.display().to_string(), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_replace_each_other_whole() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        for text in ["first", "second"] {
            let path = write_atomically(&folder, "x.txt", text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn an_error_names_the_path_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let error = write_atomically(&root.path().join("file/sub"), "x", b"").unwrap_err();
        assert!(matches!(&error, Error::Io(d) if d.at.contains("file") && d.remedy.contains("--out")));

        fs::create_dir(root.path().join("taken")).unwrap();
        let error = write_atomically(root.path(), "taken", b"x").unwrap_err();
        assert!(matches!(&error, Error::Io(d) if d.at.ends_with("taken")), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    }
}
