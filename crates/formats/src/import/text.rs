//! Texts without marks: paragraphs by blank lines, lists and headings by what people write.

use domain::document::{BlockKind, DocumentBlock, DocumentText};

use super::blocks::Blocks;
use super::encoding;
use super::{Excess, ImportError, ImportLimits};

/// A line that stands alone may be a heading up to so many characters: most titles of books have fewer.
const LONGEST_LONE_LINE: usize = 80;
/// A paragraph whose lines are at least so long on average was wrapped by a program.
const WRAPPED_LINE: usize = 50;
/// Words that begin the title of a part.
const PART_WORDS: [&str; 16] = [
    "chapter",
    "part",
    "section",
    "lesson",
    "unit",
    "module",
    "appendix",
    "глава",
    "часть",
    "раздел",
    "урок",
    "тема",
    "модуль",
    "параграф",
    "лекция",
    "приложение",
];

/// Reads a text.
pub(super) fn extract(bytes: &[u8], limits: &ImportLimits) -> Result<DocumentText, ImportError> {
    let text = encoding::decode(bytes, None)?;
    let mut blocks = Blocks::new(limits);
    let pages = paginated(&text, limits)?;
    for (number, page) in (1_u32..).zip(text.split('\u{c}')) {
        blocks.page = (pages > 0).then_some(number);
        for paragraph in paragraphs(page) {
            push_paragraph(&mut blocks, &paragraph)?;
        }
    }
    Ok(blocks.finish(None, pages))
}

/// The blocks of a page that text recognition has read: paragraphs and lists. Headings cannot be told by their looks.
pub(super) fn recognised(
    page: u32,
    text: &str,
    limits: &ImportLimits,
) -> Result<Vec<DocumentBlock>, ImportError> {
    let mut blocks = Blocks::new(limits);
    blocks.page = Some(page);
    for paragraph in paragraphs(text) {
        push_lines(&mut blocks, &paragraph)?;
    }
    Ok(blocks.into_blocks())
}

/// Pages, if the text marks where they end.
fn paginated(text: &str, limits: &ImportLimits) -> Result<u32, ImportError> {
    let breaks = text.trim_end().matches('\u{c}').count();
    if breaks == 0 {
        return Ok(0);
    }
    match u32::try_from(breaks + 1) {
        Ok(pages) if pages <= limits.max_pages => Ok(pages),
        _ => Err(ImportError::TooLarge {
            excess: Excess::Pages,
            limit: u64::from(limits.max_pages),
        }),
    }
}

