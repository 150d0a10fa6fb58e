//! The database: the only crate with SQL.
//!
//! [`Store::open`] starts the private PostgreSQL or connects to a given one, brings the schema up to date and hands
//! out transactions. Query functions live in one module an aggregate and take a transaction: [`tx::TenantTx`] where
//! a person acts, [`tx::SystemTx`] where the program does.

pub mod alert;
pub mod api_key;
pub mod audit;
pub mod checkpoint;
pub mod chunk;
pub mod citation;
pub mod cluster;
pub mod course;
pub mod document;
pub mod embedding;
pub mod error;
pub mod event;
pub mod generation;
pub mod heartbeat;
pub mod hint;
pub mod ingestion;
pub mod job;
mod json;
pub mod lesson;
mod likeness;
pub mod metric;
pub mod model_call;
pub mod model_capability;
pub mod organization;
pub mod question;
pub mod queue;
mod reach;
pub mod search;
pub mod secret;
pub mod session;
pub mod session_cookie;
mod stable;
mod statement;
pub mod statistics;
pub mod summary;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod tier;
pub mod tx;
pub mod user;
pub mod vector;
pub mod version;
pub mod webhook;
pub mod worker;

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::user::Actor;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use cluster::{Cluster, ClusterConfig, StartObserver, StartStep};
use error::StoreError;
use hint::{Channel, Hint, HintSender, Listener};
use reach::Reach;
use stable::StableIds;
use tx::{SystemTx, TenantTx};
use vector::{VectorSearch, Vectors};

/// The schema, compiled into the program.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// The oldest server version, as `server_version_num` counts.
const OLDEST_SERVER: i32 = 150_000;
/// Connections for people's transactions in one process.
const TENANT_CONNECTIONS: u32 = 10;
/// Connections for the program's own transactions in one process.
const SYSTEM_CONNECTIONS: u32 = 10;
/// How long a transaction waits for a free connection.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(10);

/// A connection that has rested for longer is asked whether it lives before it is used.
const IDLE_UNTESTED: Duration = Duration::from_secs(1);

/// Which database to use.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// A PostgreSQL to connect to; without it the private cluster is used.
    pub database_url: Option<String>,
    /// The private cluster.
    pub cluster: ClusterConfig,
}

/// The database, open.
#[derive(Debug)]
pub struct Store {
    tenant: PgPool,
    system: PgPool,
    options: PgConnectOptions,
    hints: HintSender,
    reach: Reach,
    vectors: Arc<Vectors>,
    cluster: Option<Cluster>,
}

impl Store {
    /// Starts the private cluster or connects to the given database, and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Setup` if there is no usable server, with what to do in the message.
    pub async fn open(config: &StoreConfig, observer: &dyn StartObserver) -> Result<Self, StoreError> {
        if let Some(url) = &config.database_url {
            let options = PgConnectOptions::from_str(url).map_err(StoreError::Address)?;
            return Self::connect(options.application_name("coursewright"), None, observer).await;
        }
        let cluster = Cluster::open(&config.cluster, observer).await?;
        let options = cluster.options("coursewright");
        if !cluster::connects(&options).await {
            let mut connection = PgConnection::connect_with(&cluster.options("postgres")).await?;
            // Another program may have made it meanwhile.
            let made = sqlx::raw_sql("create database coursewright")
                .execute(&mut connection)
                .await;
            if let Err(refused) = made
                && !cluster::connects(&options).await
            {
                return Err(refused.into());
            }
            connection.close().await?;
        }
        let store = Self::connect(options, Some(cluster), observer).await?;
        store.take_over_if_sole_user().await?;
        Ok(store)
    }

