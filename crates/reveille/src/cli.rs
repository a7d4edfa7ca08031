//! The words of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use reveille_lab::Design;

/// Wakes a user's devices and reveals nothing.
///
/// Exit codes: 0 done, 1 could not do its work, 2 wrong command line, 3 problems in the configuration, 4 a server refused.
#[derive(Debug, Parser)]
#[command(name = "reveille", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything on this machine, to look at: sandbox, push server, session store, sample users. Nothing leaves loopback
    Dev(DevArguments),
    /// The push server
    Push(PushArguments),
    /// The session store: values under keys, each for a time, as Kask has it
    Sessions(SessionsArguments),
    /// The look-alike providers, and `init`, which makes keys and a configuration for them
    Sandbox(SandboxArguments),
    /// Reads the configuration, tries store and provider credentials, and says everything that is wrong
    Check(ConfigArguments),
    /// The configuration as it is understood: `print` shows every value that is set, by the file or the environment, without secrets
    Config(crate::commands::config::ConfigArguments),
    /// Brings the stores to this version's schema
    Migrate(SessionsArguments),
    /// The key that seals the store: `rotate` takes a fresh one
    Keys(crate::commands::keys::KeysArguments),
    /// Moves the store from a file to `MariaDB`, for many machines. Stopped anywhere, it goes on when it is run again
    Move(crate::commands::moving::MoveArguments),
    /// Wakes the devices of users
    Send(SendArguments),
    /// Shows what became of a notification
    Trail(TrailArguments),
    /// Lists, registers or removes devices of a user
    Subscriptions(SubscriptionsArguments),
    /// What concerns a user as a whole: has looked, or goes
    Users(UsersArguments),
    /// Devices that look dead, while a mistake of ours would look the same: list, release, drop
    Quarantine(QuarantineArguments),
    /// Takes over subscriptions from elsewhere: those of a wiki's extension Echo
    Import(ImportArguments),
    /// Gives subscriptions back: to the tables of a wiki's extension Echo
    Export(ExportArguments),
    /// Stops delivery, of everything or of one provider, while all is accepted as before
    Pause(PauseArguments),
    /// Goes on with delivery
    Resume(PauseArguments),
    /// The privacy lab: what somebody who sees every push can tell of who was meant
    Lab(LabArguments),
    /// Prints what completes these words in a shell
    Completions(crate::commands::manual::CompletionsArguments),
    /// Writes man pages, one for each command
    Man(crate::commands::manual::ManArguments),
    /// Shows the version
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PushArguments {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "reference_config",
        conflicts_with = "reference_config"
    )]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reference: ReferenceArguments,
}

/// What takes the place of a configuration of ours.
#[derive(Debug, Args)]
pub(crate) struct ReferenceArguments {
    /// The configuration of Wikimedia's push-notifications service (YAML). What is passed over is said
    #[arg(long, value_name = "FILE")]
    pub(crate) reference_config: Option<PathBuf>,
    /// With it: a topic of an app at Apple, which that service is not told of. May be repeated
    #[arg(long = "apns-topic", value_name = "TOPIC", requires = "reference_config")]
    pub(crate) apns_topics: Vec<String>,
    /// With it: the service account for FCM
    #[arg(
        long,
        value_name = "FILE",
        env = "GOOGLE_APPLICATION_CREDENTIALS",
        hide_env_values = true
    )]
    pub(crate) fcm_credentials: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SessionsArguments {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "kask_config",
        conflicts_with = "kask_config"
    )]
    pub(crate) config: Option<PathBuf>,
    /// The configuration of Kask (YAML) in its place. What is passed over is said
    #[arg(long, value_name = "FILE")]
    pub(crate) kask_config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Where to keep keys and data; a directory that does not exist yet. Without it a temporary one, removed at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The first of the ports: the push server's. Its public API, the demo page and the session store come after it, the sandbox's are 10 to 13 above it
    #[arg(long, value_name = "PORT", default_value_t = 8900, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    pub(crate) port: u16,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SandboxArguments {
    #[command(subcommand)]
    pub(crate) command: Option<SandboxCommand>,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "reveille.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Writes keys, an authority, a service account and a complete DIR/reveille.toml
    Init {
        /// A directory; created if it is not there. Nothing in it is overwritten
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    /// The push server's private API
    #[arg(long, env = "REVEILLE_URL", default_value = "http://127.0.0.1:8900", value_name = "URL")]
    pub(crate) url: String,
    /// A file that holds a bearer token
    #[arg(long, env = "REVEILLE_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    #[command(subcommand)]
    pub(crate) command: ImportCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// From `echo_push_subscription`. What is known here stays as it is, so that it may be run again
    Echo(ImportEchoArguments),
}

