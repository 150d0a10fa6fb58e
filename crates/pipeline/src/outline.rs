//! The plan that documents already have: sections and lessons from their headings.
//!
//! A small model names the parts of a topic from memory; where the author's documents have an outline, the course
//! follows that instead, and the model words the rest. Everything here is computed: the same documents give the same plan.

mod headings;

use std::collections::HashSet;

use domain::language::Language;
use domain::limits;

pub(crate) use self::headings::teaches_nothing;
use self::headings::{Node, tree};
use crate::context::Run;
use crate::material::Material;
use crate::stages::analysis::sections_wished;
use crate::wording::folded;

/// Sections of a course that nobody gave a number: more than a learner keeps in view. Our own figure.
const MOST_SECTIONS: usize = 10;
/// Lessons of a section: more are drawn together. Our own figure, a third of the soft limit of data model 2.1.
const MOST_LESSONS: usize = 8;
/// An outline with fewer lessons says too little to make a course of (half of the least number, data model 2.1).
const FEWEST_LESSONS: usize = 5;
/// Chapters of one document beyond which they, and not the documents, are the sections.
const CHAPTERS_OF_A_BOOK: usize = 6;

/// A section as the documents have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutlineSection {
    /// The heading of a document or of a chapter.
    pub(crate) title: String,
    /// Its lessons in the documents' order, at least one.
    pub(crate) lessons: Vec<OutlineLesson>,
}

/// A lesson as the documents have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutlineLesson {
    /// The heading.
    pub(crate) title: String,
    /// The headings under it, and those of what was drawn into it.
    pub(crate) parts: Vec<String>,
}

/// The plan of a course's documents, with at most as many sections as its author wishes.
pub(crate) fn of(run: &Run, material: &Material) -> Option<Vec<OutlineSection>> {
    let wished = sections_wished(run.inputs()).map(|count| count as usize);
    plan(material, run.language(), wished)
}

/// The plan of the documents that are in the course's language; `None` where their headings say too little. `wished`
/// is the author's number of sections: the plan has at most as many.
fn plan(material: &Material, language: Language, wished: Option<usize>) -> Option<Vec<OutlineSection>> {
    let documents: Vec<Node> = material
        .teaching()
        .filter(|document| document.is_in(language))
        .map(|document| tree(document.title_or_name(), &document.outline))
        .collect();
    let mut sections: Vec<OutlineSection> = tops(documents).into_iter().map(section).collect();
    sections.retain(|section| !section.lessons.is_empty());
    let lessons: usize = sections.iter().map(|section| section.lessons.len()).sum();
    if lessons < FEWEST_LESSONS {
        return None;
    }
    draw_together(&mut sections, wished.unwrap_or(MOST_SECTIONS).max(1));
    for section in &mut sections {
        fit_lessons(section, MOST_LESSONS);
    }
    make_distinct(&mut sections);
    Some(sections)
}

/// Brings the lessons of a section to at most `most`: neighbours that say least are drawn together.
pub(crate) fn fit_lessons(section: &mut OutlineSection, most: usize) {
    while section.lessons.len() > most.max(1) {
        let weight = |place: usize| {
            let of = |lesson: &OutlineLesson| lesson.parts.len() + 1;
            of(&section.lessons[place]) + of(&section.lessons[place + 1])
        };
        let Some(place) = (0..section.lessons.len() - 1).min_by_key(|&place| weight(place)) else {
            return;
        };
        let drawn = section.lessons.remove(place + 1);
        let into = &mut section.lessons[place];
        into.parts.push(drawn.title);
        into.parts.extend(drawn.parts);
    }
}

/// What becomes a section each: the documents, or the chapters where one document has many.
fn tops(documents: Vec<Node>) -> Vec<Node> {
    let is_alone = documents.len() == 1;
    documents
        .into_iter()
        .flat_map(|document| {
            let chapters = document
                .children
                .iter()
                .filter(|chapter| !chapter.children.is_empty())
                .count();
            let is_book = chapters >= CHAPTERS_OF_A_BOOK || is_alone && chapters >= 2;
            if is_book {
                document.children
            } else {
                vec![document]
            }
        })
        .collect()
}

fn section(node: Node) -> OutlineSection {
    let lesson = |node: Node| OutlineLesson {
        parts: node.children.iter().map(|child| child.title.clone()).collect(),
        title: node.title,
    };
    let lessons = if node.children.is_empty() {
        vec![OutlineLesson {
            title: node.title.clone(),
            parts: Vec::new(),
        }]
    } else {
        node.children.into_iter().map(lesson).collect()
    };
    OutlineSection {
        title: node.title,
        lessons,
    }
}

