//! What is done with the blocks of a page.

/// What is done.
#[derive(Debug, PartialEq)]
pub(super) enum Deed {
    /// Commands, each with the lines it is to show.
    Commands(Vec<Command>),
    /// A file gets this content; or more of it.
    File { name: String, text: String, is_more: bool },
    /// What runs is stopped.
    Stop(String),
    /// What runs is killed. By us: by its name others might be, too.
    Kill(String),
    /// The program is built, in the sources' folder.
    Build(String),
}

/// A command and what it is to show.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Command {
    pub(super) text: String,
    pub(super) shows: Vec<String>,
}

/// How the commands of a block end.
#[derive(Debug, PartialEq, Clone)]
pub(super) enum End {
    /// With this exit code.
    Code(i32),
    /// Not yet: it has said this.
    Stays(String),
    /// Well, in the end: it is run again until it shows what it is to.
    Shown,
}

/// Something to be done.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) line: usize,
    pub(super) deed: Deed,
    pub(super) end: End,
}

/// The words of a block that are no commands.
const OTHERS: [&str; 8] = ["text", "json", "toml", "yaml", "php", "sql", "js", "nginx"];

/// What is to be done with a page, from its top to its end.
pub(super) fn read(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut notes: Vec<(String, String)> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(note) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            let (word, rest) = note.split_once(':').unwrap_or((note, ""));
            notes.push((word.trim().to_owned(), rest.trim().to_owned()));
        } else if let Some(word) = line.trim_start().strip_prefix("```") {
            let inside =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let inside: Vec<&str> = inside.collect();
            let known = ["sh", "console"].contains(&word) || OTHERS.contains(&word);
            assert!(known, "{page}:{}: say what this block is (`{word}`)", number + 1);
            blocks.extend(block(number + 1, word, &inside, &std::mem::take(&mut notes)));
        } else if !line.trim().is_empty() {
            notes.clear();
        }
        // What stops something stands by itself, and so does what a page takes for granted.
        let alone =
            notes.pop_if(|(word, _)| ["stops", "runs", "stays on"].contains(&word.as_str()));
        if let Some((word, rest)) = alone {
            let (deed, end) = match word.as_str() {
                "stops" => (Deed::Stop(rest), End::Code(0)),
                "runs" => (command(rest), End::Code(0)),
                _ => {
                    let (text, said) = rest.rsplit_once(": ").expect("a command and what it says");
                    (command(text.to_owned()), End::Stays(said.to_owned()))
                }
            };
            blocks.push(Block { line: number + 1, deed, end });
        }
    }
    blocks
}

fn block(line: usize, word: &str, inside: &[&str], notes: &[(String, String)]) -> Option<Block> {
    let note =
        |word: &str| notes.iter().find(|(name, _)| name == word).map(|(_, rest)| rest.clone());
    let text = || inside.join("\n") + "\n";
    let end = match (note("fails"), note("stays"), note("until shown")) {
        (Some(code), _, _) => End::Code(code.parse().expect("a number")),
        (_, Some(said), _) => End::Stays(said),
        (_, _, Some(_)) => End::Shown,
        _ => End::Code(0),
    };
    let deed = if note("builds").is_some() {
        Deed::Build(text())
    } else if let Some(words) = note("kills") {
        Deed::Kill(words)
    } else if let Some(name) = note("file") {
        Deed::File { name, text: text(), is_more: false }
    } else if let Some(name) = note("more") {
        Deed::File { name, text: text(), is_more: true }
    } else if word == "sh" {
        command(text())
    } else if word == "console" {
        Deed::Commands(commands(inside))
    } else {
        return None;
    };
    Some(Block { line, deed, end })
}

/// One command that has nothing to show.
fn command(text: String) -> Deed {
    Deed::Commands(vec![Command { text, shows: Vec::new() }])
}

/// `$ command`, with lines that go on after a `\`, and what it shows.
fn commands(inside: &[&str]) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for line in inside {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(Command { text: command.to_owned(), shows: Vec::new() });
            continue;
        }
        let last = commands.last_mut().expect("a block of console begins with `$ `");
        if last.text.ends_with('\\') {
            last.text = format!("{}\n{line}", last.text);
        } else if !line.trim().is_empty() {
            last.shows.push((*line).to_owned());
        }
    }
    commands
}

#[test]
fn blocks_are_read_as_they_are_meant() {
    let page = "# A\n<!-- file: a.toml -->\n```toml\na = 1\n```\n\n<!-- stays: ready -->\n```console\n$ serve \\\n  all\n```\n\n```console\n$ ask\nan answer\n\n$ ask again\n```\n\n<!-- builds -->\n```sh\ncargo build\n```\n\n<!-- stays on: serve more: it listens -->\n\n```json\n{}\n```\n\n<!-- stops: serve -->\n";
    let blocks = read("a.md", page);
    let deeds: Vec<&Deed> = blocks.iter().map(|block| &block.deed).collect();
    let shown = |text: &str, shows: &[&str]| Command {
        text: text.to_owned(),
        shows: shows.iter().map(|line| (*line).to_owned()).collect(),
    };
    let file = Deed::File { name: "a.toml".to_owned(), text: "a = 1\n".to_owned(), is_more: false };
    assert_eq!(deeds[0], &file);
    assert_eq!(deeds[1], &Deed::Commands(vec![shown("serve \\\n  all", &[])]));
    assert_eq!(blocks[1].end, End::Stays("ready".to_owned()));
    let both = vec![shown("ask", &["an answer"]), shown("ask again", &[])];
    assert_eq!(deeds[2], &Deed::Commands(both));
    assert_eq!(deeds[3], &Deed::Build("cargo build\n".to_owned()));
    assert_eq!(deeds[4], &Deed::Commands(vec![shown("serve more", &[])]));
    assert_eq!(blocks[4].end, End::Stays("it listens".to_owned()));
    assert_eq!(deeds[5], &Deed::Stop("serve".to_owned()));
    assert_eq!(deeds.len(), 6);
}
