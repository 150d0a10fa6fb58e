//! Editing, listing, copying courses, and making parts of them anew.

use domain::generation::{GenerationScope, GenerationStatus, StepStatus};
use domain::id::CourseId;
use domain::lesson::LessonStatus;
use domain::organization::Tier;
use domain::stage::Stage;
use domain::structure::CourseStructure;
use domain::user::{Actor, Role};
use store::course::change::{self, CourseChanges};
use store::course::{self, CourseFilter, Publication, Tenants, copy};
use store::error::StoreError;
use store::generation::lifecycle::{self, FinishedStage, NextStep, StageResult};
use store::lesson::{self, StoredLesson};
use store::queue::ClaimedJob;
use store::version;

use crate::world::{World, colleague, course_of, lesson_content, new_generation, person, structure};

#[tokio::test]
async fn who_edits_an_older_state_is_told() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("First").await;
    let update = async |actor: &Actor, expected: Option<u32>, changes: &CourseChanges| {
        store
            .with_tenant(actor, async |tx| {
                change::update_course(tx, course.id, expected, changes).await
            })
            .await
    };
    let rename = CourseChanges {
        title: Some("Second".to_owned()),
        desired_lessons_count: Some(Some(12)),
        ..CourseChanges::default()
    };
    let changed = update(&world.owner, Some(course.revision), &rename)
        .await
        .unwrap();
    assert_eq!(changed.inputs.title, "Second");
    assert_eq!(changed.inputs.desired_lessons_count, Some(12));
    assert_eq!(changed.slug, course.slug);
    assert_eq!(changed.revision, course.revision + 1);
    let stale = update(&world.owner, Some(course.revision), &rename).await;
    assert!(
        matches!(stale, Err(StoreError::Stale { expected, found }) if expected + 1 == found),
        "{stale:?}"
    );
    let same = update(&world.owner, Some(changed.revision), &rename)
        .await
        .unwrap();
    assert_eq!(
        same.revision, changed.revision,
        "what changes nothing is no revision"
    );
    let emptied = CourseChanges {
        desired_lessons_count: Some(None),
        publication: Some(Publication::Published),
        ..CourseChanges::default()
    };
    let published = update(&world.owner, None, &emptied).await.unwrap();
    assert_eq!(published.inputs.desired_lessons_count, None);
    assert_eq!(published.publication, Publication::Published);

    let other = world.course("Other").await;
    let taken = CourseChanges {
        slug: Some(other.slug),
        ..CourseChanges::default()
    };
    assert!(matches!(
        update(&world.owner, None, &taken).await,
        Err(StoreError::Conflict(_))
    ));
    let reader = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let refused = update(&reader, None, &rename).await;
    assert!(
        matches!(refused, Err(StoreError::Forbidden(_))),
        "published, so visible, but not theirs: {refused:?}"
    );
    let stranger = person(store, "Beta", Tier::Free, Role::Admin).await;
    let refused = update(&stranger, None, &rename).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
}

#[tokio::test]
async fn progress_is_no_revision() {
    let world = World::new().await;
    let course = world.course("Course").await;
    world.start(course.id).await.unwrap();
    assert_eq!(world.reload(course.id).await.revision, course.revision);
}

