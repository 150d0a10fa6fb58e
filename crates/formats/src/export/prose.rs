//! Markdown bodies of lessons, written by a model: made harmless, then rendered.
//!
//! Two independent walls. The syntax tree is tamed first (no raw HTML, no images, no odd links), which also serves
//! the Markdown export; the HTML is then sanitised by an allow list.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use comrak::nodes::{AstNode, NodeCodeBlock, NodeHeading, NodeValue};
use comrak::{Arena, Options, format_commonmark, format_html, parse_document};

use super::inline::SafeHtml;

/// The deepest heading of HTML and `CommonMark`.
const HEADING_MAX: u8 = 6;
/// For bodies inside lists and answers, where a heading would tear the outline apart.
pub(super) const NO_HEADINGS: u8 = HEADING_MAX + 1;
/// Schemes that a link may have; every other link becomes its text.
const LINK_SCHEMES: [&str; 3] = ["https://", "http://", "mailto:"];
/// Raw tags that models put into Markdown and that do nothing but set letters.
const LETTER_TAGS: [&str; 8] = [
    "<sub>", "</sub>", "<sup>", "</sup>", "<kbd>", "</kbd>", "<mark>", "</mark>",
];

/// Where a body stands in its document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The level that the body's highest heading gets; [`NO_HEADINGS`] makes bold lines of them.
    pub top_heading: u8,
    /// The heading above the body: models like to repeat it as their first line, which is then left out.
    pub title: &'a str,
}

/// The body as sanitised HTML.
pub(super) fn html(markdown: &str, place: Place<'_>) -> SafeHtml {
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &OPTIONS);
    tame(&arena, root, place);
    let mut html = String::new();
    // Writing into a String cannot fail; were it to, a body would be short, not dangerous.
    if format_html(root, &OPTIONS, &mut html).is_err() {
        return SafeHtml::default();
    }
    let clean = SANITISER.clean(&html).to_string();
    // Sanitised text holds no literal tag, so these are exactly the elements. Wide ones scroll on their own,
    // and what scrolls must be reachable by keyboard.
    let clean = clean
        .replace("<table>", "<div class=\"scroll\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>")
        .replace("<pre>", "<pre tabindex=\"0\">");
    SafeHtml::vouched(clean.trim().to_owned())
}

/// The body as `CommonMark` in which no block stays open and every heading fits below `place`.
pub(super) fn markdown(markdown: &str, place: Place<'_>) -> String {
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &OPTIONS);
    tame(&arena, root, place);
    let mut text = String::new();
    if format_commonmark(root, &OPTIONS, &mut text).is_err() {
        return String::new();
    }
    text.trim().to_owned()
}

static OPTIONS: LazyLock<Options<'static>> = LazyLock::new(|| {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    options.render.escape = true;
    options.render.prefer_fenced = true;
    options
});

static SANITISER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut builder = ammonia::Builder::empty();
    builder
        .tags(HashSet::from([
            "p",
            "br",
            "hr",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "strong",
            "em",
            "del",
            "code",
            "pre",
            "blockquote",
            "ul",
            "ol",
            "li",
            "a",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "input",
            "sub",
            "sup",
            "kbd",
            "mark",
        ]))
        .clean_content_tags(HashSet::from(["script", "style"]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href"])),
            ("code", HashSet::from(["class"])),
            ("ol", HashSet::from(["start"])),
            ("th", HashSet::from(["align"])),
            ("td", HashSet::from(["align"])),
            ("input", HashSet::from(["checked", "disabled"])),
        ]))
        .tag_attribute_values(HashMap::from([(
            "input",
            HashMap::from([("type", HashSet::from(["checkbox"]))]),
        )]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer"))
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            ("code", "class") => is_language_class(value).then_some(Cow::Borrowed(value)),
            _ => Some(Cow::Borrowed(value)),
        });
    builder
});

fn is_language_class(class: &str) -> bool {
    class.strip_prefix("language-").is_some_and(|name| {
        !name.is_empty()
            && name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '#' | '-' | '_' | '.'))
    })
}

