//! The finalisation: what can only be seen across lessons, the totals and the quality report (generation 3.7).

use domain::analysis::AnalysisResult;
use domain::generation::{GenerationMetadata, ModelsUsed, QualityScores, RetryCounts, StageTokens};
use domain::lesson::LessonContent;
use domain::limits;
use domain::quality::{DuplicatePair, OutcomeCoverage, QualityReport, ReadingTime};
use domain::stage::Stage;
use domain::structure::{CourseStructure, Lesson};
use domain::taxonomy::bloom_profile;
use domain::validation::{
    Finding, near_duplicate_findings, outcome_coverage_findings, validate_lesson_content, validate_structure,
};
use store::lesson::StoredLesson;
use store::model_call::{BatchTotals, list_totals};

use super::content::tidy::tidy_across;
use super::content::{is_made_anew, lessons_in};
use crate::context::Run;
use crate::error::PipelineError;
use crate::grounding;
use crate::quality::{cosine, embed};
use crate::transaction::in_system;

/// Similarity from which a lesson serves an outcome, on the reference scale: between unrelated and same section.
const SERVES_FROM: f32 = 0.5;
/// A lesson is never shortened below this (data model 2.5: a text, not a note).
const LEAST_WORDS: u32 = 120;

/// What the stage made.
pub(crate) struct Finished {
    pub(crate) metadata: GenerationMetadata,
    pub(crate) report: QualityReport,
}

/// Runs the stage.
///
/// # Errors
/// Whatever keeps texts from being compared or saved.
pub(crate) async fn run(
    run: &Run,
    analysis: &AnalysisResult,
    structure: &CourseStructure,
) -> Result<Finished, PipelineError> {
    let lessons = without_repeats_across(run, structure).await?;
    let vectors = Vectors::of(run, structure).await?;
    let scores = scores(run, analysis, structure, &vectors);
    let mut report = report(run, structure, &lessons, &vectors, scores.clone());
    let anew = lessons_in(structure, |section, lesson| {
        is_made_anew(run.scope(), section, lesson)
    });
    if let Some(found) = Box::pin(grounding::examine(run, &lessons, |number| anew.contains(&number))).await? {
        report.grounding = Some(found.report);
        report.documents = found.documents;
    }
    let generation = run.generation().id;
    let totals = in_system!(run.store(), |tx| list_totals(tx, generation).await)?;
    Ok(Finished {
        metadata: metadata(run, &totals, structure, scores),
        report,
    })
}

/// Drops sentences and hints that another lesson has already; only small models repeat themselves from lesson to lesson. Only what
/// this generation makes anew is changed, and it gives way to all that was there before.
async fn without_repeats_across(
    run: &Run,
    structure: &CourseStructure,
) -> Result<Vec<(u32, LessonContent)>, PipelineError> {
    loop {
        if let Some(lessons) = try_without_repeats(run, structure).await? {
            return Ok(lessons);
        }
        // Its sources moved; what is dropped does not depend on them.
        tracing::info!("a lesson changed while repeats were dropped: looking again");
    }
}

/// `None` if a lesson has changed since it was read.
async fn try_without_repeats(
    run: &Run,
    structure: &CourseStructure,
) -> Result<Option<Vec<(u32, LessonContent)>>, PipelineError> {
    let anew = lessons_in(structure, |section, lesson| {
        is_made_anew(run.scope(), section, lesson)
    });
    let stored = run.stored_lessons().await?;
    let (new, old): (Vec<_>, Vec<_>) = stored
        .into_iter()
        .partition(|lesson| anew.contains(&lesson.lesson_number));
    let with_text = |lessons: Vec<StoredLesson>| -> Vec<_> {
        let written = lessons.into_iter();
        written
            .filter_map(|lesson| lesson.content.clone().map(|content| (lesson, content)))
            .collect()
    };
    let (old, mut drafts) = (with_text(old), with_text(new));
    let mut texts: Vec<&mut LessonContent> = drafts.iter_mut().map(|(_, content)| content).collect();
    tidy_across(old.iter().map(|(_, content)| content), &mut texts);
    let kept = old.into_iter();
    let mut lessons: Vec<_> = kept
        .map(|(lesson, content)| (lesson.lesson_number, content))
        .collect();
    for (lesson, mut tidied) in drafts {
        tidied.word_count = tidied.count_words();
        let is_changed = lesson.content.as_ref() != Some(&tidied) && tidied.word_count >= LEAST_WORDS;
        if run.is_small() && is_changed {
            if !run.revise_lesson(&lesson, &tidied).await? {
                return Ok(None);
            }
            lessons.push((lesson.lesson_number, tidied));
        } else if let Some(content) = lesson.content {
            lessons.push((lesson.lesson_number, content));
        }
    }
    lessons.sort_by_key(|(number, _)| *number);
    Ok(Some(lessons))
}

/// Vectors of what is compared.
struct Vectors {
    title: Vec<f32>,
    metadata: Vec<f32>,
    sections: Vec<Vec<f32>>,
    outcomes: Vec<Vec<f32>>,
    lessons: Vec<Vec<f32>>,
    lesson_titles: Vec<Vec<f32>>,
}

