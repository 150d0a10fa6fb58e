//! The analysis stage: what the course is, how much it must cover, how it is taught (data model 2.4).
//!
//! It always runs, also for a title alone. A large model answers phase by phase; a small one is asked for the same
//! result in pieces, many at once.

mod documents;
mod pieces;
mod whole;

use domain::analysis::{
    AnalysisResult, Classification, ConflictResolution, ContentStrategy, ExpertFindings, PhaseRecord,
    PhaseRecords, RecommendedStructure, SectionPlan, Synthesis,
};
use domain::conflict;
use domain::course::CourseInputs;
use domain::generation::Step;
use domain::limits;
use domain::structure::hours;
use domain::validation::{Finding, validate_analysis};

use crate::context::Run;
use crate::engine::Effort;
use crate::error::PipelineError;
use crate::event::Event;
use crate::material::Material;

/// A phase's result and what it took.
pub(crate) struct Phase<T> {
    pub(crate) result: T,
    pub(crate) effort: Effort,
    pub(crate) similarity: Option<f64>,
}

impl<T> Phase<T> {
    /// A phase that was not compared with anything.
    pub(crate) const fn of(result: T, effort: Effort) -> Self {
        Self {
            result,
            effort,
            similarity: None,
        }
    }

    fn record(&self) -> PhaseRecord {
        PhaseRecord {
            duration_ms: u64::try_from(self.effort.duration.as_millis()).unwrap_or(u64::MAX),
            model_used: self.effort.model.clone(),
            tokens: self.effort.usage,
            quality_score: self.similarity,
            retry_count: self.effort.retries,
            repair: self.effort.repair.map(|layer| layer.as_str().to_owned()),
        }
    }
}

/// All phases that models answer.
pub(crate) struct Phases {
    pub(crate) classification: Phase<Classification>,
    pub(crate) scope: Phase<RecommendedStructure>,
    pub(crate) expert: Phase<ExpertFindings>,
    pub(crate) synthesis: Phase<Synthesis>,
}

/// Runs the stage.
///
/// # Errors
/// Whatever keeps a phase from being answered.
pub(crate) async fn run(run: &Run) -> Result<AnalysisResult, PipelineError> {
    run.observer().on_event(Event::Progress {
        step: Step::Understanding,
        done: 0,
        total: 0,
    });
    let phases = if run.is_small() {
        Box::pin(pieces::phases(run)).await?
    } else {
        Box::pin(whole::phases(run)).await?
    };
    let mut analysis = assemble(run, phases);
    let material = run.material().await?;
    if !material.is_empty() {
        analysis.content_strategy = strategy(run, material, &analysis);
        let found = documents::phase(run, &analysis.recommended_structure.sections_breakdown).await?;
        analysis.phases.documents = found.record();
        analysis.document_relevance = found.result;
    }
    let findings = validate_analysis(&analysis, &run.rules());
    if let Some(error) = findings.into_iter().find(Finding::is_error) {
        return Err(PipelineError::Unusable {
            what: "the analysis".to_owned(),
            attempts: 1,
            problem: error.to_string(),
        });
    }
    Ok(analysis)
}

fn assemble(run: &Run, phases: Phases) -> AnalysisResult {
    let records = PhaseRecords {
        classification: phases.classification.record(),
        scope: phases.scope.record(),
        expert: phases.expert.record(),
        synthesis: phases.synthesis.record(),
        documents: PhaseRecord::default(),
    };
    let classification = phases.classification.result;
    let synthesis = phases.synthesis.result;
    let strategy = run
        .inputs()
        .content_strategy
        .decided()
        .unwrap_or(synthesis.content_strategy);
    let mut structure = phases.scope.result;
    let conflicts = reconcile(run, &mut structure);
    AnalysisResult {
        course_category: classification.course_category,
        difficulty: classification.difficulty,
        contextual_language: classification.contextual_language,
        topic_analysis: classification.topic_analysis,
        pedagogical_patterns: classification.pedagogical_patterns,
        recommended_structure: structure,
        pedagogical_strategy: phases.expert.result.pedagogical_strategy,
        expansion_areas: phases.expert.result.expansion_areas,
        research_flags: phases.expert.result.research_flags,
        generation_guidance: synthesis.generation_guidance,
        content_strategy: strategy,
        document_relevance: Vec::new(),
        conflicts,
        phases: records,
    }
}

