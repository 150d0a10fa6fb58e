use domain::generation::{GenerationStatus, StepStatus};
use domain::lesson::LessonStatus;
use domain::stage::Stage;
use domain::usage::MicroUsd;
use sqlx::Row;
use store::checkpoint::{self, CheckpointKey};
use store::error::StoreError;
use store::generation::lifecycle::{self, FinishedStage, NextStep, StageResult};
use store::generation::{self, Failure};
use store::model_call::{self, ACCEPTED};
use store::{lesson, version};

use crate::world::{World, analysis, call, lesson_content, structure};

#[tokio::test]
async fn a_course_is_made_stage_by_stage() {
    let world = World::new().await;
    let worker = world.worker().await;
    let (course, started) = world.started().await;
    let fresh = world.reload(course.id).await;
    assert_eq!(fresh.generation_status, Some(GenerationStatus::Initializing));
    assert_eq!(
        (fresh.progress.percentage, fresh.progress.message.as_str()),
        (20, "Инициализация завершена")
    );
    assert_eq!(fresh.current_generation_id, Some(started.generation_id));

    let content = world.bring_to(&worker, Stage::Content).await;
    let made = world.reload(course.id).await;
    assert_eq!(made.analysis, Some(analysis()));
    assert_eq!(made.structure, Some(structure(10)));
    assert_eq!(
        (
            made.version,
            made.progress.lessons_total,
            made.progress.percentage
        ),
        (1, 10, 70)
    );
    let store = world.store();
    for number in 1..=10 {
        let progress = store
            .with_system(async |tx| {
                let written = lesson_content(LessonStatus::Completed);
                lesson::save_lesson(tx, &content.lease, &content.job, number, &written, "writing").await
            })
            .await
            .unwrap();
        assert_eq!(progress.lessons_completed, number);
    }
    world.finish(&content).await.unwrap();
    let last = world.bring_to(&worker, Stage::Finalization).await;
    assert_eq!(
        world.reload(course.id).await.generation_status,
        Some(GenerationStatus::Finalizing)
    );
    assert_eq!(world.finish(&last).await.unwrap(), None);

    let done = world.reload(course.id).await;
    assert_eq!(done.generation_status, Some(GenerationStatus::Completed));
    assert_eq!(done.progress.percentage, 100);
    assert!(
        done.progress
            .steps
            .iter()
            .all(|step| step.status == StepStatus::Completed)
    );
    let lessons = store
        .with_tenant(&world.owner, async |tx| lesson::list_lessons(tx, course.id).await)
        .await
        .unwrap();
    assert_eq!(
        lessons
            .iter()
            .map(|lesson| lesson.lesson_number)
            .collect::<Vec<_>>(),
        (1..=10).collect::<Vec<_>>()
    );
    assert!(
        lessons
            .iter()
            .all(|lesson| lesson.content == Some(lesson_content(LessonStatus::Completed)))
    );
    let generation = store
        .with_tenant(&world.owner, async |tx| {
            generation::get_generation(tx, started.generation_id).await
        })
        .await
        .unwrap();
    assert_eq!(
        (generation.status, generation.seed),
        (GenerationStatus::Completed, u64::MAX)
    );
    assert!(generation.started_at.is_some() && generation.finished_at.is_some());
    // Made again: a new generation, new progress, the old structure until there is a new one.
    world.start(course.id).await.unwrap();
    let again = world.reload(course.id).await;
    assert_eq!(
        (
            again.progress.percentage,
            again.analysis.is_none(),
            again.structure.is_some()
        ),
        (20, true, true)
    );
    world.bring_to(&worker, Stage::Content).await;
    let lessons = store
        .with_tenant(&world.owner, async |tx| lesson::list_lessons(tx, course.id).await)
        .await
        .unwrap();
    assert!(
        lessons
            .iter()
            .all(|lesson| lesson.status == LessonStatus::Pending),
        "texts of the old structure are gone"
    );
}

