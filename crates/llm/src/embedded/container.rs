//! The file of the embedding model: a small container of 4-bit blocks, vectors and a vocabulary.
//!
//! Layout, little-endian: `E5S1`, version; seven sizes, epsilon, block length; the pieces of the vocabulary with
//! their scores; a table that normalises characters; a directory of tensors with offsets into the file.

use std::collections::HashMap;

use candle_core::quantized::GgmlDType;

use super::EmbeddedError;
use super::linear::RawMatrix;

/// The sizes of the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) hidden: usize,
    pub(super) vocabulary: usize,
    pub(super) positions: usize,
    pub(super) epsilon: f32,
}

/// Tokens with a meaning of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpecialTokens {
    pub(super) begin: u32,
    pub(super) end: u32,
    pub(super) unknown: u32,
}

/// The whole container in memory.
pub(super) struct Container {
    pub(super) sizes: Sizes,
    pub(super) special: SpecialTokens,
    /// Pieces of text with the logarithm of their probability; the index is the token.
    pub(super) pieces: Vec<(String, f32)>,
    /// What a character is replaced by before it is cut into pieces.
    pub(super) normal_forms: HashMap<char, String>,
    tensors: HashMap<String, Entry>,
    bytes: Vec<u8>,
}

struct Entry {
    count: usize,
    offset: usize,
    length: usize,
}

const SHORT: EmbeddedError = EmbeddedError::Damaged("the container ends too early");

impl Container {
    /// Takes the file apart.
    ///
    /// # Errors
    /// [`EmbeddedError::Damaged`] if it is not such a container.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, EmbeddedError> {
        let mut cursor = Cursor { bytes: &bytes, at: 0 };
        if cursor.take(4)? != b"E5S1" {
            return Err(EmbeddedError::Damaged(
                "it is not a container of an embedding model",
            ));
        }
        cursor.u32()?;
        let mut size = || -> Result<usize, EmbeddedError> { Ok(cursor.u32()? as usize) };
        let (width, layers, heads, hidden) = (size()?, size()?, size()?, size()?);
        let (vocabulary, positions, _types) = (size()?, size()?, size()?);
        let epsilon = f32::from_bits(cursor.u32()?);
        let sizes = Sizes {
            width,
            layers,
            heads,
            hidden,
            vocabulary,
            positions,
            epsilon,
        };
        let block = cursor.u32()?;
        if block != 32 || heads == 0 || !width.is_multiple_of(32) || !width.is_multiple_of(heads) {
            return Err(EmbeddedError::Damaged(
                "the sizes of the embedding model are not supported",
            ));
        }
        let count = cursor.u32()? as usize;
        let (begin, end, _padding, unknown) = (cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let special = SpecialTokens { begin, end, unknown };
        let pieces = cursor.pieces(count)?;
        let normal_forms = cursor.normal_forms()?;
        let tensors = cursor.tensors()?;
        Ok(Self {
            sizes,
            special,
            pieces,
            normal_forms,
            tensors,
            bytes,
        })
    }

    /// A vector of numbers.
    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, EmbeddedError> {
        let (entry, bytes) = self.entry(name)?;
        if entry.count != length || bytes.len() != length * 4 {
            return Err(EmbeddedError::Damaged(
                "a vector of the embedding model has an unexpected length",
            ));
        }
        Ok(bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect())
    }

    /// A matrix of 4-bit blocks.
    pub(super) fn matrix(
        &self,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<RawMatrix, EmbeddedError> {
        let encoding = GgmlDType::Q4_0;
        let (entry, bytes) = self.entry(name)?;
        let expected = outputs * inputs / encoding.block_size() * encoding.type_size();
        if entry.count != outputs * inputs || bytes.len() != expected {
            return Err(EmbeddedError::Damaged(
                "a matrix of the embedding model has an unexpected size",
            ));
        }
        Ok(RawMatrix {
            bytes: bytes.to_vec(),
            encoding,
            outputs,
            inputs,
        })
    }

    fn entry(&self, name: &str) -> Result<(&Entry, &[u8]), EmbeddedError> {
        let entry = self
            .tensors
            .get(name)
            .ok_or_else(|| EmbeddedError::MissingPart(name.to_owned()))?;
        let end = entry.offset.checked_add(entry.length).ok_or(SHORT)?;
        Ok((entry, self.bytes.get(entry.offset..end).ok_or(SHORT)?))
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], EmbeddedError> {
        let end = self.at.checked_add(count).ok_or(SHORT)?;
        let taken = self.bytes.get(self.at..end).ok_or(SHORT)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EmbeddedError> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    fn u32(&mut self) -> Result<u32, EmbeddedError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<usize, EmbeddedError> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| SHORT)
    }

    fn pieces(&mut self, count: usize) -> Result<Vec<(String, f32)>, EmbeddedError> {
        let blob_length = self.u64()?;
        let offsets = self.take(count.checked_add(1).and_then(|n| n.checked_mul(4)).ok_or(SHORT)?)?;
        let scores = self.take(count.checked_mul(4).ok_or(SHORT)?)?;
        let blob = self.take(blob_length)?;
        let offsets: Vec<usize> = offsets
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes) as usize)
            .collect();
        offsets
            .windows(2)
            .zip(scores.as_chunks::<4>().0)
            .map(|(range, score)| {
                let piece = blob.get(range[0]..range[1]).ok_or(SHORT)?;
                Ok((
                    String::from_utf8_lossy(piece).into_owned(),
                    f32::from_le_bytes(*score),
                ))
            })
            .collect()
    }

    fn normal_forms(&mut self) -> Result<HashMap<char, String>, EmbeddedError> {
        let (count, length) = (self.u32()?, self.u32()? as usize);
        let mut table = Cursor {
            bytes: self.take(length)?,
            at: 0,
        };
        let mut forms = HashMap::new();
        for _ in 0..count {
            let letter = char::from_u32(table.u32()?);
            let [length] = table.array()?;
            let mut form = String::new();
            for _ in 0..length {
                form.extend(char::from_u32(table.u32()?));
            }
            if let Some(letter) = letter {
                forms.insert(letter, form);
            }
        }
        Ok(forms)
    }

    fn tensors(&mut self) -> Result<HashMap<String, Entry>, EmbeddedError> {
        let count = self.u32()?;
        let mut tensors = HashMap::new();
        for _ in 0..count {
            let length = u16::from_le_bytes(self.array()?);
            let name = String::from_utf8_lossy(self.take(usize::from(length))?).into_owned();
            let [_encoding] = self.array()?;
            let count = self.u32()? as usize;
            let (offset, length) = (self.u64()?, self.u64()?);
            tensors.insert(
                name,
                Entry {
                    count,
                    offset,
                    length,
                },
            );
        }
        Ok(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_container_is_an_error_and_not_a_crash() {
        for bytes in [
            b"".to_vec(),
            b"GGUF".to_vec(),
            b"E5S1".to_vec(),
            [b"E5S1".as_slice(), &[0xFF; 200]].concat(),
        ] {
            assert!(matches!(Container::parse(bytes), Err(EmbeddedError::Damaged(_))));
        }
    }
}
