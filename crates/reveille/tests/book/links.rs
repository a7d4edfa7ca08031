//! Links between pages, to their headings, to files of the project and to pictures.

use std::collections::BTreeSet;
use std::path::Path;

use super::root;

/// Pages outside the book whose links are looked at as well.
const BESIDE: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// The pages in a folder and in those inside it, by their paths from there.
pub(super) fn pages(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(pages(&path).into_iter().map(|page| format!("{name}/{page}")));
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(name);
        }
    }
    found
}

/// The lines of a page that are no blocks.
pub(super) fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_inside ^= is_fence;
        !is_inside && !is_fence
    })
}

/// Where a page's headings can be linked to, as GitHub and mdBook have it.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim();
        // Of a link the words count.
        let title = title.replace("](", "\u{0}");
        let title: String = title
            .split('\u{0}')
            .enumerate()
            .map(|(number, part)| match number {
                0 => part,
                _ => part.split_once(')').map_or(part, |(_, rest)| rest),
            })
            .collect();
        let anchor: String = title
            .to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let again = (1..).map(|number| format!("{anchor}-{number}"));
        let fresh = std::iter::once(anchor.clone()).chain(again).find(|it| !anchors.contains(it));
        anchors.extend(fresh);
    }
    anchors
}

/// What a page links to, pictures among it.
fn links(text: &str) -> Vec<String> {
    let lines = prose(text).flat_map(|line| {
        // What stands in backticks is shown as it is.
        line.split('`')
            .step_by(2)
            .collect::<Vec<_>>()
            .join("`")
            .split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split(')').next()?.to_owned()))
            .collect::<Vec<_>>()
    });
    lines.filter(|link| !link.contains("://") && !link.starts_with("mailto:")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let inside = pages(&root().join("docs")).into_iter().map(|page| format!("docs/{page}"));
    let mut looked = 0;
    for page in inside.chain(BESIDE.map(str::to_owned)) {
        let file = root().join(&page);
        let text = std::fs::read_to_string(&file).unwrap();
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(target.exists(), "{page} links to {link}, which is not there");
            if !anchor.is_empty() {
                let there = anchors(&std::fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{page} links to {link}; there are {there:?}");
            }
            looked += 1;
        }
    }
    assert!(looked > 150, "{looked} links are too few");
}

#[test]
fn links_and_anchors_are_read_as_they_are_meant() {
    let page = "# One `[a.b]`\n## A [link](b.md), twice\n## A link, twice\n```sh\n# none\n[x](y)\n```\nSee `[a](b)` and ![it](c.png) or [d](d.md#e).\n";
    let found = anchors(page);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a-link-twice", "a-link-twice-1", "one-ab"]);
    assert_eq!(links(page), ["b.md", "c.png", "d.md#e"]);
}
