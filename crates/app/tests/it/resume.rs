//! Interruptions of every kind: what was paid for is never asked again.

use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::language::Language;
use domain::usage::MicroUsd;
use llm::provider::scripted::answers::schema_answers;
use llm::request::Request;

use crate::desk::Desk;
use crate::provider::Provider;

/// How long a scripted answer takes here: long enough that something is always in flight.
const LATENCY: Duration = Duration::from_millis(150);
/// From the end of an answer to its checkpoint in the database, on a busy machine.
const TO_CHECKPOINT: Duration = Duration::from_millis(850);

const COURSE: [&str; 8] = [
    "create",
    "Python loops for beginners",
    "--lessons",
    "10",
    "--sections",
    "2",
    "--format",
    "json",
];

fn create(desk: &Desk) -> Vec<String> {
    let out = desk.out().to_str().unwrap().to_owned();
    COURSE
        .iter()
        .map(|part| (*part).to_owned())
        .chain(["--out".to_owned(), out])
        .collect()
}

fn spawn(desk: &Desk, provider: &Provider) -> Child {
    let arguments = create(desk);
    desk.spawn_with(
        provider,
        &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

#[track_caller]
fn check_complete(desk: &Desk) {
    let json: serde_json::Value = serde_json::from_str(&desk.result("json")).unwrap();
    assert!(json["lessons"].as_array().unwrap().len() >= 10);
}

#[test]
fn killed_program_goes_on_without_repeating_what_was_paid_for() {
    let (desk, provider) = (Desk::new(), Provider::slow(LATENCY, MicroUsd(100)));
    let mut child = spawn(&desk, &provider);
    // In the analysis, in the structure, in the lessons: three kills of one generation.
    let mut kills = Vec::new();
    for calls in [3, 5, 6] {
        provider.wait_for_calls(calls);
        child.kill().unwrap();
        child.wait().unwrap();
        kills.push(Instant::now());
        child = desk.spawn_with(&provider, &["resume"]);
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{}", desk.spawned_stderr());
    check_complete(&desk);
    for moment in kills {
        assert_eq!(provider.repeated_after(moment, LATENCY + TO_CHECKPOINT), 0);
    }
    assert!(
        provider.most_asked() <= 4,
        "nothing is asked more than once a run"
    );
}

#[test]
fn interrupt_hands_the_job_back_and_says_how_to_go_on() {
    let (desk, provider) = (Desk::new(), Provider::slow(LATENCY, MicroUsd::ZERO));
    let mut child = spawn(&desk, &provider);
    provider.wait_for_calls(4);
    let sent = Instant::now();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{}", desk.spawned_stderr());
    // Two seconds are promised for the work; the database server is stopped after that, on a busy machine.
    assert!(sent.elapsed() < Duration::from_secs(10), "{:?}", sent.elapsed());
    let said = desk.spawned_stderr();
    assert!(
        said.contains("interrupted") && said.contains("coursewright resume"),
        "{said}"
    );

    let interrupted = Instant::now();
    desk.run_with(&provider, &["resume"])
        .expect(0, &["Going on with"]);
    check_complete(&desk);
    assert_eq!(provider.repeated_after(interrupted, LATENCY + TO_CHECKPOINT), 0);
}

/// Says "TODO" as the introduction of one lesson, however it is asked.
fn stubborn(number: u32) -> Provider {
    let answers = schema_answers(1, Language::English);
    let lesson = format!("<lesson number=\"{number}\">");
    Provider::following(Arc::new(move |request: &Request, call: usize| {
        let mut reply = answers(request, call);
        let is_asked_for = request
            .messages
            .iter()
            .any(|message| message.content.contains(&lesson));
        if let Ok(answer) = &mut reply.outcome
            && is_asked_for
            && let Ok(mut value) = serde_json::from_str::<serde_json::Value>(&answer.text)
        {
            for (key, text) in value.as_object_mut().into_iter().flatten() {
                if key.contains("introduction") {
                    *text = "TODO".into();
                }
            }
            answer.text = value.to_string();
        }
        reply
    }))
}

#[test]
fn lesson_that_stays_wrong_does_not_end_the_course_and_is_tried_again_alone() {
    let (desk, provider) = (Desk::new(), stubborn(7));
    let arguments = create(&desk);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    desk.run_with(&provider, &arguments).expect(
        0,
        &[
            "10 lessons: 9 good, 1 needs your eyes",
            "- lesson 7: needs your eyes (introduction: contains the placeholder 'TODO'",
            "--lesson 7`",
            "coursewright resume",
        ],
    );
    check_complete(&desk);
    let list = desk.run(&["list"]).expect(0, &[]);
    let line = list.stdout.lines().nth(1).unwrap();
    let id = line.split_whitespace().next().unwrap();
    let good = Provider::good(Language::English);
    desk.run_with(&good, &["resume", id])
        .expect(0, &["Going on with"]);
    assert_eq!(good.call_count(), 1);
    desk.run_with(&good, &["resume", id])
        .expect(2, &["complete already", "coursewright export"]);
}

#[test]
fn budget_stops_cleanly_and_a_higher_one_finishes_without_repeating() {
    let (desk, provider) = (
        Desk::new(),
        Provider::slow(Duration::from_millis(20), MicroUsd(10_000)),
    );
    let arguments = create(&desk);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--budget", "0.05"]);
    desk.run_with(&provider, &arguments)
        .expect(3, &["budget of $0.05 is used up", "resume", "--budget USD"]);
    let before = provider.call_count();
    assert!((5..10).contains(&before), "{before} calls at $0.01");

    // The same budget again buys nothing.
    desk.run_with(&provider, &["resume"]).expect(3, &["budget"]);
    assert_eq!(provider.call_count(), before);

    let raised = Instant::now();
    desk.run_with(&provider, &["resume", "--budget", "5"])
        .expect(0, &["budget $5.00"]);
    check_complete(&desk);
    assert_eq!(provider.repeated_after(raised, Duration::ZERO), 0);
}

#[test]
fn failed_generation_is_taken_up_again() {
    let (desk, provider) = (Desk::new(), Provider::slow(LATENCY, MicroUsd::ZERO));
    let mut child = spawn(&desk, &provider);
    provider.wait_for_calls(4);
    provider.close();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(2), "{}", desk.spawned_stderr());
    assert!(
        desk.spawned_stderr().contains("rejected the request"),
        "{}",
        desk.spawned_stderr()
    );
    desk.run(&["list"]).expect(0, &["failed"]);

    let second = Provider::slow(LATENCY, MicroUsd::ZERO);
    desk.run_with(&second, &["resume"]).expect(0, &["Going on with"]);
    check_complete(&desk);
}

#[test]
fn nothing_to_resume_is_said() {
    let (desk, provider) = (Desk::new(), Provider::slow(LATENCY, MicroUsd::ZERO));
    desk.run_with(&provider, &["resume"])
        .expect(2, &["nothing to resume", "coursewright create"]);
}
