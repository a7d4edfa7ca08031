//! A page is played: its commands are run in a folder of its own.

use std::path::Path;
use std::process::{Command as Process, Stdio};

use reveille_testkit::{Server, is_long};

use super::page::{Block, Command, Deed, End};
use super::root;
use super::stage::{REVEILLE, Stage};

/// How often a command is run until it shows what it is to, about a second each time.
const TRIES_MAX: u32 = 90;
/// Longest time of a command, in seconds.
const COMMAND_S_MAX: u32 = 240;

/// What a command's shell does in the end. What is in the environment of one command only is not for the next.
const LEAVE: &str = "trap 'code=$?; export -p | grep -v REVEILLE_ > .variables; exit $code' EXIT";

/// A page under way.
pub(super) struct Play {
    page: String,
    stage: Stage,
    /// What runs on, by its command. What began last ends first.
    running: Vec<(String, Server)>,
    /// How many commands were run.
    pub(super) commands: usize,
}

impl Play {
    pub(super) fn new(page: &str, stage: Stage) -> Self {
        Self { page: page.to_owned(), stage, running: Vec::new(), commands: 0 }
    }

    /// Does what a block says.
    pub(super) async fn go(&mut self, block: &Block) {
        let place = format!("{}:{}", self.page, block.line);
        match &block.deed {
            Deed::Build(text) => self.build(&place, text),
            Deed::Stop(words) => {
                assert_eq!(self.take(&place, words).terminate(), Some(0), "{place}: its end");
            }
            Deed::Kill(words) => self.take(&place, words).kill(),
            Deed::File { name, text, is_more } => {
                let file = self.stage.folder().join(name);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                let before =
                    if *is_more { std::fs::read_to_string(&file).unwrap() } else { String::new() };
                std::fs::write(&file, before + &self.stage.staged(text)).unwrap();
            }
            Deed::Commands(commands) => {
                for command in commands {
                    self.commands += 1;
                    println!("{place}: {}", command.text);
                    match &block.end {
                        End::Stays(said) => self.start(command, said).await,
                        End::Code(code) => self.run(&place, command, *code),
                        End::Shown => self.run_until_shown(&place, command).await,
                    }
                    self.stage.take_over();
                }
            }
        }
    }

    /// Builds the program where its sources are, in some minutes. The commands that follow find it as the reader's would.
    fn build(&mut self, place: &str, text: &str) {
        if !is_long() {
            println!("{place}: left to --long");
            return;
        }
        self.commands += 1;
        let folder = self.stage.folder().display();
        let script = format!("set -e\n{text}\ncd {folder}\nexport -p > .variables");
        let mut bash = Process::new("bash");
        let built = bash.args(["-c", &script]).current_dir(root()).status().unwrap();
        assert!(built.success(), "{place}: {text}");
    }

    /// What runs, as it ends.
    fn take(&mut self, place: &str, words: &str) -> Server {
        let at = self.running.iter().rposition(|(command, _)| command.contains(words));
        let at = at.unwrap_or_else(|| panic!("{place}: `{words}` does not run"));
        self.running.remove(at).1
    }

    /// A shell that has what the commands before have left in variables, and leaves its own to those that follow.
    fn shell(&self, text: &str) -> (String, Vec<(String, String)>) {
        let text = self.stage.here(text);
        let script = format!("cd {}; set -ae; . ./.variables", self.stage.folder().display());
        let environment = self.stage.environment(&text);
        (format!("{script}\nexec 2>&1\n{LEAVE}\n{text}"), environment)
    }

    async fn start(&mut self, command: &Command, said: &str) {
        let (text, environment) = self.shell(&command.text);
        // The server in the shell's place, so that a signal reaches it.
        let text = text.replace(&format!("{LEAVE}\n"), "exec env ");
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut server = Server::start_with(Path::new("bash"), &["-c", &text], &environment);
        server.wait_for(said).await;
        self.running.push((command.text.clone(), server));
    }

    /// What a command says, on both of its outputs, and its exit code.
    fn ask(&self, command: &Command) -> (String, Option<i32>) {
        let (text, environment) = self.shell(&command.text);
        let output = Process::new("timeout")
            .args([&COMMAND_S_MAX.to_string(), "bash", "-c", &text])
            .envs(environment)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (self.stage.shown(&said), output.status.code())
    }

    fn run(&self, place: &str, command: &Command, code: i32) {
        let (said, ended) = self.ask(command);
        let log = self.logs();
        assert_eq!(ended, Some(code), "{place}: `{}` said:\n{said}\n{log}", command.text);
        if let Err(line) = shows(&command.shows, &said) {
            panic!("{place}: `{}` does not show `{line}` but:\n{said}\n{log}", command.text);
        }
    }

    async fn run_until_shown(&self, place: &str, command: &Command) {
        let mut tries = 0;
        loop {
            let (said, ended) = self.ask(command);
            if ended == Some(0) && shows(&command.shows, &said).is_ok() {
                return;
            }
            tries += 1;
            assert!(
                tries < TRIES_MAX,
                "{place}: `{}` says:\n{said}\n{}",
                command.text,
                self.logs()
            );
            self.stage.pass_time().await;
        }
    }

    fn logs(&self) -> String {
        let logs = self
            .running
            .iter()
            .map(|(command, server)| format!("{command}:\n{}", server.log().join("\n")));
        logs.collect::<Vec<_>>().join("\n")
    }
}

/// Whether lines are there in this order. What stands for `…` may be anything. The line that is not there.
fn shows<'a>(wanted: &'a [String], said: &str) -> Result<(), &'a str> {
    let mut lines = said.lines();
    for line in wanted {
        if !lines.any(|there| is_like(line.trim(), there.trim())) {
            return Err(line);
        }
    }
    Ok(())
}

fn is_like(wanted: &str, line: &str) -> bool {
    let mut rest = line;
    let parts: Vec<&str> = wanted.split('…').collect();
    for (number, part) in parts.iter().enumerate() {
        match rest.find(part) {
            Some(0) => rest = &rest[part.len()..],
            Some(at) if number > 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || wanted.ends_with('…')
}

#[test]
fn what_is_shown_is_compared_loosely() {
    assert!(is_like("state   settled", "state   settled"));
    assert!(
        is_like("window ends … Z", "window ends 2026 Z")
            && is_like("a…", "abc")
            && is_like("…c", "abc")
    );
    assert!(!is_like("sent 1", "sent 2") && !is_like("sent", "sent 2") && !is_like("b…", "abc"));
    let wanted = ["a".to_owned(), "c…".to_owned()];
    assert_eq!(shows(&wanted, "a\nb\ncd\n"), Ok(()));
    assert_eq!(shows(&wanted, "c\na\n"), Err("c…"));
    assert!(Path::new(REVEILLE).exists());
}
