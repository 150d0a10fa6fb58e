//! The user's numbers against the analysis' recommendation (data model 2.4, "Conflicts").

use std::ops::RangeInclusive;

use crate::analysis::ConflictResolution;
use crate::limits;

/// A wish that differs by more than this share from the recommendation gives way to it (data model 2.4).
const WISH_SHARE_MAX: f64 = 0.2;
/// Lessons that the result may have more or fewer than the user wished (data model 2.4).
const LESSON_TOLERANCE: u32 = 3;
/// The same for sections, of which a course has about a quarter as many.
const SECTION_TOLERANCE: u32 = 1;

/// How many lessons or sections a course is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The number to aim at.
    pub target: u32,
    /// The numbers that are as good.
    pub allowed: RangeInclusive<u32>,
    /// What was decided, where the user's wish and the recommendation differ.
    pub conflict: Option<ConflictResolution>,
}

/// Decides the number of lessons. `strategy_needs_structure` tells that the analysis' teaching strategy needs its own
/// structure (2.4); without it the user's number is aimed at however far it is.
pub fn resolve_lessons(wished: Option<u32>, recommended: u32, strategy_needs_structure: bool) -> Resolved {
    let least = u32::try_from(limits::COURSE_LESSONS_MIN).unwrap_or(u32::MAX);
    resolve(
        "lessons",
        wished,
        recommended,
        strategy_needs_structure,
        LESSON_TOLERANCE,
        least,
    )
}

/// Decides the number of sections in the same way.
pub fn resolve_sections(wished: Option<u32>, recommended: u32, strategy_needs_structure: bool) -> Resolved {
    resolve(
        "sections",
        wished,
        recommended,
        strategy_needs_structure,
        SECTION_TOLERANCE,
        1,
    )
}

fn resolve(
    subject: &str,
    wished: Option<u32>,
    recommended: u32,
    strategy_needs_structure: bool,
    tolerance: u32,
    least: u32,
) -> Resolved {
    let recommended = recommended.max(least);
    let around = |target: u32| target.saturating_sub(tolerance).max(least)..=target.saturating_add(tolerance);
    let Some(wished) = wished.filter(|&wish| wish != recommended) else {
        return Resolved {
            target: recommended,
            allowed: around(recommended),
            conflict: None,
        };
    };
    let difference = f64::from(wished.abs_diff(recommended)) / f64::from(recommended);
    let is_far = difference > WISH_SHARE_MAX;
    let (used, reason) = if is_far && strategy_needs_structure {
        let percent = (difference * 100.0).round();
        let reason = format!(
            "they differ by {percent} % and the teaching strategy needs its structure; the analysis is authoritative on pedagogy"
        );
        (recommended, reason)
    } else if is_far {
        let reason =
            "the teaching strategy works with the wished number; wishes are followed where pedagogy allows";
        (wished.max(least), reason.to_owned())
    } else {
        let reason = "they differ by 20 % at most; wishes are followed where pedagogy allows";
        (wished.max(least), reason.to_owned())
    };
    Resolved {
        target: used,
        allowed: around(used),
        conflict: Some(ConflictResolution {
            subject: subject.to_owned(),
            wished,
            recommended,
            used,
            rationale: format!(
                "User wished {wished} {subject}, analysis recommends {recommended}, using {used} because {reason}"
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        wished: Option<u32>,
        recommended: u32,
        needs_structure: bool,
        target: u32,
        rationale: Option<&str>,
    ) {
        let resolved = resolve_lessons(wished, recommended, needs_structure);
        assert_eq!(resolved.target, target, "{wished:?} {recommended}");
        assert!(resolved.allowed.contains(&target));
        let written = resolved.conflict.map(|conflict| conflict.rationale);
        assert_eq!(written.as_deref(), rationale);
    }

    #[test]
    fn wishes_are_guidance_and_the_analysis_decides_when_they_are_far_off() {
        check(None, 24, true, 24, None);
        check(Some(24), 24, true, 24, None);
        check(
            Some(20),
            24,
            true,
            20,
            Some(
                "User wished 20 lessons, analysis recommends 24, using 20 because they differ by 20 % at most; wishes \
                 are followed where pedagogy allows",
            ),
        );
        check(
            Some(60),
            24,
            true,
            24,
            Some(
                "User wished 60 lessons, analysis recommends 24, using 24 because they differ by 150 % and the teaching \
                 strategy needs its structure; the analysis is authoritative on pedagogy",
            ),
        );
        check(
            Some(60),
            24,
            false,
            60,
            Some(
                "User wished 60 lessons, analysis recommends 24, using 60 because the teaching strategy works with the \
                 wished number; wishes are followed where pedagogy allows",
            ),
        );
    }

    #[test]
    fn exactly_20_percent_follows_the_wish_and_more_does_not() {
        assert_eq!(resolve_lessons(Some(24), 20, true).target, 24);
        assert_eq!(resolve_lessons(Some(25), 20, true).target, 20);
        assert_eq!(resolve_lessons(Some(16), 20, true).target, 16);
        assert_eq!(resolve_lessons(Some(15), 20, true).target, 20);
    }

    #[test]
    fn the_range_is_three_lessons_around_the_target_and_never_under_ten() {
        assert_eq!(resolve_lessons(Some(24), 20, false).allowed, 21..=27);
        assert_eq!(resolve_lessons(Some(11), 11, true).allowed, 10..=14);
        assert_eq!(resolve_lessons(Some(4), 4, true).target, 10);
    }

    #[test]
    fn sections_follow_the_same_rule() {
        let resolved = resolve_sections(Some(12), 6, true);
        assert_eq!((resolved.target, resolved.allowed), (6, 5..=7));
        let rationale = resolved
            .conflict
            .map(|conflict| conflict.rationale)
            .unwrap_or_default();
        assert!(rationale.starts_with("User wished 12 sections, analysis recommends 6, using 6 because "));
        assert_eq!(resolve_sections(Some(1), 1, true).allowed, 1..=2);
    }
}
