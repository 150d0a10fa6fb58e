//! What is said to a model at each rung of the ladder. Roles always alternate: the chat templates of several model
//! families refuse two turns of the same speaker in a row.

use llm::request::{Message, OutputSchema, Role};
use serde_json::Value;

use super::evaluate::Candidate;
use super::fields::{OffendingField, fields_schema, offending_fields};
use super::{Climb, Kept, Question};
use crate::attempts::{Manner, Rung};
use crate::context::Run;
use crate::error::PipelineError;
use crate::prompt::Prompt;
use crate::vars::vars;

/// What is asked in one call.
pub(super) struct Asked {
    pub(super) messages: Vec<Message>,
    /// The shape of the answer, with what was said before.
    pub(super) schema: Value,
    /// The fields that are asked for; empty: the whole answer.
    pub(super) fields: Vec<OffendingField>,
    /// The longest answer in tokens.
    pub(super) max_output_tokens: u32,
    pub(super) form: Form,
}

/// Whether an answer has the shape by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It does, so that the provider can be told the shape.
    Complete,
    /// Only together with what was said before.
    Rest,
}

impl Asked {
    /// The shape as the provider is told it.
    pub(super) fn output_schema(&self, question: &Question<'_>) -> Option<OutputSchema> {
        let name = if self.fields.is_empty() {
            question.shape.to_owned()
        } else {
            format!("{}_fields", question.shape)
        };
        (self.form == Form::Complete).then(|| OutputSchema {
            name,
            schema: self.schema.clone(),
        })
    }
}

/// Problems that a model is told of at once; more of them say that the answer is another one altogether.
const MOST_PROBLEMS: usize = 20;
/// Longer problems are cut: some quote a rule with a list of hundreds of words.
const LONGEST_PROBLEM_CHARS: usize = 300;

impl Run {
    /// The messages and the schema of one rung. Where what is said of an earlier answer does not fit the model's window,
    /// the question is asked as it is. What is `kept` of the attempt is read as it was asked for then.
    pub(super) fn compose(
        &self,
        question: &Question<'_>,
        step: Rung,
        climb: &Climb,
        kept: Option<&Kept>,
    ) -> Result<Asked, PipelineError> {
        let (best, problems) = (climb.best.as_ref(), &climb.problems[..]);
        if let Some(Kept::Answer(answer)) = kept
            && let Some(is_of_fields) = answer.is_of_fields
        {
            let manner = if is_of_fields {
                Manner::Fields
            } else {
                Manner::Plain
            };
            return self.compose_in(manner, question, best, problems);
        }
        let manner = if problems.is_empty() {
            Manner::Plain
        } else {
            step.manner
        };
        let asked = self.compose_in(manner, question, best, problems)?;
        if manner == Manner::Plain || self.fits(question, step, &asked) {
            return Ok(asked);
        }
        self.compose_in(Manner::Plain, question, best, problems)
    }

    fn fits(&self, question: &Question<'_>, step: Rung, asked: &Asked) -> bool {
        let count = |message: &Message| {
            self.models()
                .count_tokens(question.work, step.escalation, &message.content)
        };
        let tokens: u32 = asked.messages.iter().map(count).sum();
        tokens <= self.models().budget_for(question.work, step.escalation).input
    }

    fn compose_in(
        &self,
        manner: Manner,
        question: &Question<'_>,
        best: Option<&Candidate>,
        problems: &[String],
    ) -> Result<Asked, PipelineError> {
        if manner == Manner::Fields
            && let Some(best) = best
        {
            let fields = offending_fields(&best.problems);
            if !fields.is_empty() {
                return self.compose_fields(question, &best.value, fields);
            }
        }
        let mut messages = vec![Message::user(asked_for(question))];
        match manner {
            Manner::Plain => {}
            Manner::Feedback | Manner::Fields => {
                let problems = match best {
                    Some(best) => {
                        messages.push(Message::assistant(best.value.to_string()));
                        best.messages()
                    }
                    None => problems.to_vec(),
                };
                let problems: Vec<String> = problems
                    .iter()
                    .take(MOST_PROBLEMS)
                    .map(|problem| shortened(problem))
                    .collect();
                let feedback = self.prompts().render("ladder_feedback", &vars! { problems })?;
                messages.push(Message::user(feedback.user));
            }
            Manner::Example => {
                let example = question.prompt.example.clone().unwrap_or_else(|| {
                    format!(
                        "The answer has this shape:\n{}",
                        crate::schema::outline(&question.schema)
                    )
                });
                messages.push(Message::user(example));
            }
        }
        Ok(Asked {
            messages: conversation(&question.prompt, messages),
            schema: question.schema.clone(),
            fields: Vec::new(),
            max_output_tokens: question.max_output_tokens,
            form: Form::Complete,
        })
    }

