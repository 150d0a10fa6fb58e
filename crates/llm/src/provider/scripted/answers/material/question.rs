//! The documents in a question, found by the tags in which prompts show them.

use std::collections::HashSet;

use crate::request::{Request, Role};

/// Before the sections of a plan: `1. Prices; 2. Wages;`.
const PLANNED: &str = "Sections:";
/// Before the number and title of the section that is asked for.
const SECTION: &str = "Number ";
/// Before titles and topics that may not come again.
const TAKEN: &str = "Titles and topics that other sections already have:";

/// What a question shows of documents, and what it says of the course's plan.
#[derive(Debug, Default)]
pub(super) struct Material {
    /// Outlines: depth from 0 and heading, a list a document.
    outlines: Vec<Vec<(usize, String)>>,
    /// Excerpts with their labels.
    pub(super) sources: Vec<Source>,
    /// The text of a document, or of several summaries, to be summarised.
    pub(super) text: Option<String>,
    /// Sentences to be judged.
    pub(super) sentences: Vec<String>,
    /// The areas of the plan.
    pub(super) planned: Vec<String>,
    /// The title of the section that is asked for.
    pub(super) section: Option<String>,
    /// Titles and topics that may not come again.
    pub(super) taken: HashSet<String>,
}

/// An excerpt of a document.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) label: String,
    /// The headings of the parts that it belongs to or holds.
    pub(super) headings: Vec<String>,
    pub(super) text: String,
}

impl Material {
    pub(super) fn of(request: &Request) -> Self {
        let users = request
            .messages
            .iter()
            .filter(|message| message.role == Role::User);
        let texts: Vec<&str> = users.map(|message| message.content.as_str()).collect();
        let question = texts.join("\n");
        let documents = elements(&question, "document");
        let outlines: Vec<_> = documents
            .iter()
            .filter(|element| element.inside.trim_start().starts_with("Headings:"))
            .map(|element| outline(element.inside))
            .collect();
        let summaries: Vec<&str> = elements(&question, "summary")
            .iter()
            .map(|element| element.inside.trim())
            .collect();
        let text = if !summaries.is_empty() {
            Some(summaries.join("\n\n"))
        } else if outlines.is_empty() {
            documents.first().map(|element| element.inside.trim().to_owned())
        } else {
            None
        };
        let sources = elements(&question, "source").into_iter().map(|element| Source {
            label: element.attribute("label").unwrap_or_default().to_owned(),
            headings: headings_of(element.attribute("place").unwrap_or_default(), element.inside),
            text: element.inside.trim().to_owned(),
        });
        let line = |start: &str| {
            let mut lines = question.lines().map(str::trim);
            lines
                .find_map(|line| line.strip_prefix(start))
                .unwrap_or_default()
        };
        let sentences = elements(&question, "sentence").into_iter();
        Self {
            outlines,
            sources: sources.collect(),
            text,
            sentences: sentences.map(|element| element.inside.to_owned()).collect(),
            planned: line(PLANNED)
                .split(';')
                .filter_map(|area| area.trim().split_once(". "))
                .map(|(_, area)| area.to_owned())
                .collect(),
            section: line(SECTION)
                .split_once(": ")
                .map(|(_, title)| title.trim().to_owned()),
            taken: line(TAKEN)
                .split(';')
                .map(|text| text.trim().to_owned())
                .collect(),
        }
    }

    /// Whether the question shows no documents.
    pub(super) fn is_empty(&self) -> bool {
        self.outlines.is_empty() && self.sources.is_empty() && self.text.is_none()
    }

    /// The parts of a course from these documents, with the headings below each: the documents where there are several,
    /// else the parts of the one.
    pub(super) fn parts(&self) -> Vec<(String, Vec<String>)> {
        let deepest = usize::from(self.outlines.len() == 1 && self.has_one_top());
        let mut parts: Vec<(String, Vec<String>)> = Vec::new();
        for (depth, heading) in self.outlines.iter().flatten() {
            if *depth == deepest && heading.chars().count() >= 3 {
                parts.push((heading.clone(), Vec::new()));
            } else if *depth == deepest + 1
                && let Some((_, below)) = parts.last_mut()
            {
                below.push(heading.clone());
            }
        }
        parts
    }

    fn has_one_top(&self) -> bool {
        let headings = self.outlines.iter().flatten();
        headings.filter(|(depth, _)| *depth == 0).count() == 1
    }
}

/// The part of a document that an excerpt lies in, under the document's own heading; else the parts that it holds, by the
/// headings in its text; else the document's own heading.
fn headings_of(place: &str, text: &str) -> Vec<String> {
    let above: Vec<&str> = place.split(" › ").filter(|heading| !heading.is_empty()).collect();
    if let Some(part) = above.get(1) {
        return vec![(*part).to_owned()];
    }
    let inside = text.lines().filter_map(|line| line.trim().strip_prefix("## "));
    let inside: Vec<String> = inside.map(|heading| heading.trim().to_owned()).collect();
    if inside.is_empty() {
        above
            .first()
            .map(|heading| (*heading).to_owned())
            .into_iter()
            .collect()
    } else {
        inside
    }
}

/// `- Heading`, indented by two spaces a level.
fn outline(inside: &str) -> Vec<(usize, String)> {
    let lines = inside
        .lines()
        .skip_while(|line| line.trim() != "Headings:")
        .skip(1);
    lines
        .map_while(|line| {
            let heading = line.trim_start().strip_prefix("- ")?;
            let depth = (line.len() - line.trim_start().len()) / 2;
            Some((depth, heading.trim().to_owned()))
        })
        .collect()
}

/// `<name attributes>inside</name>`.
struct Element<'a> {
    attributes: &'a str,
    inside: &'a str,
}

impl<'a> Element<'a> {
    fn attribute(&self, name: &str) -> Option<&'a str> {
        let (_, after) = self.attributes.split_once(&format!("{name}=\""))?;
        after.split_once('"').map(|(value, _)| value)
    }
}

/// The elements of this name, none of which holds another of the same name.
fn elements<'a>(text: &'a str, name: &str) -> Vec<Element<'a>> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(&open) {
        let after = &rest[start + open.len()..];
        if !after.starts_with([' ', '>']) {
            rest = after;
            continue;
        }
        let Some((attributes, inside)) = after.split_once('>') else {
            break;
        };
        let Some((inside, behind)) = inside.split_once(&close) else {
            break;
        };
        found.push(Element { attributes, inside });
        rest = behind;
    }
    found
}
