//! A generation's status, its transitions (data model 2.8) and its progress (2.7).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stage::Stage;
use crate::usage::MicroUsd;

/// Where a generation stands. "Never started" is `None` where a status is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerationStatus {
    /// Accepted.
    Pending,
    /// Queued, waiting for a worker.
    Initializing,
    /// Documents are read.
    ProcessingDocuments,
    /// The task is analysed.
    AnalyzingTask,
    /// Sections and lesson specifications are made.
    GeneratingStructure,
    /// The author looks at the structure.
    AwaitingReview,
    /// Lesson texts are written.
    GeneratingContent,
    /// Checks, totals, report.
    Finalizing,
    /// Done.
    Completed,
    /// Given up.
    Failed,
    /// Stopped by somebody.
    Cancelled,
}

impl GenerationStatus {
    /// Every status.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Initializing,
        Self::ProcessingDocuments,
        Self::AnalyzingTask,
        Self::GeneratingStructure,
        Self::AwaitingReview,
        Self::GeneratingContent,
        Self::Finalizing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Initializing => "initializing",
            Self::ProcessingDocuments => "processing_documents",
            Self::AnalyzingTask => "analyzing_task",
            Self::GeneratingStructure => "generating_structure",
            Self::AwaitingReview => "awaiting_review",
            Self::GeneratingContent => "generating_content",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether a generation in this status is under way (at most one such a course).
    pub const fn is_active(self) -> bool {
        !matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The statuses that may follow `from`; `None` is a course that was never generated.
    /// The database enforces the same table; a test proves that they agree.
    pub const fn successors(from: Option<Self>) -> &'static [Self] {
        use GenerationStatus as S;
        match from {
            None | Some(S::Completed | S::Failed | S::Cancelled) => &[S::Pending],
            Some(S::Pending) => &[S::Initializing, S::Failed, S::Cancelled],
            Some(S::Initializing) => &[S::ProcessingDocuments, S::AnalyzingTask, S::Failed, S::Cancelled],
            Some(S::ProcessingDocuments) => {
                &[S::AnalyzingTask, S::GeneratingStructure, S::Failed, S::Cancelled]
            }
            Some(S::AnalyzingTask) => &[S::GeneratingStructure, S::Failed, S::Cancelled],
            Some(S::GeneratingStructure) => {
                &[S::AwaitingReview, S::GeneratingContent, S::Failed, S::Cancelled]
            }
            Some(S::AwaitingReview) => &[S::GeneratingContent, S::Failed, S::Cancelled],
            Some(S::GeneratingContent) => &[S::Finalizing, S::Failed, S::Cancelled],
            Some(S::Finalizing) => &[S::Completed, S::Failed, S::Cancelled],
        }
    }

    /// Whether `from` may become `to`. Staying is always allowed and is not a transition.
    pub fn may_follow(from: Option<Self>, to: Self) -> bool {
        from == Some(to) || Self::successors(from).contains(&to)
    }
}

/// What a generation makes anew (generation 3.6). Stored as `scope` in the options of the generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GenerationScope {
    /// The whole course.
    #[default]
    Whole,
    /// One section with the texts of its lessons; everything else of the course stays as it is.
    Section {
        /// Its number in the course, from 1.
        number: u32,
        /// What the author wants otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instruction: Option<String>,
    },
    /// The text of one lesson, or of several.
    Lesson {
        /// Its number in the course, from 1.
        number: u32,
        /// Numbers of further lessons that are written anew with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<u32>,
        /// What the author wants otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instruction: Option<String>,
    },
}

impl GenerationScope {
    /// The stage with which such a generation begins.
    pub const fn first_stage(&self, has_documents: bool) -> Stage {
        match self {
            Self::Whole if has_documents => Stage::DocumentProcessing,
            Self::Whole => Stage::Analysis,
            Self::Section { .. } => Stage::Structure,
            Self::Lesson { .. } => Stage::Content,
        }
    }

    /// The part's number, of several lessons the first one's; `None`: the whole course.
    pub const fn number(&self) -> Option<u32> {
        match self {
            Self::Whole => None,
            Self::Section { number, .. } | Self::Lesson { number, .. } => Some(*number),
        }
    }

    /// What the author wants otherwise.
    pub fn instruction(&self) -> Option<&str> {
        match self {
            Self::Whole => None,
            Self::Section { instruction, .. } | Self::Lesson { instruction, .. } => instruction.as_deref(),
        }
    }
}

/// Number of steps that front ends show (data model 2.7).
pub const TOTAL_STEPS: u8 = 5;

