//! Questions to a course's documents: the quickest way for an author to see that they were read.
//!
//! The pieces that fit the question are found, then one call of a model answers from them alone. No transaction is open
//! while it runs.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::document::CitedSource;
use domain::id::{CourseId, DocumentId};
use domain::usage::{MicroUsd, TokenUsage};
use llm::gateway::{AttemptRecord, CallLog, CallSpec};
use llm::provider::Unobserved;
use llm::repair::repair;
use llm::request::{Message, OutputSchema, RETRY_TEMPERATURE};
use llm::route::Work;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Pipeline;
use crate::error::PipelineError;
use crate::retrieval::{RetrieveOptions, Retrieved, retrieve};
use crate::vars::vars;

/// The longest question, in characters. Our own figure: a paragraph.
pub const QUESTION_CHARACTERS: usize = 1000;
/// Pieces that a question is answered from, at most: enough for five sentences.
const PASSAGES: usize = 8;
/// Tokens of all pieces together, at most; less where the model's window is small.
const PASSAGE_TOKENS: u32 = 6000;
/// The longest answer in tokens: five sentences in a script that takes many tokens.
const ANSWER_TOKENS: u32 = 700;
/// Answers that are asked for before it is given up.
const ATTEMPTS: u32 = 2;

/// A piece of a document that may answer a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Its document.
    pub document_id: DocumentId,
    /// Where it stands.
    pub source: CitedSource,
    /// The whole of it.
    pub text: String,
    /// How well it fits the question; only good for comparing passages of one question.
    pub score: f64,
}

/// What a model answers from passages.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentAnswer {
    /// The answer; `None`: the documents do not say.
    pub text: Option<String>,
    /// Which passages it rests on, as positions from 0; empty without an answer.
    pub citations: Vec<usize>,
}

/// What a question took, also if it was not answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuestionCost {
    /// The model that was asked last.
    pub model: Option<String>,
    /// Tokens of all calls.
    pub usage: TokenUsage,
    /// Money for all calls.
    pub cost: MicroUsd,
}

#[derive(Debug, Deserialize)]
struct RawAnswer {
    answer: String,
    sources: Vec<usize>,
}

impl Pipeline {
    /// The pieces of the course's processed documents that fit the question best, the best first. Nothing is generated.
    ///
    /// # Errors
    /// [`PipelineError`] if the question cannot be embedded or the database does not answer.
    pub async fn find_passages(
        &self,
        course_id: CourseId,
        question: &str,
    ) -> Result<Vec<Passage>, PipelineError> {
        let budget = self.services.models.budget_for(Work::Summary, 0);
        let options = RetrieveOptions {
            limit: PASSAGES,
            max_tokens: budget.context.min(PASSAGE_TOKENS),
            ..RetrieveOptions::default()
        };
        let queries = [question.to_owned()];
        let found = retrieve(&self.services, course_id, &queries, &options).await?;
        Ok(found.into_iter().map(Passage::of).collect())
    }

    /// Answers the question from the passages. What was spent comes back in any case.
    pub async fn answer_from(
        &self,
        question: &str,
        passages: &[Passage],
        cancel: &CancellationToken,
    ) -> (Result<DocumentAnswer, PipelineError>, QuestionCost) {
        if passages.is_empty() {
            let silence = DocumentAnswer {
                text: None,
                citations: Vec::new(),
            };
            return (Ok(silence), QuestionCost::default());
        }
        let spent = Spent::default();
        let answer = self.ask_model(question, passages, cancel, &spent).await;
        let spent = spent.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        (answer, spent)
    }

