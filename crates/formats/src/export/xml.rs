//! XML documents as trees: nothing reaches a file that is not escaped or vouched for.

use std::borrow::Cow;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::ExportError;
use super::characters::writable;
use super::markup::Markup;

/// The namespace of XML Schema's own attributes, for `xsi:schemaLocation`.
pub(super) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// An element with everything in it.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: Cow<'static, str>,
    attributes: Vec<(Cow<'static, str>, String)>,
    content: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Element(Element),
    Text(String),
    Markup(Markup),
}

impl Element {
    /// An empty element. Names come from this crate, never from a course.
    pub(super) fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            attributes: Vec::new(),
            content: Vec::new(),
        }
    }

    /// With an attribute.
    pub(super) fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl AsRef<str>) -> Self {
        self.attributes.push((name.into(), writable(value.as_ref())));
        self
    }

    /// With an element at the end.
    pub(super) fn child(mut self, element: Self) -> Self {
        self.content.push(Node::Element(element));
        self
    }

    /// With elements at the end.
    pub(super) fn children(mut self, elements: impl IntoIterator<Item = Self>) -> Self {
        self.content.extend(elements.into_iter().map(Node::Element));
        self
    }

    /// With text at the end, whatever it holds.
    pub(super) fn text(mut self, text: impl AsRef<str>) -> Self {
        self.content.push(Node::Text(writable(text.as_ref())));
        self
    }

    /// With finished markup at the end.
    pub(super) fn markup(mut self, markup: Markup) -> Self {
        self.content.push(Node::Markup(markup));
        self
    }

    /// The file of which this is the root, in UTF-8.
    ///
    /// # Errors
    /// None in practice: memory is written to.
    pub(super) fn document(&self) -> Result<Vec<u8>, ExportError> {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
        writer
            .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
            .and_then(|()| self.write(&mut writer))
            .map_err(ExportError::Package)?;
        let mut bytes = writer.into_inner();
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name.as_ref());
        for (name, value) in &self.attributes {
            start.push_attribute((name.as_ref(), value.as_str()));
        }
        if self.content.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        for node in &self.content {
            match node {
                Node::Element(element) => element.write(writer)?,
                Node::Text(text) => writer.write_event(Event::Text(BytesText::new(text)))?,
                Node::Markup(markup) => {
                    writer.write_event(Event::Text(BytesText::from_escaped(markup.as_str())))?;
                }
            }
        }
        writer.write_event(Event::End(BytesEnd::new(self.name.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_attributes_come_back_as_they_were() {
        let hostile = "]]> <b a='1'>&amp; \"x\"</b>\u{0}\u{b}\u{ffff}";
        let bytes = Element::new("a")
            .with("b", hostile)
            .child(Element::new("c").text(hostile))
            .document()
            .unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches('<').count(), 5, "{text}");
        let escaped = quick_xml::escape::escape("]]> <b a='1'>&amp; \"x\"</b>").to_string();
        assert_eq!(text.matches(&escaped).count(), 2, "{text}");
    }

    #[test]
    fn empty_elements_are_closed() {
        let text = String::from_utf8(Element::new("a").document().unwrap()).unwrap();
        assert_eq!(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a/>\n");
    }
}
