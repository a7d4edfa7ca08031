//! What importing from a wiki's Echo and exporting to it have in common.

use anyhow::Context as _;
use reveille_model::Realm;

use crate::cli::EchoArguments;
use crate::failure::Failure;

/// Whose numbers the wiki's tables hold.
pub(super) fn realm(arguments: &EchoArguments) -> Result<Realm, Failure> {
    Realm::parse(&arguments.realm).map_err(|error| {
        Failure::Usage(format!(
            "--realm must be central or the id of a wiki, such as enwiki: {error}"
        ))
    })
}

/// The database's password, if a file holds it.
pub(super) fn password(arguments: &EchoArguments) -> Result<Option<String>, Failure> {
    let Some(file) = &arguments.password_file else { return Ok(None) };
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read the password file {}", file.display()))?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}
