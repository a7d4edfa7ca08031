//! Credentials and certificates that change under a running server. Their files are read again as at the start, and only what is well is taken: else what
//! was read before stays in use.
//!
//! Not the configuration is read again but the files it names. They are read at SIGHUP, and when one of them looks otherwise than before.

use std::sync::Arc;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use reveille_model::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Clock;
use crate::config::{Document, Seen};
use crate::lifecycle::Lifecycle;
use crate::supervisor;

/// How often files are looked at, in case nobody says that they have changed.
pub const LOOK_EVERY: Duration = Duration::from_s(5);

const RELOADS: &str = "reveille_credentials_reloads_total";
const FAILED: &str = "reveille_credentials_reload_failed";

/// Says what each metric is.
pub fn describe_metrics() {
    describe_counter!(
        RELOADS,
        "Changed credentials and certificates by what they belong to (set) and what came of them (result: taken, refused)."
    );
    describe_gauge!(
        FAILED,
        "1 while changed files of a set cannot be used, so that what was read before is; 0 when they can again."
    );
}

/// Reads from a document, and takes what was read; what is wrong otherwise.
type TakeUp = Box<dyn FnMut(&Document) -> Result<(), String> + Send>;

/// One section's files and who uses what they hold.
pub struct Reloadable {
    set: String,
    document: Document,
    take_up: TakeUp,
    /// How the files looked last.
    seen: Seen,
    /// A hash of what they held when it was taken; nothing where they had changed before anybody looked.
    in_use: Option<[u8; 32]>,
    refused: Option<Refused>,
}

/// What is there cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    /// A hash of what it is; nothing where it changed meanwhile.
    hash: Option<[u8; 32]>,
}

/// Why it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It is time to.
    Time,
    /// Somebody asks for it.
    Signal,
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Looked {
    /// Nothing has changed.
    Same,
    /// It has, and is used from now on.
    Taken,
    /// What could not be used is gone, and what is in use is there again.
    Mended,
    /// It has, and cannot be used.
    Refused(String),
}

impl std::fmt::Debug for Reloadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloadable").field("set", &self.set).finish_non_exhaustive()
    }
}

impl Reloadable {
    /// Reads a section with `read` each time a file changes that it asks for, and hands it to `take` if nothing is wrong with it. `document` is what
    /// the server was started with.
    pub fn new<T>(
        set: impl Into<String>,
        document: &Document,
        read: impl Fn(&Document) -> Option<T> + Send + 'static,
        mut take: impl FnMut(T) -> Result<(), String> + Send + 'static,
    ) -> Self {
        let named = document.anew();
        drop(read(&named));
        let seen = named.seen();
        let in_use = seen.is_as_in(&document.seen()).then(|| seen.hash());
        let take_up = move |document: &Document| {
            let read = read(document);
            let problems = document.problems().take();
            match read {
                Some(read) if problems.is_empty() => take(read),
                _ => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
            }
        };
        let (set, document, take_up) = (set.into(), document.anew(), Box::new(take_up));
        Self { set, document, take_up, seen, in_use, refused: None }
    }

    /// Looks at the files, and reads them where they have changed, could not be used, or somebody asks for it.
    fn look(&mut self, cause: Cause) -> Looked {
        let seen = self.seen.again();
        if seen == self.seen
            && self.in_use.is_some()
            && self.refused.is_none()
            && cause == Cause::Time
        {
            return Looked::Same;
        }
        self.seen = seen;
        // Hashed before they are read: what changes in between is seen the next time.
        let hash = self.seen.hash();
        if self.in_use == Some(hash) {
            return if self.refused.take().is_some() { Looked::Mended } else { Looked::Same };
        }
        if self.refused == Some(Refused { hash: Some(hash) }) && cause == Cause::Time {
            return Looked::Same;
        }
        match (self.take_up)(&self.document.anew()) {
            Ok(()) => {
                (self.in_use, self.refused) = (Some(hash), None);
                Looked::Taken
            }
            Err(what) => {
                let is_still = self.seen.hash() == hash;
                self.refused = Some(Refused { hash: is_still.then_some(hash) });
                Looked::Refused(what)
            }
        }
    }

    /// Says what a look came to, in logs and metrics.
    fn tell(&self, looked: Looked) {
        let set = self.set.as_str();
        match looked {
            Looked::Same => {}
            Looked::Taken => {
                self.count("taken", 1);
                tracing::info!(set, "files have changed and are used now");
            }
            Looked::Mended => {
                tracing::info!(set, "files that could not be used are again what is in use");
            }
            Looked::Refused(problem) => {
                self.count("refused", 1);
                tracing::error!(
                    set,
                    problem,
                    "files have changed and cannot be used; what was read before is used"
                );
            }
        }
        gauge!(FAILED, "set" => self.set.clone()).set(f64::from(u8::from(self.refused.is_some())));
    }

    fn count(&self, result: &'static str, by: u64) {
        counter!(RELOADS, "set" => self.set.clone(), "result" => result).increment(by);
    }
}

/// Keeps all of them up to date until the lifecycle stops.
pub fn keep_up(all: Vec<Reloadable>, clock: Arc<dyn Clock>, lifecycle: &Lifecycle) {
    // From now on, not from when the task gets its turn: whoever hears that the server can be used may send it.
    let hangup = signal(SignalKind::hangup());
    let hangup = hangup
        .map_err(|error| tracing::error!(%error, "SIGHUP cannot be heard; files are looked at all the same"))
        .ok();
    for each in &all {
        each.tell(Looked::Same);
        for result in ["taken", "refused"] {
            each.count(result, 0);
        }
    }
    lifecycle.spawn("reload", run(all, hangup, clock, lifecycle.clone()));
}

