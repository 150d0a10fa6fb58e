//! How much of a table of contents a course covers: soft heading recall.
//!
//! Headings are compared by meaning, not by letters. Sets of texts have a soft size, in which texts that are alike count
//! for less than one each (Fränti and Mariescu-Istodor, 2023); recall is the size of what both sets share, by the size of
//! the headings (Shao et al., 2024, who measured the outlines of articles so). Beside it stands the plain share of
//! headings that some text of the course comes near.

use domain::quality::SECTION_THRESHOLD;
use domain::structure::CourseStructure;
use llm::calibration::Calibration;
use llm::error::ProviderError;
use llm::provider::{Embedder, EmbeddingKind};

/// How much of some headings a course covers, both 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadingRecall {
    /// Soft heading recall on the reference scale of likeness.
    pub soft: f64,
    /// The share of headings with a title or topic of the course that is as near as a section must be to its brief
    /// ([`SECTION_THRESHOLD`]).
    pub near: f64,
}

/// Compares headings with the titles of sections and lessons and the key topics of a course.
///
/// # Errors
/// [`ProviderError`] when the embedding model fails.
pub async fn heading_recall(
    embedder: &dyn Embedder,
    headings: &[String],
    course: &CourseStructure,
) -> Result<HeadingRecall, ProviderError> {
    let calibration = Calibration::of_model(embedder.model()).unwrap_or(Calibration::REFERENCE);
    let headings = embedder.embed(headings, EmbeddingKind::Query).await?;
    let course = embedder.embed(&texts(course), EmbeddingKind::Query).await?;
    let likeness = |a: &[f32], b: &[f32]| {
        let cosine: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
        f64::from(calibration.similarity(cosine))
    };
    Ok(recall(&headings, &course, likeness))
}

/// What of a course is compared.
fn texts(course: &CourseStructure) -> Vec<String> {
    let sections = course
        .sections
        .iter()
        .map(|section| section.section_title.clone());
    let lessons = course.lessons().flat_map(|(_, lesson)| {
        std::iter::once(lesson.lesson_title.clone()).chain(lesson.key_topics.iter().cloned())
    });
    sections.chain(lessons).collect()
}

fn recall<T>(headings: &[T], course: &[T], likeness: impl Fn(&[f32], &[f32]) -> f64) -> HeadingRecall
where
    T: AsRef<[f32]>,
{
    if headings.is_empty() {
        return HeadingRecall { soft: 1.0, near: 1.0 };
    }
    let both: Vec<&[f32]> = headings
        .iter()
        .chain(course)
        .map(std::convert::AsRef::as_ref)
        .collect();
    let (own, other) = both.split_at(headings.len());
    let shared = soft_size(own, &likeness) + soft_size(other, &likeness) - soft_size(&both, &likeness);
    let nearest = |heading: &[f32]| {
        other
            .iter()
            .map(|text| likeness(heading, text))
            .fold(0.0, f64::max)
    };
    let near = own
        .iter()
        .filter(|heading| nearest(heading) >= SECTION_THRESHOLD)
        .count();
    HeadingRecall {
        soft: (shared / soft_size(own, &likeness)).clamp(0.0, 1.0),
        near: near as f64 / own.len() as f64,
    }
}

/// The sum over all texts of one by its likeness to all of them, itself included.
fn soft_size(texts: &[&[f32]], likeness: &impl Fn(&[f32], &[f32]) -> f64) -> f64 {
    let to_all = |text: &[f32]| texts.iter().map(|other| likeness(text, other)).sum::<f64>();
    texts.iter().map(|text| to_all(text).recip()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headings: &[Vec<f32>], course: &[Vec<f32>], soft: f64, near: f64) {
        let likeness = |a: &[f32], b: &[f32]| f64::from(a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>());
        let found = recall(headings, course, likeness);
        assert!(
            (found.soft - soft).abs() < 1e-6 && (found.near - near).abs() < 1e-6,
            "{found:?}"
        );
    }

    #[test]
    fn recall_is_the_share_of_headings_that_the_course_has() {
        let (one, two, three) = (vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]);
        check(
            &[one.clone(), two.clone()],
            &[two.clone(), one.clone(), three.clone()],
            1.0,
            1.0,
        );
        check(&[one.clone(), two.clone()], std::slice::from_ref(&one), 0.5, 0.5);
        check(&[one], &[three], 0.0, 0.0);
        check(&[], &[two], 1.0, 1.0);
    }
}
