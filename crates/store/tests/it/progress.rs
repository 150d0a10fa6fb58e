//! `update_course_progress`, as other programs call it: by its SQL signature (data model 2.7).

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::world::World;

async fn update(
    connection: &mut PgConnection,
    course: Uuid,
    step: i32,
    status: &str,
    metadata: Value,
) -> Value {
    sqlx::query_scalar("select update_course_progress($1, $2, $3, $4, metadata => $5)")
        .bind(course)
        .bind(step)
        .bind(status)
        .bind(format!("step {step} {status}"))
        .bind(metadata)
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn status(connection: &mut PgConnection, course: Uuid) -> Option<String> {
    sqlx::query_scalar("select generation_status from courses where id = $1")
        .bind(course)
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_generation_goes_through_its_steps() {
    let world = World::new().await;
    let course = world.course("Steps").await.id.as_uuid();
    let mut connection = world.superuser().await;
    let lessons = |done: u32| json!({"lessons_completed": done, "lessons_total": 20});
    // Step, status, metadata; then the expected percentage, current step and generation status.
    let cases = [
        (1, "pending", json!({}), 0, 1, "pending"),
        (1, "in_progress", json!({}), 10, 1, "pending"),
        (1, "completed", json!({}), 20, 1, "initializing"),
        (2, "in_progress", json!({}), 30, 2, "analyzing_task"),
        (2, "completed", json!({}), 40, 2, "analyzing_task"),
        (3, "in_progress", json!({}), 50, 3, "generating_structure"),
        (
            3,
            "in_progress",
            json!({"batches_completed": 4, "total_batches": 8}),
            55,
            3,
            "generating_structure",
        ),
        (
            3,
            "in_progress",
            json!({"batches_completed": 1, "total_batches": 8}),
            55,
            3,
            "generating_structure",
        ),
        (
            3,
            "in_progress",
            json!({"batches_completed": 8, "total_batches": 8}),
            59,
            3,
            "generating_structure",
        ),
        (3, "completed", json!({}), 60, 3, "generating_structure"),
        (4, "in_progress", lessons(0), 70, 4, "generating_content"),
        (4, "in_progress", lessons(10), 75, 4, "generating_content"),
        (2, "in_progress", json!({}), 75, 4, "generating_content"),
        (4, "completed", lessons(20), 80, 4, "generating_content"),
        (5, "in_progress", json!({}), 90, 5, "finalizing"),
        (5, "completed", json!({}), 100, 5, "completed"),
        (3, "in_progress", json!({}), 100, 5, "completed"),
        (5, "failed", json!({}), 100, 5, "completed"),
    ];
    for (step, step_status, metadata, percentage, current, expected) in cases {
        let case = format!("{step} {step_status} {metadata}");
        let first = update(&mut connection, course, step, step_status, metadata.clone()).await;
        assert_eq!(first["percentage"], percentage, "{case}: {first}");
        assert_eq!(first["current_step"], current, "{case}");
        assert_eq!(
            status(&mut connection, course).await.as_deref(),
            Some(expected),
            "{case}"
        );
        let again = update(&mut connection, course, step, step_status, metadata).await;
        assert_eq!(first, again, "{case} is idempotent");
    }
    let history: i64 = sqlx::query_scalar("select count(*) from generation_status_history")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(history, 7, "each change of status once");
}

#[tokio::test]
async fn the_shape_and_the_names_are_those_of_the_contract() {
    let world = World::new().await;
    let course = world.course("Shape").await.id.as_uuid();
    let mut connection = world.superuser().await;
    let names = |progress: &Value| -> Vec<String> {
        progress["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let progress = update(&mut connection, course, 1, "completed", json!({})).await;
    let expected = [
        "Запуск генерации",
        "Анализ задачи",
        "Генерация структуры",
        "Создание контента",
        "Финализация",
    ];
    assert_eq!(names(&progress), expected);
    let fields: Vec<&str> = progress["steps"][0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut fields = fields;
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "completed_at",
            "error",
            "error_details",
            "id",
            "name",
            "started_at",
            "status"
        ]
    );
    let typed: domain::generation::GenerationProgress = serde_json::from_value(progress.clone()).unwrap();
    assert_eq!(typed.total_steps, 5);
    assert!(typed.steps[0].completed_at.is_some() && typed.steps[1].started_at.is_none());

    let progress = update(
        &mut connection,
        course,
        2,
        "in_progress",
        json!({"has_documents": true}),
    )
    .await;
    assert_eq!(progress["has_documents"], true);
    assert_eq!(names(&progress)[1], "Обработка документов");
    assert_eq!(
        status(&mut connection, course).await.as_deref(),
        Some("processing_documents")
    );
    let progress = update(&mut connection, course, 3, "in_progress", json!({})).await;
    assert_eq!(
        names(&progress)[1],
        "Обработка документов",
        "what is known stays known"
    );
    assert_eq!(
        status(&mut connection, course).await.as_deref(),
        Some("generating_structure")
    );
}

#[tokio::test]
async fn a_failure_is_told_and_fails_the_generation() {
    let world = World::new().await;
    let course = world.course("Failure").await.id.as_uuid();
    let mut connection = world.superuser().await;
    update(&mut connection, course, 3, "in_progress", json!({})).await;
    let failed: Value =
        sqlx::query_scalar("select update_course_progress($1, 3, 'failed', 'm', 'no answer', $2)")
            .bind(course)
            .bind(json!({"code": "LLM_ERROR"}))
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(failed["steps"][2]["status"], "failed");
    assert_eq!(failed["steps"][2]["error"], "no answer");
    assert_eq!(failed["steps"][2]["error_details"]["code"], "LLM_ERROR");
    assert_eq!(failed["percentage"], 50, "it does not go down");
    assert_eq!(status(&mut connection, course).await.as_deref(), Some("failed"));
    // A late report of a worker does not revive it; a new launch does, from the beginning.
    update(&mut connection, course, 4, "in_progress", json!({})).await;
    assert_eq!(status(&mut connection, course).await.as_deref(), Some("failed"));
    let relaunched = update(&mut connection, course, 1, "in_progress", json!({})).await;
    assert_eq!(relaunched["percentage"], 10);
    assert_eq!(relaunched["steps"][2]["status"], "pending");
    assert_eq!(status(&mut connection, course).await.as_deref(), Some("pending"));
}

#[tokio::test]
async fn what_does_not_exist_is_refused() {
    let world = World::new().await;
    let course = world.course("Refused").await.id.as_uuid();
    let mut connection = world.superuser().await;
    for (step, status, word) in [
        (0, "completed", "step 0"),
        (6, "completed", "step 6"),
        (-1, "completed", "step -1"),
        (1, "done", "done"),
        (1, "", "step status"),
        (1, "Completed", "Completed"),
    ] {
        let refused = sqlx::query("select update_course_progress($1, $2, $3, 'm')")
            .bind(course)
            .bind(step)
            .bind(status)
            .execute(&mut connection)
            .await
            .unwrap_err();
        let refused = refused.as_database_error().unwrap();
        assert_eq!(refused.code().unwrap(), "22023", "{step} {status}");
        assert!(refused.message().contains(word), "{}", refused.message());
    }
    let unknown: Option<Value> = sqlx::query_scalar("select update_course_progress($1, 1, 'completed', 'm')")
        .bind(domain::id::CourseId::generate().as_uuid())
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(unknown, None, "an unknown course gives NULL");
}

/// Twenty lessons report at once, in any order: no report is lost and the percentage only rises.
#[tokio::test]
async fn concurrent_reports_add_up() {
    let world = World::new().await;
    let course = world.course("Many").await.id.as_uuid();
    let mut connection = world.superuser().await;
    update(
        &mut connection,
        course,
        4,
        "in_progress",
        json!({"lessons_completed": 0, "lessons_total": 20}),
    )
    .await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4_u32 {
        let mut own = world.superuser().await;
        tasks.spawn(async move {
            let mut seen = Vec::new();
            for report in 0..5_u32 {
                let done = report * 4 + writer + 1;
                let metadata = json!({"lessons_completed": done, "lessons_total": 20});
                let progress = update(&mut own, course, 4, "in_progress", metadata).await;
                seen.push(progress["percentage"].as_i64().unwrap());
            }
            seen
        });
    }
    while let Some(seen) = tasks.join_next().await {
        let seen = seen.unwrap();
        assert!(seen.is_sorted(), "{seen:?}");
    }
    let progress: Value = sqlx::query_scalar("select generation_progress from courses where id = $1")
        .bind(course)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        (&progress["lessons_completed"], &progress["percentage"]),
        (&json!(20), &json!(79))
    );
}