impl Vectors {
    async fn of(run: &Run, structure: &CourseStructure) -> Result<Self, PipelineError> {
        let title = run.inputs().title.clone();
        let metadata = format!(
            "{} {}",
            structure.course_description,
            structure.learning_outcomes.join(" ")
        );
        let section_texts = structure.sections.iter().map(|section| {
            let titles: Vec<&str> = section
                .lessons
                .iter()
                .map(|lesson| lesson.lesson_title.as_str())
                .collect();
            format!("{} {}", section.section_description, titles.join(". "))
        });
        let lesson_texts = structure
            .lessons()
            .map(|(_, lesson)| format!("{}. {}", lesson.lesson_title, lesson.lesson_objectives.join(" ")));
        let lesson_titles = structure.lessons().map(|(_, lesson)| lesson.lesson_title.clone());
        let mut texts = vec![title, metadata];
        texts.extend(section_texts);
        texts.extend(structure.learning_outcomes.iter().cloned());
        texts.extend(lesson_texts);
        texts.extend(lesson_titles);
        let mut vectors = embed(run, &texts).await?.into_iter();
        let lessons = structure.lesson_count();
        let mut next = |count: usize| -> Vec<Vec<f32>> { vectors.by_ref().take(count).collect() };
        Ok(Self {
            title: next(1).pop().unwrap_or_default(),
            metadata: next(1).pop().unwrap_or_default(),
            sections: next(structure.sections.len()),
            outcomes: next(structure.learning_outcomes.len()),
            lessons: next(lessons),
            lesson_titles: next(lessons),
        })
    }
}

/// Metadata against the title, each section against its title and the analysis.
fn scores(
    run: &Run,
    analysis: &AnalysisResult,
    structure: &CourseStructure,
    vectors: &Vectors,
) -> QualityScores {
    let calibration = run.calibration();
    let scaled = |a: &[f32], b: &[f32]| f64::from(calibration.similarity(cosine(a, b)));
    let metadata = scaled(&vectors.title, &vectors.metadata);
    tracing::debug!(
        topic = analysis.topic_analysis.determined_topic,
        metadata,
        "scored"
    );
    // A section must be close to the course's metadata as well as to what was asked.
    let sections = vectors
        .sections
        .iter()
        .zip(&structure.sections)
        .map(|(section, _)| scaled(section, &vectors.metadata).max(scaled(section, &vectors.title)))
        .collect();
    QualityScores::of(metadata, sections)
}

fn report(
    run: &Run,
    structure: &CourseStructure,
    lessons: &[(u32, LessonContent)],
    vectors: &Vectors,
    scores: QualityScores,
) -> QualityReport {
    let calibration = run.calibration();
    let rules = run.rules();
    let labels: Vec<(String, String)> = structure
        .sections
        .iter()
        .enumerate()
        .flat_map(|(section, of)| {
            of.lessons.iter().enumerate().map(move |(lesson, of)| {
                (
                    format!("sections[{section}].lessons[{lesson}].lesson_title"),
                    of.lesson_title.clone(),
                )
            })
        })
        .collect();
    let titles = |a: usize, b: usize| cosine(&vectors.lesson_titles[a], &vectors.lesson_titles[b]);
    let serves = |outcome: usize, lesson: usize| {
        calibration.similarity(cosine(&vectors.outcomes[outcome], &vectors.lessons[lesson]))
    };
    let mut findings = validate_structure(structure, &rules);
    findings.extend(near_duplicate_findings(
        &labels,
        titles,
        calibration.duplicate_threshold,
    ));
    let outcomes = &structure.learning_outcomes;
    findings.extend(outcome_coverage_findings(
        outcomes,
        labels.len(),
        serves,
        SERVES_FROM,
    ));
    for (lesson, content) in with_texts(structure, lessons) {
        let number = lesson.lesson_number;
        findings.extend(
            validate_lesson_content(content, lesson, &rules)
                .into_iter()
                .map(|finding| Finding {
                    path: format!("lessons[{number}].{}", finding.path),
                    ..finding
                }),
        );
    }
    findings.sort_by_key(|finding| finding.severity);
    QualityReport {
        scores: Some(scores),
        findings,
        bloom: bloom_profile(structure, run.language()),
        outcome_coverage: outcomes
            .iter()
            .enumerate()
            .map(|(outcome, text)| {
                let similarities = (0..labels.len())
                    .map(|lesson| f64::from(serves(outcome, lesson)))
                    .collect();
                OutcomeCoverage::of(text, similarities, f64::from(SERVES_FROM))
            })
            .collect(),
        duplicates: duplicates(&labels, titles, run),
        documents: Vec::new(),
        grounding: None,
        reading_times: reading_times(structure, lessons),
    }
}

/// The lessons that have a text, with it.
fn with_texts<'a>(
    structure: &'a CourseStructure,
    texts: &'a [(u32, LessonContent)],
) -> impl Iterator<Item = (&'a Lesson, &'a LessonContent)> {
    structure.lessons().filter_map(|(_, lesson)| {
        let text = texts.iter().find(|(number, _)| *number == lesson.lesson_number);
        text.map(|(_, content)| (lesson, content))
    })
}

