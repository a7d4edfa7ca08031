//! The book: what mdBook makes of `docs/`, and whether every link in it leads somewhere.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::process::{output, root};
use crate::tools;

/// What mdBook makes besides our pages: links in them are its own, and count from elsewhere.
const NOT_OURS: [&str; 2] = ["404.html", "toc.html"];
/// What a link stands in.
const MARKS: [&str; 2] = ["href=\"", "src=\""];

/// Builds it into `target/book`, and fails on a link or picture that leads nowhere. Returns where it is.
pub(crate) fn build() -> Result<PathBuf, String> {
    let mdbook = tools::mdbook()?;
    let book = root().join("target/book");
    output(Command::new(mdbook).arg("build").arg(root().join("docs")).arg("-d").arg(&book))?;
    let mut astray = Vec::new();
    for page in pages(&book)? {
        let text = read(&page)?;
        let (mended, problems) = look(&book, &page, &text);
        if mended != text {
            std::fs::write(&page, mended)
                .map_err(|error| format!("{}: {error}", page.display()))?;
        }
        astray.extend(problems);
    }
    if astray.is_empty() {
        Ok(book)
    } else {
        Err(format!("links of the book that lead nowhere:\n  {}", astray.join("\n  ")))
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Our pages in a folder, and in those inside it.
fn pages(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(pages(&path)?);
        } else if path.extension().is_some_and(|end| end == "html")
            && !NOT_OURS.contains(&name.as_str())
        {
            found.push(path);
        }
    }
    Ok(found)
}

/// A page whose links to files of the project lead there from where the book is, and those of its links that lead nowhere.
fn look(book: &Path, page: &Path, text: &str) -> (String, Vec<String>) {
    let (mut mended, mut astray, mut rest) = (String::new(), Vec::new(), text);
    while let Some((at, mark)) =
        MARKS.iter().filter_map(|mark| Some((rest.find(mark)?, *mark))).min()
    {
        let (before, after) = rest.split_at(at + mark.len());
        let (link, after) = after.split_once('"').unwrap_or((after, ""));
        let there = target(book, page, link);
        mended.push_str(before);
        mended.push_str(there.as_deref().unwrap_or(link));
        mended.push('"');
        if there.is_none() {
            let page = page.strip_prefix(book).unwrap_or(page);
            astray.push(format!("{}: {link}", page.display()));
        }
        rest = after;
    }
    mended.push_str(rest);
    (mended, astray)
}

/// The link that leads to where this one was meant to, if that is anywhere.
fn target(book: &Path, page: &Path, link: &str) -> Option<String> {
    let is_elsewhere =
        link.contains("://") || ["mailto:", "data:"].iter().any(|it| link.starts_with(it));
    if is_elsewhere {
        return Some(link.to_owned());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = page.parent()?;
    let file = if path.is_empty() { page.to_owned() } else { straight(&folder.join(path)) };
    if file.exists() && file.starts_with(book) {
        let is_there = anchor.is_empty() || read(&file).ok()?.contains(&format!("id=\"{anchor}\""));
        return is_there.then(|| link.to_owned());
    }
    // Outside the book: a file of the project, seen from the page's own source.
    let inside = folder.strip_prefix(book).ok()?;
    let source =
        path.strip_suffix(".html").map_or_else(|| path.to_owned(), |name| format!("{name}.md"));
    let meant = [path.to_owned(), source];
    let file = meant.iter().map(|path| straight(&root().join("docs").join(inside).join(path)));
    let file = file.into_iter().find(|file| file.exists())?;
    let up = "../"
        .repeat(inside.components().count() + book.strip_prefix(root()).ok()?.components().count());
    let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
    Some(format!("{up}{}{anchor}", file.strip_prefix(straight(&root())).ok()?.display()))
}

/// A path without `..`.
fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                straight.pop();
            }
            Component::CurDir => {}
            other => straight.push(other),
        }
    }
    straight
}
