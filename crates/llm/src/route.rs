//! Which model does which work, and why (generation 3.3).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::card::Cards;

/// From this complexity on (0 to 1) a section goes to the stronger model (generation 3.3).
pub const COMPLEX_SECTION_FROM: f32 = 0.75;

/// What a model is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The phases of the analysis.
    Analysis,
    /// Outcomes, strategy and section list.
    CriticalMetadata,
    /// The other course fields.
    Metadata,
    /// One section with its lessons.
    Section,
    /// A section of complexity [`COMPLEX_SECTION_FROM`] or more.
    ComplexSection,
    /// One lesson's text.
    Lesson,
    /// Summaries of documents and lessons.
    Summary,
    /// Judging a text.
    Judge,
    /// Mending the failing fields of an answer.
    Repair,
    /// A batch that is over its token budget.
    Overflow,
}

impl Work {
    /// Every kind of work.
    pub const ALL: [Self; 10] = [
        Self::Analysis,
        Self::CriticalMetadata,
        Self::Metadata,
        Self::Section,
        Self::ComplexSection,
        Self::Lesson,
        Self::Summary,
        Self::Judge,
        Self::Repair,
        Self::Overflow,
    ];

    /// The word in configuration and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::CriticalMetadata => "critical_metadata",
            Self::Metadata => "metadata",
            Self::Section => "section",
            Self::ComplexSection => "complex_section",
            Self::Lesson => "lesson",
            Self::Summary => "summary",
            Self::Judge => "judge",
            Self::Repair => "repair",
            Self::Overflow => "overflow",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Work {
    type Err = RouteError;

    fn from_str(word: &str) -> Result<Self, RouteError> {
        Self::ALL
            .into_iter()
            .find(|work| work.as_str() == word)
            .ok_or_else(|| RouteError::UnknownWork {
                name: word.to_owned(),
            })
    }
}

/// Why a call went to its model; recorded with the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteReason {
    /// It is the first choice.
    Default,
    /// The section is complex.
    Complexity,
    /// The batch is over its token budget.
    Overflow,
    /// Weaker models gave invalid answers.
    ValidationFailure,
    /// Weaker models gave answers below the quality threshold.
    Quality,
    /// The models before it on the route did not answer.
    ProviderDown,
}

impl RouteReason {
    /// The word in the call log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Complexity => "complexity",
            Self::Overflow => "overflow",
            Self::ValidationFailure => "validation_failure",
            Self::Quality => "quality",
            Self::ProviderDown => "provider_down",
        }
    }
}

/// The models for one kind of work, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The first choice.
    pub first: String,
    /// Whom to turn to after it, in order.
    #[serde(default)]
    pub escalates: Vec<String>,
}

impl Route {
    fn of(first: &str, escalates: &[&str]) -> Self {
        Self {
            first: first.to_owned(),
            escalates: escalates.iter().map(|&model| model.to_owned()).collect(),
        }
    }

    /// All its models, first choice first.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.first)
            .chain(&self.escalates)
            .map(String::as_str)
    }
}

/// Routes that cannot be followed: found at start, not at the first call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// There is no such work.
    #[error("there is no work '{name}' to route; known: {}", Work::ALL.map(Work::as_str).join(", "))]
    UnknownWork {
        /// The word in the configuration.
        name: String,
    },
    /// A model has no card.
    #[error("the route for {work} names the model '{model}', of which there is no model card")]
    UnknownModel {
        /// The route.
        work: Work,
        /// The model's id.
        model: String,
    },
    /// A model's provider is not set up.
    #[error(
        "the route for {work} names the model '{model}' of the provider '{provider}', which is not set up"
    )]
    UnknownProvider {
        /// The route.
        work: Work,
        /// The model's id.
        model: String,
        /// The provider on its card.
        provider: String,
    },
}

/// A route for every kind of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    by_work: BTreeMap<Work, Route>,
    fallback: Route,
}

