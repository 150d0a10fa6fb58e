//! The content stage: the text of every lesson, many at once, the first lessons first (generation 3.1).

mod mend;
mod pieces;
pub(crate) mod tidy;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::analysis::AnalysisResult;
use domain::generation::GenerationScope;
use domain::lesson::{LessonContent, LessonQuality, LessonStatus, QualityCheck};
use domain::limits;
use domain::quality::CONTENT_THRESHOLD;
use domain::structure::{CourseStructure, Lesson, Section};
use domain::validation::{Severity, validate_lesson_content};
use futures::StreamExt as _;
use llm::route::Work;
use store::generation::Generation;
use store::lesson::StoredLesson;

use crate::context::Run;
use crate::data;
use crate::error::PipelineError;
use crate::event::Event;
use crate::quality;
use crate::sources::{LESSON_PIECES, Sources, Wanted, cite, without_labels};
use crate::vars::vars;

/// Lessons that a large model writes at once at most; the provider's own limit is found while they run.
const LESSONS_AT_ONCE: usize = 32;
/// Lessons that a small model writes at once: their pieces fill its slots, and the first is done first.
const SMALL_LESSONS_AT_ONCE: usize = 4;

/// What a lesson is written from.
pub(crate) struct Brief<'a> {
    pub(crate) analysis: &'a AnalysisResult,
    pub(crate) structure: &'a CourseStructure,
    pub(crate) section: &'a Section,
    pub(crate) lesson: &'a Lesson,
    /// What the lesson has now.
    pub(crate) stored: Option<&'a StoredLesson>,
    /// Whether the course is resumed and that text needs a review.
    pub(crate) needs_review: bool,
}

impl<'a> Brief<'a> {
    /// The text that it has now, where that text alone is made anew.
    pub(crate) fn present(&self, run: &Run) -> Option<&'a LessonContent> {
        let is_alone = matches!(run.scope(), GenerationScope::Lesson { .. });
        let stored = self.stored.filter(|_| is_alone && self.is_made_anew(run));
        stored.and_then(|stored| stored.content.as_ref())
    }

    /// What prompts know of the course. The author's wish is for what is made anew and for nothing else.
    pub(crate) fn course(&self, run: &Run) -> minijinja::Value {
        if self.is_made_anew(run) {
            data::course(run)
        } else {
            vars! { wish => (), ..data::course(run) }
        }
    }

    fn is_made_anew(&self, run: &Run) -> bool {
        is_made_anew(run.scope(), self.section, self.lesson)
    }
}

impl Brief<'_> {
    /// What the text is compared with.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}. {} {}",
            self.lesson.lesson_title,
            self.lesson.lesson_objectives.join(" "),
            self.lesson.key_topics.join(". ")
        )
    }

    /// What is searched for in the documents: the lesson's title, topics and objectives.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        let lesson = self.lesson;
        let title = format!("{}: {}", self.section.section_title, lesson.lesson_title);
        let queries = std::iter::once(title)
            .chain(lesson.key_topics.iter().cloned())
            .chain(lesson.lesson_objectives.iter().cloned());
        Wanted {
            work: Work::Lesson,
            queries: queries.collect(),
            preferred: &[],
            most: LESSON_PIECES,
        }
    }

    /// Words of a lesson of that length: a minute of reading is 120 to 180 words, and of the lesson's minutes the
    /// theory's share is read, the rest is practice (data model 2.4 and 2.5).
    pub(crate) fn words(&self) -> usize {
        let theory = self
            .analysis
            .pedagogical_patterns
            .theory_practice_ratio
            .split(':')
            .next();
        // Under a third, a text cannot explain what is practised; over two thirds, nobody practises.
        let share = theory
            .and_then(|share| share.parse().ok())
            .unwrap_or(50)
            .clamp(33, 67);
        let a_minute = usize::midpoint(limits::WORDS_A_MINUTE.min, limits::WORDS_A_MINUTE.max);
        self.lesson.estimated_duration_minutes as usize * a_minute * share / 100
    }
}

/// What came of writing a lesson.
pub(crate) struct Written {
    pub(crate) content: LessonContent,
    pub(crate) similarity: Option<f64>,
    pub(crate) needs_review: bool,
    /// The pieces of documents that it was written from.
    pub(crate) sources: Sources,
}

