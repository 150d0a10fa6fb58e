//! What the queue carries.

use serde::{Deserialize, Serialize};

use crate::id::{CourseId, GenerationId};
use crate::stage::Stage;

/// The arguments of one job: a stage of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageJob {
    /// The generation.
    pub generation_id: GenerationId,
    /// Its course.
    pub course_id: CourseId,
    /// The stage to run.
    pub stage: Stage,
}
