//! What a Word document's styles and lists make of its paragraphs (ISO 29500-1, 17.7 and 17.9).

use std::collections::HashMap;

use super::xml::{Element, Node, Nodes, decoded};
use super::{ImportError, ImportLimits};

/// Styles that a style is based on, one upon the other. Word allows ten.
const LONGEST_CHAIN: usize = 16;
/// Levels of a list (ISO 29500-1, 17.9.3).
const LEVELS: usize = 9;

/// What a style makes of a paragraph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// Running text.
    #[default]
    Body,
    /// A heading of this level, from 1.
    Heading(u8),
    /// The title of the document.
    Title,
    /// Program text.
    Code,
    /// A line of the table of contents.
    Contents,
}

/// The list that a paragraph belongs to, and its level there, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListPlace {
    pub(super) list: String,
    pub(super) level: usize,
}

#[derive(Clone, Debug, Default)]
struct Style {
    name: String,
    based_on: Option<String>,
    outline: Option<u8>,
    place: Option<ListPlace>,
}

/// The styles of a document, by id.
#[derive(Debug, Default)]
pub(super) struct Styles(HashMap<String, Style>);

impl Styles {
    /// Reads `styles.xml`.
    pub(super) fn read(bytes: &[u8], limits: &ImportLimits) -> Result<Self, ImportError> {
        let text = decoded(bytes)?;
        let mut nodes = Nodes::new(&text, limits);
        let mut styles = HashMap::new();
        let mut id = String::new();
        let mut style = Style::default();
        while let Some(node) = nodes.next()? {
            match node {
                Node::Open(element) => match element.name() {
                    "style" => {
                        id = element.attribute("styleId").unwrap_or_default();
                        style = Style::default();
                    }
                    "name" => style.name = element.attribute("val").unwrap_or_default().to_lowercase(),
                    "basedOn" => style.based_on = element.attribute("val"),
                    "outlineLvl" => style.outline = outline_level(&element),
                    "numId" => place_of(&mut style.place).list = element.attribute("val").unwrap_or_default(),
                    "ilvl" => place_of(&mut style.place).level = list_level(&element),
                    _ => {}
                },
                Node::Close(name) if name == "style" => {
                    styles.insert(std::mem::take(&mut id), std::mem::take(&mut style));
                }
                Node::Close(_) | Node::Text(_) => {}
            }
        }
        Ok(Self(styles))
    }

    /// What the style of this id makes of a paragraph.
    pub(super) fn role(&self, id: &str) -> Role {
        let names = self.chain(id).map(|style| role_of_name(&style.name));
        // Programs write the id in English even where they do not write the styles.
        let by_name = names
            .chain([role_of_name(&id.to_lowercase())])
            .find(|role| *role != Role::Body);
        let by_level = || {
            let outline = self.chain(id).find_map(|style| style.outline)?;
            (outline < 9).then(|| Role::Heading(outline + 1))
        };
        by_name.or_else(by_level).unwrap_or_default()
    }

    /// The list that paragraphs of this style belong to.
    pub(super) fn place(&self, id: &str) -> Option<&ListPlace> {
        self.chain(id).find_map(|style| style.place.as_ref())
    }

    /// The style and those it is based on.
    fn chain<'s>(&'s self, id: &str) -> impl Iterator<Item = &'s Style> {
        let first = self.0.get(id);
        std::iter::successors(first, |style| self.0.get(style.based_on.as_ref()?)).take(LONGEST_CHAIN)
    }
}

/// Built-in styles are named in English in every language of Word; `Heading 1` may be `heading1` as an id.
fn role_of_name(name: &str) -> Role {
    let after = |word: &str| {
        let rest = name.strip_prefix(word)?.trim_start();
        let level: u8 = rest
            .split(|one: char| !one.is_ascii_digit())
            .next()?
            .parse()
            .ok()?;
        (1..=9).contains(&level).then_some(level)
    };
    if let Some(level) = after("heading").or_else(|| after("заголовок")) {
        return Role::Heading(level);
    }
    if after("toc").is_some() || after("contents").is_some() || name == "toc heading" {
        return Role::Contents;
    }
    let mut words = name.split(|one: char| !one.is_alphanumeric());
    match name {
        "title" | "название" => Role::Title,
        "sourcecode" | "htmlpreformatted" | "preformattedtext" => Role::Code,
        _ if words.any(|word| matches!(word, "code" | "preformatted" | "verbatim" | "listing")) => Role::Code,
        _ => Role::Body,
    }
}

pub(super) fn outline_level(element: &Element<'_>) -> Option<u8> {
    element.attribute("val")?.parse().ok()
}

pub(super) fn list_level(element: &Element<'_>) -> usize {
    let level: Option<usize> = element.attribute("val").and_then(|level| level.parse().ok());
    level.unwrap_or(0).min(LEVELS - 1)
}

pub(super) fn place_of(place: &mut Option<ListPlace>) -> &mut ListPlace {
    place.get_or_insert_with(|| ListPlace {
        list: String::new(),
        level: 0,
    })
}

/// How the items of one level of a list are marked.
#[derive(Clone, Debug)]
struct Level {
    /// `bullet`, `decimal`, `lowerLetter`, `none` ...
    format: String,
    /// `%1.%2` for the numbers of the levels above.
    pattern: String,
    start: u32,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            format: "decimal".to_owned(),
            pattern: String::new(),
            start: 1,
        }
    }
}

/// The lists of a document, and where each of them stands.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// The levels of each kind of list.
    levels: HashMap<String, [Level; LEVELS]>,
    /// The kind of each list.
    kinds: HashMap<String, String>,
    /// The numbers given last, by kind: lists of one kind go on where another left off.
    counters: HashMap<String, [Option<u32>; LEVELS]>,
}

