//! One-line texts (titles, objectives, options): plain text in which only `` `code` `` is marked up.
//!
//! They are not Markdown, so `__init__` and `2 * 3` stay what they are; but models put code into backticks.

use std::fmt;

/// A piece of a one-line text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Code(&'a str),
}

/// HTML that is safe to put into a page as it is: made only by this module and by `prose`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SafeHtml(String);

impl SafeHtml {
    /// Vouches for `html`: it must be sanitised or written by this crate.
    pub(super) const fn vouched(html: String) -> Self {
        Self(html)
    }
}

impl fmt::Display for SafeHtml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for SafeHtml {}

/// The text as HTML, everything escaped.
pub(super) fn html(text: &str) -> SafeHtml {
    let mut html = String::with_capacity(text.len());
    for piece in pieces(text.trim()) {
        match piece {
            Piece::Text(text) => push_escaped(&mut html, text),
            Piece::Code(code) => {
                html.push_str("<code>");
                push_escaped(&mut html, code);
                html.push_str("</code>");
            }
        }
    }
    SafeHtml::vouched(html)
}

/// The texts as HTML.
pub(super) fn html_all(texts: &[String]) -> Vec<SafeHtml> {
    texts.iter().map(|text| html(text)).collect()
}

/// The text as one line of `CommonMark` that means exactly the text.
pub(super) fn markdown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut escaped = String::with_capacity(line.len());
    for piece in pieces(&line) {
        match piece {
            Piece::Text(text) => {
                for letter in text.chars() {
                    if matches!(
                        letter,
                        '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '$'
                    ) {
                        escaped.push('\\');
                    }
                    escaped.push(letter);
                }
            }
            Piece::Code(code) => {
                escaped.push('`');
                escaped.push_str(code);
                escaped.push('`');
            }
        }
    }
    escape_list_marker(escaped)
}

/// A line that begins with `- `, `+ `, `1. ` or `1) ` would begin a list: its marker is escaped.
fn escape_list_marker(mut line: String) -> String {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if matches!(line.as_bytes().get(digits), Some(b'.' | b')')) && (1..=9).contains(&digits) {
        line.insert(digits, '\\');
    } else if line.starts_with(['-', '+', '=']) {
        line.insert(0, '\\');
    }
    line
}

fn push_escaped(html: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

/// Splits at pairs of single backticks. A backtick without a partner, and runs of backticks, are text.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, code, after)) = split_at_code(rest) {
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Code(code));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

fn split_at_code(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, after) = rest.split_once('`')?;
    let alone = !code.trim().is_empty() && !after.starts_with('`');
    alone.then_some((before, code, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_escapes_everything_but_code() {
        let check = |text: &str, expected: &str| assert_eq!(html(text).to_string(), expected, "{text}");
        check("a < b & \"c\" 'd'", "a &lt; b &amp; &quot;c&quot; &#39;d&#39;");
        check("Run `git add .` now", "Run <code>git add .</code> now");
        check("`<b>`", "<code>&lt;b&gt;</code>");
        check("one ` alone, ``two``", "one ` alone, ``two``");
        check("__init__ and 2 * 3 * 4", "__init__ and 2 * 3 * 4");
    }

    #[test]
    fn markdown_means_exactly_the_text() {
        for text in [
            "a*b*c _d_ __init__ [x](y) ![i](j) <b> &amp; \\ ~~s~~ # | `",
            "1. not a list",
            "- not a list",
            "+ not a list",
            "12) not a list",
            "# not a heading #",
            "=== not an underline",
            "https://example.com/a_b_c",
            "price $5 and $6",
        ] {
            let html = comrak::markdown_to_html(&markdown(text), &comrak::Options::default());
            let mut expected = String::new();
            push_escaped(&mut expected, text);
            assert_eq!(
                html,
                format!("<p>{}</p>\n", expected.replace("&#39;", "'")),
                "{text}"
            );
        }
    }

    #[test]
    fn markdown_keeps_code_and_joins_lines() {
        assert_eq!(markdown("Use `a_b`\n now"), "Use `a_b` now");
    }
}
