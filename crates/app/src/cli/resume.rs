//! `resume`: go on with a generation that was interrupted, failed, ran out of budget or rests, or with the lessons of a
//! complete course that are missing or need a review.

use clap::Args;
use domain::generation::GenerationStatus;
use domain::lesson::LessonStatus;
use domain::usage::MicroUsd;
use store::error::StoreError;
use store::generation::lifecycle::resume_generation;
use store::generation::{self, Generation};
use store::lesson::{StoredLesson, list_lessons};
use store::{course, tx::TenantTx};

use super::export::Target;
use super::local_server::plan_again;
use super::run::{RunOptions, Session, Subject};
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// The arguments of `resume`.
#[derive(Args, Debug)]
pub(super) struct Resume {
    /// The course: its id, the beginning of it, or its name [default: the latest that can go on]
    id: Option<String>,
    /// A new budget in USD, what was spent before included
    #[arg(long, value_name = "USD")]
    budget: Option<f64>,
    /// Another model for the rest of the work
    #[arg(long, value_name = "ID")]
    model: Option<String>,
}

impl Resume {
    /// Goes on.
    pub(super) async fn run(self, config: &Config) -> Result<Exit, Failure> {
        let budget = self.budget.map(checked_budget).transpose()?;
        let session = Session::begin(config)?;
        let database = session.database().await?;
        let found = database
            .store
            .with_tenant(&database.actor, async |tx| self.find(tx).await)
            .await?;
        let Some(generation) = found else {
            return Err(Failure::setup("there is nothing to resume")
                .advice("make a course: `coursewright create TITLE`"));
        };
        let course_id = generation.course_id;
        let (course, lessons) = database
            .store
            .with_tenant(&database.actor, async |tx| {
                let course = course::get_course(tx, course_id).await?;
                Ok((course, list_lessons(tx, course_id).await?))
            })
            .await?;
        let is_open = |lesson: &StoredLesson| lesson.status != LessonStatus::Completed;
        if generation.status == GenerationStatus::Completed && !lessons.iter().any(is_open) {
            return Err(Failure::setup(format!("course {course_id} is complete already"))
                .advice(format!("write its files: `coursewright export {course_id}`")));
        }
        let options: RunOptions = serde_json::from_value(generation.options.clone()).unwrap_or_default();
        let plan = plan_again(&session, config, self.model.as_deref(), &options).await?;
        plan.check_language(course.inputs.language)?;
        let models = session.models(&plan, generation.seed).await?;

        let id = generation.id;
        let resumed = database
            .store
            .with_tenant(&database.actor, async |tx| {
                if let Some(budget) = budget {
                    generation::update_budget(tx, id, budget).await?;
                }
                resume_generation(tx, id).await
            })
            .await?;
        session.say(&format!(
            "Going on with \"{}\" at the {} stage; budget {}",
            course.inputs.title,
            resumed.stage.as_str(),
            resumed.generation.budget
        ));
        if let Some(note) = plan.price_note() {
            session.say(&note);
        }
        let target = Target::remembered(&options);
        let notice = plan.main_card().and_then(|card| card.notice.clone());
        let subject = Subject {
            course_id,
            generation_id: id,
        };
        session
            .work(database, models, subject, notice.as_deref(), &target)
            .await
    }

    async fn find(&self, tx: &mut TenantTx) -> Result<Option<Generation>, StoreError> {
        let Some(key) = self.id.as_deref() else {
            return generation::find_resumable(tx).await;
        };
        let course = course::find_course(tx, key).await?;
        match course.current_generation_id {
            Some(id) => generation::get_generation(tx, id).await.map(Some),
            None => Ok(None),
        }
    }
}

/// A budget of the command line.
///
/// # Errors
/// [`Failure`] if it is not more than nothing.
pub(super) fn checked_budget(usd: f64) -> Result<MicroUsd, Failure> {
    if usd.is_finite() && usd > 0.0 {
        Ok(MicroUsd::from_usd(usd))
    } else {
        Err(Failure::setup(format!(
            "budget_usd (--budget): must be more than 0, not {usd}"
        )))
    }
}
