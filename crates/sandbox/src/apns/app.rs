//! Who may send through the look-alike of APNs: the sections `[sandbox.apns_apps.NAME]`.

use std::collections::BTreeSet;

use reveille_service::config::Section;

use crate::es256;

/// How long Apple's key and team identifiers are, in characters.
const IDENTIFIER_LEN: usize = 10;

/// A key, its team, and the apps it may send to.
#[derive(Debug)]
pub(crate) struct App {
    pub(super) topics: BTreeSet<String>,
    pub(super) key_id: String,
    pub(super) team_id: String,
    pub(super) public_key: Vec<u8>,
}

impl App {
    /// Reads one section.
    pub(crate) fn read(mut section: Section) -> Option<Self> {
        let topics = section.strings("topics");
        if topics.as_ref().is_none_or(Vec::is_empty) {
            section.problem("topics", "name at least one, as in topics = [\"org.example.app\"]");
        }
        let key_file = section.required_string("key_file", "AuthKey.p8");
        let public_key = key_file.and_then(|file| {
            es256::public_half(&section.resolve(&file))
                .map_err(|what| section.problem("key_file", format!("{file}: {what}")))
                .ok()
        });
        let key_id = identifier(&mut section, "key_id", "SANDBOXKEY");
        let team_id = identifier(&mut section, "team_id", "SANDBOXTEM");
        section.finish();
        Some(Self {
            topics: topics?.into_iter().collect(),
            key_id: key_id?,
            team_id: team_id?,
            public_key: public_key?,
        })
    }
}

fn identifier(section: &mut Section, key: &str, example: &str) -> Option<String> {
    let text = section.required_string(key, example)?;
    let fits =
        text.len() == IDENTIFIER_LEN && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !fits {
        section.problem(key, format!("this must be {IDENTIFIER_LEN} letters and digits"));
    }
    fits.then_some(text)
}
