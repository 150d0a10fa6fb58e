//! The structure by a small model: the same parts from small questions, many at once.
//!
//! The analysis has named the lessons. Where it has not, titles are asked for section by section, each with those before it
//! listed, so that they differ; the lessons of a section are planned while the next section's titles are made.

mod along;
mod chosen;
mod exercises;
pub(super) mod remake;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::analysis::{AnalysisResult, SectionPlan};
use domain::language::Language;
use domain::limits;
use domain::stage::Stage;
use domain::structure::{AssessmentStrategy, Lesson, Section};
use llm::route::Work;
use minijinja::Value;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use self::chosen::{Taken, choose_outcomes, choose_topics};
use super::{Metadata, announce, course_title, with_demanded_outcomes};
use crate::attempts::Patience;
use crate::context::Run;
use crate::distinct::Subjects;
use crate::engine::Question;
use crate::error::PipelineError;
use crate::objectives::Said;
use crate::schema::{Pieces, list, object};
use crate::vars::vars;
use crate::wording::{folded, in_title_case};
use crate::{data, distinct, objectives, outline};

/// Tokens of the longest answer to a small question.
const PIECE_OUTPUT_TOKENS: u32 = 900;
/// More lesson titles are asked for than are used.
const SPARE_TITLES: usize = 3;
/// Objectives and key topics asked for a lesson; fewer are used.
const ASKED_OBJECTIVES: usize = 3;
const ASKED_TOPICS: usize = 6;
/// The model's own outcomes of a course.
const OWN_OUTCOMES: usize = 5;

#[derive(Deserialize)]
struct Outcomes {
    learning_outcomes: Vec<String>,
    assessment_description: String,
}

#[derive(Deserialize)]
struct Presentation {
    course_description: String,
    course_overview: String,
    target_audience: String,
    prerequisite: String,
    course_tags: Vec<String>,
}

#[derive(Deserialize)]
struct Titles {
    section_description: String,
    lesson_titles: Vec<String>,
}

#[derive(Deserialize)]
struct LessonPlan {
    lesson_objectives: Vec<String>,
    key_topics: Vec<String>,
}

/// A section whose lessons have titles but no plan yet.
struct Titled {
    number: u32,
    plan: SectionPlan,
    /// `None` where it is still to be asked for, which nothing waits for.
    description: Option<String>,
    lesson_titles: Vec<String>,
    /// The headings under a lesson's own in the documents, a list a lesson; empty where the documents have no plan.
    parts: Vec<Vec<String>>,
    minutes: u32,
    /// Lessons of all sections before it.
    lessons_before: usize,
}

impl Titled {
    fn parts_of(&self, index: usize) -> &[String] {
        self.parts.get(index).map_or(&[], Vec::as_slice)
    }

    /// The parts of a lesson that can be its topics: a single word is too general (data model 2.3).
    fn topics_of(&self, index: usize) -> impl Iterator<Item = String> {
        let parts = self.parts_of(index).iter();
        parts
            .filter(|part| part.split_whitespace().count() > 1)
            .filter(|part| limits::KEY_TOPIC.allows(limits::text_length(part)))
            .cloned()
    }
}

/// Each section chooses its topics and objectives after the one before it, so that the same answers always give the same.
struct TopicChain {
    /// Topics and objectives of all sections before.
    before: oneshot::Receiver<Taken>,
    /// Takes them with this section's own.
    after: oneshot::Sender<Taken>,
}

/// Makes the metadata and all sections.
///
/// # Errors
/// Whatever keeps a part from being made.
pub(crate) async fn parts(
    run: &Arc<Run>,
    analysis: &Arc<AnalysisResult>,
) -> Result<(Metadata, Vec<Section>), PipelineError> {
    // Whoever waits sees the first section sooner when nothing else is asked beside it.
    let first_shown = Arc::new(Notify::new());
    let metadata = async {
        first_shown.notified().await;
        Box::pin(metadata(run, analysis)).await
    };
    tokio::try_join!(metadata, sections(run, analysis, &first_shown))
}

