//! Titles that stand in bold at the size of the text.
//!
//! pdf-inspector tells them by the white space around them, which it compares with that of the whole document: where
//! most lines stand apart, as in lists, it takes titles for the beginning of the paragraph after them. Here lines are
//! compared with the closest ones, and titles are cut out of the paragraphs again.

use std::collections::HashMap;

use domain::document::{BlockKind, DocumentBlock};
use pdf_inspector::TextItem;
use pdf_inspector::extractor::{ItemType, TextLine, group_into_lines};

use super::super::blocks::clean_words;

/// Lines of a title, at most.
const MOST_LINES: usize = 3;
/// Words of a title, at most: as of pdf-inspector for one line, and half as many more.
const MOST_WORDS: usize = 25;
/// Titles of a page, at most: a page with more is a list of bold words.
const MOST_ON_PAGE: usize = 40;
/// Of all distances between lines, one in so many is at most that between the lines of a paragraph.
const CLOSE_LINES_ONE_IN: usize = 5;
/// Distances between lines that are looked at, at least.
const FEWEST_DISTANCES: usize = 5;
/// A line stands apart if it is so much further away than the lines of a paragraph are.
const APART: f32 = 1.25;
/// Titles are not smaller than this part of the text's size.
const SMALLEST: f32 = 0.95;
/// Sizes that differ by less, in points, are the same.
const SAME_SIZE: f32 = 0.5;
/// Words between which there are so many sizes of space are in different cells of a table.
const CELLS_APART: f32 = 2.0;
/// What begins the words under a picture or table.
const CAPTION_WORDS: [&str; 6] = ["figure", "fig.", "table", "рис.", "рисунок", "таблица"];

/// A line, or a few, that stand apart in bold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Title {
    page: u32,
    text: String,
    size: f32,
    /// The last word before it, where that is known.
    before: Option<String>,
    /// The first word after it, where that is known.
    after: Option<String>,
}

/// The titles among what stands on the pages, in reading order.
pub(super) fn find(items: Vec<TextItem>) -> Vec<Title> {
    let texts: Vec<TextItem> = items.into_iter().filter(is_level_text).collect();
    let lines = group_into_lines(texts);
    let Some(body_size) = body_size(&lines) else {
        return Vec::new();
    };
    let Some(close) = distance_in_paragraphs(&lines, body_size) else {
        return Vec::new();
    };
    let mut titles = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let run = bold_lines(&lines[at..], close);
        if run > 0 && run <= MOST_LINES {
            let is_apart = |first: usize| {
                let distance = first.checked_sub(1).and_then(|before| distance(&lines[before..]));
                distance.is_none_or(|distance| distance > close * APART)
            };
            let before_list = lines.get(at + run).is_some_and(begins_item);
            if is_apart(at) && (before_list || is_apart(at + run)) {
                titles.extend(title(&lines, at, run, body_size));
            }
        }
        at += run.max(1);
    }
    titles
}

/// Text along the lines of the page, of a size that can be compared.
fn is_level_text(item: &TextItem) -> bool {
    matches!(item.item_type, ItemType::Text) && item.rotation.abs() < 1.0 && item.font_size.is_finite()
}