/// What is done with the author's documents: what the author says; else the analysis, unless it would leave documents
/// aside that are rich enough to rest on.
fn strategy(run: &Run, material: &Material, analysis: &AnalysisResult) -> ContentStrategy {
    let chosen = analysis.content_strategy;
    if run.inputs().content_strategy.decided().is_some() || chosen != ContentStrategy::CreateFromScratch {
        return chosen;
    }
    let structure = &analysis.recommended_structure;
    let minutes = (structure.total_lessons * structure.lesson_duration_minutes) as usize;
    // Half of a lesson is read, the rest is practice.
    let words = minutes * limits::WORDS_A_MINUTE.min / 2;
    material.strategy(words).unwrap_or(chosen)
}

/// Makes the plan's sums agree and brings it to the number of lessons that stands after the user's wish and the
/// recommendation are weighed (data model 2.4, "Conflicts").
fn reconcile(run: &Run, structure: &mut RecommendedStructure) -> Vec<ConflictResolution> {
    let inputs = run.inputs();
    if let Some(minutes) = inputs.lesson_duration_minutes {
        structure.lesson_duration_minutes = minutes;
    }
    let recommended: u32 = structure
        .sections_breakdown
        .iter()
        .map(|plan| plan.estimated_lessons)
        .sum();
    // A strategy that rests on a fixed order of parts has prerequisites between its sections.
    let needs_structure = structure
        .sections_breakdown
        .iter()
        .any(|plan| plan.prerequisites.len() > 1);
    let lessons = conflict::resolve_lessons(inputs.desired_lessons_count, recommended, needs_structure);
    let sections = u32::try_from(structure.sections_breakdown.len()).unwrap_or(u32::MAX);
    distribute(&mut structure.sections_breakdown, lessons.target);
    for (plan, number) in structure.sections_breakdown.iter_mut().zip(1..) {
        plan.section_id = format!("{number}");
        plan.prerequisites
            .retain(|id| id.parse::<u32>().is_ok_and(|earlier| earlier < number));
        plan.estimated_duration_hours = hours(plan.estimated_lessons * structure.lesson_duration_minutes);
    }
    structure.total_sections = sections;
    structure.total_lessons = structure
        .sections_breakdown
        .iter()
        .map(|plan| plan.estimated_lessons)
        .sum();
    structure.estimated_content_hours =
        hours(structure.total_lessons * structure.lesson_duration_minutes).max(0.5);
    let sections = inputs
        .desired_modules_count
        .and_then(|wished| sections_conflict(wished, sections));
    lessons.conflict.into_iter().chain(sections).collect()
}

/// The number of sections that a plan is asked to have: what the user wishes, but no section without a lesson. `None`:
/// as many as the topic needs.
pub(crate) fn sections_wished(inputs: &CourseInputs) -> Option<u32> {
    let wished = inputs.desired_modules_count?;
    let lessons = inputs.desired_lessons_count.unwrap_or(u32::MAX);
    Some(wished.min(lessons))
}

/// What is recorded where the plan has another number of sections than the user wished: the plan was asked for with the
/// wished number, so what came instead is the analysis' recommendation, and it stands (data model 2.4, "Conflicts").
fn sections_conflict(wished: u32, sections: u32) -> Option<ConflictResolution> {
    let conflict = conflict::resolve_sections(Some(wished), sections, true).conflict?;
    if conflict.used == sections {
        return Some(conflict);
    }
    let rationale = format!(
        "User wished {wished} sections, analysis recommends {sections}, using {sections} because no sound plan with the wished number was found"
    );
    Some(ConflictResolution {
        used: sections,
        rationale,
        ..conflict
    })
}

