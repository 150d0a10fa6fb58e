//! Worker processes: killed, stopped, one after another, and nothing is lost or paid for twice.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use domain::usage::MicroUsd;

use crate::desk::Desk;
use crate::provider::Provider;

/// How long a scripted answer takes here: long enough that something is always in flight.
const LATENCY: Duration = Duration::from_millis(150);
/// From the end of an answer to its checkpoint in the database, on a busy machine.
const TO_CHECKPOINT: Duration = Duration::from_millis(850);
/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A generation that a killed `create` has left behind.
fn abandoned(desk: &Desk, provider: &Provider) {
    let mut create = desk.spawn_with(
        provider,
        &[
            "create",
            "Python loops for beginners",
            "--lessons",
            "10",
            "--sections",
            "2",
        ],
    );
    provider.wait_for_calls(2);
    create.kill().unwrap();
    create.wait().unwrap();
}

fn worker(desk: &Desk, provider: &Provider) -> Child {
    let mut command = desk.command_with(provider, &["worker", "--concurrency", "2"]);
    command
        .env("COURSEWRIGHT_WORKER__LEASE_SECS", "5")
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(desk.path().join("stderr")).unwrap());
    command.spawn().unwrap()
}

fn wait_until_listed(desk: &Desk, state: &str) {
    let begun = Instant::now();
    loop {
        let listed = desk.run(&["list"]);
        if listed.stdout.contains(state) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not {state}: {}", listed.stdout);
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn terminate(child: &mut Child) -> Option<i32> {
    let sent = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    child.wait().unwrap().code()
}

#[test]
fn job_of_a_killed_worker_is_taken_over_without_paying_again() {
    let (desk, provider) = (Desk::new(), Provider::slow(LATENCY, MicroUsd(100)));
    abandoned(&desk, &provider);
    let mut first = worker(&desk, &provider);
    provider.wait_for_calls(4);
    // The second is there when the first dies, so the database is not started anew and leases alone decide.
    let mut second = worker(&desk, &provider);
    std::thread::sleep(Duration::from_secs(1));
    first.kill().unwrap();
    first.wait().unwrap();
    let killed = Instant::now();
    wait_until_listed(&desk, "completed");
    assert!(
        killed.elapsed() < Duration::from_mins(1),
        "{:?}",
        killed.elapsed()
    );
    assert_eq!(provider.repeated_after(killed, LATENCY + TO_CHECKPOINT), 0);
    assert_eq!(terminate(&mut second), Some(0), "{}", desk.spawned_stderr());
}

#[test]
fn worker_that_is_told_to_end_hands_back_and_loses_no_call() {
    let (desk, provider) = (Desk::new(), Provider::slow(LATENCY, MicroUsd(100)));
    abandoned(&desk, &provider);
    let abandoned_at = Instant::now();
    let mut first = worker(&desk, &provider);
    provider.wait_for_calls(3);
    let told = Instant::now();
    assert_eq!(terminate(&mut first), Some(0), "{}", desk.spawned_stderr());
    assert!(told.elapsed() < Duration::from_secs(25), "{:?}", told.elapsed());
    let ended = Instant::now();
    let mut second = worker(&desk, &provider);
    wait_until_listed(&desk, "completed");
    // Not even a call that was under way when the signal came: it was let end.
    assert_eq!(provider.repeated_after(ended, Duration::ZERO), 0);
    assert!(abandoned_at < ended);
    assert_eq!(terminate(&mut second), Some(0), "{}", desk.spawned_stderr());
}
