//! The files of the embedded models: found, announced, fetched with a progress bar.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use llm::weights::{ModelFile, ModelFiles, PullEvent, PullObserver, Weights, WeightsError};
use tokio_util::sync::CancellationToken;

use super::plan::{EmbeddingChoice, Plan};
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// Where the files of a plan's embedded models are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// The language model.
    pub(crate) model: Option<PathBuf>,
    /// The embedding model.
    pub(crate) embedding: Option<PathBuf>,
}

/// Finds and fetches files.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    weights: Weights,
    /// Where files are kept.
    folder: PathBuf,
    /// Folders and base URLs to look in before the sources on the cards.
    own_sources: Vec<String>,
}

impl Fetcher {
    /// For the models folder of the configuration.
    ///
    /// # Errors
    /// [`Failure`] only if the program was built with a broken table of files.
    pub(crate) fn new(config: &Config) -> Result<Self, Failure> {
        let hub = ModelFiles::shipped()?.hub;
        let mut weights = Weights::new(config.models_folder(), hub);
        if config.settings.pretend_disk_is_full {
            weights = weights.with_free_space(|_| Ok(0));
        }
        Ok(Self {
            weights,
            folder: config.models_folder(),
            own_sources: config.settings.weight_sources.clone(),
        })
    }

    /// Where the file is, if it is there and known to be good.
    pub(crate) fn find(&self, file: &ModelFile) -> Option<PathBuf> {
        self.weights.find(file)
    }

    /// Reads the file again and compares its checksum.
    ///
    /// # Errors
    /// [`Failure`] if it is damaged; it has been removed then.
    pub(crate) async fn verify(&self, file: &ModelFile) -> Result<PathBuf, Failure> {
        Ok(self.weights.verify(file).await?)
    }

    /// Makes sure that the file is there.
    ///
    /// # Errors
    /// [`Failure`] naming the sources that were tried, or what the disk lacks.
    pub(crate) async fn pull(
        &self,
        file: &ModelFile,
        observer: &dyn PullObserver,
        cancel: &CancellationToken,
    ) -> Result<PathBuf, Failure> {
        Ok(self
            .weights
            .pull(&self.with_own_sources(file), observer, cancel)
            .await?)
    }

    /// Fetches whatever `plan` needs and is not there.
    ///
    /// # Errors
    /// As [`Fetcher::pull`].
    pub(crate) async fn pull_all(
        &self,
        plan: &Plan,
        observer: &dyn PullObserver,
        cancel: &CancellationToken,
    ) -> Result<Files, Failure> {
        let mut files = Files::default();
        if let Some(embedded) = &plan.embedded {
            files.model = Some(self.pull(&embedded.file, observer, cancel).await?);
        }
        if let EmbeddingChoice::Embedded(file) = &plan.embedding {
            files.embedding = Some(self.pull(file, observer, cancel).await?);
        }
        Ok(files)
    }

    /// Fetches what reading and searching documents needs: the embedding model alone. The language model is named where
    /// it lies or would lie; it is not read unless it is called.
    ///
    /// # Errors
    /// As [`Fetcher::pull`].
    pub(crate) async fn pull_for_search(
        &self,
        plan: &Plan,
        observer: &dyn PullObserver,
        cancel: &CancellationToken,
    ) -> Result<Files, Failure> {
        let mut files = Files::default();
        if let Some(embedded) = &plan.embedded {
            let place = || self.folder.join(embedded.file.file_name());
            files.model = Some(self.find(&embedded.file).unwrap_or_else(place));
        }
        if let EmbeddingChoice::Embedded(file) = &plan.embedding {
            files.embedding = Some(self.pull(file, observer, cancel).await?);
        }
        Ok(files)
    }

    /// Whether reading and searching documents needs nothing to be fetched.
    pub(crate) fn has_for_search(&self, plan: &Plan) -> bool {
        match &plan.embedding {
            EmbeddingChoice::Remote(_) => true,
            EmbeddingChoice::Embedded(file) => self.find(file).is_some(),
        }
    }

    fn with_own_sources(&self, file: &ModelFile) -> ModelFile {
        use llm::weights::Source;
        let own = self.own_sources.iter().filter_map(|place| {
            if place.starts_with("http://") || place.starts_with("https://") {
                return Some(Source::Url {
                    url: format!("{}/{}", place.trim_end_matches('/'), file.file_name()),
                });
            }
            let path = Path::new(place).join(file.file_name());
            path.exists().then_some(Source::Path { path })
        });
        let sources = own.chain(file.sources.iter().cloned()).collect();
        ModelFile {
            sources,
            ..file.clone()
        }
    }
}

/// Says what is fetched, how big it is, from where and under which licence; then draws a bar.
#[derive(Debug)]
pub(crate) struct PullDisplay {
    bars: MultiProgress,
    bar: Mutex<Option<ProgressBar>>,
}

impl PullDisplay {
    /// A display on this terminal.
    pub(crate) fn new(bars: &MultiProgress) -> Self {
        Self {
            bars: bars.clone(),
            bar: Mutex::new(None),
        }
    }

    fn say(&self, line: &str) {
        self.bars.suspend(|| eprintln!("{line}"));
    }
}

impl PullObserver for PullDisplay {
    fn on_event(&self, event: &PullEvent) {
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            PullEvent::Present { .. } => {}
            PullEvent::Waiting => self.say("Another process is fetching the model file; waiting for it ..."),
            PullEvent::Start {
                name,
                bytes,
                licence,
                source,
            } => {
                self.say(&format!(
                    "Fetching {name}: {}, licence {licence}, from {source}",
                    HumanBytes(*bytes)
                ));
                let new = self.bars.add(ProgressBar::new(*bytes));
                let template = "  {bar:30.cyan/blue} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}";
                new.set_style(
                    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                *bar = Some(new);
            }
            PullEvent::Progress { bytes, .. } => {
                if let Some(bar) = &*bar {
                    bar.set_position(*bytes);
                }
            }
            PullEvent::SourceFailed { source, reason } => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
                self.say(&format!("  {source} did not work: {reason}"));
            }
            PullEvent::Done { path } => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
                self.say(&format!("  checksum is right: {}", path.display()));
            }
        }
    }
}

impl From<WeightsError> for Failure {
    fn from(error: WeightsError) -> Self {
        let mut failure = Self::of(error.kind(), &error);
        let advice = match &error {
            WeightsError::Table(_) | WeightsError::Cancelled => return failure,
            WeightsError::NoSpace { .. } => "make room, or choose another disk with --data-dir",
            WeightsError::WrongChecksum { .. } => "fetch it again: `coursewright models pull`",
            WeightsError::Unreadable { .. } | WeightsError::NotAModel { .. } => {
                "name a readable GGUF file, or leave --model out"
            }
            WeightsError::Unwritable { .. } => "choose another folder with --data-dir",
            WeightsError::AllSourcesFailed { .. } => {
                // Whatever the reason, nothing has begun and the set-up decides over it.
                failure.exit = Exit::Setup;
                "connect to the network once, or name a folder with the file in `weight_sources`"
            }
        };
        failure.advice(advice)
    }
}
