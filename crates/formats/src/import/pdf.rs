//! PDF: text in reading order with its headings, lists and tables (pdf-inspector, on lopdf), and the pages that are
//! pictures.

mod furniture;
mod lines;
mod titles;

use std::collections::BTreeSet;

use pdf_inspector::{
    MarkdownOptions, OCR_REASON_NO_TEXT, PdfError, PdfOptions, PdfProcessResult,
    extract_text_with_positions_mem, process_pdf_mem_with_options,
};

use super::blocks::Blocks;
use super::{Excess, Extraction, ImportError, ImportLimits};

/// The mark stands within so many bytes (ISO 32000-2, annex I).
const MARK_WITHIN: usize = 1024;
/// Documents of more pages are not read once more for titles among the text: 200 pages take a second of the processor
/// (measured), and a file of an ordinary size has eight.
const MOST_PAGES_READ_TWICE: u32 = 400;

/// Reads a PDF.
pub(super) fn extract(bytes: &[u8], limits: &ImportLimits) -> Result<Extraction, ImportError> {
    let head = &bytes[..bytes.len().min(MARK_WITHIN)];
    if !head.windows(5).any(|window| window == b"%PDF-") {
        return Err(ImportError::malformed("it is no PDF"));
    }
    // Counting pages costs little, reading thousands of them does not.
    let pages = process(bytes, PdfOptions::detect_only())?.page_count;
    if pages > limits.max_pages {
        return Err(ImportError::TooLarge {
            excess: Excess::Pages,
            limit: u64::from(limits.max_pages),
        });
    }
    let read = process(bytes, PdfOptions::new().markdown(options()))?;
    let mut found = Blocks::new(limits);
    lines::read(read.markdown.as_deref().unwrap_or_default(), &mut found)?;
    // The text is there already; what this fails on leaves titles in their paragraphs.
    let items = (pages <= MOST_PAGES_READ_TWICE).then(|| extract_text_with_positions_mem(bytes));
    let titles = items.and_then(Result::ok).map_or_else(Vec::new, titles::find);
    let mut blocks = Blocks::new(limits);
    blocks.append(furniture::without(titles::apply(found.into_blocks(), &titles)))?;
    let unread_pages = unread_pages(&read, &blocks);
    Ok(Extraction {
        text: blocks.finish(read.title.as_deref(), pages),
        unread_pages,
    })
}

/// Marks of emphasis and links are not wanted: they would stand in the text.
fn options() -> MarkdownOptions {
    MarkdownOptions {
        detect_bold: false,
        detect_italic: false,
        detect_underline: false,
        format_urls: false,
        include_links: false,
        include_page_numbers: true,
        // It takes texts that repeat themselves, as exercises do, for such lines too, and they would be lost.
        strip_headers_footers: false,
        ..MarkdownOptions::default()
    }
}

fn process(bytes: &[u8], options: PdfOptions) -> Result<PdfProcessResult, ImportError> {
    process_pdf_mem_with_options(bytes, options).map_err(|error| match error {
        PdfError::Encrypted => ImportError::Encrypted,
        PdfError::Io(error) => ImportError::malformed(error.to_string()),
        PdfError::Parse(detail) | PdfError::NotAPdf(detail) => ImportError::malformed(detail),
        PdfError::InvalidStructure => ImportError::malformed("its objects do not fit together"),
    })
}

/// Pages that show something which is not text, and of which nothing was read. Blank pages are none.
fn unread_pages(read: &PdfProcessResult, blocks: &Blocks<'_>) -> Vec<u32> {
    let with_text: BTreeSet<u32> = blocks.pages_with_text().collect();
    let blank: BTreeSet<u32> = read
        .ocr_reasons_by_page
        .iter()
        .filter(|page| page.reasons.iter().all(|reason| reason == OCR_REASON_NO_TEXT))
        .map(|page| page.page)
        .collect();
    let unread = read.pages_needing_ocr.iter().copied();
    let unread: BTreeSet<u32> = unread
        .filter(|page| !with_text.contains(page) && !blank.contains(page))
        .collect();
    unread.into_iter().collect()
}
