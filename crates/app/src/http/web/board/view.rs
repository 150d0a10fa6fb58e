//! Jobs and queues as the board shows them. What they are is said by the procedures; here is only how it reads.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::Filter;
use crate::http::web::span::{clock, machine, span};
use crate::http::web::words::{Words, fill};

/// The longest error on a card, in characters; the job's own page has it whole.
const ERROR_ON_CARD: usize = 300;

/// A job, as `jobs.list` and `jobs.get` tell it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) organization_id: String,
    pub(super) organization_name: String,
    pub(super) tier: String,
    pub(super) user_id: String,
    pub(super) course_id: String,
    pub(super) course_title: String,
    pub(super) generation_id: String,
    pub(super) stage: String,
    pub(super) priority: i16,
    pub(super) state: String,
    pub(super) attempt: u32,
    pub(super) max_attempts: u32,
    pub(super) run_at: DateTime<Utc>,
    pub(super) worker_id: Option<String>,
    pub(super) lease_until: Option<DateTime<Utc>>,
    pub(super) cancel_requested: bool,
    pub(super) last_error: Option<String>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) payload: Option<Payload>,
}

/// What a job works on, as `jobs.get` tells it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload {
    generation_status: String,
    scope: Scope,
    budget_usd: f64,
    title: String,
    language: String,
    style: String,
    target_audience: Option<String>,
    desired_lessons_count: Option<u32>,
    desired_modules_count: Option<u32>,
    lesson_duration_minutes: Option<u32>,
    learning_outcomes: Vec<String>,
    content_strategy: String,
    review: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Scope {
    kind: String,
    number: Option<u32>,
    instruction: Option<String>,
}

/// The jobs of one tier, stage and state, as `jobs.queues` tells them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queue {
    tier: String,
    stage: String,
    state: String,
    jobs: u64,
    ready_since: Option<DateTime<Utc>>,
}

/// A name and what is to be said of it.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) value: FactValue,
}

/// What is to be said.
pub(super) enum FactValue {
    /// In words.
    Text(String),
    /// An id, to be copied.
    Code(String),
    /// A time.
    Time { machine: String, shown: String },
    /// Something with a list of what belongs to it.
    Link {
        text: String,
        address: String,
        more: &'static str,
    },
    /// Several things.
    List(Vec<String>),
}

/// A job on a card and at the head of its page.
pub(super) struct JobView {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) state: String,
    pub(super) state_word: String,
    pub(super) stage: String,
    pub(super) tier: String,
    pub(super) organization: String,
    pub(super) organization_address: String,
    /// `attempt 2 of 3`.
    pub(super) attempt: String,
    /// What the time has to say: `waits for 3 min`.
    pub(super) time: String,
    /// The moment that speaks of, for programs and for people.
    pub(super) moment: String,
    pub(super) moment_shown: String,
    pub(super) error: Option<String>,
    pub(super) is_being_cancelled: bool,
    /// What the button for another try is called; `None`: there is nothing to try.
    pub(super) retry: Option<&'static str>,
    pub(super) may_promote: bool,
    pub(super) may_cancel: bool,
    /// Where its forms lead back to.
    pub(super) back: String,
}

impl JobView {
    /// How a job reads at this time; `back` is the page that shows it.
    pub(super) fn new(job: &Job, back: &str, now: DateTime<Utc>, words: &'static Words) -> Self {
        let (moment, time) = what_time_says(job, now, words);
        let is_pending = job.state == "pending";
        let retry = match job.state.as_str() {
            "pending" if job.run_at > now => Some(words.run_now),
            "dead" | "cancelled" => Some(words.retry),
            _ => None,
        };
        let attempt = if job.attempt == 0 {
            words.never_ran.to_owned()
        } else {
            let (attempt, most) = (job.attempt.to_string(), job.max_attempts.to_string());
            fill(words.attempt, &[&attempt, &most])
        };
        let of_organization = [("organizationId".to_owned(), job.organization_id.clone())];
        Self {
            id: job.id.clone(),
            title: job.course_title.clone(),
            state: job.state.clone(),
            state_word: words.state(&job.state).to_owned(),
            stage: words.stage(&job.stage).to_owned(),
            tier: words.tier(&job.tier).to_owned(),
            organization: job.organization_name.clone(),
            organization_address: Filter::of(&of_organization).address(&[], None),
            attempt,
            time,
            moment: machine(moment),
            moment_shown: clock(moment),
            error: job.last_error.as_deref().map(shortened),
            is_being_cancelled: job.cancel_requested && job.state == "running",
            retry,
            may_promote: is_pending,
            may_cancel: (is_pending || job.state == "running") && !job.cancel_requested,
            back: back.to_owned(),
        }
    }
}