impl Lists {
    /// Reads `numbering.xml`.
    pub(super) fn read(bytes: &[u8], limits: &ImportLimits) -> Result<Self, ImportError> {
        let text = decoded(bytes)?;
        let mut nodes = Nodes::new(&text, limits);
        let mut lists = Self::default();
        let (mut kind, mut list, mut level) = (String::new(), String::new(), 0);
        while let Some(node) = nodes.next()? {
            let Node::Open(element) = node else { continue };
            let value = || element.attribute("val").unwrap_or_default();
            match element.name() {
                "abstractNum" => {
                    kind = element.attribute("abstractNumId").unwrap_or_default();
                    lists.levels.insert(kind.clone(), Default::default());
                }
                "lvl" => {
                    let own = element.attribute("ilvl").and_then(|level| level.parse().ok());
                    level = own.unwrap_or(0_usize).min(LEVELS - 1);
                }
                "num" => {
                    list = element.attribute("numId").unwrap_or_default();
                    // What follows overrides levels of one list only; that is not followed.
                    kind.clear();
                }
                "abstractNumId" => {
                    lists.kinds.insert(list.clone(), value());
                }
                "numFmt" | "lvlText" | "start" => {
                    let Some(levels) = lists.levels.get_mut(&kind) else {
                        continue;
                    };
                    match element.name() {
                        "numFmt" => levels[level].format = value(),
                        "lvlText" => levels[level].pattern = value(),
                        _ => levels[level].start = value().parse().unwrap_or(1),
                    }
                }
                _ => {}
            }
        }
        Ok(lists)
    }

    /// The mark of the next item at a place, and its number is taken. `None`: the place is no list.
    pub(super) fn next_mark(&mut self, place: &ListPlace) -> Option<String> {
        // A list of number 0 takes a paragraph out of its style's list.
        let kind = self.kinds.get(&place.list)?;
        let levels = self.levels.get(kind)?;
        let level = &levels[place.level];
        if level.format == "bullet" {
            return Some("-".to_owned());
        }
        let counters = self.counters.entry(kind.clone()).or_default();
        let number = counters[place.level].map_or(level.start, |last| last.saturating_add(1));
        counters[place.level] = Some(number);
        counters[place.level + 1..].fill(None);
        if level.format == "none" {
            return Some(String::new());
        }
        let mut mark = level.pattern.clone();
        for at in 0..=place.level {
            let number = counters[at].unwrap_or(levels[at].start);
            mark = mark.replace(&format!("%{}", at + 1), &numeral(number, &levels[at].format));
        }
        Some(if mark.is_empty() {
            format!("{number}.")
        } else {
            mark
        })
    }
}

/// A number as letters where a list counts so, else in digits.
fn numeral(number: u32, format: &str) -> String {
    let first = match format {
        "lowerLetter" => b'a',
        "upperLetter" => b'A',
        _ => return number.to_string(),
    };
    match u8::try_from(number) {
        Ok(number @ 1..=26) => char::from(first + number - 1).to_string(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_follow_names_levels_and_ancestors() {
        let styles = Styles::read(
            "<w:styles><w:style w:styleId='1'><w:name w:val='heading 1'/></w:style>\
             <w:style w:styleId='Own'><w:name w:val='Мой'/><w:basedOn w:val='1'/></w:style>\
             <w:style w:styleId='Lvl'><w:name w:val='Own level'/><w:pPr><w:outlineLvl w:val='2'/></w:pPr></w:style>\
             <w:style w:styleId='C'><w:name w:val='Source Code'/></w:style>\
             <w:style w:styleId='X'><w:name w:val='X'/><w:basedOn w:val='Y'/></w:style>\
             <w:style w:styleId='Y'><w:name w:val='Y'/><w:basedOn w:val='X'/></w:style></w:styles>"
                .as_bytes(),
            &ImportLimits::default(),
        )
        .unwrap();
        let check = |id: &str, expected: Role| assert_eq!(styles.role(id), expected, "{id}");
        check("1", Role::Heading(1));
        check("Own", Role::Heading(1));
        check("Lvl", Role::Heading(3));
        check("C", Role::Code);
        check("X", Role::Body);
        check("Heading2", Role::Heading(2));
        check("TOC1", Role::Contents);
        check("Title", Role::Title);
        check("Subtitle", Role::Body);
    }

    #[test]
    fn items_are_numbered() {
        let mut lists = Lists::read(
            b"<w:numbering><w:abstractNum w:abstractNumId='7'><w:lvl w:ilvl='0'><w:start w:val='3'/><w:numFmt w:val='decimal'/>\
              <w:lvlText w:val='%1.'/></w:lvl><w:lvl w:ilvl='1'><w:numFmt w:val='lowerLetter'/><w:lvlText w:val='%1.%2)'/></w:lvl>\
              <w:lvl w:ilvl='2'><w:numFmt w:val='bullet'/><w:lvlText w:val='o'/></w:lvl></w:abstractNum>\
              <w:num w:numId='1'><w:abstractNumId w:val='7'/></w:num></w:numbering>",
            &ImportLimits::default(),
        )
        .unwrap();
        let mut mark = |list: &str, level: usize| {
            lists.next_mark(&ListPlace {
                list: list.to_owned(),
                level,
            })
        };
        assert_eq!(mark("1", 0).as_deref(), Some("3."));
        assert_eq!(mark("1", 1).as_deref(), Some("3.a)"));
        assert_eq!(mark("1", 1).as_deref(), Some("3.b)"));
        assert_eq!(mark("1", 2).as_deref(), Some("-"));
        assert_eq!(mark("1", 0).as_deref(), Some("4."));
        assert_eq!(mark("1", 1).as_deref(), Some("4.a)"));
        assert_eq!(mark("0", 0), None);
    }
}
