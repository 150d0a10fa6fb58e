//! Presentations: slides in order, with what the presenter says to them (ISO 29500-1, 19).

use domain::document::{BlockKind, DocumentText};

use super::blocks::Blocks;
use super::package::Package;
use super::xml::{Element, Node, Nodes, decoded};
use super::{Excess, ImportError, ImportLimits, table};

/// Where text stands on a slide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The title of a slide.
    Title,
    /// The title of the presentation.
    MainTitle,
    /// The outline: what has bullets unless it says that it has none.
    Outline,
    /// Anywhere else.
    #[default]
    Free,
    /// Date, number, footer.
    Furniture,
}

/// A paragraph of a slide.
#[derive(Clone, Debug, Default)]
struct SlideParagraph {
    place: Place,
    level: usize,
    has_no_bullet: bool,
    text: String,
}

/// What a slide has, in its order.
enum Item {
    Paragraph(SlideParagraph),
    Table(Vec<Vec<String>>),
}

/// Reads a presentation.
pub(super) fn extract(bytes: &[u8], limits: &ImportLimits) -> Result<DocumentText, ImportError> {
    let mut package = Package::open(bytes, limits)?;
    let main = package.main_part("officeDocument", "ppt/presentation.xml")?;
    let slides = slides_in_order(&mut package, &main, limits)?;
    let pages = u32::try_from(slides.len()).unwrap_or(u32::MAX);
    if pages > limits.max_pages {
        return Err(ImportError::TooLarge {
            excess: Excess::Pages,
            limit: u64::from(limits.max_pages),
        });
    }
    let title = package.title()?;
    let mut blocks = Blocks::new(limits);
    for (number, slide) in (1_u32..).zip(&slides) {
        blocks.page = Some(number);
        let items = read_slide(&package.require(slide)?, limits)?;
        push_items(&mut blocks, items)?;
        for relation in package.relations(slide)? {
            match relation.kind.as_str() {
                "diagramData" => {
                    let Some(bytes) = package.read(&relation.target)? else {
                        continue;
                    };
                    push_items(&mut blocks, read_slide(&bytes, limits)?)?;
                }
                "notesSlide" => {
                    let Some(bytes) = package.read(&relation.target)? else {
                        continue;
                    };
                    push_notes(&mut blocks, &read_slide(&bytes, limits)?)?;
                }
                _ => {}
            }
        }
    }
    Ok(blocks.finish(title.as_deref(), pages))
}

/// The files of the slides, as they are shown.
fn slides_in_order(
    package: &mut Package<'_>,
    main: &str,
    limits: &ImportLimits,
) -> Result<Vec<String>, ImportError> {
    let relations = package.relations(main)?;
    let bytes = package.require(main)?;
    let text = decoded(&bytes)?;
    let mut nodes = Nodes::new(&text, limits);
    let mut slides = Vec::new();
    while let Some(node) = nodes.next()? {
        let Node::Open(element) = node else { continue };
        if element.name() != "sldId" {
            continue;
        }
        // Its own number is called id, without a prefix.
        let id = element.prefixed_attribute("r:id");
        let found = relations
            .iter()
            .find(|relation| Some(&relation.id) == id.as_ref());
        slides.extend(found.map(|relation| relation.target.clone()));
    }
    Ok(slides)
}

/// A slide while it is read.
#[derive(Default)]
struct SlideReader {
    items: Vec<Item>,
    place: Place,
    paragraph: Option<SlideParagraph>,
    is_text: bool,
    table: Option<Vec<Vec<String>>>,
    row: Vec<String>,
    cell: Option<String>,
}

fn read_slide(bytes: &[u8], limits: &ImportLimits) -> Result<Vec<Item>, ImportError> {
    let text = decoded(bytes)?;
    let mut nodes = Nodes::new(&text, limits);
    let mut reader = SlideReader::default();
    while let Some(node) = nodes.next()? {
        match node {
            // The same once more, for programs that do not know the newer form.
            Node::Open(element) if element.name() == "Fallback" => nodes.skip()?,
            Node::Open(element) => reader.open(&element),
            Node::Close(name) => reader.close(&name),
            Node::Text(part) if reader.is_text => {
                if let Some(paragraph) = &mut reader.paragraph {
                    paragraph.text.push_str(&part);
                }
            }
            Node::Text(_) => {}
        }
    }
    Ok(reader.items)
}

