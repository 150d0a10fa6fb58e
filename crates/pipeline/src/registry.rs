//! Which stage runs what, and what follows.

use std::sync::Arc;

use domain::analysis::AnalysisResult;
use domain::generation::{GenerationMetadata, GenerationScope};
use domain::quality::QualityReport;
use domain::stage::Stage;
use domain::structure::CourseStructure;
use store::generation::lifecycle::{NextStep, StageResult};

use crate::context::Run;
use crate::error::PipelineError;
use crate::stages;

/// What a stage made, to be saved together with the step to the next.
pub(crate) enum Made {
    /// It is all saved already.
    Saved,
    /// The analysis.
    Analysis(Arc<AnalysisResult>),
    /// The structure.
    Structure(Box<CourseStructure>),
    /// The end of the generation.
    Completion(Box<GenerationMetadata>, Box<QualityReport>),
}

impl Made {
    /// As the database takes it.
    pub(crate) fn as_result(&self) -> StageResult<'_> {
        match self {
            Self::Saved => StageResult::Saved,
            Self::Analysis(analysis) => StageResult::Analysis(analysis),
            Self::Structure(structure) => StageResult::Structure(structure),
            Self::Completion(metadata, report) => StageResult::Completion { metadata, report },
        }
    }
}

/// Runs the stage of a job.
///
/// # Errors
/// Whatever keeps the stage from finishing.
pub(crate) async fn run_stage(run: &Arc<Run>) -> Result<Made, PipelineError> {
    let course = run.course();
    let analysis = || course.analysis.clone().map(Arc::new);
    let structure = || course.structure.clone();
    match run.claimed().job.stage {
        Stage::DocumentProcessing => {
            Box::pin(stages::documents::run(run)).await?;
            Ok(Made::Saved)
        }
        Stage::Analysis => Ok(Made::Analysis(Arc::new(
            Box::pin(stages::analysis::run(run)).await?,
        ))),
        Stage::Structure => {
            let analysis = analysis().ok_or(missing(Stage::Structure, "the analysis result"))?;
            Ok(Made::Structure(Box::new(
                Box::pin(stages::structure::run(run, &analysis)).await?,
            )))
        }
        Stage::Content => {
            let analysis = analysis().ok_or(missing(Stage::Content, "the analysis result"))?;
            let structure = structure().ok_or(missing(Stage::Content, "the course structure"))?;
            Box::pin(stages::content::run(run, &analysis, &Arc::new(structure))).await?;
            Ok(Made::Saved)
        }
        Stage::Finalization => {
            let analysis = analysis().ok_or(missing(Stage::Finalization, "the analysis result"))?;
            let structure = structure().ok_or(missing(Stage::Finalization, "the course structure"))?;
            let finished = stages::finalization::run(run, &analysis, &structure).await?;
            Ok(Made::Completion(
                Box::new(finished.metadata),
                Box::new(finished.report),
            ))
        }
    }
}

const fn missing(stage: Stage, missing: &'static str) -> PipelineError {
    PipelineError::MissingInput {
        stage: stage.as_str(),
        missing,
    }
}

/// What follows a stage of this generation.
pub(crate) fn next_step(run: &Run) -> NextStep {
    let stage = run.claimed().job.stage;
    // A section that is made anew was asked for on its own: nobody wants to be asked again for its texts.
    let is_reviewed = run.inputs().review && *run.scope() == GenerationScope::Whole;
    let stops_after_structure = is_reviewed || run.generation().options["structure_only"] == true;
    match stage.next() {
        None => NextStep::End,
        Some(_) if stage == Stage::Structure && stops_after_structure => NextStep::Review,
        Some(next) => NextStep::Stage(next),
    }
}