/// Runs of lines that are not blank.
fn paragraphs(text: &str) -> Vec<Vec<&str>> {
    let mut paragraphs = vec![Vec::new()];
    // Lines end as on Unix, Windows, or old Macs.
    let lines = text.lines().flat_map(|line| line.split('\r'));
    for line in lines {
        let line = line.trim_end();
        if line.trim_start().is_empty() {
            if paragraphs.last().is_some_and(|last| !last.is_empty()) {
                paragraphs.push(Vec::new());
            }
        } else if let Some(last) = paragraphs.last_mut() {
            last.push(line);
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

fn push_paragraph(blocks: &mut Blocks<'_>, lines: &[&str]) -> Result<(), ImportError> {
    match lines {
        [line] => match heading_level(line) {
            Some(level) => blocks.push(BlockKind::Heading { level }, line),
            None => push_lines(blocks, lines),
        },
        [title, underline, rest @ ..] if underline_level(title, underline).is_some() => {
            let level = underline_level(title, underline).unwrap_or(1);
            blocks.push(BlockKind::Heading { level }, title)?;
            push_lines(blocks, rest)
        }
        _ => push_lines(blocks, lines),
    }
}

/// Paragraphs and items of lists.
fn push_lines(blocks: &mut Blocks<'_>, lines: &[&str]) -> Result<(), ImportError> {
    let starts: Vec<usize> = (0..lines.len()).filter(|at| is_item(lines[*at])).collect();
    let (before, items) = lines.split_at(starts.first().copied().unwrap_or(lines.len()));
    blocks.push(BlockKind::Paragraph, &joined(before))?;
    let mut rest = items;
    while let Some((first, following)) = rest.split_first() {
        let length = following
            .iter()
            .position(|line| is_item(line))
            .unwrap_or(following.len());
        let (continued, next) = following.split_at(length);
        let mut item = vec![*first];
        item.extend(continued);
        blocks.push(BlockKind::ListItem, &joined(&item))?;
        rest = next;
    }
    Ok(())
}

/// Lines that a program wrapped become one; short ones, as of verses and addresses, stay.
fn joined(lines: &[&str]) -> String {
    let Some((_, full)) = lines.split_last() else {
        return String::new();
    };
    let characters: usize = full.iter().map(|line| line.chars().count()).sum();
    let is_wrapped = characters >= full.len() * WRAPPED_LINE;
    lines.join(if is_wrapped { " " } else { "\n" })
}

/// `- item`, `* item`, `• item`, `1. item`, `2) item`.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let mark = line.split_whitespace().next().unwrap_or_default();
    let is_bullet = matches!(mark, "-" | "*" | "•" | "–" | "—" | "·" | "▪" | "◦" | "‣");
    let number = mark.trim_end_matches(['.', ')']);
    let is_number = number.len() < mark.len()
        && (1..=3).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_bullet || is_number) && line.len() > mark.len()
}

/// The level of a line that stands alone and looks like a heading.
fn heading_level(line: &str) -> Option<u8> {
    let line = line.trim();
    let is_sentence = line.ends_with(['.', ',', ';', ':', '!', '?', '…']);
    if is_sentence || line.chars().count() > LONGEST_LONE_LINE || !line.chars().any(char::is_alphabetic) {
        return None;
    }
    let title = line.trim_start_matches('#');
    let hashes = u8::try_from(line.len() - title.len()).unwrap_or(u8::MAX);
    if (1..=6).contains(&hashes) {
        return title.starts_with(' ').then_some(hashes);
    }
    let mut words = line.split_whitespace();
    let first = words.next()?.to_lowercase();
    let second = words.next();
    if PART_WORDS.contains(&first.as_str()) && second.is_some_and(is_numeral) {
        return Some(1);
    }
    // `2.1 Demand`: as many levels as numbers.
    let numbers: Vec<&str> = first.trim_end_matches('.').split('.').collect();
    let is_numbered = numbers.iter().all(|number| {
        !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let begins_upper = second.is_some_and(|word| word.chars().next().is_some_and(char::is_uppercase));
    if is_numbered && begins_upper && (numbers.len() > 1 || first.ends_with('.')) {
        return u8::try_from(numbers.len().min(6)).ok();
    }
    let has_lower = line.chars().any(char::is_lowercase);
    let letters = line.chars().filter(|one| one.is_alphabetic()).count();
    (!has_lower && letters > 3).then_some(2)
}

fn is_numeral(word: &str) -> bool {
    let word = word.trim_end_matches(['.', ':', ')']);
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_roman = !word.is_empty() && word.bytes().all(|byte| b"IVXLC".contains(&byte));
    let is_letter = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    is_number || is_roman || is_letter
}

/// A title that is underlined with `===` (1) or `---` (2).
fn underline_level(title: &str, underline: &str) -> Option<u8> {
    let underline = underline.trim();
    let is_line_of = |sign: char| underline.chars().count() >= 3 && underline.chars().all(|one| one == sign);
    match title.chars().count() <= LONGEST_LONE_LINE {
        true if is_line_of('=') => Some(1),
        true if is_line_of('-') => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(BlockKind, String)> {
        let text = extract(text.as_bytes(), &ImportLimits::default()).unwrap();
        text.blocks
            .into_iter()
            .map(|block| (block.kind, block.text))
            .collect()
    }

    #[test]
    fn paragraphs_lists_and_headings_are_told_apart() {
        let text = "Глава 1. Спрос\r\n\r\nПервый абзац, строки которого программа перенесла сама, потому что\r\n\
             они были длинны.\r\n\r\nСписок:\r\n- раз\r\n- два\r\n  и продолжение\r\n1. три\r\n\r\nTitle\n=====\nBody.\n";
        let blocks = read(text);
        let kinds: Vec<BlockKind> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(
            kinds,
            [
                BlockKind::Heading { level: 1 },
                BlockKind::Paragraph,
                BlockKind::Paragraph,
                BlockKind::ListItem,
                BlockKind::ListItem,
                BlockKind::ListItem,
                BlockKind::Heading { level: 1 },
                BlockKind::Paragraph,
            ]
        );
        assert!(blocks[1].1.contains("потому что они были"), "{}", blocks[1].1);
        assert_eq!(blocks[4].1, "- два\nи продолжение");
        assert_eq!(blocks[6].1, "Title");
    }

    #[test]
    fn headings_are_lines_that_stand_alone() {
        let check = |line: &str, expected: Option<u8>| assert_eq!(heading_level(line), expected, "{line}");
        check("Chapter IV: The Market", Some(1));
        check("Приложение А", Some(1));
        check("1. Introduction", Some(1));
        check("2.1 Price elasticity", Some(2));
        check("3.2.4. Эластичность", Some(3));
        check("DEMAND AND SUPPLY", Some(2));
        check("## Demand", Some(2));
        check("A short line", None);
        check("1. introduction to it", None);
        check("This is a sentence.", None);
        check("12:30", None);
        check("USA", None);
        check("part of it", None);
    }

    #[test]
    fn form_feeds_end_pages() {
        let text = extract(b"one\x0ctwo\n", &ImportLimits::default()).unwrap();
        assert_eq!(text.pages, 2);
        assert_eq!(text.blocks[1].page, Some(2));
        let few = ImportLimits {
            max_pages: 1,
            ..ImportLimits::default()
        };
        assert_eq!(extract(b"one\x0ctwo\n", &few).unwrap_err().code(), "too_large");
    }
}