/// Cuts the titles out of the paragraphs that they stand in, and gives larger titles higher ranks.
pub(super) fn apply(blocks: Vec<DocumentBlock>, titles: &[Title]) -> Vec<DocumentBlock> {
    let mut of_pages: HashMap<u32, Vec<&Title>> = HashMap::new();
    for title in titles {
        of_pages.entry(title.page).or_default().push(title);
    }
    of_pages.retain(|_, titles| titles.len() <= MOST_ON_PAGE);
    let is_in_bold = !titles.is_empty();
    let on_page = |block: &DocumentBlock| {
        let titles = block.page.and_then(|page| of_pages.get(&page));
        titles.map_or(&[][..], Vec::as_slice)
    };
    let mut found: Vec<Ranked> = Vec::with_capacity(blocks.len());
    for block in blocks {
        let titles = on_page(&block);
        match block.kind {
            BlockKind::Paragraph | BlockKind::ListItem => cut(block, titles, &mut found),
            BlockKind::Heading { .. } => {
                // A title of several lines may have become several headings.
                let joined = found
                    .last()
                    .filter(|last| last.block.kind == block.kind)
                    .map(|last| {
                        let text = format!("{} {}", last.block.text, block.text);
                        (last.block.page == block.page).then_some(text)
                    });
                let whole = joined
                    .flatten()
                    .and_then(|text| titles.iter().find(|title| title.text == text));
                if let (Some(whole), Some(last)) = (whole, found.last_mut()) {
                    last.block.text.clone_from(&whole.text);
                    last.size = Some(whole.size);
                } else {
                    let title = titles.iter().find(|title| title.text == block.text);
                    let size = title.map(|title| title.size);
                    // A short line that stands apart and announces the text after it is taken for a title, too.
                    let is_text = is_in_bold && title.is_none() && block.text.ends_with(':');
                    let kind = if is_text { BlockKind::Paragraph } else { block.kind };
                    found.push(Ranked {
                        block: DocumentBlock { kind, ..block },
                        size,
                        is_new: false,
                    });
                }
            }
            _ => found.push(Ranked {
                block,
                size: None,
                is_new: false,
            }),
        }
    }
    ranked(found)
}

/// A block; of a title its size, and whether it was cut out here.
struct Ranked {
    block: DocumentBlock,
    size: Option<f32>,
    is_new: bool,
}

/// The size of most of the text that is not bold, in points.
fn body_size(lines: &[TextLine]) -> Option<f32> {
    let mut characters: HashMap<u32, usize> = HashMap::new();
    for item in lines
        .iter()
        .flat_map(|line| &line.items)
        .filter(|item| !item.is_bold)
    {
        let rounded = (item.font_size / SAME_SIZE).round() * SAME_SIZE;
        *characters.entry(rounded.to_bits()).or_default() += item.text.len();
    }
    // Of equally frequent sizes the smaller: positive numbers are in the order of their bits.
    let most = characters
        .into_iter()
        .max_by_key(|(size, count)| (*count, std::cmp::Reverse(*size)));
    most.map(|(size, _)| f32::from_bits(size))
        .filter(|size| *size > 0.0)
}

/// How far the lines of a paragraph are apart, in points.
fn distance_in_paragraphs(lines: &[TextLine], body_size: f32) -> Option<f32> {
    let mut distances: Vec<f32> = (0..lines.len())
        .filter_map(|at| distance(&lines[at..]))
        // Closer ones are parts of formulas.
        .filter(|distance| (body_size * 0.9..body_size * 10.0).contains(distance))
        .collect();
    distances.sort_by(f32::total_cmp);
    (distances.len() >= FEWEST_DISTANCES).then(|| distances[distances.len() / CLOSE_LINES_ONE_IN])
}

/// How far the second line is below the first; `None` if it is elsewhere.
fn distance(lines: &[TextLine]) -> Option<f32> {
    let [first, second, ..] = lines else {
        return None;
    };
    let distance = first.y - second.y;
    (first.page == second.page && distance > 0.0).then_some(distance)
}

/// How many lines from the first on are bold, of one size and close together.
fn bold_lines(lines: &[TextLine], close: f32) -> usize {
    let Some(size) = lines.first().and_then(bold_size) else {
        return 0;
    };
    let goes_on = |at: usize| {
        let is_close = distance(&lines[at - 1..]).is_some_and(|distance| distance <= close.max(size) * APART);
        is_close && bold_size(&lines[at]).is_some_and(|own| (own - size).abs() < SAME_SIZE)
    };
    (1..lines.len()).find(|at| !goes_on(*at)).unwrap_or(lines.len())
}

/// The size of a line that is all bold.
fn bold_size(line: &TextLine) -> Option<f32> {
    let mut visible = line.items.iter().filter(|item| !item.text.trim().is_empty());
    let first = visible.next().filter(|first| first.is_bold)?;
    visible.all(|item| item.is_bold).then_some(first.font_size)
}

