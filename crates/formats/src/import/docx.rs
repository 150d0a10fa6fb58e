//! Word documents (ISO 29500-1, 17): what is printed, in the order in which it is read.
//!
//! Left out: headers and footers, comments, what was deleted with tracked changes, hidden text, the table of contents.

use std::collections::HashMap;

use domain::document::{BlockKind, DocumentText};

use super::blocks::Blocks;
use super::package::Package;
use super::word_styles::{ListPlace, Lists, Role, Styles, list_level, outline_level, place_of};
use super::xml::{Element, Node, Nodes, decoded};
use super::{Excess, ImportError, ImportLimits, table};

/// The widest cell is as wide as so many.
const WIDEST_SPAN: usize = 64;

/// Reads a Word document.
pub(super) fn extract(bytes: &[u8], limits: &ImportLimits) -> Result<DocumentText, ImportError> {
    let mut package = Package::open(bytes, limits)?;
    let main = package.main_part("officeDocument", "word/document.xml")?;
    let relations = package.relations(&main)?;
    let part_of_kind = |package: &mut Package<'_>, kind: &str| {
        let relation = relations.iter().find(|relation| relation.kind == kind);
        relation.map_or(Ok(None), |relation| package.read(&relation.target))
    };
    let styles = part_of_kind(&mut package, "styles")?;
    let lists = part_of_kind(&mut package, "numbering")?;
    let mut reader = WordReader {
        styles: styles.map_or_else(|| Ok(Styles::default()), |bytes| Styles::read(&bytes, limits))?,
        lists: lists.map_or_else(|| Ok(Lists::default()), |bytes| Lists::read(&bytes, limits))?,
        roles: HashMap::new(),
        blocks: Blocks::new(limits),
        title: None,
        paragraphs: Vec::new(),
        tables: Vec::new(),
        run: None,
        is_text: false,
        note: None,
        page: 1,
        has_pages: false,
        broke_page: false,
    };
    reader.read(&package.require(&main)?, limits)?;
    for kind in ["footnotes", "endnotes"] {
        if let Some(notes) = part_of_kind(&mut package, kind)? {
            reader.read(&notes, limits)?;
        }
    }
    let pages = if reader.has_pages { reader.page } else { 0 };
    if pages > limits.max_pages {
        return Err(ImportError::TooLarge {
            excess: Excess::Pages,
            limit: u64::from(limits.max_pages),
        });
    }
    let title = package.title()?.or(reader.title);
    let mut text = reader.blocks.finish(title.as_deref(), pages);
    if pages == 0 {
        // Only Word says where pages ended; others leave it to whoever prints.
        for block in &mut text.blocks {
            block.page = None;
        }
    }
    Ok(text)
}

struct WordReader<'l> {
    styles: Styles,
    lists: Lists,
    /// Roles by style, as far as they were asked for.
    roles: HashMap<String, Role>,
    blocks: Blocks<'l>,
    title: Option<String>,
    /// Paragraphs that are open: a text box lies inside one.
    paragraphs: Vec<Paragraph>,
    tables: Vec<TableInProgress>,
    /// The run that is open; whether it is hidden.
    run: Option<bool>,
    is_text: bool,
    /// The mark of the footnote that is open, until it is written.
    note: Option<String>,
    page: u32,
    has_pages: bool,
    /// A page break has just come, and no text since.
    broke_page: bool,
}

#[derive(Default)]
struct Paragraph {
    style: String,
    outline: Option<u8>,
    place: Option<ListPlace>,
    text: String,
    /// Where its text begins.
    page: u32,
    /// The run around it, if it stands in a text box.
    outer_run: Option<bool>,
}

#[derive(Default)]
struct TableInProgress {
    rows: Vec<Vec<String>>,
    row: Vec<String>,
    cell: String,
    span: usize,
    /// The cell goes on from the row above.
    is_continued: bool,
}

