//! XML as a stream of what readers of office documents want to know: names without prefixes, attributes, text.
//!
//! Entities that a document declares are never expanded, and nothing outside of it is fetched.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::encoding;
use super::{ImportError, ImportLimits};

/// What comes next in a document.
#[derive(Debug)]
pub(super) enum Node<'x> {
    /// An element begins. An empty one ends at once.
    Open(Element<'x>),
    /// An element ends: its name without prefix.
    Close(String),
    /// Text between tags.
    Text(Cow<'x, str>),
}

/// The beginning of an element.
#[derive(Debug)]
pub(super) struct Element<'x>(BytesStart<'x>);

impl Element<'_> {
    /// Its name without prefix.
    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(self.0.local_name().into_inner()).unwrap_or_default()
    }

    /// The value of an attribute, by its name without prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        let mut attributes = attributes.with_checks(false).flatten();
        let found = attributes.find(|one| one.key.local_name().into_inner() == name.as_bytes())?;
        let raw = String::from_utf8_lossy(&found.value);
        Some(match unescape(&raw) {
            Ok(value) => value.into_owned(),
            Err(_) => raw.into_owned(),
        })
    }

    /// The value of an attribute, by its name with prefix.
    pub(super) fn prefixed_attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        let mut attributes = attributes.with_checks(false).flatten();
        let found = attributes.find(|one| one.key.into_inner() == name.as_bytes())?;
        Some(String::from_utf8_lossy(&found.value).into_owned())
    }

    /// Whether an element that stands for a yes says no: `<w:b w:val="0"/>` (ISO 29500-1, 17.17.4).
    pub(super) fn is_off(&self) -> bool {
        self.attribute("val")
            .is_some_and(|value| matches!(value.as_str(), "0" | "false" | "off" | "none"))
    }
}

/// A document in memory, as text.
pub(super) fn decoded(bytes: &[u8]) -> Result<Cow<'_, str>, ImportError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text.trim_start_matches('\u{feff}'))),
        Err(_) => Ok(Cow::Owned(encoding::decode(bytes, declared_encoding(bytes))?)),
    }
}

/// The encoding in `<?xml ... encoding="..."?>`.
fn declared_encoding(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    let (_, rest) = head.split_once("encoding=")?;
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let label = rest[1..].split(quote).next()?;
    encoding_rs::Encoding::for_label(label.as_bytes())
}

/// Reads a document node by node.
pub(super) struct Nodes<'x> {
    reader: Reader<&'x [u8]>,
    depth: usize,
    max_depth: usize,
}

impl<'x> Nodes<'x> {
    pub(super) fn new(text: &'x str, limits: &ImportLimits) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Self {
            reader,
            depth: 0,
            max_depth: limits.max_depth,
        }
    }

    /// The next node; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Node<'x>>, ImportError> {
        loop {
            let event = self
                .reader
                .read_event()
                .map_err(|error| ImportError::malformed(format!("XML: {error}")))?;
            match event {
                Event::Start(start) | Event::Empty(start) => {
                    self.depth += 1;
                    if self.depth > self.max_depth {
                        return Err(ImportError::malformed("its elements are nested too deeply"));
                    }
                    return Ok(Some(Node::Open(Element(start))));
                }
                Event::End(end) => {
                    self.depth = self.depth.saturating_sub(1);
                    let name = String::from_utf8_lossy(end.local_name().into_inner()).into_owned();
                    return Ok(Some(Node::Close(name)));
                }
                Event::Text(text) => return Ok(Some(Node::Text(as_text(text.into_inner())))),
                Event::CData(text) => return Ok(Some(Node::Text(as_text(text.into_inner())))),
                Event::GeneralRef(reference) => {
                    if let Some(text) = resolved(&reference) {
                        return Ok(Some(Node::Text(Cow::Owned(text))));
                    }
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
                Event::Eof if self.depth > 0 => {
                    return Err(ImportError::malformed("XML: it breaks off"));
                }
                Event::Eof => return Ok(None),
            }
        }
    }

    /// Passes over everything inside the element that has just begun, its end included.
    pub(super) fn skip(&mut self) -> Result<(), ImportError> {
        let outside = self.depth - 1;
        while self.depth > outside && self.next()?.is_some() {}
        Ok(())
    }
}

fn as_text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// A character or one of the five entities of XML; all others stand for nothing.
fn resolved(reference: &BytesRef<'_>) -> Option<String> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character.to_string());
    }
    let name = reference.decode().ok()?;
    resolve_predefined_entity(&name).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(xml: &str) -> Result<String, ImportError> {
        let limits = ImportLimits {
            max_depth: 10,
            ..ImportLimits::default()
        };
        let mut nodes = Nodes::new(xml, &limits);
        let mut text = String::new();
        while let Some(node) = nodes.next()? {
            match node {
                Node::Open(element) if element.name() == "skip" => nodes.skip()?,
                Node::Open(element) => text.push_str(&element.attribute("val").unwrap_or_default()),
                Node::Close(_) => text.push('/'),
                Node::Text(part) => text.push_str(&part),
            }
        }
        Ok(text)
    }

    #[test]
    fn text_attributes_and_entities_are_read() {
        let check = |xml: &str, expected: &str| assert_eq!(texts(xml).unwrap(), expected, "{xml}");
        check(
            "<w:a w:val='x &lt; y'>b &amp; c&#1078;<w:b/></w:a>",
            "x < yb & cж//",
        );
        check("<a><skip>x<b>y</b></skip>z</a>", "z/");
        check("<a><![CDATA[<raw>]]> a & b</a>", "<raw> a & b/");
    }

    #[test]
    fn declared_entities_are_not_expanded() {
        let xml =
            "<!DOCTYPE a [<!ENTITY x \"boom\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]><a>1&x;2&f;</a>";
        assert_eq!(texts(xml).unwrap(), "12/");
    }

    #[test]
    fn what_is_not_xml_is_an_error() {
        for xml in ["<a><b></a>", "<a>", &"<a>".repeat(11), "<a"] {
            assert_eq!(texts(xml).unwrap_err().code(), "malformed", "{xml}");
        }
    }

    #[test]
    fn other_encodings_are_decoded() {
        let bytes = b"<?xml version=\"1.0\" encoding=\"windows-1251\"?><a>\xcc\xe8\xf0</a>";
        assert!(decoded(bytes).unwrap().contains("Мир"));
    }
}
