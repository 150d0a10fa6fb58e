//! QTI 2.1 and QTI 3.0: the quizzes as items, and a test over them with the course's sections.
//!
//! QTI 3 renamed everything in one manner: what 2.1 calls `choiceInteraction` with `maxChoices` is
//! `qti-choice-interaction` with `max-choices`. So there is one writer, in the words of 2.1, and a [`Version`] that spells.

use super::archive::Archive;
use super::markup;
use super::written::{self, Question, WrittenLesson, WrittenSection};
use super::xml::{Element, XSI};
use super::{CourseView, ExportError, identity};

/// The folder of the items.
const ITEMS: &str = "items";
const TEST_PATH: &str = "test.xml";

/// A version of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Qti21,
    Qti30,
}

impl Version {
    /// An element of the standard by its name in 2.1.
    fn element(self, name: &'static str) -> Element {
        match self {
            Self::Qti21 => Element::new(name),
            Self::Qti30 => Element::new(format!("qti-{}", hyphenated(name))),
        }
    }

    /// An attribute of the standard by its name in 2.1.
    fn attribute(self, name: &'static str) -> String {
        match self {
            Self::Qti21 => name.to_owned(),
            Self::Qti30 => hyphenated(name),
        }
    }

    /// The root of an item or a test.
    fn root(self, name: &'static str) -> Element {
        let (namespace, schema) = match self {
            Self::Qti21 => (
                "http://www.imsglobal.org/xsd/imsqti_v2p1",
                "http://www.imsglobal.org/xsd/qti/qtiv2p1/imsqti_v2p1.xsd",
            ),
            Self::Qti30 => (
                "http://www.imsglobal.org/xsd/imsqtiasi_v3p0",
                "https://purl.imsglobal.org/spec/qti/v3p0/schema/xsd/imsqti_asiv3p0_v1p0.xsd",
            ),
        };
        self.element(name)
            .with("xmlns", namespace)
            .with("xmlns:xsi", XSI)
            .with("xsi:schemaLocation", format!("{namespace} {schema}"))
    }
}

/// `camelCase` as `camel-case`.
fn hyphenated(name: &str) -> String {
    let mut hyphenated = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            hyphenated.push('-');
        }
        hyphenated.push(letter.to_ascii_lowercase());
    }
    hyphenated
}

/// Writes a QTI 2.1 package.
///
/// # Errors
/// [`ExportError::NothingWritten`], [`ExportError::NoQuestions`].
pub(super) fn render_21(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    render(course, Version::Qti21)
}

/// Writes a QTI 3.0 package.
///
/// # Errors
/// [`ExportError::NothingWritten`], [`ExportError::NoQuestions`].
pub(super) fn render_30(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    render(course, Version::Qti30)
}

fn render(course: &CourseView<'_>, version: Version) -> Result<Vec<u8>, ExportError> {
    let sections = written::sections_with_questions(course)?;
    let mut archive = Archive::default();
    for lesson in sections.iter().flat_map(|section| &section.lessons) {
        for question in &lesson.questions {
            archive.add(
                item_path(lesson, question),
                item(course, lesson, question, version).document()?,
            );
        }
    }
    archive.add(TEST_PATH, test(course, &sections, version).document()?);
    archive.add(
        "imsmanifest.xml",
        manifest(course, &sections, version).document()?,
    );
    archive.zip()
}

fn item_path(lesson: &WrittenLesson<'_>, question: &Question<'_>) -> String {
    format!("{ITEMS}/{}.xml", question.name(lesson))
}

