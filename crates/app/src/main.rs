//! `coursewright`: turns a title into a complete, well-taught course.

mod auth;
mod cli;
mod config;
mod extraction;
mod failure;
mod housekeeping;
mod http;
mod metrics;
mod procedures;
mod progress;
mod service;
mod service_manager;
mod telemetry;
mod typescript;
mod upload;
mod webhook;
mod wiring;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "embedded")]
    quiet_threads();
    match supported_processor().and_then(|()| cli::run()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}

/// Lets the embedded models share their work among threads that sleep when they wait.
#[cfg(feature = "embedded")]
#[expect(
    unsafe_code,
    reason = "it sets a variable of this process, which is safe while there is one thread"
)]
fn quiet_threads() {
    // SAFETY: the first line of `main`; no other thread runs yet.
    unsafe { llm::embedded::use_blocking_threads() };
}

/// The embedded models are compiled for processors with AVX2: on an older one they would end the program without
/// a word.
fn supported_processor() -> Result<(), failure::Failure> {
    #[cfg(all(target_arch = "x86_64", feature = "embedded"))]
    if !std::arch::is_x86_feature_detected!("avx2") {
        return Err(failure::Failure::setup(
            "this program needs a processor with AVX2, which this machine lacks",
        )
        .advice(
            "use a machine from 2013 or later, or build with --no-default-features (no embedded model)",
        ));
    }
    Ok(())
}