#[tokio::test]
async fn courses_are_listed_by_what_is_asked() {
    let world = World::new().await;
    let store = world.store();
    let (first, _) = world.started().await;
    world.course("100% Python_3").await;
    let superadmin = person(store, "Operators", Tier::Premium, Role::Superadmin).await;
    course_of(store, &superadmin, "Operating").await;
    let list = async |actor: &Actor, filter: CourseFilter| -> Vec<String> {
        let mut titles: Vec<String> = store
            .with_tenant(actor, async |tx| {
                course::list_courses(tx, &filter, None, 10).await
            })
            .await
            .unwrap()
            .into_iter()
            .map(|course| course.title)
            .collect();
        titles.sort();
        titles
    };
    let search = |text: &str| CourseFilter {
        search: Some(text.to_owned()),
        ..CourseFilter::default()
    };
    let owner = &world.owner;
    assert_eq!(list(owner, search("rust FOR")).await, ["Rust for beginners"]);
    assert_eq!(list(owner, search("0% p")).await, ["100% Python_3"]);
    assert_eq!(list(owner, search("n_3")).await, ["100% Python_3"]);
    assert_eq!(list(owner, search("s_f")).await, Vec::<String>::new());
    let initializing = CourseFilter {
        generation_status: Some(Some(GenerationStatus::Initializing)),
        ..CourseFilter::default()
    };
    assert_eq!(list(owner, initializing).await, ["Rust for beginners"]);
    let never = CourseFilter {
        generation_status: Some(None),
        owner: Some(owner.user_id),
        ..CourseFilter::default()
    };
    assert_eq!(list(owner, never).await, ["100% Python_3"]);
    let published = CourseFilter {
        publication: Some(Publication::Published),
        ..CourseFilter::default()
    };
    assert_eq!(list(owner, published).await, Vec::<String>::new());
    let everywhere = CourseFilter {
        tenants: Tenants::All,
        ..CourseFilter::default()
    };
    assert_eq!(list(&superadmin, everywhere.clone()).await.len(), 3);
    assert_eq!(list(owner, everywhere).await.len(), 2, "all that they may see");
    let of_one = CourseFilter {
        tenants: Tenants::One(first.organization_id),
        ..CourseFilter::default()
    };
    assert_eq!(list(&superadmin, of_one).await.len(), 2);
}

/// Three sections of four lessons with titles of their own, and all texts written.
async fn finished(world: &World) -> (CourseId, CourseStructure) {
    let mut whole = structure(12);
    let section = whole.sections.remove(0);
    for (number, lessons) in section.lessons.chunks(4).enumerate() {
        let mut part = section.clone();
        part.section_title = format!("Section {}", number + 1);
        part.lessons = lessons.to_vec();
        whole.sections.push(part);
    }
    for lesson in whole.sections.iter_mut().flat_map(|section| &mut section.lessons) {
        lesson.lesson_title = format!("Lesson {}", lesson.lesson_number);
    }
    whole.renumber();
    let worker = world.worker().await;
    let course = world.course("Whole").await.id;
    world.start(course).await.unwrap();
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    finish_with(world, &claimed, &whole).await;
    let claimed = world.bring_to(&worker, Stage::Content).await;
    for number in 1..=12 {
        write(world, &claimed, number, &format!("text {number}")).await;
    }
    world.finish(&claimed).await.unwrap();
    let last = world.bring_to(&worker, Stage::Finalization).await;
    world.finish(&last).await.unwrap();
    (course, whole)
}

async fn finish_with(world: &World, claimed: &ClaimedJob, structure: &CourseStructure) {
    world
        .store()
        .with_system(async |tx| {
            let finished = FinishedStage {
                lease: &claimed.lease,
                job: &claimed.job,
                result: StageResult::Structure(structure),
                next: NextStep::Stage(Stage::Content),
                message: "next",
            };
            lifecycle::finish_stage(tx, &finished).await
        })
        .await
        .unwrap();
}

async fn write(world: &World, claimed: &ClaimedJob, number: u32, text: &str) {
    let mut content = lesson_content(LessonStatus::Completed);
    content.summary = text.to_owned();
    world
        .store()
        .with_system(async |tx| {
            lesson::save_lesson(tx, &claimed.lease, &claimed.job, number, &content, "written").await
        })
        .await
        .unwrap();
}

async fn lessons(world: &World, course: CourseId) -> Vec<StoredLesson> {
    world
        .store()
        .with_system(async |tx| lesson::list_lessons(tx, course).await)
        .await
        .unwrap()
}

/// What is written, by number; waiting lessons are `-`.
fn texts(lessons: &[StoredLesson]) -> Vec<String> {
    let text = |lesson: &StoredLesson| match (&lesson.content, lesson.status) {
        (Some(content), LessonStatus::Completed) => content.summary.clone(),
        _ => "-".to_owned(),
    };
    let numbers: Vec<u32> = lessons.iter().map(|lesson| lesson.lesson_number).collect();
    let count = u32::try_from(lessons.len()).unwrap();
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    lessons.iter().map(text).collect()
}

fn numbered(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| format!("text {number}"))
        .collect()
}

