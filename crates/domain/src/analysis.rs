//! What the analysis stage finds out (data model 2.4).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::structure::DifficultyLevel;
use crate::usage::TokenUsage;

macro_rules! named_values {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, as the data model lists them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    )+};
}

named_values! {
    /// What the course is for in the learner's life.
    CategoryName {
        /// Work.
        Professional = "professional",
        /// One's own life.
        Personal = "personal",
        /// Art and craft.
        Creative = "creative",
        /// Leisure.
        Hobby = "hobby",
        /// Inner life.
        Spiritual = "spiritual",
        /// Study and research.
        Academic = "academic",
    }
    /// How wide the topic is.
    TopicComplexity {
        /// One skill.
        Narrow = "narrow",
        /// A field's core.
        Medium = "medium",
        /// Several fields.
        Broad = "broad",
    }
    /// How much a part or an addition matters.
    Importance {
        /// Without it the course fails.
        Core = "core",
        /// Most learners need it.
        Important = "important",
        /// Good to have.
        Optional = "optional",
    }
    /// How fast the difficulty rises.
    DifficultyProgression {
        /// It stays.
        Flat = "flat",
        /// Little by little.
        Gradual = "gradual",
        /// Fast.
        Steep = "steep",
    }
    /// The way of teaching.
    TeachingStyle {
        /// By doing.
        HandsOn = "hands-on",
        /// Concepts before practice.
        TheoryFirst = "theory-first",
        /// Around one or more projects.
        ProjectBased = "project-based",
        /// Some of each.
        Mixed = "mixed",
    }
    /// How active the learner is.
    InteractivityLevel {
        /// Mostly reads.
        Low = "low",
        /// Reads and does.
        Medium = "medium",
        /// Mostly does.
        High = "high",
    }
    /// How urgent an expansion is.
    Priority {
        /// Do it.
        High = "high",
        /// Worth doing.
        Medium = "medium",
        /// If there is room.
        Low = "low",
    }
    /// What is done with what the author brings (2.0, 2.4 phase 4).
    ContentStrategy {
        /// From the title and the model's knowledge.
        CreateFromScratch = "create_from_scratch",
        /// The author's material, widened.
        ExpandAndEnhance = "expand_and_enhance",
        /// The author's material, better taught.
        OptimizeExisting = "optimize_existing",
    }
}

/// The category of a course.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CourseCategory {
    /// The main one.
    pub primary: CategoryName,
    /// How sure that is.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// Why.
    pub reasoning: String,
    /// Another that fits too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary: Option<CategoryName>,
}

/// What makes the topic matter to its learners; used in every text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextualLanguage {
    /// Why the topic matters.
    #[schemars(length(min = 50))]
    pub why_matters_context: String,
    /// What moves people to learn it.
    #[schemars(length(min = 100))]
    pub motivators: String,
    /// A question to the learner's experience.
    #[schemars(length(min = 100))]
    pub experience_prompt: String,
    /// The problem that the course solves.
    #[schemars(length(min = 50))]
    pub problem_statement_context: String,
    /// From what learners know to what they will learn.
    #[schemars(length(min = 100))]
    pub knowledge_bridge: String,
    /// What they get out of it.
    #[schemars(length(min = 100))]
    pub practical_benefit_focus: String,
}

/// What the topic is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicAnalysis {
    /// The topic in a few words.
    #[schemars(length(min = 3))]
    pub determined_topic: String,
    /// How much of what is needed the author gave, in percent.
    #[schemars(range(min = 0, max = 100))]
    pub information_completeness: u8,
    /// How wide it is.
    pub complexity: TopicComplexity,
    /// Why.
    pub reasoning: String,
    /// For whom it is.
    pub target_audience: String,
    /// What the author did not say.
    pub missing_elements: Vec<String>,
    /// The ideas without which the topic cannot be taught.
    #[schemars(length(min = 3))]
    pub key_concepts: Vec<String>,
    /// The words of the field.
    #[schemars(length(min = 5))]
    pub domain_keywords: Vec<String>,
}

/// How such topics are taught well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PedagogicalPatterns {
    /// The main way.
    pub primary_strategy: String,
    /// Shares in percent, `30:70`.
    #[schemars(regex(pattern = r"^\d{1,3}:\d{1,3}$"))]
    pub theory_practice_ratio: String,
    /// How learners are assessed.
    pub assessment_types: Vec<String>,
    /// What recurs in good courses on it.
    pub key_patterns: Vec<String>,
}

/// Phase 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// The category.
    pub course_category: CourseCategory,
    /// How much the learner must bring.
    pub difficulty: DifficultyLevel,
    /// What makes it matter.
    pub contextual_language: ContextualLanguage,
    /// What the topic is.
    pub topic_analysis: TopicAnalysis,
    /// How such topics are taught.
    pub pedagogical_patterns: PedagogicalPatterns,
}

/// A section as the analysis recommends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SectionPlan {
    /// `"1"`, `"2"` ...
    pub section_id: String,
    /// What it covers.
    #[schemars(length(min = 3))]
    pub area: String,
    /// How many lessons it needs.
    #[schemars(range(min = 1))]
    pub estimated_lessons: u32,
    /// How much it matters.
    pub importance: Importance,
    /// What learners can do after it.
    #[schemars(length(min = 2))]
    pub learning_objectives: Vec<String>,
    /// What it is about.
    #[schemars(length(min = 3))]
    pub key_topics: Vec<String>,
    /// How to teach it.
    pub pedagogical_approach: String,
    /// How fast it becomes harder.
    pub difficulty_progression: DifficultyProgression,
    /// Ids of sections that must come before; no cycles.
    pub prerequisites: Vec<String>,
    /// Its time.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub estimated_duration_hours: f64,
}