    /// Hands on what workers held that were killed: nobody else uses the private cluster, so nobody is at work.
    async fn take_over_if_sole_user(&self) -> Result<(), StoreError> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        if cluster.was_sole_user() {
            let mut tx = self.system().await?;
            let rescued = queue::rescue_all(&mut tx).await?;
            tx.commit().await?;
            if !rescued.is_empty() {
                tracing::info!(jobs = rescued.len(), "jobs of a killed process are taken over");
            }
        }
        Ok(cluster.admit_others()?)
    }

    /// Connects to a database on a server that runs.
    pub(crate) async fn connect(
        options: PgConnectOptions,
        cluster: Option<Cluster>,
        observer: &dyn StartObserver,
    ) -> Result<Self, StoreError> {
        let options = options.disable_statement_logging();
        let mut connection = PgConnection::connect_with(&options).await?;
        migrate(&mut connection, observer).await?;
        let vectors = Arc::new(Vectors::set_up(&mut connection).await?);
        connection.close().await?;
        let tenant = pool(&options, TENANT_CONNECTIONS);
        let system = pool(&options, SYSTEM_CONNECTIONS);
        Ok(Self {
            tenant,
            system,
            hints: HintSender::start(&options),
            reach: Reach::new(options.clone()),
            options,
            vectors,
            cluster,
        })
    }

    /// Closes all connections; the last program that uses the private cluster stops it.
    ///
    /// # Errors
    /// [`StoreError`] if the cluster cannot be left in order.
    pub async fn close(self) -> Result<(), StoreError> {
        self.hints.close().await;
        self.tenant.close().await;
        self.system.close().await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await?;
        }
        Ok(())
    }

    /// A transaction on behalf of `actor`.
    ///
    /// # Errors
    /// [`StoreError`] if no connection can be had.
    pub async fn tenant(&self, actor: &Actor) -> Result<TenantTx, StoreError> {
        self.tenant_try(actor, &StableIds::default()).await
    }

    async fn tenant_try(&self, actor: &Actor, ids: &StableIds) -> Result<TenantTx, StoreError> {
        let begun = TenantTx::begin(
            &self.tenant,
            &self.hints,
            actor,
            ids.again(),
            Arc::clone(&self.vectors),
        );
        self.unless_lost(Box::pin(begun)).await
    }

    /// A transaction of the program itself.
    ///
    /// # Errors
    /// [`StoreError`] if no connection can be had.
    pub async fn system(&self) -> Result<SystemTx, StoreError> {
        let begun = SystemTx::begin(&self.system, &self.hints, Arc::clone(&self.vectors));
        self.unless_lost(Box::pin(begun)).await
    }

    /// What comes of `begun`, unless the server lets nobody in. It is boxed: what makes connections is large, and every
    /// caller's future would have it inside.
    async fn unless_lost<T>(
        &self,
        mut begun: Pin<Box<impl Future<Output = Result<T, StoreError>>>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            begun = &mut begun => begun,
            error = self.reach.is_lost() => Err(error.into()),
        }
    }

    /// Runs `work` in a transaction on behalf of `actor` and commits it. When transactions meet or the connection
    /// breaks, the whole of it is run again after 100, 200 and 400 ms.
    ///
    /// Where the future has to be `Send` (a spawned task, a boxed future), give `work` its captures by value:
    /// `async move |tx: &mut TenantTx| ...`. The compiler cannot yet prove it for captured references.
    ///
    /// # Errors
    /// What `work` returned, or the last failure to commit.
    pub async fn with_tenant<T>(
        &self,
        actor: &Actor,
        work: impl AsyncFn(&mut TenantTx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut waits = tx::RETRY_WAITS.iter();
        let ids = StableIds::default();
        loop {
            let failed = match self.tenant_try(actor, &ids).await {
                Ok(mut tx) => match work(&mut tx).await {
                    Ok(result) => match tx.commit().await {
                        Ok(()) => return Ok(result),
                        Err(failed) => failed,
                    },
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            tokio::time::sleep(retry_wait(failed, &mut waits)?).await;
        }
    }

    /// Runs `work` in a transaction of the program itself and commits it; tried again like [`Store::with_tenant`].
    ///
    /// # Errors
    /// What `work` returned, or the last failure to commit.
    pub async fn with_system<T>(
        &self,
        work: impl AsyncFn(&mut SystemTx) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut waits = tx::RETRY_WAITS.iter();
        loop {
            let failed = match self.system().await {
                Ok(mut tx) => match work(&mut tx).await {
                    Ok(result) => match tx.commit().await {
                        Ok(()) => return Ok(result),
                        Err(failed) => failed,
                    },
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            tokio::time::sleep(retry_wait(failed, &mut waits)?).await;
        }
    }

    /// Whether the database answers, for health checks.
    pub async fn is_ready(&self) -> bool {
        tokio::select! {
            biased;
            is_ready = tx::answers(&self.system) => is_ready,
            _ = self.reach.is_lost() => false,
        }
    }

    /// The private cluster, when it is used.
    pub const fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// How vectors are searched: what was found when the database was opened.
    pub fn vector_search(&self) -> &VectorSearch {
        self.vectors.search()
    }

    /// Makes sure that vectors of `model` are indexed, where the server has pgvector. The index is made once, beside
    /// readers and writers, which may take minutes; until then the search is exact. Elsewhere nothing is done.
    ///
    /// # Errors
    /// [`StoreError`] if the index cannot be made.
    pub async fn prepare_vectors(&self, model: &str, dimensions: usize) -> Result<(), StoreError> {
        if !self.vectors.has_column() || self.vectors.is_prepared(model) {
            return Ok(());
        }
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let is_made = vector::hnsw::prepare(&mut connection, model, dimensions).await?;
        if is_made {
            // Vectors of the time before the extension was there.
            sqlx::raw_sql("set role service_role")
                .execute(&mut connection)
                .await?;
            while vector::hnsw::fill_missing(&mut connection, model).await? > 0 {}
            self.vectors.note_prepared(model);
        }
        connection.close().await?;
        Ok(())
    }

    /// The server's version, for example `15.18`.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn server_version(&self) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar("show server_version")
            .fetch_one(&self.system)
            .await?)
    }

    /// Tells workers in all processes that there is work or that something was cancelled. Commits do so by themselves.
    ///
    /// # Errors
    /// None any more.
    #[expect(clippy::unused_async, reason = "callers await it")]
    pub async fn notify_workers(&self) -> Result<(), StoreError> {
        self.hints.send(Hint::Jobs);
        Ok(())
    }

    /// A connection that hears what other processes, and this one, have committed.
    ///
    /// # Errors
    /// [`StoreError`] if no connection can be had.
    pub async fn listen_for(&self, channels: &[Channel]) -> Result<Listener, StoreError> {
        Listener::connect(&self.options, channels).await
    }
}

fn pool(options: &PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_PATIENCE)
        // Asking at each acquisition costs every transaction a round trip; one that was just used is alive, and
        // transactions are tried again.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > IDLE_UNTESTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(|connection, _| Box::pin(tx::disarm(connection)))
        .connect_lazy_with(options.clone())
}

/// How long to wait before the next try.
fn retry_wait(
    failed: StoreError,
    waits: &mut std::slice::Iter<'_, Duration>,
) -> Result<Duration, StoreError> {
    match waits.next() {
        Some(wait) if failed.is_transient() => {
            tracing::warn!(error = %failed, wait_ms = wait.as_millis(), "a transaction is tried again");
            Ok(*wait)
        }
        _ => Err(failed),
    }
}

async fn migrate(connection: &mut PgConnection, observer: &dyn StartObserver) -> Result<(), StoreError> {
    let (number, name): (i32, String) = sqlx::query_as(
        "select current_setting('server_version_num')::int, current_setting('server_version')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if number < OLDEST_SERVER {
        return Err(StoreError::OldServer { found: name });
    }
    let has_schema: bool = sqlx::query_scalar("select to_regclass('public._sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    let applied: i64 = if has_schema {
        sqlx::query_scalar("select count(*) from public._sqlx_migrations")
            .fetch_one(&mut *connection)
            .await?
    } else {
        0
    };
    if usize::try_from(applied).unwrap_or(0) < MIGRATOR.iter().count() {
        observer.on_step(StartStep::Migrating);
    }
    MIGRATOR.run(connection).await.map_err(StoreError::Migrate)
}
