//! Model servers of this machine: found, offered, and found again by `resume`.

use llm::discovery::{
    Fitness, LocalModel, LocalServer, ask_context_window, best_of, find_again, find_local_servers,
};

use super::question::{is_agreed, is_at_a_terminal};
use super::run::{RunOptions, Session};
use crate::config::Config;
use crate::failure::Failure;
use crate::wiring::{LocalChoice, LocalWish, Plan, local_wish, window_note};

/// What may be done without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// Nothing.
    Needed,
    /// Everything: `--yes`.
    Given,
}

/// Decides which models do the work. Where nothing is configured, a server of this machine is looked for and offered; a
/// model that is named and that only such a server has is taken from it.
///
/// # Errors
/// [`Failure`] naming what is missing and how to mend it; interrupted at a signal.
pub(super) async fn plan(
    session: &Session<'_>,
    config: &Config,
    model: Option<&str>,
    consent: Consent,
) -> Result<Plan, Failure> {
    let Some(wish) = local_wish(config, model)? else {
        return Plan::of(config, model);
    };
    let servers = find_local_servers(&config.local_places).await;
    match wish {
        LocalWish::Any => match best_of(&servers) {
            Some((server, best)) if is_wanted(session, server, best, consent).await? => {
                taken(session, config, server, best).await
            }
            _ => Plan::of(config, model),
        },
        LocalWish::Named(name) => {
            let named = servers
                .iter()
                .find_map(|server| Some((server, server.find(name)?)));
            match named {
                Some((server, found)) => taken(session, config, server, found).await,
                None => Plan::of(config, model).map_err(|failure| match described(&servers) {
                    Some(found) => failure.advice(format!("on this machine there are {found}")),
                    None => failure,
                }),
            }
        }
    }
}

/// Decides the same for a course that was begun: with the models that it remembers, unless others are named.
///
/// # Errors
/// As [`plan`]; [`Failure`] too if the server of this machine that made the course is not there.
pub(super) async fn plan_again(
    session: &Session<'_>,
    config: &Config,
    model: Option<&str>,
    options: &RunOptions,
) -> Result<Plan, Failure> {
    if model.is_some() {
        return plan(session, config, model, Consent::Needed).await;
    }
    let Some(choice) = options.local.clone().filter(LocalChoice::is_here) else {
        return Plan::of(config, options.model.as_deref());
    };
    let (name, address) = (choice.server.name(), choice.address());
    let Some(server) = find_again(choice.server, &choice.base_url).await else {
        return Err(Failure::setup(format!("{name} at {address} does not answer")).advice(
            "start it, or go on with another model: --model embedded, or the id of a model that is configured",
        ));
    };
    let Some(found) = server.find(&choice.model) else {
        let id = &choice.model;
        return Err(
            Failure::setup(format!("{name} at {address} has no model '{id}' any more"))
                .advice("add it there again, or go on with another model: --model ID, --model embedded"),
        );
    };
    taken(session, config, &server, found).await
}

/// One line on the servers of this machine: `Ollama at 127.0.0.1:11434 with 3 models (best: qwen3:14b)`. `None`: there
/// are none.
pub(super) fn described(servers: &[LocalServer]) -> Option<String> {
    let described: Vec<_> = servers
        .iter()
        .map(|server| {
            let address = server.address();
            let place = format!(
                "{} at {}",
                server.kind.name(),
                address.trim_start_matches("http://")
            );
            let count = server.writing().count();
            match server.writing().next() {
                Some(best) if count == 1 => format!("{place} with 1 model ({})", best.id),
                Some(best) => format!("{place} with {count} models (best: {})", best.id),
                None => format!("{place} without a model that writes texts"),
            }
        })
        .collect();
    (!described.is_empty()).then(|| described.join("; "))
}

async fn is_wanted(
    session: &Session<'_>,
    server: &LocalServer,
    best: &LocalModel,
    consent: Consent,
) -> Result<bool, Failure> {
    if consent == Consent::Given {
        return Ok(true);
    }
    let found = format!("Found {} with {}.", server.kind.name(), best.id);
    if is_at_a_terminal() {
        return is_agreed(session, &format!("{found} Use it?")).await;
    }
    session.say(&format!(
        "{found} It is at {}; to use it: --yes, or --model '{}'",
        server.address(),
        best.id
    ));
    Ok(false)
}

/// A plan in which this model does all the work; says where the texts go.
async fn taken(
    session: &Session<'_>,
    config: &Config,
    server: &LocalServer,
    model: &LocalModel,
) -> Result<Plan, Failure> {
    let window = ask_context_window(server, model).await;
    let elsewhere = match model.fitness {
        Fitness::Elsewhere => ", which sends them on to its cloud",
        Fitness::Writes | Fitness::None => "",
    };
    session.say(&format!(
        "The texts go to {} ({}, {}){elsewhere}",
        server.address(),
        server.kind.name(),
        model.id
    ));
    let is_local = model.fitness == Fitness::Writes;
    if let Some(note) = window_note(server.kind, window).filter(|_| is_local) {
        session.say(&format!("note: {note}"));
    }
    Plan::with_local(config, LocalChoice::of(server, model, window))
}
