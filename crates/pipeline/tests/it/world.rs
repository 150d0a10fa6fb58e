//! A database, a scripted model and a pipeline between them.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::SystemClock;
use domain::course::CourseRequest;
use domain::generation::GenerationScope;
use domain::id::{CourseId, DocumentId, GenerationId};
use domain::language::Language;
use domain::organization::Tier;
use domain::usage::MicroUsd;
use domain::user::Actor;
use llm::card::{Cards, Granularity, ModelCard};
use llm::gateway::Models;
use llm::provider::scripted::answers::schema_answers;
use llm::provider::scripted::{Script, Scripted, WordEmbedder};
use llm::request::Request;
use llm::route::Routes;
use pipeline::event::Unwatched;
use pipeline::ingest::{DocumentReader, NoDocuments};
use pipeline::{JobOutcome, Pipeline, Services};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::checkpoint::count_checkpoints;
use store::course::{Course, get_course, insert_course};
use store::document::{NewDocument, finish_upload, reserve_upload};
use store::error::StoreError;
use store::generation::lifecycle::{NewGeneration, resume_generation, start_generation};
use store::generation::{Generation, get_generation};
use store::job::{JobFilter, list_jobs};
use store::lesson::{StoredLesson, list_lessons};
use store::queue::{ClaimedJob, claim, rescue_expired};
use store::testkit::{self, TestDatabase};
use store::tier::TierSettings;
use store::worker::{WorkerIdentity, register};
use store::{Store, organization};
use tokio_util::sync::CancellationToken;

/// The seed of every generation: what is made anew must differ all the same.
const SEED: u64 = 7;

/// Numbers of a vector: enough for words not to meet by chance.
const DIMENSIONS: usize = 1024;

/// A database with one author in it.
pub(crate) struct World {
    // Dropped last: the store is connected to it.
    store: Arc<Store>,
    author: Actor,
    _database: TestDatabase,
}