/// Breaks the last write of `finish_stage`: nothing of it must remain.
#[tokio::test]
async fn a_stage_is_finished_wholly_or_not_at_all() {
    let world = World::new().await;
    let worker = world.worker().await;
    let (course, _) = world.started().await;
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    let before = snapshot(&world).await;
    let mut connection = world.superuser().await;
    sqlx::raw_sql(
        "create function break_it() returns trigger language plpgsql as $$ begin raise exception 'broken'; end $$;
         create trigger break_it before insert on jobs for each row execute function break_it();",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    world.finish(&claimed).await.unwrap_err();
    assert_eq!(snapshot(&world).await, before);
    assert_eq!(world.reload(course.id).await.structure, None);
    sqlx::raw_sql("drop trigger break_it on jobs")
        .execute(&mut connection)
        .await
        .unwrap();
    world.finish(&claimed).await.unwrap();
    assert!(
        world.reload(course.id).await.structure.is_some(),
        "the same lease finishes it later"
    );
}

/// Everything that a stage may change, as text.
async fn snapshot(world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for table in [
        "courses",
        "jobs",
        "generations",
        "course_versions",
        "lesson_contents",
        "generation_status_history",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("select t::text from {table} t order by 1"));
        let found = sqlx::query(sql)
            .fetch_all(&mut world.superuser().await)
            .await
            .unwrap();
        rows.extend(found.into_iter().map(|row| row.get::<String, _>(0)));
    }
    rows
}

