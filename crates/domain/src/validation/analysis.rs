//! The analysis result: limits of data model 2.4, prerequisites without circles, totals that agree.

use std::collections::{HashMap, HashSet};

use super::text::Checker;
use super::{Finding, Rule, ValidationContext};
use crate::analysis::{
    AnalysisResult, Classification, ContextualLanguage, RecommendedStructure, SectionPlan,
};
use crate::analysis::{CourseCategory, PedagogicalPatterns, TopicAnalysis};
use crate::limits::{self, Limit};

/// `why_matters_context`, `problem_statement_context` (data model 2.4).
const SHORT_CONTEXT: Limit = Limit::new(50, usize::MAX);
/// The other texts of the contextual language (data model 2.4).
const LONG_CONTEXT: Limit = Limit::new(100, usize::MAX);
/// A text that only has to be there.
const PRESENT: Limit = Limit::new(1, usize::MAX);
/// A name of a topic or an area.
const NAME: Limit = Limit::new(3, usize::MAX);
/// `key_concepts` (data model 2.4).
const KEY_CONCEPTS: Limit = Limit::new(3, usize::MAX);
/// `domain_keywords` (data model 2.4).
const DOMAIN_KEYWORDS: Limit = Limit::new(5, usize::MAX);
/// `estimated_content_hours` (data model 2.4).
const CONTENT_HOURS_MIN: f64 = 0.5;
/// `total_lessons` (data model 2.4).
const TOTAL_LESSONS: Limit = Limit::new(limits::COURSE_LESSONS_MIN, u32::MAX as usize);
/// `learning_objectives` of a planned section (data model 2.4).
const PLAN_OBJECTIVES: Limit = Limit::new(2, usize::MAX);
/// `key_topics` of a planned section (data model 2.4).
const PLAN_TOPICS: Limit = Limit::new(3, usize::MAX);
/// How far the stated hours may be from lessons x minutes before it is worth a warning.
const HOURS_SHARE: f64 = 0.5;

/// Every rule on a whole analysis result.
pub fn validate_analysis(analysis: &AnalysisResult, ctx: &ValidationContext<'_>) -> Vec<Finding> {
    let mut checker = Checker::new(*ctx);
    check_classification(
        &mut checker,
        &analysis.course_category,
        &analysis.contextual_language,
        &analysis.topic_analysis,
        &analysis.pedagogical_patterns,
    );
    checker.at("recommended_structure", |checker| {
        check_scope(checker, &analysis.recommended_structure);
    });
    checker.at("pedagogical_strategy", |checker| {
        let strategy = &analysis.pedagogical_strategy;
        checker.text("assessment_approach", &strategy.assessment_approach, PRESENT);
        checker.text("practical_focus", &strategy.practical_focus, PRESENT);
        checker.text("progression_logic", &strategy.progression_logic, PRESENT);
    });
    checker.text(
        "generation_guidance.tone",
        &analysis.generation_guidance.tone,
        PRESENT,
    );
    let sections: HashSet<_> = section_ids(&analysis.recommended_structure).collect();
    for (relevance, index) in analysis.document_relevance.iter().zip(0..) {
        checker.at(&format!("document_relevance[{index}]"), |checker| {
            check_share(checker, "confidence", relevance.confidence);
            if !sections.contains(relevance.section_id.as_str()) {
                let message = format!(
                    "'{}' is no section_id of sections_breakdown",
                    relevance.section_id
                );
                checker.error(Rule::SectionPrerequisites, "section_id", message);
            }
        });
    }
    checker.into_findings()
}

/// The rules on phase 1 alone.
pub fn validate_classification(classification: &Classification, ctx: &ValidationContext<'_>) -> Vec<Finding> {
    let mut checker = Checker::new(*ctx);
    check_classification(
        &mut checker,
        &classification.course_category,
        &classification.contextual_language,
        &classification.topic_analysis,
        &classification.pedagogical_patterns,
    );
    checker.into_findings()
}

/// The rules on phase 2 alone.
pub fn validate_scope(scope: &RecommendedStructure, ctx: &ValidationContext<'_>) -> Vec<Finding> {
    let mut checker = Checker::new(*ctx);
    check_scope(&mut checker, scope);
    checker.into_findings()
}

