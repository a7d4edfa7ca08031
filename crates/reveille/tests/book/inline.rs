//! Commands in the middle of a sentence: there is such a command, and it has these options.

use std::collections::BTreeMap;
use std::process::Command;

use super::stage::REVEILLE;
use super::{links, pages, text};

/// What `--help` says of each command that was asked for.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, String>);

impl Helps {
    fn of(&mut self, command: &[String]) -> String {
        let ask = || {
            let output = Command::new(REVEILLE).args(command).arg("--help").output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        self.0.entry(command.to_vec()).or_insert_with(ask).clone()
    }

    /// What is wrong with a command's words, if anything.
    fn mistake(&mut self, words: &[&str]) -> Option<String> {
        let mut command: Vec<String> = Vec::new();
        let mut help = self.of(&command);
        for word in
            words.iter().take_while(|word| word.starts_with(|it: char| it.is_ascii_lowercase()))
        {
            let Some((_, commands)) = help.split_once("Commands:") else { break };
            if !commands.lines().any(|line| line.split_whitespace().next() == Some(word)) {
                return Some(format!("there is no `{word}`"));
            }
            command.push((*word).to_owned());
            help = self.of(&command);
        }
        let is_known = |option: &str| help.split([' ', ',', '\n']).any(|known| known == option);
        let unknown = words.iter().find(|word| word.starts_with("--") && !is_known(word));
        unknown.map(|word| format!("`{}` has no option {word}", command.join(" ")))
    }
}

/// The commands of a page that stand in its sentences and tables, by their words.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let spans = links::prose(text).flat_map(|line| line.split('`').skip(1).step_by(2));
    let commands = spans.filter_map(|span| span.strip_prefix("reveille "));
    commands.map(|rest| rest.split_whitespace().collect()).collect()
}

#[test]
fn commands_in_sentences_are_known() {
    let (mut helps, mut count) = (Helps::default(), 0);
    for page in pages() {
        for words in commands(&text(&page)) {
            let mistake = helps.mistake(&words);
            assert!(mistake.is_none(), "{page}: `reveille {}`: {mistake:?}", words.join(" "));
            count += 1;
        }
    }
    assert!(count > 50, "{count} are too few");
    assert_eq!(helps.mistake(&["fly"]), Some("there is no `fly`".to_owned()));
    let mistake = helps.mistake(&["push", "--fly"]);
    assert_eq!(mistake, Some("`push` has no option --fly".to_owned()));
}