async fn metadata(run: &Run, analysis: &AnalysisResult) -> Result<Metadata, PipelineError> {
    let pieces = Pieces::new(run.language());
    let context = vars! { course => data::course(run), areas => areas(analysis), count => OWN_OUTCOMES };
    let outcomes_shape = object([
        (
            "learning_outcomes",
            list(pieces.objective(limits::LEARNING_OUTCOME.min, 110), OWN_OUTCOMES),
        ),
        ("assessment_description", pieces.sentences_of(2, 2, 40, 140)),
    ]);
    let presentation_shape = object([
        ("course_description", pieces.sentences_of(2, 3, 40, 150)),
        ("course_overview", pieces.sentences_of(4, 5, 40, 170)),
        ("target_audience", pieces.sentences_of(1, 2, 30, 130)),
        ("prerequisite", pieces.sentences_of(1, 1, 25, 110)),
        ("course_tags", list(pieces.phrase(4, 26), 6)),
    ]);
    let (outcomes, presentation) = tokio::try_join!(
        piece::<Outcomes>(
            run,
            Work::CriticalMetadata,
            "metadata.outcomes",
            0,
            "small_outcomes",
            &context,
            outcomes_shape
        ),
        piece::<Presentation>(
            run,
            Work::Metadata,
            "metadata.presentation",
            0,
            "small_metadata",
            &context,
            presentation_shape
        ),
    )?;
    let sections = &analysis.recommended_structure.sections_breakdown;
    let achieved: Vec<&[String]> = sections
        .iter()
        .map(|plan| plan.learning_objectives.as_slice())
        .collect();
    let own_outcomes = choose_outcomes(outcomes.learning_outcomes, &achieved);
    let audience = run
        .inputs()
        .target_audience
        .clone()
        .filter(|audience| limits::TARGET_AUDIENCE.allows(limits::text_length(audience)));
    Ok(Metadata {
        course_title: course_title(run, &long_title(&run.inputs().title, analysis)),
        course_description: presentation.course_description,
        course_overview: presentation.course_overview,
        target_audience: audience.unwrap_or(presentation.target_audience),
        prerequisites: vec![presentation.prerequisite],
        learning_outcomes: with_demanded_outcomes(run, own_outcomes),
        assessment_strategy: AssessmentStrategy {
            quiz_per_section: true,
            final_exam: false,
            practical_projects: u8::try_from(sections.len().min(3)).unwrap_or(1),
            assessment_description: outcomes.assessment_description,
        },
        course_tags: tags(presentation.course_tags, analysis),
    })
}

/// A title under the least length, completed with the topic.
fn long_title(title: &str, analysis: &AnalysisResult) -> String {
    format!("{title}: {}", analysis.topic_analysis.determined_topic)
}

/// Distinct tags; the field's own words fill up where the model repeated itself.
fn tags(proposed: Vec<String>, analysis: &AnalysisResult) -> Vec<String> {
    let topic = &analysis.topic_analysis;
    let mut tags: Vec<String> = Vec::new();
    for tag in proposed
        .into_iter()
        .chain(topic.domain_keywords.clone())
        .chain(topic.key_concepts.clone())
    {
        let length = limits::text_length(&tag);
        if limits::COURSE_TAG.allows(length) && tags.iter().all(|other| folded(other) != folded(&tag)) {
            tags.push(tag);
        }
        // Enough to describe the course, few enough to be read.
        if tags.len() == 8 {
            break;
        }
    }
    tags
}

fn areas(analysis: &AnalysisResult) -> Vec<String> {
    analysis
        .recommended_structure
        .sections_breakdown
        .iter()
        .map(|plan| plan.area.clone())
        .collect()
}

async fn sections(
    run: &Arc<Run>,
    analysis: &Arc<AnalysisResult>,
    first_shown: &Arc<Notify>,
) -> Result<Vec<Section>, PipelineError> {
    let plans = with_own_objectives(run, &analysis.recommended_structure.sections_breakdown);
    let outline = outline::of(run, run.material().await?).unwrap_or_default();
    let total = u32::try_from(plans.len()).unwrap_or(u32::MAX);
    run.progress_structure(0, total).await?;
    let mut taken = vec![run.inputs().title.clone()];
    let mut bodies: JoinSet<Result<Section, PipelineError>> = JoinSet::new();
    let mut done = Vec::new();
    let made = Arc::new(AtomicU32::new(0));
    let others_wait = Arc::new(Notify::new());
    let (first, mut topics_before) = oneshot::channel();
    // Nobody can have hung up yet.
    let _ = first.send(Taken::default());
    for (plan, number) in plans.iter().zip(1u32..) {
        let known = taken.clone();
        let others_wait = &others_wait;
        let titled = async {
            // The first section is what somebody waits for: the next begins when it is there.
            if number == 2 {
                others_wait.notified().await;
            }
            let minutes = analysis.recommended_structure.lesson_duration_minutes;
            let planned = outline
                .iter()
                .find(|section| folded(&section.title) == folded(&plan.area))
                .cloned()
                .or_else(|| along::of_tasks(plan, run.language()));
            match planned {
                Some(section) => along::titles(run, analysis, plan, section, number, &known).await,
                None => titles(run, &areas(analysis), plan, number, &known, minutes).await,
            }
        };
        tokio::pin!(titled);
        // While this section's titles are made, earlier sections finish. Nothing may be waited for here: the titles could
        // hold the lock on the job's row and would not go on meanwhile.
        let titled = loop {
            tokio::select! {
                titled = &mut titled => break titled?,
                Some(section) = bodies.join_next() => done.push(section.map_err(PipelineError::task)??),
            }
        };
        taken.extend(titled.lesson_titles.iter().cloned());
        let planned = plans[number as usize..]
            .iter()
            .filter_map(|plan| along::of_tasks(plan, run.language()))
            .flat_map(|section| section.lessons)
            .map(|lesson| lesson.title);
        let lessons: Vec<String> = taken.iter().skip(1).cloned().chain(planned).collect();
        let (topics_after, next) = oneshot::channel();
        let topics = TopicChain {
            before: std::mem::replace(&mut topics_before, next),
            after: topics_after,
        };
        let (run, made, first_shown) = (Arc::clone(run), Arc::clone(&made), Arc::clone(first_shown));
        let others_wait = Arc::clone(others_wait);
        bodies.spawn(async move {
            let section = body(&run, titled, &lessons, topics).await?;
            announce(&run, &section);
            first_shown.notify_one();
            others_wait.notify_one();
            let count = made.fetch_add(1, Ordering::Relaxed) + 1;
            run.progress_structure(count, total).await?;
            Ok(section)
        });
    }
    while let Some(section) = bodies.join_next().await {
        done.push(section.map_err(PipelineError::task)??);
    }
    done.sort_by_key(|section| section.section_number);
    Ok(done)
}

