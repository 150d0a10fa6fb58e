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
    /// Only the offending fields, the rest is kept; like [`Manner::Feedback`] where a problem has no place of its own.
    Fields,
    /// The question with a minimal example of an answer.
    Example,
}

/// How long a question is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// All attempts are made before it fails: nothing can take the answer's place, and nothing can be made without it.
    AllAttempts,
    /// All attempts are made; then the best candidate is kept for review as long as it fits the schema.
    KeepBest,
    /// Where the route has no further model it ends early: the asker has something to fall back on.
    WhileModelsDiffer,
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
    /// How much of that is for variety: 0 unless the route has no further model.
    pub(crate) warmer: f32,
}

/// What stands in for an escalation where the route has no further model: the last one is asked again, this much warmer
/// for each model that is missing, so that it does not merely repeat itself.
const WARMER_FOR_A_MISSING_MODEL: f32 = 0.15;
/// Above this, answers lose their shape.
const HIGHEST_TEMPERATURE: f32 = 1.0;

/// The rung of attempt `attempt` (from 1) on a route of `route_length` models; `None`: the ladder ends here. Every
/// attempt has a seed of its own.
pub(crate) fn rung(attempt: u32, route_length: usize, patience: Patience) -> Option<Rung> {
    let highest = route_length.saturating_sub(1).min(MOST_ESCALATIONS);
    let (manner, escalation, temperature): (Manner, usize, f32) = match attempt {
        1 => (Manner::Plain, 0, FIRST_TEMPERATURE),
        2 => (Manner::Fields, 0, RETRY_TEMPERATURE),
        3 => (Manner::Feedback, 0, FIRST_TEMPERATURE),
        4 => (Manner::Example, 0, RETRY_TEMPERATURE),
        5 => (Manner::Fields, 0, FIRST_TEMPERATURE),
        6 => (Manner::Plain, 1, FIRST_TEMPERATURE),
        7 => (Manner::Fields, 1, RETRY_TEMPERATURE),
        8 => (Manner::Plain, 2, FIRST_TEMPERATURE),
        9 => (Manner::Fields, 2, RETRY_TEMPERATURE),
        MOST_ATTEMPTS => (Manner::Feedback, 2, RETRY_TEMPERATURE),
        _ => return None,
    };
    let missing = escalation.saturating_sub(highest);
    if missing > 0 && patience == Patience::WhileModelsDiffer {
        return None;
    }
    let warmer = WARMER_FOR_A_MISSING_MODEL * missing as f32;
    Some(Rung {
        manner,
        escalation: escalation - missing,
        temperature: (temperature + warmer).min(HIGHEST_TEMPERATURE),
        warmer,
    })
}

/// How good a candidate is: the one nearer to the schema wins, then fewer broken rules, then the higher score; a later one
/// must be better, not equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Fields that the schema rejects.
    pub(crate) misfits: usize,
    /// Rules broken with severity error; 0 where the schema is not kept, since nothing is checked then.
    pub(crate) errors: usize,
    /// Similarity on the reference scale minus the threshold, where measured.
    pub(crate) margin: Option<f64>,
}

impl Standing {
    /// Nothing stands against it.
    pub(crate) fn is_accepted(self) -> bool {
        self.misfits == 0 && self.errors == 0 && self.margin.is_none_or(|margin| margin >= 0.0)
    }

    /// At the end of the ladder it may be kept, marked for review.
    pub(crate) fn is_tolerable(self, patience: Patience) -> bool {
        let is_sound = || self.errors == 0 && self.margin.is_none_or(|margin| margin >= -REVIEW_MARGIN);
        self.misfits == 0 && (patience == Patience::KeepBest || is_sound())
    }