/// Where a wiki's tables are, and whose numbers are in them.
#[derive(Debug, Args)]
pub(crate) struct EchoArguments {
    /// Whose numbers `eps_user` holds: `central` (of all wikis, `central:42` here) or the id of the one wiki whose accounts they are (`enwiki:42`)
    #[arg(long, value_name = "REALM")]
    pub(crate) realm: String,
    /// A file that holds the database's password
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// What the names of the wiki's tables begin with ($wgDBprefix)
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) table_prefix: String,
}

#[derive(Debug, Args)]
pub(crate) struct ImportEchoArguments {
    /// `mariadb://USER@HOST/DATABASE`, or a folder with the three tables as files (docs/mediawiki.md)
    #[arg(long, value_name = "FROM")]
    pub(crate) from: String,
    #[command(flatten)]
    pub(crate) echo: EchoArguments,
    /// Leaves out rows up to this `eps_id`: where an import that broke off goes on
    #[arg(long, value_name = "EPS_ID", default_value_t = 0)]
    pub(crate) after: u64,
    /// Writes what was not taken to a file: `eps_id` and why
    #[arg(long, value_name = "FILE")]
    pub(crate) left_out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(subcommand)]
    pub(crate) command: ExportCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// To `echo_push_subscription`. The push server must be stopped, or a copy of its database be named
    Echo(ExportEchoArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ExportEchoArguments {
    /// `mariadb://USER@HOST/DATABASE`, or a folder, in which the three tables are written as files
    #[arg(long, value_name = "TO")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) echo: EchoArguments,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArguments {
    /// Only this provider: apns, fcm or webpush
    #[arg(long, value_name = "PROVIDER", value_parser = ["apns", "fcm", "webpush"])]
    pub(crate) provider: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SendArguments {
    /// Whose devices to wake
    #[arg(required = true, value_name = "USER")]
    pub(crate) users: Vec<String>,
    /// What happened
    #[arg(long, value_name = "EVENT_TYPE", default_value = "test")]
    pub(crate) r#type: String,
    /// How long the wake-up is worth sending, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) ttl_s: Option<u32>,
    /// Not before this time, as in 2026-11-21T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) deliver_after: Option<String>,
    /// The provider only checks
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TrailArguments {
    /// As printed by `reveille send`
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SubscriptionsArguments {
    #[command(subcommand)]
    pub(crate) command: SubscriptionsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SubscriptionsCommand {
    /// Lists the devices of a user; never their tokens
    List {
        /// The user
        user: String,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Registers a device; its token is read from standard input, so that it stays out of the shell's history
    Add {
        /// The user
        user: String,
        /// The provider: apns, fcm, or webpush, whose token is the JSON a browser gives
        #[arg(long, default_value = "fcm")]
        provider: String,
        /// What is read is a Firebase Installation ID (FCM), not a token
        #[arg(long)]
        fid: bool,
        /// The app's bundle id (APNs)
        #[arg(long)]
        topic: Option<String>,
        /// Which credentials reach it, where there are several: NAME of [apns.NAME] or [fcm.NAME]
        #[arg(long)]
        app: Option<String>,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Deletes a device, or all of a user's; what waits for it is cancelled
    Remove {
        /// The user
        user: String,
        /// The device, as `list` names it
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of the user's devices
        #[arg(long, conflicts_with = "id")]
        all: bool,
        #[command(flatten)]
        server: ServerArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UsersArguments {
    #[command(subcommand)]
    pub(crate) command: UsersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// The user has looked: what waits for their devices is cancelled
    Fetched {
        /// The user
        user: String,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Removes every trace of a user: devices, preferences, inbox, what waits for them. There is no way back
    Erase {
        /// The user
        user: String,
        /// Really
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        server: ServerArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineArguments {
    #[command(subcommand)]
    pub(crate) command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// Counts devices in quarantine and lists them; never their tokens
    List {
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Takes devices out: they live, and what waits for them leaves now. After a mistake of ours is mended
    Release {
        #[command(flatten)]
        which: WhichArguments,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Drops devices for good: their subscriptions are deleted, and it is told. There is no way back
    Drop {
        #[command(flatten)]
        which: WhichArguments,
        /// Really; for --set and --all
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        server: ServerArguments,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichArguments {
    /// Ids, as listed
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// All of one credential set, as in apns.wikipedia
    #[arg(long, value_name = "SET")]
    pub(crate) set: Option<String>,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LabArguments {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Compares designs for your numbers, and proposes cohorts for a budget of wake-ups
    Table(TableArguments),
    /// Attacks logs: names the device of each account from when something happened and which device was pushed when
    ///
    /// EVENTS has lines `t,account`, PUSHES `t,device`, the truth `account,device`: whole numbers, no header. All times are in one unit.
    /// For logs of test runs: such a log of real people is the very record that an observer needs.
    Attack(AttackArguments),
}

#[derive(Debug, Args)]
pub(crate) struct TableArguments {
    /// Devices at one provider
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) devices: usize,
    /// Events a second, of all accounts together
    #[arg(long, allow_negative_numbers = true, value_name = "L", default_value_t = 1.0)]
    pub(crate) rate: f64,
    /// How unequal accounts are: the standard deviation of the logarithm of their rates; 0 makes them alike
    #[arg(long, allow_negative_numbers = true, value_name = "S", default_value_t = 1.5)]
    pub(crate) sigma: f64,
    /// How long a wake-up waits on average, in seconds; windows are twice as long
    #[arg(long, allow_negative_numbers = true, value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) mean_delay: f64,
    /// After how many events of an account to look
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 2, 3, 5, 20])]
    pub(crate) events: Vec<usize>,
    /// none, wikimedia, wikimedia-shuffled, grid, exponential, decoys[-F] (F times the pushes), cohort[-K], redrawn[-K] (K companions drawn anew
    /// each time) and sealed
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_values_t = Design::DEFAULT)]
    pub(crate) designs: Vec<Design>,
    /// The budget cohorts are proposed for: wake-ups of a device in a day
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) wakeups_per_day: u32,
    /// Compares the reference point of the design study with what is known of it; exit code 1 where a figure is not as it should be
    #[arg(long, conflicts_with_all = ["devices", "rate", "sigma", "mean_delay", "events", "designs", "wakeups_per_day"])]
    pub(crate) check: bool,
    /// Writes linkage.svg, linkage.png, frontier.svg and frontier.png there; created if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
    /// Accounts that are watched for each design
    #[arg(long, value_name = "N", default_value_t = 800)]
    pub(crate) trials: usize,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Args)]
pub(crate) struct AttackArguments {
    /// What happened to whom: `t,account`
    #[arg(value_name = "EVENTS")]
    pub(crate) events: PathBuf,
    /// Which device was pushed: `t,device`
    #[arg(value_name = "PUSHES")]
    pub(crate) pushes: PathBuf,
    /// Whose the devices are: `account,device`. These accounts are attacked
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: PathBuf,
    /// A push comes at most so long after its event, in the unit of the logs: a window and the time it takes to send
    #[arg(long, allow_negative_numbers = true, value_name = "S")]
    pub(crate) max_delay: i64,
    /// Pushes that follow one another by no more than this left together; a twentieth of --max-delay unless given
    #[arg(long, allow_negative_numbers = true, value_name = "S")]
    pub(crate) together: Option<i64>,
    /// After how many events of an account to look; accounts with fewer are left out
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 2, 3, 5, 10, 20])]
    pub(crate) after: Vec<usize>,
    /// At most so many accounts, drawn by the seed
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = positive)]
    pub(crate) accounts: usize,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Names everything that is drawn: the same again gives the same again
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// On how many threads; all of the machine's unless given. It changes nothing but the time it takes
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) threads: Option<usize>,
    /// Writes JSON there; `-` for standard output, in place of the text
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be above 0".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it must be a whole number above 0".to_owned()),
    }
}
