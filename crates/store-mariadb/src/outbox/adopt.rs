//! What waits for a topic that nobody had goes to whoever has it now.

use reveille_model::{CredentialSet, Topic};

use crate::codec::count;
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::statement::query;

/// Lets another credential set have what waits for a topic.
pub(super) async fn adopt(
    tables: &mut Tables<'_>,
    (from, topic, to): &(CredentialSet, Topic, CredentialSet),
) -> Done<u64> {
    // Nothing of it is being expanded meanwhile.
    tables.take_turn("release").await?;
    let (from, to) = (tables.set_id(from).await?, tables.set_id(to).await?);
    let topic = topic.as_str().as_bytes();
    let gathered = query(concat!(
        "SELECT CAST(COALESCE(SUM(count), 0) AS SIGNED) FROM gathered",
        " WHERE set_id = ? AND topic = ? FOR UPDATE"
    ));
    let gathered = tables.one(gathered.bind(from).bind(topic)).await?.ok_or_else(corrupt)?;
    let gathered = count(&gathered, 0)?;
    let update = query("UPDATE gathered SET set_id = ? WHERE set_id = ? AND topic = ?");
    tables.execute(update.bind(to).bind(from).bind(topic)).await?;
    let update = query(concat!(
        "UPDATE wakeups FORCE INDEX (wakeups_due) SET set_id = ?",
        " WHERE set_id = ? AND topic = ?"
    ));
    let wakeups = tables.execute(update.bind(to).bind(from).bind(topic)).await?;
    Ok(gathered + wakeups)
}