/// Brings the plan to at most `most` sections: neighbours with the fewest lessons are drawn together.
fn draw_together(sections: &mut Vec<OutlineSection>, most: usize) {
    while sections.len() > most {
        let lessons = |place: usize| sections[place].lessons.len() + sections[place + 1].lessons.len();
        let Some(place) = (0..sections.len() - 1).min_by_key(|&place| lessons(place)) else {
            return;
        };
        let drawn = sections.remove(place + 1);
        let into = &mut sections[place];
        into.title = format!("{}; {}", into.title, drawn.title);
        into.lessons.extend(drawn.lessons);
    }
}

/// No two sections and no two lessons of a course have one title, and none is shorter than titles may be (data model
/// 2.1 and 2.3).
fn make_distinct(sections: &mut [OutlineSection]) {
    let mut seen = HashSet::new();
    for section in sections.iter_mut() {
        let first = section.lessons.first().map(|lesson| lesson.title.clone());
        let is_short = limits::text_length(&section.title) < limits::SECTION_TITLE.min;
        if is_short || !seen.insert(folded(&section.title)) {
            section.title = format!("{}: {}", section.title, first.unwrap_or_default());
            seen.insert(folded(&section.title));
        }
    }
    let mut seen = HashSet::new();
    for section in sections {
        let of = section.title.clone();
        for (lesson, number) in section.lessons.iter_mut().zip(1..) {
            let is_short = limits::text_length(&lesson.title) < limits::LESSON_TITLE.min;
            if is_short || !seen.insert(folded(&lesson.title)) {
                lesson.title = format!("{of}: {}", lesson.title);
                if !seen.insert(folded(&lesson.title)) {
                    lesson.title = format!("{} ({number})", lesson.title);
                    seen.insert(folded(&lesson.title));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::material::samples::document;

    fn check(documents: &[(&str, &str)], wished: Option<usize>, expected: Option<&[(&str, usize)]>) {
        let material = Material {
            documents: documents
                .iter()
                .map(|(name, outline)| document(name, outline))
                .collect(),
            unreadable: Vec::new(),
        };
        let plan = plan(&material, Language::English, wished);
        let found: Option<Vec<(&str, usize)>> = plan.as_ref().map(|plan| {
            let of = |section: &'_ OutlineSection| section.lessons.len();
            plan.iter()
                .map(|section| (section.title.as_str(), of(section)))
                .collect()
        });
        assert_eq!(found.as_deref(), expected);
    }

    const SUPPLY: &str = "# Demand and Supply\n## Introduction to Demand and Supply\n## Shifts in Demand\n\
        ### Income and Demand\n### Review Questions\n## Price Floors\n## Price Ceilings\n## References";
    const LABOR: &str = "# Labor Markets\n## Wages at Work\n## Financial Markets\n## Problems";

    #[test]
    fn several_documents_are_sections_and_their_parts_lessons() {
        check(
            &[("a.md", SUPPLY), ("b.md", LABOR)],
            None,
            Some(&[("Demand and Supply", 3), ("Labor Markets", 2)]),
        );
    }

    #[test]
    fn chapters_of_one_document_are_sections() {
        let book = "# Economics\n## Scarcity and Choice\n### Budget lines\n### Opportunity cost\n### Sunk costs\n\
            ## Growth and Income\n### Measuring income\n### Sources of growth";
        check(
            &[("book.md", book)],
            None,
            Some(&[("Scarcity and Choice", 3), ("Growth and Income", 2)]),
        );
    }

    #[test]
    fn wished_number_of_sections_draws_neighbours_together() {
        check(
            &[("a.md", SUPPLY), ("b.md", LABOR)],
            Some(1),
            Some(&[("Demand and Supply; Labor Markets", 5)]),
        );
    }

    #[test]
    fn outline_that_says_little_is_no_plan() {
        check(&[("note.txt", "")], None, None);
        check(&[("a.md", "# One\n## Two\n## Three")], None, None);
    }

    #[test]
    fn titles_are_distinct_and_long_enough() {
        let material = Material {
            documents: vec![
                document(
                    "a.md",
                    "# Demand\n## Shifts\n## Overview of curves\n## Summary of it",
                ),
                document("b.md", "# Supply\n## Shifts\n## Other curves\n## Costs"),
            ],
            unreadable: Vec::new(),
        };
        let plan = plan(&material, Language::English, None).unwrap();
        assert_eq!(plan[0].title, "Demand: Shifts");
        let titles: HashSet<String> = plan
            .iter()
            .flat_map(|section| section.lessons.iter().map(|lesson| folded(&lesson.title)))
            .collect();
        assert_eq!(titles.len(), 6);
    }

    #[test]
    fn lessons_beyond_the_wish_become_parts_of_their_neighbours() {
        let lesson = |title: &str| OutlineLesson {
            title: title.to_owned(),
            parts: Vec::new(),
        };
        let mut section = OutlineSection {
            title: "A section".to_owned(),
            lessons: vec![lesson("One"), lesson("Two"), lesson("Three")],
        };
        fit_lessons(&mut section, 2);
        assert_eq!(section.lessons[0].parts, ["Two"]);
        assert_eq!(section.lessons[1].title, "Three");
    }
}