/// The five steps that front ends show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Launch.
    Launch,
    /// Documents and analysis.
    Understanding,
    /// Structure.
    Structure,
    /// Content.
    Content,
    /// Finalisation.
    Finalization,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 5] = [
        Self::Launch,
        Self::Understanding,
        Self::Structure,
        Self::Content,
        Self::Finalization,
    ];

    /// The id in the stored progress, from 1.
    pub const fn id(self) -> u8 {
        match self {
            Self::Launch => 1,
            Self::Understanding => 2,
            Self::Structure => 3,
            Self::Content => 4,
            Self::Finalization => 5,
        }
    }

    /// The stored name: Russian, exactly as existing front ends expect it (data model 2.7).
    pub const fn name_ru(self, has_documents: bool) -> &'static str {
        match self {
            Self::Launch => "Запуск генерации",
            Self::Understanding if has_documents => "Обработка документов",
            Self::Understanding => "Анализ задачи",
            Self::Structure => "Генерация структуры",
            Self::Content => "Создание контента",
            Self::Finalization => "Финализация",
        }
    }

    /// The English name (data model 2.7).
    pub const fn name_en(self, has_documents: bool) -> &'static str {
        match self {
            Self::Launch => "Launch",
            Self::Understanding if has_documents => "Document processing",
            Self::Understanding => "Task analysis",
            Self::Structure => "Structure",
            Self::Content => "Content",
            Self::Finalization => "Finalisation",
        }
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Under way.
    InProgress,
    /// Done.
    Completed,
    /// Given up.
    Failed,
}

impl StepStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Pending, Self::InProgress, Self::Completed, Self::Failed];

    /// The name in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// One step of the stored progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProgressStep {
    /// From 1.
    #[schemars(range(min = 1, max = TOTAL_STEPS))]
    pub id: u8,
    /// The stored name.
    pub name: String,
    /// Where it stands.
    pub status: StepStatus,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// What went wrong, for programs.
    pub error_details: Option<serde_json::Value>,
}

/// The stored progress (`courses.generation_progress`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GenerationProgress {
    /// The five steps.
    #[schemars(length(min = TOTAL_STEPS, max = TOTAL_STEPS))]
    pub steps: Vec<ProgressStep>,
    /// 0 to 100; never goes down within one generation.
    #[schemars(range(max = 100))]
    pub percentage: u8,
    /// Id of the step under way.
    #[schemars(range(min = 1, max = TOTAL_STEPS))]
    pub current_step: u8,
    /// What is being done.
    pub message: String,
    /// Always 5.
    #[schemars(extend("const" = TOTAL_STEPS))]
    pub total_steps: u8,
    /// Whether step 2 begins with documents.
    pub has_documents: bool,
    /// Lesson texts that are written.
    pub lessons_completed: u32,
    /// Lesson texts in all; 0 before the structure is there.
    pub lessons_total: u32,
}

/// Tokens of a generation's stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageTokens {
    /// Metadata calls.
    pub metadata: u64,
    /// Section calls.
    pub sections: u64,
    /// Validation calls.
    pub validation: u64,
    /// All calls of the generation.
    pub total: u64,
}

/// Models of a generation's structure stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelsUsed {
    /// Metadata.
    pub metadata: String,
    /// Sections.
    pub sections: String,
    /// Validation, where a model took part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<String>,
}

/// How well the parts match what was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QualityScores {
    /// Metadata against the inputs, 0 to 1 on the reference scale.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub metadata_similarity: f64,
    /// Each section against its brief.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    pub sections_similarity: Vec<f64>,
    /// 0.4 metadata + 0.6 mean of sections (generation 3.7).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub overall: f64,
}

/// Attempts beyond the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryCounts {
    /// Of the metadata.
    pub metadata: u32,
    /// Of each section.
    pub sections: Vec<u32>,
}

/// What a generation took and how good it is (`courses.generation_metadata`, data model 2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GenerationMetadata {
    /// Which models made it.
    pub model_used: ModelsUsed,
    /// Tokens.
    pub total_tokens: StageTokens,
    /// Money.
    #[schemars(range(min = 0.0))]
    pub cost_usd: f64,
    /// Times in milliseconds.
    pub duration_ms: StageTokens,
    /// Scores.
    pub quality_scores: QualityScores,
    /// Sections made, one batch each.
    pub batch_count: u32,
    /// Attempts beyond the first.
    pub retry_count: RetryCounts,
    /// When it was finished, ISO 8601.
    pub created_at: DateTime<Utc>,
}

/// The money of a generation against its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spending {
    /// Spent so far, as far as prices are known.
    pub spent: MicroUsd,
    /// What calls of models of unknown price are counted as; never shown as a cost.
    pub assumed: MicroUsd,
    /// The most that may be spent.
    pub budget: MicroUsd,
}

/// The share of the budget at which an event is written (generation 3.3).
const BUDGET_WARNING_SHARE: f64 = 0.8;

impl Spending {
    /// Whether nothing more may be spent.
    pub fn is_exhausted(self) -> bool {
        self.counted() > MicroUsd::ZERO && self.counted() >= self.budget
    }

    /// What is counted against the budget.
    pub fn counted(self) -> MicroUsd {
        self.spent + self.assumed
    }

