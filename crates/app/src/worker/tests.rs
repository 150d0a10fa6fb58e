//! The worker of a service on a real database, with models that follow a script.

mod documents;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::clock::SystemClock;
use domain::course::CourseRequest;
use domain::generation::{GenerationScope, GenerationStatus};
use domain::id::CourseId;
use domain::language::Language;
use domain::organization::Tier;
use domain::user::{Actor, Role};
use llm::card::{Cards, ModelCard};
use llm::gateway::Models;
use llm::provider::scripted::answers::schema_answers;
use llm::provider::scripted::{Script, Scripted, WordEmbedder};
use llm::request::Request;
use llm::route::Routes;
use serde_json::json;
use store::Store;
use store::generation::lifecycle::{NewGeneration, start_generation};
use store::job::JobState;
use store::metric::{Event, count_since};
use store::testkit::{TestDatabase, database};
use store::tx::SystemTx;
use store::user::{NewUser, insert_user};
use store::{course, generation, organization, worker};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Gate, ModelSet, QueueWorker, WorkerParts};
use crate::config::WorkerSettings;
use crate::metrics::Metrics;

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

struct Crew {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    database: TestDatabase,
}

impl Crew {
    async fn new() -> Self {
        let database = database().await.unwrap();
        let store = Arc::new(database.open().await.unwrap());
        Self {
            store,
            metrics: Metrics::new(),
            database,
        }
    }

    /// A worker whose models take so long for an answer, and a way to stop it.
    fn worker(&self, latency: Duration, settings: WorkerSettings) -> (CancellationToken, JoinHandle<()>) {
        let gate = Gate::new(Arc::clone(&self.metrics));
        let models = ModelSet::given(models(&gate, latency));
        let worker = QueueWorker::new(WorkerParts {
            store: Arc::clone(&self.store),
            clock: Arc::new(SystemClock),
            metrics: Arc::clone(&self.metrics),
            settings,
            models: Arc::new(models),
            gate,
            documents: Arc::new(documents::OneText),
            vector_index: None,
        });
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
        let running = tokio::spawn(async move { worker.run_all(&token).await });
        (shutdown, running)
    }

    async fn person(&self, name: &str, tier: Tier) -> Actor {
        let new_name = name.to_owned();
        self.store
            .with_system(async move |tx: &mut SystemTx| {
                let organization_id = organization::insert_organization(tx, &new_name, tier).await?;
                let new = NewUser {
                    organization_id,
                    email: format!("{new_name}@example.org"),
                    name: None,
                    role: Role::Instructor,
                    password_hash: None,
                };
                insert_user(tx, &new).await
            })
            .await
            .unwrap()
    }

    async fn start(&self, actor: &Actor) -> CourseId {
        let request = CourseRequest {
            title: "Python loops for beginners".to_owned(),
            language: Some("en".to_owned()),
            desired_lessons_count: Some(10),
            desired_modules_count: Some(2),
            ..CourseRequest::default()
        };
        let (inputs, _) = request.check(Language::English).unwrap();
        self.store
            .with_tenant(actor, async |tx| {
                let course = course::insert_course(tx, &inputs).await?;
                start_generation(tx, &new_generation(course.id)).await?;
                Ok(course.id)
            })
            .await
            .unwrap()
    }

    async fn status(&self, id: CourseId) -> GenerationStatus {
        let course = self
            .store
            .with_system(async move |tx: &mut SystemTx| course::get_course(tx, id).await)
            .await;
        course.unwrap().generation_status.unwrap()
    }