async fn run(
    mut all: Vec<Reloadable>,
    mut hangup: Option<Signal>,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
) {
    // What was gone as soon as the server had it is not looked for again: secrets that were files only to be read.
    all.retain(|each| each.seen.is_whole());
    loop {
        let cause = tokio::select! {
            () = hung_up(&mut hangup) => Cause::Signal,
            () = clock.sleep(LOOK_EVERY) => Cause::Time,
            () = lifecycle.stopping() => return,
        };
        if cause == Cause::Signal {
            supervisor::reloading();
        }
        for each in &mut all {
            let looked = each.look(cause);
            each.tell(looked);
        }
        if cause == Cause::Signal {
            tracing::info!("credentials and certificates were read again");
            supervisor::reloaded();
        }
    }
}

/// Returns at SIGHUP; where it cannot be heard, never.
async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::{Cause, Looked, Reloadable};
    use crate::config::Document;

    /// A folder with one file, `word`, which is to hold a single word of letters.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("reveille-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn document(&self) -> Document {
            Document::parse("[push]\nword_file = \"word\"\n", self.0.clone()).unwrap()
        }

        /// Puts another file in the place of the one that is there, as whoever renews something does.
        fn put(&self, word: &str) {
            std::fs::write(self.0.join("new"), word).unwrap();
            std::fs::rename(self.0.join("new"), self.0.join("word")).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn read(document: &Document) -> Option<String> {
        let mut push = document.section("push");
        let word = push.secret("word_file")?;
        let fits = word.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !fits {
            push.problem("word_file", "this is no word");
        }
        fits.then_some(word)
    }

    fn reloadable(document: &Document) -> (Reloadable, Receiver<String>) {
        let (tell, taken) = sync_channel(8);
        let take = move |word: String| match word.as_str() {
            "unwanted" => Err("nobody wants it".to_owned()),
            _ => tell.send(word).map_err(|error| error.to_string()),
        };
        (Reloadable::new("word", document, read, take), taken)
    }

    #[test]
    fn what_has_changed_is_taken_once_and_what_has_not_never() {
        let folder = Folder::new("reload-taken");
        folder.put("one");
        let document = folder.document();
        read(&document).unwrap();
        let (mut word, taken) = reloadable(&document);
        assert_eq!(
            (word.look(Cause::Time), word.look(Cause::Signal)),
            (Looked::Same, Looked::Same)
        );
        folder.put("two");
        assert_eq!(
            (word.look(Cause::Time), word.look(Cause::Signal)),
            (Looked::Taken, Looked::Same)
        );
        folder.put("two");
        assert_eq!(word.look(Cause::Time), Looked::Same, "another file, and the same in it");
        assert_eq!(taken.try_iter().collect::<Vec<_>>(), ["two"]);
    }

    #[test]
    fn what_cannot_be_used_is_said_once_and_leaves_what_is_in_use() {
        let folder = Folder::new("reload-refused");
        folder.put("one");
        let document = folder.document();
        read(&document).unwrap();
        let (mut word, taken) = reloadable(&document);
        folder.put("1");
        let refused = Looked::Refused("push.word_file: this is no word".to_owned());
        assert_eq!(
            (word.look(Cause::Time), word.look(Cause::Time)),
            (refused.clone(), Looked::Same)
        );
        assert_eq!(word.look(Cause::Signal), refused, "whoever asks is told again");
        folder.put("unwanted");
        assert_eq!(word.look(Cause::Time), Looked::Refused("nobody wants it".to_owned()));
        std::fs::remove_file(folder.0.join("word")).unwrap();
        assert!(
            matches!(word.look(Cause::Time), Looked::Refused(what) if what.contains("push.word_file"))
        );
        folder.put("one");
        assert_eq!(
            (word.look(Cause::Time), word.look(Cause::Time)),
            (Looked::Mended, Looked::Same)
        );
        folder.put("2");
        assert!(matches!(word.look(Cause::Time), Looked::Refused(_)));
        folder.put("two");
        assert_eq!(word.look(Cause::Time), Looked::Taken);
        assert_eq!(taken.try_iter().collect::<Vec<_>>(), ["two"]);
    }

    /// As Kubernetes swaps secrets: the file is a link through a link to a folder, and only that one changes.
    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let folder = Folder::new("reload-links");
        let link = |to: &str, at: &str| {
            std::os::unix::fs::symlink(to, folder.0.join("link")).unwrap();
            std::fs::rename(folder.0.join("link"), folder.0.join(at)).unwrap();
        };
        let version = |name: &str, word: &str| {
            let inner: &Path = &folder.0.join(name);
            std::fs::create_dir(inner).unwrap();
            std::fs::write(inner.join("word"), word).unwrap();
        };
        version("..1", "one");
        version("..2", "two");
        link("..1", "..data");
        link("..data/word", "word");
        let document = folder.document();
        read(&document).unwrap();
        let (mut word, taken) = reloadable(&document);
        assert_eq!(word.look(Cause::Time), Looked::Same);
        link("..2", "..data");
        assert_eq!(word.look(Cause::Time), Looked::Taken);
        assert_eq!(taken.try_iter().collect::<Vec<_>>(), ["two"]);
    }

    #[test]
    fn what_changed_while_the_server_was_starting_is_taken_at_the_first_look() {
        let folder = Folder::new("reload-starting");
        folder.put("one");
        let document = folder.document();
        read(&document).unwrap();
        folder.put("two");
        let (mut word, taken) = reloadable(&document);
        assert_eq!((word.look(Cause::Time), word.look(Cause::Time)), (Looked::Taken, Looked::Same));
        assert_eq!(taken.try_iter().collect::<Vec<_>>(), ["two"]);
    }
}