/// The moment that matters most of a job, and what there is to say of it.
fn what_time_says(job: &Job, now: DateTime<Utc>, words: &Words) -> (DateTime<Utc>, String) {
    let since = |at: DateTime<Utc>| span(now - at, words);
    match (job.state.as_str(), job.started_at, job.finished_at) {
        ("pending", _, _) if job.run_at > now => (
            job.run_at,
            fill(words.starts_in, &[&span(job.run_at - now, words)]),
        ),
        ("pending", _, _) => (job.created_at, fill(words.waits_for, &[&since(job.created_at)])),
        ("running", Some(started), _) => (started, fill(words.runs_for, &[&since(started)])),
        (_, Some(started), Some(finished)) => {
            let took = fill(words.took, &[&span(finished - started, words)]);
            let ended = fill(words.ended_ago, &[&since(finished)]);
            (finished, format!("{ended}, {took}"))
        }
        (_, None, Some(finished)) => (finished, fill(words.ended_ago, &[&since(finished)])),
        (_, _, None) => (job.created_at, String::new()),
    }
}

fn shortened(error: &str) -> String {
    let mut letters = error.chars();
    let mut text: String = letters.by_ref().take(ERROR_ON_CARD).collect();
    if letters.next().is_some() {
        text.push('…');
    }
    text
}

/// Everything there is to know of a job.
pub(super) fn facts(job: &Job, words: &'static Words) -> Vec<Fact> {
    let of = |name: &str, id: &str| {
        let field = [(name.to_owned(), id.to_owned())];
        Filter::of(&field).address(&[], None)
    };
    let link = |text: &str, address: String| FactValue::Link {
        text: text.to_owned(),
        address,
        more: words.course_jobs,
    };
    let code = |id: &str| FactValue::Code(id.to_owned());
    let text = |value: String| FactValue::Text(value);
    let attempts = fill(
        words.attempts_of,
        &[&job.attempt.to_string(), &job.max_attempts.to_string()],
    );
    let organization = format!("{} · {}", job.organization_name, words.tier(&job.tier));
    let mut facts = vec![
        (
            words.course,
            link(&job.course_title, of("courseId", &job.course_id)),
        ),
        (
            words.organization,
            link(&organization, of("organizationId", &job.organization_id)),
        ),
        (words.stage, text(words.stage(&job.stage).to_owned())),
        (words.attempts, text(attempts)),
        (words.priority, text(job.priority.to_string())),
        (words.created, time(job.created_at)),
    ];
    for (label, at) in [
        (words.run_at, Some(job.run_at)),
        (words.started, job.started_at),
        (words.finished, job.finished_at),
        (words.lease_until, job.lease_until),
    ] {
        facts.extend(at.map(|at| (label, time(at))));
    }
    facts.extend(job.worker_id.as_deref().map(|id| (words.worker, code(id))));
    facts.extend([
        (words.job_id, code(&job.id)),
        (words.generation, code(&job.generation_id)),
        (words.user, code(&job.user_id)),
    ]);
    facts
        .into_iter()
        .map(|(label, value)| Fact { label, value })
        .collect()
}

fn time(at: DateTime<Utc>) -> FactValue {
    FactValue::Time {
        machine: machine(at),
        shown: clock(at),
    }
}

