//! What a woken app reads, over the inbox: `meta=notifications`, `meta=unreadnotificationpages`, and `action=echomarkread` and `echomarkseen` by which
//! it says what its user has read and seen (contract: echo.md §6).

use std::collections::BTreeMap;

use metrics::counter;
use reveille_model::User;
use reveille_model::limits::INBOX_PER_USER_MAX;
use reveille_store::{ReadWhich, Section};
use serde_json::{Map, Value, json};

use super::entry::{Call, Members, iso_8601};
use super::fault::{Fault, Warning};
use super::item::{Entry, Rendered, digits, name_of};
use crate::metrics::INBOX_FETCHES;

const SECTIONS: [(&str, Section); 2] = [("alert", Section::Alert), ("message", Section::Message)];
const BOTH: [Section; 2] = [Section::Alert, Section::Message];
/// What is counted beyond this is `99+`.
const COUNT_MAX: usize = 100;
/// Notifications on a page where nobody says how many.
const LIMIT: usize = 20;
/// Pages with unread notifications, likewise, and at the most.
const PAGES: usize = 10;
const PAGES_MAX: usize = 2_000;
/// When those have seen something who have never seen anything.
const NEVER: &str = "1970-01-01T00:00:01Z";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Property {
    List,
    Count,
    SeenTime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TimeFormat {
    Iso,
    Digits,
}

/// What of the inbox is asked for.
struct Asked {
    properties: Vec<Property>,
    sections: Vec<Section>,
    /// Those that are read, those that are not.
    read: Vec<bool>,
    titles: Option<Vec<String>>,
    rendered: Rendered,
    limit: usize,
}

/// Who is calling.
fn user(call: &Call<'_>) -> Result<User, Fault> {
    call.caller.as_ref().map(|caller| caller.user.clone()).ok_or_else(Fault::login_required)
}

/// All of an inbox, newest first.
async fn entries(call: &Call<'_>, user: &User) -> Result<Vec<Entry>, Fault> {
    let items = call.state.devices.intake.store.items(user, None, INBOX_PER_USER_MAX).await;
    Ok(items.map_err(|error| Fault::unreadable(&error))?.into_iter().map(Entry::new).collect())
}

fn count(entries: &[Entry], section: Section) -> usize {
    let unread = entries.iter().filter(|each| each.section == section && !each.item.is_read);
    unread.count().min(COUNT_MAX)
}

fn counted(number: usize) -> [(String, Value); 2] {
    let text = if number < COUNT_MAX { number.to_string() } else { "99+".to_owned() };
    [("rawcount".to_owned(), json!(number)), ("count".to_owned(), json!(text))]
}

/// `meta=notifications`.
pub(super) async fn list(call: &mut Call<'_>) -> Result<Value, Fault> {
    let user = user(call)?;
    let asked = Asked::read(call)?;
    let entries = entries(call, &user).await?;
    counter!(INBOX_FETCHES).increment(1);
    call.shows_inbox = true;
    let mut answer = Map::new();
    if call.parameters.flag("notgroupbysection") {
        for section in &asked.sections {
            let name = name_of(*section);
            let prefix = format!("not{name}");
            let mut group = asked.page(call, &entries, &[*section], &prefix)?;
            if asked.properties.contains(&Property::Count) {
                group.extend(counted(count(&entries, *section)));
            }
            answer.insert(name.to_owned(), group.into());
        }
    } else {
        answer = asked.page(call, &entries, &asked.sections, "not")?;
    }
    if asked.properties.contains(&Property::Count) {
        answer.extend(counted(asked.sections.iter().map(|each| count(&entries, *each)).sum()));
    }
    if asked.properties.contains(&Property::SeenTime) {
        let seen = call.state.devices.intake.store.seen(&user).await;
        let seen = seen.map_err(|error| Fault::unreadable(&error))?;
        let times = asked.sections.iter().map(|section| {
            let at = seen.of(*section).map_or_else(|| NEVER.to_owned(), iso_8601);
            (name_of(*section).to_owned(), json!(at))
        });
        let times: Map<String, Value> = times.collect();
        for (name, at) in &times {
            if let Some(Value::Object(group)) = answer.get_mut(name) {
                group.insert("seenTime".to_owned(), at.clone());
            }
        }
        if !answer.contains_key("alert") && !answer.contains_key("message") {
            answer.insert("seenTime".to_owned(), times.into());
        }
    }
    Ok(answer.into())
}

impl Asked {
    fn read(call: &mut Call<'_>) -> Result<Self, Fault> {
        let place = "query+notifications";
        let (parameters, warnings) = (&mut call.parameters, &mut call.warnings);
        let properties = [
            ("list", Property::List),
            ("count", Property::Count),
            ("seenTime", Property::SeenTime),
        ];
        let properties =
            parameters.choices("notprop", (&properties, &[Property::List]), (place, warnings))?;
        let filters = [("read", true), ("!read", false)];
        let read =
            parameters.choices("notfilter", (&filters, &[true, false]), (place, warnings))?;
        let sections = parameters.choices("notsections", (&SECTIONS, &BOTH), (place, warnings))?;
        let rendered = parameters.choice("notformat", &[("model", Rendered::Model)])?;
        let rendered = rendered.unwrap_or(Rendered::Not);
        let titles = parameters.values("nottitles", super::parameters::VALUES_MAX)?;
        // Every notification is for all of them, and none is bundled.
        let kinds = [("web", ()), ("email", ()), ("push", ())];
        parameters.choices("notnotifiertypes", (&kinds, &[]), (place, warnings))?;
        parameters.flag("notbundle");
        let max = call.values_max();
        let at = (place, &mut call.warnings);
        let limit = call.parameters.limit("notlimit", (LIMIT, max), at)?;
        Ok(Self { properties, sections, read, titles, rendered, limit })
    }

    fn fits(&self, entry: &Entry, sections: &[Section]) -> bool {
        sections.contains(&entry.section)
            && self.read.contains(&entry.item.is_read)
            && self.titles.as_ref().is_none_or(|titles| {
                let title = entry.title().unwrap_or("[]");
                titles.iter().any(|each| each.replace('_', " ") == title.replace('_', " "))
            })
    }

    /// One page of the list, where it is asked for. Pages go from new to old, and inside of each it is the other way round, as apps know it.
    fn page(
        &self,
        call: &mut Call<'_>,
        entries: &[Entry],
        sections: &[Section],
        prefix: &str,
    ) -> Result<Map<String, Value>, Fault> {
        let from = call.parameters.text(&format!("{prefix}continue")).filter(|at| !at.is_empty());
        let unread_first = call.parameters.flag(&format!("{prefix}unreadfirst"));
        if !self.properties.contains(&Property::List) {
            return Ok(Map::new());
        }
        let mut fitting: Vec<&Entry> =
            entries.iter().filter(|each| self.fits(each, sections)).collect();
        if unread_first {
            fitting.sort_by_key(|each| each.item.is_read);
        }
        let start = from.map_or(Ok(0), |from| start(&fitting, &from))?;
        let mut page: Vec<&Entry> = fitting.iter().skip(start).take(self.limit).copied().collect();
        let next = fitting.get(start + page.len()).map(|next| next.place());
        page.sort_by_key(|each| each.item.at.as_s());
        let wiki = &call.state.action.wiki;
        let list = page.into_iter().map(|each| each.shown(wiki, self.rendered, call.now));
        Ok(Map::from_iter([
            ("list".to_owned(), list.collect()),
            ("continue".to_owned(), json!(next)),
        ]))
    }
}

/// Where a page begins: at the entry that is named, or where it stood if it is gone.
fn start(entries: &[&Entry], from: &str) -> Result<usize, Fault> {
    let parts = from.split_once('|');
    let parts = parts.and_then(|(at, number)| Some((at.parse().ok()?, number.parse().ok()?)));
    let (at, number): (i64, u64) = parts.ok_or_else(|| {
        let text = "Invalid continue param. You should pass the original value returned by the previous query.";
        Fault::new("badcontinue", text)
    })?;
    let named = entries.iter().position(|each| each.number == number);
    let older = || entries.iter().position(|each| each.item.at.as_s() <= at);
    Ok(named.or_else(older).unwrap_or(entries.len()))
}

/// `meta=unreadnotificationpages`: which pages there is something unread about.
pub(super) async fn pages(call: &mut Call<'_>) -> Result<Value, Fault> {
    let user = user(call)?;
    let groups = call.parameters.flag("unpgrouppages");
    let place = ("query+unreadnotificationpages", &mut call.warnings);
    let limit = call.parameters.limit("unplimit", (PAGES, PAGES_MAX), place)?;
    let entries = entries(call, &user).await?;
    counter!(INBOX_FETCHES).increment(1);
    call.shows_inbox = true;
    let unread: Vec<&Entry> = entries.iter().filter(|each| !each.item.is_read).collect();
    let mut pages = if groups { grouped(&unread) } else { ungrouped(&unread) };
    pages.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    pages.truncate(limit);
    if !groups {
        // Those about no page come last, however many they are.
        let about_none = unread.iter().filter(|each| each.title().is_none()).count();
        pages.extend((about_none > 0).then(|| (json!({"title": null, "count": about_none}), 0)));
    }
    let pages: Vec<Value> = pages.into_iter().map(|(page, _)| page).collect();
    let wiki = call.state.action.wiki.as_ref();
    Ok(json!({wiki: {
        "pages": pages,
        "totalCount": unread.len().min(COUNT_MAX),
        "source": {"title": wiki, "url": "/w/api.php", "base": "/wiki/$1"},
    }}))
}

fn ungrouped(unread: &[&Entry]) -> Vec<(Value, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for title in unread.iter().filter_map(|each| each.title()) {
        *counts.entry(title).or_default() += 1;
    }
    let shown = |(title, count)| (json!({"title": title, "count": count}), count);
    counts.into_iter().map(shown).collect()
}

/// A page and its talk page are one.
fn grouped(unread: &[&Entry]) -> Vec<(Value, usize)> {
    let mut groups: BTreeMap<(u64, &str), (Vec<&str>, usize)> = BTreeMap::new();
    for each in unread {
        let Some(title) = each.title() else { continue };
        let (namespace, text) = each.namespace();
        let (titles, count) = groups.entry((namespace & !1, text)).or_default();
        *count += 1;
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    let shown = |((namespace, text), (titles, count)): ((u64, &str), (Vec<&str>, usize))| {
        let title = titles.first().copied().unwrap_or(text);
        let shown = json!({
            "ns": namespace, "title": title, "unprefixed": text, "pages": titles, "count": count,
        });
        (shown, count)
    };
    groups.into_iter().map(shown).collect()
}

/// `action=echomarkread`.
pub(super) async fn mark_read(call: &mut Call<'_>) -> Result<Members, Fault> {
    let max = call.values_max();
    let list = call.parameters.values("list", max)?;
    let unread_list = call.parameters.values("unreadlist", max)?.unwrap_or_default();
    let all = call.parameters.flag("all");
    let place = ("echomarkread", &mut call.warnings);
    let sections = call.parameters.choices("sections", (&SECTIONS, &[]), place)?;
    call.check_csrf("echomarkread").await?;
    let user = user(call)?;
    let found = entries(call, &user).await?;
    let named = |numbers: &[String]| {
        let is_named = |each: &&Entry| numbers.contains(&each.number.to_string());
        found.iter().filter(is_named).map(|each| each.item.id).collect::<Vec<_>>()
    };
    let of_sections = || {
        let is_meant = |each: &&Entry| sections.contains(&each.section);
        ReadWhich::Ids(found.iter().filter(is_meant).map(|each| each.item.id).collect())
    };
    let which = match list {
        Some(numbers) if !numbers.is_empty() => Some(ReadWhich::Ids(named(&numbers))),
        _ if all => Some(ReadWhich::All),
        _ => (!sections.is_empty()).then(of_sections),
    };
    let intake = &call.state.devices.intake;
    if let Some(which) = which {
        intake.store.read(&user, which).await?;
        // Whoever has read has looked.
        intake.fetched(&user).await?;
    }
    if !unread_list.is_empty() {
        intake.store.unread(&user, named(&unread_list)).await?;
    }
    let now = entries(call, &user).await?;
    call.shows_inbox = true;
    let mut answer = Map::from_iter([("result".to_owned(), json!("success"))]);
    for (name, section) in SECTIONS {
        let group: Map<String, Value> = counted(count(&now, section)).into_iter().collect();
        answer.insert(name.to_owned(), group.into());
    }
    answer.extend(counted(BOTH.iter().map(|each| count(&now, *each)).sum()));
    Ok(Members::from_iter([("query".to_owned(), json!({"echomarkread": answer}))]))
}

/// `action=echomarkseen`.
pub(super) async fn mark_seen(call: &mut Call<'_>) -> Result<Members, Fault> {
    let words: [(&str, &[Section]); 3] =
        [("alert", &[Section::Alert]), ("message", &[Section::Message]), ("all", &BOTH)];
    call.parameters.required("type")?;
    let sections = call.parameters.choice("type", &words)?.unwrap_or_default();
    let formats = [("ISO_8601", TimeFormat::Iso), ("MW", TimeFormat::Digits)];
    let format = call.parameters.choice("timestampFormat", &formats)?;
    let format = format.unwrap_or(TimeFormat::Digits);
    let user = user(call)?;
    if format == TimeFormat::Digits {
        let text = concat!(
            "The MW timestamp output format is deprecated here. In the future, ISO 8601 will always be used ",
            "for the output timestamp format. Adjust your client and set \"timestampFormat\" to \"ISO_8601\"."
        );
        call.warnings.push(Warning::new("echomarkseen", "deprecation", text));
    }
    call.state.devices.intake.store.see(&user, sections.to_vec(), call.now).await?;
    let at = match format {
        TimeFormat::Iso => iso_8601(call.now),
        TimeFormat::Digits => digits(call.now),
    };
    let answer = json!({"echomarkseen": {"result": "success", "timestamp": at}});
    Ok(Members::from_iter([("query".to_owned(), answer)]))
}