#[tokio::test]
async fn one_section_is_made_anew_and_all_else_stays() {
    let world = World::new().await;
    let store = world.store();
    let (course, mut whole) = finished(&world).await;
    let before = world.reload(course).await;
    let mut new = new_generation(course);
    new.scope = GenerationScope::Section {
        number: 2,
        instruction: Some("more practice".to_owned()),
    };
    let started = store
        .with_tenant(&world.owner, async |tx| {
            lifecycle::start_generation(tx, &new).await
        })
        .await
        .unwrap();
    assert_eq!(started.stage, Stage::Structure);
    let begun = world.reload(course).await;
    assert_eq!(begun.structure, before.structure);
    assert_eq!(begun.analysis, before.analysis);
    assert_eq!(begun.progress.steps[1].status, StepStatus::Completed);
    assert_eq!(begun.progress.percentage, 40);

    let worker = world.worker().await;
    let claimed = world.bring_to(&worker, Stage::Structure).await;
    let generation = store
        .with_system(async |tx| store::generation::get_generation(tx, claimed.job.generation_id).await)
        .await
        .unwrap();
    assert_eq!(generation.scope, new.scope);
    // The section grows from four lessons to six.
    let extra = whole.sections[1].lessons[0].clone();
    whole.sections[1].lessons.extend([extra.clone(), extra]);
    whole.renumber();
    finish_with(&world, &claimed, &whole).await;
    let after = lessons(&world, course).await;
    let mut expected = numbered(1..=4);
    expected.extend(std::iter::repeat_n("-".to_owned(), 6));
    expected.extend(numbered(9..=12));
    assert_eq!(texts(&after), expected);
    assert!(
        after
            .iter()
            .all(|lesson| lesson.generation_id == Some(started.generation_id)),
        "what is kept counts as this generation's"
    );
    let claimed = world.bring_to(&worker, Stage::Content).await;
    for number in 5..=10 {
        write(&world, &claimed, number, &format!("new {number}")).await;
    }
    let progress = world.reload(course).await.progress;
    assert_eq!((progress.lessons_completed, progress.lessons_total), (14, 14));
    let versions = store
        .with_tenant(&world.owner, async |tx| version::list_versions(tx, course).await)
        .await
        .unwrap();
    assert_eq!(versions[0].cause, "regeneration of section 2");
    assert_eq!(versions[0].author_id, Some(world.owner.user_id));
}

#[tokio::test]
async fn one_lesson_is_written_anew() {
    let world = World::new().await;
    let store = world.store();
    let (course, _) = finished(&world).await;
    let mut new = new_generation(course);
    new.scope = GenerationScope::Lesson {
        number: 7,
        also: Vec::new(),
        instruction: None,
    };
    let started = store
        .with_tenant(&world.owner, async |tx| {
            lifecycle::start_generation(tx, &new).await
        })
        .await
        .unwrap();
    assert_eq!(started.stage, Stage::Content);
    let waiting = lessons(&world, course).await;
    assert_eq!(waiting[6].status, LessonStatus::Pending);
    assert!(
        waiting[6].content.is_some(),
        "the old text stays until the new one is there"
    );
    let worker = world.worker().await;
    let claimed = world.bring_to(&worker, Stage::Content).await;
    assert_eq!(
        world.reload(course).await.generation_status,
        Some(GenerationStatus::GeneratingContent)
    );
    write(&world, &claimed, 7, "new").await;
    let mut expected = numbered(1..=12);
    expected[6] = "new".to_owned();
    assert_eq!(texts(&lessons(&world, course).await), expected);
    world.finish(&claimed).await.unwrap();
    let last = world.bring_to(&worker, Stage::Finalization).await;
    world.finish(&last).await.unwrap();
    assert_eq!(
        world.reload(course).await.generation_status,
        Some(GenerationStatus::Completed)
    );
}

