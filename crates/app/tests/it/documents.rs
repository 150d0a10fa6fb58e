//! Courses from documents: taken in, read, cited, asked, replaced.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::language::Language;
use serde_json::{Value, json};

use crate::desk::{Desk, Ran};
use crate::provider::Provider;
use crate::service::Service;

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// What a keeper of bees might have written; `yield_of_honey` is what the tests change.
fn handbook(yield_of_honey: &str) -> String {
    let mut text = String::from("# Handbook of the apiary\n\n");
    for (heading, sentence) in [
        (
            "The colony",
            "A colony is one queen, some hundred drones and many thousand workers.",
        ),
        (
            "The hive",
            "A hive has a floor, two boxes of frames, a crown board and a roof.",
        ),
        (
            "Swarming",
            "A swarm leaves when the queen has no room to lay and new queens are raised.",
        ),
        (
            "Varroa mites",
            "Mites are counted on a board under the floor before they are treated.",
        ),
    ] {
        write!(text, "## {heading}\n\n").unwrap();
        for number in 1..=6 {
            write!(
                text,
                "{sentence} Rule {number} of {heading}: look before you act.\n\n"
            )
            .unwrap();
        }
    }
    let harvest = format!("{yield_of_honey}\n\n").repeat(4);
    text + "## Harvest\n\n" + &harvest + "\n"
}

fn desk_with_documents() -> Desk {
    let desk = Desk::new();
    fs::create_dir(desk.path().join("sources")).unwrap();
    fs::write(
        desk.path().join("sources/handbook.md"),
        handbook("A hive gives twenty kilograms of honey in a good summer."),
    )
    .unwrap();
    fs::write(
        desk.path().join("sources/plants.txt"),
        "Plants for bees\n\nClover, lime and rape give nectar. Willow gives the first pollen of the year.\n",
    )
    .unwrap();
    desk
}

fn create(desk: &Desk, provider: &Provider, arguments: &[&str]) -> Ran {
    let out = desk.out();
    let fixed = [
        "create",
        "Beekeeping for beginners",
        "--out",
        out.to_str().unwrap(),
    ];
    let small = ["--lessons", "10", "--sections", "2"];
    desk.run_with(provider, &[&fixed[..], &small[..], arguments].concat())
}

fn exported(desk: &Desk) -> Value {
    serde_json::from_str(&desk.result("json")).unwrap()
}