fn manifest(course: &CourseView<'_>, sections: &[WrittenSection<'_>], version: Version) -> Element {
    let (namespace, schema_file, schema, schema_version) = match version {
        Version::Qti21 => (
            "http://www.imsglobal.org/xsd/imscp_v1p1",
            "http://www.imsglobal.org/xsd/qti/qtiv2p1/qtiv2p1_imscpv1p2_v1p0.xsd",
            "QTIv2.1 Package",
            "1.0.0",
        ),
        Version::Qti30 => (
            "http://www.imsglobal.org/xsd/qti/qtiv3p0/imscp_v1p1",
            "https://purl.imsglobal.org/spec/qti/v3p0/schema/xsd/imsqtiv3p0_imscpv1p2_v1p0.xsd",
            "QTI Package",
            "3.0.0",
        ),
    };
    let (test_type, item_type) = match version {
        Version::Qti21 => ("imsqti_test_xmlv2p1", "imsqti_item_xmlv2p1"),
        Version::Qti30 => ("imsqti_test_xmlv3p0", "imsqti_item_xmlv3p0"),
    };
    let items: Vec<(String, String)> = sections
        .iter()
        .flat_map(|section| &section.lessons)
        .flat_map(|lesson| lesson.questions.iter().map(move |question| (lesson, question)))
        .map(|(lesson, question)| {
            (
                identity::name(course, &question.name(lesson)),
                item_path(lesson, question),
            )
        })
        .collect();
    let test = resource(&identity::name(course, "test"), test_type, TEST_PATH).children(
        items
            .iter()
            .map(|(name, _)| Element::new("dependency").with("identifierref", name)),
    );
    Element::new("manifest")
        .with("identifier", identity::name(course, "questions"))
        .with("xmlns", namespace)
        .with("xmlns:xsi", XSI)
        .with("xsi:schemaLocation", format!("{namespace} {schema_file}"))
        .child(
            Element::new("metadata")
                .child(Element::new("schema").text(schema))
                .child(Element::new("schemaversion").text(schema_version)),
        )
        .child(Element::new("organizations"))
        .child(
            Element::new("resources")
                .child(test)
                .children(items.iter().map(|(name, path)| resource(name, item_type, path))),
        )
}

fn resource(identifier: &str, kind: &str, path: &str) -> Element {
    Element::new("resource")
        .with("identifier", identifier)
        .with("type", kind)
        .with("href", path)
        .child(Element::new("file").with("href", path))
}

/// The test: a section a course section, in it a section a lesson, in it the lesson's questions.
fn test(course: &CourseView<'_>, sections: &[WrittenSection<'_>], version: Version) -> Element {
    let assessment_section = |part: &str, title: &str| {
        version
            .element("assessmentSection")
            .with("identifier", identity::name(course, part))
            .with("title", title)
            .with("visible", "true")
    };
    let sections = sections.iter().map(|section| {
        let lessons = section.lessons.iter().map(|lesson| {
            let questions = lesson.questions.iter().map(|question| {
                version
                    .element("assessmentItemRef")
                    .with("identifier", identity::name(course, &question.name(lesson)))
                    .with("href", item_path(lesson, question))
            });
            assessment_section(&format!("{}-quiz", lesson.name()), &lesson.lesson.lesson_title)
                .children(questions)
        });
        assessment_section(
            &format!("section-{}", section.number),
            &section.section.section_title,
        )
        .children(lessons)
    });
    // Learners may try as often as they like, and read the explanations.
    let control = version
        .element("itemSessionControl")
        .with(version.attribute("maxAttempts"), "0")
        .with(version.attribute("showFeedback"), "true");
    let part = version
        .element("testPart")
        .with("identifier", "quizzes")
        .with(version.attribute("navigationMode"), "nonlinear")
        .with(version.attribute("submissionMode"), "individual")
        .child(control)
        .children(sections);
    let total = version.element("sum").child(
        version
            .element("testVariables")
            .with(version.attribute("variableIdentifier"), "SCORE"),
    );
    version
        .root("assessmentTest")
        .with("identifier", identity::name(course, "test"))
        .with("title", &course.structure.course_title)
        .child(score(version))
        .child(part)
        .child(
            version
                .element("outcomeProcessing")
                .child(set(version, "SCORE", total)),
        )
}

/// The declaration of `SCORE`, 0 until something is right.
fn score(version: Version) -> Element {
    version
        .element("outcomeDeclaration")
        .with("identifier", "SCORE")
        .with("cardinality", "single")
        .with(version.attribute("baseType"), "float")
        .child(
            version
                .element("defaultValue")
                .child(version.element("value").text("0")),
        )
}