    /// Whether 80 % of the budget are gone.
    pub fn is_near_limit(self) -> bool {
        self.counted() > MicroUsd::ZERO
            && self.counted().as_usd() >= self.budget.as_usd() * BUDGET_WARNING_SHARE
    }
}

/// Why a generation with this code failed, in Russian: what its owner and the receivers of webhooks read. What really
/// happened names addresses and providers, so it is for the log and for admins.
pub fn failure_ru(code: &str) -> &'static str {
    match code {
        "BUDGET_EXHAUSTED" => "Бюджет генерации исчерпан.",
        "CANCELLED" => "Генерация отменена.",
        "LLM_ERROR" => "Модель не дала пригодного результата.",
        "PROVIDER_ERROR" => "Поставщик моделей недоступен или отклонил запрос.",
        "WORKER_LOST" | "WORKER_TIMEOUT" => "Обработка прервалась и не была завершена.",
        "DATABASE_ERROR" => "База данных временно недоступна.",
        "DOCUMENTS_UNREADABLE" => "Ни один документ курса не удалось прочитать.",
        _ => "Произошла внутренняя ошибка.",
    }
}

/// [`failure_ru`] in English.
pub fn failure_en(code: &str) -> &'static str {
    match code {
        "BUDGET_EXHAUSTED" => "The budget of the generation is used up.",
        "CANCELLED" => "The generation was cancelled.",
        "LLM_ERROR" => "The model gave no usable result.",
        "PROVIDER_ERROR" => "The provider of the models does not answer or refused.",
        "WORKER_LOST" | "WORKER_TIMEOUT" => "The work broke off and was not finished.",
        "DATABASE_ERROR" => "The database did not answer.",
        "DOCUMENTS_UNREADABLE" => "None of the course's documents could be read.",
        _ => "Something went wrong on the server.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_active_status_can_fail_or_be_cancelled() {
        for status in GenerationStatus::ALL
            .into_iter()
            .filter(|status| status.is_active())
        {
            for end in [GenerationStatus::Failed, GenerationStatus::Cancelled] {
                assert!(
                    GenerationStatus::may_follow(Some(status), end),
                    "{status:?} -> {end:?}"
                );
            }
        }
    }

    #[test]
    fn what_has_ended_or_never_begun_can_only_be_pending() {
        let ended = GenerationStatus::ALL
            .into_iter()
            .filter(|status| !status.is_active())
            .map(Some);
        for from in ended.chain([None]) {
            assert_eq!(
                GenerationStatus::successors(from),
                [GenerationStatus::Pending],
                "{from:?}"
            );
        }
    }

    #[test]
    fn every_status_is_reached_and_completion_only_from_the_end() {
        for to in GenerationStatus::ALL {
            let origins = GenerationStatus::ALL.into_iter().map(Some).chain([None]);
            let origins: Vec<_> = origins
                .filter(|&from| GenerationStatus::successors(from).contains(&to))
                .collect();
            assert!(!origins.is_empty(), "{to:?} is never reached");
            if to == GenerationStatus::Completed {
                assert_eq!(origins, [Some(GenerationStatus::Finalizing)]);
            }
        }
    }

    #[test]
    fn a_generation_never_goes_back() {
        let place =
            |status: GenerationStatus| GenerationStatus::ALL.iter().position(|&other| other == status);
        for from in GenerationStatus::ALL
            .into_iter()
            .filter(|status| status.is_active())
        {
            for &to in GenerationStatus::successors(Some(from)) {
                assert!(place(from) < place(to), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn a_scope_begins_where_its_work_begins() {
        let section: GenerationScope =
            serde_json::from_str(r#"{"kind":"section","number":3}"#).expect("valid");
        assert_eq!(section.number(), Some(3));
        assert_eq!(section.instruction(), None);
        assert_eq!(section.first_stage(true), Stage::Structure);
        let lesson = GenerationScope::Lesson {
            number: 2,
            also: vec![5],
            instruction: Some("shorter".to_owned()),
        };
        assert_eq!(lesson.first_stage(true), Stage::Content);
        assert_eq!(lesson.instruction(), Some("shorter"));
        let stored: GenerationScope = serde_json::from_str(r#"{"kind":"lesson","number":2}"#).expect("valid");
        assert_eq!(stored.number(), Some(2));
        assert_eq!(
            GenerationScope::Whole.first_stage(true),
            Stage::DocumentProcessing
        );
        assert_eq!(GenerationScope::default().first_stage(false), Stage::Analysis);
    }

    #[test]
    fn steps_are_numbered_from_one_and_named_for_front_ends() {
        let ids: Vec<_> = Step::ALL.iter().map(|step| step.id()).collect();
        assert_eq!(ids, [1, 2, 3, 4, TOTAL_STEPS]);
        assert_eq!(Step::Understanding.name_ru(true), "Обработка документов");
        assert_eq!(Step::Understanding.name_ru(false), "Анализ задачи");
    }
}
