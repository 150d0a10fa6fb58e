//! `serve`: the API, with a worker in the same process.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use domain::clock::{Clock, SystemClock};
use secrecy::ExposeSecret as _;
use store::Store;
use store::cluster::{StartObserver, StartStep};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::run::Signals;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::housekeeping::Housekeeping;
use crate::service::Service;
use crate::service_manager::{READY, STOPPING, notify};
use crate::webhook::Dispatcher;
use crate::wiring::open_store;
use crate::worker::{Gate, ModelSet, QueueWorker, WorkerParts};
use crate::{http, telemetry};

/// How long what runs beside the requests may take to end, after the requests and the worker.
const TASKS_PATIENCE: Duration = Duration::from_secs(5);
/// How long leaving the database may take; its watcher does the rest.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// The arguments of `serve`.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    bind: Option<SocketAddr>,
    /// Answer requests only; `coursewright worker` elsewhere does the work
    #[arg(long)]
    no_worker: bool,
    /// Jobs at once in this process [default: 8]
    #[arg(long, value_name = "N", conflicts_with = "no_worker", value_parser = clap::value_parser!(u16).range(1..=1000))]
    workers: Option<u16>,
}

impl Serve {
    /// Serves until a signal comes.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let traces = telemetry::init_service(config)?;
        let signals = Signals::listen()?;
        let mut config = config.clone();
        if let Some(bind) = self.bind {
            config.settings.server.bind = bind;
        }
        if let Some(workers) = self.workers {
            config.settings.worker.concurrency = usize::from(workers);
        }
        let config = Arc::new(config);
        // First: a port that is taken should be told before anything is started.
        let listener = listen(config.settings.server.bind).await?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))?;
        let store = tokio::select! {
            opened = open_store(&config, &StartLines) => Arc::new(opened?),
            () = signals.token().cancelled() => return Ok(Exit::Success),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let service = Service::start(Arc::clone(&store), Arc::clone(&config), clock).await?;
        let gate = Gate::new(Arc::clone(&service.metrics));
        let worker = match ModelSet::planned(Arc::clone(&config), Arc::clone(&gate)) {
            Ok(models) if self.no_worker => {
                service.use_models(Arc::new(models));
                None
            }
            Ok(models) => Some(worker_of(&service, models, gate)),
            // Without models requests are answered all the same, but for questions to documents.
            Err(failure) if self.no_worker => {
                tracing::warn!(%failure, "questions to documents cannot be answered here");
                None
            }
            Err(failure) => return Err(failure),
        };
        announce(&service, address, worker.as_deref()).await?;
        notify(&config, READY);
        run(&service, listener, worker, signals.token()).await?;
        drop(service);
        close(store).await;
        traces.close().await;
        Ok(Exit::Success)
    }
}

/// The worker of a service's process; questions to documents are answered by the same models.
pub(super) fn worker_of(service: &Arc<Service>, models: ModelSet, gate: Arc<Gate>) -> Arc<QueueWorker> {
    let models = Arc::new(models);
    service.use_models(Arc::clone(&models));
    QueueWorker::new(WorkerParts {
        store: Arc::clone(&service.store),
        clock: Arc::clone(&service.clock),
        metrics: Arc::clone(&service.metrics),
        settings: service.config.settings.worker.clone(),
        models,
        gate,
        documents: Arc::clone(&service.documents),
        vector_index: service.vector_index.clone(),
    })
}

/// Opens the port.
///
/// # Errors
/// [`Failure`] saying which port is taken.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|cause| {
        Failure::setup(format!("{address} cannot be listened on: {cause}"))
            .advice("choose another address: --bind 127.0.0.1:PORT")
    })
}

