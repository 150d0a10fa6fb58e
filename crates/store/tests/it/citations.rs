//! What lessons cite follows their texts and their documents.

use domain::id::{ChunkId, CourseId, DocumentId};
use domain::language::Language;
use domain::lesson::{ContentBlock, LessonContent, LessonStatus};
use domain::stage::Stage;
use domain::user::Role;
use store::citation::list_sources;
use store::document;
use store::lesson::{StaleReason, StoredLesson, list_lessons, revise_lesson, save_lesson};
use store::queue::ClaimedJob;

use crate::library::{self, parts};
use crate::world::{World, colleague, lesson_content, upload};

const DEMAND: &str = "Demand falls when the price rises.";
const SUPPLY: &str = "Supply rises with the price.";
const MARKET: &str = "In equilibrium both are equal.";

struct Desk {
    world: World,
    job: ClaimedJob,
    course: CourseId,
}

impl Desk {
    /// A course whose lessons are being written.
    async fn new() -> Self {
        let world = World::new().await;
        let (course, _) = world.started().await;
        let worker = world.worker().await;
        let job = world.bring_to(&worker, Stage::Content).await;
        Self {
            world,
            job,
            course: course.id,
        }
    }

    async fn read(&self, filename: &str, texts: &[&str]) -> DocumentId {
        let store = self.world.store();
        library::document(store, &self.world.owner, self.course, filename, texts)
            .await
            .id
    }

    async fn chunks(&self, document: DocumentId) -> Vec<ChunkId> {
        let parts = parts(self.world.store(), document).await;
        parts.into_iter().map(|chunk| chunk.id).collect()
    }

    async fn write(&self, number: u32, citations: &[&[String]]) {
        let mut content: LessonContent = lesson_content(LessonStatus::Completed);
        content.blocks = citations
            .iter()
            .map(|citations| ContentBlock {
                title: "Block".to_owned(),
                body: "Text.".to_owned(),
                citations: citations.to_vec(),
            })
            .collect();
        let (lease, job) = (&self.job.lease, &self.job.job);
        self.world
            .store()
            .with_system(async |tx| save_lesson(tx, lease, job, number, &content, "written").await)
            .await
            .unwrap();
    }

    /// Saves the text that was read with another count of words.
    async fn revise(&self, read: &StoredLesson) -> bool {
        let mut content = read.content.clone().unwrap();
        content.word_count = 7;
        let (lease, job) = (&self.job.lease, &self.job.job);
        self.world
            .store()
            .with_system(async |tx| revise_lesson(tx, lease, job, read, &content).await)
            .await
            .unwrap()
    }

    async fn lesson(&self, number: u32) -> StoredLesson {
        let lessons = self
            .world
            .store()
            .with_system(async |tx| list_lessons(tx, self.course).await)
            .await
            .unwrap();
        lessons
            .into_iter()
            .find(|lesson| lesson.lesson_number == number)
            .unwrap()
    }

    async fn cited(&self, number: u32) -> Vec<Vec<String>> {
        let content = self.lesson(number).await.content.unwrap();
        content.blocks.into_iter().map(|block| block.citations).collect()
    }

    async fn sources(&self) -> Vec<domain::document::CitedSource> {
        let course = self.course;
        self.world
            .store()
            .with_system(async |tx| list_sources(tx, course).await)
            .await
            .unwrap()
    }
}

fn id(chunk: ChunkId) -> String {
    chunk.to_string()
}

#[tokio::test]
async fn a_lesson_cites_chunks_of_its_course_and_nothing_else() {
    let desk = Box::pin(Desk::new()).await;
    let document = desk.read("market.md", &[DEMAND, SUPPLY]).await;
    let elsewhere = desk.world.course("Elsewhere").await.id;
    let foreign = library::document(
        desk.world.store(),
        &desk.world.owner,
        elsewhere,
        "b.md",
        &[MARKET],
    )
    .await
    .id;
    let chunks = desk.chunks(document).await;
    let foreign = id(desk.chunks(foreign).await[0]);
    let unknown = id(ChunkId::generate());
    desk.write(
        1,
        &[
            &[
                id(chunks[0]),
                foreign,
                "no id".to_owned(),
                unknown,
                id(chunks[1]),
                id(chunks[0]),
            ],
            &[],
        ],
    )
    .await;
    assert_eq!(desk.cited(1).await, [vec![id(chunks[0]), id(chunks[1])], vec![]]);
    let sources = desk.sources().await;
    assert_eq!(sources.len(), 2);
    let source = sources
        .iter()
        .find(|source| source.chunk_id == id(chunks[0]))
        .unwrap();
    assert_eq!(source.document, "market.md");
    assert_eq!(source.document_id, document.to_string());
    assert_eq!((source.page_first, source.page_last), (Some(1), Some(2)));
    assert_eq!(source.heading_path, ["market.md"]);
    assert_eq!(source.excerpt, DEMAND);
    // Written again, it cites something else.
    desk.write(1, &[&[id(chunks[1])]]).await;
    assert_eq!(desk.sources().await.len(), 1);
}

