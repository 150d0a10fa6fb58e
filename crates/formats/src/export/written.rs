//! What of a course can be learnt from: packages for learners hold the written lessons and nothing else.

use domain::lesson::{LessonContent, QuestionType, QuizQuestion};
use domain::structure::{Lesson, Section};

use super::{CourseView, ExportError};

/// A section with the lessons of it that are written, at least one.
#[derive(Debug)]
pub(super) struct WrittenSection<'a> {
    /// Its place in the course, from 1.
    pub number: usize,
    pub section: &'a Section,
    pub lessons: Vec<WrittenLesson<'a>>,
}

/// A lesson that is written.
#[derive(Debug)]
pub(super) struct WrittenLesson<'a> {
    /// Its place in the course, from 1, counting those that are not written.
    pub number: usize,
    pub lesson: &'a Lesson,
    pub content: &'a LessonContent,
    pub questions: Vec<Question<'a>>,
}

/// A question that can be scored.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    /// Its place in the quiz, from 1.
    pub number: usize,
    pub asked: &'a QuizQuestion,
    /// The learner chooses exactly one option.
    pub is_single: bool,
    pub options: Vec<QuestionOption<'a>>,
}

/// An answer to choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuestionOption<'a> {
    /// `A`, `B`, `C` ..., after `Z` from `a` on: identifiers of QTI take letters only.
    pub letter: char,
    pub text: &'a str,
    pub is_right: bool,
}

impl WrittenLesson<'_> {
    /// Its name inside packages: `lesson-3`.
    pub(super) fn name(&self) -> String {
        format!("lesson-{}", self.number)
    }
}

impl Question<'_> {
    /// How many options are right; at least one.
    pub(super) fn right_count(&self) -> usize {
        self.options.iter().filter(|option| option.is_right).count()
    }

    /// Its name inside packages: `lesson-3-question-1`.
    pub(super) fn name(&self, lesson: &WrittenLesson<'_>) -> String {
        format!("lesson-{}-question-{}", lesson.number, self.number)
    }
}

/// The written lessons in their sections.
///
/// # Errors
/// [`ExportError::NothingWritten`].
pub(super) fn sections<'a>(course: &CourseView<'a>) -> Result<Vec<WrittenSection<'a>>, ExportError> {
    let sections = collect(course, |_| true);
    if sections.is_empty() {
        return Err(ExportError::NothingWritten);
    }
    Ok(sections)
}

/// The written lessons that have a quiz, in their sections.
///
/// # Errors
/// [`ExportError::NothingWritten`], and [`ExportError::NoQuestions`] where no lesson has a quiz.
pub(super) fn sections_with_questions<'a>(
    course: &CourseView<'a>,
) -> Result<Vec<WrittenSection<'a>>, ExportError> {
    sections(course)?;
    let sections = collect(course, |lesson| !lesson.questions.is_empty());
    if sections.is_empty() {
        return Err(ExportError::NoQuestions);
    }
    Ok(sections)
}

fn collect<'a>(
    course: &CourseView<'a>,
    is_wanted: fn(&WrittenLesson<'a>) -> bool,
) -> Vec<WrittenSection<'a>> {
    // Counted here: names stay distinct even if the numbers of an edited structure are not.
    let mut lesson_number = 0;
    let mut sections = Vec::new();
    for (section, number) in course.structure.sections.iter().zip(1..) {
        let mut lessons = Vec::new();
        for lesson in &section.lessons {
            lesson_number += 1;
            let Some(content) = course.lessons.get(&lesson.lesson_number) else {
                continue;
            };
            let lesson = WrittenLesson {
                number: lesson_number,
                lesson,
                content,
                questions: questions(content),
            };
            if is_wanted(&lesson) {
                lessons.push(lesson);
            }
        }
        if !lessons.is_empty() {
            sections.push(WrittenSection {
                number,
                section,
                lessons,
            });
        }
    }
    sections
}

/// The questions of a lesson. Those without any right answer are left out: no learner could pass them.
pub(super) fn questions(content: &LessonContent) -> Vec<Question<'_>> {
    content
        .quiz
        .iter()
        .zip(1..)
        .map(|(question, number)| {
            let options: Vec<_> = question
                .options
                .iter()
                .zip(('A'..='Z').chain('a'..='z'))
                .zip(0_u32..)
                .map(|((text, letter), index)| QuestionOption {
                    letter,
                    text,
                    is_right: question.correct_answers.contains(&index),
                })
                .collect();
            let right = options.iter().filter(|option| option.is_right).count();
            Question {
                number,
                asked: question,
                is_single: right == 1 && matches!(question.question_type, QuestionType::SingleChoice),
                options,
            }
        })
        .filter(|question| question.right_count() > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample::Sample;

    #[test]
    fn only_written_lessons_are_taken_and_keep_their_places() {
        let mut sample = Sample::english();
        let total = sample.lessons.len();
        sample.lessons.remove(&1);
        let view = sample.view();
        let numbers: Vec<_> = sections(&view)
            .unwrap()
            .iter()
            .flat_map(|section| section.lessons.iter().map(|lesson| lesson.number))
            .collect();
        assert_eq!(numbers.len(), total - 1);
        assert!(!numbers.contains(&1));
        sample.lessons.clear();
        assert!(matches!(
            sections(&sample.view()),
            Err(ExportError::NothingWritten)
        ));
    }

    #[test]
    fn questions_without_a_right_answer_are_left_out() {
        let mut sample = Sample::english();
        for content in sample.lessons.values_mut() {
            for question in &mut content.quiz {
                question.correct_answers = vec![99];
            }
        }
        assert!(matches!(
            sections_with_questions(&sample.view()),
            Err(ExportError::NoQuestions)
        ));
    }

    #[test]
    fn a_question_with_two_right_answers_lets_learners_choose_both() {
        let mut content = Sample::english().lessons.remove(&1).unwrap();
        content.quiz.truncate(1);
        content.quiz[0].question_type = QuestionType::SingleChoice;
        content.quiz[0].correct_answers = vec![0, 1];
        assert!(!questions(&content)[0].is_single);
    }
}
