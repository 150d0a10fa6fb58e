//! The service: how long a start takes with many clients, how soon progress is written and heard of, many
//! generations at once, start-up and memory (service 4.9).
//!
//! Each time stands beside a plain commit of one row in the same database: the ratio says more than the time, which
//! depends on the disk.

mod crowd;
mod http;
mod load;
mod process;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock, SystemClock};
use store::Store;
use store::cluster::Unobserved;
use store::metric::{Event, NewMetric, Severity, insert_metric};
use store::tx::SystemTx;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cli::serve::{close, listen, run};
use crate::cli::table::table;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::Service;
use crate::wiring::store_config;
use load::Load;
use process::Process;

/// Plain commits that are measured.
const COMMITS: usize = 300;
/// How long an idle service is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// One measured row.
struct Row {
    what: String,
    measured: String,
    reach: String,
    ratio: String,
}

/// Measures in a database of its own, which is removed afterwards.
pub(super) async fn measure(config: &Config) -> Result<String, Failure> {
    let folder = config.data_dir.join(format!("bench-{}", std::process::id()));
    let mut own = config.clone();
    own.data_dir.clone_from(&folder);
    own.database_url = None;
    own.settings.limits.generations = 100_000;
    let first = Instant::now();
    let store = Arc::new(Store::open(&store_config(&own), &Unobserved).await?);
    let first_start = first.elapsed();
    let measured = with_store(&own, Arc::clone(&store)).await;
    close(store).await;
    let measured = match measured {
        Ok(mut rows) => started(&folder, &mut rows, first_start).await.map(|()| rows),
        Err(failure) => Err(failure),
    };
    // The folder was made by this command; what cannot be removed is a rest in the user's own folder.
    let _ = std::fs::remove_dir_all(&folder);
    let rows = measured?
        .into_iter()
        .map(|row| vec![row.what, row.measured, row.reach, row.ratio]);
    let mut lines = vec![vec![
        "service".to_owned(),
        "measured".to_owned(),
        "to reach".to_owned(),
        "to a plain commit".to_owned(),
    ]];
    lines.extend(rows);
    Ok(table(&lines))
}

async fn with_store(config: &Config, store: Arc<Store>) -> Result<Vec<Row>, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let service = Service::start(Arc::clone(&store), Arc::new(config.clone()), clock).await?;
    let listener = listen(([127, 0, 0, 1], 0).into()).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))?;
    let shutdown = CancellationToken::new();
    let mut serving = JoinSet::new();
    let (own, token) = (Arc::clone(&service), shutdown.clone());
    serving.spawn(async move { run(&own, listener, None, &token).await });
    let measured = rows(&service, address.port()).await;
    shutdown.cancel();
    while serving.join_next().await.is_some() {}
    measured
}

async fn rows(service: &Arc<Service>, port: u16) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let alone = commits(&service.store, 1).await?;
    let crowd = commits(&service.store, load::CLIENTS).await?;
    rows.push(row("plain commit of one row, alone", &alone, "-", None));
    rows.push(row("plain commit of one row, 32 at once", &crowd, "-", None));
    let mut load = Load::prepare(service, port).await?;
    let (cold, warm) = load.initiate().await?;
    rows.push(row(
        "generation.initiate, first of each of 32 clients",
        &cold,
        "-",
        None,
    ));
    rows.push(row(
        "generation.initiate, 32 clients",
        &warm,
        "p95 25 ms, p99 60 ms",
        Some(&crowd),
    ));
    let (written, heard) = load.progress().await?;
    rows.push(row("progress write", &written, "p95 5 ms", Some(&alone)));
    rows.push(row(
        "progress heard by a subscriber",
        &heard,
        "100 ms",
        Some(&alone),
    ));
    load.cancel_started().await?;
    rows.push(crowd::many_at_once(&load, &service.config.data_dir).await?);
    Ok(rows)
}

/// Times of commits of one row, so many at once.
async fn commits(store: &Arc<Store>, at_once: usize) -> Result<Times, Failure> {
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..COMMITS.div_ceil(at_once) {
                let metric = NewMetric::new(Event::QualityLow, Severity::Info);
                let begun = Instant::now();
                store
                    .with_system(async move |tx: &mut SystemTx| insert_metric(tx, &metric).await)
                    .await?;
                times.push(begun.elapsed());
            }
            Ok::<_, store::error::StoreError>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = tasks.join_next().await {
        all.extend(times.map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))??);
    }
    Ok(Times::of(all))
}

/// Start-up and memory of a service in a process of its own, on the database that is there now.
async fn started(folder: &Path, rows: &mut Vec<Row>, first_start: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    let service = Process::serve(folder, &[]).await?;
    let start = begun.elapsed();
    sleep(IDLE).await;
    let memory = service.memory_mb("VmRSS");
    service.stop().await;
    rows.push(plain(
        "database, first start",
        format!("{:.2} s", first_start.as_secs_f64()),
        "6 s",
    ));
    rows.push(plain(
        "serve, ready on an existing database",
        format!("{:.2} s", start.as_secs_f64()),
        "1 s",
    ));
    rows.push(plain(
        "serve, idle, resident memory",
        format!("{memory:.0} MB"),
        "60 MB",
    ));
    Ok(())
}

/// Times in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time within which this share of all was done, in milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

fn row(what: &str, times: &Times, reach: &str, baseline: Option<&Times>) -> Row {
    let [p50, p95, p99] = [50, 95, 99].map(|percent| times.percentile(percent));
    let ratio = baseline.map_or_else(
        || "-".to_owned(),
        |baseline| format!("{:.1} (p95)", p95 / baseline.percentile(95)),
    );
    Row {
        what: what.to_owned(),
        measured: format!("p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms"),
        reach: reach.to_owned(),
        ratio,
    }
}

fn plain(what: &str, measured: String, reach: &str) -> Row {
    Row {
        what: what.to_owned(),
        measured,
        reach: reach.to_owned(),
        ratio: "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = Times::of((1..=100).rev().map(Duration::from_millis).collect());
        let rounded = [50, 95, 99, 100].map(|percent| times.percentile(percent).round());
        assert_eq!(rounded.map(|time| time.to_string()), ["50", "95", "99", "100"]);
        assert_eq!(Times::of(Vec::new()).percentile(95).to_string(), "0");
    }
}