#[tokio::test]
async fn a_text_without_strange_citations_is_saved_as_it_is() {
    let desk = Box::pin(Desk::new()).await;
    let document = desk.read("market.md", &[DEMAND]).await;
    let chunks = desk.chunks(document).await;
    desk.write(1, &[&[id(chunks[0])], &[]]).await;
    let before = desk.lesson(1).await.content;
    desk.write(1, &[&[id(chunks[0])], &[]]).await;
    assert_eq!(desk.lesson(1).await.content, before);
    desk.write(2, &[]).await;
    assert!(desk.lesson(2).await.content.unwrap().blocks.is_empty());
}

#[tokio::test]
async fn whoever_reads_the_course_sees_what_it_cites() {
    let desk = Box::pin(Desk::new()).await;
    let document = desk.read("market.md", &[DEMAND]).await;
    desk.write(1, &[&[id(desk.chunks(document).await[0])]]).await;
    let store = desk.world.store();
    let student = colleague(store, &desk.world.owner, Role::Student, "student@alpha.example").await;
    let course = desk.course;
    let seen = async |actor| {
        let sources = store
            .with_tenant(actor, async |tx| list_sources(tx, course).await)
            .await;
        sources.unwrap().len()
    };
    assert_eq!(seen(&desk.world.owner).await, 1);
    assert_eq!(seen(&student).await, 0, "it is not published");
    sqlx::query("update courses set status = 'published'")
        .execute(&mut desk.world.superuser().await)
        .await
        .unwrap();
    assert_eq!(seen(&student).await, 1);
}

#[tokio::test]
async fn a_document_uploaded_again_moves_citations_or_makes_lessons_stale() {
    let desk = Box::pin(Desk::new()).await;
    let store = desk.world.store();
    let owner = &desk.world.owner;
    let old = desk.read("market.md", &[DEMAND, SUPPLY, MARKET]).await;
    let kept = desk.read("other.md", &["Taxes burden buyers."]).await;
    let (chunks, tax) = (desk.chunks(old).await, desk.chunks(kept).await[0]);
    desk.write(1, &[&[id(chunks[0])]]).await;
    desk.write(2, &[&[id(chunks[1]), id(tax)], &[id(chunks[0])]])
        .await;
    desk.write(3, &[&[id(tax)]]).await;
    // The second paragraph was changed, one was put before all.
    let changed = "Supply falls with the price.";
    let new = upload(store, owner, desk.course, "market.md", b"new")
        .await
        .document
        .id;
    let texts = ["A word before.", DEMAND, changed, MARKET];
    let replaced = library::read(store, new, "market.md", &texts, Language::English).await;
    assert_eq!(replaced.documents, [old]);
    assert_eq!(replaced.stale_lessons, [2]);
    let now = desk.chunks(new).await;
    assert_eq!(desk.cited(1).await, [[id(now[1])]]);
    assert_eq!(desk.cited(2).await, [[id(tax)], [id(now[1])]]);
    assert_eq!(desk.lesson(1).await.stale, None);
    assert_eq!(
        desk.lesson(2).await.stale.unwrap().reason,
        StaleReason::SourceChanged
    );
    assert_eq!(desk.lesson(3).await.stale, None);
    let sources = desk.sources().await;
    let ids: Vec<&str> = sources.iter().map(|source| source.document_id.as_str()).collect();
    assert!(!ids.contains(&old.to_string().as_str()) && ids.contains(&new.to_string().as_str()));
    let gone = store
        .with_system(async |tx| document::get_document(tx, old).await)
        .await;
    assert!(gone.is_err());
    // Written anew, it is not stale any more.
    desk.write(2, &[&[id(now[2])]]).await;
    assert_eq!(desk.lesson(2).await.stale, None);
}

#[tokio::test]
async fn the_same_content_uploaded_again_changes_nothing() {
    let desk = Box::pin(Desk::new()).await;
    let store = desk.world.store();
    let old = desk.read("market.md", &[DEMAND]).await;
    let chunks = desk.chunks(old).await;
    desk.write(1, &[&[id(chunks[0])]]).await;
    let new = upload(
        store,
        &desk.world.owner,
        desk.course,
        "market.md",
        DEMAND.as_bytes(),
    )
    .await;
    let new = new.document.id;
    let replaced = library::read(store, new, "market.md", &[DEMAND], Language::English).await;
    assert_eq!((replaced.documents, replaced.stale_lessons), (vec![old], vec![]));
    assert_eq!(desk.cited(1).await, [[id(chunks[0])]]);
    assert_eq!(desk.lesson(1).await.stale, None);
    assert_eq!(desk.sources().await[0].document_id, new.to_string());
}

