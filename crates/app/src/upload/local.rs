//! Files of this machine that are to become documents: looked at like uploads before anything is made of them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use domain::id::CourseId;
use domain::user::Actor;
use store::document::Document;
use store::tier::TierSettings;
use tokio_util::io::ReaderStream;

use super::content::{self, HEAD_BYTES};
use super::file_type::FileType;
use super::{Declared, UploadError, Uploads, check_declared, name};

/// A file of this machine whose bytes are what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What the document will be called.
    pub(crate) filename: String,
    /// Its size when it was looked at, in bytes.
    pub(crate) size_bytes: u64,
}

impl LocalFile {
    /// Looks at the whole file; it is to be called `filename`.
    ///
    /// # Errors
    /// [`UploadError`] with the first thing that is wrong, as an upload would have it.
    pub(crate) fn look(path: &Path, filename: &str) -> Result<Self, UploadError> {
        let kind = FileType::of_name(filename).ok_or_else(|| UploadError::TypeNotAllowed {
            allowed: FileType::ALL
                .into_iter()
                .map(|kind| kind.word().to_owned())
                .collect(),
        })?;
        let mut file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        if size_bytes == 0 {
            return Err(UploadError::Empty);
        }
        let mut head = Vec::with_capacity(HEAD_BYTES);
        file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        content::check_head(&head, kind)?;
        content::check_whole(&mut file, kind)?;
        name::check(filename).map_err(UploadError::Name)?;
        Ok(Self {
            path: path.to_owned(),
            filename: filename.to_owned(),
            size_bytes,
        })
    }

    /// Whether a tier takes it.
    ///
    /// # Errors
    /// [`UploadError`] for its size or its type.
    pub(crate) fn check_limits(&self, limits: &TierSettings, most_bytes: u64) -> Result<(), UploadError> {
        if limits.max_files_per_course == 0 || limits.formats.is_empty() {
            return Err(UploadError::TierWithoutFiles(limits.tier));
        }
        // Of no course yet: name and size alone are looked at.
        let declared = self.declared(CourseId::generate());
        check_declared(&declared, limits, most_bytes).map(|_| ())
    }

    fn declared(&self, course_id: CourseId) -> Declared {
        Declared {
            course_id,
            filename: self.filename.clone(),
            mime_type: None,
            size_bytes: self.size_bytes,
        }
    }
}

impl Uploads {
    /// Takes a file of this machine in.
    ///
    /// # Errors
    /// As [`Uploads::receive`]; also if it can no longer be opened.
    pub(crate) async fn receive_file(
        &self,
        actor: Actor,
        course_id: CourseId,
        file: &LocalFile,
    ) -> Result<Document, UploadError> {
        let body = ReaderStream::new(tokio::fs::File::open(&file.path).await?);
        self.receive(actor, file.declared(course_id), body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_what_their_names_say() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, bytes: &[u8], expected: &str| {
            let path = folder.path().join("file");
            std::fs::write(&path, bytes).unwrap();
            let looked = LocalFile::look(&path, name).map(|file| file.size_bytes);
            assert!(format!("{looked:?}").starts_with(expected), "{name}: {looked:?}");
        };
        check("plan.md", b"# Plan", "Ok(6)");
        check("plan.pdf", b"%PDF-1.7", "Ok(8)");
        check("plan.pdf", b"# Plan", "Err(Content(OtherType))");
        check("plan.md", b"", "Err(Empty)");
        check("plan.exe", b"MZ", "Err(TypeNotAllowed");
        check("plan", b"# Plan", "Err(TypeNotAllowed");
        check("..plan.md", b"# Plan", "Err(Name(");
    }
}