/// Writes every lesson that this generation has to write and has not written yet. One that cannot be written is marked
/// so, with the reason, and the others go on.
///
/// # Errors
/// [`PipelineError::MissingInput`] if the lesson to make anew does not exist; what keeps every lesson from being written,
/// after those under way are saved; the reason of a lesson if no lesson could be written, or if that lesson alone was to
/// be made anew.
pub(crate) async fn run(
    run: &Arc<Run>,
    analysis: &Arc<AnalysisResult>,
    structure: &Arc<CourseStructure>,
) -> Result<(), PipelineError> {
    let stored = run.stored_lessons().await?;
    let course_lessons = lessons_in(structure, |_, _| true);
    if let GenerationScope::Lesson { number, .. } = run.scope()
        && !course_lessons.contains(number)
    {
        return Err(PipelineError::MissingInput {
            stage: "content",
            missing: "the lesson to make anew",
        });
    }
    let open = open_lessons(run.generation(), structure, &stored);
    let total = u32::try_from(course_lessons.len()).unwrap_or(u32::MAX);
    let mut done = u32::try_from(course_lessons.difference(&open).count()).unwrap_or(u32::MAX);
    run.progress_content(done, total);
    let at_once = if run.is_small() {
        SMALL_LESSONS_AT_ONCE
    } else {
        LESSONS_AT_ONCE
    };
    let places: Vec<(usize, usize)> = structure
        .sections
        .iter()
        .enumerate()
        .flat_map(|(section, of)| (0..of.lessons.len()).map(move |lesson| (section, lesson)))
        .filter(|&(section, lesson)| {
            open.contains(&structure.sections[section].lessons[lesson].lesson_number)
        })
        .collect();
    let mut lessons = futures::stream::iter(places)
        .map(|(section, lesson)| {
            let section = &structure.sections[section];
            let lesson = &section.lessons[lesson];
            let stored = stored
                .iter()
                .find(|stored| stored.lesson_number == lesson.lesson_number);
            let brief = Brief {
                analysis,
                structure,
                section,
                lesson,
                stored,
                needs_review: stored.is_some_and(|stored| needs_review(run, stored, section, lesson)),
            };
            async move { (lesson.lesson_number, written_or_failed(run, brief).await) }
        })
        .buffer_unordered(at_once);
    let mut end = None;
    let mut failed = None;
    let mut failed_numbers = BTreeSet::new();
    // Nothing may be waited for here: a lesson could hold the lock on the job's row and would not go on meanwhile.
    while let Some((number, lesson)) = lessons.next().await {
        match lesson {
            Ok(()) => {
                done += 1;
                run.progress_content(done, total);
            }
            Err(error) if error.is_of_one_piece() => {
                failed_numbers.insert(number);
                failed = failed.or(Some(error));
            }
            Err(error @ (PipelineError::Cancelled | PipelineError::Store(_))) => return Err(error),
            Err(error) => {
                // Nothing can go on. What others have under way is paid for and is still saved.
                run.halt();
                end = end.or(Some(error));
            }
        }
    }
    // Whoever asked for certain lessons has nothing without any of them, and a course without any text is none.
    let asked = lessons_in(structure, |section, lesson| {
        is_made_anew(run.scope(), section, lesson)
    });
    let is_without_asked =
        matches!(run.scope(), GenerationScope::Lesson { .. }) && asked.is_subset(&failed_numbers);
    let is_in_vain = done == 0 || is_without_asked;
    match end.or(failed.filter(|_| is_in_vain)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Whether a lesson is written again because its text needs a review. Where the generation makes the lesson, only a text of its
/// own counts.
fn needs_review(run: &Run, stored: &StoredLesson, section: &Section, lesson: &Lesson) -> bool {
    let is_own = stored.generation_id == Some(run.generation().id);
    run.round() > 0
        && stored.status == LessonStatus::NeedsReview
        && (is_own || !is_made_anew(run.scope(), section, lesson))
}

/// The lessons that a generation still has to write. What it makes anew counts as written only where it has written it
/// itself; beside that, whatever text a lesson has is kept. When somebody goes on after the end, also what needs a review
/// is tried again, wherever it stands in the course.
fn open_lessons(
    generation: &Generation,
    structure: &CourseStructure,
    stored: &[StoredLesson],
) -> BTreeSet<u32> {
    let scope = &generation.scope;
    let goes_on = generation.round > 0;
    let is_anew = |section: &Section, lesson: &Lesson| is_made_anew(scope, section, lesson);
    let is_written = |lesson: &StoredLesson| match lesson.status {
        LessonStatus::Completed => true,
        LessonStatus::NeedsReview => !goes_on,
        LessonStatus::Pending | LessonStatus::Generating | LessonStatus::Failed => false,
    };
    let written = |own_only: bool| -> BTreeSet<u32> {
        stored
            .iter()
            .filter(|lesson| is_written(lesson))
            .filter(|lesson| !own_only || lesson.generation_id == Some(generation.id))
            .map(|lesson| lesson.lesson_number)
            .collect()
    };
    let anew = lessons_in(structure, is_anew);
    let mut open: BTreeSet<u32> = anew.difference(&written(true)).copied().collect();
    if goes_on || matches!(scope, GenerationScope::Section { .. }) {
        // A course may have been made anew in part before it was finished.
        let others = lessons_in(structure, |section, lesson| !is_anew(section, lesson));
        open.extend(others.difference(&written(false)));
    }
    open
}

/// Whether the text of a lesson is what this generation makes anew.
pub(super) fn is_made_anew(scope: &GenerationScope, section: &Section, lesson: &Lesson) -> bool {
    match scope {
        GenerationScope::Whole => true,
        GenerationScope::Section { number, .. } => section.section_number == *number,
        GenerationScope::Lesson { number, also, .. } => {
            lesson.lesson_number == *number || also.contains(&lesson.lesson_number)
        }
    }
}

/// The numbers of the lessons that fulfil a condition.
pub(super) fn lessons_in(
    structure: &CourseStructure,
    condition: impl Fn(&Section, &Lesson) -> bool,
) -> BTreeSet<u32> {
    structure
        .lessons()
        .filter(|(section, lesson)| condition(section, lesson))
        .map(|(_, lesson)| lesson.lesson_number)
        .collect()
}

/// Writes a lesson, or writes down why it cannot be written.
async fn written_or_failed(run: &Run, brief: Brief<'_>) -> Result<(), PipelineError> {
    let lesson = brief.lesson;
    match write(run, brief).await {
        Err(error) if error.is_of_one_piece() => {
            run.fail_lesson(lesson, &error).await?;
            Err(error)
        }
        outcome => outcome,
    }
}

async fn write(run: &Run, brief: Brief<'_>) -> Result<(), PipelineError> {
    let mut written = if run.is_small() {
        Box::pin(pieces::lesson(run, &brief)).await?
    } else {
        Box::pin(whole::lesson(run, &brief)).await?
    };
    if written.similarity.is_none() {
        let text = whole::digest(&written.content);
        written.similarity = Some(quality::similarity(run, &brief.text(), &text).await?);
    }
    // A small model never sees labels; where there are none, `(S1)` is the lesson's own.
    if !run.is_small() {
        drop_labels(&mut written.content, written.sources.pieces().len());
    }
    cite(run, &mut written.content, &written.sources).await?;
    written.content.word_count = written.content.count_words();
    judge(run, &brief, &mut written);
    let kept = brief
        .stored
        .and_then(|stored| stored.content.as_ref())
        .filter(|stored| brief.needs_review && !is_better(&written.content, stored));
    if kept.is_none() {
        run.save_lesson(brief.lesson.lesson_number, &written.content)
            .await?;
    }
    let content = kept.unwrap_or(&written.content);
    run.observer().on_event(Event::LessonReady {
        number: brief.lesson.lesson_number,
        title: brief.lesson.lesson_title.clone(),
        words: content.word_count,
        needs_review: content.status == LessonStatus::NeedsReview,
    });
    Ok(())
}

/// Whether a text is better than the one that needs a review: accepted, or with fewer checks failed, or closer to its
/// specification.
fn is_better(new: &LessonContent, old: &LessonContent) -> bool {
    let failed = |content: &LessonContent| {
        let checks = &content.quality.checks;
        checks.iter().filter(|check| !check.passed).count()
    };
    let score = |content: &LessonContent| content.quality.score.unwrap_or_default();
    new.status == LessonStatus::Completed
        || failed(new) < failed(old)
        || (failed(new) == failed(old) && score(new) > score(old))
}

/// Takes the labels of the lesson's `sources` out of all that learners read.
fn drop_labels(content: &mut LessonContent, sources: usize) {
    if sources == 0 {
        return;
    }
    let LessonContent {
        introduction,
        blocks,
        examples,
        exercises,
        quiz,
        summary,
        ..
    } = content;
    let texts = blocks.iter_mut().map(|block| &mut block.body);
    let texts = texts.chain(examples.iter_mut().map(|example| &mut example.body));
    let texts = texts.chain(
        exercises
            .iter_mut()
            .flat_map(|exercise| [&mut exercise.instructions, &mut exercise.solution]),
    );
    let texts = texts.chain(quiz.iter_mut().map(|question| &mut question.explanation));
    for text in texts.chain([introduction, summary]) {
        *text = without_labels(text, sources);
    }
}

/// Writes down what was checked and decides whether an author must look at the lesson.
fn judge(run: &Run, brief: &Brief<'_>, written: &mut Written) {
    let findings = validate_lesson_content(&written.content, brief.lesson, &run.rules());
    let mut checks: Vec<QualityCheck> = findings
        .iter()
        .filter(|finding| finding.severity != Severity::Info)
        .map(|finding| QualityCheck {
            name: finding.rule.as_str().to_owned(),
            passed: false,
            detail: finding.to_string(),
        })
        .collect();
    let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    let threshold = quality::threshold_in(run.language(), CONTENT_THRESHOLD);
    let is_close = written
        .similarity
        .is_none_or(|similarity| similarity >= threshold);
    checks.push(QualityCheck {
        name: "similarity".to_owned(),
        passed: is_close,
        detail: format!(
            "{:.2} to the specification, {threshold:.2} needed",
            written.similarity.unwrap_or(1.0)
        ),
    });
    let passed = !has_errors && is_close && !written.needs_review;
    written.content.status = if passed {
        LessonStatus::Completed
    } else {
        LessonStatus::NeedsReview
    };
    written.content.quality = LessonQuality {
        score: written.similarity,
        checks,
    };
}
