//! Headings as trees, without those that every textbook has and that teach nothing.

use domain::language::Language;
use domain::limits;
use domain::validation::find_placeholder;

use crate::material::Heading;
use crate::wording::folded;

/// A heading and what stands under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) title: String,
    pub(super) children: Vec<Node>,
}

/// Headings that stand in any book: their parts are no lessons. Compared after folding.
const APPARATUS: [&str; 47] = [
    "key concepts and summary",
    "concepts and summary",
    "key concepts",
    "key terms",
    "key takeaways",
    "chapter summary",
    "summary",
    "conclusion",
    "self check question",
    "self check questions",
    "review question",
    "review questions",
    "critical thinking question",
    "critical thinking questions",
    "discussion questions",
    "problem",
    "problems",
    "exercises",
    "answers",
    "solutions",
    "references",
    "bibliography",
    "further reading",
    "sources",
    "glossary",
    "index",
    "contents",
    "table of contents",
    "preface",
    "foreword",
    "acknowledgements",
    "acknowledgments",
    "about the author",
    "introduction",
    "содержание",
    "оглавление",
    "введение",
    "предисловие",
    "заключение",
    "выводы",
    "итоги",
    "литература",
    "список литературы",
    "вопросы для самопроверки",
    "контрольные вопросы",
    "задания",
    "глоссарий",
];
/// Ways in which headings begin that only open a chapter.
const OPENINGS: [&str; 3] = ["introduction to ", "chapter objectives", "введение в "];
/// Words before a number that a heading begins with.
const NUMBERED: [&str; 10] = [
    "chapter",
    "part",
    "unit",
    "module",
    "section",
    "lesson",
    "глава",
    "часть",
    "раздел",
    "тема",
];
/// The longest heading that is a title; longer ones are sentences in bold print.
const LONGEST: usize = 160;

/// The headings of one document under one node: its only highest heading, or else `name`.
pub(super) fn tree(name: &str, outline: &[Heading]) -> Node {
    let kept: Vec<(u8, String)> = outline
        .iter()
        .filter_map(|heading| Some((heading.level, clean(&heading.text)?)))
        .collect();
    let mut children = nested(&kept);
    if children.len() == 1 {
        return children.remove(0);
    }
    Node {
        title: name.to_owned(),
        children,
    }
}

/// Each heading takes those of a lower rank that follow it.
fn nested(headings: &[(u8, String)]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = headings;
    while let Some(((level, title), after)) = rest.split_first() {
        let below = after.iter().take_while(|(other, _)| other > level).count();
        nodes.push(Node {
            title: title.clone(),
            children: nested(&after[..below]),
        });
        rest = &after[below..];
    }
    nodes
}

/// Whether a text has nothing but such headings, as the end of a chapter whose questions stand elsewhere.
pub(crate) fn teaches_nothing(text: &str) -> bool {
    let lines = text.lines().map(|line| line.trim_start_matches(['#', ' ']));
    let mut lines = lines.filter(|line| !line.trim().is_empty());
    lines.all(|line| APPARATUS.contains(&folded(line).as_str()))
}

/// The heading as a title, without its number; `None` where it teaches nothing.
fn clean(heading: &str) -> Option<String> {
    let title = without_number(heading.trim());
    let key = folded(title);
    let is_apparatus =
        APPARATUS.contains(&key.as_str()) || OPENINGS.iter().any(|opening| key.starts_with(opening));
    let length = limits::text_length(title);
    let is_usable = (3..=LONGEST).contains(&length) && title.chars().any(char::is_alphabetic);
    // A title that looks like a placeholder would break the rules of courses (data model 2.3).
    let is_placeholder = find_placeholder(title, Language::English).is_some();
    (is_usable && !is_apparatus && !is_placeholder)
        .then(|| title.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `3.2. Costs` and `Chapter 3: Costs` are `Costs`.
fn without_number(heading: &str) -> &str {
    let lower = heading.to_lowercase();
    let word = NUMBERED.iter().find(|word| {
        lower.strip_prefix(**word).is_some_and(|rest| {
            rest.trim_start()
                .starts_with(|letter: char| letter.is_ascii_digit())
        })
    });
    let rest = match word {
        // Lower case may have another length in bytes; these words do not.
        Some(word) => heading.get(word.len()..).unwrap_or(heading).trim_start(),
        None => heading,
    };
    let number = rest
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ')')
        .unwrap_or(rest.len());
    let after = rest[number..].trim_start_matches([':', '.', ')', '-', '–', '—', ' ']);
    let is_numbered =
        number > 0 && (word.is_some() || rest[..number].contains('.') || rest[..number].ends_with(')'));
    if is_numbered && !after.is_empty() {
        after
    } else {
        heading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heading_becomes_a_title_or_nothing() {
        let check = |heading: &str, expected: Option<&str>| {
            assert_eq!(clean(heading).as_deref(), expected, "{heading}");
        };
        check("Price  Floors", Some("Price Floors"));
        check("3.2. Price Floors", Some("Price Floors"));
        check("Chapter 4: Labor Markets", Some("Labor Markets"));
        check("Глава 2. Спрос", Some("Спрос"));
        check("1984 in Retrospect", Some("1984 in Retrospect"));
        check("Key Concepts and Summary", None);
        check("Self-Check Questions", None);
        check("Introduction to Elasticity", None);
        check("Список литературы", None);
        check("12", None);
        check("TODO", None);
    }

    #[test]
    fn text_of_headings_alone_teaches_nothing() {
        assert!(teaches_nothing(
            "Self-Check Questions\n\n### Review Questions\n\nProblems"
        ));
        assert!(!teaches_nothing(
            "Problems\n\nA tax of two dollars is put on each pack."
        ));
        assert!(!teaches_nothing("Price Floors"));
    }

    #[test]
    fn only_highest_heading_names_its_document() {
        let heading = |level, text: &str| Heading {
            level,
            text: text.to_owned(),
        };
        let one = tree("file", &[heading(1, "Elasticity"), heading(2, "Pricing")]);
        assert_eq!((one.title.as_str(), one.children.len()), ("Elasticity", 1));
        let two = tree(
            "file",
            &[heading(1, "Demand"), heading(3, "Income"), heading(1, "Supply")],
        );
        assert_eq!((two.title.as_str(), two.children.len()), ("file", 2));
    }
}
