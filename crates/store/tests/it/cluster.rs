//! The private cluster: starting, sharing, and what `kill -9` leaves.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use domain::error::ErrorKind;
use store::cluster::{Cluster, ClusterConfig, Durability, StartObserver, StartStep, Unobserved};
use store::error::StoreError;
use store::{Store, StoreConfig, course, organization, testkit};

use crate::world::inputs;

/// A folder that the server's account can enter, removed at the end.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("cw-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn config(folder: &Path) -> StoreConfig {
    let cluster = ClusterConfig {
        durability: Durability::CrashSafe,
        may_fetch: false,
        ..testkit::cluster_config(folder.to_path_buf())
    };
    StoreConfig {
        database_url: None,
        cluster,
    }
}

fn search_path() -> std::ffi::OsString {
    testkit::cluster_config(PathBuf::new())
        .search_path
        .unwrap_or_default()
}

/// Another process that uses the cluster.
struct Holder {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Holder {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hold_cluster"))
            .arg(folder)
            .arg(search_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, out }
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.expect_end_of_output();
    }

    /// Lets it end by itself.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
        self.expect_end_of_output();
    }

    /// A server or watcher that had inherited the output would keep this from ever returning.
    fn expect_end_of_output(&mut self) {
        let mut rest = String::new();
        assert_eq!(self.out.read_line(&mut rest).unwrap(), 0);
    }
}

