//! The command line: the only place where concrete types meet.

mod cli;
mod commands;
mod demo;
mod failure;
mod say;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{
    Cli, Command, ExportArguments, ExportCommand, ImportArguments, ImportCommand, LabArguments,
    LabCommand,
};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        say::error("cannot choose the crypto library");
        return Failure::RUN;
    }
    // Shells and services begin with few files, and may have more. Where they may not, what there is has to do.
    drop(rlimit::increase_nofile_limit(u64::MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => Err(Failure::Run(error.into())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(arguments) => commands::dev::run(arguments).await,
        Command::Push(arguments) => commands::push::run(arguments).await,
        Command::Sessions(arguments) => commands::sessions::run(&arguments).await,
        Command::Sandbox(arguments) => commands::sandbox::run(arguments).await,
        Command::Check(arguments) => commands::check::run(arguments).await,
        Command::Config(arguments) => commands::config::run(&arguments.command),
        Command::Migrate(arguments) => commands::migrate::run(&arguments).await,
        Command::Keys(arguments) => commands::keys::run(&arguments),
        Command::Move(arguments) => commands::moving::run(&arguments).await,
        Command::Send(arguments) => commands::client::send(arguments).await,
        Command::Trail(arguments) => commands::client::trail(arguments).await,
        Command::Subscriptions(arguments) => commands::client::subscriptions(arguments).await,
        Command::Users(arguments) => commands::client::users(arguments).await,
        Command::Quarantine(arguments) => commands::quarantine::run(arguments).await,
        Command::Import(ImportArguments { command: ImportCommand::Echo(arguments) }) => {
            commands::import::run(arguments).await
        }
        Command::Export(ExportArguments { command: ExportCommand::Echo(arguments) }) => {
            commands::export::run(&arguments).await
        }
        Command::Pause(arguments) => commands::pause::pause(arguments).await,
        Command::Resume(arguments) => commands::pause::resume(arguments).await,
        Command::Lab(LabArguments { command: LabCommand::Table(arguments) }) => {
            commands::lab::table(&arguments)
        }
        Command::Lab(LabArguments { command: LabCommand::Attack(arguments) }) => {
            commands::lab::attack(&arguments)
        }
        Command::Completions(arguments) => commands::manual::completions(&arguments),
        Command::Man(arguments) => commands::manual::man(&arguments),
        Command::Version => {
            say::line(&format!("reveille {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    }
}