    /// Asks for these fields of the answer `value` alone.
    pub(super) fn compose_fields(
        &self,
        question: &Question<'_>,
        value: &Value,
        fields: Vec<OffendingField>,
    ) -> Result<Asked, PipelineError> {
        let named: Vec<minijinja::Value> = fields
            .iter()
            .map(|field| {
                vars! {
                    key => field.key, pointer => field.pointer, about => field.description(),
                    problem => shortened(&field.problem),
                }
            })
            .collect();
        let ask = self
            .prompts()
            .render("ladder_fields", &vars! { fields => named })?;
        let messages = vec![
            Message::user(asked_for(question)),
            Message::assistant(value.to_string()),
            Message::user(ask.user),
        ];
        Ok(Asked {
            messages: conversation(&question.prompt, messages),
            schema: fields_schema(&fields),
            fields,
            max_output_tokens: question.max_output_tokens,
            form: Form::Complete,
        })
    }

    /// Asks to go on with an answer that was cut.
    pub(super) fn compose_rest(&self, asked: &Asked, text: &str) -> Result<Asked, PipelineError> {
        let ask = self.prompts().render("ladder_rest", &vars! {})?;
        let mut messages = asked.messages.clone();
        messages.extend([Message::assistant(text), Message::user(ask.user)]);
        Ok(Asked {
            messages: alternating(messages),
            schema: asked.schema.clone(),
            fields: asked.fields.clone(),
            max_output_tokens: asked.max_output_tokens,
            form: Form::Rest,
        })
    }
}

/// The question with what depends on the other pieces.
fn asked_for(question: &Question<'_>) -> String {
    let user = &question.prompt.user;
    match &question.hint {
        Some(hint) => format!("{user}\n\n{hint}"),
        None => user.clone(),
    }
}

/// A conversation that begins with the prompt's instructions and its example on another topic.
fn conversation(prompt: &Prompt, turns: Vec<Message>) -> Vec<Message> {
    let mut messages = vec![Message::system(&prompt.system)];
    if let Some((shot, reply)) = &prompt.shot {
        messages.extend([Message::user(shot), Message::assistant(reply)]);
    }
    messages.extend(turns);
    alternating(messages)
}

/// The same conversation with neighbouring turns of one speaker in one.
fn alternating(messages: Vec<Message>) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match turns.last_mut() {
            Some(last) if last.role == message.role => {
                last.content.push_str("\n\n");
                last.content.push_str(&message.content);
            }
            Some(_) | None => turns.push(message),
        }
    }
    debug_assert!(
        turns
            .iter()
            .find(|turn| turn.role != Role::System)
            .is_none_or(|first| first.role == Role::User),
        "the user speaks first"
    );
    turns
}

/// A problem in as many letters as help.
fn shortened(problem: &str) -> String {
    match problem.char_indices().nth(LONGEST_PROBLEM_CHARS) {
        Some((end, _)) => format!("{} ...", &problem[..end]),
        None => problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use Role::{Assistant, System, User};

    use super::*;

    #[test]
    fn turns_of_one_speaker_become_one() {
        let check = |roles: &[Role], expected: &[Role]| {
            let messages = roles.iter().map(|&role| Message {
                role,
                content: "x".to_owned(),
            });
            let turns: Vec<Role> = alternating(messages.collect())
                .into_iter()
                .map(|turn| turn.role)
                .collect();
            assert_eq!(turns, expected);
        };
        check(&[System, User, User], &[System, User]);
        check(&[System, User, Assistant, User], &[System, User, Assistant, User]);
        check(&[User, Assistant, Assistant, User], &[User, Assistant, User]);
    }
}
