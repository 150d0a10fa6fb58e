//! Web pages: headings, paragraphs, lists, tables and program text, without what only helps to get around the site.
//!
//! Works on the stream of tags, not on a tree: pages may nest as deeply as they like, and what is not closed does no
//! harm.

mod reader;

use domain::document::{DocumentBlock, DocumentText};
use html5ever::interface::TokenizerResult;
use html5ever::tokenizer::{BufferQueue, Tokenizer, TokenizerOpts};

use self::reader::{HtmlReader, Syntax};
use super::{ImportError, ImportLimits, encoding};

/// The declaration of the encoding stands within so many bytes (HTML, 13.2.3.2).
const DECLARATION_WITHIN: usize = 1024;

/// A page's text.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) title: Option<String>,
    pub(super) blocks: Vec<DocumentBlock>,
}

/// Reads a web page.
pub(super) fn extract(bytes: &[u8], limits: &ImportLimits) -> Result<DocumentText, ImportError> {
    let source = encoding::decode(bytes, declared_encoding(bytes))?;
    let page = parse(&source, Syntax::Html, limits)?;
    Ok(DocumentText {
        title: page.title,
        blocks: page.blocks,
        ..DocumentText::default()
    })
}

/// Reads a chapter of an electronic book.
pub(super) fn chapter(bytes: &[u8], limits: &ImportLimits) -> Result<Page, ImportError> {
    let source = encoding::decode(bytes, declared_encoding(bytes))?;
    parse(&source, Syntax::Xhtml, limits)
}

/// Reads a piece of HTML that stands in another document.
pub(super) fn fragment(source: &str, limits: &ImportLimits) -> Result<Vec<DocumentBlock>, ImportError> {
    Ok(parse(source, Syntax::Html, limits)?.blocks)
}

fn parse(source: &str, syntax: Syntax, limits: &ImportLimits) -> Result<Page, ImportError> {
    let tokenizer = Tokenizer::new(HtmlReader::new(syntax, limits), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(source.into());
    // Nothing here asks for scripts to be run, but whoever asks is told to go on.
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink.finish()
}

/// The encoding in `<meta charset>` or in the declaration of XML.
fn declared_encoding(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(DECLARATION_WITHIN)]).to_ascii_lowercase();
    let after = ["charset=", "encoding="]
        .iter()
        .find_map(|word| head.split_once(word).map(|(_, after)| after))?;
    let label: String = after
        .trim_start_matches(['"', '\'', ' '])
        .chars()
        .take_while(|one| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | ':'))
        .collect();
    encoding_rs::Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use domain::document::BlockKind;

    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &[(BlockKind, &str)]) {
        let text = extract(source.as_bytes(), &ImportLimits::default()).unwrap();
        let found: Vec<(BlockKind, &str)> = text
            .blocks
            .iter()
            .map(|block| (block.kind, block.text.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    const PARAGRAPH: BlockKind = BlockKind::Paragraph;
    const ITEM: BlockKind = BlockKind::ListItem;

    #[test]
    fn structure_is_read() {
        check(
            "<!doctype html><title>T &amp; t</title><h1>Спрос <b>и</b> цена</h1><p>Первый<br>абзац &copy; <code>a_b</code>\
             <p>Второй<ul><li>раз<ul><li>два</ul><li><p>три</p><p>четыре</p></ul><ol start=3><li>a<li>b</ol>\
             <dl><dt>Спрос</dt><dd>Готовность купить.</dd></dl><pre>  x = 1\n\n  y</pre>\
             <table><caption>Таблица</caption><tr><th>a<th colspan=2>b<tr><td>1|<td><p>2</p><p>3</p></table>end",
            &[
                (BlockKind::Heading { level: 1 }, "Спрос и цена"),
                (PARAGRAPH, "Первый\nабзац © a_b"),
                (PARAGRAPH, "Второй"),
                (ITEM, "- раз"),
                (ITEM, "- два"),
                (ITEM, "- три"),
                (PARAGRAPH, "четыре"),
                (ITEM, "3. a"),
                (ITEM, "4. b"),
                (PARAGRAPH, "Спрос: Готовность купить."),
                (BlockKind::Code, "  x = 1\n\n  y"),
                (PARAGRAPH, "Таблица"),
                (
                    BlockKind::Table,
                    "| a | b |  |\n| --- | --- | --- |\n| 1\\| | 2 3 |",
                ),
                (PARAGRAPH, "end"),
            ],
        );
    }

    #[test]
    fn the_title_is_that_of_the_page() {
        let text = extract(b"<title>T &amp; t</title><p>x", &ImportLimits::default()).unwrap();
        assert_eq!(text.title.as_deref(), Some("T & t"));
    }

    #[test]
    fn navigation_and_scripts_are_left_out() {
        check(
            "<body><script>if (a<b) { alert('<p>no</p>') }</script><style>p{}</style><noscript>no</noscript>\
             <nav><nav>no</nav><p>no</nav><header><a>no</a><h1>Title</h1></header><div role=navigation><div>no</div></div>\
             <p hidden>no</p><div class='page sidebar'>no</div><p aria-hidden=true>no</p><p style='display: none'>no</p>\
             <p>yes</p><svg><text>no</text></svg><button>no</button><template><p>no</p></template><footer>no</footer></body>",
            &[(BlockKind::Heading { level: 1 }, "Title"), (PARAGRAPH, "yes")],
        );
    }

    #[test]
    fn the_main_part_is_enough_where_there_is_one() {
        let body = "Body text that is long enough to be what the page is about. ".repeat(5);
        check(
            &format!(
                "<div>Teaser</div><main><h1>Title</h1><p>{body}</p><aside>Box</aside></main><div>More</div>"
            ),
            &[
                (BlockKind::Heading { level: 1 }, "Title"),
                (PARAGRAPH, body.trim()),
                (PARAGRAPH, "Box"),
            ],
        );
    }

    #[test]
    fn tables_that_only_arrange_are_not_tables() {
        check(
            "<table><tr><td>Left<td><h2>Title</h2><p>Text</table>",
            &[
                (PARAGRAPH, "Left"),
                (BlockKind::Heading { level: 2 }, "Title"),
                (PARAGRAPH, "Text"),
            ],
        );
    }

    #[test]
    fn encodings_are_those_declared() {
        let page = encoding_rs::WINDOWS_1251
            .encode("<meta charset=windows-1251><p>Да")
            .0;
        let text = extract(&page, &ImportLimits::default()).unwrap();
        assert_eq!(text.plain(), "Да");
    }

    #[test]
    fn damaged_pages_are_read_as_far_as_they_go() {
        check(
            "<p>a <b>b <i>c</b> d</i></div></p><x-y>e",
            &[(PARAGRAPH, "a b c d"), (PARAGRAPH, "e")],
        );
        check("text only & more", &[(PARAGRAPH, "text only & more")]);
        check(
            &format!("{}deep", "<div>".repeat(100_000)),
            &[(PARAGRAPH, "deep")],
        );
    }
}