/// A pipeline and the model that it asks.
pub(crate) struct Desk {
    pub(crate) model: Arc<Scripted>,
    pub(crate) pipeline: Pipeline,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = testkit::database().await.unwrap();
        let store = Arc::new(database.open().await.unwrap());
        let author = store
            .with_system(async |tx| organization::ensure_local_owner(tx).await)
            .await
            .unwrap();
        Self {
            store,
            author,
            _database: database,
        }
    }

    /// A pipeline whose only model follows `script`, asked in large or in small questions, one at a time.
    pub(crate) fn desk(&self, granularity: Granularity, script: Script) -> Desk {
        self.reading_desk(granularity, script, Arc::new(NoDocuments))
    }

    /// The same with documents to read.
    pub(crate) fn reading_desk(
        &self,
        granularity: Granularity,
        script: Script,
        documents: Arc<dyn DocumentReader>,
    ) -> Desk {
        self.desk_comparing(
            granularity,
            script,
            documents,
            WordEmbedder::new(DIMENSIONS).lenient(),
        )
    }

    /// The same where only texts that share words are alike: for stages that compare nothing with a brief.
    pub(crate) fn strict_desk(
        &self,
        granularity: Granularity,
        script: Script,
        documents: Arc<dyn DocumentReader>,
    ) -> Desk {
        self.desk_comparing(granularity, script, documents, WordEmbedder::new(DIMENSIONS))
    }

    fn desk_comparing(
        &self,
        granularity: Granularity,
        script: Script,
        documents: Arc<dyn DocumentReader>,
        embedder: WordEmbedder,
    ) -> Desk {
        let mut cards = Cards::default();
        cards.insert(ModelCard {
            context_window: 131_072,
            max_output: 65_536,
            granularity,
            ..ModelCard::assumed("scripted", "scripted")
        });
        let model = Arc::new(Scripted::new("scripted", script).with_max_parallel(1));
        let models = Models::builder(cards, Routes::single("scripted"), Arc::new(embedder))
            .provider(Arc::clone(&model) as _)
            .build(Arc::new(SystemClock))
            .unwrap();
        let services = Services {
            store: Arc::clone(&self.store),
            models,
            clock: Arc::new(SystemClock),
            observer: Arc::new(Unwatched),
            documents,
            vector_index: None,
        };
        Desk {
            model,
            pipeline: Pipeline::new(services).unwrap(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// A document of a course whose bytes are there.
    pub(crate) async fn upload(&self, course: CourseId, name: &str, content: &str) -> DocumentId {
        let limits = TierSettings {
            tier: Tier::Premium,
            priority: 10,
            concurrent_generations: 5,
            max_file_bytes: 1 << 20,
            max_files_per_course: 10,
            storage_bytes: 1 << 30,
            formats: vec!["md".to_owned()],
            generation_budget: MicroUsd(1_000_000),
            trial_days: None,
        };
        let size_bytes = content.len() as u64;
        let reserved = self.store.with_tenant(&self.author, async |tx| {
            reserve_upload(tx, course, size_bytes, &limits).await
        });
        let reserved = reserved.await.unwrap();
        let new = NewDocument {
            filename: name.to_owned(),
            mime_type: "text/markdown".to_owned(),
            size_bytes,
            sha256: hex::encode(Sha256::digest(content)),
        };
        let finished = self
            .store
            .with_system(async |tx| finish_upload(tx, reserved.id, &new).await);
        finished.await.unwrap().document.id
    }

    pub(crate) async fn insert(&self, request: &CourseRequest) -> CourseId {
        let (inputs, _) = request.check(Language::English).unwrap();
        let course = self
            .store
            .with_tenant(&self.author, async |tx| insert_course(tx, &inputs).await);
        course.await.unwrap().id
    }

    pub(crate) async fn start(
        &self,
        course_id: CourseId,
        scope: GenerationScope,
    ) -> Result<GenerationId, StoreError> {
        let course = self.course(course_id).await;
        let new = NewGeneration {
            course_id,
            budget: course.inputs.budget,
            seed: SEED,
            options: json!({}),
            scope,
            user_limit: None,
            global_limit: None,
            idempotency_key: None,
            webhook_url: None,
        };
        let started = self
            .store
            .with_tenant(&self.author, async |tx| start_generation(tx, &new).await);
        Ok(started.await?.generation_id)
    }

    /// Goes on with a generation that has ended.
    pub(crate) async fn resume(&self, generation: GenerationId) -> Result<(), StoreError> {
        let resumed = self
            .store
            .with_tenant(&self.author, async |tx| resume_generation(tx, generation).await);
        resumed.await.map(|_| ())
    }

    /// The next job of the generation. Its lease has run out at once, as that of a worker that is killed.
    pub(crate) async fn claim(&self, generation: GenerationId) -> Option<ClaimedJob> {
        let worker = WorkerIdentity::of_this_process();
        let claimed = self.store.with_system(async |tx| {
            register(tx, &worker, 1).await?;
            claim(tx, worker.id, Some(generation), Duration::ZERO).await
        });
        claimed.await.unwrap()
    }

    /// What a worker does when others are gone, until it finds one: what the lost worker had under way is rolled back in
    /// its own time, and holds the job until then.
    pub(crate) async fn rescue(&self) -> usize {
        loop {
            let rescued = self.store.with_system(async |tx| rescue_expired(tx).await);
            let count = rescued.await.unwrap().len();
            if count > 0 {
                return count;
            }
        }
    }

    /// Runs a generation until nothing of it waits any more; the error of a stage ends it.
    pub(crate) async fn run(
        &self,
        desk: &Desk,
        generation: GenerationId,
    ) -> Result<(), pipeline::error::PipelineError> {
        while let Some(job) = self.claim(generation).await {
            match desk.pipeline.run_job(&job, &CancellationToken::new()).await {
                JobOutcome::Finished { .. } => {}
                JobOutcome::Failed(error) => return Err(error),
                other => panic!("{:?} of {:?}", other, job.job.stage),
            }
        }
        Ok(())
    }

    pub(crate) async fn course(&self, id: CourseId) -> Course {
        let course = self.store.with_system(async |tx| get_course(tx, id).await);
        course.await.unwrap()
    }

    pub(crate) async fn generation(&self, id: GenerationId) -> Generation {
        let generation = self.store.with_system(async |tx| get_generation(tx, id).await);
        generation.await.unwrap()
    }

    /// How many answers of the generation are kept.
    /// What admins read of why attempts at jobs of this course ended.
    pub(crate) async fn causes(&self, id: CourseId) -> Vec<String> {
        let filter = JobFilter {
            course: Some(id),
            ..JobFilter::default()
        };
        let jobs = self
            .store
            .with_tenant(&self.author, async |tx| list_jobs(tx, &filter, None, 100).await);
        let jobs = jobs.await.unwrap().into_iter();
        jobs.filter_map(|job| job.last_error).collect()
    }

    pub(crate) async fn checkpoints(&self, id: GenerationId) -> usize {
        let count = self.store.with_system(async |tx| count_checkpoints(tx, id).await);
        usize::try_from(count.await.unwrap()).unwrap()
    }

    pub(crate) async fn lessons(&self, id: CourseId) -> Vec<StoredLesson> {
        let lessons = self.store.with_system(async |tx| list_lessons(tx, id).await);
        lessons.await.unwrap()
    }
}

/// A course of three sections, as small as courses may be.
pub(crate) fn request() -> CourseRequest {
    CourseRequest {
        title: "Keeping bees in a small garden".to_owned(),
        desired_lessons_count: Some(10),
        desired_modules_count: Some(3),
        ..CourseRequest::default()
    }
}

/// Answers that fit every question.
pub(crate) fn obliging() -> Script {
    schema_answers(1, Language::English)
}

/// The text of a question to the model, without the program's instructions.
pub(crate) fn question(request: &Request) -> String {
    let asked = request.messages.iter().skip(1);
    asked
        .map(|message| message.content.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

/// As it is published.
pub(crate) fn json_of<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap()
}
