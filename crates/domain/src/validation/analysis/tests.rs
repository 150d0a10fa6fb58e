use super::*;
use crate::language::Language;
use crate::samples;

#[test]
fn analysis_limits_circles_and_totals() {
    let ctx = ValidationContext::new(Language::English);
    assert_eq!(validate_analysis(&samples::analysis(), &ctx), []);
    let check = |change: &dyn Fn(&mut crate::analysis::AnalysisResult), rule: Rule, path: &str| {
        let mut analysis = samples::analysis();
        change(&mut analysis);
        let findings = validate_analysis(&analysis, &ctx);
        assert!(
            findings
                .iter()
                .any(|finding| finding.rule == rule && finding.path == path && finding.is_error()),
            "{findings:#?}"
        );
    };
    check(
        &|analysis| analysis.course_category.confidence = 1.5,
        Rule::Range,
        "course_category.confidence",
    );
    check(
        &|analysis| analysis.contextual_language.motivators.truncate(99),
        Rule::Length,
        "contextual_language.motivators",
    );
    check(
        &|analysis| analysis.topic_analysis.key_concepts.truncate(2),
        Rule::Count,
        "topic_analysis.key_concepts",
    );
    check(
        &|analysis| analysis.topic_analysis.domain_keywords.truncate(4),
        Rule::Count,
        "topic_analysis.domain_keywords",
    );
    check(
        &|analysis| "40:70".clone_into(&mut analysis.pedagogical_patterns.theory_practice_ratio),
        Rule::Range,
        "pedagogical_patterns.theory_practice_ratio",
    );
    check(
        &|analysis| analysis.recommended_structure.total_lessons = 13,
        Rule::Totals,
        "recommended_structure.total_lessons",
    );
    check(
        &|analysis| analysis.recommended_structure.total_sections = 2,
        Rule::Totals,
        "recommended_structure.total_sections",
    );
    check(
        &|analysis| analysis.recommended_structure.estimated_content_hours = f64::NAN,
        Rule::Range,
        "recommended_structure.estimated_content_hours",
    );
    let circle = |analysis: &mut crate::analysis::AnalysisResult| {
        analysis.recommended_structure.sections_breakdown[0].prerequisites = vec!["3".to_owned()];
    };
    check(
        &circle,
        Rule::SectionPrerequisites,
        "recommended_structure.sections_breakdown",
    );
    let itself = |analysis: &mut crate::analysis::AnalysisResult| {
        analysis.recommended_structure.sections_breakdown[0].prerequisites = vec!["1".to_owned()];
    };
    check(
        &itself,
        Rule::SectionPrerequisites,
        "recommended_structure.sections_breakdown",
    );
    let unknown = |analysis: &mut crate::analysis::AnalysisResult| {
        analysis.recommended_structure.sections_breakdown[0].prerequisites = vec!["9".to_owned()];
    };
    check(
        &unknown,
        Rule::SectionPrerequisites,
        "recommended_structure.sections_breakdown[0].prerequisites[0]",
    );
    let twice = |analysis: &mut crate::analysis::AnalysisResult| {
        "1".clone_into(&mut analysis.recommended_structure.sections_breakdown[1].section_id);
    };
    check(
        &twice,
        Rule::Distinct,
        "recommended_structure.sections_breakdown[1].section_id",
    );
}

#[test]
fn what_a_model_writes_to_itself_may_be_in_another_language() {
    let ctx = ValidationContext::new(Language::English);
    let mut analysis = samples::analysis();
    let thoughts = "Курс относится к хобби, потому что пчёл держат ради удовольствия и мёда.";
    thoughts.clone_into(&mut analysis.course_category.reasoning);
    thoughts.clone_into(&mut analysis.topic_analysis.reasoning);
    assert_eq!(validate_analysis(&analysis, &ctx), []);
    thoughts.clone_into(&mut analysis.topic_analysis.target_audience);
    analysis.topic_analysis.reasoning.clear();
    let findings = validate_analysis(&analysis, &ctx);
    let paths: Vec<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(
        paths,
        ["topic_analysis.reasoning", "topic_analysis.target_audience"]
    );
}