    async fn wait_for(&self, id: CourseId, wanted: GenerationStatus) {
        let begun = Instant::now();
        while self.status(id).await != wanted {
            assert!(begun.elapsed() < PATIENCE, "it is {:?}", self.status(id).await);
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn running(&self) -> u64 {
        let figures = self
            .store
            .with_system(async move |tx: &mut SystemTx| worker::queue_figures(tx).await)
            .await
            .unwrap();
        let running = figures
            .counts
            .iter()
            .filter(|count| count.state == JobState::Running);
        running.map(|count| count.count).sum()
    }

    async fn count(&self, event: Event) -> u64 {
        let long_ago = chrono::DateTime::UNIX_EPOCH;
        self.store
            .with_system(async move |tx: &mut SystemTx| count_since(tx, event, long_ago).await)
            .await
            .unwrap()
    }
}

fn new_generation(course_id: CourseId) -> NewGeneration {
    NewGeneration {
        course_id,
        budget: domain::usage::MicroUsd::from_usd(1.0),
        seed: 1,
        options: json!({ "request_id": "r-1" }),
        scope: GenerationScope::Whole,
        user_limit: None,
        global_limit: None,
        webhook_url: None,
        idempotency_key: None,
    }
}

fn models(gate: &Arc<Gate>, latency: Duration) -> Models {
    let answers = schema_answers(1, Language::English);
    let script: Script =
        Arc::new(move |request: &Request, call: usize| answers(request, call).after(latency));
    let provider = Scripted::new("scripted", script).with_max_parallel(64);
    let mut cards = Cards::default();
    cards.insert(ModelCard {
        context_window: 131_072,
        ..ModelCard::assumed("scripted", "scripted")
    });
    Models::builder(
        cards,
        Routes::single("scripted"),
        Arc::new(WordEmbedder::new(256).lenient()),
    )
    .provider(gate.guard(Arc::new(provider)))
    .build(Arc::new(SystemClock))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_of_all_tiers_are_completed() {
    let crew = Crew::new().await;
    let mut courses = Vec::new();
    for tier in [Tier::Free, Tier::Standard, Tier::Premium, Tier::Basic] {
        let person = crew.person(tier.as_str(), tier).await;
        courses.push(crew.start(&person).await);
    }
    let (shutdown, running) = crew.worker(Duration::from_millis(5), WorkerSettings::default());
    for course in courses {
        crew.wait_for(course, GenerationStatus::Completed).await;
    }
    shutdown.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    let figures = crew.metrics.render();
    assert!(
        figures.contains("coursewright_stages_total{stage=\"finalization\",outcome=\"finished\"} 4"),
        "{figures}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_generation_stops_within_two_seconds() {
    let crew = Crew::new().await;
    let person = crew.person("alpha", Tier::Standard).await;
    let course = crew.start(&person).await;
    let (shutdown, running) = crew.worker(Duration::from_mins(1), WorkerSettings::default());
    crew.wait_for(course, GenerationStatus::AnalyzingTask).await;
    let asked = Instant::now();
    crew.store
        .with_tenant(&person, async |tx| generation::request_cancel(tx, course).await)
        .await
        .unwrap();
    crew.wait_for(course, GenerationStatus::Cancelled).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_calls_end_and_hands_the_job_back() {
    let crew = Crew::new().await;
    let person = crew.person("alpha", Tier::Standard).await;
    let course = crew.start(&person).await;
    let (shutdown, running) = crew.worker(Duration::from_secs(1), WorkerSettings::default());
    crew.wait_for(course, GenerationStatus::AnalyzingTask).await;
    while crew.running().await == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(300)).await;
    let asked = Instant::now();
    shutdown.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    assert_eq!(crew.running().await, 0, "the job is handed back");
    let figures = crew.metrics.render();
    assert!(
        !figures.contains("outcome=\"cancelled\""),
        "calls ended by themselves: {figures}"
    );

    let (shutdown, running) = crew.worker(Duration::from_millis(5), WorkerSettings::default());
    crew.wait_for(course, GenerationStatus::Completed).await;
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stage_that_hangs_is_interrupted_and_said() {
    let crew = Crew::new().await;
    let person = crew.person("alpha", Tier::Standard).await;
    crew.start(&person).await;
    let settings = WorkerSettings {
        stall_secs: 1,
        ..WorkerSettings::default()
    };
    let (shutdown, running) = crew.worker(Duration::from_hours(1), settings);
    let begun = Instant::now();
    while crew.count(Event::WorkerTimeout).await == 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing was interrupted");
        sleep(Duration::from_millis(50)).await;
    }
    shutdown.cancel();
    running.await.unwrap();
}

/// A socket before the database's, which can be cut.
struct Cuttable {
    folder: tempfile::TempDir,
    is_cut: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Cuttable {
    fn before(socket: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let listener = UnixListener::bind(folder.path().join(socket.file_name().unwrap())).unwrap();
        let is_cut = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(pass_on(listener, socket, Arc::clone(&is_cut)));
        Self {
            folder,
            is_cut,
            _tasks: tasks,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

async fn pass_on(listener: UnixListener, socket: PathBuf, is_cut: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((mut near, _)) = listener.accept() => {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let socket = socket.clone();
                connections.spawn(async move {
                    if let Ok(mut far) = UnixStream::connect(socket).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
            () = sleep(Duration::from_millis(20)) => {
                if is_cut.load(Ordering::SeqCst) {
                    connections.shutdown().await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_goes_on_after_the_database_was_away() {
    let mut crew = Crew::new().await;
    let person = crew.person("alpha", Tier::Standard).await;
    let course = crew.start(&person).await;
    let cuttable = Cuttable::before(crew.database.socket());
    let direct = Arc::clone(&crew.store);
    crew.store = Arc::new(crew.database.open_through(cuttable.path()).await.unwrap());
    let (shutdown, running) = crew.worker(Duration::from_millis(200), WorkerSettings::default());
    crew.store = direct;
    crew.wait_for(course, GenerationStatus::AnalyzingTask).await;
    sleep(Duration::from_millis(300)).await;
    // Longer than one transaction is tried again: stages fail in the middle.
    cuttable.is_cut.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(3)).await;
    cuttable.is_cut.store(false, Ordering::SeqCst);
    crew.wait_for(course, GenerationStatus::Completed).await;
    shutdown.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}
