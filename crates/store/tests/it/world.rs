//! Organizations, people, courses and generations to test with.

use std::time::Duration;

use domain::analysis::AnalysisResult;
use domain::course::{CourseInputs, CourseRequest};
use domain::generation::GenerationScope;
use domain::id::{CourseId, OrganizationId};
use domain::language::Language;
use domain::lesson::{ContentBlock, LessonContent, LessonQuality, LessonStatus, QuestionType, QuizQuestion};
use domain::organization::Tier;
use domain::stage::Stage;
use domain::structure::{
    AssessmentStrategy, CourseStructure, DifficultyLevel, Exercise, ExerciseType, Lesson, Section,
};
use domain::usage::{MicroUsd, TokenUsage};
use domain::user::{Actor, Role};
use sha2::Digest;
use sqlx::PgConnection;
use store::course::{self, Course};
use store::document::{self, FinishedUpload, NewDocument};
use store::error::StoreError;
use store::generation::lifecycle::{self, NewGeneration, StartedGeneration};
use store::model_call::NewModelCall;
use store::queue::{self, ClaimedJob};
use store::testkit::{self, TestDatabase};
use store::tier;
use store::user::{self, NewUser};
use store::worker::{self, WorkerIdentity};
use store::{Store, organization};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A database with one organization and an instructor in it.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) owner: Actor,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = testkit::database().await.unwrap();
        let owner = person(database.store(), "Alpha", Tier::Standard, Role::Instructor).await;
        Self { database, owner }
    }

    pub(crate) fn store(&self) -> &Store {
        self.database.store()
    }

    pub(crate) async fn superuser(&self) -> PgConnection {
        self.database.superuser().await.unwrap()
    }

    /// Until a transaction waits for another one.
    pub(crate) async fn until_somebody_waits(&self) {
        let mut connection = self.superuser().await;
        let waits = "select exists (select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waits)
            .fetch_one(&mut connection)
            .await
            .unwrap()
        {}
    }

    pub(crate) async fn course(&self, title: &str) -> Course {
        course_of(self.store(), &self.owner, title).await
    }

    pub(crate) async fn start(&self, course: CourseId) -> Result<StartedGeneration, StoreError> {
        let new = new_generation(course);
        self.store()
            .with_tenant(&self.owner, async |tx| {
                lifecycle::start_generation(tx, &new).await
            })
            .await
    }

    /// A course whose generation has just been started.
    pub(crate) async fn started(&self) -> (Course, StartedGeneration) {
        let course = self.course("Rust for beginners").await;
        let started = Box::pin(self.start(course.id)).await.unwrap();
        (course, started)
    }

    pub(crate) async fn claim(&self, worker: &WorkerIdentity) -> Option<ClaimedJob> {
        self.store()
            .with_system(async |tx| queue::claim(tx, worker.id, None, LEASE).await)
            .await
            .unwrap()
    }

    /// A worker that the database knows.
    pub(crate) async fn worker(&self) -> WorkerIdentity {
        let identity = WorkerIdentity::of_this_process();
        self.store()
            .with_system(async |tx| worker::register(tx, &identity, 1).await)
            .await
            .unwrap();
        identity
    }

    pub(crate) async fn reload(&self, id: CourseId) -> Course {
        self.store()
            .with_system(async |tx| course::get_course(tx, id).await)
            .await
            .unwrap()
    }

    /// Brings the claimed job's generation to the stage `to`, finishing all before.
    pub(crate) async fn bring_to(&self, worker: &WorkerIdentity, to: Stage) -> ClaimedJob {
        loop {
            let claimed = self.claim(worker).await.expect("a job waits");
            self.begin(&claimed).await;
            if claimed.job.stage == to {
                return claimed;
            }
            self.finish(&claimed).await.unwrap();
        }
    }

    pub(crate) async fn begin(&self, claimed: &ClaimedJob) {
        self.store()
            .with_system(async |tx| lifecycle::begin_stage(tx, &claimed.lease, &claimed.job, "begun").await)
            .await
            .unwrap();
    }

    /// Finishes the claimed stage with a made-up result.
    pub(crate) async fn finish(&self, claimed: &ClaimedJob) -> Result<Option<domain::id::JobId>, StoreError> {
        self.store()
            .with_system(async |tx| {
                let analysis = analysis();
                let structure = structure(10);
                let result = match claimed.job.stage {
                    Stage::Analysis => lifecycle::StageResult::Analysis(&analysis),
                    Stage::Structure => lifecycle::StageResult::Structure(&structure),
                    _ => lifecycle::StageResult::Saved,
                };
                let next = claimed
                    .job
                    .stage
                    .next()
                    .map_or(lifecycle::NextStep::End, lifecycle::NextStep::Stage);
                let finished = lifecycle::FinishedStage {
                    lease: &claimed.lease,
                    job: &claimed.job,
                    result,
                    next,
                    message: "next",
                };
                lifecycle::finish_stage(tx, &finished).await
            })
            .await
    }
}