/// What a job works on.
pub(super) fn payload(payload: &Payload, words: &'static Words) -> Vec<Fact> {
    let scope = &payload.scope;
    let number = scope.number.unwrap_or_default().to_string();
    let makes = match scope.kind.as_str() {
        "section" => fill(words.scope_section, &[&number]),
        "lesson" => fill(words.scope_lesson, &[&number]),
        _ => words.scope_whole.to_owned(),
    };
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let review = if payload.review { words.yes } else { words.no };
    let texts = [
        (words.title, Some(payload.title.clone())),
        (words.scope, Some(makes)),
        (words.instruction, scope.instruction.clone()),
        (words.generation_status, Some(payload.generation_status.clone())),
        (words.language_of_course, Some(payload.language.clone())),
        (words.style, Some(payload.style.clone())),
        (words.audience, payload.target_audience.clone()),
        (words.lessons_wished, number(payload.desired_lessons_count)),
        (words.sections_wished, number(payload.desired_modules_count)),
        (words.lesson_minutes, number(payload.lesson_duration_minutes)),
        (words.strategy, Some(payload.content_strategy.clone())),
        (words.review, Some(review.to_owned())),
        (words.budget, Some(format!("{:.2}", payload.budget_usd))),
    ];
    let mut facts: Vec<_> = texts
        .into_iter()
        .filter_map(|(label, value)| {
            let value = FactValue::Text(value?);
            Some(Fact { label, value })
        })
        .collect();
    if !payload.learning_outcomes.is_empty() {
        facts.push(Fact {
            label: words.outcomes,
            value: FactValue::List(payload.learning_outcomes.clone()),
        });
    }
    facts
}

/// How many jobs are in a state, all tiers and stages together.
pub(super) struct Total {
    pub(super) state: &'static str,
    pub(super) label: &'static str,
    pub(super) jobs: u64,
    /// How long the first has waited.
    pub(super) oldest: Option<String>,
    /// The list of them.
    pub(super) address: String,
    pub(super) is_chosen: bool,
}

/// The jobs of a tier and stage.
pub(super) struct QueueLine {
    pub(super) tier: String,
    pub(super) stage: String,
    pub(super) waiting: u64,
    pub(super) oldest: Option<String>,
    pub(super) running: u64,
    pub(super) dead: u64,
    pub(super) succeeded: u64,
    /// The list of them.
    pub(super) address: String,
}

/// The queues at a glance and one by one.
pub(super) struct QueuesView {
    pub(super) totals: Vec<Total>,
    pub(super) lines: Vec<QueueLine>,
}

impl QueuesView {
    /// How queues read at this time.
    pub(super) fn new(queues: &[Queue], filter: &Filter, now: DateTime<Utc>, words: &'static Words) -> Self {
        let labels = [
            ("pending", words.waiting),
            ("running", words.running),
            ("dead", words.dead),
            ("succeeded", words.succeeded),
            ("cancelled", words.cancelled),
        ];
        let total = |(state, label)| {
            let of_state = queues.iter().filter(|queue| queue.state == state);
            let oldest = oldest(of_state.clone(), now, words);
            Total {
                state,
                label,
                jobs: of_state.map(|queue| queue.jobs).sum(),
                oldest: oldest.map(|oldest| fill(words.oldest_for, &[&oldest])),
                address: filter.address(&["state", "cursor"], Some(("state", state))),
                is_chosen: filter.value("state") == state,
            }
        };
        Self {
            totals: labels.map(total).into(),
            lines: lines(queues, filter, now, words),
        }
    }
}

/// One line for all states of a tier and stage; they come in that order.
fn lines(queues: &[Queue], filter: &Filter, now: DateTime<Utc>, words: &'static Words) -> Vec<QueueLine> {
    let line = |of_line: &[Queue]| {
        let first = of_line.first()?;
        let count = |state: &str| {
            let of_state = of_line.iter().filter(|queue| queue.state == state);
            of_state.map(|queue| queue.jobs).sum()
        };
        let tier = filter.address(&["tier", "stage", "cursor"], Some(("tier", &first.tier)));
        Some(QueueLine {
            tier: words.tier(&first.tier).to_owned(),
            stage: words.stage(&first.stage).to_owned(),
            waiting: count("pending"),
            oldest: oldest(of_line.iter(), now, words),
            running: count("running"),
            dead: count("dead"),
            succeeded: count("succeeded"),
            address: format!("{tier}&stage={}", first.stage),
        })
    };
    queues
        .chunk_by(|one, next| (&one.tier, &one.stage) == (&next.tier, &next.stage))
        .filter_map(line)
        .collect()
}