    /// Whether it beats `other`.
    pub(crate) fn beats(self, other: Self) -> bool {
        let faults = |standing: Self| (standing.misfits, standing.errors);
        let margin = |standing: Self| standing.margin.unwrap_or(0.0);
        faults(self) < faults(other) || (faults(self) == faults(other) && margin(self) > margin(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(route_length: usize, patience: Patience) -> Vec<Rung> {
        (1..)
            .map_while(|attempt| rung(attempt, route_length, patience))
            .collect()
    }

    #[test]
    fn ladder_has_ten_rungs_and_two_escalations() {
        for patience in [
            Patience::AllAttempts,
            Patience::KeepBest,
            Patience::WhileModelsDiffer,
        ] {
            let rungs = ladder(5, patience);
            assert_eq!(rungs.len(), MOST_ATTEMPTS as usize);
            assert_eq!(
                rungs.iter().map(|rung| rung.escalation).max(),
                Some(MOST_ESCALATIONS)
            );
            assert!(rungs.is_sorted_by_key(|rung| rung.escalation));
            assert!(rungs.iter().all(|rung| rung.warmer < f32::EPSILON));
        }
    }

    #[test]
    fn last_model_of_a_short_route_is_asked_again_in_place_of_those_missing() {
        for route_length in [1, 2] {
            let rungs = ladder(route_length, Patience::AllAttempts);
            assert_eq!(rungs.len(), MOST_ATTEMPTS as usize);
            assert!(rungs.iter().all(|rung| rung.escalation < route_length));
            assert!(rungs.iter().all(|rung| rung.temperature <= HIGHEST_TEMPERATURE));
        }
        // The same question in the same manner is asked at another temperature each time.
        let plain: Vec<f32> = ladder(1, Patience::AllAttempts)
            .into_iter()
            .filter(|rung| rung.manner == Manner::Plain)
            .map(|rung| rung.temperature)
            .collect();
        assert!(plain.is_sorted_by(|cooler, warmer| cooler < warmer), "{plain:?}");
    }

    #[test]
    fn ladder_ends_with_the_route_where_there_is_something_to_fall_back_on() {
        assert_eq!(ladder(1, Patience::WhileModelsDiffer).len(), 5);
        assert_eq!(ladder(2, Patience::WhileModelsDiffer).len(), 7);
    }

    #[test]
    fn fields_are_asked_for_before_the_whole() {
        let manners: Vec<Manner> = ladder(3, Patience::AllAttempts)
            .into_iter()
            .map(|rung| rung.manner)
            .take(4)
            .collect();
        let expected = [Manner::Plain, Manner::Fields, Manner::Feedback, Manner::Example];
        assert_eq!(manners, expected);
    }

    fn standing(misfits: usize, errors: usize, margin: f64) -> Standing {
        Standing {
            misfits,
            errors,
            margin: Some(margin),
        }
    }

    #[test]
    fn fewer_errors_win_then_the_score() {
        let beats = |better: Standing, worse: Standing| {
            assert!(
                better.beats(worse) && !worse.beats(better),
                "{better:?} {worse:?}"
            );
        };
        beats(standing(0, 0, -0.1), standing(0, 1, 0.2));
        beats(standing(0, 1, 0.2), standing(0, 1, 0.1));
        beats(standing(0, 3, -0.9), standing(1, 0, 0.2));
        assert!(!standing(0, 0, 0.1).beats(standing(0, 0, 0.1)));
    }

    #[test]
    fn what_may_be_kept_depends_on_whether_something_else_can_take_its_place() {
        let check = |candidate: Standing, accepted: bool, sound: bool, kept: bool| {
            assert_eq!(candidate.is_accepted(), accepted, "{candidate:?}");
            for patience in [Patience::AllAttempts, Patience::WhileModelsDiffer] {
                assert_eq!(candidate.is_tolerable(patience), sound, "{candidate:?}");
            }
            assert_eq!(candidate.is_tolerable(Patience::KeepBest), kept, "{candidate:?}");
        };
        check(standing(0, 0, 0.0), true, true, true);
        check(standing(0, 0, -0.01), false, true, true);
        check(standing(0, 0, -0.16), false, false, true);
        check(standing(0, 1, 0.5), false, false, true);
        check(standing(1, 0, 0.5), false, false, false);
    }
}