impl SlideReader {
    fn open(&mut self, element: &Element<'_>) {
        match element.name() {
            "sp" => self.place = Place::Free,
            "ph" => {
                self.place = match element.attribute("type").as_deref() {
                    Some("title") => Place::Title,
                    Some("ctrTitle") => Place::MainTitle,
                    Some("sldNum" | "ftr" | "dt" | "hdr" | "sldImg") => Place::Furniture,
                    Some("subTitle") => Place::Free,
                    _ => Place::Outline,
                };
            }
            "p" => {
                self.paragraph = Some(SlideParagraph {
                    place: self.place,
                    ..SlideParagraph::default()
                });
            }
            "pPr" => {
                if let Some(paragraph) = &mut self.paragraph {
                    let level = element.attribute("lvl").and_then(|level| level.parse().ok());
                    paragraph.level = level.unwrap_or(0);
                }
            }
            "buNone" => {
                if let Some(paragraph) = &mut self.paragraph {
                    paragraph.has_no_bullet = true;
                }
            }
            "t" => self.is_text = true,
            "br" => {
                if let Some(paragraph) = &mut self.paragraph {
                    paragraph.text.push('\n');
                }
            }
            "tbl" => self.table = Some(Vec::new()),
            // The cells that a wide one covers are there themselves, and empty.
            "tc" => self.cell = Some(String::new()),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "t" => self.is_text = false,
            "p" => {
                let Some(paragraph) = self.paragraph.take() else {
                    return;
                };
                match &mut self.cell {
                    Some(cell) => {
                        cell.push(' ');
                        cell.push_str(&paragraph.text);
                    }
                    None => self.items.push(Item::Paragraph(paragraph)),
                }
            }
            "tc" => self.row.extend(self.cell.take()),
            "tr" => {
                let row = std::mem::take(&mut self.row);
                if let Some(table) = &mut self.table {
                    table.push(row);
                }
            }
            "tbl" => self.items.extend(self.table.take().map(Item::Table)),
            "sp" => self.place = Place::Free,
            _ => {}
        }
    }
}

/// The title first, wherever it stands in the file, then all else in its order.
fn push_items(blocks: &mut Blocks<'_>, items: Vec<Item>) -> Result<(), ImportError> {
    let level_of_title = |item: &Item| match item {
        Item::Paragraph(paragraph) => match paragraph.place {
            Place::MainTitle => Some(1),
            Place::Title => Some(2),
            Place::Outline | Place::Free | Place::Furniture => None,
        },
        Item::Table(_) => None,
    };
    let mut title = String::new();
    let mut title_level = 2;
    let mut rest = Vec::new();
    for item in items {
        match (level_of_title(&item), item) {
            (Some(level), Item::Paragraph(paragraph)) => {
                title_level = level;
                title.push(' ');
                title.push_str(&paragraph.text);
            }
            (_, item) => rest.push(item),
        }
    }
    blocks.push(BlockKind::Heading { level: title_level }, &title)?;
    for item in rest {
        match item {
            Item::Table(rows) => {
                if let Some(table) = table::markdown(&rows) {
                    blocks.push(BlockKind::Table, &table)?;
                }
            }
            Item::Paragraph(paragraph) if paragraph.text.trim().is_empty() => {}
            Item::Paragraph(paragraph) => match paragraph.place {
                Place::Outline if !paragraph.has_no_bullet => {
                    blocks.push(BlockKind::ListItem, &format!("- {}", paragraph.text))?;
                }
                Place::Furniture => {}
                _ if paragraph.level > 0 => {
                    blocks.push(BlockKind::ListItem, &format!("- {}", paragraph.text))?;
                }
                _ => blocks.push(BlockKind::Paragraph, &paragraph.text)?,
            },
        }
    }
    Ok(())
}