/// Finds the titles of a section's lessons. `taken` are the course's title and then those of all lessons that it has.
async fn titles(
    run: &Run,
    areas: &[String],
    plan: &SectionPlan,
    number: u32,
    taken: &[String],
    minutes: u32,
) -> Result<Titled, PipelineError> {
    let pieces = Pieces::new(run.language());
    let lessons = plan.estimated_lessons as usize;
    let asked = lessons + SPARE_TITLES;
    let context = vars! {
        course => data::course(run),
        areas,
        used => taken.iter().skip(1).collect::<Vec<_>>(),
        section => vars! { number, title => plan.area, topics => plan.key_topics },
        count => asked,
    };
    let shape = object([
        ("section_description", pieces.sentences_of(2, 2, 40, 170)),
        ("lesson_titles", pieces.rising_titles(asked)),
    ]);
    let answer: Titles = piece(
        run,
        Work::Section,
        "sections.lesson_titles",
        number,
        "small_lesson_titles",
        &context,
        shape,
    )
    .await?;
    let lessons_before = taken.len().saturating_sub(1);
    let taken: Vec<String> = taken.iter().cloned().chain([plan.area.clone()]).collect();
    // Where the model repeated itself, the plan's own topics are titles that are surely on the subject.
    let candidates: Vec<String> = answer
        .lesson_titles
        .into_iter()
        .chain(
            plan.key_topics
                .iter()
                .filter(|topic| limits::text_length(topic) >= 12)
                .map(|topic| match run.language() {
                    Language::English => in_title_case(topic),
                    _ => topic.clone(),
                }),
        )
        .collect();
    let about = format!("{}: {}", data::plain_topic(&run.inputs().title), plan.area);
    let lesson_titles = distinct::choose(run, &about, &taken, &candidates, lessons).await?;
    Ok(Titled {
        number,
        plan: plan.clone(),
        description: Some(answer.section_description),
        lesson_titles,
        parts: Vec::new(),
        minutes,
        lessons_before,
    })
}

/// The sections, each with those objectives that belong to its lessons and not to another section's.
fn with_own_objectives(run: &Run, plans: &[SectionPlan]) -> Vec<SectionPlan> {
    let lessons: Vec<Vec<String>> = plans
        .iter()
        .map(|plan| match along::of_tasks(plan, run.language()) {
            Some(section) => section.lessons.into_iter().map(|lesson| lesson.title).collect(),
            None => plan.key_topics.clone(),
        })
        .collect();
    let subjects = Subjects::new(&lessons, &run.inputs().title, run.language());
    let mut said = Said::default();
    let chosen = plans.iter().enumerate().map(|(place, plan)| SectionPlan {
        learning_objectives: objectives::choose(
            &plan.learning_objectives,
            |subject| subjects.fits(subject, place),
            &mut said,
            run.language(),
        ),
        ..plan.clone()
    });
    chosen.collect()
}