#[tokio::test]
async fn only_what_exists_is_made_anew() {
    let world = World::new().await;
    let store = world.store();
    let empty = world.course("Empty").await.id;
    let (whole, _) = finished(&world).await;
    let section = |number| GenerationScope::Section {
        number,
        instruction: None,
    };
    let lesson = |number| GenerationScope::Lesson {
        number,
        also: Vec::new(),
        instruction: None,
    };
    for (course, scope) in [
        (empty, section(1)),
        (empty, lesson(1)),
        (whole, section(0)),
        (whole, section(4)),
        (whole, lesson(13)),
    ] {
        let mut new = new_generation(course);
        new.scope = scope;
        let refused = store
            .with_tenant(&world.owner, async |tx| {
                lifecycle::start_generation(tx, &new).await
            })
            .await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn an_edited_structure_keeps_the_texts_of_its_lessons() {
    let world = World::new().await;
    let store = world.store();
    let (course, original) = finished(&world).await;
    let mut edited = original.clone();
    edited.sections.swap(0, 2);
    edited.sections[1].lessons.remove(0);
    edited.renumber();
    let changed = store
        .with_tenant(&world.owner, async |tx| {
            change::update_structure(tx, course, None, &edited, "sections moved").await
        })
        .await
        .unwrap();
    assert_eq!(changed.structure.as_ref(), Some(&edited));
    let mut expected = numbered(9..=12);
    expected.extend(numbered(6..=8));
    expected.extend(numbered(1..=4));
    assert_eq!(texts(&lessons(&world, course).await), expected);

    let restored = store
        .with_tenant(&world.owner, async |tx| {
            change::restore_version(tx, course, 1).await
        })
        .await
        .unwrap();
    assert_eq!(restored.structure.as_ref(), Some(&original));
    assert_eq!(restored.version, 3, "a restored version is a new one");
    let mut expected = numbered(1..=12);
    expected[4] = "-".to_owned();
    assert_eq!(texts(&lessons(&world, course).await), expected);
    let missing = store
        .with_tenant(&world.owner, async |tx| {
            change::restore_version(tx, course, 9).await
        })
        .await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    world.start(course).await.unwrap();
    let busy = store
        .with_tenant(&world.owner, async |tx| {
            change::restore_version(tx, course, 1).await
        })
        .await;
    assert!(matches!(busy, Err(StoreError::Conflict(_))), "{busy:?}");
}

/// Starting raises no revision, so the lock alone tells that the course is being made now.
#[tokio::test]
async fn an_edit_that_meets_a_start_is_refused() {
    let world = World::new().await;
    let store = world.store();
    let (course, whole) = finished(&world).await;
    let mut tx = store.tenant(&world.owner).await.unwrap();
    lifecycle::start_generation(&mut tx, &new_generation(course))
        .await
        .unwrap();
    let edit = store.with_tenant(&world.owner, async |tx| {
        change::update_structure(tx, course, None, &whole, "edited").await
    });
    let start = async {
        // By then the edit has read the course and waits for its lock, or comes later.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        tx.commit().await.unwrap();
    };
    let (edited, ()) = tokio::join!(edit, start);
    assert!(matches!(edited, Err(StoreError::Conflict(_))), "{edited:?}");
}

#[tokio::test]
async fn a_copy_has_everything_but_the_past() {
    let world = World::new().await;
    let store = world.store();
    let (course, whole) = finished(&world).await;
    let reader = colleague(store, &world.owner, Role::Instructor, "other@alpha.example").await;
    let hidden = store
        .with_tenant(&reader, async |tx| copy::duplicate_course(tx, course).await)
        .await;
    assert!(matches!(hidden, Err(StoreError::NotFound { .. })), "{hidden:?}");
    store
        .with_tenant(&world.owner, async |tx| {
            change::set_publication(tx, course, Publication::Published).await
        })
        .await
        .unwrap();
    let copied = store
        .with_tenant(&reader, async |tx| copy::duplicate_course(tx, course).await)
        .await
        .unwrap();
    assert_eq!(copied.owner_id, reader.user_id);
    assert_eq!(copied.publication, Publication::Draft);
    assert_eq!(copied.structure.as_ref(), Some(&whole));
    assert_eq!((copied.version, copied.generation_status), (1, None));
    assert_eq!(texts(&lessons(&world, copied.id).await), numbered(1..=12));
    let student = colleague(store, &world.owner, Role::Student, "student@alpha.example").await;
    let refused = store
        .with_tenant(&student, async |tx| copy::duplicate_course(tx, course).await)
        .await;
    assert!(matches!(refused, Err(StoreError::Forbidden(_))), "{refused:?}");
}
