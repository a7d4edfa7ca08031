//! The book does what it says: every command on its pages is run, page by page, in the order in which a reader comes to them, with a real server and
//! what it needs, and what is shown as output is what comes. And every link leads somewhere.
//!
//! What a page needs is said by comments before its blocks, which no reader sees:
//!
//! - `<!-- file: NAME -->`: the block is the content of a file; `<!-- more: NAME -->`: it is added to one.
//! - `<!-- stays: TEXT -->`: its command runs on once it has said the text, until `<!-- stops: WORDS -->` or the end of the page.
//! - `<!-- kills: WORDS -->`: in the place of its command the test kills what runs.
//! - `<!-- until shown -->`: it is run again until it shows what is shown, which takes a window or so.
//! - `<!-- fails: CODE -->`: it ends with this exit code.
//! - `<!-- builds -->`: it builds the program, which takes minutes: with `--long` only.
//!
//! What a page takes for granted stands between its blocks: `<!-- runs: COMMAND -->`, and `<!-- stays on: COMMAND: TEXT -->` of one that runs on.
//!
//! Default ports are those of a test's own. `stage.rs` says who plays Apple, Google and a browser, and which pages need a database.
#![cfg(test)]

mod inline;
mod links;
mod page;
mod play;
mod stage;

use std::path::{Path, PathBuf};

use page::{Deed, read};
use play::Play;
use stage::{Stage, needs};

/// Pages whose commands are run elsewhere: by whom.
const ELSEWHERE: [(&str, &str); 2] = [
    ("runbook.md", "the_commands_of_the_runbook_can_be_run (tests/monitoring.rs)"),
    ("clients.md", "what_the_page_shows_of_python_and_php_can_be_run (tests/clients)"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A page by its path under `docs/`.
fn text(page: &str) -> String {
    let path = root().join("docs").join(page);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All pages, in the order of the book.
fn pages() -> Vec<String> {
    let summary = text("SUMMARY.md");
    let links = summary.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.is_empty()).map(str::to_owned).collect()
}

/// Runs the commands of the pages that need this, one page after the other.
async fn play(wanted: stage::Need) {
    let mut ran = 0;
    for page in pages().iter().filter(|page| wanted == needs(page)) {
        if let Some((_, whom)) = ELSEWHERE.iter().find(|(name, _)| name == page) {
            println!("{page}: run by {whom}");
            continue;
        }
        let blocks = read(page, &text(page));
        if !blocks.iter().any(|block| matches!(block.deed, Deed::Commands(_))) {
            continue;
        }
        let Some(stage) = Stage::set(page).await else {
            println!("{page}: {}", reveille_testkit::needs_all("its commands"));
            continue;
        };
        let mut play = Play::new(page, stage);
        for block in &blocks {
            play.go(block).await;
        }
        println!("{page}: {} commands", play.commands);
        ran += play.commands;
    }
    println!("{ran} commands were run");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_book_does_what_it_says() {
    play(stage::Need::Nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_about_mariadb_does_what_it_says() {
    play(stage::Need::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_about_cassandra_does_what_it_says() {
    play(stage::Need::Cassandra).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_about_a_wiki_does_what_it_says() {
    play(stage::Need::Wiki).await;
}

#[test]
fn every_page_is_in_the_book() {
    let listed = pages();
    let mut found = links::pages(&root().join("docs"));
    found.retain(|page| page != "SUMMARY.md");
    for page in &found {
        assert!(listed.contains(page), "{page} is not in SUMMARY.md");
    }
    assert_eq!(listed.len(), found.len(), "each once: {listed:?}");
}