/// Plans the lessons of a section. `lessons` are the titles of all that the course has, as far as they are known.
async fn body(
    run: &Arc<Run>,
    titled: Titled,
    lessons: &[String],
    topics: TopicChain,
) -> Result<Section, PipelineError> {
    let pieces = Pieces::new(run.language());
    let plan_shape = object([
        (
            "lesson_objectives",
            list(
                pieces.objective(limits::LESSON_OBJECTIVE.min, 100),
                ASKED_OBJECTIVES,
            ),
        ),
        ("key_topics", list(pieces.phrase(8, 42), ASKED_TOPICS)),
    ]);
    let number_of = |index: usize| u32::try_from(titled.lessons_before + index + 1).unwrap_or(u32::MAX);
    let description = async {
        match &titled.description {
            Some(description) => Ok(description.clone()),
            None => along::description(run, &titled).await,
        }
    };
    let plans =
        futures::future::try_join_all(titled.lesson_titles.iter().enumerate().map(|(index, title)| {
            let others: Vec<&String> = titled
                .lesson_titles
                .iter()
                .filter(|other| *other != title)
                .collect();
            let context = vars! {
                course => data::course(run),
                section => vars! { title => titled.plan.area, other_lessons => others },
                lesson => vars! { title, parts => titled.parts_of(index) },
            };
            let shape = plan_shape.clone();
            async move {
                piece::<LessonPlan>(
                    run,
                    Work::Section,
                    "sections.lesson_plan",
                    number_of(index),
                    "small_lesson_plan",
                    &context,
                    shape,
                )
                .await
            }
        }));
    let (description, plans) = tokio::try_join!(description, plans)?;
    // Gone only if the section before has failed, and then this one is about to be dropped.
    let mut taken = topics.before.await.unwrap_or_default();
    let of_lesson = |title: &String| {
        let index = titled.lesson_titles.iter().position(|own| own == title);
        let parts = index.map_or(&[][..], |index| titled.parts_of(index));
        std::iter::once(title).chain(parts).cloned().collect::<Vec<_>>()
    };
    let known: Vec<Vec<String>> = lessons.iter().map(of_lesson).collect();
    let subjects = Subjects::new(&known, &run.inputs().title, run.language());
    let mut drafts = Vec::new();
    for ((index, title), plan) in titled.lesson_titles.iter().enumerate().zip(plans) {
        // What stands in the documents comes before what the model would add.
        let candidates: Vec<String> = titled.topics_of(index).chain(plan.key_topics).collect();
        let chosen = choose_topics(&candidates, title, &mut taken.topics);
        let place = lessons
            .iter()
            .position(|lesson| lesson == title)
            .unwrap_or(lessons.len());
        let objectives = objectives::choose(
            &plan.lesson_objectives,
            |subject| subjects.fits(subject, place),
            &mut taken.objectives,
            run.language(),
        );
        drafts.push((title.clone(), objectives, chosen));
    }
    let _ = topics.after.send(taken);
    let lessons = futures::future::try_join_all(drafts.into_iter().enumerate().map(
        |(index, (title, objectives, topics))| {
            let number = number_of(index);
            let minutes = titled.minutes;
            async move {
                let exercises = exercises::of_lesson(run, number, &title, &topics).await?;
                Ok::<_, PipelineError>(Lesson {
                    lesson_number: number,
                    lesson_title: title,
                    lesson_objectives: objectives,
                    key_topics: topics,
                    estimated_duration_minutes: minutes,
                    practical_exercises: exercises,
                })
            }
        },
    ))
    .await?;
    Ok(Section {
        section_number: titled.number,
        section_title: titled.plan.area,
        section_description: description,
        learning_objectives: titled.plan.learning_objectives,
        estimated_duration_minutes: 0,
        lessons,
    })
}

pub(super) async fn piece<T: DeserializeOwned>(
    run: &Run,
    work: Work,
    phase: &'static str,
    batch: u32,
    prompt: &str,
    data: &Value,
    schema: serde_json::Value,
) -> Result<T, PipelineError> {
    run.ask_for(Question {
        stage: Stage::Structure,
        phase: phase.to_owned(),
        batch,
        work,
        complexity: None,
        prompt: run.prompts().render(prompt, data)?,
        hint: None,
        shape: "answer",
        schema,
        max_output_tokens: PIECE_OUTPUT_TOKENS,
        temperature: None,
        mend: None,
        check: None,
        gate: None,
        ignores_earlier_rounds: false,
        patience: Patience::AllAttempts,
    })
    .await
}

/// The shape of one field that is written anew, by the field's name.
pub(super) fn field_shape(run: &Run, field: &str) -> serde_json::Value {
    let pieces = Pieces::new(run.language());
    match field {
        "section_title" | "lesson_title" | "exercise_title" => pieces.phrase(12, 70),
        "key_topics" => pieces.phrase(8, 42),
        "course_tags" => pieces.phrase(4, 26),
        "lesson_objectives" | "learning_objectives" | "learning_outcomes" => {
            pieces.objective(limits::LEARNING_OUTCOME.min, 110)
        }
        "exercise_description" | "section_description" => pieces.sentences_of(2, 2, 35, 140),
        _ => json!({ "type": "string", "minLength": 50, "maxLength": 600 }),
    }
}
