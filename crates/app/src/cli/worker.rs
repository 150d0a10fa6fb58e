//! `worker`: works on the queue, without an API. Any number of them may run, on any number of machines.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clap::Args;
use domain::clock::{Clock, SystemClock};
use store::Store;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::run::Signals;
use super::serve::{StartLines, close, database_name, listen, say};
use crate::config::Config;
use crate::extraction::document_reader;
use crate::failure::{Exit, Failure};
use crate::http::connections;
use crate::metrics::Metrics;
use crate::service_manager::{READY, STOPPING, notify};
use crate::telemetry;
use crate::upload::open_blobs;
use crate::webhook::Dispatcher;
use crate::wiring::{open_store, vector_index};
use crate::worker::{Gate, ModelSet, QueueWorker, WorkerParts, refresh_queue_figures};

/// How long answers with figures may take to end at a shutdown.
const FIGURES_PATIENCE: Duration = Duration::from_secs(1);

/// The arguments of `worker`.
#[derive(Args, Debug)]
pub(super) struct Worker {
    /// Jobs at once [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: Option<u16>,
}

impl Worker {
    /// Works until a signal comes.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let traces = telemetry::init_service(config)?;
        let signals = Signals::listen()?;
        let mut config = config.clone();
        if let Some(concurrency) = self.concurrency {
            config.settings.worker.concurrency = usize::from(concurrency);
        }
        let config = Arc::new(config);
        let metrics = Metrics::new();
        let gate = Gate::new(Arc::clone(&metrics));
        let models = ModelSet::planned(Arc::clone(&config), Arc::clone(&gate))?;
        let store = tokio::select! {
            opened = open_store(&config, &StartLines) => Arc::new(opened?),
            () = signals.token().cancelled() => return Ok(Exit::Success),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let dispatcher = Dispatcher::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            &config.settings.webhooks,
        )?;
        let settings = config.settings.worker.clone();
        let worker = QueueWorker::new(WorkerParts {
            store: Arc::clone(&store),
            clock,
            metrics: Arc::clone(&metrics),
            settings,
            models: Arc::new(models),
            gate,
            documents: document_reader(&config, open_blobs(&config)?),
            vector_index: vector_index(&config)?,
        });
        say(&[
            format!("Coursewright {} works", env!("CARGO_PKG_VERSION")),
            format!("  database  {}", database_name(&config)),
            format!(
                "  worker    {} jobs at once, models: {}",
                config.settings.worker.concurrency,
                worker.model_names().join(", ")
            ),
        ]);
        let (mut beside, served_until) = (JoinSet::new(), CancellationToken::new());
        if let Some(address) = config.settings.worker.metrics_bind {
            let listener = listen(address).await?;
            let app = figures(Arc::clone(&store), metrics);
            let (most, until) = (config.settings.limits.connections, served_until.clone());
            // As those of the API: who opens connections and says nothing must not take all descriptors.
            beside.spawn(async move { connections::serve(listener, app, most, &until).await });
        }
        notify(&config, READY);
        let token = signals.token().clone();
        let mut sending = JoinSet::new();
        sending.spawn(async move { dispatcher.run(&token).await });
        worker.run_all(signals.token()).await;
        notify(&config, STOPPING);
        while sending.join_next().await.is_some() {}
        served_until.cancel();
        // An answer that is being given may end, but nobody is waited for.
        let _ = timeout(FIGURES_PATIENCE, beside.join_next()).await;
        beside.shutdown().await;
        close(store).await;
        traces.close().await;
        Ok(Exit::Success)
    }
}

/// What a worker tells over HTTP: that it lives, and its figures.
fn figures(store: Arc<Store>, metrics: Arc<Metrics>) -> Router {
    let render = move || async move {
        refresh_queue_figures(&store, &metrics).await;
        metrics.render()
    };
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/metrics", get(render))
}
