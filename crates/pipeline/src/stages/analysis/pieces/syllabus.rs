//! The lessons of a course from its title alone, and the sections that they form.
//!
//! All lessons are asked for at once, as tasks in the order of learning: a small model that plans section by section, each
//! for itself, repeats its favourites in every section and begins each anew.

use std::collections::HashSet;

use domain::analysis::TopicComplexity;
use domain::language::Language;
use domain::limits;
use serde::Deserialize;

use super::{AreaPlan, Effort, NamedPlan, answer_of, question, sections_of};
use crate::context::Run;
use crate::distinct::Subjects;
use crate::engine::Question;
use crate::error::PipelineError;
use crate::schema::{Pieces, list, object};
use crate::stages::analysis::sections_wished;
use crate::tasks::names_a_task;
use crate::vars::vars;
use crate::wording::{folded, in_title_case};
use crate::{data, distinct};

/// Prompts that ask for lists of lessons, and their temperatures; what one list lacks comes from the others. Of two cool
/// lists one is in good order and does not repeat itself; the warm one has what they have not thought of. Our own figures,
/// after reading lists of the embedded models.
const PROMPTS: [(&str, f32); 3] = [
    ("small_tasks", 0.3),
    ("small_tasks", 0.3),
    ("small_subjects", 0.55),
];
/// More are asked for than are used: those that repeat others or say nothing are dropped.
const SPARE: usize = 2;
/// Lessons asked for in one list: small models repeat themselves beyond. Sections with more get the others later, one by
/// one. Our own figure, after reading lists of the embedded models.
const MOST_LISTED: usize = 20;
/// Lessons of a course when nobody says, from the lists: three for each of four sections. Our own figure: lists of 14 keep to
/// the topic, lists of 17 run dry.
const LESSONS: usize = 12;
/// Tokens of a lesson in a list, at most, and of what stands around the list.
const TOKENS_A_LESSON: usize = 20;
const TOKENS_AROUND: usize = 100;
/// The longest title made of two topics, in characters.
const LONGEST_NAME: usize = 70;

#[derive(Deserialize)]
struct Tasks {
    tasks: Vec<String>,
}

/// Lists of lessons, each from the first steps to the hardest.
///
/// # Errors
/// Whatever keeps a list from being made.
pub(super) async fn proposals(run: &Run) -> Result<(Vec<Vec<String>>, Effort), PipelineError> {
    let sections =
        sections_wished(run.inputs()).map_or(sections_of(TopicComplexity::Broad), |count| count as usize);
    let count = lessons_for(run, sections) + SPARE;
    let shape = object([("tasks", list(Pieces::new(run.language()).task(45), count))]);
    let asked = PROMPTS
        .iter()
        .zip(1u32..)
        .map(|(&(prompt, temperature), number)| {
            let shape = shape.clone();
            async move {
                let prompt = run
                    .prompts()
                    .render(prompt, &vars! { course => data::course(run), count })?;
                let question = Question {
                    temperature: Some(temperature),
                    max_output_tokens: u32::try_from(count * TOKENS_A_LESSON + TOKENS_AROUND)
                        .unwrap_or(u32::MAX),
                    ..question(run, "scope.lessons", number, prompt, shape)
                };
                answer_of::<Tasks>(run, question).await
            }
        });
    let mut effort = Effort::default();
    let mut lists = Vec::new();
    for (list, spent) in futures::future::try_join_all(asked).await? {
        effort.add(&spent);
        lists.push(list.tasks);
    }
    Ok((lists, effort))
}

/// How many lessons so many sections get from the lists.
fn lessons_for(run: &Run, sections: usize) -> usize {
    let wished = run.inputs().desired_lessons_count.map(|count| count as usize);
    wished.unwrap_or(LESSONS).min(MOST_LISTED).max(sections)
}

/// The lessons of each section, in teaching order.
///
/// # Errors
/// [`PipelineError::Embedding`] when the embedding model fails.
pub(super) async fn sections(
    run: &Run,
    complexity: TopicComplexity,
    proposals: &[Vec<String>],
) -> Result<Vec<Vec<String>>, PipelineError> {
    let sections = sections_wished(run.inputs()).map_or(sections_of(complexity), |count| count as usize);
    let about = data::plain_topic(&run.inputs().title);
    let mut chosen = distinct::lessons(run, about, proposals, lessons_for(run, sections)).await?;
    if chosen.is_empty() {
        // Every title could stand in any course; one is taken to begin with, and the others are asked for by section.
        chosen.extend(proposals.iter().flatten().next().cloned());
    }
    let lessons: Vec<String> = chosen
        .iter()
        .map(|title| in_case(title, run.language()))
        .collect();
    Ok(in_parts(&lessons, sections))
}

/// A title as titles are written in the language.
fn in_case(title: &str, language: Language) -> String {
    match language {
        Language::English => in_title_case(title),
        _ => title.to_owned(),
    }
}

/// Neighbours together, in `count` parts as equal as can be, the longer ones first; no part is empty.
fn in_parts(lessons: &[String], count: usize) -> Vec<Vec<String>> {
    let count = count.clamp(1, lessons.len().max(1));
    let (each, longer) = (lessons.len() / count, lessons.len() % count);
    let mut rest = lessons;
    (0..count)
        .map(|number| {
            let (part, after) = rest.split_at(each + usize::from(number < longer));
            rest = after;
            part.to_vec()
        })
        .collect()
}

