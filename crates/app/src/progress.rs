//! The progress display of `create` and `resume`: what the pipeline tells, for people.
//!
//! [`Board`] knows what has happened; [`Display`] shows it: as a picture that is redrawn on a terminal, else as
//! plain lines with the time. Everything goes to standard error.

mod board;
mod lines;
mod terminal;
mod words;

use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use domain::clock::Clock;
use domain::language::Language;
use indicatif::MultiProgress;
use pipeline::event::{Event, Observer};

pub(crate) use board::{Board, ShownCost, duration};
use terminal::Terminal;
pub(crate) use words::Words;

/// Shows what happens in a generation.
pub(crate) struct Display {
    clock: Arc<dyn Clock>,
    words: Words,
    state: Mutex<State>,
}

struct State {
    board: Board,
    screen: Screen,
}

enum Screen {
    Terminal(Terminal),
    /// Plain lines, the last of them at this time.
    Lines {
        last: DateTime<Utc>,
    },
}

/// Whoever reads plain lines hears at least this often that the program lives.
const LONGEST_SILENCE: TimeDelta = TimeDelta::seconds(25);

impl fmt::Debug for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Display").finish_non_exhaustive()
    }
}

impl Display {
    /// A display in the user's language; times count from `started_at`. `bars` is shared with whatever else writes to
    /// the terminal.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        started_at: DateTime<Utc>,
        language: Language,
        bars: &MultiProgress,
    ) -> Arc<Self> {
        let words = Words::of(language);
        let board = Board::new(started_at);
        let screen = if std::io::stderr().is_terminal() {
            Screen::Terminal(Terminal::new(bars, words))
        } else {
            Screen::Lines { last: started_at }
        };
        Arc::new(Self {
            clock,
            words,
            state: Mutex::new(State { board, screen }),
        })
    }

    /// Redraws what changes with time alone. Called a few times a second.
    pub(crate) fn tick(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let State { board, screen } = &mut *state;
        match screen {
            Screen::Terminal(terminal) => terminal.draw(board, now),
            Screen::Lines { last } if now - *last >= LONGEST_SILENCE => {
                *last = now;
                eprintln!(
                    "{}",
                    lines::stamped(now, &lines::still_working(board, now, self.words))
                );
            }
            Screen::Lines { .. } => {}
        }
    }

    /// Ends the display: the last picture stays, the cursor is below it.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let State { board, screen } = &mut *state;
        if let Screen::Terminal(terminal) = screen {
            terminal.finish(board, now);
        }
    }

    /// What has happened so far.
    pub(crate) fn board(&self) -> Board {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .board
            .clone()
    }
}

impl Observer for Display {
    fn on_event(&self, event: Event) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { board, screen } = &mut *state;
        let before = board.step();
        board.record(&event, now);
        match screen {
            Screen::Terminal(terminal) => {
                for line in lines::for_terminal(&event, self.words) {
                    terminal.print(&line);
                }
                terminal.draw(board, now);
            }
            Screen::Lines { last } => {
                for line in lines::for_log(&event, before, board, now, self.words) {
                    *last = now;
                    eprintln!("{}", lines::stamped(now, &line));
                }
            }
        }
    }
}
