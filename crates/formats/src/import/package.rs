//! Archives of files: what office documents and electronic books are made of.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::limits::ImportLimits;
use super::xml::{Node, Nodes, decoded};
use super::{Excess, ImportError};

/// The mark of files of the older office programs and of encrypted newer ones (MS-CFB 2.2).
const COMPOUND_FILE: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];

/// An archive in memory. What is read of it is bounded in all.
pub(super) struct Package<'b> {
    archive: ZipArchive<Cursor<&'b [u8]>>,
    limits: &'b ImportLimits,
    unpacked: u64,
}

/// One file's reference to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    /// What the referring file calls it.
    pub(super) id: String,
    /// The last word of its type: `slide`, `notesSlide`.
    pub(super) kind: String,
    /// The file in the archive.
    pub(super) target: String,
}

impl<'b> Package<'b> {
    /// Opens an archive.
    pub(super) fn open(bytes: &'b [u8], limits: &'b ImportLimits) -> Result<Self, ImportError> {
        if bytes.starts_with(COMPOUND_FILE) {
            return Err(compound_file(bytes));
        }
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
        if archive.len() > limits.max_entries {
            return Err(ImportError::TooLarge {
                excess: Excess::Files,
                limit: limits.max_entries as u64,
            });
        }
        Ok(Self {
            archive,
            limits,
            unpacked: 0,
        })
    }

    /// Whether it has such a file.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// The bytes of a file, if it is there.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, ImportError> {
        let room = self.limits.max_uncompressed_bytes.saturating_sub(self.unpacked);
        let most = room.min(self.limits.max_entry_bytes);
        let file = match self.archive.by_name(name) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED)) => {
                return Err(ImportError::Encrypted);
            }
            Err(error) => return Err(damaged(&error)),
        };
        let mut bytes = Vec::new();
        // What the archive says of sizes is not believed.
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| ImportError::malformed(format!("{name}: {error}")))?;
        let size = bytes.len() as u64;
        if size > most {
            return Err(ImportError::TooLarge {
                excess: Excess::UnpackedBytes,
                limit: most,
            });
        }
        self.unpacked += size;
        Ok(Some(bytes))
    }

    /// The bytes of a file that has to be there.
    pub(super) fn require(&mut self, name: &str) -> Result<Vec<u8>, ImportError> {
        self.read(name)?
            .ok_or_else(|| ImportError::malformed(format!("{name} is missing")))
    }

    /// The files of the archive to which a file refers (ISO 29500-2, 6.5); none if it says nothing of them.
    pub(super) fn relations(&mut self, part: &str) -> Result<Vec<Relation>, ImportError> {
        let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
        let name = if folder.is_empty() {
            format!("_rels/{file}.rels")
        } else {
            format!("{folder}/_rels/{file}.rels")
        };
        let Some(bytes) = self.read(&name)? else {
            return Ok(Vec::new());
        };
        let text = decoded(&bytes)?;
        let mut nodes = Nodes::new(&text, self.limits);
        let mut relations = Vec::new();
        while let Some(node) = nodes.next()? {
            let Node::Open(element) = node else { continue };
            if element.name() != "Relationship"
                || element.attribute("TargetMode").as_deref() == Some("External")
            {
                continue;
            }
            let (Some(id), Some(kind), Some(target)) = (
                element.attribute("Id"),
                element.attribute("Type"),
                element.attribute("Target"),
            ) else {
                continue;
            };
            let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
            // A reference that leads out of the archive leads nowhere.
            if let Some(target) = resolved(folder, &target) {
                relations.push(Relation { id, kind, target });
            }
        }
        Ok(relations)
    }

    /// The file that the archive is about, by the last word of its type.
    pub(super) fn main_part(&mut self, kind: &str, usual: &str) -> Result<String, ImportError> {
        let relations = self.relations("")?;
        let named = relations.into_iter().find(|relation| relation.kind == kind);
        let part = named.map_or_else(|| usual.to_owned(), |relation| relation.target);
        if self.contains(&part) {
            Ok(part)
        } else {
            Err(ImportError::malformed(format!("{part} is missing")))
        }
    }

    /// The title in the archive's properties.
    pub(super) fn title(&mut self) -> Result<Option<String>, ImportError> {
        let Some(bytes) = self.read("docProps/core.xml")? else {
            return Ok(None);
        };
        let text = decoded(&bytes)?;
        let mut nodes = Nodes::new(&text, self.limits);
        let mut title = None;
        while let Some(node) = nodes.next()? {
            match node {
                Node::Open(element) if element.name() == "title" => title = Some(String::new()),
                Node::Text(part) => {
                    if let Some(title) = &mut title {
                        title.push_str(&part);
                    }
                }
                Node::Close(name) if name == "title" => break,
                Node::Open(_) | Node::Close(_) => {}
            }
        }
        Ok(title.filter(|title| !title.trim().is_empty()))
    }
}

/// A path in an archive, taken from a folder of it; `None` if it leads out.
pub(super) fn resolved(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let path = match target.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        None => format!("{folder}/{target}"),
    };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn damaged(error: &ZipError) -> ImportError {
    ImportError::malformed(format!("archive: {error}"))
}

/// An encrypted document names its content so; all others are of the older programs.
fn compound_file(bytes: &[u8]) -> ImportError {
    let mark: Vec<u8> = "EncryptedPackage"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    if bytes.windows(mark.len()).any(|window| window == mark) {
        ImportError::Encrypted
    } else {
        ImportError::Unsupported {
            found: "a file of an older office program (before 2007)".to_owned(),
            advice: "save it as DOCX or PPTX and upload that".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_in_the_archive() {
        let check = |folder: &str, target: &str, expected: Option<&str>| {
            assert_eq!(resolved(folder, target).as_deref(), expected, "{folder} {target}");
        };
        check("ppt", "slides/slide1.xml", Some("ppt/slides/slide1.xml"));
        check("ppt/slides", "../notes/n1.xml", Some("ppt/notes/n1.xml"));
        check("ppt", "/word/document.xml", Some("word/document.xml"));
        check("", "a/./b", Some("a/b"));
        check("OEBPS", "../../../etc/passwd", None);
        check("", "..", None);
    }
}