fn title(lines: &[TextLine], at: usize, count: usize, body_size: f32) -> Option<Title> {
    let own = &lines[at..at + count];
    let size = bold_size(&own[0])?;
    let words: Vec<String> = own.iter().map(TextLine::text).collect();
    let text = clean_words(&words.join(" "));
    let count_of_words = text.split_whitespace().count();
    let beginning = text.split_whitespace().next()?.to_lowercase();
    let is_title = size >= body_size * SMALLEST
        && count_of_words <= MOST_WORDS
        && text.chars().any(char::is_alphabetic)
        && text.chars().next().is_some_and(char::is_alphanumeric)
        && !text.ends_with([',', ';', '-'])
        && !CAPTION_WORDS.contains(&beginning.as_str())
        && !own.iter().any(has_cells);
    let on_page = |line: &&TextLine| line.page == own[0].page;
    let word = |line: Option<&TextLine>, of: fn(&str) -> Option<&str>| {
        let text = clean_words(&line.filter(|line| on_page(line))?.text());
        of(&text).map(str::to_owned)
    };
    is_title.then(|| Title {
        page: own[0].page,
        size,
        before: word(at.checked_sub(1).map(|before| &lines[before]), |text| {
            // A word that was broken is put together again.
            text.split_whitespace().last().filter(|word| !word.ends_with('-'))
        }),
        after: word(lines.get(at + count), |text| text.split_whitespace().next()),
        text,
    })
}

/// Whether a line begins with the mark of a list: lists stand close to what announces them.
fn begins_item(line: &TextLine) -> bool {
    line.text()
        .trim_start()
        .starts_with(['•', '◦', '▪', '‣', '·', '–', '—', '-'])
}

/// Whether there is more space between two words than in running text.
fn has_cells(line: &TextLine) -> bool {
    line.items.windows(2).any(|pair| {
        let end = pair[0].x + pair[0].width.max(0.0);
        pair[1].x - end > pair[0].font_size * CELLS_APART
    })
}

/// Adds a block, in parts where titles stand in it.
fn cut(block: DocumentBlock, titles: &[&Title], found: &mut Vec<Ranked>) {
    let text = block.text.as_str();
    let mut places: Vec<(usize, &Title)> = titles
        .iter()
        .flat_map(|title| {
            let places = text.match_indices(title.text.as_str()).map(|(at, _)| at);
            places
                .filter(|at| stands_at(title, text, *at))
                .map(|at| (at, *title))
        })
        .collect();
    places.sort_by_key(|(at, _)| *at);
    let part = |kind: BlockKind, text: &str| DocumentBlock {
        kind,
        text: text.trim().to_owned(),
        page: block.page,
    };
    let mut kind = block.kind;
    let mut end = 0;
    for (at, title) in places {
        if at < end {
            continue;
        }
        found.push(Ranked {
            block: part(kind, &text[end..at]),
            size: None,
            is_new: false,
        });
        let heading = part(BlockKind::Heading { level: 1 }, &title.text);
        found.push(Ranked {
            block: heading,
            size: Some(title.size),
            is_new: true,
        });
        kind = BlockKind::Paragraph;
        end = at + title.text.len();
    }
    if end == 0 {
        found.push(Ranked {
            block,
            size: None,
            is_new: false,
        });
    } else {
        found.push(Ranked {
            block: part(kind, &text[end..]),
            size: None,
            is_new: false,
        });
    }
    found.retain(|one| !one.block.text.is_empty());
}

/// Whether the words around a place in a paragraph are those around the title on the page.
fn stands_at(title: &Title, text: &str, at: usize) -> bool {
    let (before, after) = (&text[..at], &text[at + title.text.len()..]);
    let is_whole = (before.is_empty() || before.ends_with(char::is_whitespace))
        && (after.is_empty() || after.starts_with(char::is_whitespace));
    let agrees = |expected: Option<&String>, found: Option<&str>| match (expected, found) {
        (Some(expected), Some(found)) => expected == found,
        (None, _) | (_, None) => true,
    };
    is_whole
        && agrees(title.before.as_ref(), before.split_whitespace().last())
        && agrees(title.after.as_ref(), after.split_whitespace().next())
}