fn item(
    course: &CourseView<'_>,
    lesson: &WrittenLesson<'_>,
    question: &Question<'_>,
    version: Version,
) -> Element {
    let title = format!("{} {}", lesson.lesson.lesson_title, question.number);
    let cardinality = if question.is_single { "single" } else { "multiple" };
    let right = question
        .options
        .iter()
        .filter(|option| option.is_right)
        .map(|option| version.element("value").text(option.letter.to_string()));
    let response = version
        .element("responseDeclaration")
        .with("identifier", "RESPONSE")
        .with("cardinality", cardinality)
        .with(version.attribute("baseType"), "identifier")
        .child(version.element("correctResponse").children(right));
    let feedback = version
        .element("outcomeDeclaration")
        .with("identifier", "FEEDBACK")
        .with("cardinality", "single")
        .with(version.attribute("baseType"), "identifier");
    version
        .root("assessmentItem")
        .with("identifier", identity::name(course, &question.name(lesson)))
        .with("title", title)
        .with("xml:lang", course.inputs.language.code())
        .with("adaptive", "false")
        .with(version.attribute("timeDependent"), "false")
        .child(response)
        .child(score(version))
        .child(feedback)
        .child(version.element("itemBody").child(interaction(question, version)))
        .child(processing(version))
        .child(explanation(question, version))
}

fn interaction(question: &Question<'_>, version: Version) -> Element {
    let choices = question.options.iter().map(|option| {
        version
            .element("simpleChoice")
            .with("identifier", option.letter.to_string())
            .markup(markup::line(option.text))
    });
    version
        .element("choiceInteraction")
        .with(version.attribute("responseIdentifier"), "RESPONSE")
        .with("shuffle", "false")
        // 0: as many as the learner likes.
        .with(
            version.attribute("maxChoices"),
            if question.is_single { "1" } else { "0" },
        )
        .child(
            version
                .element("prompt")
                .markup(markup::line(&question.asked.question)),
        )
        .children(choices)
}

/// One point for exactly the right options; the explanation is shown in any case.
fn processing(version: Version) -> Element {
    let of_response = |name| version.element(name).with("identifier", "RESPONSE");
    let base_value = |base_type: &str, value: &str| {
        version
            .element("baseValue")
            .with(version.attribute("baseType"), base_type)
            .text(value)
    };
    let is_right = version
        .element("match")
        .child(of_response("variable"))
        .child(of_response("correct"));
    let judge = version
        .element("responseCondition")
        .child(version.element("responseIf").child(is_right).child(set(
            version,
            "SCORE",
            base_value("float", "1"),
        )))
        .child(
            version
                .element("responseElse")
                .child(set(version, "SCORE", base_value("float", "0"))),
        );
    version.element("responseProcessing").child(judge).child(set(
        version,
        "FEEDBACK",
        base_value("identifier", "EXPLANATION"),
    ))
}

fn set(version: Version, outcome: &str, value: Element) -> Element {
    version
        .element("setOutcomeValue")
        .with("identifier", outcome)
        .child(value)
}

fn explanation(question: &Question<'_>, version: Version) -> Element {
    let text = markup::question_body(&question.asked.explanation);
    let feedback = version
        .element("modalFeedback")
        .with(version.attribute("outcomeIdentifier"), "FEEDBACK")
        .with("identifier", "EXPLANATION")
        .with(version.attribute("showHide"), "show");
    match version {
        Version::Qti21 => feedback.markup(text),
        Version::Qti30 => feedback.child(version.element("contentBody").markup(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_their_version_has_them() {
        assert_eq!(hyphenated("choiceInteraction"), "choice-interaction");
        assert_eq!(hyphenated("match"), "match");
        assert_eq!(Version::Qti21.attribute("maxChoices"), "maxChoices");
        assert_eq!(Version::Qti30.attribute("maxChoices"), "max-choices");
    }
}
