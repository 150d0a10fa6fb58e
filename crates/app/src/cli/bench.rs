//! `bench`: figures of this machine, measured by the product itself.

mod embedded;
mod faults;
mod headings;
mod orchestration;
mod repair;
mod retrieval;
mod service;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use store::Store;
use store::cluster::Unobserved;

use super::output::print;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::wiring::store_config;

/// The arguments of `bench`.
#[derive(Args, Debug)]
pub(super) struct Bench {
    /// What is measured [default: all that needs no model file]
    #[arg(value_enum)]
    subject: Option<Subject>,
    /// The GGUF file for `embedded` [default: the default embedded model, if it is there]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The course for `headings`: a file that `export --format json` wrote
    #[arg(long, value_name = "FILE")]
    course: Option<PathBuf>,
    /// The folder with books for `retrieval`: `BOOK.json` with glossaries and `BOOK/*.md`; for `headings` the folder with
    /// the chapters that the course was made from
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// How `faults` is measured
    #[command(flatten)]
    faults: faults::Setting,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Subject {
    /// Mending damaged JSON
    Repair,
    /// The whole pipeline with a provider that takes exactly 2 s a call, 8 sections
    Orchestration,
    /// Whole courses with a provider as strict as real servers that does all that goes wrong with them
    Faults,
    /// The API and the worker: starts with many clients, progress, 200 generations at once, memory
    Service,
    /// Finding in documents: how well, by words, by vectors and by both
    Retrieval,
    /// A course made from documents: how much of their table of contents it covers
    Headings,
    /// Finding in 1 000 documents: how fast, and the size of the indexes
    Search,
    /// The embedded model: prompt and answer tokens a second
    Embedded,
}

impl Bench {
    /// Measures and prints.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        print(&machine())?;
        match self.subject {
            Some(Subject::Repair) => print(&repair::measure()?)?,
            Some(Subject::Orchestration) => print(&orchestration::measure(config).await?)?,
            Some(Subject::Faults) => print(&Box::pin(faults::measure(config, &self.faults)).await?)?,
            Some(Subject::Service) => print(&Box::pin(service::measure(config)).await?)?,
            Some(Subject::Retrieval) => {
                let measured = Box::pin(retrieval::measure_quality(config, self.data.as_deref()));
                print(&measured.await?)?;
            }
            Some(Subject::Headings) => {
                let measured = headings::measure(config, self.course.as_deref(), self.data.as_deref());
                print(&Box::pin(measured).await?)?;
            }
            Some(Subject::Search) => print(&Box::pin(retrieval::measure_large(config)).await?)?,
            Some(Subject::Embedded) => print(&embedded::measure(config, self.model).await?)?,
            None => {
                print(&repair::measure()?)?;
                print(&orchestration::measure(config).await?)?;
            }
        }
        Ok(Exit::Success)
    }
}

/// Measures in a database of its own, which is removed afterwards.
async fn in_own_database<T>(
    config: &Config,
    measure: impl AsyncFnOnce(&Arc<Store>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let folder = config.data_dir.join(format!("bench-{}", std::process::id()));
    let mut database = store_config(config);
    database.database_url = None;
    database.cluster.folder.clone_from(&folder);
    let store = Arc::new(Store::open(&database, &Unobserved).await?);
    let measured = measure(&store).await;
    if let Some(store) = Arc::into_inner(store) {
        store.close().await?;
    }
    // The folder was made by this command a moment ago; what cannot be removed is a rest in the user's own folder.
    let _ = std::fs::remove_dir_all(&folder);
    measured
}

fn machine() -> String {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let processor =
        value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_else(|| "memory unknown".to_owned());
    let build = if cfg!(debug_assertions) {
        "debug build: figures are not representative"
    } else {
        "release build"
    };
    format!(
        "coursewright {}, {processor}, {threads} threads, {memory}, {build}",
        env!("CARGO_PKG_VERSION")
    )
}