/// Phase 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecommendedStructure {
    /// The time of the whole course.
    #[schemars(range(min = 0.5))]
    pub estimated_content_hours: f64,
    /// Why so wide.
    pub scope_reasoning: String,
    /// Minutes of one lesson.
    #[schemars(range(min = 3, max = 45))]
    pub lesson_duration_minutes: u32,
    /// How the number of lessons follows.
    pub calculation_explanation: String,
    /// Lessons of the whole course.
    #[schemars(range(min = 10))]
    pub total_lessons: u32,
    /// Sections of the whole course.
    #[schemars(range(min = 1))]
    pub total_sections: u32,
    /// What does not fit, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_warning: Option<String>,
    /// The sections.
    #[schemars(length(min = 1))]
    pub sections_breakdown: Vec<SectionPlan>,
}

/// How the course is taught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PedagogicalStrategy {
    /// The way of teaching.
    pub teaching_style: TeachingStyle,
    /// How learners are assessed.
    pub assessment_approach: String,
    /// What practice is about.
    pub practical_focus: String,
    /// Why the parts stand in this order.
    pub progression_logic: String,
    /// How active the learner is.
    pub interactivity_level: InteractivityLevel,
}

/// Something worth adding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpansionArea {
    /// What.
    pub area: String,
    /// How urgent.
    pub priority: Priority,
    /// What it needs.
    pub specific_requirements: Vec<String>,
    /// How many lessons it would take.
    pub estimated_lessons: u32,
}

/// Something that may be out of date or must be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResearchFlag {
    /// What.
    pub topic: String,
    /// Why.
    pub reason: String,
    /// Where it matters.
    pub context: String,
}

/// Phase 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpertFindings {
    /// How the course is taught.
    pub pedagogical_strategy: PedagogicalStrategy,
    /// What is worth adding.
    pub expansion_areas: Vec<ExpansionArea>,
    /// What may be out of date.
    pub research_flags: Vec<ResearchFlag>,
}

/// How texts are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerationGuidance {
    /// The tone.
    pub tone: String,
    /// Whether analogies help.
    pub use_analogies: bool,
    /// Which.
    pub specific_analogies: Vec<String>,
    /// Words to avoid or explain.
    pub avoid_jargon: Vec<String>,
    /// What to show.
    pub include_visuals: Vec<String>,
    /// Which exercises fit.
    pub exercise_types: Vec<String>,
    /// How to speak to these learners.
    pub contextual_language_hints: String,
    /// From their world.
    pub real_world_examples: Vec<String>,
}

/// Phase 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Synthesis {
    /// How texts are written.
    pub generation_guidance: GenerationGuidance,
    /// What is done with what the author brings.
    pub content_strategy: ContentStrategy,
}

/// Phase 5, one section's documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SectionDocuments {
    /// The section.
    pub section_id: String,
    /// Documents that serve it.
    pub documents: Vec<String>,
    /// Chunks to prefer.
    pub chunks: Vec<String>,
    /// What to search for.
    pub search_queries: Vec<String>,
    /// How sure that is.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
}

/// How one phase went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseRecord {
    /// Time of all its calls.
    pub duration_ms: u64,
    /// The model of its last successful call.
    pub model_used: String,
    /// Tokens of all its calls.
    pub tokens: TokenUsage,
    /// Similarity to what was asked, 0 to 1, where measured.
    pub quality_score: Option<f64>,
    /// Attempts beyond the first.
    pub retry_count: u32,
    /// The deepest repair layer that was needed, where one was.
    pub repair: Option<String>,
}

/// The records of all phases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseRecords {
    /// Phase 1.
    pub classification: PhaseRecord,
    /// Phase 2.
    pub scope: PhaseRecord,
    /// Phase 3.
    pub expert: PhaseRecord,
    /// Phase 4.
    pub synthesis: PhaseRecord,
    /// Phase 5.
    pub documents: PhaseRecord,
}

/// How the user's wishes and the analysis were reconciled (data model 2.4, "Conflicts").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConflictResolution {
    /// What the conflict is about: `lessons` or `sections`.
    pub subject: String,
    /// What the user wished.
    pub wished: u32,
    /// What the analysis recommends.
    pub recommended: u32,
    /// What is used.
    pub used: u32,
    /// `User wished X lessons, analysis recommends Y, using Z because ...`
    pub rationale: String,
}

/// Everything that the analysis stage found out (`courses.analysis_result`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalysisResult {
    /// The category.
    pub course_category: CourseCategory,
    /// How much the learner must bring.
    pub difficulty: DifficultyLevel,
    /// What makes the topic matter.
    pub contextual_language: ContextualLanguage,
    /// What the topic is.
    pub topic_analysis: TopicAnalysis,
    /// How such topics are taught.
    pub pedagogical_patterns: PedagogicalPatterns,
    /// The recommended sections and lessons.
    pub recommended_structure: RecommendedStructure,
    /// How the course is taught.
    pub pedagogical_strategy: PedagogicalStrategy,
    /// What is worth adding.
    pub expansion_areas: Vec<ExpansionArea>,
    /// What may be out of date.
    pub research_flags: Vec<ResearchFlag>,
    /// How texts are written.
    pub generation_guidance: GenerationGuidance,
    /// What is done with what the author brings.
    pub content_strategy: ContentStrategy,
    /// Documents to sections; empty without documents.
    pub document_relevance: Vec<SectionDocuments>,
    /// Where wishes and analysis differed, and what was decided.
    #[serde(default)]
    pub conflicts: Vec<ConflictResolution>,
    /// How the phases went.
    pub phases: PhaseRecords,
}
