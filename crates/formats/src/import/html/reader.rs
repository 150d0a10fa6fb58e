//! The state of a page that is being read.

use std::cell::RefCell;

use domain::document::BlockKind;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult};

use super::super::blocks::{Blocks, clean_words};
use super::super::{ImportError, ImportLimits, table};
use super::Page;

/// The main part of a page is taken for the whole if it has so many characters; else it is an empty frame.
const MAIN_CHARACTERS: usize = 200;
/// The widest cell is as wide as so many.
const WIDEST_SPAN: usize = 64;
/// Lists and tables inside each other beyond this are read as one.
const DEEPEST: usize = 40;

/// How tags that close themselves are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Html,
    Xhtml,
}

/// Takes the tokens of a page.
pub(super) struct HtmlReader<'l> {
    state: RefCell<State<'l>>,
}

struct State<'l> {
    syntax: Syntax,
    blocks: Blocks<'l>,
    /// The numbers of blocks that belong to the main part.
    main: Vec<usize>,
    /// How many `main` and `article` are open.
    main_depth: usize,
    /// How many `header` are open outside of the main part.
    header_depth: usize,
    title: Option<String>,
    /// The element whose inside is passed over, and how many of its name are open.
    skipped: Option<(String, usize)>,
    text: String,
    kind: BlockKind,
    /// Marks of the lists that are open: the next number, or none.
    lists: Vec<Option<u32>>,
    /// The mark of an item whose text has not begun.
    mark: Option<String>,
    /// A term whose definition comes next.
    term: Option<String>,
    tables: Vec<TableInProgress>,
    preformatted: usize,
    error: Option<ImportError>,
}

#[derive(Default)]
struct TableInProgress {
    rows: Vec<Vec<String>>,
    row: Vec<String>,
    cell: Option<(String, usize)>,
    /// It only arranges the page.
    is_layout: bool,
}

impl<'l> HtmlReader<'l> {
    pub(super) fn new(syntax: Syntax, limits: &'l ImportLimits) -> Self {
        Self {
            state: RefCell::new(State {
                syntax,
                blocks: Blocks::new(limits),
                main: Vec::new(),
                main_depth: 0,
                header_depth: 0,
                title: None,
                skipped: None,
                text: String::new(),
                kind: BlockKind::Paragraph,
                lists: Vec::new(),
                mark: None,
                term: None,
                tables: Vec::new(),
                preformatted: 0,
                error: None,
            }),
        }
    }

    /// The page, when all its tokens have come.
    pub(super) fn finish(self) -> Result<Page, ImportError> {
        let mut state = self.state.into_inner();
        state.attempt(State::end_of_page);
        if let Some(error) = state.error {
            return Err(error);
        }
        let of_main = state.main;
        let mut blocks = state.blocks.into_blocks();
        let in_main: usize = of_main.iter().map(|at| blocks[*at].text.chars().count()).sum();
        if in_main >= MAIN_CHARACTERS {
            let mut number = 0;
            let mut of_main = of_main.into_iter().peekable();
            blocks.retain(|_| {
                let belongs = of_main.next_if_eq(&number).is_some();
                number += 1;
                belongs
            });
        }
        Ok(Page {
            title: state
                .title
                .map(|title| clean_words(&title))
                .filter(|title| !title.is_empty()),
            blocks,
        })
    }
}

