//! Electronic books: chapters in reading order (EPUB 3.3, 5).

use domain::document::DocumentText;

use super::blocks::Blocks;
use super::package::{Package, resolved};
use super::xml::{Node, Nodes, decoded};
use super::{ImportError, ImportLimits, html};

/// Where a book says which file describes it.
const CONTAINER: &str = "META-INF/container.xml";
/// Where a book says which of its files are encrypted.
const ENCRYPTION: &str = "META-INF/encryption.xml";
/// Algorithms that only hide fonts (EPUB 3.3, 4.2.6.3, and Adobe's older one); texts are not touched by them.
const FONT_ALGORITHMS: [&str; 2] = [
    "http://www.idpf.org/2008/embedding",
    "http://ns.adobe.com/pdf/enc#RC",
];

/// What the package document says.
#[derive(Debug, Default)]
struct Book {
    title: Option<String>,
    /// Id, path and properties of files.
    manifest: Vec<(String, String, String)>,
    /// Ids of the chapters in reading order.
    spine: Vec<String>,
}

/// Reads a book.
pub(super) fn extract(bytes: &[u8], limits: &ImportLimits) -> Result<DocumentText, ImportError> {
    let mut package = Package::open(bytes, limits)?;
    if is_encrypted(&mut package, limits)? {
        return Err(ImportError::Encrypted);
    }
    let path = package_document(&mut package, limits)?;
    let book = read_package_document(&package.require(&path)?, &path, limits)?;
    let mut blocks = Blocks::new(limits);
    let mut warnings = Vec::new();
    for id in &book.spine {
        let Some((_, path, properties)) = book.manifest.iter().find(|(own, _, _)| own == id) else {
            continue;
        };
        // The table of contents repeats the headings.
        if properties.split_whitespace().any(|property| property == "nav") {
            continue;
        }
        match package.read(path)? {
            Some(chapter) => blocks.append(html::chapter(&chapter, limits)?.blocks)?,
            None => warnings.push(format!("The chapter {path} is missing in the file.")),
        }
    }
    let mut text = blocks.finish(book.title.as_deref(), 0);
    text.warnings = warnings;
    Ok(text)
}

fn package_document(package: &mut Package<'_>, limits: &ImportLimits) -> Result<String, ImportError> {
    let container = package.require(CONTAINER)?;
    let text = decoded(&container)?;
    let mut nodes = Nodes::new(&text, limits);
    while let Some(node) = nodes.next()? {
        if let Node::Open(element) = node
            && element.name() == "rootfile"
            && let Some(path) = element.attribute("full-path")
        {
            return resolved("", &path).ok_or_else(|| ImportError::malformed("it names no package document"));
        }
    }
    Err(ImportError::malformed("it names no package document"))
}

fn read_package_document(bytes: &[u8], path: &str, limits: &ImportLimits) -> Result<Book, ImportError> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let text = decoded(bytes)?;
    let mut nodes = Nodes::new(&text, limits);
    let mut book = Book::default();
    let mut is_title = false;
    while let Some(node) = nodes.next()? {
        match node {
            Node::Open(element) => match element.name() {
                "title" => is_title = book.title.is_none(),
                "item" => {
                    let target = element
                        .attribute("href")
                        .and_then(|href| resolved(folder, &unescaped(&href)));
                    if let (Some(id), Some(target)) = (element.attribute("id"), target) {
                        let properties = element.attribute("properties").unwrap_or_default();
                        book.manifest.push((id, target, properties));
                    }
                }
                "itemref" => book.spine.extend(element.attribute("idref")),
                _ => {}
            },
            Node::Text(part) if is_title => book.title.get_or_insert_default().push_str(&part),
            Node::Text(_) => {}
            Node::Close(_) => is_title = false,
        }
    }
    Ok(book)
}

/// Whether anything but fonts is encrypted.
fn is_encrypted(package: &mut Package<'_>, limits: &ImportLimits) -> Result<bool, ImportError> {
    let Some(bytes) = package.read(ENCRYPTION)? else {
        return Ok(false);
    };
    let text = decoded(&bytes)?;
    let mut nodes = Nodes::new(&text, limits);
    while let Some(node) = nodes.next()? {
        if let Node::Open(element) = node
            && element.name() == "EncryptionMethod"
            && !element
                .attribute("Algorithm")
                .is_some_and(|algorithm| FONT_ALGORITHMS.contains(&algorithm.as_str()))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A path without percent signs and without the place inside the file.
fn unescaped(href: &str) -> String {
    let path = href.split('#').next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use domain::document::BlockKind;

    use super::super::tests::archive;
    use super::*;

    const CONTAINER_XML: &str =
        "<container><rootfiles><rootfile full-path='OEBPS/b.opf'/></rootfiles></container>";

    fn book(spine: &str, more: &[(&str, &str)]) -> Result<DocumentText, ImportError> {
        let package = format!(
            "<package xmlns:dc='x'><metadata><dc:title>Курс</dc:title><dc:title>Other</dc:title></metadata><manifest>\
             <item id='a' href='text/one%20a.xhtml#x'/><item id='b' href='b.xhtml'/><item id='n' href='nav.xhtml' properties='nav'/>\
             <item id='x' href='../../../etc/passwd'/></manifest><spine>{spine}</spine></package>"
        );
        let mut files = vec![
            (CONTAINER, CONTAINER_XML),
            ("OEBPS/b.opf", package.as_str()),
            (
                "OEBPS/text/one a.xhtml",
                "<?xml version='1.0'?><html><head><title/></head><body><h1>Один</h1><p>Текст</p></body></html>",
            ),
            (
                "OEBPS/b.xhtml",
                "<html><head><script src='x'/></head><body><p>Second</p></body></html>",
            ),
            (
                "OEBPS/nav.xhtml",
                "<html><body><nav>Contents</nav><p>no</p></body></html>",
            ),
        ];
        files.extend(more);
        extract(&archive(&files), &ImportLimits::default())
    }

    #[test]
    fn chapters_come_in_the_order_of_the_spine() {
        let text = book(
            "<itemref idref='n'/><itemref idref='b'/><itemref idref='a'/><itemref idref='x'/>",
            &[],
        )
        .unwrap();
        assert_eq!(text.title.as_deref(), Some("Курс"));
        let found: Vec<&str> = text.blocks.iter().map(|block| block.text.as_str()).collect();
        assert_eq!(found, ["Second", "Один", "Текст"]);
        assert_eq!(text.blocks[1].kind, BlockKind::Heading { level: 1 });
    }

    #[test]
    fn copy_protection_is_said() {
        let protected = |algorithm: &str| {
            let xml = format!(
                "<encryption><EncryptedData><EncryptionMethod Algorithm='{algorithm}'/></EncryptedData></encryption>"
            );
            book("<itemref idref='a'/>", &[(ENCRYPTION, &xml)])
        };
        assert_eq!(
            protected("http://www.w3.org/2001/04/xmlenc#aes256-cbc")
                .unwrap_err()
                .code(),
            "encrypted"
        );
        assert!(protected(FONT_ALGORITHMS[0]).is_ok());
    }
}
