//! The picture on a terminal: five steps and a line of counters, redrawn in place.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::generation::{Step, StepStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Board, Words, duration, lines};

/// Positions of the total bar: thousandths of the work.
const BAR_POSITIONS: u64 = 1000;
/// How often the spinner turns.
const SPINNER_INTERVAL: Duration = Duration::from_millis(120);

/// The picture.
#[derive(Debug)]
pub(super) struct Terminal {
    bars: MultiProgress,
    words: Words,
    steps: Vec<ProgressBar>,
    total: ProgressBar,
}

impl Terminal {
    /// Draws the five steps.
    pub(super) fn new(bars: &MultiProgress, words: Words) -> Self {
        let steps: Vec<_> = Step::ALL
            .into_iter()
            .map(|step| {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_style(waiting());
                bar.set_prefix(format!("{}. {}", step.id(), words.step(step, false)));
                bar.tick();
                bar
            })
            .collect();
        let total = bars.add(ProgressBar::new(BAR_POSITIONS));
        total.set_style(style("  {bar:30.cyan/blue} {percent:>3} %  {msg}"));
        Self {
            bars: bars.clone(),
            words,
            steps,
            total,
        }
    }

    /// A line above the picture; it stays.
    pub(super) fn print(&self, line: &str) {
        // A terminal that is gone is noticed by whoever reads the results.
        let _ = self.bars.println(line);
    }

    /// Brings the picture up to date.
    pub(super) fn draw(&self, board: &Board, now: DateTime<Utc>) {
        for (step, bar) in Step::ALL.into_iter().zip(&self.steps) {
            self.draw_step(step, bar, board);
        }
        self.total.set_position(u64::from(board.permille_done()));
        self.total.set_message(lines::figures(board, now, self.words));
    }

    fn draw_step(&self, step: Step, bar: &ProgressBar, board: &Board) {
        let state = board.state(step);
        match state.status {
            StepStatus::InProgress => {
                let name = self.words.step(step, board.has_documents());
                bar.set_prefix(format!("{}. {name}", step.id()));
                bar.set_style(running());
                bar.enable_steady_tick(SPINNER_INTERVAL);
                bar.set_message(lines::activity(step, board, self.words));
            }
            StepStatus::Completed | StepStatus::Failed if !bar.is_finished() => {
                let took = state
                    .started_at
                    .zip(state.ended_at)
                    .map(|(from, to)| duration(to - from));
                bar.set_style(if state.status == StepStatus::Completed {
                    done()
                } else {
                    failed()
                });
                bar.finish_with_message(took.unwrap_or_default());
            }
            StepStatus::Pending | StepStatus::Completed | StepStatus::Failed => {}
        }
    }

    /// Leaves the last picture where it is.
    pub(super) fn finish(&self, board: &Board, now: DateTime<Utc>) {
        self.draw(board, now);
        for bar in self.steps.iter().chain([&self.total]) {
            bar.abandon();
        }
        // The last bar leaves the cursor on its own line.
        eprintln!();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; a test holds that they parse.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

const WAITING: &str = "  · {prefix:.dim}";
const RUNNING: &str = "  {spinner:.cyan} {prefix:.bold}  {wide_msg}";
const DONE: &str = "  ✓ {prefix:.green}  {msg:.dim}";
const FAILED: &str = "  ✗ {prefix:.red}  {msg:.dim}";

fn waiting() -> ProgressStyle {
    style(WAITING)
}

fn running() -> ProgressStyle {
    style(RUNNING)
}

fn done() -> ProgressStyle {
    style(DONE)
}

fn failed() -> ProgressStyle {
    style(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_parse() {
        for template in [WAITING, RUNNING, DONE, FAILED] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
