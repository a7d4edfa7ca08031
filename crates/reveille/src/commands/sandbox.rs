//! `reveille sandbox`: the look-alike providers, and `init`.

use anyhow::Context as _;
use reveille_model::Duration;
use reveille_sandbox::{Ports, Sandbox, init};
use reveille_service::lifecycle::Lifecycle;
use reveille_service::telemetry::{LogFormat, start_logs};
use tracing_subscriber::filter::LevelFilter;

use super::load::sandbox_config;
use crate::cli::{SandboxArguments, SandboxCommand};
use crate::failure::Failure;
use crate::say;

/// How long a stop may take.
const GRACE: Duration = Duration::from_s(5);
/// Windows of a sandbox are short: people are waiting.
const WINDOW_S: u32 = 10;

pub(crate) async fn run(arguments: SandboxArguments) -> Result<(), Failure> {
    if let Some(SandboxCommand::Init { dir }) = arguments.command {
        let config = init(&dir, Ports::default(), WINDOW_S)?;
        let config = config.display();
        say::line(&format!(
            "wrote {config} and the keys beside it. Next, each in a terminal of its own:"
        ));
        say::line(&format!("  reveille sandbox --config {config}"));
        say::line(&format!("  reveille push --config {config}"));
        return Ok(());
    }
    let config = sandbox_config(&arguments.config)?;
    start_logs(LogFormat::Json, LevelFilter::INFO);
    let lifecycle = Lifecycle::default();
    lifecycle.stop_on_signals().context("cannot listen for signals")?;
    let _watch = Sandbox::bind(config).await?.start(&lifecycle);
    Ok(lifecycle.finish(GRACE).await?)
}