#[tokio::test]
async fn what_a_removed_document_said_is_cited_no_more() {
    let desk = Box::pin(Desk::new()).await;
    let store = desk.world.store();
    let document = desk.read("market.md", &[DEMAND]).await;
    let kept = desk.read("other.md", &["Taxes burden buyers."]).await;
    let (gone, tax) = (desk.chunks(document).await[0], desk.chunks(kept).await[0]);
    desk.write(1, &[&[id(gone), id(tax)]]).await;
    desk.write(2, &[&[id(tax)]]).await;
    store
        .with_tenant(&desk.world.owner, async |tx| {
            document::delete_document(tx, document).await
        })
        .await
        .unwrap();
    assert_eq!(desk.cited(1).await, [[id(tax)]]);
    assert_eq!(
        desk.lesson(1).await.stale.unwrap().reason,
        StaleReason::SourceRemoved
    );
    assert_eq!(desk.lesson(2).await.stale, None);
    assert_eq!(desk.sources().await.len(), 1);
}

#[tokio::test]
async fn a_lesson_is_saved_while_its_source_is_removed() {
    let desk = Box::pin(Desk::new()).await;
    let document = desk.read("market.md", &[DEMAND]).await;
    let kept = desk.read("other.md", &["Taxes burden buyers."]).await;
    let (gone, tax) = (desk.chunks(document).await[0], desk.chunks(kept).await[0]);
    let mut removal = desk.world.store().tenant(&desk.world.owner).await.unwrap();
    document::delete_document(&mut removal, document).await.unwrap();
    let removed = async {
        desk.world.until_somebody_waits().await;
        removal.commit().await.unwrap();
    };
    let cited = [id(gone), id(tax)];
    let blocks = [cited.as_slice()];
    tokio::join!(desk.write(1, &blocks), removed);
    assert_eq!(desk.cited(1).await, [[id(tax)]]);
    assert_eq!(desk.sources().await.len(), 1);
    let stale = desk.lesson(1).await.stale.map(|stale| stale.reason);
    assert_eq!(stale, Some(StaleReason::SourceRemoved));
    desk.write(1, &[&[id(tax)]]).await;
    assert_eq!(desk.lesson(1).await.stale, None, "a new text of what is there");
}

#[tokio::test]
async fn a_revised_text_keeps_its_sources_and_that_it_is_stale() {
    let desk = Box::pin(Desk::new()).await;
    let document = desk.read("market.md", &[DEMAND]).await;
    let kept = desk.read("other.md", &["Taxes burden buyers."]).await;
    let (gone, tax) = (desk.chunks(document).await[0], desk.chunks(kept).await[0]);
    desk.write(1, &[&[id(gone), id(tax)]]).await;
    let early = desk.lesson(1).await;
    let mut removal = desk.world.store().tenant(&desk.world.owner).await.unwrap();
    document::delete_document(&mut removal, document).await.unwrap();
    let removed = async {
        desk.world.until_somebody_waits().await;
        removal.commit().await.unwrap();
    };
    // It waits for the removal, and then it is not the text any more that was read.
    let (is_saved, ()) = tokio::join!(desk.revise(&early), removed);
    assert!(!is_saved);
    assert_eq!(desk.cited(1).await, [[id(tax)]]);
    let read = desk.lesson(1).await;
    assert!(read.stale.is_some());
    assert!(desk.revise(&read).await);
    let revised = desk.lesson(1).await;
    assert_eq!((revised.stale, revised.word_count), (read.stale, 7));
    assert_eq!(revised.content.unwrap().word_count, 7);
    assert_eq!(desk.sources().await.len(), 1);
}

#[tokio::test]
async fn a_replacement_needs_no_place_among_the_files() {
    let world = World::new().await;
    let store = world.store();
    let course = world.course("Files").await.id;
    let reserve = async |filename: Option<&'static str>| {
        store
            .with_tenant(&world.owner, async move |tx| {
                let mut limits =
                    store::tier::get_tier_settings(tx, domain::organization::Tier::Standard).await?;
                limits.max_files_per_course = 1;
                let reservation = match filename {
                    Some(name) => document::reserve_replacement(tx, course, name, 3, &limits).await?,
                    None => document::reserve_upload(tx, course, 3, &limits).await?,
                };
                Ok(reservation.id)
            })
            .await
    };
    let waiting = upload(store, &world.owner, course, "a.md", b"one").await;
    assert!(
        reserve(Some("a.md")).await.is_err(),
        "nothing was read that it could replace"
    );
    library::read(store, waiting.document.id, "a.md", &[DEMAND], Language::English).await;
    assert!(reserve(None).await.is_err());
    assert!(reserve(Some("b.md")).await.is_err());
    assert!(reserve(Some("a.md")).await.is_ok());
    assert!(reserve(Some("a.md")).await.is_err(), "one replacement at a time");
}