fn tame<'a>(arena: &'a Arena<'a>, root: &'a AstNode<'a>, place: Place<'_>) {
    leave_out_repeated_title(root, place.title);
    if place.top_heading > HEADING_MAX {
        embolden_headings(arena, root);
    } else {
        fit_headings(root, place.top_heading);
    }
    let nodes: Vec<_> = root.descendants().collect();
    for node in nodes {
        let mut data = node.data.borrow_mut();
        match &mut data.value {
            NodeValue::HtmlBlock(block) => {
                // Code that the model forgot to fence: shown, not run. Comments are for nobody.
                let literal = std::mem::take(&mut block.literal);
                let comment = literal.trim_start().starts_with("<!--");
                data.value = code_block(literal);
                drop(data);
                if comment {
                    node.detach();
                }
            }
            NodeValue::HtmlInline(tag) => data.value = inline_tag(std::mem::take(tag)),
            NodeValue::Link(link) if !is_link_allowed(&link.url) => {
                drop(data);
                unwrap(node);
            }
            // An image would be a request to somebody else's server: its description stays, as a link.
            NodeValue::Image(link) => {
                let link = std::mem::take(link);
                let allowed = is_link_allowed(&link.url);
                let described = node.first_child().is_some();
                let url = link.url.clone();
                data.value = NodeValue::Link(link);
                drop(data);
                if !allowed {
                    unwrap(node);
                } else if !described {
                    node.append(arena.alloc(AstNode::from(NodeValue::Text(Cow::Owned(url)))));
                }
            }
            _ => {}
        }
    }
}

fn leave_out_repeated_title<'a>(root: &'a AstNode<'a>, title: &str) {
    let Some(first) = root.first_child() else { return };
    let is_heading = matches!(first.data.borrow().value, NodeValue::Heading(_));
    if is_heading && first.next_sibling().is_some() && folded(&text_of(first)) == folded(title) {
        first.detach();
    }
}

/// Letters and digits only, in lower case: `1. Staging:` and `1 staging` are the same title.
fn folded(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The text of a node without its marks.
pub(super) fn text_of<'a>(node: &'a AstNode<'a>) -> String {
    let mut text = String::new();
    for inner in node.descendants() {
        match &inner.data.borrow().value {
            NodeValue::Text(piece) => text.push_str(piece),
            NodeValue::Code(code) => text.push_str(&code.literal),
            _ => {}
        }
    }
    text
}

/// Gives headings the levels `top`, `top + 1` ... by their nesting, so that the outline skips no level.
fn fit_headings<'a>(root: &'a AstNode<'a>, top: u8) {
    let mut open: Vec<u8> = Vec::new();
    for node in root.descendants() {
        if let NodeValue::Heading(heading) = &mut node.data.borrow_mut().value {
            while open.last().is_some_and(|&level| level >= heading.level) {
                open.pop();
            }
            let depth = u8::try_from(open.len()).unwrap_or(HEADING_MAX);
            open.push(heading.level);
            *heading = NodeHeading {
                level: top.saturating_add(depth).min(HEADING_MAX),
                ..NodeHeading::default()
            };
        }
    }
}

/// Makes every heading a paragraph of bold text.
fn embolden_headings<'a>(arena: &'a Arena<'a>, root: &'a AstNode<'a>) {
    let nodes: Vec<_> = root.descendants().collect();
    for node in nodes {
        let is_heading = matches!(node.data.borrow().value, NodeValue::Heading(_));
        if is_heading {
            node.data.borrow_mut().value = NodeValue::Paragraph;
            let strong = arena.alloc(AstNode::from(NodeValue::Strong));
            while let Some(child) = node.first_child() {
                child.detach();
                strong.append(child);
            }
            node.append(strong);
        }
    }
}

fn code_block(literal: String) -> NodeValue {
    let fence_length = literal
        .split(|letter| letter != '`')
        .map(str::len)
        .max()
        .unwrap_or(0)
        + 1;
    NodeValue::CodeBlock(Box::new(NodeCodeBlock {
        fenced: true,
        fence_char: b'`',
        fence_length: fence_length.max(3),
        fence_offset: 0,
        info: "html".to_owned(),
        literal,
        closed: true,
    }))
}

fn inline_tag(tag: String) -> NodeValue {
    let folded = tag.to_ascii_lowercase();
    match folded.as_str() {
        "<br>" | "<br/>" | "<br />" => NodeValue::LineBreak,
        letters if LETTER_TAGS.contains(&letters) => NodeValue::Raw(folded),
        comment if comment.starts_with("<!--") => NodeValue::Text(Cow::Borrowed("")),
        _ => NodeValue::Text(Cow::Owned(tag)),
    }
}

fn is_link_allowed(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    LINK_SCHEMES.iter().any(|scheme| url.starts_with(scheme))
}

/// Puts the children of `node` in its place.
fn unwrap<'a>(node: &'a AstNode<'a>) {
    while let Some(child) = node.first_child() {
        child.detach();
        node.insert_before(child);
    }
    node.detach();
}

#[cfg(test)]
mod tests;
