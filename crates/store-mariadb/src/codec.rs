//! Rows to words and back.

use reveille_model::{
    CredentialSet, DryRun, EventType, Ledger, MessageType, Provider, Settled, SubscriptionId,
    Timestamp, Token, Topic, User,
};
use reveille_store::TokenKey;
use reveille_vault::{Purpose, Vault};
use sqlx::Row as _;
use sqlx::mysql::MySqlRow;

/// What reading a column comes to.
pub(crate) type Read<T> = Result<T, sqlx::Error>;

/// What a column should have held. Says the column only: the value may be a secret.
pub(crate) fn misfit(column: usize) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_string(), source: "not of its kind".into() }
}

pub(crate) fn number(row: &MySqlRow, column: usize) -> Read<i64> {
    row.try_get(column)
}

pub(crate) fn optional_number(row: &MySqlRow, column: usize) -> Read<Option<i64>> {
    row.try_get(column)
}

/// A count.
pub(crate) fn count(row: &MySqlRow, column: usize) -> Read<u64> {
    number(row, column).map(|count| u64::try_from(count).unwrap_or_default())
}

/// Whether it is another number than zero.
pub(crate) fn flag(row: &MySqlRow, column: usize) -> Read<bool> {
    number(row, column).map(|number| number != 0)
}

pub(crate) fn bytes(row: &MySqlRow, column: usize) -> Read<Vec<u8>> {
    row.try_get(column)
}

pub(crate) fn optional_bytes(row: &MySqlRow, column: usize) -> Read<Option<Vec<u8>>> {
    row.try_get(column)
}

/// Sixteen bytes, or however many.
pub(crate) fn array<const N: usize>(row: &MySqlRow, column: usize) -> Read<[u8; N]> {
    let found: &[u8] = row.try_get(column)?;
    found.try_into().map_err(|_| misfit(column))
}

pub(crate) fn optional_array<const N: usize>(
    row: &MySqlRow,
    column: usize,
) -> Read<Option<[u8; N]>> {
    let found: Option<&[u8]> = row.try_get(column)?;
    found.map(|bytes| bytes.try_into().map_err(|_| misfit(column))).transpose()
}

pub(crate) fn text(row: &MySqlRow, column: usize) -> Read<String> {
    String::from_utf8(bytes(row, column)?).map_err(|_| misfit(column))
}

fn optional_text(row: &MySqlRow, column: usize) -> Read<Option<String>> {
    let found = optional_bytes(row, column)?;
    found.map(|bytes| String::from_utf8(bytes).map_err(|_| misfit(column))).transpose()
}

pub(crate) fn time(row: &MySqlRow, column: usize) -> Read<Timestamp> {
    number(row, column).map(Timestamp::from_ms)
}

pub(crate) fn optional_time(row: &MySqlRow, column: usize) -> Read<Option<Timestamp>> {
    Ok(optional_number(row, column)?.map(Timestamp::from_ms))
}

pub(crate) fn dry_run(row: &MySqlRow, column: usize) -> Read<DryRun> {
    Ok(if flag(row, column)? { DryRun::Yes } else { DryRun::No })
}

pub(crate) fn message_type(row: &MySqlRow, column: usize) -> Read<MessageType> {
    MessageType::parse(&text(row, column)?).map_err(|_| misfit(column))
}

pub(crate) fn event_type(row: &MySqlRow, column: usize) -> Read<EventType> {
    EventType::parse(&text(row, column)?).map_err(|_| misfit(column))
}

pub(crate) fn topic(row: &MySqlRow, column: usize) -> Read<Option<Topic>> {
    let found = optional_text(row, column)?;
    found.map(|text| Topic::parse(&text).map_err(|_| misfit(column))).transpose()
}

pub(crate) fn user(row: &MySqlRow, column: usize) -> Read<User> {
    User::from_table(&text(row, column)?).map_err(|_| misfit(column))
}

pub(crate) fn optional_user(row: &MySqlRow, column: usize) -> Read<Option<User>> {
    let found = optional_text(row, column)?;
    found.map(|text| User::from_table(&text).map_err(|_| misfit(column))).transpose()
}

pub(crate) fn credential_set(row: &MySqlRow, column: usize) -> Read<CredentialSet> {
    CredentialSet::parse(&text(row, column)?).map_err(|_| misfit(column))
}

pub(crate) fn token(
    row: &MySqlRow,
    column: usize,
    (provider, vault): (Provider, &Vault),
) -> Read<Token> {
    open_token(&bytes(row, column)?, (provider, vault)).ok_or_else(|| misfit(column))
}

/// A token that was sealed; nothing where it was with another key.
pub(crate) fn open_token(sealed: &[u8], (provider, vault): (Provider, &Vault)) -> Option<Token> {
    let text = String::from_utf8(vault.open(Purpose::Token, sealed)?).ok()?;
    Token::parse(provider, &text).ok()
}

/// A token as it is written.
pub(crate) fn seal_token(vault: &Vault, token: &Token) -> Vec<u8> {
    vault.seal(Purpose::Token, token.expose().as_bytes())
}

/// What a token is found by.
pub(crate) fn token_key(vault: &Vault, provider: Provider, token: &Token) -> TokenKey {
    let parts = [provider.as_str().as_bytes(), token.identity(provider).as_bytes()];
    TokenKey(vault.blind("token", &parts))
}

pub(crate) fn subscription_id(row: &MySqlRow, column: usize) -> Read<SubscriptionId> {
    array(row, column).map(SubscriptionId::from_bytes)
}

/// The ten counts, from `column` on.
pub(crate) fn read_ledger(row: &MySqlRow, column: usize) -> Read<Ledger> {
    let mut settled = [0; Settled::ALL.len()];
    for (place, total) in settled.iter_mut().enumerate() {
        *total = count(row, column + 3 + place)?;
    }
    Ok(Ledger {
        accepted: count(row, column)?,
        waiting: count(row, column + 1)?,
        collapsed: count(row, column + 2)?,
        settled,
    })
}