/// Gives titles levels: that of the others of their size, and no size that of a larger one.
fn ranked(mut found: Vec<Ranked>) -> Vec<DocumentBlock> {
    let mut sizes: Vec<f32> = found.iter().filter_map(|one| one.size).collect();
    sizes.sort_by(|one, other| other.total_cmp(one));
    sizes.dedup_by(|next, kept| *kept - *next < SAME_SIZE);
    let of_size = |one: &Ranked, size: f32| one.size.is_some_and(|own| own <= size && size - own < SAME_SIZE);
    let mut above = 0;
    for size in sizes {
        let known = found.iter().filter(|one| !one.is_new && of_size(one, size));
        let highest = known.filter_map(|one| level_of(&one.block)).min();
        // Level 1 is that of the document's title.
        let level = highest.unwrap_or(2).max(above + 1).min(6);
        above = level;
        for one in found.iter_mut().filter(|one| of_size(one, size)) {
            one.block.kind = BlockKind::Heading { level };
        }
    }
    found.into_iter().map(|one| one.block).collect()
}

const fn level_of(block: &DocumentBlock) -> Option<u8> {
    match block.kind {
        BlockKind::Heading { level } => Some(level),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(text: &str, size: f32, before: &str, after: &str) -> Title {
        let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        Title {
            page: 1,
            text: text.to_owned(),
            size,
            before: word(before),
            after: word(after),
        }
    }

    fn block(kind: BlockKind, text: &str) -> DocumentBlock {
        DocumentBlock {
            kind,
            text: text.to_owned(),
            page: Some(1),
        }
    }

    const fn heading(level: u8) -> BlockKind {
        BlockKind::Heading { level }
    }

    #[test]
    fn titles_are_cut_out_where_they_stand() {
        let titles = [
            title("Цена и спрос", 14.0, "", "Цена"),
            title("Цена", 12.0, "растёт.", "Если"),
            title("Итог", 12.0, "пункт", ""),
        ];
        let blocks = vec![
            block(heading(2), "Цена и спрос"),
            block(
                BlockKind::Paragraph,
                "Цена растёт. Цена Если Цена мала, Ценах нет.",
            ),
            block(BlockKind::ListItem, "- пункт Итог Дальше текст"),
            block(BlockKind::Table, "| растёт. Цена Если |"),
        ];
        let expected = vec![
            block(heading(2), "Цена и спрос"),
            block(BlockKind::Paragraph, "Цена растёт."),
            block(heading(3), "Цена"),
            block(BlockKind::Paragraph, "Если Цена мала, Ценах нет."),
            block(BlockKind::ListItem, "- пункт"),
            block(heading(3), "Итог"),
            block(BlockKind::Paragraph, "Дальше текст"),
            block(BlockKind::Table, "| растёт. Цена Если |"),
        ];
        assert_eq!(apply(blocks, &titles), expected);
    }

    #[test]
    fn a_title_of_two_lines_is_one() {
        let titles = [title("Two programs in comparison", 12.0, "", "")];
        let blocks = vec![
            block(heading(2), "Two programs"),
            block(heading(2), "in comparison"),
            block(heading(2), "Other"),
        ];
        let expected = vec![
            block(heading(2), "Two programs in comparison"),
            block(heading(2), "Other"),
        ];
        assert_eq!(apply(blocks, &titles), expected);
    }

    #[test]
    fn lines_that_announce_text_are_no_titles_where_titles_are_bold() {
        let announced = |kind| vec![block(kind, "Following are the results:")];
        let text = announced(BlockKind::Paragraph);
        let other = [title("Prices", 12.0, "", "")];
        assert_eq!(apply(announced(heading(2)), &other), text);
        assert_eq!(apply(announced(heading(2)), &[]), announced(heading(2)));
        let bold = [title("Following are the results:", 12.0, "", "")];
        assert_eq!(apply(announced(heading(2)), &bold), announced(heading(2)));
    }

    #[test]
    fn pages_full_of_bold_words_and_other_pages_stay() {
        let many: Vec<Title> = (0..=MOST_ON_PAGE)
            .map(|at| title(&format!("word{at}"), 12.0, "", ""))
            .collect();
        let blocks = vec![block(BlockKind::Paragraph, "text word1 text")];
        assert_eq!(apply(blocks.clone(), &many), blocks);
        let elsewhere = [Title {
            page: 2,
            ..title("word1", 12.0, "", "")
        }];
        assert_eq!(apply(blocks.clone(), &elsewhere), blocks);
        assert_eq!(find(Vec::new()), Vec::new());
    }
}
