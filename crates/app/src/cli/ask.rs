//! `ask`: what the documents of a course say to a question.

use std::sync::Arc;

use clap::Args;
use domain::error::ErrorKind;
use pipeline::Pipeline;
use pipeline::ask::{DocumentAnswer, Passage, QUESTION_CHARACTERS};
use pipeline::event::Unwatched;
use store::course::{self, Course};
use store::document::Document;
use store::ingestion::list_open;

use super::local_files;
use super::local_server::{self, Consent};
use super::output::print;
use super::run::{Database, Session};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::procedures::ask::{AskError, Question, unread};
use crate::progress::Words;
use crate::wiring::Plan;

/// The arguments of `ask`.
#[derive(Args, Debug)]
pub(super) struct Ask {
    /// The course: its id, the beginning of it, or its name
    course: String,
    /// The question, in any language
    question: String,
    /// Only show what the documents have on it: no language model is asked or fetched
    #[arg(long)]
    sources_only: bool,
    /// The model that answers
    #[arg(long, value_name = "ID", conflicts_with = "sources_only")]
    model: Option<String>,
}

impl Ask {
    /// Prints the answer with its sources.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let text = self.question.trim().to_owned();
        let characters = text.chars().count();
        if !(1..=QUESTION_CHARACTERS).contains(&characters) {
            return Err(Failure::setup(format!(
                "the question must have 1 to {QUESTION_CHARACTERS} characters, not {characters}"
            )));
        }
        let session = Session::begin(config)?;
        let plan = match self.model.as_deref() {
            Some(id) => local_server::plan(&session, config, Some(id), Consent::Needed).await?,
            None => Plan::of(config, None)?,
        };
        let database = session.database().await?;
        let answered = self.answer(&session, &database, &plan, text).await;
        database.close().await;
        let (answer, passages, documents) = answered?;
        let words = Words::of(config.user_language);
        print(&reply(answer.as_ref(), &passages, self.sources_only, words))?;
        for name in unread(&documents) {
            session.say(&format!("{}: {name}", words.not_searched()));
        }
        Ok(Exit::Success)
    }

    async fn answer(
        &self,
        session: &Session<'_>,
        database: &Database,
        plan: &Plan,
        text: String,
    ) -> Result<(Option<DocumentAnswer>, Vec<Passage>, Vec<Document>), Failure> {
        let key = self.course.clone();
        let (course, open) = database
            .store
            .with_tenant(&database.actor, async |tx| {
                let course = course::find_course(tx, &key).await?;
                let open = list_open(tx, course.id).await?;
                Ok((course, open))
            })
            .await?;
        let seed = session.clock().now().timestamp_micros().unsigned_abs();
        let models = if self.sources_only {
            session.models_for_search(plan, seed).await?
        } else {
            session.models(plan, seed).await?
        };
        let services = session.services(database, models, Arc::new(Unwatched))?;
        if !open.is_empty() {
            local_files::read_all(session, &services, course.id).await?;
        }
        let question = Question {
            actor: database.actor,
            course_id: course.id,
            text,
            now: session.clock().now(),
        };
        let documents = question
            .documents(&database.store)
            .await
            .map_err(|error| refusal(error, &course))?;
        let pipeline = Pipeline::new(services)?;
        let passages = Box::pin(pipeline.find_passages(course.id, &question.text)).await?;
        if self.sources_only {
            return Ok((None, passages, documents));
        }
        let asked = Box::pin(question.answer(&database.store, &pipeline, &passages, session.token())).await;
        let (answer, _) = asked.map_err(|error| refusal(error, &course))?;
        Ok((Some(answer), passages, documents))
    }
}

