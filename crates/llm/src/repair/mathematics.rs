//! Where in a text mathematics stands, by the delimiters of Markdown and LaTeX.

use std::ops::Range;

/// One piece of mathematics, delimiters included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) range: Range<usize>,
    /// It is set in lines of its own, so that line breaks in it are line breaks.
    pub(super) has_lines: bool,
}

/// All mathematics of `text`, in order. Program text in backticks has none.
pub(super) fn regions(text: &str) -> Vec<Region> {
    let mut regions = Vec::new();
    let mut code = CodeEnds::default();
    let mut absent: Vec<&str> = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..]
        .find(['`', '$', '\\', '\u{8}'])
        .map(|offset| at + offset)
    {
        let rest = &text[start..];
        at = start + 1;
        if rest.starts_with('`') {
            at = code.end(text, start);
        } else if rest.starts_with("\\$") {
            at = start + 2;
        } else if let Some((open, close)) = delimiters(rest) {
            let inside = start + open.len();
            let length = if absent.contains(&close) {
                None
            } else {
                text[inside..].find(close)
            };
            if let Some(length) = length {
                let end = inside + length + close.len();
                regions.push(Region {
                    range: start..end,
                    has_lines: open.ends_with("egin{") || is_in_lines(&text[inside..inside + length]),
                });
                at = end;
            } else {
                // Looked for once: it does not come later either.
                absent.push(close);
                at = inside;
            }
        } else if rest.starts_with('$')
            && let Some(end) = inline_end(text, start)
        {
            regions.push(Region {
                range: start..end,
                has_lines: false,
            });
            at = end;
        }
    }
    regions
}

/// `\begin` with its backslash, or as JSON read it.
fn delimiters(rest: &str) -> Option<(&'static str, &'static str)> {
    [
        ("$$", "$$"),
        ("\\(", "\\)"),
        ("\\[", "\\]"),
        ("\\begin{", "\\end{"),
        ("\u{8}egin{", "\\end{"),
    ]
    .into_iter()
    .find(|(open, _)| rest.starts_with(open))
}

fn is_in_lines(inside: &str) -> bool {
    inside.starts_with('\n') && inside.trim_end_matches(' ').ends_with('\n')
}

/// Where the mathematics that the dollar at `start` opens ends. Amounts of money open none: the next dollar has to
/// close it, which it does not before a letter or digit, nor behind a space.
fn inline_end(text: &str, start: usize) -> Option<usize> {
    let before = text[..start].chars().next_back();
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let inside = &text[start + 1..];
    let first = inside.chars().next()?;
    let opens_name = first.is_control()
        && inside[first.len_utf8()..].starts_with(|letter: char| letter.is_ascii_alphabetic());
    if first.is_whitespace() && !opens_name {
        return None;
    }
    let mut close = inside.find('$')?;
    while inside[..close].ends_with('\\') {
        close += 1 + inside[close + 1..].find('$')?;
    }
    let content = &inside[..close];
    let behind = inside[close + 1..].chars().next();
    let closes = !content.ends_with(char::is_whitespace)
        && !behind.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
        && !content.contains("\n\n");
    closes.then_some(start + 1 + close + 1)
}

/// Ends of program text; remembers which runs of backticks do not come again, so that looking for them takes
/// linear time.
#[derive(Default)]
struct CodeEnds {
    absent: Vec<usize>,
}

impl CodeEnds {
    /// Where the program text that begins at `start` ends; behind its backticks if it does not.
    fn end(&mut self, text: &str, start: usize) -> usize {
        let run = |from: usize| text[from..].len() - text[from..].trim_start_matches('`').len();
        let length = run(start);
        let inside = start + length;
        if self.absent.contains(&length) {
            return inside;
        }
        let mut at = inside;
        while let Some(next) = text[at..].find('`').map(|offset| at + offset) {
            let next_length = run(next);
            if next_length == length {
                return next + length;
            }
            at = next + next_length;
        }
        self.absent.push(length);
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = regions(text)
            .into_iter()
            .map(|region| &text[region.range])
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn mathematics_is_found_and_money_is_not() {
        check("a $x+1$ b $$y$$ c", &["$x+1$", "$$y$$"]);
        check(
            r"\(a\) \[b\] \begin{align}c\end{align}",
            &[r"\(a\)", r"\[b\]", r"\begin{align}c\end{"],
        );
        check("it costs $5 and $10, or $5-$10, or US$3 and 4$", &[]);
        check("$5 or $x$.", &["$x$"]);
        check("`$x$` and ```\n$y$\n``` and $z$", &["$z$"]);
        check(r"\$5 and $a\$b$", &[r"$a\$b$"]);
        check("`$x$ and $y$", &["$x$", "$y$"]);
    }

    #[test]
    fn controls_of_two_bytes_are_passed_over() {
        check("$\u{80}x$", &["$\u{80}x$"]);
        check("$\u{9f}\u{9f}$", &["$\u{9f}\u{9f}$"]);
        check("$\u{85} and $5", &[]);
    }
}
