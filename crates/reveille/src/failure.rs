//! How commands fail, and their exit codes.

use std::process::ExitCode;

use reveille_service::config::ConfigProblem;

use crate::say;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not do its work. Exit code 1. (2 is a wrong command line.)
    Run(anyhow::Error),
    /// An argument has a value that cannot be worked with. Exit code 2.
    Usage(String),
    /// The configuration is wrong. Exit code 3.
    Config(Vec<ConfigProblem>),
    /// A server refused. Exit code 4.
    Refused(String),
}

impl Failure {
    /// The exit code of a command that could not do its work.
    pub(crate) const RUN: ExitCode = ExitCode::FAILURE;

    /// Says what went wrong and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Run(error) => {
                say::error(&format!("{error:#}"));
                Self::RUN
            }
            Self::Usage(what) => {
                say::error(&what);
                ExitCode::from(2)
            }
            Self::Config(problems) => {
                say::error("the configuration has problems:");
                for problem in problems {
                    say::note(&format!("  {problem}"));
                }
                ExitCode::from(3)
            }
            Self::Refused(what) => {
                say::error(&what);
                ExitCode::from(4)
            }
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}