fn server_of(folder: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

fn is_running(process: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn add_course(store: &Store, title: &str) {
    let actor = store
        .with_system(async |tx| organization::ensure_local_owner(tx).await)
        .await
        .unwrap();
    let inputs = inputs(title);
    store
        .with_tenant(&actor, async |tx| course::insert_course(tx, &inputs).await)
        .await
        .unwrap();
}

async fn count_courses(store: &Store) -> usize {
    let actor = store
        .with_system(async |tx| organization::ensure_local_owner(tx).await)
        .await
        .unwrap();
    store
        .with_tenant(&actor, async |tx| {
            course::list_courses(tx, &course::CourseFilter::default(), None, 1000).await
        })
        .await
        .unwrap()
        .len()
}

#[tokio::test]
async fn it_starts_stops_and_starts_again() {
    let folder = folder();
    let config = config(folder.path());
    let store = Store::open(&config, &Unobserved).await.unwrap();
    let server = store.cluster().unwrap().server_process().expect("it runs");
    add_course(&store, "First").await;
    store.close().await.unwrap();
    assert!(!is_running(server), "close returns when the server has ended");
    let store = Store::open(&config, &Unobserved).await.unwrap();
    assert_eq!(count_courses(&store).await, 1);
    assert!(
        store
            .server_version()
            .await
            .unwrap()
            .starts_with(|digit: char| digit.is_ascii_digit())
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn only_its_owner_can_reach_it() {
    let folder = folder();
    let store = Store::open(&config(folder.path()), &Unobserved).await.unwrap();
    let base = store.cluster().unwrap().folder().to_path_buf();
    for (name, mode) in [("run", 0o700), ("data", 0o700)] {
        let found = std::fs::metadata(base.join(name)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
    let options = store.cluster().unwrap().options("coursewright");
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let settings: Vec<(String, String)> = sqlx::query_as(
        "select name, setting from pg_settings
         where name in ('listen_addresses', 'fsync', 'full_page_writes', 'synchronous_commit') order by name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let values: Vec<&str> = settings.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["on", "on", "", "on"], "no network, nothing is risked");
    let lower: String = sqlx::query_scalar("select lower('ПРИВЕТ')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(lower, "привет");
    sqlx::Connection::close(connection).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn committed_rows_survive_kill_9_of_the_program() {
    let folder = folder();
    let holder = Holder::start(folder.path());
    let server = server_of(folder.path()).unwrap();
    let config = config(folder.path());
    let store = Store::open(&config, &Unobserved).await.unwrap();
    assert!(!store.cluster().unwrap().was_sole_user());
    add_course(&store, "Committed").await;
    drop(store);
    holder.kill();
    wait_until("the watcher stops a server that nobody uses", || {
        !is_running(server)
    })
    .await;
    let store = Store::open(&config, &Unobserved).await.unwrap();
    assert_eq!(count_courses(&store).await, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn committed_rows_survive_kill_9_of_everything() {
    let folder = folder();
    let config = config(folder.path());
    let holder = Holder::start(folder.path());
    let store = Store::open(&config, &Unobserved).await.unwrap();
    for number in 0..20 {
        add_course(&store, &format!("Course {number}")).await;
    }
    drop(store);
    let server = server_of(folder.path()).unwrap();
    let killed = Command::new("kill")
        .arg("-9")
        .arg(server.to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    holder.kill();
    assert!(
        folder.path().join("data/postmaster.pid").exists(),
        "a crash leaves its traces"
    );
    let store = Store::open(&config, &Unobserved).await.unwrap();
    assert_eq!(count_courses(&store).await, 20);
    store.close().await.unwrap();
}

/// The holder has not collected its child, so the killed server is a zombie whose number answers.
#[tokio::test]
async fn a_killed_server_is_replaced_while_its_starter_lives() {
    let folder = folder();
    let holder = Holder::start(folder.path());
    let server = server_of(folder.path()).unwrap();
    assert!(
        Command::new("kill")
            .arg("-9")
            .arg(server.to_string())
            .status()
            .unwrap()
            .success()
    );
    wait_until("the server ends", || !is_running(server)).await;
    let store = Store::open(&config(folder.path()), &Unobserved).await.unwrap();
    let new = store.cluster().unwrap().server_process().unwrap();
    assert_ne!(new, server);
    holder.end();
    assert!(is_running(new), "the other program still uses it");
    store.close().await.unwrap();
    wait_until("the last one stops it", || !is_running(new)).await;
}

#[tokio::test]
async fn programs_share_the_cluster_and_the_last_one_stops_it() {
    let folder = folder();
    let first = Holder::start(folder.path());
    let server = server_of(folder.path()).unwrap();
    let second = Holder::start(folder.path());
    let store = Store::open(&config(folder.path()), &Unobserved).await.unwrap();
    assert_eq!(
        store.cluster().unwrap().server_process(),
        Some(server),
        "one server for all"
    );
    first.end();
    assert!(is_running(server), "the program that started it may end first");
    second.kill();
    assert_eq!(count_courses(&store).await, 0, "and another may be killed");
    store.close().await.unwrap();
    assert!(!is_running(server));
}

#[tokio::test]
async fn a_long_path_is_no_obstacle() {
    let folder = folder();
    let long = folder.path().join("x".repeat(120)).join("y".repeat(120));
    let store = Store::open(&config(&long), &Unobserved).await.unwrap();
    add_course(&store, "Deep").await;
    store.close().await.unwrap();
    let store = Store::open(&config(&long), &Unobserved).await.unwrap();
    assert_eq!(count_courses(&store).await, 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn without_programs_the_message_says_what_to_install() {
    let folder = folder();
    let empty = folder.path().join("nothing");
    std::fs::create_dir(&empty).unwrap();
    let mut config = config(folder.path());
    config.cluster.search_path = Some(empty.clone().into_os_string());
    config.cluster.usual_folders = false;
    let failed = Store::open(&config, &Unobserved).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Setup);
    assert!(failed.to_string().contains("apt install postgresql"), "{failed}");
    // The same when fetching is allowed but impossible: there is no python3 in that PATH.
    config.cluster.may_fetch = true;
    let failed = Store::open(&config, &Unobserved).await.unwrap_err();
    assert!(failed.to_string().contains("apt install postgresql"), "{failed}");
    assert!(failed.to_string().contains("python3"), "{failed}");
    // And when the user names a folder that has none.
    config.cluster.bin_dir = Some(empty.clone());
    let failed = Store::open(&config, &Unobserved).await.unwrap_err();
    assert!(
        failed.to_string().contains(&empty.display().to_string()),
        "{failed}"
    );
}

#[tokio::test]
async fn a_data_folder_of_another_version_is_not_touched() {
    let folder = folder();
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/PG_VERSION"), "9\n").unwrap();
    let failed = Store::open(&config(folder.path()), &Unobserved)
        .await
        .unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Setup);
    assert!(failed.to_string().contains("made by PostgreSQL 9"), "{failed}");
}

/// Tells the steps that were seen.
#[derive(Default)]
struct Steps(std::sync::Mutex<Vec<StartStep>>);

impl StartObserver for Steps {
    fn on_step(&self, step: StartStep) {
        self.0.lock().unwrap().push(step);
    }
}

#[tokio::test]
async fn slow_steps_are_announced() {
    let folder = folder();
    let steps = Steps::default();
    Store::open(&config(folder.path()), &steps)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let seen = steps.0.lock().unwrap().clone();
    assert_eq!(
        seen,
        [StartStep::Initialising, StartStep::Starting, StartStep::Migrating]
    );
    let steps = Steps::default();
    Store::open(&config(folder.path()), &steps)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    assert_eq!(*steps.0.lock().unwrap(), [StartStep::Starting]);
}

#[tokio::test]
async fn others_wait_until_the_schema_is_made() {
    let folder = folder();
    let config = config(folder.path());
    let first = Cluster::open(&config.cluster, &Unobserved).await.unwrap();
    assert!(first.was_sole_user());
    let mut second = Box::pin(Store::open(&config, &Unobserved));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "the set-up is not over");
    first.admit_others().unwrap();
    let second = second.await.unwrap();
    assert!(!second.cluster().unwrap().was_sole_user());
    first.stop().await.unwrap();
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_wrong_address_is_explained() {
    let mut config = config(Path::new("/nonexistent"));
    config.database_url = Some("not an address".to_owned());
    let failed = Store::open(&config, &Unobserved).await.unwrap_err();
    assert!(matches!(failed, StoreError::Address(_)), "{failed:?}");
    assert_eq!(failed.kind(), ErrorKind::Setup);
}
