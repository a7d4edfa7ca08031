//! Rows to words and back.

use reveille_model::{
    CredentialSet, DryRun, EventType, Ledger, MessageType, Provider, SubscriptionId, Timestamp,
    Token, Topic, User,
};
use reveille_store::{StoreError, TokenKey};
use reveille_vault::{Purpose, Vault};
use rusqlite::types::Type;
use rusqlite::{ErrorCode, Row};

/// A driver's error by what the caller can do.
pub(crate) fn store_error(error: &rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::SqliteFailure(cause, _)
            if matches!(cause.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
        {
            StoreError::Corrupt(error.to_string())
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// What a column should have held. Says the column only: the value may be a secret.
pub(crate) fn misfit(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, "not of its kind".into())
}

pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_ms)
}

pub(crate) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_ms))
}

pub(crate) fn dry_run(row: &Row<'_>, column: usize) -> rusqlite::Result<DryRun> {
    Ok(if row.get(column)? { DryRun::Yes } else { DryRun::No })
}

pub(crate) fn message_type(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageType> {
    MessageType::parse(row.get_ref(column)?.as_str()?).map_err(|_| misfit(column))
}

pub(crate) fn event_type(row: &Row<'_>, column: usize) -> rusqlite::Result<EventType> {
    EventType::parse(row.get_ref(column)?.as_str()?).map_err(|_| misfit(column))
}

pub(crate) fn topic(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Topic>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) => Topic::parse(text).map(Some).map_err(|_| misfit(column)),
        None => Ok(None),
    }
}

pub(crate) fn user(row: &Row<'_>, column: usize) -> rusqlite::Result<User> {
    User::from_table(row.get_ref(column)?.as_str()?).map_err(|_| misfit(column))
}

pub(crate) fn credential_set(row: &Row<'_>, column: usize) -> rusqlite::Result<CredentialSet> {
    CredentialSet::parse(row.get_ref(column)?.as_str()?).map_err(|_| misfit(column))
}

pub(crate) fn token(
    row: &Row<'_>,
    column: usize,
    (provider, vault): (Provider, &Vault),
) -> rusqlite::Result<Token> {
    let opened = vault.open(Purpose::Token, row.get_ref(column)?.as_blob()?);
    let text = opened.and_then(|bytes| String::from_utf8(bytes).ok());
    text.and_then(|text| Token::parse(provider, &text).ok()).ok_or_else(|| misfit(column))
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

pub(crate) fn subscription_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SubscriptionId> {
    row.get(column).map(SubscriptionId::from_bytes)
}

/// The ten counts from `column` on.
pub(crate) fn read_ledger(row: &Row<'_>, column: usize) -> rusqlite::Result<Ledger> {
    let count = |offset: usize| row.get::<_, i64>(column + offset).map(i64::cast_unsigned);
    Ok(Ledger {
        accepted: count(0)?,
        waiting: count(1)?,
        collapsed: count(2)?,
        settled: [count(3)?, count(4)?, count(5)?, count(6)?, count(7)?, count(8)?, count(9)?],
    })
}