    async fn ask_model(
        &self,
        question: &str,
        passages: &[Passage],
        cancel: &CancellationToken,
        spent: &Spent,
    ) -> Result<DocumentAnswer, PipelineError> {
        let sources: Vec<Value> = passages
            .iter()
            .zip(1..)
            .map(|(passage, number)| {
                json!({ "number": number, "place": passage.place(), "text": passage.text })
            })
            .collect();
        let prompt = self
            .prompts
            .render("ask_documents", &vars! { sources, question })?;
        let messages = vec![Message::system(&prompt.system), Message::user(&prompt.user)];
        let schema = answer_schema(passages.len());
        let mut problem = String::new();
        for attempt in 0..ATTEMPTS {
            let mut spec = CallSpec::new(Work::Summary, messages.clone(), ANSWER_TOKENS);
            spec.schema = Some(OutputSchema {
                name: "document_answer".to_owned(),
                schema: schema.clone(),
            });
            // Facts are wanted, not variety.
            spec.sampling.temperature = RETRY_TEMPERATURE;
            spec.sampling.seed = Some(u64::from(attempt));
            let called = self.services.models.call(&spec, &Unobserved, cancel, spent).await;
            let outcome = called.map_err(|cause| PipelineError::Call {
                what: "an answer from the documents".to_owned(),
                cause: Box::new(cause),
            })?;
            match read_answer(&outcome.response.text, &schema, passages.len()) {
                Ok(answer) => return Ok(answer),
                Err(reason) => problem = reason,
            }
        }
        Err(PipelineError::Unusable {
            what: "an answer from the documents".to_owned(),
            attempts: ATTEMPTS,
            problem,
        })
    }
}

impl Passage {
    fn of(found: Retrieved) -> Self {
        let Retrieved {
            chunk,
            document_id,
            document,
            score,
        } = found;
        Self {
            document_id,
            source: CitedSource {
                chunk_id: chunk.id.to_string(),
                document_id: document_id.to_string(),
                document,
                page_first: chunk.page_first,
                page_last: chunk.page_last,
                excerpt: chunk.excerpt(),
                heading_path: chunk.heading_path,
            },
            text: chunk.text,
            score,
        }
    }

    /// The document and its headings, for the model.
    fn place(&self) -> String {
        std::iter::once(self.source.document.as_str())
            .chain(self.source.heading_path.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" > ")
    }
}

/// The shape of an answer from so many sources.
fn answer_schema(sources: usize) -> Value {
    json!({
        "type": "object",
        "properties": {
            "answer": { "type": "string", "minLength": 1, "maxLength": 2000 },
            "sources": {
                "type": "array",
                "items": { "type": "integer", "minimum": 1, "maximum": sources },
                "maxItems": sources,
            },
        },
        "required": ["answer", "sources"],
        "additionalProperties": false,
    })
}

/// The answer as its types have it; an answer that rests on nothing is none.
fn read_answer(raw: &str, schema: &Value, sources: usize) -> Result<DocumentAnswer, String> {
    let repaired = repair(raw, schema).map_err(|error| error.to_string())?;
    let answer: RawAnswer = serde_json::from_value(repaired.value).map_err(|error| error.to_string())?;
    let mut citations: Vec<usize> = answer
        .sources
        .into_iter()
        .filter(|number| (1..=sources).contains(number))
        .map(|number| number - 1)
        .collect();
    citations.sort_unstable();
    citations.dedup();
    let text = answer.answer.trim();
    if citations.is_empty() {
        return Ok(DocumentAnswer {
            text: None,
            citations,
        });
    }
    if text.is_empty() {
        return Err("the answer is empty".to_owned());
    }
    Ok(DocumentAnswer {
        text: Some(text.to_owned()),
        citations,
    })
}

/// Adds up what calls cost.
#[derive(Debug, Default)]
struct Spent(Mutex<QuestionCost>);

#[async_trait]
impl CallLog for Spent {
    async fn on_attempt(&self, record: AttemptRecord) {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spent.model = Some(record.model);
        spent.usage += record.usage;
        spent.cost += record.cost.counted();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: Result<(Option<&str>, &[usize]), ()>) {
        let read = read_answer(raw, &answer_schema(3), 3).map_err(|_| ());
        let expected = expected.map(|(text, citations)| DocumentAnswer {
            text: text.map(str::to_owned),
            citations: citations.to_vec(),
        });
        assert_eq!(read, expected, "{raw}");
    }

    #[test]
    fn answers_rest_on_sources_or_are_none() {
        check(
            r#"{"answer": " Prices fall. ", "sources": [3, 1, 3]}"#,
            Ok((Some("Prices fall."), &[0, 2])),
        );
        check(
            r#"{"answer": "They do not say.", "sources": []}"#,
            Ok((None, &[])),
        );
        check(r#"{"answer": "Invented.", "sources": [9]}"#, Ok((None, &[])));
        check("no JSON at all", Err(()));
    }
}
