//! Sanitised HTML as well-formed XML, for the formats that are XML or hold it.

use std::fmt;

use super::characters::is_writable;
use super::inline::{self, SafeHtml};
use super::prose::{self, Place};

/// Well-formed, sanitised markup: also valid where HTML is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Markup(String);

impl Markup {
    /// Vouches for `xml`: it must be well formed, and sanitised or written by this crate.
    pub(super) const fn vouched(xml: String) -> Self {
        Self(xml)
    }

    /// Whether there is nothing in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The markup.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}

/// A one-line text.
pub(super) fn line(text: &str) -> Markup {
    well_formed(&inline::html(text), Vocabulary::Html)
}

/// One-line texts.
pub(super) fn lines(texts: &[String]) -> Vec<Markup> {
    texts.iter().map(|text| line(text)).collect()
}

/// A Markdown body.
pub(super) fn body(markdown: &str, place: Place<'_>) -> Markup {
    well_formed(&prose::html(markdown, place), Vocabulary::Html)
}

/// A Markdown body with the elements that QTI takes from XHTML.
pub(super) fn question_body(markdown: &str) -> Markup {
    let place = Place {
        top_heading: prose::NO_HEADINGS,
        title: "",
    };
    well_formed(&prose::html(markdown, place), Vocabulary::Questions)
}

/// Which elements and attributes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vocabulary {
    /// All that the sanitiser lets through.
    Html,
    /// The XHTML of QTI 2.1 (`simpleBlock`, `simpleInline`, tables, lists). The rest loses its tags and keeps its text.
    Questions,
}

/// The elements of [`Vocabulary::Questions`] (QTI 2.1 information model, 6.2).
const QUESTION_ELEMENTS: [&str; 25] = [
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
    "sub",
    "sup",
];
/// Elements without content and without an end tag in HTML.
const VOID_ELEMENTS: [&str; 3] = ["br", "hr", "input"];

fn well_formed(html: &SafeHtml, vocabulary: Vocabulary) -> Markup {
    let html = html.to_string();
    let mut xml = String::with_capacity(html.len());
    let mut rest = html.as_str();
    while let Some((text, tag, after)) = next_tag(rest) {
        push_text(&mut xml, text);
        push_tag(&mut xml, tag, vocabulary);
        rest = after;
    }
    push_text(&mut xml, rest);
    if vocabulary == Vocabulary::Questions {
        // Markdown's tables may end with their head; in QTI a body is required.
        xml = xml.replace(
            "</thead>\n</table>",
            "</thead>\n<tbody><tr><td></td></tr></tbody></table>",
        );
    }
    Markup(xml)
}

/// The text before the next tag, the inside of the tag, and what follows.
fn next_tag(html: &str) -> Option<(&str, &str, &str)> {
    let (text, rest) = html.split_once('<')?;
    let mut quoted = false;
    let end = rest.find(|letter| {
        quoted ^= letter == '"';
        letter == '>' && !quoted
    })?;
    Some((text, &rest[..end], &rest[end + 1..]))
}

fn push_text(xml: &mut String, text: &str) {
    xml.extend(
        text.replace("&nbsp;", "\u{a0}")
            .chars()
            .filter(|&letter| is_writable(letter)),
    );
}

fn push_tag(xml: &mut String, tag: &str, vocabulary: Vocabulary) {
    let name_end = tag
        .char_indices()
        .skip(1)
        .find(|(_, letter)| letter.is_whitespace() || *letter == '/')
        .map_or(tag.len(), |(end, _)| end);
    let (name, attributes) = tag.split_at(name_end);
    let element = name.trim_start_matches('/');
    if vocabulary == Vocabulary::Questions && !QUESTION_ELEMENTS.contains(&element) {
        if element == "input" {
            xml.push_str(if attributes.contains("checked") {
                "\u{2611}"
            } else {
                "\u{2610}"
            });
        }
        return;
    }
    xml.push('<');
    xml.push_str(name);
    for (name, value) in attribute_pairs(attributes) {
        push_attribute(xml, name, value, vocabulary);
    }
    if name == "pre" && vocabulary == Vocabulary::Html {
        // Code runs from left to right in every language, and books may not say so in a style sheet.
        xml.push_str(" dir=\"ltr\"");
    }
    if VOID_ELEMENTS.contains(&element) {
        xml.push('/');
    }
    xml.push('>');
}

fn push_attribute(xml: &mut String, name: &str, value: &str, vocabulary: Vocabulary) {
    let (name, value) = match name {
        _ if vocabulary == Vocabulary::Questions && name != "href" => return,
        // HTML has no such attribute any more; the style sheets have such classes.
        "align" => ("class", value),
        "checked" | "disabled" => (name, name),
        _ => (name, value),
    };
    xml.push(' ');
    xml.push_str(name);
    xml.push_str("=\"");
    push_text(xml, &value.replace('<', "&lt;").replace('>', "&gt;"));
    xml.push('"');
}

/// The attributes of a tag as the sanitiser writes them: `name="value"`.
fn attribute_pairs(attributes: &str) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    let mut rest = attributes;
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else {
            break;
        };
        pairs.push((name.trim(), value));
        rest = after;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(markdown: &str, expected: &str) {
        let place = Place {
            top_heading: 2,
            title: "",
        };
        assert_eq!(body(markdown, place).as_str(), expected, "{markdown}");
    }

    #[test]
    fn bodies_are_well_formed() {
        check("a  \nb", "<p>a<br/>\nb</p>");
        check("a&nbsp;b &copy; &amp; \u{1}", "<p>a\u{a0}b © &amp; </p>");
        check(
            "- [x] done\n- [ ] open",
            "<ul>\n<li><input type=\"checkbox\" checked=\"checked\" disabled=\"disabled\"/> done</li>\n\
             <li><input type=\"checkbox\" disabled=\"disabled\"/> open</li>\n</ul>",
        );
        check("***", "<hr/>");
        check(
            "```\na\n```",
            "<pre tabindex=\"0\" dir=\"ltr\"><code>a\n</code></pre>",
        );
        check(
            "|a|\n|-:|\n|1|",
            "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead>\n<tr>\n<th class=\"right\">a</th>\n</tr>\n</thead>\n\
             <tbody>\n<tr>\n<td class=\"right\">1</td>\n</tr>\n</tbody>\n</table></div>",
        );
        check(
            "[a](https://example.com/?a=1&b=%22>)",
            "<p><a href=\"https://example.com/?a=1&amp;b=%22%3E\" rel=\"noopener noreferrer\">a</a></p>",
        );
    }

    #[test]
    fn questions_keep_what_qti_knows() {
        let check = |markdown: &str, expected: &str| {
            assert_eq!(question_body(markdown).as_str(), expected, "{markdown}");
        };
        check("~~a~~ *b* `c`", "<p>a <em>b</em> <code>c</code></p>");
        check(
            "- [x] done\n3. a",
            "<ul>\n<li>\u{2611} done</li>\n</ul>\n<ol>\n<li>a</li>\n</ol>",
        );
        check(
            "|a|\n|-|",
            "<table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n<tbody><tr><td></td></tr></tbody></table>",
        );
        check(
            "[a](https://example.com)",
            "<p><a href=\"https://example.com\">a</a></p>",
        );
    }

    #[test]
    fn hostile_lines_become_text() {
        assert_eq!(
            line("<script>alert(\"1\")</script> `a<b`").as_str(),
            "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; <code>a&lt;b</code>"
        );
    }
}
