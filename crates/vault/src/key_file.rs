//! The file that holds the keys: one a line, `<id> <32 bytes in base64>`, the first the newest. There is more than one only while they are
//! changed.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{KeyId, Vault};

const HEAD: &str = "# Reveille's keys. Tokens in the database can be read only with this file: keep a copy, but not beside the database's copies.\n";

/// A file of keys, read.
pub struct KeyFile {
    path: PathBuf,
    keys: Vec<(KeyId, [u8; 32])>,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{}: line {line} is no key, which is written `<8 hexadecimal digits> <32 bytes in base64>`", path.display())]
    Line {
        /// Where it is.
        path: PathBuf,
        /// Counted from one.
        line: usize,
    },
    /// It holds none.
    #[error("{}: it holds no key", path.display())]
    Empty {
        /// Where it is.
        path: PathBuf,
    },
}

impl KeyFile {
    /// Reads it. Nothing where there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyFileError::File { path: path.to_owned(), source }),
        };
        let mut keys = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = parse(line);
            keys.push(key.ok_or(KeyFileError::Line { path: path.to_owned(), line: index + 1 })?);
        }
        if keys.is_empty() {
            return Err(KeyFileError::Empty { path: path.to_owned() });
        }
        Ok(Some(Self { path: path.to_owned(), keys }))
    }

    /// Makes one with a fresh key, which only its owner may read. Returns once it is on disk.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let mut file = Self { path: path.to_owned(), keys: Vec::new() };
        file.add()?;
        Ok(file)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether others than its owner and group may read it.
    pub fn is_readable_by_others(&self) -> bool {
        self.path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
    }

    /// The newest key.
    ///
    /// # Panics
    /// If there is none, which reading and creating see to.
    pub fn newest(&self) -> Vault {
        let (id, key) = self.keys.first().expect("at least one key");
        Vault::new(*id, key)
    }

    /// A key by its id.
    pub fn vault(&self, id: KeyId) -> Option<Vault> {
        self.keys.iter().find(|(each, _)| *each == id).map(|(id, key)| Vault::new(*id, key))
    }

    /// Adds a fresh key as the newest.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    pub fn add(&mut self) -> Result<(), KeyFileError> {
        let (mut id, mut key) = ([0; 4], [0; 32]);
        aws_lc_rs::rand::fill(&mut id).expect("the operating system gives randomness");
        aws_lc_rs::rand::fill(&mut key).expect("the operating system gives randomness");
        self.keys.insert(0, (KeyId(id), key));
        self.write()
    }

    /// Forgets every key but one.
    pub fn keep_only(&mut self, id: KeyId) -> Result<(), KeyFileError> {
        self.keys.retain(|(each, _)| *each == id);
        self.write()
    }

    /// Writes it beside and puts it in its place: a crash leaves the one or the other.
    fn write(&self) -> Result<(), KeyFileError> {
        let lines = self.keys.iter().map(|(id, key)| format!("{id} {}\n", STANDARD.encode(key)));
        let text: String = std::iter::once(HEAD.to_owned()).chain(lines).collect();
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let written = (|| {
            // One that a crash left may be anybody's to read.
            if let Err(error) = std::fs::remove_file(&new)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            // Whoever could read the keys before can read them still, if somebody else changes them.
            if let Ok(before) = self.path.metadata() {
                fchown(&file, Some(before.uid()), Some(before.gid()))?;
                file.set_permissions(Permissions::from_mode(before.mode() & 0o640))?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        })();
        written.map_err(|source| KeyFileError::File { path: self.path.clone(), source })
    }
}

fn parse(line: &str) -> Option<(KeyId, [u8; 32])> {
    let (id, key) = line.split_once(' ')?;
    let id = Some(id).filter(|id| id.len() == 8).and_then(|id| u32::from_str_radix(id, 16).ok())?;
    let key = STANDARD.decode(key.trim()).ok()?.try_into().ok()?;
    Some((KeyId(id.to_be_bytes()), key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{KeyFile, KeyFileError};
    use crate::Purpose;

    #[test]
    fn a_key_is_made_kept_changed_and_its_owners_alone() {
        let path = std::env::temp_dir().join(format!("reveille-{}.key", std::process::id()));
        assert!(KeyFile::read(&path).unwrap().is_none());
        let first = KeyFile::create(&path).unwrap().newest();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let sealed = first.seal(Purpose::Token, b"t");

        let mut again = KeyFile::read(&path).unwrap().unwrap();
        assert!(!again.is_readable_by_others());
        assert_eq!(again.newest().open(Purpose::Token, &sealed).unwrap(), b"t");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        again.add().unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640, "its group may");
        let mut both = KeyFile::read(&path).unwrap().unwrap();
        assert_ne!(both.newest().id(), first.id());
        assert_eq!(both.vault(first.id()).unwrap().open(Purpose::Token, &sealed).unwrap(), b"t");
        both.keep_only(both.newest().id()).unwrap();
        assert!(KeyFile::read(&path).unwrap().unwrap().vault(first.id()).is_none());

        std::fs::write(&path, "# nothing\n").unwrap();
        assert!(matches!(KeyFile::read(&path), Err(KeyFileError::Empty { .. })));
        std::fs::write(&path, "# x\n0123 abc\n").unwrap();
        assert!(matches!(KeyFile::read(&path), Err(KeyFileError::Line { line: 2, .. })));
        std::fs::remove_file(path).unwrap();
    }
}