fn check_classification(
    checker: &mut Checker<'_>,
    category: &CourseCategory,
    language: &ContextualLanguage,
    topic: &TopicAnalysis,
    patterns: &PedagogicalPatterns,
) {
    check_share(checker, "course_category.confidence", category.confidence);
    checker.aside("course_category.reasoning", &category.reasoning);
    checker.at("contextual_language", |checker| {
        checker.text(
            "why_matters_context",
            &language.why_matters_context,
            SHORT_CONTEXT,
        );
        checker.text("motivators", &language.motivators, LONG_CONTEXT);
        checker.text("experience_prompt", &language.experience_prompt, LONG_CONTEXT);
        checker.text(
            "problem_statement_context",
            &language.problem_statement_context,
            SHORT_CONTEXT,
        );
        checker.text("knowledge_bridge", &language.knowledge_bridge, LONG_CONTEXT);
        checker.text(
            "practical_benefit_focus",
            &language.practical_benefit_focus,
            LONG_CONTEXT,
        );
    });
    checker.at("topic_analysis", |checker| {
        checker.text("determined_topic", &topic.determined_topic, NAME);
        checker.number(
            "information_completeness",
            usize::from(topic.information_completeness),
            Limit::new(0, 100),
        );
        checker.aside("reasoning", &topic.reasoning);
        checker.text("target_audience", &topic.target_audience, PRESENT);
        checker.texts("key_concepts", &topic.key_concepts, KEY_CONCEPTS, PRESENT);
        checker.texts(
            "domain_keywords",
            &topic.domain_keywords,
            DOMAIN_KEYWORDS,
            PRESENT,
        );
    });
    checker.at("pedagogical_patterns", |checker| {
        checker.text("primary_strategy", &patterns.primary_strategy, PRESENT);
        let shares = patterns
            .theory_practice_ratio
            .split_once(':')
            .map(|(theory, practice)| {
                let share = |text: &str| text.parse::<u32>().ok();
                share(theory)
                    .zip(share(practice))
                    .is_some_and(|(theory, practice)| theory.checked_add(practice) == Some(100))
            });
        if shares != Some(true) {
            let message = format!(
                "is '{}'; write two shares in percent with 100 together, such as 30:70",
                patterns.theory_practice_ratio
            );
            checker.error(Rule::Range, "theory_practice_ratio", message);
        }
    });
}

fn check_scope(checker: &mut Checker<'_>, scope: &RecommendedStructure) {
    let hours = scope.estimated_content_hours;
    // Written so that NaN is a finding too.
    let is_long_enough = hours >= CONTENT_HOURS_MIN && hours.is_finite();
    if !is_long_enough {
        let message = format!("is {hours}, at least {CONTENT_HOURS_MIN} is needed");
        checker.error(Rule::Range, "estimated_content_hours", message);
    }
    checker.text("scope_reasoning", &scope.scope_reasoning, PRESENT);
    checker.text("calculation_explanation", &scope.calculation_explanation, PRESENT);
    checker.number(
        "lesson_duration_minutes",
        scope.lesson_duration_minutes as usize,
        limits::LESSON_MINUTES,
    );
    checker.number("total_lessons", scope.total_lessons as usize, TOTAL_LESSONS);
    checker.count(
        "sections_breakdown",
        scope.sections_breakdown.len(),
        Limit::new(1, usize::MAX),
    );
    for (section, index) in scope.sections_breakdown.iter().zip(0..) {
        checker.at(&format!("sections_breakdown[{index}]"), |checker| {
            check_plan(checker, section);
        });
    }
    check_totals(checker, scope);
    check_prerequisites(checker, &scope.sections_breakdown);
}

fn check_plan(checker: &mut Checker<'_>, section: &SectionPlan) {
    if section.section_id.trim().is_empty() {
        checker.error(
            Rule::Placeholder,
            "section_id",
            "is empty; write the section's number",
        );
    }
    checker.text("area", &section.area, NAME);
    checker.number(
        "estimated_lessons",
        section.estimated_lessons as usize,
        Limit::new(1, u32::MAX as usize),
    );
    checker.texts(
        "learning_objectives",
        &section.learning_objectives,
        PLAN_OBJECTIVES,
        PRESENT,
    );
    checker.texts("key_topics", &section.key_topics, PLAN_TOPICS, PRESENT);
    checker.text("pedagogical_approach", &section.pedagogical_approach, PRESENT);
    let hours = section.estimated_duration_hours;
    if !(hours > 0.0 && hours.is_finite()) {
        checker.error(
            Rule::Range,
            "estimated_duration_hours",
            format!("is {hours}, must be more than 0"),
        );
    }
}

