//! The 21 styles of texts (data model 2.6).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! styles {
    ($($variant:ident = $name:literal;)+) => {
        /// How all texts of a course sound. A style never overrides pedagogy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Style {
            $(
                #[doc = $name]
                $variant,
            )+
        }

        impl Style {
            /// Every style, as the data model lists them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in JSON and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

styles! {
    Academic = "academic";
    Conversational = "conversational";
    Storytelling = "storytelling";
    Practical = "practical";
    Motivational = "motivational";
    Visual = "visual";
    Gamified = "gamified";
    Minimalist = "minimalist";
    Research = "research";
    Engaging = "engaging";
    Professional = "professional";
    Socratic = "socratic";
    ProblemBased = "problem_based";
    Collaborative = "collaborative";
    Technical = "technical";
    Microlearning = "microlearning";
    Inspirational = "inspirational";
    Interactive = "interactive";
    Analytical = "analytical";
    CaseBased = "case_based";
    ExamPrep = "exam_prep";
}

impl Default for Style {
    fn default() -> Self {
        Self::Conversational
    }
}

impl Style {
    /// The style with this name, upper and lower case, hyphens and spaces folded.
    pub fn from_name(name: &str) -> Option<Self> {
        let wanted = name.trim().to_lowercase().replace(['-', ' '], "_");
        Self::ALL.iter().copied().find(|style| style.as_str() == wanted)
    }
}
