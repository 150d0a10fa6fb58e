//! Going on after the end: a round for what is still open.

use domain::generation::{GenerationStatus, StepStatus};
use domain::lesson::LessonStatus;
use domain::stage::Stage;
use store::error::StoreError;
use store::generation::lifecycle;
use store::lesson;
use store::queue::ClaimedJob;

use crate::world::{World, lesson_content};

#[tokio::test]
async fn completed_generation_goes_on_in_a_new_round_as_long_as_a_lesson_is_open() {
    let world = World::new().await;
    let worker = world.worker().await;
    let (course, started) = world.started().await;
    let id = started.generation_id;
    let store = world.store();
    let resume = async || {
        store
            .with_tenant(&world.owner, async |tx| {
                lifecycle::resume_generation(tx, id).await
            })
            .await
    };
    let write = async |claimed: &ClaimedJob, number: u32, status: LessonStatus| {
        let (lease, job, content) = (claimed.lease, claimed.job, lesson_content(status));
        store
            .with_system(async |tx| lesson::save_lesson(tx, &lease, &job, number, &content, "written").await)
            .await
            .unwrap();
    };
    let lessons = async || {
        store
            .with_tenant(&world.owner, async |tx| lesson::list_lessons(tx, course.id).await)
            .await
            .unwrap()
    };
    let content = world.bring_to(&worker, Stage::Content).await;
    let total = u32::try_from(lessons().await.len()).unwrap();
    for number in 3..=total {
        write(&content, number, LessonStatus::Completed).await;
    }
    write(&content, 2, LessonStatus::NeedsReview).await;
    for number in [1, 3] {
        let (lease, job) = (content.lease, content.job);
        store
            .with_system(async |tx| lesson::fail_lesson(tx, &lease, &job, number, "declined").await)
            .await
            .unwrap();
    }
    let found = lessons().await;
    assert_eq!(
        (found[0].status, found[0].failure.as_deref()),
        (LessonStatus::Failed, Some("declined"))
    );
    assert_eq!(
        (found[2].status, &found[2].failure),
        (LessonStatus::Completed, &None),
        "a text stays"
    );
    world.finish(&content).await.unwrap();
    let last = world.bring_to(&worker, Stage::Finalization).await;
    world.finish(&last).await.unwrap();

    let resumed = resume().await.unwrap();
    assert_eq!((resumed.stage, resumed.generation.round), (Stage::Content, 1));
    let going = world.reload(course.id).await;
    assert_eq!(going.generation_status, Some(GenerationStatus::GeneratingContent));
    assert_eq!(going.progress.steps[4].status, StepStatus::Pending);
    let content = world.bring_to(&worker, Stage::Content).await;
    write(&content, 1, LessonStatus::Completed).await;
    write(&content, 2, LessonStatus::Completed).await;
    assert_eq!(lessons().await[0].failure, None);
    world.finish(&content).await.unwrap();
    let last = world.bring_to(&worker, Stage::Finalization).await;
    world.finish(&last).await.unwrap();
    assert_eq!(
        world.reload(course.id).await.generation_status,
        Some(GenerationStatus::Completed)
    );
    assert!(
        matches!(resume().await, Err(StoreError::Conflict(_))),
        "it is completed"
    );
}
