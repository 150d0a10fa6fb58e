//! Databases for tests: real PostgreSQL, one server a test run, a fresh database a test.
//!
//! The server is shared by all test processes of the run and lingers between them; its watcher stops it when the
//! last one is gone, whatever way it ended. Every test gets a copy of a template that was migrated once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::cluster::{Cluster, ClusterConfig, Durability, Unobserved};
use crate::error::StoreError;
use crate::{MIGRATOR, Store, statement};

/// How long the server waits for the next test process.
const LINGER: Duration = Duration::from_secs(3);
/// What the names of test databases begin with.
const PREFIX: &str = "test_";

struct Shared {
    cluster: Cluster,
    template: String,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// A migrated database of its own; dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    store: Option<Store>,
    name: String,
    options: PgConnectOptions,
    admin: PgConnectOptions,
}

/// A fresh, migrated database.
///
/// # Errors
/// [`StoreError`] if no server can be started.
pub async fn database() -> Result<TestDatabase, StoreError> {
    let shared = SHARED.get_or_try_init(boot).await?;
    let name = new_name();
    let admin = shared.cluster.options("postgres");
    let create = format!(
        "create database {name} template {} strategy file_copy",
        shared.template
    );
    run(&admin, create).await?;
    let options = shared.cluster.options(&name);
    let store = Store::connect(options.clone(), None, &Unobserved).await?;
    Ok(TestDatabase {
        store: Some(store),
        name,
        options,
        admin,
    })
}

/// A fresh database without any schema.
///
/// # Errors
/// [`StoreError`] if no server can be started.
pub async fn empty_database() -> Result<TestDatabase, StoreError> {
    let shared = SHARED.get_or_try_init(boot).await?;
    let name = new_name();
    let admin = shared.cluster.options("postgres");
    run(&admin, format!("create database {name}")).await?;
    Ok(TestDatabase {
        store: None,
        options: shared.cluster.options(&name),
        name,
        admin,
    })
}

impl TestDatabase {
    /// The store on this database.
    ///
    /// # Panics
    /// If the database was made by [`empty_database`] and not opened with [`TestDatabase::open`].
    #[expect(clippy::expect_used, reason = "a fault of the test")]
    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("the database has a schema")
    }

    /// Brings the schema up to date and connects once more, as another process would.
    ///
    /// # Errors
    /// [`StoreError`] if a migration fails.
    pub async fn open(&self) -> Result<Store, StoreError> {
        Store::connect(self.options.clone(), None, &Unobserved).await
    }

    /// The server's socket file.
    pub fn socket(&self) -> PathBuf {
        let folder = self.options.get_socket().cloned().unwrap_or_default();
        folder.join(format!(".s.PGSQL.{}", self.options.get_port()))
    }

    /// Like [`TestDatabase::open`], through another socket in `folder`: for tests that stand between.
    ///
    /// # Errors
    /// [`StoreError`] if a migration fails.
    pub async fn open_through(&self, folder: &Path) -> Result<Store, StoreError> {
        Store::connect(self.options.clone().socket(folder), None, &Unobserved).await
    }

    /// A connection of the superuser, for arranging and looking behind the scenes. Superusers bypass row-level
    /// security, so what is tested goes through the store.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn superuser(&self) -> Result<PgConnection, StoreError> {
        Ok(PgConnection::connect_with(&self.options).await?)
    }

    /// Runs statements as the superuser, for crates that have no SQL of their own.
    ///
    /// # Errors
    /// [`StoreError`] if the database refuses.
    pub async fn arrange(&self, sql: &str) -> Result<(), StoreError> {
        run(&self.options, sql.to_owned()).await
    }

    /// The number that a query gives as the superuser.
    ///
    /// # Errors
    /// [`StoreError`] if the database refuses.
    pub async fn number(&self, sql: &str) -> Result<i64, StoreError> {
        let mut connection = self.superuser().await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut connection)
            .await?)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop_database = format!("drop database if exists {} with (force)", self.name);
        let admin = self.admin.clone();
        // The test's own runtime may be ending; what is left over is removed by the next run.
        let thread = std::thread::spawn(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
                let _ = runtime.block_on(run(&admin, drop_database));
            }
        });
        let _ = thread.join();
    }
}

