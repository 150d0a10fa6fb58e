//! One section made anew in a finished course (generation 3.6): exactly that section changes, all others stay as they
//! are, and lessons are numbered again.

use std::sync::Arc;

use domain::analysis::AnalysisResult;
use domain::structure::CourseStructure;

use super::mend::{Part, mend};
use super::{announce, pieces, whole};
use crate::context::Run;
use crate::error::PipelineError;

/// The course's structure with section `number` (from 1) made anew.
///
/// # Errors
/// [`PipelineError::MissingInput`] if the course has no such section, and whatever keeps it from being made.
pub(super) async fn with_section_anew(
    run: &Arc<Run>,
    analysis: &AnalysisResult,
    number: u32,
) -> Result<CourseStructure, PipelineError> {
    let missing = |missing| PipelineError::MissingInput {
        stage: "structure",
        missing,
    };
    let mut structure = run
        .course()
        .structure
        .clone()
        .ok_or(missing("the course structure"))?;
    structure.renumber();
    let place = (number as usize).wrapping_sub(1);
    let present = structure
        .sections
        .get(place)
        .cloned()
        .ok_or(missing("the section to make anew"))?;
    let others = structure
        .sections
        .iter()
        .filter(|section| section.section_number != number);
    others.for_each(|section| run.remember_titles(section));
    run.progress_structure(0, 1).await?;
    let minutes = present
        .lessons
        .first()
        .map_or(analysis.recommended_structure.lesson_duration_minutes, |lesson| {
            lesson.estimated_duration_minutes
        });
    let section = if run.is_small() {
        Box::pin(pieces::remake::section(
            run, analysis, &structure, &present, minutes,
        ))
        .await?
    } else {
        Box::pin(whole::remake(run, analysis, &structure, &present, minutes)).await?
    };
    structure.sections[place] = section;
    structure.renumber();
    Box::pin(mend(run, &mut structure, Part::Section(place))).await?;
    announce(run, &structure.sections[place]);
    run.progress_structure(1, 1).await?;
    Ok(structure)
}
