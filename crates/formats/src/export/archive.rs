//! Archives of which the same files make the same bytes: sorted, with a fixed time, without owners.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use flate2::{Compression, GzBuilder};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::ExportError;

/// The bits of a file that everybody may read and its owner may write.
const FILE_MODE: u32 = 0o644;
/// The operating system of a gzip header that says nothing of it (RFC 1952, 2.3.1).
const GZIP_UNKNOWN_SYSTEM: u8 = 255;

/// Files by their paths.
#[derive(Debug, Default)]
pub(super) struct Archive {
    first: Option<(&'static str, &'static str)>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    /// An archive that begins with a short file, uncompressed: by this a reader knows what it is.
    pub(super) fn beginning_with(path: &'static str, text: &'static str) -> Self {
        Self {
            first: Some((path, text)),
            files: BTreeMap::new(),
        }
    }

    /// Adds a file. Paths come from this crate, never from a course.
    pub(super) fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), bytes.into());
    }

    /// The files as ZIP.
    ///
    /// # Errors
    /// None in practice: memory is written to.
    pub(super) fn zip(self) -> Result<Vec<u8>, ExportError> {
        self.write_zip()
            .map_err(|error| ExportError::Package(error.into()))
    }

    fn write_zip(self) -> zip::result::ZipResult<Vec<u8>> {
        // Without a time of its own an entry has the earliest that the format knows: 1980.
        let deflated = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(FILE_MODE);
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        if let Some((path, text)) = self.first {
            writer.start_file(path, deflated.compression_method(CompressionMethod::Stored))?;
            writer.write_all(text.as_bytes())?;
        }
        for (path, bytes) in self.files {
            writer.start_file(path, deflated)?;
            writer.write_all(&bytes)?;
        }
        Ok(writer.finish()?.into_inner())
    }

    /// The files as a compressed tape archive.
    ///
    /// # Errors
    /// None in practice: memory is written to.
    pub(super) fn tar_gz(self) -> Result<Vec<u8>, ExportError> {
        self.write_tar_gz().map_err(ExportError::Package)
    }

    fn write_tar_gz(self) -> std::io::Result<Vec<u8>> {
        let encoder = GzBuilder::new()
            .mtime(0)
            .operating_system(GZIP_UNKNOWN_SYSTEM)
            .write(Vec::new(), Compression::default());
        let mut builder = tar::Builder::new(encoder);
        for (path, bytes) in self.files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(FILE_MODE);
            header.set_mtime(0);
            builder.append_data(&mut header, path, bytes.as_slice())?;
        }
        builder.into_inner()?.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn archive() -> Archive {
        let mut archive = Archive::beginning_with("mimetype", "a/b");
        archive.add("b.txt", "second");
        archive.add("a/a.txt", "first".repeat(1000));
        archive
    }

    #[test]
    fn zip_keeps_files_and_nothing_of_the_day() {
        let bytes = archive().zip().unwrap();
        assert_eq!(bytes, archive().zip().unwrap());
        assert!(bytes.len() < 1000, "compressed");
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["mimetype", "a/a.txt", "b.txt"]);
        for index in 0..zip.len() {
            let file = zip.by_index(index).unwrap();
            assert_eq!(file.last_modified().map(|time| time.year()), Some(1980));
            assert_eq!(file.compression() == CompressionMethod::Stored, index == 0);
        }
        let mut text = String::new();
        zip.by_name("b.txt").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "second");
    }

    #[test]
    fn tar_keeps_files_and_nothing_of_the_day() {
        let bytes = archive().tar_gz().unwrap();
        assert_eq!(bytes, archive().tar_gz().unwrap());
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let files: Vec<_> = tar
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.header().mtime().unwrap(), 0);
                (entry.path().unwrap().display().to_string(), entry.size())
            })
            .collect();
        assert_eq!(files, [("a/a.txt".to_owned(), 5000), ("b.txt".to_owned(), 6)]);
    }
}