pub(crate) async fn person(store: &Store, organization: &str, tier: Tier, role: Role) -> Actor {
    store
        .with_system(async |tx| {
            let id = organization::insert_organization(tx, organization, tier).await?;
            user::insert_user(
                tx,
                &new_user(id, &format!("{role:?}@{organization}.example"), role),
            )
            .await
        })
        .await
        .unwrap()
}

/// Another person in the same organization.
pub(crate) async fn colleague(store: &Store, of: &Actor, role: Role, email: &str) -> Actor {
    store
        .with_system(async |tx| user::insert_user(tx, &new_user(of.organization_id, email, role)).await)
        .await
        .unwrap()
}

pub(crate) fn new_user(organization_id: OrganizationId, email: &str, role: Role) -> NewUser {
    NewUser {
        organization_id,
        email: email.to_owned(),
        name: None,
        role,
        password_hash: None,
    }
}

pub(crate) async fn course_of(store: &Store, actor: &Actor, title: &str) -> Course {
    let inputs = inputs(title);
    store
        .with_tenant(actor, async |tx| course::insert_course(tx, &inputs).await)
        .await
        .unwrap()
}

pub(crate) fn inputs(title: &str) -> CourseInputs {
    let request = CourseRequest {
        title: title.to_owned(),
        ..CourseRequest::default()
    };
    request.check(Language::English).unwrap().0
}

pub(crate) fn new_generation(course_id: CourseId) -> NewGeneration {
    NewGeneration {
        course_id,
        budget: MicroUsd::from_usd(1.0),
        seed: u64::MAX,
        options: serde_json::json!({"lessons": 10}),
        scope: GenerationScope::Whole,
        user_limit: None,
        global_limit: None,
        idempotency_key: None,
        webhook_url: None,
    }
}

pub(crate) fn call(claimed: &ClaimedJob, batch: u32, attempt: u32, outcome: &str) -> NewModelCall {
    NewModelCall {
        generation_id: claimed.job.generation_id,
        stage: claimed.job.stage,
        phase: "sections".to_owned(),
        batch,
        attempt,
        model: "model-a".to_owned(),
        provider: "scripted".to_owned(),
        upstream: None,
        route_reason: "default".to_owned(),
        prompt_hash: "00".to_owned(),
        usage: TokenUsage::new(100, 20),
        cost: MicroUsd(5),
        assumed: None,
        latency: Duration::from_millis(7),
        finish_reason: Some("stop".to_owned()),
        repair_layer: Some(0),
        outcome: outcome.to_owned(),
        error: None,
        raw_output: None,
    }
}

pub(crate) fn structure(lessons: usize) -> CourseStructure {
    let exercise = Exercise {
        exercise_type: ExerciseType::HandsOn,
        exercise_title: "Write it".to_owned(),
        exercise_description: "Write a small program".to_owned(),
    };
    let lesson = Lesson {
        lesson_number: 0,
        lesson_title: "Ownership".to_owned(),
        lesson_objectives: vec!["Explain who owns a value".to_owned()],
        key_topics: vec!["Moves".to_owned(), "Borrows".to_owned()],
        estimated_duration_minutes: 15,
        practical_exercises: vec![exercise; 3],
    };
    let mut structure = CourseStructure {
        course_title: "Rust for beginners".to_owned(),
        course_description: "x".repeat(60),
        course_overview: "x".repeat(120),
        target_audience: "People who write programs".to_owned(),
        estimated_duration_hours: 0.0,
        difficulty_level: DifficultyLevel::Beginner,
        prerequisites: vec![],
        learning_outcomes: vec!["Write programs that the compiler accepts".to_owned(); 3],
        assessment_strategy: AssessmentStrategy {
            quiz_per_section: true,
            final_exam: false,
            practical_projects: 1,
            assessment_description: "x".repeat(60),
        },
        course_tags: (0..5).map(|number| format!("tag {number}")).collect(),
        sections: vec![Section {
            section_number: 1,
            section_title: "The language".to_owned(),
            section_description: "What the language is made of".to_owned(),
            learning_objectives: vec!["Explain the parts of the language".to_owned()],
            estimated_duration_minutes: 0,
            lessons: vec![lesson; lessons],
        }],
    };
    structure.renumber();
    structure
}

