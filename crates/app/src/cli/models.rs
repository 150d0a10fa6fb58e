//! `models`: the known models, and the files of the embedded ones.

use clap::{Args, Subcommand};
use indicatif::{HumanBytes, MultiProgress};
use llm::card::{Languages, ModelCard};
use llm::pricing::Price;
use llm::weights::{ModelFile, ModelFiles};

use super::output::print;
use super::providers::stored_capabilities;
use super::run::Signals;
use super::table::{row, table};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::wiring::{
    DEFAULT_EMBEDDED, EMBEDDED, EMBEDDING_FILE, Fetcher, PullDisplay, all_cards, embedded_file,
};

/// The arguments of `models`.
#[derive(Args, Debug)]
pub(super) struct Models {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the known models: of remote providers and embedded ones
    List,
    /// Fetch an embedded model's file, and the embedding model
    Pull {
        /// The model's id or the file's name [default: the default embedded model and the embedding model]
        id: Option<String>,
    },
    /// Compare the checksums of the files that are there
    Check {
        /// The model's id or the file's name [default: all that are there]
        id: Option<String>,
    },
}

impl Models {
    /// Runs the command.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        match self.action {
            Action::List => list(config).await,
            Action::Pull { id } => pull(config, id.as_deref()).await,
            Action::Check { id } => check(config, id.as_deref()).await,
        }
    }
}

async fn list(config: &Config) -> Result<Exit, Failure> {
    let files = ModelFiles::shipped()?;
    let fetcher = Fetcher::new(config)?;
    let mut rows = vec![row([
        "MODEL",
        "PROVIDER",
        "WINDOW",
        "USD/M IN",
        "USD/M OUT",
        "LANGUAGES",
        "STATE",
    ])];
    rows.extend(all_cards(config)?.iter().map(|card| {
        let state = if card.provider == EMBEDDED {
            embedded_file(&files, &card.id)
                .map_or_else(|| "no file".to_owned(), |file| file_state(&fetcher, file))
        } else if config.provider(&card.provider).is_some() {
            "ready".to_owned()
        } else {
            "provider not set up".to_owned()
        };
        card_row(card, state)
    }));
    if let Some(file) = files.find(EMBEDDING_FILE) {
        rows.push(row([
            &file.name,
            EMBEDDED,
            "512",
            "-",
            "-",
            "any",
            &file_state(&fetcher, file),
        ]));
    }
    print(&table(&rows))?;
    let learnt = stored_capabilities(config).await;
    if !learnt.is_empty() {
        let mut rows = vec![row(["MODEL", "AT", "ASKED WITH (LEARNT FROM ITS SERVER)"])];
        rows.extend(
            learnt
                .iter()
                .map(|one| row([&one.model, &one.address, &one.capabilities.to_string()])),
        );
        print(&format!("\n{}", table(&rows)))?;
    }
    Ok(Exit::Success)
}

fn card_row(card: &ModelCard, state: String) -> Vec<String> {
    let price = |of: fn(Price) -> f64| match card.price.map(of) {
        None => "?".to_owned(),
        Some(0.0) => "-".to_owned(),
        Some(usd) => format!("{usd:.2}"),
    };
    let languages = match &card.languages {
        Languages::Any => "any".to_owned(),
        Languages::Listed(codes) => codes.join(","),
    };
    vec![
        card.id.clone(),
        card.provider.clone(),
        card.context_window.to_string(),
        price(|price| price.input),
        price(|price| price.output),
        languages,
        state,
    ]
}

fn file_state(fetcher: &Fetcher, file: &ModelFile) -> String {
    match fetcher.find(file) {
        Some(_) => "ready".to_owned(),
        None => format!("not fetched ({})", HumanBytes(file.bytes)),
    }
}

/// The files that `id` means.
fn wanted<'a>(files: &'a ModelFiles, id: Option<&str>) -> Result<Vec<&'a ModelFile>, Failure> {
    let Some(id) = id else {
        let both = [embedded_file(files, DEFAULT_EMBEDDED), files.find(EMBEDDING_FILE)];
        return Ok(both.into_iter().flatten().collect());
    };
    let id = if id == EMBEDDED { DEFAULT_EMBEDDED } else { id };
    embedded_file(files, id).map(|file| vec![file]).ok_or_else(|| {
        let known = files
            .files
            .iter()
            .map(|file| file.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        Failure::setup(format!("there is no model file '{id}'; known are {known}"))
            .advice("models of remote providers have no files: `coursewright providers test` checks them")
    })
}

async fn pull(config: &Config, id: Option<&str>) -> Result<Exit, Failure> {
    let files = ModelFiles::shipped()?;
    let fetcher = Fetcher::new(config)?;
    let signals = Signals::listen()?;
    let display = PullDisplay::new(&MultiProgress::new());
    for file in wanted(&files, id)? {
        let path = fetcher.pull(file, &display, signals.token()).await?;
        print(&path.display().to_string())?;
    }
    Ok(Exit::Success)
}

async fn check(config: &Config, id: Option<&str>) -> Result<Exit, Failure> {
    let files = ModelFiles::shipped()?;
    let fetcher = Fetcher::new(config)?;
    let folder = config.models_folder();
    let is_there = |file: &ModelFile| folder.join(file.file_name()).exists();
    let chosen: Vec<&ModelFile> = match id {
        Some(_) => wanted(&files, id)?,
        None => files.files.iter().filter(|file| is_there(file)).collect(),
    };
    if chosen.is_empty() {
        print(&format!("no model files in {}", folder.display()))?;
        return Ok(Exit::Success);
    }
    let mut exit = Exit::Success;
    for file in chosen {
        if !is_there(file) {
            return Err(
                Failure::setup(format!("the file of '{}' is not there", file.name))
                    .advice("fetch it: `coursewright models pull`"),
            );
        }
        match fetcher.verify(file).await {
            Ok(path) => print(&format!("ok       {}", path.display()))?,
            Err(failure) => {
                exit = Exit::Setup;
                print(&format!("damaged  {}", file.name))?;
                eprintln!("{failure}");
            }
        }
    }
    Ok(exit)
}
