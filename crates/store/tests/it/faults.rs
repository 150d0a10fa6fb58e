//! A start that is cut at every place: nothing remains of it, and the next try succeeds (service 4.2).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use domain::id::CourseId;
use sqlx::PgConnection;
use store::Store;
use store::error::StoreError;
use store::generation::lifecycle::{self, StartedGeneration};
use store::tx::TenantTx;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::world::{World, new_generation};

/// Where the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The server never sees the request.
    BeforeRequest,
    /// The server has done it, but nobody hears so.
    BeforeAnswer,
}

/// Stands between the store and the server and breaks one connection at one request.
struct Proxy {
    folder: tempfile::TempDir,
    /// Requests until the cut; negative: never.
    left: Arc<AtomicI64>,
    tasks: JoinSet<()>,
}

impl Proxy {
    fn start(server: PathBuf, cut: Cut) -> Self {
        let folder = tempfile::Builder::new().prefix("cw-").tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(folder.path().join(server.file_name().unwrap())).unwrap();
        let left = Arc::new(AtomicI64::new(-1));
        let mut tasks = JoinSet::new();
        let counter = Arc::clone(&left);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let upstream = UnixStream::connect(&server).await.unwrap();
                connections.spawn(relay(client, upstream, cut, Arc::clone(&counter)));
            }
        });
        Self { folder, left, tasks }
    }

    /// Refuses connections from now on, and ends those that there are.
    async fn refuse(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Cuts at the request with this number from now, from 0.
    fn cut_at(&self, request: i64) {
        self.left.store(request, Ordering::SeqCst);
    }

    /// Whether the cut was made.
    fn has_cut(&self) -> bool {
        self.left.swap(-1, Ordering::SeqCst) < 0
    }
}

/// Requests one after another, each with its answer, as the client waits for them.
async fn relay(mut client: UnixStream, mut server: UnixStream, cut: Cut, left: Arc<AtomicI64>) {
    let Some(mut startup) = read_startup(&mut client).await else {
        return;
    };
    if startup[4..] == SSL_REQUEST {
        client.write_all(b"N").await.unwrap();
        match read_startup(&mut client).await {
            Some(real) => startup = real,
            None => return,
        }
    }
    server.write_all(&startup).await.unwrap();
    let Some(greeting) = read_answer(&mut server).await else {
        return;
    };
    let _ = client.write_all(&greeting).await;
    let mut is_in_transaction = false;
    while let Some(request) = read_request(&mut client).await {
        // Hints are sent outside of transactions, at any time.
        let counts = is_in_transaction || request.windows(5).any(|word| word == b"BEGIN");
        let is_cut = counts && left.fetch_sub(1, Ordering::SeqCst) == 0;
        if is_cut && cut == Cut::BeforeRequest {
            return;
        }
        if server.write_all(&request).await.is_err() {
            return;
        }
        let Some(answer) = read_answer(&mut server).await else {
            return;
        };
        if is_cut {
            return;
        }
        is_in_transaction = answer.last() != Some(&b'I');
        if client.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// What a client asks that would rather have encryption.
const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();

/// The first message, which has no type.
async fn read_startup(client: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length).await.ok()?;
    let mut startup = length.to_vec();
    startup.resize(u32::from_be_bytes(length) as usize, 0);
    client.read_exact(&mut startup[4..]).await.ok()?;
    Some(startup)
}

async fn read_message(from: &mut UnixStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut message = head.to_vec();
    message.resize(length + 1, 0);
    from.read_exact(&mut message[5..]).await.ok()?;
    Some((head[0], message))
}

/// Up to Query, Sync or Terminate: then the client waits.
async fn read_request(client: &mut UnixStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        let (kind, message) = read_message(client).await?;
        request.extend(message);
        match kind {
            b'Q' | b'S' => return Some(request),
            b'X' => return None,
            _ => {}
        }
    }
}

/// Up to `ReadyForQuery`.
async fn read_answer(server: &mut UnixStream) -> Option<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        let (kind, message) = read_message(server).await?;
        answer.extend(message);
        if kind == b'Z' {
            return Some(answer);
        }
    }
}

/// Generations, jobs, history, events and slots of a course.
async fn traces(connection: &mut PgConnection, course: CourseId) -> (i64, i64, i64, i64, i64) {
    sqlx::query_as(
        "select (select count(*) from generations where course_id = $1), (select count(*) from jobs where course_id = $1),
            (select count(*) from generation_status_history where course_id = $1),
            (select count(*) from generation_events where course_id = $1),
            (select count(*) from generation_slots s join generations g on g.id = s.generation_id where g.course_id = $1)",
    )
    .bind(course.as_uuid())
    .fetch_one(connection)
    .await
    .unwrap()
}

const NOTHING: (i64, i64, i64, i64, i64) = (0, 0, 0, 0, 0);
/// Pending and initializing are in the history; of both there is one event.
const STARTED_ONCE: (i64, i64, i64, i64, i64) = (1, 1, 2, 1, 1);

async fn try_once(store: &Store, world: &World, course: CourseId) -> Result<StartedGeneration, StoreError> {
    let mut tx = store.tenant(&world.owner).await?;
    let started = lifecycle::start_generation(&mut tx, &limited(course)).await?;
    tx.commit().await?;
    Ok(started)
}

async fn with_retry(store: &Store, world: &World, course: CourseId) -> Result<StartedGeneration, StoreError> {
    let new = limited(course);
    let begin = async |tx: &mut TenantTx| lifecycle::start_generation(tx, &new).await;
    store.with_tenant(&world.owner, begin).await
}

fn limited(course: CourseId) -> lifecycle::NewGeneration {
    lifecycle::NewGeneration {
        user_limit: Some(1000),
        global_limit: Some(1000),
        ..new_generation(course)
    }
}

