//! The content ladder (generation 3.4): what the next attempt does after a rejected one, and which candidate wins.

use domain::quality::REVIEW_MARGIN;
use llm::request::{FIRST_TEMPERATURE, RETRY_TEMPERATURE};

/// Content attempts of one question, at most (generation 3.4).
pub(crate) const MOST_ATTEMPTS: u32 = 10;
/// Escalations along the route, at most (generation 3.4).
const MOST_ESCALATIONS: usize = 2;

/// What one attempt does differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The question as it is.
    Plain,
    /// The question, the answer and what is wrong with it.
    Feedback,
    /// Only the offending fields, the rest is kept.
    Fields,
    /// The question with a minimal example of an answer.
    Example,
}

/// One rung of the ladder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rung {
    /// What is done differently.
    pub(crate) manner: Manner,
    /// How far along the route.
    pub(crate) escalation: usize,
    /// The temperature.
    pub(crate) temperature: f32,
}

/// The rung of attempt `attempt` (from 1) on a route of `route_length` models; `None`: the ladder ends here.
/// A route without further models ends after the fifth attempt: asking the same model again brings nothing new.
pub(crate) fn rung(attempt: u32, route_length: usize) -> Option<Rung> {
    let highest = route_length.saturating_sub(1).min(MOST_ESCALATIONS);
    let (manner, escalation, temperature) = match attempt {
        1 => (Manner::Plain, 0, FIRST_TEMPERATURE),
        2 => (Manner::Feedback, 0, FIRST_TEMPERATURE),
        3 => (Manner::Fields, 0, RETRY_TEMPERATURE),
        4 => (Manner::Example, 0, RETRY_TEMPERATURE),
        5 => (Manner::Fields, 0, FIRST_TEMPERATURE),
        6 => (Manner::Plain, 1, FIRST_TEMPERATURE),
        7 => (Manner::Feedback, 1, RETRY_TEMPERATURE),
        8 => (Manner::Plain, 2, FIRST_TEMPERATURE),
        9 => (Manner::Feedback, 2, RETRY_TEMPERATURE),
        MOST_ATTEMPTS => (Manner::Fields, 2, RETRY_TEMPERATURE),
        _ => return None,
    };
    if escalation > highest {
        return None;
    }
    Some(Rung {
        manner,
        escalation,
        temperature,
    })
}

/// How good a candidate is: fewer errors win, then the higher score; a later one must be better, not equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Rules broken with severity error.
    pub(crate) errors: usize,
    /// Similarity on the reference scale minus the threshold, where measured.
    pub(crate) margin: Option<f64>,
}

impl Standing {
    /// Nothing stands against it.
    pub(crate) fn is_accepted(self) -> bool {
        self.errors == 0 && self.margin.is_none_or(|margin| margin >= 0.0)
    }

    /// At the end of the ladder it may be kept, marked for review.
    pub(crate) fn is_tolerable(self) -> bool {
        self.errors == 0 && self.margin.is_none_or(|margin| margin >= -REVIEW_MARGIN)
    }

    /// Whether it beats `other`.
    pub(crate) fn beats(self, other: Self) -> bool {
        let margin = |standing: Self| standing.margin.unwrap_or(0.0);
        self.errors < other.errors || (self.errors == other.errors && margin(self) > margin(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ladder_has_ten_rungs_and_two_escalations() {
        let rungs: Vec<Rung> = (1..).map_while(|attempt| rung(attempt, 5)).collect();
        assert_eq!(rungs.len(), MOST_ATTEMPTS as usize);
        assert_eq!(
            rungs.iter().map(|rung| rung.escalation).max(),
            Some(MOST_ESCALATIONS)
        );
        assert!(
            rungs
                .windows(2)
                .all(|pair| pair[0].escalation <= pair[1].escalation)
        );
    }

    #[test]
    fn ladder_of_a_single_model_ends_early() {
        assert_eq!((1..).map_while(|attempt| rung(attempt, 1)).count(), 5);
    }

    #[test]
    fn fewer_errors_win_then_the_score() {
        let standing = |errors, margin| Standing {
            errors,
            margin: Some(margin),
        };
        assert!(standing(0, -0.1).beats(standing(1, 0.2)));
        assert!(standing(1, 0.2).beats(standing(1, 0.1)));
        assert!(!standing(0, 0.1).beats(standing(0, 0.1)));
        assert!(standing(0, 0.0).is_accepted());
        assert!(!standing(0, -0.01).is_accepted() && standing(0, -0.01).is_tolerable());
        assert!(!standing(0, -0.16).is_tolerable());
        assert!(!standing(1, 0.5).is_tolerable());
    }
}