/// Of a page of notes only what was written there: its picture of the slide, number and date say nothing.
fn push_notes(blocks: &mut Blocks<'_>, items: &[Item]) -> Result<(), ImportError> {
    for item in items {
        if let Item::Paragraph(paragraph) = item
            && paragraph.place == Place::Outline
        {
            blocks.push(BlockKind::Notes, &paragraph.text)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::archive;
    use super::*;

    const RELATIONS: &str = "<Relationships><Relationship Id='r1' Type='http://x/slide' Target='slides/slide7.xml'/>\
        <Relationship Id='r2' Type='http://x/slide' Target='/ppt/slides/slide1.xml'/></Relationships>";
    const MAIN: &str = "<p:presentation xmlns:r='x'><p:sldIdLst><p:sldId id='256' r:id='r2'/><p:sldId id='257' r:id='r1'/>\
        </p:sldIdLst></p:presentation>";

    fn shape(placeholder: &str, paragraphs: &str) -> String {
        format!(
            "<p:sp><p:nvSpPr><p:nvPr>{placeholder}</p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>"
        )
    }

    fn paragraph(text: &str) -> String {
        format!("<a:p><a:pPr lvl='0'/><a:r><a:t>{text}</a:t></a:r></a:p>")
    }

    #[test]
    fn slides_come_in_order_with_titles_tables_and_notes() {
        let first = format!(
            "<p:sld><p:cSld><p:spTree>{}{}{}<p:graphicFrame><a:tbl><a:tr><a:tc gridSpan='2'><a:txBody>{}</a:txBody></a:tc>\
             <a:tc hMerge='1'/></a:tr></a:tbl></p:graphicFrame></p:spTree></p:cSld></p:sld>",
            shape(
                "<p:ph idx='1'/>",
                &format!(
                    "{}<a:p><a:pPr><a:buNone/></a:pPr><a:r><a:t>Без</a:t></a:r><a:br/><a:r><a:t> знака</a:t></a:r></a:p>",
                    paragraph("Пункт")
                )
            ),
            shape("<p:ph type='title'/>", &paragraph("Спрос")),
            shape("<p:ph type='sldNum'/>", &paragraph("1")),
            paragraph("Ячейка"),
        );
        let notes = format!(
            "<p:notes>{}{}{}</p:notes>",
            shape("<p:ph type='sldImg'/>", ""),
            shape("<p:ph type='body' idx='1'/>", &paragraph("Сказать про цену.")),
            shape("<p:ph type='sldNum'/>", &paragraph("1"))
        );
        let second = format!("<p:sld>{}</p:sld>", shape("", &paragraph("Free text")));
        let bytes = archive(&[
            ("ppt/presentation.xml", MAIN),
            ("ppt/_rels/presentation.xml.rels", RELATIONS),
            ("ppt/slides/slide1.xml", &first),
            ("ppt/slides/slide7.xml", &second),
            (
                "ppt/slides/_rels/slide1.xml.rels",
                "<Relationships><Relationship Id='n' Type='http://x/notesSlide' Target='../notesSlides/n.xml'/></Relationships>",
            ),
            ("ppt/notesSlides/n.xml", &notes),
            (
                "docProps/core.xml",
                "<c:coreProperties><dc:title>Курс</dc:title></c:coreProperties>",
            ),
        ]);
        let text = extract(&bytes, &ImportLimits::default()).unwrap();
        assert_eq!((text.pages, text.title.as_deref()), (2, Some("Курс")));
        let found: Vec<(BlockKind, &str, Option<u32>)> = text
            .blocks
            .iter()
            .map(|block| (block.kind, block.text.as_str(), block.page))
            .collect();
        assert_eq!(
            found,
            [
                (BlockKind::Heading { level: 2 }, "Спрос", Some(1)),
                (BlockKind::ListItem, "- Пункт", Some(1)),
                (BlockKind::Paragraph, "Без\nзнака", Some(1)),
                (BlockKind::Table, "| Ячейка |  |\n| --- | --- |", Some(1)),
                (BlockKind::Notes, "Сказать про цену.", Some(1)),
                (BlockKind::Paragraph, "Free text", Some(2)),
            ]
        );
    }
}