/// The answer, then the pieces that it rests on; without a model, all that was found.
fn reply(answer: Option<&DocumentAnswer>, passages: &[Passage], is_whole: bool, words: Words) -> String {
    let mut parts = Vec::new();
    match answer {
        Some(DocumentAnswer { text: Some(text), .. }) => parts.push(text.clone()),
        Some(DocumentAnswer { text: None, .. }) => parts.push(words.documents_silent().to_owned()),
        None if passages.is_empty() => parts.push(words.documents_silent().to_owned()),
        None => {}
    }
    let cited = answer.map_or(&[][..], |answer| &answer.citations);
    for (position, passage) in passages.iter().enumerate() {
        if is_whole {
            parts.push(format!("{}\n{}", place(passage, words), passage.text));
        } else if cited.contains(&position) {
            parts.push(format!(
                "{}\n  \"{}\"",
                place(passage, words),
                passage.source.excerpt
            ));
        }
    }
    parts.join("\n\n")
}

/// `[plan.pdf, p. 3, Demand > Elasticity]`.
fn place(passage: &Passage, words: Words) -> String {
    let source = &passage.source;
    let mut parts = vec![source.document.clone()];
    match (source.page_first, source.page_last) {
        (Some(first), Some(last)) if last > first => parts.push(format!("{} {first}-{last}", words.page())),
        (Some(page), _) => parts.push(format!("{} {page}", words.page())),
        (None, _) => {}
    }
    if !source.heading_path.is_empty() {
        parts.push(source.heading_path.join(" > "));
    }
    format!("[{}]", parts.join(", "))
}

/// Why there is no answer, and what to do.
fn refusal(error: AskError, course: &Course) -> Failure {
    let id = course.id;
    match error {
        AskError::NoDocuments => Failure::setup(format!("\"{}\" has no documents", course.inputs.title))
            .advice(format!("add some: `coursewright documents add {id} FILE...`")),
        AskError::NoneRead { open, failed } => {
            let mut failure = Failure::new(
                Exit::Failure,
                format!("no document of \"{}\" could be read", course.inputs.title),
            );
            for name in open {
                failure = failure.because(format!("{name}: another process is reading it"));
            }
            for (name, reason) in failed {
                failure = failure.because(format!("{name}: {reason}"));
            }
            failure.advice(format!(
                "mend them and add them again: `coursewright documents add {id} FILE...`"
            ))
        }
        AskError::TooMany(_) | AskError::TooCostly(_) => Failure::of(ErrorKind::LimitReached, &error)
            .advice("what the documents have on it costs nothing: `--sources-only`"),
        AskError::Store(error) => error.into(),
        AskError::Pipeline(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use domain::document::CitedSource;
    use domain::id::DocumentId;

    use super::*;

    fn passage(page: Option<u32>, headings: &[&str]) -> Passage {
        Passage {
            document_id: DocumentId::generate(),
            source: CitedSource {
                chunk_id: String::new(),
                document_id: String::new(),
                document: "plan.pdf".to_owned(),
                page_first: page,
                page_last: page.map(|page| page + 1),
                heading_path: headings.iter().map(|text| (*text).to_owned()).collect(),
                excerpt: "First words".to_owned(),
            },
            text: "The whole text".to_owned(),
            score: 1.0,
        }
    }

    #[test]
    fn replies_name_the_sources_that_they_rest_on() {
        let passages = [passage(Some(3), &["Demand"]), passage(None, &[])];
        let answered = DocumentAnswer {
            text: Some("Prices fall.".to_owned()),
            citations: vec![0],
        };
        assert_eq!(
            reply(Some(&answered), &passages, false, Words::English),
            "Prices fall.\n\n[plan.pdf, p. 3-4, Demand]\n  \"First words\""
        );
        let silent = DocumentAnswer {
            text: None,
            citations: Vec::new(),
        };
        assert_eq!(
            reply(Some(&silent), &passages, false, Words::English),
            "The documents do not say."
        );
        assert_eq!(
            reply(None, &passages[1..], true, Words::Russian),
            "[plan.pdf]\nThe whole text"
        );
        assert_eq!(
            reply(None, &[], true, Words::Russian),
            "В документах об этом не сказано."
        );
    }
}