impl TokenSink for HtmlReader<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut state = self.state.borrow_mut();
        match token {
            Token::CharacterTokens(text) => state.text(&text),
            Token::TagToken(tag) => {
                state.attempt(|state| state.tag(&tag));
                return state.raw_text_after(&tag);
            }
            Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::EOFToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

impl State<'_> {
    /// Does a step; after an error there are no more.
    fn attempt(&mut self, step: impl FnOnce(&mut Self) -> Result<(), ImportError>) {
        if self.error.is_none() {
            self.error = step(self).err();
        }
    }

    fn text(&mut self, text: &str) {
        if self.skipped.as_ref().is_some_and(|(name, _)| name == "title") {
            self.title.get_or_insert_default().push_str(text);
        } else if self.skipped.is_none() && self.preformatted > 0 {
            self.text.push_str(text);
        } else if self.skipped.is_none() {
            // Line breaks in the source are spaces; those of the page come as tags.
            self.text
                .extend(text.chars().map(|one| if one == '\n' { ' ' } else { one }));
        }
    }

    /// What the tokenizer has to know: inside these, tags are text.
    fn raw_text_after(&self, tag: &Tag) -> TokenSinkResult<()> {
        let closes_itself = tag.self_closing && self.syntax == Syntax::Xhtml;
        if tag.kind == TagKind::EndTag || closes_itself {
            return TokenSinkResult::Continue;
        }
        match &*tag.name {
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            "style" | "xmp" | "iframe" | "noembed" | "noframes" => TokenSinkResult::RawData(RawKind::Rawtext),
            "script" => TokenSinkResult::RawData(RawKind::ScriptData),
            _ => TokenSinkResult::Continue,
        }
    }

    fn tag(&mut self, tag: &Tag) -> Result<(), ImportError> {
        let name: &str = &tag.name;
        let closes_itself = tag.self_closing && self.syntax == Syntax::Xhtml;
        if let Some((skipped, depth)) = &mut self.skipped {
            if name == skipped && !closes_itself {
                match tag.kind {
                    TagKind::StartTag => *depth += 1,
                    TagKind::EndTag => *depth -= 1,
                }
                if *depth == 0 {
                    self.skipped = None;
                }
            }
            return Ok(());
        }
        match tag.kind {
            TagKind::StartTag if !is_void(name) && self.is_passed_over(tag) => {
                self.flush()?;
                if !closes_itself {
                    self.skipped = Some((name.to_owned(), 1));
                }
                Ok(())
            }
            TagKind::StartTag => {
                self.open(tag)?;
                if closes_itself && !is_void(name) {
                    self.close(name)?;
                }
                Ok(())
            }
            TagKind::EndTag => self.close(name),
        }
    }

    /// Whether an element has nothing of what the page is about.
    fn is_passed_over(&self, tag: &Tag) -> bool {
        let is_main = self.main_depth > 0;
        let by_name = match &*tag.name {
            "script" | "style" | "noscript" | "template" | "svg" | "canvas" | "iframe" | "object"
            | "audio" | "video" | "select" | "textarea" | "button" | "dialog" | "menu" | "nav" | "xmp"
            | "noembed" | "noframes" | "annotation" | "annotation-xml" => true,
            "title" => self.title.is_none() && !is_main,
            "aside" | "footer" => !is_main,
            _ => false,
        };
        by_name
            || tag.attrs.iter().any(|attribute| {
                let value = attribute.value.to_ascii_lowercase();
                match &*attribute.name.local {
                    "hidden" => true,
                    "aria-hidden" => value == "true",
                    "role" => matches!(
                        value.as_str(),
                        "navigation" | "banner" | "contentinfo" | "search" | "menu" | "menubar" | "dialog"
                    ),
                    "style" => value.replace(' ', "").contains("display:none"),
                    // Frames around everything bear such words too, as part of longer ones.
                    "class" | "id" => !is_main && value.split_whitespace().any(is_word_of_navigation),
                    _ => false,
                }
            })
    }

    fn open(&mut self, tag: &Tag) -> Result<(), ImportError> {
        let name: &str = &tag.name;
        match name {
            "br" => self.text.push('\n'),
            "main" | "article" => {
                self.flush()?;
                self.main_depth += 1;
            }
            "header" if self.main_depth == 0 => {
                self.flush()?;
                self.header_depth += 1;
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.lay_out()?;
                self.flush()?;
                self.kind = BlockKind::Heading {
                    level: name.as_bytes()[1] - b'0',
                };
            }
            "ul" | "ol" => {
                self.flush()?;
                let start = attribute(tag, "start")
                    .and_then(|start| start.parse().ok())
                    .unwrap_or(1);
                if self.lists.len() < DEEPEST {
                    self.lists.push((name == "ol").then_some(start));
                }
            }
            "li" => {
                self.flush()?;
                self.mark = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let mark = format!("{number}.");
                        *number = number.saturating_add(1);
                        mark
                    }
                    Some(None) | None => "-".to_owned(),
                });
            }
            "dt" => {
                self.flush()?;
                self.flush_term()?;
            }
            // A term need not be closed.
            "dd" if self.term.is_none() => self.end_term(),
            "dd" => self.flush()?,
            "pre" => {
                self.flush()?;
                self.preformatted += 1;
                self.kind = BlockKind::Code;
            }
            "table" => {
                self.lay_out()?;
                self.flush()?;
                if self.tables.len() < DEEPEST {
                    self.tables.push(TableInProgress::default());
                }
            }
            "tr" => self.end_row()?,
            "td" | "th" => {
                self.end_cell()?;
                let span = attribute(tag, "colspan")
                    .and_then(|span| span.parse().ok())
                    .unwrap_or(1_usize);
                if let Some(table) = self.tables.last_mut() {
                    table.cell = Some((String::new(), span.clamp(1, WIDEST_SPAN)));
                }
            }
            name if is_block(name) => self.flush()?,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) -> Result<(), ImportError> {
        match name {
            "main" | "article" => {
                self.flush()?;
                self.main_depth = self.main_depth.saturating_sub(1);
            }
            "header" => {
                self.flush()?;
                self.header_depth = self.header_depth.saturating_sub(1);
            }
            "ul" | "ol" => {
                self.flush()?;
                self.mark = None;
                self.lists.pop();
            }
            "li" => {
                self.flush()?;
                self.mark = None;
            }
            "dt" => self.end_term(),
            "dl" => {
                self.flush()?;
                self.flush_term()?;
            }
            "pre" => {
                self.flush()?;
                self.preformatted = self.preformatted.saturating_sub(1);
                self.kind = BlockKind::Paragraph;
            }
            "td" | "th" => self.end_cell()?,
            "tr" => self.end_row()?,
            "table" => self.end_table()?,
            name if is_block(name) => self.flush()?,
            _ => {}
        }
        Ok(())
    }

    /// What was collected becomes a block, or goes to the cell that is open.
    fn flush(&mut self) -> Result<(), ImportError> {
        let kind = self.kind;
        if self.preformatted == 0 || !matches!(kind, BlockKind::Code) {
            self.kind = BlockKind::Paragraph;
        }
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return Ok(());
        }
        if let Some(table) = self.tables.last_mut().filter(|table| !table.is_layout)
            && let Some((cell, _)) = &mut table.cell
        {
            cell.push(' ');
            cell.push_str(&text);
            return Ok(());
        }
        let is_heading = matches!(kind, BlockKind::Heading { .. });
        if self.header_depth > 0 && !is_heading {
            return Ok(());
        }
        if kind != BlockKind::Paragraph {
            return self.push(kind, &text);
        }
        if let Some(term) = self.term.take() {
            return self.push(kind, &format!("{}: {}", term.trim(), text.trim_start()));
        }
        match self.mark.take() {
            Some(mark) => self.push(BlockKind::ListItem, &format!("{mark} {}", text.trim_start())),
            None => self.push(kind, &text),
        }
    }

    fn end_term(&mut self) {
        let term = std::mem::take(&mut self.text);
        self.term = (!term.trim().is_empty()).then_some(term);
    }

    fn flush_term(&mut self) -> Result<(), ImportError> {
        match self.term.take() {
            Some(term) => self.push(BlockKind::Paragraph, &term),
            None => Ok(()),
        }
    }

    fn push(&mut self, kind: BlockKind, text: &str) -> Result<(), ImportError> {
        let before = self.blocks.len();
        self.blocks.push(kind, text)?;
        if self.main_depth > 0 && self.blocks.len() > before {
            self.main.push(before);
        }
        Ok(())
    }

    fn end_cell(&mut self) -> Result<(), ImportError> {
        self.flush()?;
        if let Some(table) = self.tables.last_mut()
            && let Some((cell, span)) = table.cell.take()
        {
            table.row.push(cell);
            table.row.extend(std::iter::repeat_n(String::new(), span - 1));
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), ImportError> {
        self.end_cell()?;
        if let Some(table) = self.tables.last_mut() {
            let row = std::mem::take(&mut table.row);
            if !table.is_layout && !row.is_empty() {
                table.rows.push(row);
            }
        }
        Ok(())
    }

    fn end_table(&mut self) -> Result<(), ImportError> {
        self.end_row()?;
        let Some(table) = self.tables.pop().filter(|table| !table.is_layout) else {
            return Ok(());
        };
        match (table.rows.as_slice(), table::markdown(&table.rows)) {
            // One cell is a frame around a text.
            ([row], _) if row.len() == 1 => self.push(BlockKind::Paragraph, &row[0]),
            (_, Some(table)) => self.push(BlockKind::Table, &table),
            (_, None) => Ok(()),
        }
    }

    /// The tables that are open turn out to arrange the page: what is in them so far becomes paragraphs.
    fn lay_out(&mut self) -> Result<(), ImportError> {
        let text = std::mem::take(&mut self.text);
        for at in 0..self.tables.len() {
            let table = &mut self.tables[at];
            if table.is_layout {
                continue;
            }
            table.is_layout = true;
            let mut cells: Vec<String> = std::mem::take(&mut table.rows).into_iter().flatten().collect();
            cells.append(&mut table.row);
            cells.extend(table.cell.take().map(|(cell, _)| cell));
            for cell in cells {
                self.push(BlockKind::Paragraph, &cell)?;
            }
        }
        self.text = text;
        Ok(())
    }

    fn end_of_page(&mut self) -> Result<(), ImportError> {
        self.flush()?;
        while !self.tables.is_empty() {
            self.end_table()?;
        }
        self.flush_term()
    }
}

fn attribute(tag: &Tag, name: &str) -> Option<String> {
    let found = tag
        .attrs
        .iter()
        .find(|attribute| &*attribute.name.local == name)?;
    Some(found.value.trim().to_owned())
}

/// Elements that have no inside (HTML, 13.1.2).
fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "source"
            | "track"
            | "wbr"
    )
}

/// Elements that begin a line of their own (HTML, 15.3).
fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "details"
            | "div"
            | "dl"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "head"
            | "header"
            | "hgroup"
            | "hr"
            | "html"
            | "legend"
            | "option"
            | "p"
            | "section"
            | "summary"
            | "tbody"
            | "tfoot"
            | "thead"
            | "dd"
    )
}

/// Names that pages give to what only helps to get around.
fn is_word_of_navigation(word: &str) -> bool {
    matches!(
        word,
        "nav"
            | "navbar"
            | "navigation"
            | "menu"
            | "sidebar"
            | "breadcrumb"
            | "breadcrumbs"
            | "pagination"
            | "cookie-banner"
            | "site-header"
            | "site-footer"
            | "skip-link"
            | "toc"
    )
}
