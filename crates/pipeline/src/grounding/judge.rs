//! What a judge model says of sentences that the sources do not seem to bear out: a few calls, for the worst lessons.

use domain::grounding::UnsupportedClaim;
use domain::stage::Stage;
use llm::card::Granularity;
use llm::route::Work;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Examined;
use crate::attempts::Patience;
use crate::context::Run;
use crate::engine::Question;
use crate::error::PipelineError;
use crate::material::cut_to_tokens;
use crate::vars::vars;
use crate::{data, schema};

/// Lessons that are judged, those with the most suspicious sentences first: one call each.
const MOST_LESSONS: usize = 10;
/// Sentences of one lesson that are judged.
const MOST_SENTENCES: usize = 12;
/// Tokens of the longest answer: a verdict and a sentence each.
const VERDICT_TOKENS: u32 = 2500;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verdicts {
    verdicts: Vec<Verdict>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verdict {
    verdict: Word,
    #[schemars(length(max = 400))]
    reason: String,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Word {
    Supported,
    Contradicted,
    NotInSources,
    NoClaim,
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Contradicted => "contradicted",
            Self::NotInSources => "not_in_sources",
            Self::NoClaim => "no_claim",
        }
    }
}

/// Judges the suspicious sentences: those that the judge finds borne out, or without a claim, are no longer listed. What
/// was judged before of lessons that are not new is taken over. Without a judge that is fit, nothing changes.
///
/// # Errors
/// Whatever keeps the judge from being called; an answer that cannot be used only leaves sentences without a judgement.
pub(super) async fn judge(run: &Run, lessons: &mut [Examined]) -> Result<(), PipelineError> {
    keep_earlier(run, lessons);
    if run.models().card_for(Work::Judge, 0).granularity == Granularity::Small {
        return Ok(());
    }
    let mut worst: Vec<usize> = (0..lessons.len())
        .filter(|&place| lessons[place].is_new && !lessons[place].grounding.unsupported.is_empty())
        .collect();
    // Stable: the first lessons first among equals.
    worst.sort_by_key(|&place| std::cmp::Reverse(lessons[place].grounding.unsupported.len()));
    for place in worst.into_iter().take(MOST_LESSONS) {
        match Box::pin(of_lesson(run, &lessons[place])).await {
            Ok(verdicts) => apply(&mut lessons[place].grounding.unsupported, verdicts),
            // The course is complete without a judgement.
            Err(error @ (PipelineError::Unusable { .. } | PipelineError::Budget { .. })) => {
                tracing::info!(%error, "sentences stay without a judgement");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes over what the course's last report says of lessons that have not changed.
fn keep_earlier(run: &Run, lessons: &mut [Examined]) {
    let earlier = run.course().quality.as_ref();
    let Some(earlier) = earlier.and_then(|report| report.grounding.as_ref()) else {
        return;
    };
    for lesson in lessons.iter_mut().filter(|lesson| !lesson.is_new) {
        let number = lesson.grounding.lesson_number;
        let before = earlier
            .lessons
            .iter()
            .find(|before| before.lesson_number == number);
        let Some(before) = before.filter(|before| before.sentences == lesson.grounding.sentences) else {
            continue;
        };
        // Judged to be borne out then: it is not among those of before.
        lesson.grounding.unsupported.retain(|claim| {
            before
                .unsupported
                .iter()
                .any(|other| other.sentence == claim.sentence)
        });
        for claim in &mut lesson.grounding.unsupported {
            let same = before
                .unsupported
                .iter()
                .find(|other| other.sentence == claim.sentence);
            claim.judgement = same.and_then(|other| other.judgement.clone());
        }
    }
}

async fn of_lesson(run: &Run, lesson: &Examined) -> Result<Vec<Verdict>, PipelineError> {
    let sentences: Vec<&str> = lesson
        .grounding
        .unsupported
        .iter()
        .take(MOST_SENTENCES)
        .map(|claim| claim.sentence.as_str())
        .collect();
    let count = |text: &str| run.models().count_tokens(Work::Judge, 0, text);
    let room = run.models().budget_for(Work::Judge, 0).context_beside(0);
    let share = room / u32::try_from(lesson.sources.len()).unwrap_or(u32::MAX).max(1);
    let sources: Vec<minijinja::Value> = lesson
        .sources
        .iter()
        .zip(1..)
        .map(|(chunk, number)| {
            vars! {
                label => format!("S{number}"),
                document => "",
                place => chunk.heading_path.join(" › "),
                text => cut_to_tokens(&chunk.text, share, &count),
            }
        })
        .collect();
    let data = vars! { course => data::course(run), sources, sentences };
    let mut wanted = schema::of::<Verdicts>();
    wanted["properties"]["verdicts"]["minItems"] = sentences.len().into();
    wanted["properties"]["verdicts"]["maxItems"] = sentences.len().into();
    let answer: Verdicts = run
        .ask_for(Question {
            stage: Stage::Finalization,
            phase: "grounding".to_owned(),
            batch: lesson.grounding.lesson_number,
            work: Work::Judge,
            complexity: None,
            prompt: run.prompts().render("grounding_judge", &data)?,
            hint: None,
            shape: "verdicts",
            schema: wanted,
            max_output_tokens: VERDICT_TOKENS,
            temperature: None,
            mend: None,
            check: None,
            gate: None,
            ignores_earlier_rounds: false,
            patience: Patience::WhileModelsDiffer,
        })
        .await?;
    Ok(answer.verdicts)
}

fn apply(claims: &mut Vec<UnsupportedClaim>, verdicts: Vec<Verdict>) {
    let mut verdicts = verdicts.into_iter();
    claims.retain_mut(|claim| match verdicts.next() {
        Some(verdict) if matches!(verdict.verdict, Word::Supported | Word::NoClaim) => false,
        Some(verdict) => {
            let reason = verdict.reason.trim();
            claim.judgement = Some(format!("{}: {reason}", verdict.verdict.as_str()));
            true
        }
        // Not judged.
        None => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_judge_finds_borne_out_is_no_longer_listed() {
        let claim = |sentence: &str| UnsupportedClaim {
            block: "Prices".to_owned(),
            sentence: sentence.to_owned(),
            support: 0.3,
            judgement: None,
        };
        let verdict = |verdict| Verdict {
            verdict,
            reason: "So it is.".to_owned(),
        };
        let mut claims = vec![claim("One."), claim("Two."), claim("Three."), claim("Four.")];
        apply(
            &mut claims,
            vec![
                verdict(Word::Supported),
                verdict(Word::Contradicted),
                verdict(Word::NoClaim),
            ],
        );
        let left: Vec<(&str, Option<&str>)> = claims
            .iter()
            .map(|claim| (claim.sentence.as_str(), claim.judgement.as_deref()))
            .collect();
        assert_eq!(left, [("Two.", Some("contradicted: So it is.")), ("Four.", None)]);
    }
}
