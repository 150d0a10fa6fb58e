//! A quiz as a QTI 1.2 assessment in the profile of Common Cartridge.

use crate::export::markup::{self, Markup};
use crate::export::prose::{NO_HEADINGS, Place};
use crate::export::written::{Question, WrittenLesson};
use crate::export::xml::{Element, XSI};
use crate::export::{CourseView, identity};

/// The response that every item asks for.
const RESPONSE: &str = "response";
/// The feedback with the explanation.
const FEEDBACK: &str = "explanation";
/// The score of a right answer: the profile counts in per cent.
const SCORE_MAX: &str = "100";

/// The assessment of a lesson.
pub(super) fn of_lesson(course: &CourseView<'_>, lesson: &WrittenLesson<'_>) -> Element {
    let section =
        Element::new("section")
            .with("ident", "root_section")
            .children(lesson.questions.iter().map(|question| {
                let name = identity::name(course, &question.name(lesson));
                item(&name, question)
            }));
    let assessment = Element::new("assessment")
        .with(
            "ident",
            identity::name(course, &format!("{}-assessment", lesson.name())),
        )
        .with("title", super::quiz_title(course, lesson))
        .child(metadata(&[
            ("cc_profile", "cc.exam.v0p1"),
            ("qmd_assessmenttype", "Examination"),
            ("qmd_scoretype", "Percentage"),
            ("qmd_feedbackpermitted", "Yes"),
            ("qmd_solutionspermitted", "Yes"),
            ("cc_maxattempts", "unlimited"),
        ]))
        .child(section);
    Element::new("questestinterop")
        .with("xmlns", "http://www.imsglobal.org/xsd/ims_qtiasiv1p2")
        .with("xmlns:xsi", XSI)
        .with(
            "xsi:schemaLocation",
            "http://www.imsglobal.org/xsd/ims_qtiasiv1p2 \
             http://www.imsglobal.org/profile/cc/ccv1p3/ccv1p3_qtiasiv1p2p1_v1p0.xsd",
        )
        .child(assessment)
}

fn metadata(fields: &[(&str, &str)]) -> Element {
    Element::new("qtimetadata").children(fields.iter().map(|(label, entry)| {
        Element::new("qtimetadatafield")
            .child(Element::new("fieldlabel").text(label))
            .child(Element::new("fieldentry").text(entry))
    }))
}

fn item(name: &str, question: &Question<'_>) -> Element {
    let profile = if question.is_single {
        "cc.multiple_choice.v0p1"
    } else {
        "cc.multiple_response.v0p1"
    };
    let explanation = markup::body(
        &question.asked.explanation,
        Place {
            top_heading: NO_HEADINGS,
            title: "",
        },
    );
    Element::new("item")
        .with("ident", name)
        .with("title", question.number.to_string())
        .child(Element::new("itemmetadata").child(metadata(&[("cc_profile", profile)])))
        .child(presentation(question))
        .child(processing(question))
        .child(
            Element::new("itemfeedback")
                .with("ident", FEEDBACK)
                .child(Element::new("flow_mat").child(material(&explanation))),
        )
}

fn presentation(question: &Question<'_>) -> Element {
    let options = question.options.iter().map(|option| {
        Element::new("response_label")
            .with("ident", option.letter.to_string())
            .child(material(&markup::line(option.text)))
    });
    let response = Element::new("response_lid")
        .with("ident", RESPONSE)
        .with(
            "rcardinality",
            if question.is_single { "Single" } else { "Multiple" },
        )
        .child(Element::new("render_choice").children(options));
    let paragraph = Markup::vouched(format!("<p>{}</p>", markup::line(&question.asked.question)));
    Element::new("presentation")
        .child(material(&paragraph))
        .child(response)
}

/// HTML as text: the profile has it escaped.
fn material(html: &Markup) -> Element {
    Element::new("material").child(
        Element::new("mattext")
            .with("texttype", "text/html")
            .text(html.as_str()),
    )
}

/// Shows the explanation after every answer, and scores the right one.
fn processing(question: &Question<'_>) -> Element {
    let outcomes = Element::new("outcomes").child(
        Element::new("decvar")
            .with("maxvalue", SCORE_MAX)
            .with("minvalue", "0")
            .with("varname", "SCORE")
            .with("vartype", "Decimal"),
    );
    let explain = Element::new("respcondition")
        .with("continue", "Yes")
        .child(Element::new("conditionvar").child(Element::new("other")))
        .child(
            Element::new("displayfeedback")
                .with("feedbacktype", "Response")
                .with("linkrefid", FEEDBACK),
        );
    let score = Element::new("respcondition")
        .with("continue", "No")
        .child(Element::new("conditionvar").children(condition(question)))
        .child(
            Element::new("setvar")
                .with("action", "Set")
                .with("varname", "SCORE")
                .text(SCORE_MAX),
        );
    Element::new("resprocessing")
        .child(outcomes)
        .child(explain)
        .child(score)
}

/// Exactly the right options are chosen.
fn condition(question: &Question<'_>) -> Option<Element> {
    let chosen = |letter: char| {
        Element::new("varequal")
            .with("respident", RESPONSE)
            .text(letter.to_string())
    };
    let mut options = question.options.iter();
    if question.is_single {
        return options
            .find(|option| option.is_right)
            .map(|option| chosen(option.letter));
    }
    let all = options.map(|option| {
        if option.is_right {
            chosen(option.letter)
        } else {
            Element::new("not").child(chosen(option.letter))
        }
    });
    Some(Element::new("and").children(all))
}