impl WordReader<'_> {
    fn read(&mut self, bytes: &[u8], limits: &ImportLimits) -> Result<(), ImportError> {
        let text = decoded(bytes)?;
        let mut nodes = Nodes::new(&text, limits);
        while let Some(node) = nodes.next()? {
            match node {
                // Moved text stands where it was moved to; fallbacks say the same once more.
                Node::Open(element) if matches!(element.name(), "Fallback" | "moveFrom" | "del") => {
                    nodes.skip()?;
                }
                Node::Open(element) if is_separator(&element) => nodes.skip()?,
                Node::Open(element) => self.open(&element),
                Node::Close(name) => self.close(&name)?,
                Node::Text(part) if self.is_text => self.write(&part),
                Node::Text(_) => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, text: &str) {
        if self.run == Some(true) {
            return;
        }
        if let Some(paragraph) = self.paragraphs.last_mut() {
            if paragraph.text.trim().is_empty() {
                paragraph.page = self.page;
            }
            paragraph.text.push_str(text);
            self.broke_page = false;
        }
    }

    fn open(&mut self, element: &Element<'_>) {
        match element.name() {
            "p" => self.paragraphs.push(Paragraph {
                outer_run: self.run.take(),
                ..Paragraph::default()
            }),
            "pStyle" => {
                let style = element.attribute("val").unwrap_or_default();
                self.with_paragraph(|paragraph| paragraph.style = style);
            }
            "outlineLvl" => {
                let level = outline_level(element);
                self.with_paragraph(|paragraph| paragraph.outline = level);
            }
            "numId" => {
                let list = element.attribute("val").unwrap_or_default();
                self.with_paragraph(|paragraph| place_of(&mut paragraph.place).list = list);
            }
            "ilvl" => {
                let level = list_level(element);
                self.with_paragraph(|paragraph| place_of(&mut paragraph.place).level = level);
            }
            "r" => self.run = Some(false),
            "vanish" if self.run.is_some() && !element.is_off() => self.run = Some(true),
            "t" => self.is_text = true,
            "tab" if self.run.is_some() => self.write("\t"),
            "noBreakHyphen" => self.write("-"),
            "cr" => self.write("\n"),
            "br" => match element.attribute("type").as_deref() {
                Some("page") => {
                    self.page = self.page.saturating_add(1);
                    self.broke_page = true;
                }
                _ => self.write("\n"),
            },
            "lastRenderedPageBreak" => {
                self.has_pages = true;
                // Word notes a page break of the author's once more, where the next page begins.
                if !std::mem::take(&mut self.broke_page) {
                    self.page = self.page.saturating_add(1);
                }
            }
            "sym" => self.write(&symbol(element)),
            "footnoteReference" | "endnoteReference" => {
                let mark = format!("[{}]", element.attribute("id").unwrap_or_default());
                self.write(&mark);
            }
            "footnote" | "endnote" => self.note = element.attribute("id"),
            "tbl" => self.tables.push(TableInProgress::default()),
            "tc" => self.with_table(|table| {
                table.cell.clear();
                table.span = 1;
                table.is_continued = false;
            }),
            "gridSpan" => {
                let span = element.attribute("val").and_then(|span| span.parse().ok());
                self.with_table(|table| table.span = span.unwrap_or(1_usize).clamp(1, WIDEST_SPAN));
            }
            "vMerge" => {
                let is_continued = element.attribute("val").as_deref() != Some("restart");
                self.with_table(|table| table.is_continued = is_continued);
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) -> Result<(), ImportError> {
        match name {
            "t" => self.is_text = false,
            "r" => self.run = None,
            "p" => {
                if let Some(paragraph) = self.paragraphs.pop() {
                    self.run = paragraph.outer_run;
                    self.end_paragraph(paragraph)?;
                }
            }
            "tc" => self.with_table(|table| {
                let cell = std::mem::take(&mut table.cell);
                table
                    .row
                    .push(if table.is_continued { String::new() } else { cell });
                table
                    .row
                    .extend(std::iter::repeat_n(String::new(), table.span.saturating_sub(1)));
            }),
            "tr" => self.with_table(|table| {
                let row = std::mem::take(&mut table.row);
                table.rows.push(row);
            }),
            "tbl" => {
                if let Some(table) = self.tables.pop() {
                    self.end_table(&table)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_paragraph(&mut self, paragraph: Paragraph) -> Result<(), ImportError> {
        if paragraph.text.trim().is_empty() {
            return Ok(());
        }
        if let Some(table) = self.tables.last_mut() {
            table.cell.push(' ');
            table.cell.push_str(&paragraph.text);
            return Ok(());
        }
        self.blocks.page = Some(paragraph.page);
        if let Some(mark) = self.note.take() {
            return self
                .blocks
                .push(BlockKind::Paragraph, &format!("[{mark}] {}", paragraph.text));
        }
        let styles = &self.styles;
        let place = paragraph
            .place
            .or_else(|| styles.place(&paragraph.style).cloned());
        let role = *self
            .roles
            .entry(paragraph.style)
            .or_insert_with_key(|style| styles.role(style));
        let role = match (paragraph.outline, role) {
            (Some(level @ 0..=8), Role::Body) => Role::Heading(level + 1),
            (_, role) => role,
        };
        match role {
            Role::Contents => Ok(()),
            Role::Code => {
                for line in paragraph.text.split('\n') {
                    self.blocks.push_code_line(line)?;
                }
                Ok(())
            }
            Role::Title => {
                self.title.get_or_insert_with(|| paragraph.text.clone());
                self.blocks.push(BlockKind::Heading { level: 1 }, &paragraph.text)
            }
            Role::Heading(level) => {
                let kind = BlockKind::Heading { level: level.min(6) };
                self.blocks.push(kind, &paragraph.text)
            }
            Role::Body => {
                let mark = place.and_then(|place| self.lists.next_mark(&place));
                match mark {
                    Some(mark) => {
                        let text = format!("{mark} {}", paragraph.text);
                        self.blocks.push(BlockKind::ListItem, &text)
                    }
                    None => self.blocks.push(BlockKind::Paragraph, &paragraph.text),
                }
            }
        }
    }

    fn end_table(&mut self, table: &TableInProgress) -> Result<(), ImportError> {
        // A table inside a table is text of its cell.
        if let Some(outer) = self.tables.last_mut() {
            for cell in table.rows.iter().flatten() {
                outer.cell.push(' ');
                outer.cell.push_str(cell);
            }
            return Ok(());
        }
        self.blocks.page = Some(self.page);
        match (table.rows.as_slice(), table::markdown(&table.rows)) {
            // One cell is a frame around a text.
            ([row], _) if row.len() == 1 => self.blocks.push(BlockKind::Paragraph, &row[0]),
            (_, Some(text)) => self.blocks.push(BlockKind::Table, &text),
            (_, None) => Ok(()),
        }
    }

    fn with_paragraph(&mut self, change: impl FnOnce(&mut Paragraph)) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            change(paragraph);
        }
    }

    fn with_table(&mut self, change: impl FnOnce(&mut TableInProgress)) {
        if let Some(table) = self.tables.last_mut() {
            change(table);
        }
    }
}

/// The line between text and footnotes is stored as a footnote.
fn is_separator(element: &Element<'_>) -> bool {
    matches!(element.name(), "footnote" | "endnote")
        && element.attribute("type").is_some_and(|kind| kind != "normal")
}

/// A sign of a font of signs. Those in the private area mean nothing outside of their font.
fn symbol(element: &Element<'_>) -> String {
    let code = element
        .attribute("char")
        .and_then(|code| u32::from_str_radix(&code, 16).ok());
    match code.and_then(char::from_u32) {
        Some(sign) if !('\u{e000}'..='\u{f8ff}').contains(&sign) => sign.to_string(),
        _ => " ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::archive;
    use super::*;

    const RELATIONS: &str = "<Relationships><Relationship Id='1' Type='http://x/styles' Target='styles.xml'/>\
        <Relationship Id='2' Type='http://x/numbering' Target='numbering.xml'/>\
        <Relationship Id='3' Type='http://x/footnotes' Target='footnotes.xml'/></Relationships>";
    const STYLES: &str = "<w:styles><w:style w:styleId='a'><w:name w:val='heading 1'/></w:style>\
        <w:style w:styleId='c'><w:name w:val='Source Code'/></w:style></w:styles>";
    const NUMBERING: &str = "<w:numbering><w:abstractNum w:abstractNumId='0'><w:lvl w:ilvl='0'><w:numFmt w:val='decimal'/>\
        <w:lvlText w:val='%1.'/></w:lvl></w:abstractNum><w:num w:numId='5'><w:abstractNumId w:val='0'/></w:num></w:numbering>";
    const FOOTNOTES: &str = "<w:footnotes><w:footnote w:id='0' w:type='separator'><w:p><w:r><w:t>no</w:t></w:r></w:p></w:footnote>\
        <w:footnote w:id='2'><w:p><w:r><w:t>Сноска</w:t></w:r></w:p></w:footnote></w:footnotes>";

    fn read(body: &str) -> DocumentText {
        let document = format!("<w:document><w:body>{body}</w:body></w:document>");
        let bytes = archive(&[
            ("word/document.xml", &document),
            ("word/_rels/document.xml.rels", RELATIONS),
            ("word/styles.xml", STYLES),
            ("word/numbering.xml", NUMBERING),
            ("word/footnotes.xml", FOOTNOTES),
        ]);
        extract(&bytes, &ImportLimits::default()).unwrap()
    }

    fn paragraph(properties: &str, text: &str) -> String {
        format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
    }

    #[track_caller]
    fn check(body: &str, expected: &[(BlockKind, &str)]) {
        let text = read(body);
        let mut found: Vec<(BlockKind, &str)> = text
            .blocks
            .iter()
            .map(|block| (block.kind, block.text.as_str()))
            .collect();
        assert_eq!(found.pop(), Some((BlockKind::Paragraph, "[2] Сноска")));
        assert_eq!(found, expected);
    }

    #[test]
    fn every_kind_of_block_is_read() {
        let list = "<w:numPr><w:ilvl w:val='0'/><w:numId w:val='5'/></w:numPr>";
        let code = "<w:pStyle w:val='c'/>";
        check(
            &[
                paragraph("<w:pStyle w:val='a'/>", "Спрос"),
                paragraph("<w:outlineLvl w:val='1'/>", "Level two"),
                "<w:p><w:r><w:t xml:space='preserve'>Один </w:t></w:r><w:r><w:t>два</w:t><w:br/><w:t>три</w:t>\
                 <w:tab/><w:footnoteReference w:id='2'/></w:r></w:p>"
                    .to_owned(),
                paragraph(list, "первый"),
                paragraph(list, "второй"),
                paragraph(code, "if a:"),
                paragraph(code, "    b"),
                paragraph("", " "),
            ]
            .concat(),
            &[
                (BlockKind::Heading { level: 1 }, "Спрос"),
                (BlockKind::Heading { level: 2 }, "Level two"),
                (BlockKind::Paragraph, "Один два\nтри [2]"),
                (BlockKind::ListItem, "1. первый"),
                (BlockKind::ListItem, "2. второй"),
                (BlockKind::Code, "if a:\n    b"),
            ],
        );
    }

    #[test]
    fn tables_keep_their_cells_and_text_boxes_come_first() {
        let cell = |properties: &str, text: &str| {
            format!(
                "<w:tc><w:tcPr>{properties}</w:tcPr>{}</w:tc>",
                paragraph("", text)
            )
        };
        let inner = format!("<w:tbl><w:tr>{}{}</w:tr></w:tbl>", cell("", "x"), cell("", "y"));
        check(
            &format!(
                "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}<w:tc>{}{inner}</w:tc></w:tr></w:tbl>\
                 <w:p><w:r><mc:AlternateContent><mc:Choice><w:txbxContent>{}</w:txbxContent></mc:Choice><mc:Fallback>{}</mc:Fallback>\
                 </mc:AlternateContent><w:t>Anchor</w:t></w:r></w:p><w:tbl><w:tr>{}</w:tr></w:tbl>",
                cell("<w:gridSpan w:val='2'/>", "a"),
                cell("<w:vMerge w:val='restart'/>", "b"),
                cell("<w:vMerge/>", "again"),
                paragraph("", "c"),
                paragraph("", "Box"),
                paragraph("", "Box"),
                cell("", "Framed"),
            ),
            &[
                (
                    BlockKind::Table,
                    "| a |  | b |\n| --- | --- | --- |\n|  | c x y |",
                ),
                (BlockKind::Paragraph, "Box"),
                (BlockKind::Paragraph, "Anchor"),
                (BlockKind::Paragraph, "Framed"),
            ],
        );
    }

    #[test]
    fn what_is_not_printed_is_left_out() {
        check(
            "<w:p><w:del><w:r><w:delText>no</w:delText></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins>\
             <w:moveFrom><w:r><w:t>no</w:t></w:r></w:moveFrom><w:r><w:rPr><w:vanish/></w:rPr><w:t>no</w:t></w:r>\
             <w:r><w:instrText>PAGEREF no</w:instrText></w:r></w:p><w:p><w:pPr><w:pStyle w:val='TOC1'/></w:pPr><w:r><w:t>no</w:t></w:r></w:p>",
            &[(BlockKind::Paragraph, "new")],
        );
    }

    #[test]
    fn pages_are_those_that_word_has_noted() {
        let noted = read(
            "<w:p><w:r><w:t>a</w:t><w:br w:type='page'/></w:r></w:p>\
             <w:p><w:r><w:lastRenderedPageBreak/><w:t>b</w:t></w:r></w:p><w:p><w:r><w:lastRenderedPageBreak/><w:t>c</w:t></w:r></w:p>",
        );
        let pages: Vec<Option<u32>> = noted.blocks.iter().map(|block| block.page).collect();
        assert_eq!((noted.pages, &pages[..3]), (3, &[Some(1), Some(2), Some(3)][..]));
        let unnoted = read("<w:p><w:r><w:t>a</w:t><w:br w:type='page'/></w:r></w:p>");
        assert_eq!((unnoted.pages, unnoted.blocks[0].page), (0, None));
    }
}
