//! Titles and key topics: none generic, none twice (data model 2.3).

use std::collections::HashMap;

use super::Rule;
use super::text::Checker;
use crate::structure::{Lesson, Section};
use crate::wording::normalize;

/// Single words that say nothing of what is taught, normalised.
const GENERIC_TOPICS: &[&str] = &[
    "introduction",
    "overview",
    "basics",
    "fundamentals",
    "foundations",
    "summary",
    "conclusion",
    "conclusions",
    "recap",
    "review",
    "theory",
    "practice",
    "examples",
    "example",
    "exercises",
    "exercise",
    "definition",
    "definitions",
    "concepts",
    "terminology",
    "background",
    "history",
    "applications",
    "application",
    "methods",
    "techniques",
    "tools",
    "resources",
    "principles",
    "topics",
    "topic",
    "details",
    "notes",
    "miscellaneous",
    "other",
    "basic",
    "advanced",
    "general",
    "preface",
    "essentials",
    "primer",
    "quiz",
    "test",
    "assignment",
    "project",
    "введение",
    "обзор",
    "основы",
    "заключение",
    "итоги",
    "выводы",
    "вывод",
    "вступление",
    "теория",
    "практика",
    "примеры",
    "пример",
    "упражнения",
    "упражнение",
    "определение",
    "определения",
    "понятия",
    "понятие",
    "терминология",
    "термины",
    "история",
    "применение",
    "методы",
    "техники",
    "инструменты",
    "ресурсы",
    "принципы",
    "тема",
    "темы",
    "повторение",
    "резюме",
    "базовое",
    "общее",
    "разное",
    "прочее",
    "предисловие",
    "задания",
    "тест",
    "проект",
    // The same in the other languages that have words for it most often seen in tables of contents.
    "introducción",
    "resumen",
    "conclusión",
    "conceptos",
    "fundamentos",
    "einführung",
    "einleitung",
    "überblick",
    "grundlagen",
    "zusammenfassung",
    "aperçu",
    "bases",
    "résumé",
    "fondamentaux",
    "introdução",
    "visão",
    "resumo",
    "conclusão",
    "introduzione",
    "panoramica",
    "basi",
    "conclusione",
    "wprowadzenie",
    "podstawy",
    "podsumowanie",
    "giriş",
    "özet",
    "pengantar",
    "ringkasan",
    "介绍",
    "概述",
    "简介",
    "基础",
    "总结",
    "紹介",
    "概要",
    "基礎",
    "소개",
    "개요",
    "기초",
    "مقدمة",
    "परिचय",
];

/// The lesson titles and key topics of some sections, as lists and for equality up to case and punctuation.
#[derive(Clone, Debug, Default)]
pub struct TitleIndex {
    titles: Names,
    topics: Names,
}

#[derive(Clone, Debug, Default)]
struct Names {
    in_order: Vec<String>,
    places: HashMap<String, String>,
}

impl Names {
    /// Adds a name and gives the place where it stood before, if it did.
    fn add(&mut self, name: &str, place: &str) -> Option<String> {
        let normalized = normalize(name);
        if normalized.is_empty() {
            return None;
        }
        let known = self.places.get(&normalized).cloned();
        if known.is_none() {
            self.in_order.push(name.trim().to_owned());
            self.places.insert(normalized, place.to_owned());
        }
        known
    }

    fn place_of(&self, name: &str) -> Option<&str> {
        self.places.get(&normalize(name)).map(String::as_str)
    }
}

