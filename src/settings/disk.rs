//! The disk as the settings read it: bounded, and with a trail, so that it can be told later whether the same still
//! stands there. Compares contents, never times: a mounted secret is a link that is swapped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::table::Files;

/// Of one file; settings and secrets are far smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FOLDER_FILES_MAX: usize = 10_000;

/// Everything that one reading of the settings looked at, and what was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail(BTreeMap<(PathBuf, What), Seen>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    File,
    Folder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The digest of it.
    Holds([u8; 32]),
    Fails(ErrorKind),
    /// No regular file: what it held is gone once it is read.
    Stream,
}

impl Trail {
    /// The same places, looked at again.
    pub fn again(&self) -> Trail {
        Trail(self.0.keys().map(|key| (key.clone(), look(&key.0, key.1))).collect())
    }

    /// A pipe or the like among the files: it cannot be read a second time.
    pub fn stream(&self) -> Option<&Path> {
        self.0.iter().find(|(_, seen)| **seen == Seen::Stream).map(|((path, _), _)| path.as_path())
    }

    /// Tells the contents of a file that was read from others.
    pub fn print(&self, path: &str) -> Option<String> {
        self.0.get(&(PathBuf::from(path), What::File)).map(|seen| format!("{seen:?}"))
    }
}

/// Reads, and remembers what it read.
#[derive(Debug, Default)]
pub struct Disk(RefCell<Trail>);

impl Disk {
    pub fn trail(&self) -> Trail {
        self.0.borrow().clone()
    }

    pub fn text(&self, path: &Path) -> Result<String, String> {
        let bytes = self.bytes(path)?;
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
    }

    /// The `*.toml` of a folder, in the order of their names.
    pub fn toml_files(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        let listed = list(folder);
        self.note(folder, What::Folder, seen_in(&listed));
        listed.map_err(|error| why(&error))
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        let is_stream = is_stream(path);
        let bytes = File::open(path).and_then(read);
        self.note(path, What::File, if is_stream { Seen::Stream } else { seen_of(&bytes) });
        bytes.map_err(|error| why(&error))
    }

    fn note(&self, path: &Path, what: What, seen: Seen) {
        self.0.borrow_mut().0.insert((path.to_owned(), what), seen);
    }
}

impl Files for Disk {
    fn contents(&self, path: &str) -> Result<Vec<u8>, String> {
        self.bytes(Path::new(path))
    }

    fn is_open_to_all(&self, path: &str) -> bool {
        fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0)
    }
}

/// Never waits for what a stream might say.
fn look(path: &Path, what: What) -> Seen {
    match what {
        What::Folder => seen_in(&list(path)),
        What::File if is_stream(path) => Seen::Stream,
        What::File => seen_of(&File::open(path).and_then(read)),
    }
}

fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Editors leave hidden files beside those that they edit.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let is_toml = |path: &PathBuf| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !is_hidden && path.extension().is_some_and(|extension| extension == "toml")
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.extend(Some(entry?.path()).filter(is_toml));
    }
    files.sort();
    if files.len() > FOLDER_FILES_MAX { Err(ErrorKind::FileTooLarge.into()) } else { Ok(files) }
}

fn seen_of(bytes: &io::Result<Vec<u8>>) -> Seen {
    match bytes {
        Ok(bytes) => Seen::Holds(Sha256::digest(bytes).into()),
        Err(error) => Seen::Fails(error.kind()),
    }
}

fn seen_in(listed: &io::Result<Vec<PathBuf>>) -> Seen {
    match listed {
        Ok(files) => Seen::Holds(Sha256::digest(format!("{files:?}")).into()),
        Err(error) => Seen::Fails(error.kind()),
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::FileTooLarge => "it is too large (more than 1MiB, or 10000 files)".to_owned(),
        ErrorKind::NotFound => "it does not exist".to_owned(),
        ErrorKind::PermissionDenied => "the user that runs waitbridge may not read it".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_trail_tells_contents_and_not_times() {
        let dir = tempfile::tempdir().unwrap();
        let (file, absent) = (dir.path().join("file"), dir.path().join("absent"));
        fs::write(&file, "one").unwrap();
        let disk = Disk::default();
        disk.text(&file).unwrap();
        disk.text(&absent).unwrap_err();
        disk.text(dir.path()).unwrap_err();
        disk.toml_files(dir.path()).unwrap();
        let trail = disk.trail();
        let stays = || assert_eq!(trail.again(), trail);
        let changes = || assert_ne!(trail.again(), trail);
        stays();
        fs::write(&file, "one").unwrap();
        fs::write(dir.path().join(".#a.toml"), "").unwrap();
        stays();
        fs::write(&file, "two").unwrap();
        changes();
        fs::write(&file, "one").unwrap();
        fs::write(&absent, "").unwrap();
        changes();
        fs::remove_file(&absent).unwrap();
        fs::write(dir.path().join("a.toml"), "").unwrap();
        changes();
    }

    #[test]
    fn a_swapped_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        for (version, secret) in [("1", "one"), ("2", "two")] {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("secret"), secret).unwrap();
        }
        symlink("1", dir.path().join("..data")).unwrap();
        symlink("..data/secret", dir.path().join("secret")).unwrap();
        let disk = Disk::default();
        assert_eq!(disk.text(&dir.path().join("secret")).unwrap(), "one");
        symlink("2", dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        assert_ne!(disk.trail().again(), disk.trail());
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("large");
        File::create(&file).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(Disk::default().text(&file).unwrap_err().contains("too large"));
        File::create(&file).unwrap().set_len(FILE_BYTES_MAX).unwrap();
        assert!(Disk::default().text(&file).is_ok());
    }

    #[test]
    fn a_stream_is_read_once_and_only_known_to_be_one_afterwards() {
        let disk = Disk::default();
        disk.text(Path::new("/dev/null")).unwrap();
        assert_eq!(disk.trail().stream(), Some(Path::new("/dev/null")));
        assert_eq!(disk.trail().again(), disk.trail());
    }
}