/// Answers requests and works until `shutdown`. Then readiness goes off, streams are closed with the hint to come
/// again, running requests end, and jobs are handed back.
pub(super) async fn run(
    service: &Arc<Service>,
    listener: TcpListener,
    worker: Option<Arc<QueueWorker>>,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let settings = &service.config.settings;
    let mut beside = JoinSet::new();
    if let Some(worker) = worker {
        let token = shutdown.clone();
        beside.spawn(async move { worker.run_all(&token).await });
    }
    let dispatcher = Dispatcher::new(
        Arc::clone(&service.store),
        Arc::clone(&service.clock),
        Arc::clone(&service.metrics),
        &settings.webhooks,
    )?;
    let token = shutdown.clone();
    beside.spawn(async move { dispatcher.run(&token).await });
    let housekeeping = Housekeeping::new(Arc::clone(service))?;
    let token = shutdown.clone();
    beside.spawn(async move { housekeeping.run(&token).await });

    let ending = Arc::clone(service);
    let token = shutdown.clone();
    beside.spawn(async move {
        token.cancelled().await;
        notify(&ending.config, STOPPING);
        tracing::info!("shutting down: running requests may end");
        ending.shutdown.cancel();
    });
    let app = http::router(Arc::clone(service));
    let serving = http::connections::serve(listener, app, settings.limits.connections, shutdown);
    let patience = Duration::from_secs(settings.server.shutdown_secs);
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        () = serving => {}
        () = too_late => tracing::warn!("requests did not end in time; they are broken off"),
    }
    while beside.join_next().await.is_some() {}
    service.tasks.close();
    if timeout(TASKS_PATIENCE, service.tasks.wait()).await.is_err() {
        tracing::warn!("tasks beside the requests did not end in time");
    }
    Ok(())
}

/// Leaves the database.
pub(super) async fn close(store: Arc<Store>) {
    // Somebody who still holds it leaves it with the process; the watcher stops the server then.
    if let Some(store) = Arc::into_inner(store) {
        match timeout(CLOSE_PATIENCE, store.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the database was not left in order"),
            Err(_) => tracing::warn!("the database was not left in time"),
        }
    }
}

/// Says where the service is, what it uses, and how the first administrator comes in.
async fn announce(
    service: &Arc<Service>,
    address: SocketAddr,
    worker: Option<&QueueWorker>,
) -> Result<(), Failure> {
    let config = &service.config;
    let url = config
        .settings
        .server
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{address}"));
    let url = url.trim_end_matches('/');
    let mut lines = vec![
        format!(
            "Coursewright {} listens on http://{address}",
            env!("CARGO_PKG_VERSION")
        ),
        format!("  board     {url}/board"),
        format!("  API       {url}/docs"),
        format!("  database  {}", database_name(config)),
        match worker {
            Some(worker) => format!(
                "  worker    {} jobs at once, models: {}",
                config.settings.worker.concurrency,
                worker.model_names().join(", ")
            ),
            None => "  worker    none in this process (--no-worker)".to_owned(),
        },
    ];
    if let Some(token) = service.auth.setup_token().await? {
        lines.push(format!("  set-up    {url}/setup#token={}", token.expose()));
    }
    say(&lines);
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "ready");
    Ok(())
}

/// Says what the process does on standard error. Nobody may be listening any more, which must not end a service.
pub(super) fn say(lines: &[String]) {
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}

/// The database without its password.
pub(super) fn database_name(config: &Config) -> String {
    let Some(url) = &config.database_url else {
        return format!("private, in {}", config.postgres_folder().display());
    };
    match Url::parse(url.expose_secret()) {
        Ok(url) => format!(
            "{}{}{}",
            url.host_str().unwrap_or("local"),
            url.port().map(|port| format!(":{port}")).unwrap_or_default(),
            url.path()
        ),
        Err(_) => "of DATABASE_URL".to_owned(),
    }
}

/// Says which slow part of opening the database has begun.
pub(super) struct StartLines;

impl StartObserver for StartLines {
    fn on_step(&self, step: StartStep) {
        let what = match step {
            StartStep::Waiting(_) => "waiting for another process that sets the database up",
            StartStep::Fetching => "fetching PostgreSQL, which is not installed (14 MB)",
            StartStep::Unpacking => "unpacking PostgreSQL",
            StartStep::Initialising => "making a private database (once)",
            StartStep::Recovering => "the database recovers after a crash",
            StartStep::Migrating => "bringing the database up to date",
            StartStep::Starting => return,
        };
        tracing::info!("{what}");
    }
}