fn duplicates(
    labels: &[(String, String)],
    similarity: impl Fn(usize, usize) -> f32,
    run: &Run,
) -> Vec<DuplicatePair> {
    let calibration = run.calibration();
    let mut pairs = Vec::new();
    for (second, (second_path, second_text)) in labels.iter().enumerate() {
        for (first, (first_path, first_text)) in labels.iter().enumerate().take(second) {
            let raw = similarity(first, second);
            if calibration.is_duplicate(raw) {
                pairs.push(DuplicatePair {
                    first_path: first_path.clone(),
                    first: first_text.clone(),
                    second_path: second_path.clone(),
                    second: second_text.clone(),
                    similarity: f64::from(calibration.similarity(raw)),
                });
            }
        }
    }
    pairs
}

fn reading_times(structure: &CourseStructure, lessons: &[(u32, LessonContent)]) -> Vec<ReadingTime> {
    let words = |a_minute: usize, minutes: u32| {
        u32::try_from(a_minute)
            .unwrap_or(u32::MAX)
            .saturating_mul(minutes)
    };
    with_texts(structure, lessons)
        .map(|(lesson, content)| ReadingTime {
            lesson_number: lesson.lesson_number,
            words: content.word_count,
            words_min: words(limits::WORDS_A_MINUTE.min, lesson.estimated_duration_minutes),
            words_max: words(limits::WORDS_A_MINUTE.max, lesson.estimated_duration_minutes),
            target_minutes: lesson.estimated_duration_minutes,
        })
        .collect()
}

/// Sums of the call log (data model 2.2).
fn metadata(
    run: &Run,
    totals: &[BatchTotals],
    structure: &CourseStructure,
    quality_scores: QualityScores,
) -> GenerationMetadata {
    let of = |phase: &str| {
        let phase = phase.to_owned();
        totals.iter().filter(move |batch| {
            batch.stage == Stage::Structure && batch.phase.split('.').next() == Some(phase.as_str())
        })
    };
    let tokens = |phase: &str| of(phase).map(|batch| batch.usage.total).sum::<u64>();
    let millis = |batches: &mut dyn Iterator<Item = &BatchTotals>| {
        batches
            .map(|batch| u64::try_from(batch.latency.as_millis()).unwrap_or(u64::MAX))
            .sum::<u64>()
    };
    // Where a part was made anew, the rest of the course is by the models that made it before.
    let before = run
        .course()
        .metadata
        .as_ref()
        .map(|metadata| &metadata.model_used);
    let model = |phase: &str| of(phase).next_back().map(|batch| batch.model.clone());
    let model_before = |model: fn(&ModelsUsed) -> &String| before.map(model).cloned();
    let retries = |batch: &BatchTotals| batch.calls.saturating_sub(1);
    GenerationMetadata {
        model_used: ModelsUsed {
            metadata: model("metadata")
                .or(model_before(|models| &models.metadata))
                .unwrap_or_default(),
            sections: model("sections")
                .or(model_before(|models| &models.sections))
                .unwrap_or_default(),
            validation: model("validation").filter(|model| !model.is_empty()),
        },
        total_tokens: StageTokens {
            metadata: tokens("metadata"),
            sections: tokens("sections"),
            validation: tokens("validation"),
            total: totals.iter().map(|batch| batch.usage.total).sum(),
        },
        cost_usd: totals
            .iter()
            .map(|batch| batch.cost)
            .sum::<domain::usage::MicroUsd>()
            .as_usd(),
        duration_ms: StageTokens {
            metadata: millis(&mut of("metadata")),
            sections: millis(&mut of("sections")),
            validation: millis(&mut of("validation")),
            total: millis(&mut totals.iter()),
        },
        quality_scores,
        batch_count: u32::try_from(structure.sections.len()).unwrap_or(u32::MAX),
        retry_count: RetryCounts {
            metadata: of("metadata").map(retries).sum(),
            sections: section_retries(totals, structure),
        },
        created_at: run.clock().now(),
    }
}

/// Retries of each section: its own calls, and those for its lessons.
fn section_retries(totals: &[BatchTotals], structure: &CourseStructure) -> Vec<u32> {
    const BY_LESSON: [&str; 2] = ["sections.lesson_plan", "sections.exercises"];
    structure
        .sections
        .iter()
        .map(|section| {
            let has_lesson = |number: u32| {
                section
                    .lessons
                    .iter()
                    .any(|lesson| lesson.lesson_number == number)
            };
            totals
                .iter()
                .filter(|batch| batch.stage == Stage::Structure && batch.phase.starts_with("sections"))
                .filter(|batch| {
                    if BY_LESSON.contains(&batch.phase.as_str()) {
                        has_lesson(batch.batch)
                    } else {
                        batch.batch == section.section_number
                    }
                })
                .map(|batch| batch.calls.saturating_sub(1))
                .sum()
        })
        .collect()
}
