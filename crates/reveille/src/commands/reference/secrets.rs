//! Secrets that stand in a configuration itself, as files for as long as it is read.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use reveille_service::entropy;

/// A folder for secrets, which only this user may read, and which goes as soon as they were read.
pub(super) struct Secrets(PathBuf);

impl Secrets {
    pub(super) fn new() -> Self {
        let number = entropy::rng().next_u64();
        Self(std::env::temp_dir().join(format!("reveille-{number:016x}")))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, secrets: &[(&'static str, String)]) -> std::io::Result<()> {
        if secrets.is_empty() {
            return Ok(());
        }
        std::fs::DirBuilder::new().mode(0o700).create(&self.0)?;
        for (name, text) in secrets {
            let path = self.0.join(name);
            let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
            std::io::Write::write_all(&mut file?, text.as_bytes())?;
        }
        Ok(())
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        // There is none if there were no secrets.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
