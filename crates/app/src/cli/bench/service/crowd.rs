//! Many generations at once in one process, with a provider in another (service 4.9).

use std::path::Path;
use std::time::Duration;

use domain::generation::GenerationScope;
use serde_json::json;
use store::generation::lifecycle::{NewGeneration, start_generation};
use store::metric::count_ends;
use store::tx::SystemTx;
use tokio::time::{Instant, sleep};

use super::load::Load;
use super::process::Process;
use super::{Row, plain};
use crate::failure::{Exit, Failure};

/// Generations at once (service 4.9).
const AT_ONCE: u32 = 200;
/// How long a call of the provider takes (service 4.9).
const LATENCY: Duration = Duration::from_secs(2);
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_mins(20);
/// How often is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(500);

/// Runs them in `serve` in a process of its own, and reads the most memory that it ever had.
pub(super) async fn many_at_once(load: &Load<'_>, data_dir: &Path) -> Result<Row, Failure> {
    let store = &load.service.store;
    start(load).await?;
    let (provider, base_url) = Process::provider(LATENCY).await?;
    let config = data_dir.join("bench.toml");
    std::fs::write(&config, config_of(&base_url))
        .map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))?;
    let config = config.to_string_lossy();
    let since = load.service.clock.now();
    let begun = Instant::now();
    let service = Process::serve(data_dir, &["--config", &config]).await?;
    let idle_secs = service.processor_secs();
    let mut ended = 0;
    while ended < AT_ONCE && begun.elapsed() < PATIENCE {
        sleep(LOOK).await;
        let ends = store
            .with_system(async move |tx: &mut SystemTx| count_ends(tx, since).await)
            .await?;
        ended = u32::try_from(ends.completed).unwrap_or(u32::MAX);
    }
    let wall = begun.elapsed().as_secs_f64();
    let memory = service.memory_mb("VmHWM");
    let each_ms = (service.processor_secs() - idle_secs) * 1000.0 / f64::from(AT_ONCE);
    service.stop().await;
    provider.stop().await;
    Ok(plain(
        "200 generations at once, 2 s a call",
        format!(
            "{ended} of {AT_ONCE} completed in {wall:.0} s, {} lost, {memory:.0} MB at most, {each_ms:.0} ms of processor each",
            AT_ONCE.saturating_sub(ended)
        ),
        "all, 400 MB, 150 ms",
    ))
}

/// Puts them into the queue.
async fn start(load: &Load<'_>) -> Result<(), Failure> {
    let nobody = || Failure::new(Exit::Failure, "there is nobody to start generations");
    let (actor, _) = load.people.first().ok_or_else(nobody)?;
    for _ in 0..AT_ONCE {
        let new = NewGeneration {
            course_id: load.course(actor).await?,
            budget: domain::usage::MicroUsd::from_usd(1.0),
            seed: 1,
            options: json!({}),
            scope: GenerationScope::Whole,
            user_limit: None,
            global_limit: None,
            webhook_url: None,
            idempotency_key: None,
        };
        load.service
            .store
            .with_tenant(actor, async |tx| start_generation(tx, &new).await)
            .await?;
    }
    Ok(())
}

/// All jobs at once, and every call to the scripted provider.
fn config_of(base_url: &str) -> String {
    let calls = AT_ONCE * 16;
    format!(
        "model = \"scripted\"\n\
         [providers.custom]\nbase_url = \"{base_url}\"\nmax_parallel = {calls}\n\
         [embeddings]\nbase_url = \"{base_url}\"\nmodel = \"scripted-words\"\ndimensions = 256\n\
         [worker]\nconcurrency = {AT_ONCE}\n"
    )
}