impl Routes {
    /// The default routes when an OpenRouter key is present (generation 3.3).
    pub fn openrouter() -> Self {
        const QWEN: &str = "qwen/qwen3-max";
        const GEMINI: &str = "google/gemini-2.5-flash";
        const OSS_120B: &str = "openai/gpt-oss-120b";
        const OSS_20B: &str = "openai/gpt-oss-20b";
        let by_work = Work::ALL.map(|work| {
            let route = match work {
                Work::Analysis | Work::CriticalMetadata => Route::of(QWEN, &[GEMINI]),
                Work::Metadata | Work::ComplexSection => Route::of(OSS_120B, &[QWEN]),
                Work::Section | Work::Lesson | Work::Summary => Route::of(OSS_20B, &[OSS_120B, QWEN]),
                Work::Overflow => Route::of(GEMINI, &[]),
                Work::Judge | Work::Repair => Route::of(OSS_20B, &[OSS_120B]),
            };
            (work, route)
        });
        Self {
            by_work: by_work.into(),
            fallback: Route::of(OSS_20B, &[OSS_120B, QWEN]),
        }
    }

    /// Every work goes to one model: a custom endpoint's, or the embedded one.
    pub fn single(model: &str) -> Self {
        Self {
            by_work: BTreeMap::new(),
            fallback: Route::of(model, &[]),
        }
    }

    /// These routes with some replaced, as configuration and organisations do. Keys are words of [`Work`].
    ///
    /// # Errors
    /// [`RouteError::UnknownWork`] if a key is not a kind of work.
    pub fn with_overrides(mut self, overrides: &BTreeMap<String, Route>) -> Result<Self, RouteError> {
        for (word, route) in overrides {
            self.by_work.insert(word.parse()?, route.clone());
        }
        Ok(self)
    }

    /// The route for `work`.
    pub fn of(&self, work: Work) -> &Route {
        self.by_work.get(&work).unwrap_or(&self.fallback)
    }

    /// Whether every model on every route has a card, and a provider among `providers`.
    ///
    /// # Errors
    /// The first route that cannot be followed, by name.
    pub fn check(&self, cards: &Cards, providers: &[&str]) -> Result<(), RouteError> {
        for work in Work::ALL {
            for model in self.of(work).models() {
                let Some(card) = cards.find(model) else {
                    return Err(RouteError::UnknownModel {
                        work,
                        model: model.to_owned(),
                    });
                };
                if !providers.contains(&card.provider.as_str()) {
                    return Err(RouteError::UnknownProvider {
                        work,
                        model: model.to_owned(),
                        provider: card.provider.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_can_be_followed_with_the_shipped_cards() {
        let cards = Cards::shipped().unwrap();
        assert_eq!(Routes::openrouter().check(&cards, &["openrouter"]), Ok(()));
        let models: Vec<_> = Routes::openrouter()
            .of(Work::Section)
            .models()
            .map(str::to_owned)
            .collect();
        assert_eq!(
            models,
            ["openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3-max"]
        );
    }

    #[test]
    fn what_is_unknown_is_named() {
        let cards = Cards::shipped().unwrap();
        let overrides = |word: &str, model: &str| BTreeMap::from([(word.to_owned(), Route::of(model, &[]))]);

        let error = Routes::openrouter()
            .with_overrides(&overrides("lessons", "x"))
            .unwrap_err();
        assert!(error.to_string().contains("'lessons'"), "{error}");

        let routes = Routes::openrouter()
            .with_overrides(&overrides("lesson", "acme/one"))
            .unwrap();
        let error = routes.check(&cards, &["openrouter"]).unwrap_err();
        assert_eq!(
            error,
            RouteError::UnknownModel {
                work: Work::Lesson,
                model: "acme/one".to_owned()
            }
        );

        let error = Routes::openrouter().check(&cards, &["local"]).unwrap_err();
        assert!(error.to_string().contains("'openrouter'"), "{error}");
    }

    #[test]
    fn single_model_does_all_work() {
        let routes = Routes::single("tiny");
        for work in Work::ALL {
            assert_eq!(routes.of(work).models().collect::<Vec<_>>(), ["tiny"]);
            assert_eq!(work.as_str().parse(), Ok(work));
        }
    }
}
