//! The board of jobs: what admins see of the queue, and what they do with a job (service 4.5).

mod view;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::organization::Tier;
use domain::stage::Stage;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::job::JobState;

use self::view::{Fact, FactValue, Job, JobView, Queue, QueuesView};
use super::words::{Words, fill};
use super::{BOARD, Frame, Visit, field, own_address, span};
use crate::http::request::parameters;
use crate::procedures;
use crate::procedures::error::{ApiError, ErrorCode};
use crate::service::Service;

/// Jobs of a page: what a person looks through without turning it.
const JOBS_ON_A_PAGE: u32 = 25;
/// What narrows the list, as `jobs.list` names it.
const FILTERS: [&str; 6] = ["state", "stage", "tier", "courseId", "organizationId", "cursor"];

/// A page of a list, as procedures answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// What narrows the list.
#[derive(Debug, Default)]
struct Filter(Vec<(&'static str, String)>);

impl Filter {
    fn of(query: &[(String, String)]) -> Self {
        Self(
            FILTERS
                .into_iter()
                .filter_map(|name| Some((name, field(query, name)?.to_owned())))
                .collect(),
        )
    }

    fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(found, _)| *found == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The board with this filter, without these fields and with that one.
    fn address(&self, without: &[&str], with: Option<(&str, &str)>) -> String {
        let kept = self.0.iter().filter(|(name, _)| !without.contains(name));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept.map(|(name, value)| (*name, value.as_str())));
        query.extend_pairs(with);
        match query.finish() {
            query if query.is_empty() => BOARD.to_owned(),
            query => format!("{BOARD}?{query}"),
        }
    }

    /// The input of `jobs.list`.
    fn input(&self) -> Result<Value, ApiError> {
        let mut given: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        given.push(("limit".to_owned(), JOBS_ON_A_PAGE.to_string()));
        Ok(procedures::find("jobs.list")?.rule().read_parameters(given))
    }
}

/// One choice of a list of choices.
struct Choice {
    value: &'static str,
    label: &'static str,
    is_chosen: bool,
}

fn choices(
    all: impl IntoIterator<Item = &'static str>,
    label: impl Fn(&'static str) -> &'static str,
    chosen: &str,
) -> Vec<Choice> {
    all.into_iter()
        .map(|value| Choice {
            value,
            label: label(value),
            is_chosen: value == chosen,
        })
        .collect()
}

/// The board.
#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    frame: Frame,
    notice: Option<&'static str>,
    /// The same list again.
    address: String,
    /// The choices of the form: states, stages, tiers.
    states: Vec<Choice>,
    stages: Vec<Choice>,
    tiers: Vec<Choice>,
    /// The course or organization that the list is narrowed to: fields that the form keeps.
    kept: Vec<(&'static str, String)>,
    /// What each of those is called, and the list without it.
    narrowed: Vec<(&'static str, String, String)>,
    queues: QueuesView,
    jobs: Vec<JobView>,
    newest: Option<String>,
    older: Option<String>,
    updated: String,
}

/// One job.
#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    notice: Option<&'static str>,
    address: String,
    job: JobView,
    error: Option<String>,
    facts: Vec<Fact>,
    payload: Vec<Fact>,
    updated: String,
}

/// `GET /board`.
pub(super) async fn list(State(service): State<Arc<Service>>, request: Request) -> Response {
    let query = parameters(request.uri().query());
    let (visit, _) = match Visit::of(service, request).await {
        Ok(visit) => visit,
        Err(answered) => return answered,
    };
    if visit.visitor.is_none() {
        return visit.to_sign_in();
    }
    match board(&visit, &query).await {
        Ok(page) => visit.answer(StatusCode::OK, &page),
        Err(failed) => visit.fault(&failed).await,
    }
}

async fn board(visit: &Visit, query: &[(String, String)]) -> Result<BoardPage, ApiError> {
    let (words, now) = (visit.words, visit.service.clock.now());
    let filter = Filter::of(query);
    let listed: Listed<Job> = visit.call("jobs.list", filter.input()?).await?;
    let organization = match filter.value("organizationId") {
        "" => json!({}),
        id => json!({ "organizationId": id }),
    };
    let queues: Listed<Queue> = visit.call("jobs.queues", organization).await?;
    let address = filter.address(&[], None);
    let older = listed
        .next_cursor
        .as_deref()
        .map(|cursor| filter.address(&["cursor"], Some(("cursor", cursor))));
    let newest = (!filter.value("cursor").is_empty()).then(|| filter.address(&["cursor"], None));
    let narrowed = narrowed(&filter, listed.items.first(), words);
    let kept = filter.0.iter().filter(|(name, _)| name.ends_with("Id"));
    Ok(BoardPage {
        frame: visit.frame(words.board).await,
        notice: notice(query, words),
        states: choices(
            JobState::ALL.map(JobState::as_str),
            |name| words.state(name),
            filter.value("state"),
        ),
        stages: choices(
            Stage::ALL.map(Stage::as_str),
            |name| words.stage(name),
            filter.value("stage"),
        ),
        tiers: choices(
            Tier::ALL.map(Tier::as_str),
            |name| words.tier(name),
            filter.value("tier"),
        ),
        kept: kept.cloned().collect(),
        narrowed,
        queues: QueuesView::new(&queues.items, &filter, now, words),
        jobs: listed
            .items
            .iter()
            .map(|job| JobView::new(job, &address, now, words))
            .collect(),
        newest,
        older,
        updated: fill(words.updated, &[&span::clock(now)]),
        address,
    })
}

/// The course or organization to which the list is narrowed, by the name that its first job knows.
fn narrowed(filter: &Filter, first: Option<&Job>, words: &Words) -> Vec<(&'static str, String, String)> {
    type NameOf = fn(&Job) -> &str;
    let fields: [(&str, &'static str, NameOf); 2] = [
        ("courseId", words.only_course, |job| &job.course_title),
        ("organizationId", words.only_organization, |job| {
            &job.organization_name
        }),
    ];
    fields
        .into_iter()
        .filter(|(name, _, _)| !filter.value(name).is_empty())
        .map(|(name, label, name_of)| {
            let called = first.map_or_else(|| filter.value(name), name_of);
            (label, called.to_owned(), filter.address(&[name, "cursor"], None))
        })
        .collect()
}

/// `GET /board/jobs/<id>`.
pub(super) async fn job(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let query = parameters(request.uri().query());
    let (visit, _) = match Visit::of(service, request).await {
        Ok(visit) => visit,
        Err(answered) => return answered,
    };
    if visit.visitor.is_none() {
        return visit.to_sign_in();
    }
    match job_page(&visit, &id, &query).await {
        Ok(page) => visit.answer(StatusCode::OK, &page),
        Err(failed) => visit.fault(&failed).await,
    }
}

async fn job_page(visit: &Visit, id: &str, query: &[(String, String)]) -> Result<JobPage, ApiError> {
    let (words, now) = (visit.words, visit.service.clock.now());
    let job: Job = visit.call("jobs.get", of_job(id)?).await?;
    let address = format!("{BOARD}/jobs/{}", job.id);
    Ok(JobPage {
        frame: visit.frame(job.course_title.clone()).await,
        notice: notice(query, words),
        job: JobView::new(&job, &address, now, words),
        facts: view::facts(&job, words),
        payload: job
            .payload
            .as_ref()
            .map(|payload| view::payload(payload, words))
            .unwrap_or_default(),
        error: job.last_error,
        updated: fill(words.updated, &[&span::clock(now)]),
        address,
    })
}

/// The input of a procedure of one job. An address that names none leads nowhere.
fn of_job(id: &str) -> Result<Value, ApiError> {
    let input = json!({ "id": id });
    match procedures::find("jobs.get")?.rule().check(&input) {
        Ok(()) => Ok(input),
        Err(_) => Err(ApiError::new(ErrorCode::NotFound)),
    }
}

/// `POST /board/jobs/<id>/<action>`. The answer leads back to where the form was.
pub(super) async fn act(
    State(service): State<Arc<Service>>,
    Path((id, action)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (visit, body) = match Visit::of(service, request).await {
        Ok(visit) => visit,
        Err(answered) => return answered,
    };
    let fields = match visit.form(body).await {
        Ok(fields) => fields,
        Err(failed) => return visit.fault(&failed).await,
    };
    if visit.visitor.is_none() {
        return visit.to_sign_in();
    }
    match carry_out(&visit, &id, &action).await {
        Ok((done, job)) => {
            let back = own_address(field(&fields, "back").unwrap_or_default());
            // A job that is tried again may be a new one.
            let was_here = back == format!("{BOARD}/jobs/{id}");
            let back = match job {
                Some(job) if was_here => format!("{BOARD}/jobs/{job}"),
                _ => back.to_owned(),
            };
            let separator = if back.contains('?') { '&' } else { '?' };
            visit.redirect(&format!("{back}{separator}done={done}"))
        }
        Err(failed) => visit.fault(&failed).await,
    }
}

/// What was done, as `done` in addresses names it, and the job that goes on.
async fn carry_out(visit: &Visit, id: &str, action: &str) -> Result<(String, Option<String>), ApiError> {
    let (name, done) = match action {
        "retry" => ("jobs.retry", "retried"),
        "promote" => ("jobs.promote", "promoted"),
        "cancel" => ("jobs.cancel", "cancelled"),
        _ => return Err(ApiError::new(ErrorCode::NotFound)),
    };
    let output: Map<String, Value> = visit.call(name, of_job(id)?).await?;
    let text = |name: &str| output.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok((text("outcome").unwrap_or_else(|| done.to_owned()), text("id")))
}

/// What is said after something was done.
fn notice(query: &[(String, String)], words: &'static Words) -> Option<&'static str> {
    match field(query, "done")? {
        "retried" => Some(words.done_retried),
        "promoted" => Some(words.done_promoted),
        "cancelled" => Some(words.done_cancelled),
        "requested" => Some(words.done_requested),
        "already_ended" => Some(words.done_already_ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_what_narrows_the_list() {
        let query = [("state", "dead"), ("stage", ""), ("courseId", "a&b"), ("x", "y")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let filter = Filter::of(&query);
        assert_eq!(filter.address(&[], None), "/board?state=dead&courseId=a%26b");
        assert_eq!(
            filter.address(&["courseId"], Some(("cursor", "c"))),
            "/board?state=dead&cursor=c"
        );
        assert_eq!(Filter::default().address(&[], None), "/board");
        let input = filter.input().unwrap();
        assert_eq!(
            input,
            json!({ "state": "dead", "courseId": "a&b", "limit": JOBS_ON_A_PAGE })
        );
    }
}
