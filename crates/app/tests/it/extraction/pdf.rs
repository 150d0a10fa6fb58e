//! PDF files put together by hand, so that each can be wrong in its own way.

use std::fmt::Write as _;

/// The objects of a file, numbered from 1; the first is the catalogue.
#[derive(Default)]
pub(super) struct Pdf {
    objects: Vec<Vec<u8>>,
    trailer: String,
}

impl Pdf {
    /// Adds an object; its number comes back.
    pub(super) fn add(&mut self, object: impl Into<Vec<u8>>) -> usize {
        self.objects.push(object.into());
        self.objects.len()
    }

    /// Adds a stream.
    pub(super) fn add_stream(&mut self, entries: &str, data: &[u8]) -> usize {
        let mut object = format!("<< {entries} /Length {} >>\nstream\n", data.len()).into_bytes();
        object.extend(data);
        object.extend(b"\nendstream");
        self.add(object)
    }

    /// Adds entries to the trailer.
    pub(super) fn trailer(&mut self, entries: &str) {
        self.trailer.push_str(entries);
    }

    /// The file, with a table of objects that is right.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut file = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
        let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", self.objects.len() + 1);
        for (at, object) in self.objects.iter().enumerate() {
            writeln!(table, "{:010} 00000 n ", file.len()).unwrap();
            file.extend(format!("{} 0 obj\n", at + 1).bytes());
            file.extend(object);
            file.extend(b"\nendobj\n");
        }
        let start = file.len();
        file.extend(table.bytes());
        let size = self.objects.len() + 1;
        let trailer = format!(
            "trailer\n<< /Size {size} /Root 1 0 R {} >>\nstartxref\n{start}\n%%EOF\n",
            self.trailer
        );
        file.extend(trailer.bytes());
        file
    }
}

/// A file of pages that all show `content`; more objects may be added.
pub(super) fn pages(count: usize, page_entries: &str, content: &[u8]) -> Pdf {
    let mut pdf = Pdf::default();
    pdf.add("<< /Type /Catalog /Pages 2 0 R >>");
    let kids: Vec<String> = (0..count).map(|at| format!("{} 0 R", at + 5)).collect();
    let kids = kids.join(" ");
    pdf.add(format!("<< /Type /Pages /Count {count} /Kids [ {kids} ] >>"));
    pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    pdf.add_stream("", content);
    for _ in 0..count {
        pdf.add(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
             /Resources << /Font << /F1 3 0 R >> /XObject << /X1 {} 0 R >> >> {page_entries} >>",
            count + 5
        ));
    }
    pdf
}

/// Shows a line of text.
pub(super) fn line(text: &str) -> Vec<u8> {
    format!("BT /F1 12 Tf 72 700 Td ({text}) Tj ET").into_bytes()
}