/// The stated totals are the sums of the sections.
fn check_totals(checker: &mut Checker<'_>, scope: &RecommendedStructure) {
    let lessons = scope.sections_breakdown.iter().fold(0_u32, |sum, section| {
        sum.saturating_add(section.estimated_lessons)
    });
    if scope.total_lessons != lessons {
        let message = format!(
            "is {}, but the sections have {lessons} lessons together",
            scope.total_lessons
        );
        checker.error(Rule::Totals, "total_lessons", message);
    }
    if scope.total_sections as usize != scope.sections_breakdown.len() {
        let message = format!(
            "is {}, but sections_breakdown has {}",
            scope.total_sections,
            scope.sections_breakdown.len()
        );
        checker.error(Rule::Totals, "total_sections", message);
    }
    let computed = f64::from(lessons) * f64::from(scope.lesson_duration_minutes) / 60.0;
    let is_far = (scope.estimated_content_hours - computed).abs() > computed * HOURS_SHARE;
    if is_far {
        let message = format!(
            "is {}, but {lessons} lessons of {} minutes take {computed:.1} hours",
            scope.estimated_content_hours, scope.lesson_duration_minutes
        );
        checker.warning(Rule::Totals, "estimated_content_hours", message);
    }
}

fn section_ids(scope: &RecommendedStructure) -> impl Iterator<Item = &str> {
    scope
        .sections_breakdown
        .iter()
        .map(|section| section.section_id.as_str())
}

/// Prerequisites name sections that exist, and nothing requires itself in the end.
fn check_prerequisites(checker: &mut Checker<'_>, sections: &[SectionPlan]) {
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (index, section) in sections.iter().enumerate() {
        if let Some(first) = places.get(section.section_id.as_str()) {
            let message = format!(
                "'{}' is also the id of sections_breakdown[{first}]",
                section.section_id
            );
            checker.error(
                Rule::Distinct,
                &format!("sections_breakdown[{index}].section_id"),
                message,
            );
        } else {
            places.insert(&section.section_id, index);
        }
    }
    for (index, section) in sections.iter().enumerate() {
        for (prerequisite, place) in section.prerequisites.iter().zip(0..) {
            if !places.contains_key(prerequisite.as_str()) {
                let message =
                    format!("'{prerequisite}' is no section_id; use one of the ids, or leave it out");
                let part = format!("sections_breakdown[{index}].prerequisites[{place}]");
                checker.error(Rule::SectionPrerequisites, &part, message);
            }
        }
    }
    if let Some(circle) = circular(sections, &places) {
        let ids: Vec<_> = circle
            .iter()
            .filter_map(|&index| sections.get(index))
            .map(|plan| plan.section_id.as_str())
            .collect();
        let message = format!(
            "the sections {} cannot be put in order, for prerequisites go in a circle: remove one",
            ids.join(", ")
        );
        checker.error(Rule::SectionPrerequisites, "sections_breakdown", message);
    }
}

/// What is left when sections whose prerequisites are all met are taken away again and again; empty without circles.
fn circular(sections: &[SectionPlan], places: &HashMap<&str, usize>) -> Option<Vec<usize>> {
    let mut open: Vec<usize> = (0..sections.len()).collect();
    loop {
        let is_open = |id: &String| places.get(id.as_str()).is_some_and(|index| open.contains(index));
        let remaining: Vec<usize> = open
            .iter()
            .copied()
            .filter(|&index| sections[index].prerequisites.iter().any(is_open))
            .collect();
        if remaining.len() == open.len() {
            return (!open.is_empty()).then_some(open);
        }
        open = remaining;
    }
}

fn check_share(checker: &mut Checker<'_>, part: &str, share: f64) {
    if !(0.0..=1.0).contains(&share) {
        checker.error(Rule::Range, part, format!("is {share}, 0 to 1 are allowed"));
    }
}

#[cfg(test)]
mod tests;
