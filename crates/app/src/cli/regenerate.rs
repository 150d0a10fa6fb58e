//! `regenerate`: a part of a finished course anew: the lessons whose documents have changed, one section, one lesson.

use clap::{ArgGroup, Args};
use domain::generation::GenerationScope;
use store::course;
use store::generation::get_generation;
use store::generation::lifecycle::{NewGeneration, start_generation};
use store::lesson::list_lessons;

use super::export::Target;
use super::local_server::plan_again;
use super::run::{RunOptions, Session, Subject};
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// The arguments of `regenerate`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("part").required(true))]
pub(super) struct Regenerate {
    /// The course: its id, the beginning of it, or its name
    course: String,
    /// The lessons that rest on documents which have changed
    #[arg(long, group = "part")]
    stale: bool,
    /// One section, by number
    #[arg(long, value_name = "N", group = "part")]
    section: Option<u32>,
    /// One lesson, by number
    #[arg(long, value_name = "N", group = "part")]
    lesson: Option<u32>,
    /// What is to be otherwise
    #[arg(long, value_name = "TEXT")]
    instruction: Option<String>,
    /// The model for this work [default: the one that made the course]
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// The most that may be spent, in USD [default: as for the course]
    #[arg(long, value_name = "USD")]
    budget: Option<f64>,
}

impl Regenerate {
    /// Makes the part anew, then writes the files again.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let budget = self.budget.map(super::resume::checked_budget).transpose()?;
        let session = Session::begin(config)?;
        let database = session.database().await?;
        let key = self.course.clone();
        let (course, lessons, latest) = database
            .store
            .with_tenant(&database.actor, async |tx| {
                let course = course::find_course(tx, &key).await?;
                let lessons = list_lessons(tx, course.id).await?;
                let latest = match course.current_generation_id {
                    Some(id) => Some(get_generation(tx, id).await?),
                    None => None,
                };
                Ok((course, lessons, latest))
            })
            .await?;
        let stale: Vec<u32> = lessons
            .iter()
            .filter(|lesson| lesson.stale.is_some())
            .map(|lesson| lesson.lesson_number)
            .collect();
        let Some(scope) = self.scope(&stale) else {
            session.say("No lesson rests on a document that has changed.");
            database.close().await;
            return Ok(Exit::Success);
        };
        let mut options: RunOptions = latest
            .and_then(|generation| serde_json::from_value(generation.options).ok())
            .unwrap_or_default();
        options.structure_only = false;
        if self.model.is_some() {
            options.model.clone_from(&self.model);
        }
        let plan = plan_again(&session, config, self.model.as_deref(), &options).await?;
        options.local.clone_from(&plan.local);
        plan.check_language(course.inputs.language)?;
        let seed = session.clock().now().timestamp_micros().unsigned_abs();
        let models = session.models(&plan, seed).await?;
        let target = Target::remembered(&options);
        let new = NewGeneration {
            course_id: course.id,
            budget: budget.unwrap_or(course.inputs.budget),
            seed,
            options: serde_json::to_value(options)
                .map_err(|error| Failure::of(domain::error::ErrorKind::Internal, &error))?,
            scope,
            user_limit: None,
            global_limit: None,
            webhook_url: None,
            idempotency_key: None,
        };
        let started = database
            .store
            .with_tenant(&database.actor, async |tx| start_generation(tx, &new).await)
            .await?;
        let subject = Subject {
            course_id: course.id,
            generation_id: started.generation_id,
        };
        let notice = plan.main_card().and_then(|card| card.notice.clone());
        session
            .work(database, models, subject, notice.as_deref(), &target)
            .await
    }

    /// What is made anew; `None`: nothing needs to be.
    fn scope(&self, stale: &[u32]) -> Option<GenerationScope> {
        let instruction = self.instruction.clone();
        let (number, also) = match (self.section, self.lesson, stale) {
            (Some(number), _, _) => return Some(GenerationScope::Section { number, instruction }),
            (None, Some(number), _) => (number, Vec::new()),
            (None, None, [first, rest @ ..]) => (*first, rest.to_vec()),
            (None, None, []) => return None,
        };
        Some(GenerationScope::Lesson {
            number,
            also,
            instruction,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(section: Option<u32>, lesson: Option<u32>, stale: &[u32], expected: Option<(u32, &[u32])>) {
        let arguments = Regenerate {
            course: String::new(),
            stale: section.is_none() && lesson.is_none(),
            section,
            lesson,
            instruction: None,
            model: None,
            budget: None,
        };
        let scope = arguments.scope(stale).map(|scope| match scope {
            GenerationScope::Lesson { number, also, .. } => (number, also),
            other => (other.number().unwrap(), Vec::new()),
        });
        assert_eq!(scope, expected.map(|(number, also)| (number, also.to_vec())));
    }

    #[test]
    fn stale_lessons_are_made_anew_together() {
        check(None, None, &[3, 5, 9], Some((3, &[5, 9])));
        check(None, None, &[], None);
        check(None, Some(4), &[3], Some((4, &[])));
        check(Some(2), None, &[3], Some((2, &[])));
    }
}