pub(crate) fn lesson_content(status: LessonStatus) -> LessonContent {
    let mut content = LessonContent {
        introduction: "Why it matters".to_owned(),
        blocks: vec![ContentBlock {
            title: "Moves".to_owned(),
            body: "A value moves.".to_owned(),
            citations: vec![],
        }],
        examples: vec![],
        exercises: vec![],
        quiz: vec![QuizQuestion {
            question_type: QuestionType::SingleChoice,
            question: "Who owns it?".to_owned(),
            options: vec!["I".to_owned(), "You".to_owned()],
            correct_answers: vec![1],
            explanation: "It moved.".to_owned(),
            objective: 0,
        }],
        summary: "Values have owners".to_owned(),
        further_reading: vec![],
        word_count: 0,
        quality: LessonQuality::default(),
        status,
    };
    content.word_count = content.count_words();
    content
}

pub(crate) fn analysis() -> AnalysisResult {
    let text = "x".repeat(100);
    serde_json::from_value(serde_json::json!({
        "course_category": {"primary": "professional", "confidence": 0.9, "reasoning": "a trade"},
        "difficulty": "beginner",
        "contextual_language": {
            "why_matters_context": text, "motivators": text, "experience_prompt": text,
            "problem_statement_context": text, "knowledge_bridge": text, "practical_benefit_focus": text
        },
        "topic_analysis": {
            "determined_topic": "Rust", "information_completeness": 20, "complexity": "medium", "reasoning": "wide",
            "target_audience": "programmers", "missing_elements": [], "key_concepts": ["a", "b", "c"],
            "domain_keywords": ["a", "b", "c", "d", "e"]
        },
        "pedagogical_patterns": {
            "primary_strategy": "practice", "theory_practice_ratio": "30:70", "assessment_types": [], "key_patterns": []
        },
        "recommended_structure": {
            "estimated_content_hours": 2.5, "scope_reasoning": "r", "lesson_duration_minutes": 15,
            "calculation_explanation": "c", "total_lessons": 10, "total_sections": 1, "sections_breakdown": [{
                "section_id": "1", "area": "language", "estimated_lessons": 10, "importance": "core",
                "learning_objectives": ["a", "b"], "key_topics": ["a", "b", "c"], "pedagogical_approach": "p",
                "difficulty_progression": "gradual", "prerequisites": [], "estimated_duration_hours": 2.5
            }]
        },
        "pedagogical_strategy": {
            "teaching_style": "hands-on", "assessment_approach": "a", "practical_focus": "p",
            "progression_logic": "l", "interactivity_level": "high"
        },
        "expansion_areas": [], "research_flags": [],
        "generation_guidance": {
            "tone": "warm", "use_analogies": true, "specific_analogies": [], "avoid_jargon": [], "include_visuals": [],
            "exercise_types": [], "contextual_language_hints": "h", "real_world_examples": []
        },
        "content_strategy": "create_from_scratch", "document_relevance": [], "conflicts": [],
        "phases": {
            "classification": phase(), "scope": phase(), "expert": phase(), "synthesis": phase(), "documents": phase()
        }
    }))
    .unwrap()
}

fn phase() -> serde_json::Value {
    serde_json::to_value(domain::analysis::PhaseRecord::default()).unwrap()
}

/// A document of the course, with the limits of the standard tier.
pub(crate) async fn upload(
    store: &Store,
    owner: &Actor,
    course: CourseId,
    filename: &str,
    content: &[u8],
) -> FinishedUpload {
    let size_bytes = content.len() as u64;
    let reservation = store
        .with_tenant(owner, async |tx| {
            let limits = tier::get_tier_settings(tx, Tier::Standard).await?;
            document::reserve_upload(tx, course, size_bytes, &limits).await
        })
        .await
        .unwrap();
    let new = new_document(filename, content);
    store
        .with_system(async |tx| document::finish_upload(tx, reservation.id, &new).await)
        .await
        .unwrap()
}

pub(crate) fn new_document(filename: &str, content: &[u8]) -> NewDocument {
    NewDocument {
        filename: filename.to_owned(),
        mime_type: "text/plain".to_owned(),
        size_bytes: content.len() as u64,
        sha256: hex::encode(sha2::Sha256::digest(content)),
    }
}