/// Every statement of the crate: module, name, text. A test prepares each against the migrated schema.
pub fn statements() -> Vec<(&'static str, &'static str, &'static str)> {
    statement::all()
}

/// The configuration of a throw-away cluster in `folder`, with programs from this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration file: programs are found in PATH"
)]
pub fn cluster_config(folder: PathBuf) -> ClusterConfig {
    ClusterConfig {
        search_path: std::env::var_os("PATH"),
        durability: Durability::Throwaway,
        ..ClusterConfig::new(folder)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the build's folder is where test data belongs"
)]
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    target.join("testkit-postgres")
}

async fn boot() -> Result<Shared, StoreError> {
    let config = ClusterConfig {
        linger: LINGER,
        ..cluster_config(folder())
    };
    let cluster = Cluster::open(&config, &Unobserved).await?;
    let admin = cluster.options("postgres");
    if cluster.was_sole_user() {
        remove_leftovers(&admin).await?;
    }
    let template = template_name();
    let mut connection = PgConnection::connect_with(&admin).await?;
    let exists: bool = sqlx::query_scalar("select exists(select from pg_database where datname = $1)")
        .bind(&template)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        // It gets its name when it is complete: an interrupted run leaves no half-migrated template.
        let new = format!("{template}_new");
        run(&admin, format!("drop database if exists {new} with (force)")).await?;
        run(&admin, format!("create database {new}")).await?;
        let mut migrated = PgConnection::connect_with(&cluster.options(&new)).await?;
        MIGRATOR.run(&mut migrated).await.map_err(StoreError::Migrate)?;
        migrated.close().await?;
        run(&admin, format!("alter database {new} rename to {template}")).await?;
    }
    connection.close().await?;
    cluster.admit_others()?;
    Ok(Shared { cluster, template })
}

async fn remove_leftovers(admin: &PgConnectOptions) -> Result<(), StoreError> {
    let mut connection = PgConnection::connect_with(admin).await?;
    let left: Vec<String> =
        sqlx::query_scalar("select datname from pg_database where starts_with(datname, $1)")
            .bind(PREFIX)
            .fetch_all(&mut connection)
            .await?;
    connection.close().await?;
    for name in left {
        run(admin, format!("drop database if exists {name} with (force)")).await?;
    }
    Ok(())
}

/// A changed migration gives another template.
fn template_name() -> String {
    let mut digest = Sha256::new();
    for migration in MIGRATOR.iter() {
        digest.update(&migration.checksum);
    }
    format!("template_{}", hex::encode(&digest.finalize()[..8]))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the name of a database, not an id of the product"
)]
fn new_name() -> String {
    format!("{PREFIX}{}", Uuid::new_v4().simple())
}

async fn run(options: &PgConnectOptions, sql: String) -> Result<(), StoreError> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Brings an empty database to the schema of an earlier release: all migrations up to this version.
///
/// # Errors
/// [`StoreError::Migrate`] if a migration fails.
pub async fn migrate_to(connection: &mut PgConnection, version: i64) -> Result<(), StoreError> {
    let migrations = MIGRATOR
        .iter()
        .filter(|migration| migration.version <= version)
        .cloned();
    let earlier = sqlx::migrate::Migrator::with_migrations(migrations.collect());
    earlier.run(connection).await.map_err(StoreError::Migrate)
}

/// Brings the schema up to date over a given connection.
///
/// # Errors
/// [`StoreError::Migrate`] if a migration fails.
pub async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    MIGRATOR.run(connection).await.map_err(StoreError::Migrate)
}