/// How long the first of those has waited that can be started.
fn oldest<'a>(queues: impl Iterator<Item = &'a Queue>, now: DateTime<Utc>, words: &Words) -> Option<String> {
    let waiting = queues.filter(|queue| queue.state == "pending");
    let since = waiting.filter_map(|queue| queue.ready_since).min()?;
    Some(span(now - since, words))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::procedures::words::Speech;

    fn now() -> DateTime<Utc> {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn job(change: &Value) -> Job {
        let mut job = json!({
            "id": "j", "organizationId": "o", "organizationName": "School", "tier": "standard", "userId": "u",
            "courseId": "c", "courseTitle": "Bees", "generationId": "g", "stage": "structure", "priority": 5,
            "state": "pending", "attempt": 0, "maxAttempts": 3, "runAt": "2026-06-01T11:00:00Z", "workerId": null,
            "leaseUntil": null, "cancelRequested": false, "lastError": null, "createdAt": "2026-06-01T11:00:00Z",
            "startedAt": null, "finishedAt": null, "payload": null,
        });
        for (name, value) in change.as_object().unwrap() {
            job[name] = value.clone();
        }
        serde_json::from_value(job).unwrap()
    }

    fn read(change: &Value) -> JobView {
        JobView::new(&job(change), "/board", now(), Words::of(Speech::English))
    }

    #[test]
    fn a_job_says_what_time_means_for_it_and_what_can_be_done() {
        let check = |change: &Value, time: &str, doable: (Option<&str>, bool, bool)| {
            let found = read(change);
            assert_eq!(found.time.replace('\u{a0}', " "), time);
            assert_eq!(
                (found.retry, found.may_promote, found.may_cancel),
                doable,
                "{time}"
            );
        };
        check(&json!({}), "waits for 1 h", (None, true, true));
        check(
            &json!({ "runAt": "2026-06-01T12:05:00Z" }),
            "starts in 5 min",
            (Some("Run now"), true, true),
        );
        let running = json!({ "state": "running", "attempt": 1, "startedAt": "2026-06-01T11:58:00Z" });
        check(&running, "runs for 2 min", (None, false, true));
        let mut stopping = running;
        stopping["cancelRequested"] = json!(true);
        check(&stopping, "runs for 2 min", (None, false, false));
        check(
            &json!({ "state": "dead", "startedAt": "2026-06-01T11:00:00Z", "finishedAt": "2026-06-01T11:30:00Z" }),
            "ended 30 min ago, took 30 min",
            (Some("Try again"), false, false),
        );
        check(
            &json!({ "state": "cancelled", "finishedAt": "2026-06-01T11:59:30Z" }),
            "ended 30 s ago",
            (Some("Try again"), false, false),
        );
    }

    #[test]
    fn long_errors_are_cut_on_cards() {
        let found = read(&json!({ "lastError": "я".repeat(400) })).error.unwrap();
        assert_eq!(found.chars().count(), ERROR_ON_CARD + 1);
        assert_eq!(read(&json!({ "lastError": "short" })).error.unwrap(), "short");
    }

    #[test]
    fn queues_are_added_up() {
        let queue = |tier: &str, stage: &str, state: &str, jobs: u64| Queue {
            tier: tier.to_owned(),
            stage: stage.to_owned(),
            state: state.to_owned(),
            jobs,
            ready_since: Some(now() - chrono::TimeDelta::minutes(i64::try_from(jobs).unwrap())),
        };
        let queues = [
            queue("free", "analysis", "pending", 4),
            queue("free", "analysis", "dead", 9),
            queue("premium", "analysis", "pending", 2),
            queue("premium", "content", "running", 1),
        ];
        let view = QueuesView::new(&queues, &Filter::default(), now(), Words::of(Speech::English));
        let totals: Vec<_> = view
            .totals
            .iter()
            .map(|total| (total.state, total.jobs))
            .collect();
        assert_eq!(
            totals,
            [
                ("pending", 6),
                ("running", 1),
                ("dead", 9),
                ("succeeded", 0),
                ("cancelled", 0)
            ]
        );
        assert_eq!(
            view.totals[0].oldest.as_deref(),
            Some("the first for 4\u{a0}min"),
            "not the dead ones"
        );
        let lines: Vec<_> = view
            .lines
            .iter()
            .map(|line| {
                (
                    line.tier.as_str(),
                    line.stage.as_str(),
                    line.waiting,
                    line.running,
                    line.dead,
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                ("Free", "Analysis", 4, 0, 9),
                ("Premium", "Analysis", 2, 0, 0),
                ("Premium", "Lessons", 0, 1, 0)
            ]
        );
        assert_eq!(view.lines[2].address, "/board?tier=premium&stage=content");
    }
}
