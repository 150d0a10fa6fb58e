//! The models of a worker process: made once, when the first job comes.
//!
//! A process that has nothing to do holds no model and fetches none, so that an idle service stays small.

use std::collections::BTreeSet;
use std::sync::Arc;

use indicatif::MultiProgress;
use llm::gateway::Models;
use llm::route::{Routes, Work};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::watch::Gate;
use crate::config::Config;
use crate::failure::Failure;
use crate::wiring::{Fetcher, Plan, PullDisplay, models_behind, models_beside};

/// Where the models come from.
#[derive(Debug)]
enum Origin {
    /// From the configuration.
    Planned {
        config: Arc<Config>,
        plan: Box<Plan>,
        gate: Arc<Gate>,
    },
    /// They were made elsewhere.
    #[cfg(test)]
    Given,
}

/// The models that are configured.
#[derive(Debug)]
pub(crate) struct ModelSet {
    origin: Origin,
    made: OnceCell<Models>,
    /// The embedding model, for reading and searching documents, where no language model was needed yet.
    for_search: OnceCell<Models>,
}

impl ModelSet {
    /// Decides by the configuration which models do the work; nothing is fetched or read yet.
    ///
    /// # Errors
    /// [`Failure`] naming what is missing in the configuration and how to mend it.
    pub(crate) fn planned(config: Arc<Config>, gate: Arc<Gate>) -> Result<Self, Failure> {
        let plan = Box::new(Plan::of(&config, None)?);
        Ok(Self {
            origin: Origin::Planned { config, plan, gate },
            made: OnceCell::new(),
            for_search: OnceCell::new(),
        })
    }

    /// Models that were made elsewhere.
    #[cfg(test)]
    pub(crate) fn given(models: Models) -> Self {
        Self {
            origin: Origin::Given,
            made: OnceCell::new_with(Some(models)),
            for_search: OnceCell::new(),
        }
    }

    /// The models that are asked first, for the start-up lines.
    pub(crate) fn names(&self) -> Vec<String> {
        match (&self.origin, self.made.get()) {
            (Origin::Planned { plan, .. }, _) => plan.first_choices(),
            #[cfg(test)]
            (Origin::Given, Some(models)) => named(models.routes()).into_iter().collect(),
            #[cfg(test)]
            (Origin::Given, None) => Vec::new(),
        }
    }

    /// Whether the models are made already.
    pub(crate) fn is_ready(&self) -> bool {
        self.made.initialized()
    }

    /// The models; the first caller fetches missing files of embedded ones and makes them.
    ///
    /// # Errors
    /// [`Failure`] if a file cannot be had or a provider is set up wrongly. The next call tries again.
    pub(crate) async fn get(&self, cancel: &CancellationToken) -> Result<&Models, Failure> {
        self.made
            .get_or_try_init(|| async {
                match &self.origin {
                    Origin::Planned { config, plan, gate } => {
                        let display = PullDisplay::new(&MultiProgress::new());
                        let files = Fetcher::new(config)?.pull_all(plan, &display, cancel).await?;
                        let seed = u64::from(std::process::id());
                        let wrap = |provider| gate.guard(provider);
                        match self.for_search.get() {
                            Some(models) => {
                                let embedder = Arc::clone(models.embedder());
                                models_beside(config, plan, &files, embedder, seed, wrap)
                            }
                            None => models_behind(config, plan, &files, seed, wrap),
                        }
                    }
                    #[cfg(test)]
                    Origin::Given => Err(Failure::setup("there are no models")),
                }
            })
            .await
    }

    /// Models of which the embedding model alone is sure to be there: enough for reading and searching documents. No
    /// language model is fetched for them.
    ///
    /// # Errors
    /// As [`ModelSet::get`].
    pub(crate) async fn get_for_search(&self, cancel: &CancellationToken) -> Result<&Models, Failure> {
        if let Some(models) = self.made.get() {
            return Ok(models);
        }
        self.for_search
            .get_or_try_init(|| async {
                match &self.origin {
                    Origin::Planned { config, plan, gate } => {
                        let display = PullDisplay::new(&MultiProgress::new());
                        let fetcher = Fetcher::new(config)?;
                        let files = fetcher.pull_for_search(plan, &display, cancel).await?;
                        let seed = u64::from(std::process::id());
                        models_behind(config, plan, &files, seed, |provider| gate.guard(provider))
                    }
                    #[cfg(test)]
                    Origin::Given => Err(Failure::setup("there are no models")),
                }
            })
            .await
    }

    /// Whether documents can be read and searched without fetching anything.
    pub(crate) fn has_search(&self) -> bool {
        if self.made.initialized() || self.for_search.initialized() {
            return true;
        }
        match &self.origin {
            Origin::Planned { config, plan, .. } => {
                Fetcher::new(config).is_ok_and(|fetcher| fetcher.has_for_search(plan))
            }
            #[cfg(test)]
            Origin::Given => true,
        }
    }
}

/// The models as one generation uses them. Its option `model` may name one of those that the configured routes name;
/// any other is passed over: a stranger's wish must not choose what the operator pays for.
pub(crate) fn of_generation(models: &Models, options: &Value) -> Models {
    let Some(wished) = options.get("model").and_then(Value::as_str) else {
        return models.clone();
    };
    if !named(models.routes()).contains(wished) {
        tracing::warn!(
            model = wished,
            "the generation's model is not configured; the usual ones are used"
        );
        return models.clone();
    }
    models
        .with_routes(Routes::single(wished))
        .unwrap_or_else(|_| models.clone())
}

fn named(routes: &Routes) -> BTreeSet<String> {
    Work::ALL
        .into_iter()
        .flat_map(|work| routes.of(work).models())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use domain::clock::SystemClock;
    use llm::card::{Cards, ModelCard};
    use llm::provider::scripted::{Scripted, WordEmbedder};
    use llm::route::Route;
    use serde_json::json;

    use super::*;

    fn models() -> Models {
        let mut cards = Cards::default();
        for id in ["usual", "stronger", "costly"] {
            cards.insert(ModelCard::assumed(id, "scripted"));
        }
        let mut routes = Routes::single("usual");
        let lesson = Route {
            first: "usual".to_owned(),
            escalates: vec!["stronger".to_owned()],
        };
        routes = routes
            .with_overrides(&[("lesson".to_owned(), lesson)].into())
            .unwrap();
        Models::builder(cards, routes, Arc::new(WordEmbedder::new(8)))
            .provider(Arc::new(Scripted::replies("scripted", Vec::new())))
            .build(Arc::new(SystemClock))
            .unwrap()
    }

    #[test]
    fn generation_chooses_among_configured_models_only() {
        let check = |options: Value, expected: &str| {
            let chosen = of_generation(&models(), &options);
            assert_eq!(chosen.card_for(Work::Analysis, 0).id, expected, "{options}");
        };
        check(json!({}), "usual");
        check(json!({"model": "stronger"}), "stronger");
        check(json!({"model": "costly"}), "usual");
        check(json!({"model": "no-such"}), "usual");
    }
}