#[tokio::test]
async fn a_start_that_is_cut_leaves_nothing_and_is_made_once_by_the_next_try() {
    for cut in [Cut::BeforeRequest, Cut::BeforeAnswer] {
        let world = World::new().await;
        let proxy = Proxy::start(world.database.socket(), cut);
        let store = world.database.open_through(proxy.folder.path()).await.unwrap();
        let mut connection = world.superuser().await;
        let mut requests = 0;
        loop {
            let once = world.course("Once").await.id;
            // A connection that works is there, so that only the transaction's own requests are counted.
            store.tenant(&world.owner).await.unwrap().commit().await.unwrap();
            proxy.cut_at(requests);
            let outcome = try_once(&store, &world, once).await;
            if !proxy.has_cut() {
                outcome.unwrap();
                break;
            }
            let refused = outcome.unwrap_err();
            assert!(refused.is_transient(), "{refused:?}");
            let left = traces(&mut connection, once).await;
            if left != NOTHING {
                assert_eq!(
                    (left, cut),
                    (STARTED_ONCE, Cut::BeforeAnswer),
                    "only a commit may have been done"
                );
            }

            let retried = world.course("Retried").await.id;
            store.tenant(&world.owner).await.unwrap().commit().await.unwrap();
            proxy.cut_at(requests);
            let started = with_retry(&store, &world, retried).await.unwrap();
            assert!(proxy.has_cut() && started.is_new);
            assert_eq!(
                traces(&mut connection, retried).await,
                STARTED_ONCE,
                "{cut:?} at request {requests}"
            );
            requests += 1;
        }
        assert!(requests >= 4, "begin, check, start, commit: {requests}");
    }
}

/// Every write inside the one statement of a start ends the server's process once.
#[tokio::test]
async fn a_server_process_that_ends_at_any_write_leaves_nothing() {
    let world = World::new().await;
    let mut connection = world.superuser().await;
    sqlx::raw_sql(
        "create sequence public.test_writes minvalue -1000000;
         create function public.test_end_at() returns trigger language plpgsql security definer as $$
         begin
           if nextval('public.test_writes') = 0 then
             perform pg_terminate_backend(pg_backend_pid());
             perform pg_sleep(10);
           end if;
           return null;
         end $$;
         do $$ declare name text; begin
           foreach name in array array['courses', 'generations', 'jobs', 'generation_slots', 'generation_events',
                                       'generation_status_history'] loop
             execute format('create trigger zz_test after insert or update on public.%I
                             for each row execute function public.test_end_at()', name);
           end loop;
         end $$;
         grant usage on sequence public.test_writes to service_role, authenticated;",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let mut writes = 0_i64;
    loop {
        let course = world.course("Course").await.id;
        sqlx::query("select setval('test_writes', $1, false)")
            .bind(-writes)
            .execute(&mut connection)
            .await
            .unwrap();
        let outcome = try_once(world.store(), &world, course).await;
        let (next,): (i64,) = sqlx::query_as("select last_value from test_writes")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if next < 0 {
            outcome.unwrap();
            break;
        }
        assert!(outcome.unwrap_err().is_transient(), "write {writes}");
        assert_eq!(traces(&mut connection, course).await, NOTHING, "write {writes}");
        sqlx::query("select setval('test_writes', $1, false)")
            .bind(-writes)
            .execute(&mut connection)
            .await
            .unwrap();
        with_retry(world.store(), &world, course).await.unwrap();
        assert_eq!(
            traces(&mut connection, course).await,
            STARTED_ONCE,
            "write {writes}"
        );
        writes += 1;
    }
    // Slot, generation, course, job, event, and two lines of history.
    assert!(writes >= 7, "{writes} writes");
}

/// A course that is made and started in one transaction is there once, also when the answer to its commit is lost.
#[tokio::test]
async fn a_course_whose_commit_was_not_heard_of_is_not_made_twice() {
    let world = World::new().await;
    let proxy = Proxy::start(world.database.socket(), Cut::BeforeAnswer);
    let store = world.database.open_through(proxy.folder.path()).await.unwrap();
    let inputs = crate::world::inputs("Twice");
    for request in 0..20 {
        store.tenant(&world.owner).await.unwrap().commit().await.unwrap();
        proxy.cut_at(request);
        let make = async |tx: &mut TenantTx| {
            let course = store::course::insert_course(tx, &inputs).await?;
            lifecycle::start_generation(tx, &limited(course.id)).await
        };
        store.with_tenant(&world.owner, make).await.unwrap();
        let cut = proxy.has_cut();
        let courses: i64 = sqlx::query_scalar("select count(*) from courses")
            .fetch_one(&mut world.superuser().await)
            .await
            .unwrap();
        assert_eq!(courses, request + 1);
        if !cut {
            return;
        }
    }
    panic!("the transaction never got through");
}

/// A pool would wait for a server that refuses connections as long as for a busy one, and with four tries longer than a
/// request may take.
#[tokio::test]
async fn a_server_that_lets_nobody_in_is_told_at_once() {
    let world = World::new().await;
    let mut proxy = Proxy::start(world.database.socket(), Cut::BeforeRequest);
    let store = world.database.open_through(proxy.folder.path()).await.unwrap();
    assert!(store.is_ready().await);
    proxy.refuse().await;
    assert!(!store.is_ready().await);
    let refused = store.tenant(&world.owner).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    let StoreError::Database(sqlx::Error::Io(cause)) = refused else {
        panic!("it was waited for a connection: {refused:?}");
    };
    assert_eq!(cause.kind(), std::io::ErrorKind::NotConnected);
}