/// The sections with names that tell them apart. The topics of each begin with its lessons, which the structure takes up.
pub(super) fn named(
    run: &Run,
    sections: &[Vec<String>],
    plans: Vec<NamedPlan>,
) -> (Vec<String>, Vec<AreaPlan>) {
    let mut taken: HashSet<String> = sections
        .iter()
        .flatten()
        .chain([&run.inputs().title])
        .map(|title| folded(title))
        .collect();
    let course = &run.inputs().title;
    let subjects = Subjects::new(sections, course, run.language());
    plans
        .into_iter()
        .zip(sections)
        .enumerate()
        .map(|(number, (NamedPlan { section_title, plan }, lessons))| {
            let fits = |name: &String| subjects.fits(name, number);
            let own = Some(in_case(&section_title, run.language())).filter(|title| {
                let is_general = distinct::is_generic(title) || distinct::opens(title);
                let may_be_general = number == 0;
                if is_general {
                    may_be_general
                } else {
                    distinct::tells_more_than(title, course)
                }
            });
            let topics: Vec<String> = plan
                .key_topics
                .iter()
                .filter(|topic| fits(topic))
                .cloned()
                .collect();
            let name = name(own.filter(fits), &topics, lessons, &taken, run.language());
            taken.insert(folded(&name));
            let key_topics = lessons.iter().cloned().chain(
                plan.key_topics
                    .iter()
                    .map(|topic| as_topic(topic, run.language())),
            );
            let key_topics = key_topics.collect();
            (name, AreaPlan { key_topics, ..plan })
        })
        .unzip()
}

/// A topic beside the lessons, without what is done with it: `Observing bee nesting` would be taken for a lesson.
fn as_topic(text: &str, language: Language) -> String {
    let mut topic = text.to_owned();
    while names_a_task(&topic, language)
        && let Some((_, rest)) = topic.split_once(' ')
    {
        let mut letters = rest.chars();
        topic = letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default();
    }
    topic
}

/// The model's name of a section, if it has one of its own; else two of its topics, or from where to where it goes.
fn name(
    own: Option<String>,
    topics: &[String],
    lessons: &[String],
    taken: &HashSet<String>,
    language: Language,
) -> String {
    let is_free = |name: &String| {
        limits::SECTION_TITLE.allows(limits::text_length(name))
            && limits::text_length(name) <= LONGEST_NAME
            && !taken.contains(&folded(name))
    };
    let (joined, telling): (Vec<String>, Vec<String>) = topics
        .iter()
        .filter(|topic| !distinct::is_generic(topic) && !distinct::opens(topic))
        .map(|topic| in_case(topic, language))
        .partition(|topic| topic.contains(" and "));
    let pair = match telling.as_slice() {
        [first, second, ..] => Some(match language {
            Language::English => format!("{first} and {second}"),
            _ => format!("{first}; {second}"),
        }),
        _ => None,
    };
    let span = match lessons {
        [first, .., last] => format!("{first} – {last}"),
        _ => lessons.concat(),
    };
    own.into_iter()
        .chain(pair)
        .chain(joined)
        .chain(telling)
        .find(is_free)
        .unwrap_or(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn parts_are_as_equal_as_can_be() {
        let lessons = owned(&["a", "b", "c", "d", "e", "f", "g"]);
        let check = |count: usize, expected: &[usize]| {
            let lengths: Vec<usize> = in_parts(&lessons, count).iter().map(Vec::len).collect();
            assert_eq!(lengths, expected);
        };
        check(3, &[3, 2, 2]);
        check(7, &[1; 7]);
        check(9, &[1; 7]);
        check(1, &[7]);
    }

    #[test]
    fn topics_are_no_lessons() {
        let check = |text: &str, expected: &str| assert_eq!(as_topic(text, Language::English), expected);
        check("Observing bee nesting", "Bee nesting");
        check("Using joining tables", "Tables");
        check("Bee nesting", "Bee nesting");
    }

    #[test]
    fn names_tell_sections_apart() {
        let topics = owned(&[
            "Feeding in spring",
            "Colony health",
            "Pests and diseases",
            "Beekeeping basics",
        ]);
        let lessons = owned(&["Feeding Bees", "Preparing for Winter"]);
        let check = |own: Option<&str>, taken: &[&str], expected: &str| {
            let taken = taken.iter().map(|name| folded(name)).collect();
            assert_eq!(
                name(
                    own.map(str::to_owned),
                    &topics,
                    &lessons,
                    &taken,
                    Language::English
                ),
                expected
            );
        };
        check(Some("Life in the Hive"), &[], "Life in the Hive");
        check(None, &[], "Feeding in Spring and Colony Health");
        check(
            Some("Life in the Hive"),
            &["life in the hive"],
            "Feeding in Spring and Colony Health",
        );
        check(
            None,
            &["feeding in spring and colony health"],
            "Pests and Diseases",
        );
        check(
            None,
            &[
                "feeding in spring and colony health",
                "pests and diseases",
                "feeding in spring",
                "colony health",
            ],
            "Feeding Bees – Preparing for Winter",
        );
    }
}