/// The ids that each lesson cites.
fn citations(course: &Value) -> Vec<BTreeSet<String>> {
    let lessons = course["lessons"].as_array().unwrap().iter();
    lessons
        .map(|lesson| {
            let blocks = lesson["content"]["blocks"].as_array().unwrap().iter();
            blocks
                .flat_map(|block| block["citations"].as_array().unwrap())
                .map(|id| id.as_str().unwrap().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn course_is_made_from_documents_and_cites_them() {
    let (desk, provider) = (desk_with_documents(), Provider::good(Language::English));
    create(&desk, &provider, &["--document", "sources"]).expect(
        0,
        &[
            "From handbook.md, plants.txt",
            "[2/5] Document processing",
            "[3/5] Structure",
        ],
    );
    let course = exported(&desk);
    let sources: BTreeSet<String> = course["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| source["chunk_id"].as_str().unwrap().to_owned())
        .collect();
    for (cited, number) in citations(&course).iter().zip(1..) {
        assert!(!cited.is_empty(), "lesson {number} cites nothing");
        assert!(cited.is_subset(&sources), "lesson {number}: {cited:?}");
    }
    let grounding = &course["quality"]["grounding"];
    assert_eq!(
        grounding["lessons"].as_array().unwrap().len(),
        course["lessons"].as_array().unwrap().len()
    );
    assert!(desk.result("html").contains("class=\"sources\""));
    assert!(desk.result("md").contains("handbook.md"));

    let course = "beekeeping-for-beginners";
    desk.run_with(&provider, &["documents", "list", course])
        .expect(0, &["handbook.md", "plants.txt", "processed"]);
    let calls = provider.call_count();
    desk.run_with(
        &provider,
        &[
            "ask",
            course,
            "When does a swarm leave the hive?",
            "--sources-only",
        ],
    )
    .expect(0, &["[handbook.md, Handbook of the apiary > Swarming]"]);
    assert_eq!(
        provider.call_count(),
        calls,
        "no model is asked for sources alone"
    );
    desk.run_with(&provider, &["ask", course, "When does a swarm leave the hive?"])
        .expect(0, &[]);
    assert!(provider.call_count() > calls);
}

#[test]
fn changed_document_makes_its_lessons_stale_and_they_are_written_anew() {
    let (desk, provider) = (desk_with_documents(), Provider::good(Language::English));
    create(&desk, &provider, &["--document", "sources/handbook.md"]).expect(0, &[]);
    let before = exported(&desk);
    let course = "beekeeping-for-beginners";
    desk.run_with(&provider, &["regenerate", course, "--stale"])
        .expect(0, &["No lesson rests on a document that has changed"]);

    // Nothing of the old text is left, so every lesson rests on what is gone.
    fs::write(
        desk.path().join("sources/handbook.md"),
        "# Handbook of the goat farm\n\nGoats are milked twice a day. Cheese ripens in a cool cellar for six weeks.\n",
    )
    .unwrap();
    desk.run_with(&provider, &["documents", "add", course, "sources/handbook.md"])
        .expect(0, &["handbook.md", "processed", "regenerate", "--stale"]);
    let listed = desk.run_with(&provider, &["documents", "list", course]);
    assert_eq!(listed.expect(0, &[]).stdout.matches("handbook.md").count(), 1);

    let calls = provider.call_count();
    desk.run_with(&provider, &["regenerate", course, "--stale"])
        .expect(0, &["[4/5] "]);
    assert!(provider.call_count() > calls);
    let after = exported(&desk);
    assert_eq!(before["structure"], after["structure"], "the structure stays");
    for (old, new) in citations(&before).iter().zip(citations(&after)) {
        assert!(old.is_disjoint(&new));
    }
    desk.run_with(&provider, &["regenerate", course, "--stale"])
        .expect(0, &["No lesson rests on a document that has changed"]);
}

#[test]
fn what_cannot_be_a_document_is_refused_before_any_work() {
    let (desk, provider) = (desk_with_documents(), Provider::good(Language::English));
    fs::write(desk.path().join("fake.pdf"), "no PDF").unwrap();
    fs::write(desk.path().join("notes.xyz"), "no document").unwrap();
    for (name, parts) in [
        ("gone.md", ["gone.md does not exist", "what to do"]),
        (
            "fake.pdf",
            ["the content of fake.pdf is not what its name says", "what to do"],
        ),
        (
            "notes.xyz",
            ["notes.xyz is of a type that cannot be read", "pdf, docx"],
        ),
    ] {
        create(&desk, &provider, &["--document", "sources", name]).expect(2, &parts);
    }
    assert_eq!(provider.call_count(), 0);
    desk.run(&["list"]).expect(0, &["There are no courses yet"]);
    desk.run(&["create"]).expect(2, &["<TITLE>"]);
}

#[test]
fn documents_without_text_are_named_and_a_course_of_them_alone_fails() {
    let (desk, provider) = (desk_with_documents(), Provider::good(Language::English));
    fs::write(desk.path().join("blank.md"), "\n \n\n").unwrap();
    create(&desk, &provider, &["--document", "sources", "blank.md"]).expect(0, &["blank.md"]);
    let unused = exported(&desk)["quality"]["grounding"]["unused_documents"].clone();
    let names: Vec<_> = unused
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert!(names.iter().any(|name| *name == "blank.md"), "{unused}");

    let alone = desk.run_with(
        &provider,
        &[
            "create",
            "Nothing at all",
            "--document",
            "blank.md",
            "--out",
            "nothing",
        ],
    );
    alone.expect(2, &["blank.md"]);
    assert!(!desk.path().join("nothing/nothing-at-all.html").exists());
}

/// An author who uses the API.
struct Author<'a> {
    service: Service<'a>,
    token: String,
}

impl Author<'_> {
    fn does(&self, procedure: &str, input: &Value) -> Value {
        self.service
            .post(procedure, &self.token, input)
            .expect(200, "{")
            .json()
    }

    fn reads(&self, query: &str, language: &str) -> Value {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("accept-language", language)];
        let line = format!("GET /api/v1/{query}");
        self.service.send(&line, &headers, b"").expect(200, "{").json()
    }

    /// Reads until it is so.
    fn waits(&self, query: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.reads(query, "en");
            if is_so(&found) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{query}: {found}");
            sleep(Duration::from_millis(200));
        }
    }

    fn uploads(&self, course: &str, name: &str, text: &str) {
        let input = json!({
            "courseId": course, "filename": name, "mimeType": "text/markdown", "size": text.len(),
            "contentBase64": STANDARD.encode(text),
        });
        assert_eq!(self.does("generation.uploadFile", &input)["status"], "uploaded");
    }
}

#[test]
fn uploaded_documents_are_read_in_the_background_asked_and_cited() {
    let (desk, provider) = (Desk::new(), Provider::good(Language::English));
    let url = provider.base_url();
    let service = Service::start(
        &desk,
        &[
            ("OPENAI_BASE_URL", &url),
            ("COURSEWRIGHT_MODEL", "scripted"),
            ("COURSEWRIGHT_EMBEDDINGS__BASE_URL", &url),
            ("COURSEWRIGHT_EMBEDDINGS__MODEL", "scripted-words"),
            ("COURSEWRIGHT_EMBEDDINGS__DIMENSIONS", "256"),
        ],
    );
    service.printed(&["org", "create", "A school", "--tier", "standard"]);
    service.printed(&["user", "create", "ann@example.org", "--org", "A school"]);
    let token = service.printed(&["token", "create", "ann@example.org"]);
    let author = Author { service, token };
    let made = author.does(
        "courses.create",
        &json!({ "title": "Beekeeping for beginners", "review": false }),
    );
    let course = made["id"].as_str().unwrap();
    let honey = "A hive gives twenty kilograms of honey in a good summer.";
    author.uploads(course, "handbook.md", &handbook(honey));
    author.uploads(course, "blank.md", "\n \n\n");

    let mut worker = desk.spawn_with(&provider, &["worker"]);
    let list = format!("documents.list?courseId={course}");
    let statuses = |listed: &Value| -> Vec<String> {
        let items = listed["items"].as_array().unwrap().iter();
        items
            .map(|item| item["status"].as_str().unwrap().to_owned())
            .collect()
    };
    let listed = author.waits(&list, |listed| {
        let open = ["uploaded", "processing"];
        !statuses(listed)
            .iter()
            .any(|status| open.contains(&status.as_str()))
    });
    assert_eq!(statuses(&listed), ["processed", "failed"], "{listed}");
    let failure = |listed: &Value| {
        listed["items"][1]["failure"]["message"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(listed["items"][1]["failure"]["code"], "no_text");
    assert!(!failure(&listed).is_empty());
    assert!(failure(&author.reads(&list, "ru")).starts_with("blank.md: в файле нет текста"));

    let document = format!("documents.get?id={}", listed["items"][0]["id"].as_str().unwrap());
    let read = author.reads(&document, "en");
    assert_eq!(read["text"]["language"], "en");
    assert_eq!(read["text"]["outline"][1]["heading"], "The colony", "{read}");
    assert_eq!(read["usedByLessons"], json!([]));
    let question = json!({ "courseId": course, "question": "How much honey does a hive give?" });
    let answer = author.does("courses.ask", &question);
    assert_eq!(answer["sources"][0]["document"], "handbook.md", "{answer}");
    assert_eq!(answer["unreadDocuments"], json!(["blank.md"]));

    author.does("generation.initiate", &json!({ "courseId": course }));
    let status = format!("generation.getStatus?courseId={course}");
    author.waits(&status, |status| status["status"] == "completed");
    let used = author.reads(&document, "en");
    assert!(!used["usedByLessons"].as_array().unwrap().is_empty(), "{used}");
    worker.kill().unwrap();
    worker.wait().unwrap();
}