impl TitleIndex {
    /// An index of all lessons of these sections.
    pub fn of_sections<'s>(sections: impl IntoIterator<Item = &'s Section>) -> Self {
        let mut index = Self::default();
        for section in sections {
            index.add_section(section);
        }
        index
    }

    /// Adds all lessons of a section.
    pub fn add_section(&mut self, section: &Section) {
        for lesson in &section.lessons {
            self.add_lesson(lesson, &format!("section '{}'", section.section_title.trim()));
        }
    }

    /// Adds a lesson; `place` says where it stands, for messages.
    pub fn add_lesson(&mut self, lesson: &Lesson, place: &str) {
        self.titles.add(&lesson.lesson_title, place);
        for topic in &lesson.key_topics {
            self.topics.add(topic, place);
        }
    }

    /// Distinct lesson titles in the order in which they were added.
    pub fn titles(&self) -> &[String] {
        &self.titles.in_order
    }

    /// Distinct key topics in the order in which they were added.
    pub fn topics(&self) -> &[String] {
        &self.topics.in_order
    }

    /// Where a lesson has this title, case and punctuation apart.
    pub fn place_of_title(&self, title: &str) -> Option<&str> {
        self.titles.place_of(title)
    }

    /// Where a lesson has this key topic, case and punctuation apart.
    pub fn place_of_topic(&self, topic: &str) -> Option<&str> {
        self.topics.place_of(topic)
    }
}

/// A single generic word as a key topic.
pub(super) fn check_generic(checker: &mut Checker<'_>, topics: &[String]) {
    for (topic, index) in topics.iter().zip(0..) {
        let normalized = normalize(topic);
        if GENERIC_TOPICS.contains(&normalized.as_str()) {
            let message = format!(
                "'{}' says nothing of what is taught: name what it is about",
                topic.trim()
            );
            checker.error(Rule::TopicGeneric, &format!("key_topics[{index}]"), message);
        }
    }
}

/// Entries of a list that are equal.
pub(super) fn check_distinct(checker: &mut Checker<'_>, field: &str, entries: &[String]) {
    let mut names = Names::default();
    for (entry, index) in entries.iter().zip(0..) {
        let part = format!("{field}[{index}]");
        if let Some(first) = names.add(entry, &part) {
            let message = format!("'{}' repeats {first}: leave one out", entry.trim());
            checker.error(Rule::Distinct, &part, message);
        }
    }
}

/// Repeats over all sections of a course.
pub(super) fn check_repeats(checker: &mut Checker<'_>, sections: &[Section]) {
    let mut titles = Names::default();
    let mut topics = Names::default();
    for (section, index) in sections.iter().zip(0..) {
        check_lessons(
            checker,
            &format!("sections[{index}]."),
            section,
            &mut titles,
            &mut topics,
        );
    }
}

/// Repeats within a section and of what stands elsewhere.
pub(super) fn check_section_repeats(checker: &mut Checker<'_>, section: &Section, elsewhere: &TitleIndex) {
    let mut known = elsewhere.clone();
    check_lessons(checker, "", section, &mut known.titles, &mut known.topics);
}

/// Repeats within a lesson and of what stands elsewhere.
pub(super) fn check_lesson_repeats(checker: &mut Checker<'_>, lesson: &Lesson, elsewhere: &TitleIndex) {
    let mut known = elsewhere.clone();
    check_one(checker, "", lesson, &mut known.titles, &mut known.topics);
}

fn check_lessons(
    checker: &mut Checker<'_>,
    prefix: &str,
    section: &Section,
    titles: &mut Names,
    topics: &mut Names,
) {
    for (lesson, index) in section.lessons.iter().zip(0..) {
        check_one(
            checker,
            &format!("{prefix}lessons[{index}]."),
            lesson,
            titles,
            topics,
        );
    }
}

fn check_one(
    checker: &mut Checker<'_>,
    prefix: &str,
    lesson: &Lesson,
    titles: &mut Names,
    topics: &mut Names,
) {
    let part = format!("{prefix}lesson_title");
    if let Some(place) = titles.add(&lesson.lesson_title, &part) {
        let message = format!(
            "'{}' is already the title of a lesson ({place}): every lesson needs its own",
            lesson.lesson_title.trim()
        );
        checker.error(Rule::TitleRepeated, &part, message);
    }
    for (topic, index) in lesson.key_topics.iter().zip(0..) {
        let part = format!("{prefix}key_topics[{index}]");
        if let Some(place) = topics.add(topic, &part) {
            let message = format!(
                "'{}' is already a key topic ({place}): say what is new here, or leave it out",
                topic.trim()
            );
            checker.error(Rule::TopicRepeated, &part, message);
        }
    }
}
