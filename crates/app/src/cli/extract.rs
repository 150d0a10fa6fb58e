//! `extract`: what is read of a file. Without a file it is the process that reads for another.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use domain::document::{BlockKind, DocumentText};
use formats::import::DocumentFormat;

use super::output::print;
use crate::config::Environment;
use crate::extraction::{Confinement, Extractor, answer, own_program, unreadable_format};
use crate::failure::{Exit, Failure};

/// The arguments of `extract`.
#[derive(Args, Debug)]
pub(super) struct Extract {
    /// PDF, DOCX, PPTX, HTML, EPUB, Markdown, text in any encoding, or a picture
    #[arg(required_unless_present = "format")]
    file: Option<PathBuf>,
    /// Print blocks with their kinds and pages as JSON
    #[arg(long)]
    json: bool,
    /// Read a file of this format from standard input and answer as JSON
    #[arg(long, hide = true, conflicts_with = "file", value_parser = format_of_word)]
    format: Option<DocumentFormat>,
    #[command(flatten)]
    limits: Limits,
}

/// What the process confines itself to.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Memory that the process may use
    #[arg(long, hide = true, default_value_t = 512 << 20)]
    memory_bytes: u64,
    /// Time of the processor that the process may use
    #[arg(long, hide = true, default_value_t = 10)]
    processor_seconds: u64,
}

impl Limits {
    pub(super) const fn confinement(self) -> Confinement {
        Confinement {
            memory_bytes: self.memory_bytes,
            processor_seconds: self.processor_seconds,
        }
    }
}

fn format_of_word(word: &str) -> Result<DocumentFormat, String> {
    DocumentFormat::of_word(word).ok_or_else(|| format!("there is no format '{word}'"))
}

impl Extract {
    /// Prints the text of a file, or answers the process that started this one.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match (self.format, self.file) {
            (Some(format), _) => {
                let answered = answer(format, &self.limits.confinement());
                print(&answered.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?)?;
                Ok(Exit::Success)
            }
            (None, Some(file)) => show(&file, self.json),
            (None, None) => Err(Failure::setup("name a file")),
        }
    }
}

fn show(file: &std::path::Path, as_json: bool) -> Result<Exit, Failure> {
    let name = file.to_string_lossy();
    let refused = |message: String| Failure::setup(message);
    let format =
        DocumentFormat::of_file_name(&name).ok_or_else(|| refused(unreadable_format(&name).message))?;
    let bytes = std::fs::read(file).map_err(|error| refused(format!("{name} cannot be read: {error}")))?;
    let search_path = Environment::of_process().get_os("PATH").map(ToOwned::to_owned);
    let extractor = Extractor::new(own_program(), search_path);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    let read = runtime.block_on(extractor.extract(&name, format, Bytes::from(bytes)));
    let text = read.map_err(|error| {
        let exit = if error.is_passing {
            Exit::Failure
        } else {
            Exit::Setup
        };
        Failure::new(exit, error.message)
    })?;
    for warning in &text.warnings {
        eprintln!("warning: {warning}");
    }
    if as_json {
        let json = serde_json::to_string_pretty(&text);
        print(&json.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?)?;
    } else {
        print(&readable(&text))?;
    }
    Ok(Exit::Success)
}

/// The text with its headings marked.
fn readable(text: &DocumentText) -> String {
    let blocks: Vec<String> = text
        .blocks
        .iter()
        .map(|block| match block.kind {
            BlockKind::Heading { level } => format!("{} {}", "#".repeat(level.into()), block.text),
            BlockKind::Code => format!("```\n{}\n```", block.text),
            BlockKind::Notes => format!("Notes: {}", block.text),
            BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Table => block.text.clone(),
        })
        .collect();
    blocks.join("\n\n")
}