/// The connection is cut at every statement of a start, one after the other: either all remains or nothing.
#[tokio::test]
async fn a_start_that_is_cut_leaves_nothing() {
    let world = World::new().await;
    let course = world.course("Cut").await;
    let mut connection = world.superuser().await;
    let before = snapshot(&world).await;
    for table in ["generations", "jobs", "generation_status_history"] {
        let sql = format!(
            "create or replace function cut() returns trigger language plpgsql security definer as
               $$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$;
             create trigger cut before insert on {table} for each row execute function cut();"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        let failed = world.start(course.id).await.unwrap_err();
        assert!(failed.is_transient(), "{table}: {failed:?}");
        assert_eq!(snapshot(&world).await, before, "{table}");
        let sql = sqlx::AssertSqlSafe(format!("drop trigger cut on {table}"));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
    world
        .start(course.id)
        .await
        .expect("nothing stands in the way of the next start");
}

#[tokio::test]
async fn a_paid_answer_is_kept_with_its_calls() {
    let world = World::new().await;
    let worker = world.worker().await;
    world.started().await;
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    let store = world.store();
    let key = CheckpointKey::new(&claimed.job, "sections", 3, "abc");
    assert_eq!(
        store
            .with_system(async |tx| checkpoint::find_checkpoint(tx, &key).await)
            .await
            .unwrap(),
        None
    );
    let output = serde_json::json!({"text": "with a NUL\0 in it", "n": 1});
    let calls = [
        call(&claimed, 3, 1, "schema_error"),
        call(&claimed, 3, 2, ACCEPTED),
    ];
    for _ in 0..2 {
        store
            .with_system(async |tx| {
                checkpoint::record_checkpoint(tx, &claimed.lease, &key, &output, &calls).await
            })
            .await
            .unwrap();
    }
    let found = store
        .with_system(async |tx| checkpoint::find_checkpoint(tx, &key).await)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        found.output,
        serde_json::json!({"text": "with a NUL in it", "n": 1})
    );
    assert_eq!(
        (found.usage.total, found.cost, found.model.as_str()),
        (240, MicroUsd(10), "model-a")
    );
    let other = CheckpointKey {
        prompt_hash: "abd".to_owned(),
        ..key.clone()
    };
    assert_eq!(
        store
            .with_system(async |tx| checkpoint::find_checkpoint(tx, &other).await)
            .await
            .unwrap(),
        None
    );

    let id = claimed.job.generation_id;
    let totals = store
        .with_tenant(&world.owner, async |tx| model_call::list_totals(tx, id).await)
        .await
        .unwrap();
    assert_eq!(totals.len(), 1);
    assert_eq!(
        (totals[0].batch, totals[0].calls, totals[0].usage.input),
        (3, 4, 400)
    );
    let spent = store
        .with_system(async |tx| model_call::sum_spending(tx, id).await)
        .await
        .unwrap();
    assert_eq!(spent, MicroUsd(20));
    let rejected = store
        .with_tenant(&world.owner, async |tx| {
            model_call::list_rejected(tx, id, 10).await
        })
        .await
        .unwrap();
    assert_eq!(rejected.len(), 2);
}

#[tokio::test]
async fn without_the_lease_no_checkpoint_is_written() {
    let world = World::new().await;
    let worker = world.worker().await;
    world.started().await;
    let claimed = world.claim(&worker).await.unwrap();
    let mut stale = claimed;
    stale.lease.attempt += 1;
    let key = CheckpointKey::new(&claimed.job, "classification", 0, "abc");
    let store = world.store();
    let refused = store
        .with_system(async |tx| {
            checkpoint::record_checkpoint(tx, &stale.lease, &key, &1, &[call(&claimed, 0, 1, ACCEPTED)]).await
        })
        .await;
    assert!(matches!(refused, Err(StoreError::LostLease(_))));
    let id = claimed.job.generation_id;
    assert_eq!(
        store
            .with_system(async |tx| checkpoint::count_checkpoints(tx, id).await)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store
            .with_system(async |tx| model_call::sum_spending(tx, id).await)
            .await
            .unwrap(),
        MicroUsd::ZERO
    );
}

#[tokio::test]
async fn a_failed_generation_goes_on_where_it_stopped() {
    let world = World::new().await;
    let worker = world.worker().await;
    let (course, started) = world.started().await;
    let claimed = world.bring_to(&worker, Stage::Content).await;
    let store = world.store();
    store
        .with_system(async |tx| {
            let written = lesson_content(LessonStatus::Completed);
            lesson::save_lesson(tx, &claimed.lease, &claimed.job, 1, &written, "writing").await
        })
        .await
        .unwrap();
    let failure = Failure {
        code: "BUDGET_EXHAUSTED".to_owned(),
        message: "the budget is spent".to_owned(),
        details: Some(serde_json::json!({"spent": 1})),
    };
    store
        .with_system(async |tx| lifecycle::fail_generation(tx, &claimed.lease, &claimed.job, &failure).await)
        .await
        .unwrap();
    let failed = world.reload(course.id).await;
    assert_eq!(failed.generation_status, Some(GenerationStatus::Failed));
    assert_eq!(failed.progress.steps[3].status, StepStatus::Failed);

    let id = started.generation_id;
    let found = store
        .with_tenant(&world.owner, async |tx| generation::find_resumable(tx).await)
        .await
        .unwrap();
    assert_eq!(found.as_ref().map(|generation| generation.id), Some(id));
    assert_eq!(found.unwrap().failure, Some(failure));
    let resumed = store
        .with_tenant(&world.owner, async |tx| {
            generation::update_budget(tx, id, MicroUsd(9)).await?;
            lifecycle::resume_generation(tx, id).await
        })
        .await
        .unwrap();
    assert_eq!((resumed.stage, resumed.was_active), (Stage::Content, false));
    assert_eq!(
        (resumed.generation.budget, resumed.generation.failure),
        (MicroUsd(9), None)
    );
    let going = world.reload(course.id).await;
    assert_eq!(going.generation_status, Some(GenerationStatus::GeneratingContent));
    assert_eq!(going.progress.steps[3].status, StepStatus::InProgress);
    assert_eq!(
        going.progress.percentage, failed.progress.percentage,
        "it does not go down"
    );
    let lessons = store
        .with_tenant(&world.owner, async |tx| lesson::list_lessons(tx, course.id).await)
        .await
        .unwrap();
    assert_eq!(lessons[0].status, LessonStatus::Completed, "what is done is kept");
    let claimed = world.claim(&worker).await.unwrap();
    world.finish(&claimed).await.unwrap();
}

#[tokio::test]
async fn resuming_an_active_generation_keeps_its_job() {
    let world = World::new().await;
    let (_, started) = world.started().await;
    let id = started.generation_id;
    let resume = async || {
        world
            .store()
            .with_tenant(&world.owner, async |tx| {
                lifecycle::resume_generation(tx, id).await
            })
            .await
    };
    let resumed = resume().await.unwrap();
    assert_eq!((resumed.job_id, resumed.was_active), (started.job_id, true));
}

#[tokio::test]
async fn a_replaced_generation_does_not_go_on() {
    let world = World::new().await;
    let (course, old) = world.started().await;
    let cancel = old.generation_id;
    let store = world.store();
    store
        .with_tenant(&world.owner, async |tx| {
            generation::request_cancel(tx, course.id).await
        })
        .await
        .unwrap();
    world.start(course.id).await.unwrap();
    let refused = store
        .with_tenant(&world.owner, async |tx| {
            lifecycle::resume_generation(tx, cancel).await
        })
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    let generations = store
        .with_tenant(&world.owner, async |tx| {
            generation::list_generations(tx, course.id).await
        })
        .await
        .unwrap();
    let statuses: Vec<_> = generations.iter().map(|generation| generation.status).collect();
    assert_eq!(
        statuses,
        [GenerationStatus::Initializing, GenerationStatus::Cancelled]
    );
}

#[tokio::test]
async fn a_review_stops_before_the_content() {
    let world = World::new().await;
    let worker = world.worker().await;
    let (course, started) = world.started().await;
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    let store = world.store();
    let made = structure(12);
    let next = store
        .with_system(async |tx| {
            let finished = FinishedStage {
                lease: &claimed.lease,
                job: &claimed.job,
                result: StageResult::Structure(&made),
                next: NextStep::Review,
                message: "review",
            };
            lifecycle::finish_stage(tx, &finished).await
        })
        .await
        .unwrap();
    assert_eq!(next, None);
    let waiting = world.reload(course.id).await;
    assert_eq!(waiting.generation_status, Some(GenerationStatus::AwaitingReview));
    assert_eq!(
        (waiting.progress.percentage, world.claim(&worker).await),
        (60, None)
    );
    let id = started.generation_id;
    let resumed = store
        .with_tenant(&world.owner, async |tx| {
            lifecycle::resume_generation(tx, id).await
        })
        .await
        .unwrap();
    assert_eq!(resumed.stage, Stage::Content);
    assert_eq!(
        world.reload(course.id).await.generation_status,
        Some(GenerationStatus::GeneratingContent)
    );
}

#[tokio::test]
async fn documents_come_before_the_analysis() {
    let world = World::new().await;
    let worker = world.worker().await;
    let course = world.course("With documents").await;
    let new = crate::world::new_generation(course.id);
    let store = world.store();
    crate::world::upload(store, &world.owner, course.id, "notes.txt", b"notes").await;
    store
        .with_tenant(&world.owner, async |tx| {
            lifecycle::start_generation(tx, &new).await
        })
        .await
        .unwrap();
    let statuses = async || world.reload(course.id).await;
    let claimed = world.bring_to(&worker, Stage::DocumentProcessing).await;
    assert_eq!(
        statuses().await.generation_status,
        Some(GenerationStatus::ProcessingDocuments)
    );
    world.finish(&claimed).await.unwrap();
    let between = statuses().await;
    assert_eq!(between.generation_status, Some(GenerationStatus::AnalyzingTask));
    assert_eq!(
        between.progress.steps[1].status,
        StepStatus::InProgress,
        "step 2 spans both"
    );
    world.bring_to(&worker, Stage::Structure).await;
    let after = statuses().await;
    assert_eq!(
        after.generation_status,
        Some(GenerationStatus::GeneratingStructure)
    );
    assert_eq!(after.progress.steps[1].status, StepStatus::Completed);
}

#[tokio::test]
async fn every_saved_structure_is_a_version() {
    let world = World::new().await;
    let course = world.course("Versions").await;
    let store = world.store();
    for lessons in [10, 11] {
        let made = structure(lessons);
        let author = Some(world.owner.user_id);
        store
            .with_system(async |tx| {
                version::save_structure(tx, course.id, &made, "edited", author, None).await
            })
            .await
            .unwrap();
    }
    let versions = store
        .with_tenant(&world.owner, async |tx| {
            version::list_versions(tx, course.id).await
        })
        .await
        .unwrap();
    let numbers: Vec<_> = versions
        .iter()
        .map(|version| (version.version, version.cause.as_str()))
        .collect();
    assert_eq!(numbers, [(2, "edited"), (1, "edited")]);
    let first = store
        .with_tenant(&world.owner, async |tx| {
            version::get_version(tx, course.id, 1).await
        })
        .await
        .unwrap();
    assert_eq!(first.lesson_count(), 10);
    let none = store
        .with_tenant(&world.owner, async |tx| {
            version::get_version(tx, course.id, 3).await
        })
        .await;
    assert!(matches!(none, Err(StoreError::NotFound { .. })));
}
