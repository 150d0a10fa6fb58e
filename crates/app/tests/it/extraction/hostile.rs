//! Files that nobody means well with, and files that were damaged on their way.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::Expected;
use super::pdf::{Pdf, line, pages};

type HostileFile = (&'static str, Vec<u8>, Expected);

const DAMAGED: Expected = Expected::Error(&["damaged"]);
const TOO_LARGE: Expected = Expected::Error(&["too large", "too much memory"]);
const NO_TEXT: Expected = Expected::Error(&["has no text"]);
const PROTECTED: Expected = Expected::Error(&["protected"]);

const DOCUMENT: &str = "word/document.xml";
const CONTAINER: &str = "META-INF/container.xml";
const CONTAINER_XML: &str = "<container><rootfiles><rootfile full-path='a.opf'/></rootfiles></container>";

/// Every file, with what it must come to.
pub(super) fn files() -> Vec<HostileFile> {
    let mut files = texts();
    files.extend(pages_and_markdown());
    files.extend(office_documents());
    files.extend(presentations_and_books());
    files.extend(portable_documents());
    files.extend(pages_with_hostile_content());
    files.extend(pictures());
    files
}

fn texts() -> Vec<HostileFile> {
    vec![
        ("empty.txt", Vec::new(), DAMAGED),
        ("blank.txt", b" \n\t\r\n ".repeat(1000), NO_TEXT),
        ("zeros.txt", vec![0; 1 << 20], DAMAGED),
        ("noise.txt", noise(200_000), DAMAGED),
        (
            "half-a-letter.txt",
            b"\xff\xfeH\0i\0!\0\x04".to_vec(),
            Expected::Text("Hi!"),
        ),
        (
            "broken-utf8.txt",
            [
                b"Caf\xc3 and more words. ".as_slice(),
                &b"words and words. ".repeat(40),
            ]
            .concat(),
            Expected::Text("words"),
        ),
        ("one-word.txt", vec![b'a'; 21 << 20], TOO_LARGE),
        (
            "program.txt",
            [b"\x7fELF\x02\x01\x01\0".as_slice(), &noise(5000)].concat(),
            DAMAGED,
        ),
    ]
}

fn pages_and_markdown() -> Vec<HostileFile> {
    let deep = format!("{}words", "<div><table><tr><td>".repeat(50_000)).into_bytes();
    let spans = format!(
        "<table>{}</table>",
        "<tr><td colspan=1000000000>words".repeat(2000)
    )
    .into_bytes();
    let lists = format!("{}words", "<ul><li>".repeat(100_000)).into_bytes();
    vec![
        ("deep.html", deep, Expected::Text("words")),
        ("lists.html", lists, Expected::Text("words")),
        ("spans.html", spans, Expected::Text("words")),
        (
            "unclosed.html",
            b"<a <b <!-- ".repeat(100_000),
            Expected::Anything,
        ),
        (
            "entities.html",
            b"<p>&&&&amp;&#x110000;&#0;".repeat(20_000),
            Expected::Anything,
        ),
        (
            "attribute.html",
            [b"<p title='".as_slice(), &vec![b'x'; 9 << 20], b"'>words"].concat(),
            Expected::Text("words"),
        ),
        (
            "scripts.html",
            b"<script>alert(1)</script><nav>Menu</nav>".to_vec(),
            NO_TEXT,
        ),
        (
            "quotes.md",
            format!("{} words", ">".repeat(100_000)).into_bytes(),
            Expected::Anything,
        ),
        ("brackets.md", b"[".repeat(200_000), Expected::Anything),
        ("emphasis.md", b"*a _b **c ".repeat(50_000), Expected::Anything),
        (
            "backticks.md",
            (1..700)
                .map(|count| "`".repeat(count) + " ")
                .collect::<String>()
                .into_bytes(),
            Expected::Anything,
        ),
    ]
}

fn office_documents() -> Vec<HostileFile> {
    let body = |inner: &str| format!("<w:document><w:body>{inner}</w:body></w:document>");
    let paragraph = |text: &str| format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>");
    let docx = |document: &str| archive(&[(DOCUMENT, document.as_bytes())]);
    let good = docx(&body(&paragraph("words")));
    let laughs = join(20, |at| {
        format!("<!ENTITY a{} \"{}\">", at + 1, format!("&a{at};").repeat(10))
    });
    let laughs = format!(
        "<!DOCTYPE x [<!ENTITY a0 \"ha\">{laughs}]>{}",
        body(&paragraph("words &a20;"))
    );
    let outside = format!(
        "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]>{}",
        body(&paragraph("words &f;"))
    );
    let row = "<w:tr><w:tc><w:tcPr><w:gridSpan w:val='4000000000'/></w:tcPr><w:p><w:r><w:t>words</w:t></w:r></w:p></w:tc></w:tr>";
    let cycle = "<w:styles><w:style w:styleId='A'><w:name w:val='A'/><w:basedOn w:val='B'/></w:style>\
        <w:style w:styleId='B'><w:name w:val='B'/><w:basedOn w:val='A'/></w:style></w:styles>";
    let styles = "<Relationships><Relationship Id='1' Type='x/styles' Target='styles.xml'/></Relationships>";
    let with_style = body("<w:p><w:pPr><w:pStyle w:val='A'/></w:pPr><w:r><w:t>words</w:t></w:r></w:p>");
    let names: Vec<String> = (0..25_000).map(|at| format!("f{at}")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let mut bomb = docx(&body(&format!(
        "<w:p><w:r><w:t>{}</w:t></w:r></w:p>",
        " ".repeat(100 << 20)
    )));
    let mut lying = bomb.clone();
    replace(
        &mut lying,
        &u32::try_from(100 << 20).unwrap().to_le_bytes()[1..],
        &[0; 3],
    );
    let mut locked = good.clone();
    set_encrypted_flags(&mut locked);
    bomb.shrink_to_fit();
    vec![
        ("bomb.docx", bomb, TOO_LARGE),
        (
            "lying-bomb.docx",
            lying,
            Expected::Error(&["too large", "damaged", "too much memory"]),
        ),
        ("nested.docx", archive(&[(DOCUMENT, &good)]), DAMAGED),
        ("truncated.docx", good[..good.len() / 2].to_vec(), DAMAGED),
        ("many-files.docx", archive(&many), TOO_LARGE),
        ("billion-laughs.docx", docx(&laughs), Expected::Text("words")),
        ("external-entity.docx", docx(&outside), Expected::Text("words")),
        (
            "deep.docx",
            docx(&format!("<w:document>{}", "<w:p>".repeat(500_000))),
            DAMAGED,
        ),
        (
            "breaks-off.docx",
            docx("<w:document><w:body><w:p><w:r><w:t>words"),
            DAMAGED,
        ),
        (
            "wide-table.docx",
            docx(&body(&format!("<w:tbl>{}</w:tbl>", row.repeat(5000)))),
            Expected::Text("words"),
        ),
        (
            "style-cycle.docx",
            archive(&[
                (DOCUMENT, with_style.as_bytes()),
                ("word/styles.xml", cycle.as_bytes()),
                ("word/_rels/document.xml.rels", styles.as_bytes()),
            ]),
            Expected::Text("words"),
        ),
        (
            "nothing-inside.docx",
            archive(&[("readme.txt", b"words")]),
            DAMAGED,
        ),
        ("locked-entries.docx", locked, PROTECTED),
        ("locked.docx", compound_file("EncryptedPackage"), PROTECTED),
        (
            "old.docx",
            compound_file("WordDocument"),
            Expected::Error(&["save it as DOCX"]),
        ),
        (
            "program.docx",
            [b"MZ\x90\0".as_slice(), &noise(5000)].concat(),
            DAMAGED,
        ),
        ("blank.docx", docx(&body(&paragraph(" "))), NO_TEXT),
    ]
}

fn presentations_and_books() -> Vec<HostileFile> {
    let relations = |count: usize| {
        let all = join(count, |at| {
            format!("<Relationship Id='r{at}' Type='x/slide' Target='s.xml'/>")
        });
        format!("<Relationships>{all}</Relationships>")
    };
    let slides = |count: usize| {
        let all = join(count, |at| format!("<p:sldId r:id='r{at}'/>"));
        format!("<p:presentation>{all}</p:presentation>")
    };
    let pptx = |count: usize, slide: Option<&str>| {
        let (main, relations) = (slides(count), relations(count));
        let mut files = vec![
            ("ppt/presentation.xml", main.as_bytes()),
            ("ppt/_rels/presentation.xml.rels", relations.as_bytes()),
        ];
        files.extend(slide.map(|slide| ("ppt/s.xml", slide.as_bytes())));
        archive(&files)
    };
    let book = |package: &str, more: &[(&str, &[u8])]| {
        let mut files = vec![
            (CONTAINER, CONTAINER_XML.as_bytes()),
            ("a.opf", package.as_bytes()),
        ];
        files.extend(more);
        archive(&files)
    };
    let traversal = "<package><manifest><item id='a' href='../../../../../../etc/passwd'/><item id='b' href='/etc/passwd'/>\
        <item id='c' href='c.xhtml'/></manifest><spine><itemref idref='a'/><itemref idref='b'/><itemref idref='c'/></spine></package>";
    let again = "<package><manifest><item id='a' href='c.xhtml'/></manifest><spine>".to_owned()
        + &"<itemref idref='a'/>".repeat(100_000)
        + "</spine></package>";
    let itself = "<package><manifest><item id='a' href='a.opf'/></manifest><spine><itemref idref='a'/></spine></package>";
    let chapter: (&str, &[u8]) = ("c.xhtml", b"<html><body><p>words</p></body></html>");
    let long = format!("<html><body><p>{}</p></body></html>", "words ".repeat(20_000));
    let encryption = "<encryption><EncryptionMethod Algorithm='http://www.w3.org/2001/04/xmlenc#aes128-cbc'/></encryption>";
    vec![
        ("missing-slides.pptx", pptx(3, None), DAMAGED),
        ("too-many-slides.pptx", pptx(6000, Some("<p:sld/>")), TOO_LARGE),
        (
            "empty-slides.pptx",
            pptx(3, Some("<p:sld><p:sp/></p:sld>")),
            NO_TEXT,
        ),
        (
            "not-a-presentation.pptx",
            archive(&[(DOCUMENT, b"<w/>")]),
            DAMAGED,
        ),
        (
            "traversal.epub",
            book(traversal, &[chapter]),
            Expected::Text("words"),
        ),
        (
            "same-chapter.epub",
            book(&again, &[("c.xhtml", long.as_bytes())]),
            TOO_LARGE,
        ),
        ("itself.epub", book(itself, &[]), NO_TEXT),
        ("no-container.epub", archive(&[chapter]), DAMAGED),
        (
            "protected.epub",
            book(
                traversal,
                &[chapter, ("META-INF/encryption.xml", encryption.as_bytes())],
            ),
            PROTECTED,
        ),
    ]
}

fn portable_documents() -> Vec<HostileFile> {
    let good = pages(1, "", &line("words")).bytes();
    let mut xref_cycle = pages(1, "", &line("words"));
    let start = good.windows(5).rposition(|window| window == b"\nxref").unwrap() + 1;
    xref_cycle.trailer(&format!("/Prev {start}"));
    let mut tree_cycle = Pdf::default();
    tree_cycle.add("<< /Type /Catalog /Pages 2 0 R >>");
    tree_cycle.add("<< /Type /Pages /Count 1000000 /Kids [ 3 0 R 2 0 R ] /Parent 3 0 R >>");
    tree_cycle.add("<< /Type /Pages /Count 1000000 /Kids [ 2 0 R 3 0 R ] /Parent 2 0 R >>");
    let mut reference_cycle = Pdf::default();
    reference_cycle.add("2 0 R");
    reference_cycle.add("1 0 R");
    let mut locked = pages(1, "", &line("words"));
    let encryption = locked.add(format!(
        "<< /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <{0}> /U <{0}> >>",
        "00".repeat(32)
    ));
    locked.trailer(&format!("/Encrypt {encryption} 0 R /ID [<00> <00>]"));
    let shifted = String::from_utf8_lossy(&good)
        .replace("0000000", "0000009")
        .into_bytes();
    vec![
        ("good.pdf", good.clone(), Expected::Text("words")),
        (
            "truncated.pdf",
            good[..good.len() / 2].to_vec(),
            Expected::Anything,
        ),
        ("header-only.pdf", b"%PDF-1.7\n".to_vec(), DAMAGED),
        (
            "picture.pdf",
            [b"\x89PNG\r\n\x1a\n".as_slice(), &noise(3000)].concat(),
            DAMAGED,
        ),
        (
            "noise.pdf",
            [b"%PDF-1.7\n".as_slice(), &noise(500_000)].concat(),
            DAMAGED,
        ),
        ("xref-cycle.pdf", xref_cycle.bytes(), Expected::Anything),
        ("shifted-xref.pdf", shifted, Expected::Anything),
        (
            "tree-cycle.pdf",
            tree_cycle.bytes(),
            Expected::Error(&["damaged", "has no text", "too large"]),
        ),
        (
            "reference-cycle.pdf",
            reference_cycle.bytes(),
            Expected::Error(&["damaged", "has no text"]),
        ),
        (
            "ten-thousand-pages.pdf",
            pages(10_000, "", &line("words")).bytes(),
            TOO_LARGE,
        ),
        (
            "locked.pdf",
            locked.bytes(),
            Expected::Error(&["protected", "damaged"]),
        ),
    ]
}

fn pages_with_hostile_content() -> Vec<HostileFile> {
    let mut form_cycle = pages(1, "", b"/X1 Do");
    form_cycle.add_stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X1 6 0 R >> >>",
        b"/X1 Do /X1 Do /X1 Do",
    );
    let mut stream_bomb = Pdf::default();
    stream_bomb.add("<< /Type /Catalog /Pages 2 0 R >>");
    stream_bomb.add("<< /Type /Pages /Count 1 /Kids [ 3 0 R ] >>");
    stream_bomb.add("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>");
    stream_bomb.add_stream("/Filter /FlateDecode", &deflated_zeros(1 << 29));
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let mut deep_object = pages(1, "", &line("words"));
    deep_object.add(deep.clone().into_bytes());
    let mut scanned = pages(1, "", b"612 0 0 792 0 0 cm /X1 Do");
    scanned.add_stream(
        "/Type /XObject /Subtype /Image /Width 8 /Height 8 /ColorSpace /DeviceGray /BitsPerComponent 8",
        &[255; 64],
    );
    let operators = b"q Q ".repeat(2_000_000);
    vec![
        (
            "form-cycle.pdf",
            form_cycle.bytes(),
            Expected::Error(&["has no text", "damaged", "pictures"]),
        ),
        (
            "stream-bomb.pdf",
            stream_bomb.bytes(),
            Expected::Error(&["too large", "too much memory", "has no text", "damaged"]),
        ),
        ("deep-object.pdf", deep_object.bytes(), Expected::Anything),
        (
            "deep-content.pdf",
            pages(1, "", deep.as_bytes()).bytes(),
            Expected::Anything,
        ),
        (
            "many-operators.pdf",
            pages(1, "", &operators).bytes(),
            Expected::Anything,
        ),
        (
            "no-text.pdf",
            pages(1, "", b"0 0 100 100 re f").bytes(),
            Expected::Error(&["has no text", "pictures", "recognised"]),
        ),
        (
            "scanned.pdf",
            scanned.bytes(),
            Expected::Error(&["Tesseract", "recognised", "pictures", "pdftoppm"]),
        ),
        (
            "huge-page.pdf",
            pages(1, "/MediaBox [0 0 1e30 1e30] /Rotate 1234567", &line("words")).bytes(),
            Expected::Anything,
        ),
    ]
}

fn pictures() -> Vec<HostileFile> {
    let picture = Expected::Error(&["Tesseract", "recognised", "pictures"]);
    // It says that it has sixty thousand by sixty thousand points.
    let mut huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    huge.extend(60_000_u32.to_be_bytes());
    huge.extend(60_000_u32.to_be_bytes());
    huge.extend(b"\x08\x06\0\0\0\0\0\0\0");
    vec![
        ("huge.png", huge, picture),
        (
            "truncated.gif",
            b"GIF89a\xff\xff\xff\xff\x80\0\0".to_vec(),
            picture,
        ),
        (
            "noise.jpg",
            [b"\xff\xd8\xff\xe0\0\x10JFIF\0".as_slice(), &noise(10_000)].concat(),
            picture,
        ),
    ]
}

/// What `text` makes of the numbers below `count`, one after the other.
fn join(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Bytes without order, the same each time (a linear congruential generator, Knuth's MMIX).
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..count).map(step).collect()
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
}

/// Says of all files in an archive that they are encrypted (APPNOTE 4.4.4, bit 0).
fn set_encrypted_flags(archive: &mut [u8]) {
    for at in 0..archive.len() - 10 {
        match &archive[at..at + 4] {
            b"PK\x03\x04" => archive[at + 6] |= 1,
            b"PK\x01\x02" => archive[at + 8] |= 1,
            _ => {}
        }
    }
}

/// The beginning of a file of the older office programs, with one stream of this name.
fn compound_file(stream: &str) -> Vec<u8> {
    let mut bytes = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
    bytes.extend([0; 1024]);
    bytes.extend(stream.encode_utf16().flat_map(u16::to_le_bytes));
    bytes.extend([0; 1024]);
    bytes
}

/// Zeros, packed as PDF packs streams (RFC 1950): the packed part of an archive's only file, framed anew.
fn deflated_zeros(count: u32) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("z", SimpleFileOptions::default()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        writer.write_all(&zeros).unwrap();
    }
    let archive = writer.finish().unwrap().into_inner();
    // The local header has 30 bytes and the name, the list of files begins with its own mark (APPNOTE 4.3).
    let end = archive
        .windows(4)
        .rposition(|window| window == b"PK\x01\x02")
        .unwrap();
    let mut stream = b"\x78\x9c".to_vec();
    stream.extend(&archive[31..end]);
    // Of zeros the checksum's lower half stays 1, its upper half counts them.
    stream.extend((((count % 65_521) << 16) | 1).to_be_bytes());
    stream
}
