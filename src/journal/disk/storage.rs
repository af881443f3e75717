//! The seam to the file system: one folder, few verbs, and the real one behind them.
//!
//! Everything durable goes through here, so that tests can put a disk below that tears, loses, fills up and
//! fails. Knows no journal.

use std::any::Any;
use std::fs::{DirBuilder, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder that is looked at. Names are relative to it; the empty name is the folder itself.
pub trait Shelf: Send + Sync {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    fn list(&self, name: &str) -> io::Result<Vec<String>>;
}

/// A folder that is used.
pub trait Storage: Shelf {
    /// Takes the folder for this process until the answer is dropped.
    fn lock(&self, name: &str) -> io::Result<Lock>;
    fn make_dir(&self, name: &str) -> io::Result<()>;
    /// A new file; one of that name must not exist.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names made, changed or removed before durable.
    fn sync_dir(&self, name: &str) -> io::Result<()>;
    /// What the file system has left for us.
    fn free_bytes(&self) -> io::Result<u64>;
}

pub trait File: Send + Sync {
    /// Fills the buffer as far as the file goes, and says how far.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
}

pub enum Lock {
    Taken(Box<dyn Any + Send + Sync>),
    /// By the process of this id, as that process saw it.
    HeldBy(u32),
}

/// Reads a whole small file.
pub fn read_all(file: &dyn File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = vec![0; file.len()?.min(bytes_max) as usize];
    let length = file.read_at(&mut content, 0)?;
    content.truncate(length);
    Ok(content)
}

/// Puts a file in place whole or not at all.
pub fn write_whole(storage: &dyn Storage, name: &str, content: &[u8]) -> io::Result<()> {
    let draft = format!("{name}.tmp");
    if let Err(error) = storage.remove(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = storage.create(&draft)?;
    file.write_at(content, 0)?;
    file.sync_data()?;
    storage.rename(&draft, name)?;
    storage.sync_dir("")
}

/// A folder of a local file system: 0700, its files 0600.
pub struct LocalFolder {
    path: PathBuf,
}

impl LocalFolder {
    pub fn at(path: &Path) -> io::Result<LocalFolder> {
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::File::open(parent)?.sync_all()?;
        }
        if std::fs::metadata(path)?.permissions().mode() & 0o077 != 0
            && let Err(error) = std::fs::set_permissions(path, Permissions::from_mode(0o700))
        {
            // The mount point of a volume often belongs to somebody else: its files are closed all the same.
            tracing::warn!(dir = %path.display(), %error, "others may enter the journal's folder, and it cannot be closed to them");
        }
        Ok(LocalFolder { path: path.to_owned() })
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }
}

impl Shelf for LocalFolder {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(self.path(name))?))
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        names_in(&self.path(name))
    }
}

/// A folder of a local file system that somebody else may be using: nothing is made, changed or locked.
pub struct ReadOnlyFolder {
    path: PathBuf,
}

impl ReadOnlyFolder {
    pub fn at(path: &Path) -> ReadOnlyFolder {
        ReadOnlyFolder { path: path.to_owned() }
    }
}

impl Shelf for ReadOnlyFolder {
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(std::fs::File::open(self.path.join(name))?))
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        names_in(&self.path.join(name))
    }
}

fn names_in(path: &Path) -> io::Result<Vec<String>> {
    std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

impl Storage for LocalFolder {
    fn lock(&self, name: &str) -> io::Result<Lock> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(self.path(name))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                return Ok(Lock::HeldBy(pid.trim().parse().unwrap_or(0)));
            }
        }
        // Only a service to whoever is refused: on a full disk it may stay empty.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock::Taken(Box::new(file)))
    }

    fn make_dir(&self, name: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.path(name))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.path(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        std::fs::File::open(self.path(name))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.path)
    }
}

/// What the file system of this path has left for us.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

impl File for std::fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        std::fs::File::sync_data(self)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        std::fs::File::set_len(self, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