/// Brings the sum of the sections' lessons to `target`: adds to the section with the fewest, takes from the one
/// with the most, later sections first; every section keeps at least one.
fn distribute(plans: &mut [SectionPlan], target: u32) {
    loop {
        let total: u32 = plans.iter().map(|plan| plan.estimated_lessons).sum();
        let place = match total.cmp(&target) {
            std::cmp::Ordering::Equal => return,
            std::cmp::Ordering::Less => plans.iter_mut().min_by_key(|plan| plan.estimated_lessons),
            std::cmp::Ordering::Greater => plans
                .iter_mut()
                .filter(|plan| plan.estimated_lessons > 1)
                .max_by_key(|plan| plan.estimated_lessons),
        };
        let Some(plan) = place else { return };
        if total < target {
            plan.estimated_lessons += 1;
        } else {
            plan.estimated_lessons -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::analysis::{DifficultyProgression, Importance};
    use domain::course::CourseRequest;
    use domain::language::Language;

    use super::*;

    fn plan(lessons: u32) -> SectionPlan {
        SectionPlan {
            section_id: "1".to_owned(),
            area: "An area".to_owned(),
            estimated_lessons: lessons,
            importance: Importance::Core,
            learning_objectives: Vec::new(),
            key_topics: Vec::new(),
            pedagogical_approach: String::new(),
            difficulty_progression: DifficultyProgression::Gradual,
            prerequisites: Vec::new(),
            estimated_duration_hours: 1.0,
        }
    }

    #[test]
    fn wished_sections_are_asked_for_as_long_as_each_can_have_a_lesson() {
        let check = |sections: Option<u32>, lessons: Option<u32>, expected: Option<u32>| {
            let request = CourseRequest {
                title: "Beekeeping for beginners".to_owned(),
                desired_modules_count: sections.map(i64::from),
                desired_lessons_count: lessons.map(i64::from),
                ..CourseRequest::default()
            };
            let (inputs, _) = request.check(Language::English).unwrap();
            assert_eq!(sections_wished(&inputs), expected);
        };
        check(None, Some(12), None);
        check(Some(2), None, Some(2));
        check(Some(4), Some(12), Some(4));
        check(Some(30), Some(12), Some(12));
    }

    #[test]
    fn record_says_how_many_sections_are_used() {
        assert_eq!(sections_conflict(4, 4), None);
        for (wished, sections) in [(2, 8), (30, 12), (10, 9), (8, 9)] {
            let conflict = sections_conflict(wished, sections).unwrap();
            assert_eq!((conflict.wished, conflict.used), (wished, sections));
            let expected = format!(
                "User wished {wished} sections, analysis recommends {sections}, using {sections} because"
            );
            assert!(
                conflict.rationale.starts_with(&expected),
                "{}",
                conflict.rationale
            );
        }
    }

    #[test]
    fn lessons_are_distributed_to_the_target() {
        let check = |before: &[u32], target: u32, expected: &[u32]| {
            let mut plans: Vec<SectionPlan> = before.iter().map(|&lessons| plan(lessons)).collect();
            distribute(&mut plans, target);
            let after: Vec<u32> = plans.iter().map(|plan| plan.estimated_lessons).collect();
            assert_eq!(after, expected, "{before:?} to {target}");
        };
        check(&[3, 3, 3], 10, &[4, 3, 3]);
        check(&[2, 2], 10, &[5, 5]);
        check(&[5, 4, 3], 10, &[4, 3, 3]);
        check(&[1, 1, 1], 2, &[1, 1, 1]);
        check(&[4, 3, 3], 10, &[4, 3, 3]);
    }
}
