//! Uploads into a real database and a real folder.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta};
use domain::clock::FixedClock;
use domain::course::CourseRequest;
use domain::language::Language;
use futures::stream;
use store::course::insert_course;
use store::organization::{ensure_local_owner, get_organization, insert_organization};
use store::testkit::{TestDatabase, database};
use store::tier::update_tier_settings;
use store::user::{NewUser, insert_user};

use super::archive::tests::archive;
use super::*;
use crate::config::{Environment, Flags};
use crate::procedures::error::{ApiError, ErrorCode};

struct World {
    uploads: Uploads,
    store: Arc<Store>,
    author: Actor,
    course_id: CourseId,
    folder: tempfile::TempDir,
    clock: Arc<FixedClock>,
    _database: TestDatabase,
}

type Chunks = Vec<Result<Bytes, std::io::Error>>;

impl World {
    async fn new(tier: Tier) -> Self {
        let database = database().await.unwrap();
        let store = Arc::new(database.open().await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let flags = Flags {
            data_dir: Some(folder.path().to_path_buf()),
            ..Flags::default()
        };
        let config = Config::load(&flags, &Environment::default()).unwrap();
        let blobs = open_blobs(&config).unwrap();
        let clock = Arc::new(FixedClock::new(DateTime::UNIX_EPOCH));
        let told: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let uploads = Uploads::new(&config, Arc::clone(&store), blobs, told, TaskTracker::new()).unwrap();
        let organization_id = store
            .with_system(async |tx| insert_organization(tx, "Test", tier).await)
            .await
            .unwrap();
        let author = person(&store, organization_id, "ann@example.org", Role::Instructor).await;
        Self {
            course_id: course(&store, &author).await,
            uploads,
            store,
            author,
            folder,
            clock,
            _database: database,
        }
    }

    /// Changes the limits of a tier.
    async fn limit(&self, tier: Tier, change: impl Fn(&mut TierSettings)) {
        let owner = self
            .store
            .with_system(async |tx| ensure_local_owner(tx).await)
            .await
            .unwrap();
        let changed = self.store.with_tenant(&owner, async |tx| {
            let mut settings = get_tier_settings(tx, tier).await?;
            change(&mut settings);
            update_tier_settings(tx, &settings).await
        });
        changed.await.unwrap();
    }

    fn declared(&self, filename: &str, mime_type: &str, size_bytes: usize) -> Declared {
        Declared {
            course_id: self.course_id,
            filename: filename.to_owned(),
            mime_type: Some(mime_type.to_owned()),
            size_bytes: size_bytes as u64,
        }
    }

    async fn send(&self, declared: Declared, chunks: Chunks) -> Result<Document, UploadError> {
        self.uploads
            .receive(self.author, declared, stream::iter(chunks))
            .await
    }

    async fn text(&self, name: &str, text: &str) -> Result<Document, UploadError> {
        self.send(
            self.declared(name, "text/plain", text.len()),
            whole(text.as_bytes()),
        )
        .await
    }

    /// Bytes of the quota in use, as the organization counts them.
    async fn used(&self) -> u64 {
        let id = self.author.organization_id;
        let read = self.store.with_system(async |tx| get_organization(tx, id).await);
        read.await.unwrap().storage_used_bytes
    }

    async fn documents(&self) -> Vec<Document> {
        let id = self.course_id;
        let listed = self
            .store
            .with_tenant(&self.author, async |tx| document::list_documents(tx, id).await);
        listed.await.unwrap()
    }

    /// Every file below the folders of uploads.
    fn files(&self) -> Vec<PathBuf> {
        let mut folders = vec![
            self.folder.path().join("files"),
            self.folder.path().join("incoming"),
        ];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files
    }

    async fn expect_nothing(&self, what: &str) {
        assert_eq!(self.used().await, 0, "{what}: quota");
        assert_eq!(self.files(), Vec::<PathBuf>::new(), "{what}: files");
        assert_eq!(self.documents().await, [], "{what}: documents");
    }
}

async fn person(
    store: &Store,
    organization_id: domain::id::OrganizationId,
    email: &str,
    role: Role,
) -> Actor {
    let new = NewUser {
        organization_id,
        email: email.to_owned(),
        name: None,
        role,
        password_hash: None,
    };
    store
        .with_system(async |tx| insert_user(tx, &new).await)
        .await
        .unwrap()
}

async fn course(store: &Store, author: &Actor) -> CourseId {
    let request: CourseRequest =
        serde_json::from_value(serde_json::json!({"title": "Rust for beginners"})).unwrap();
    let (inputs, _) = request.check(Language::English).unwrap();
    let made = store.with_tenant(author, async |tx| insert_course(tx, &inputs).await);
    made.await.unwrap().id
}

fn whole(bytes: &[u8]) -> Chunks {
    bytes
        .chunks(1000)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect()
}

fn code(refused: Result<Document, UploadError>) -> ErrorCode {
    ApiError::from(refused.unwrap_err()).code
}

#[tokio::test]
async fn a_file_becomes_a_document_and_is_kept_as_it_came() {
    let world = World::new(Tier::Premium).await;
    let bytes: Vec<u8> = (0..12_000_000_u32)
        .map(|number| b'a' + (number % 23) as u8)
        .collect();
    let declared = world.declared("Учебный план.md", "text/markdown; charset=utf-8", bytes.len());
    let document = world.send(declared, whole(&bytes)).await.unwrap();
    assert_eq!(
        (document.filename.as_str(), document.mime_type.as_str()),
        ("Учебный план.md", "text/markdown")
    );
    assert_eq!(document.sha256, hex::encode(Sha256::digest(&bytes)));
    assert_eq!(world.used().await, bytes.len() as u64);
    let files = world.files();
    assert_eq!(files.len(), 1);
    assert!(
        !files[0].to_string_lossy().contains("план"),
        "keys are made here: {files:?}"
    );
    assert_eq!(std::fs::read(&files[0]).unwrap(), bytes);

    world.uploads.delete(world.author, document.id).await.unwrap();
    world.expect_nothing("deleted").await;
}

#[tokio::test]
async fn nothing_is_taken_in_after_the_trial() {
    let world = World::new(Tier::Trial).await;
    let first = world.text("first.txt", "12345").await.unwrap();
    // Far beyond the days that began when the organization was made.
    world.clock.advance(TimeDelta::days(100 * 365));
    assert_eq!(
        code(world.text("second.txt", "67890").await),
        ErrorCode::TrialEnded
    );
    assert_eq!(world.documents().await, [first], "what is there stays");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_order_of_the_checks() {
    // Everything is wrong with this file; what is mended from step to step shows the next fault.
    let world = World::new(Tier::Free).await;
    let mut declared = world.declared("../plan.exe", "image/png", 0);
    let student = Actor {
        role: Role::Student,
        ..world.author
    };
    let by_student = world
        .uploads
        .receive(student, declared.clone(), stream::iter(whole(b"\0\0")))
        .await;
    assert_eq!(code(by_student), ErrorCode::Forbidden);
    let send =
        async |declared: &Declared, bytes: &[u8]| code(world.send(declared.clone(), whole(bytes)).await);

    assert_eq!(send(&declared, b"\0\0").await, ErrorCode::FilesNotAllowed);
    world
        .limit(Tier::Free, |free| {
            (free.max_files_per_course, free.max_file_bytes, free.storage_bytes) = (1, 10, 5);
            free.formats = vec!["txt".to_owned()];
        })
        .await;
    let first = world.text("first.txt", "12345").await.unwrap();
    assert_eq!(send(&declared, b"\0\0").await, ErrorCode::TooManyFiles);
    world
        .limit(Tier::Free, |free| free.max_files_per_course = 9)
        .await;
    assert_eq!(send(&declared, b"\0\0").await, ErrorCode::EmptyFile);
    declared.size_bytes = 11;
    assert_eq!(send(&declared, b"\0\0").await, ErrorCode::FileTooLarge);
    declared.size_bytes = 3;
    assert_eq!(send(&declared, b"\0\0").await, ErrorCode::FileTypeNotAllowed);
    declared.filename = "../plan.txt".to_owned();
    assert_eq!(send(&declared, b"\0\0").await, ErrorCode::FileTypeNotAllowed);
    declared.mime_type = Some("text/plain".to_owned());
    assert_eq!(send(&declared, b"\0\0").await, ErrorCode::FileContentMismatch);
    assert_eq!(send(&declared, b"ab").await, ErrorCode::StorageQuotaExceeded);
    world.limit(Tier::Free, |free| free.storage_bytes = 100).await;
    assert_eq!(send(&declared, b"ab").await, ErrorCode::InvalidFileName);
    declared.filename = "plan.txt".to_owned();
    assert_eq!(send(&declared, b"ab").await, ErrorCode::FileSizeMismatch);
    assert_eq!(send(&declared, b"abcd").await, ErrorCode::FileSizeMismatch);
    world.send(declared, whole(b"abc")).await.unwrap();
    assert_eq!(world.used().await, 8);
    assert_eq!(world.files().len(), 2);
    world.uploads.delete(world.author, first.id).await.unwrap();
    assert_eq!(world.used().await, 3);
}

#[tokio::test]
async fn attacks_leave_nothing_behind() {
    let world = World::new(Tier::Premium).await;
    let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let zeros = vec![0; 12 << 20];
    let bomb = archive(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("word/document.xml", &zeros),
    ]);
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let attacks: [(&str, &str, &[u8], ErrorCode); 12] = [
        (
            "../../etc/passwd.txt",
            "text/plain",
            b"root",
            ErrorCode::InvalidFileName,
        ),
        (
            "..\\..\\boot.txt",
            "text/plain",
            b"root",
            ErrorCode::InvalidFileName,
        ),
        (
            "/etc/cron.d/a.txt",
            "text/plain",
            b"root",
            ErrorCode::InvalidFileName,
        ),
        ("a\0.txt", "text/plain", b"root", ErrorCode::InvalidFileName),
        (
            "a\r\nSet-Cookie: b.txt",
            "text/plain",
            b"root",
            ErrorCode::InvalidFileName,
        ),
        ("a.txt", "text/plain", b"", ErrorCode::EmptyFile),
        ("a.pdf", "application/pdf", png, ErrorCode::FileContentMismatch),
        ("a.png", "image/png", b"MZ\x90\0", ErrorCode::FileContentMismatch),
        ("a.png", "text/plain", png, ErrorCode::FileTypeNotAllowed),
        ("a.svg", "image/svg+xml", b"<svg/>", ErrorCode::FileTypeNotAllowed),
        (
            "a.docx",
            docx,
            b"PK\x03\x04 but no archive",
            ErrorCode::FileContentMismatch,
        ),
        ("bomb.docx", docx, &bomb, ErrorCode::UnsafeArchive),
    ];
    for (name, mime_type, bytes, expected) in attacks {
        let declared = world.declared(name, mime_type, bytes.len());
        assert_eq!(
            code(world.send(declared, whole(bytes)).await),
            expected,
            "{name:?}"
        );
        world.expect_nothing(name).await;
    }
}

#[tokio::test]
async fn broken_off_uploads_leave_nothing_behind() {
    let world = World::new(Tier::Standard).await;
    for sent in [0, 100, 5000, 100_000] {
        let mut chunks = whole(&vec![b'a'; sent]);
        chunks.push(Err(std::io::ErrorKind::ConnectionReset.into()));
        let declared = world.declared("a.txt", "text/plain", 200_000);
        let broken = world.send(declared, chunks).await;
        assert!(matches!(broken, Err(UploadError::BrokenOff)), "{broken:?}");
        world.expect_nothing("broken off").await;
    }
}

/// As when its disk is full: nothing can be made in it.
#[tokio::test]
async fn a_store_that_takes_nothing_costs_no_quota() {
    let world = World::new(Tier::Premium).await;
    let files = world.folder.path().join("files");
    for size in [1000, 9 << 20] {
        std::fs::remove_dir_all(&files).unwrap();
        std::fs::write(&files, "no folder").unwrap();
        let failed = world.text("a.txt", &"a".repeat(size)).await.unwrap_err();
        assert!(matches!(failed, UploadError::Files(_)), "{failed:?}");
        let told = ApiError::from(failed);
        assert_eq!(told.code, ErrorCode::Unavailable);
        assert!(told.retry_after_secs.is_some());
        std::fs::remove_file(&files).unwrap();
        std::fs::create_dir(&files).unwrap();
        world.expect_nothing("a full disk").await;
    }
    let document = world.text("a.txt", &"a".repeat(9 << 20)).await.unwrap();
    assert_eq!(
        (world.files().len(), world.used().await),
        (1, document.size_bytes)
    );
}

#[tokio::test]
async fn a_request_that_is_dropped_is_cleaned_up_after() {
    let world = World::new(Tier::Standard).await;
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    sender
        .unbounded_send(Ok(Bytes::from(vec![b'a'; 50_000])))
        .unwrap();
    let declared = world.declared("a.txt", "text/plain", 200_000);
    let mut request = Box::pin(world.uploads.receive(world.author, declared, receiver));
    // Until the room is reserved.
    while world.used().await == 0 {
        assert!(futures::poll!(&mut request).is_pending());
    }
    drop(request);
    drop(sender);
    world.uploads.tasks.close();
    world.uploads.tasks.wait().await;
    world.expect_nothing("dropped").await;
}

#[tokio::test]
async fn fifty_uploads_at_once_never_exceed_the_quota() {
    let world = World::new(Tier::Standard).await;
    world
        .limit(Tier::Standard, |standard| {
            (standard.storage_bytes, standard.max_files_per_course) = (20_500, 100);
        })
        .await;
    let texts: Vec<_> = (0..50)
        .map(|number| format!("{number:02}{}", "x".repeat(998)))
        .collect();
    let sent = texts.iter().map(|text| world.text("a.txt", text));
    let results = futures::future::join_all(sent).await;
    let (taken, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 20);
    for refused in refused {
        assert_eq!(code(refused), ErrorCode::StorageQuotaExceeded);
    }
    assert_eq!(world.used().await, 20_000);
    assert_eq!(world.files().len(), 20);
    assert_eq!(world.documents().await.len(), 20);
}

#[tokio::test]
async fn fifty_uploads_at_once_never_exceed_the_number_of_files() {
    let world = World::new(Tier::Standard).await;
    let texts: Vec<_> = (0..50).map(|number| format!("file {number}")).collect();
    let results = futures::future::join_all(texts.iter().map(|text| world.text("a.txt", text))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 3);
    for refused in refused {
        assert_eq!(code(refused), ErrorCode::TooManyFiles);
    }
    assert_eq!((world.files().len(), world.documents().await.len()), (3, 3));
}

#[tokio::test]
async fn equal_files_of_an_organization_are_kept_once() {
    let world = World::new(Tier::Standard).await;
    let one = world.text("one.txt", "the same").await.unwrap();
    let other = world.text("other.txt", "the same").await.unwrap();
    assert_eq!(one.sha256, other.sha256);
    assert_eq!((world.files().len(), world.used().await), (1, 8));
    world.uploads.delete(world.author, one.id).await.unwrap();
    assert_eq!((world.files().len(), world.used().await), (1, 8));
    world.uploads.delete(world.author, other.id).await.unwrap();
    world.expect_nothing("both deleted").await;
}

#[tokio::test]
async fn only_the_owner_adds_and_removes() {
    let world = World::new(Tier::Standard).await;
    let document = world.text("one.txt", "mine").await.unwrap();
    let organization_id = world.author.organization_id;
    let admin = person(&world.store, organization_id, "admin@example.org", Role::Admin).await;
    let colleague = person(&world.store, organization_id, "bob@example.org", Role::Instructor).await;
    let send = async |actor: Actor| {
        let declared = world.declared("two.txt", "text/plain", 4);
        code(
            world
                .uploads
                .receive(actor, declared, stream::iter(whole(b"more")))
                .await,
        )
    };
    // An admin sees the course, a colleague does not.
    assert_eq!(send(admin).await, ErrorCode::Forbidden);
    assert_eq!(send(colleague).await, ErrorCode::NotFound);
    for actor in [admin, colleague] {
        world.uploads.delete(actor, document.id).await.unwrap_err();
    }
    assert_eq!(world.documents().await.len(), 1);
}

#[tokio::test]
async fn files_of_expired_uploads_are_swept() {
    let world = World::new(Tier::Standard).await;
    let orphan = world.folder.path().join("files/orphan");
    std::fs::write(&orphan, "left by a killed program").unwrap();
    assert!(
        world
            .uploads
            .remove(&["orphan".to_owned(), "never there".to_owned()])
            .await
    );
    assert!(!orphan.exists());
    world.uploads.sweep().await;
    world.expect_nothing("swept").await;
}
