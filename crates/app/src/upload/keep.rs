//! A file goes to the store of files whole, or in parts of which nothing is left if one of them fails.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::UploadError;

/// The bytes of one part, and so of memory. S3 takes parts from 5 MiB on, and at most 10 000 of them.
const PART_BYTES: usize = 8 << 20;

/// Keeps the rest of `file` under `key`.
///
/// # Errors
/// [`UploadError::Files`] or [`UploadError::Io`]; then there is nothing under `key`.
pub(super) async fn keep(blobs: &dyn ObjectStore, key: &Path, file: &mut File) -> Result<(), UploadError> {
    let first = next_part(file).await?;
    if first.len() < PART_BYTES {
        blobs.put(key, first.into()).await?;
        return Ok(());
    }
    let mut upload = blobs.put_multipart(key).await?;
    let kept = put_parts(upload.as_mut(), first, file).await;
    if kept.is_err() {
        // Parts are no file yet, and would be paid for.
        if let Err(error) = upload.abort().await {
            tracing::warn!(%error, %key, "the parts of a file that was not kept could not be removed");
        }
    }
    kept
}

async fn put_parts(
    upload: &mut dyn MultipartUpload,
    first: Bytes,
    file: &mut File,
) -> Result<(), UploadError> {
    let mut part = first;
    while !part.is_empty() {
        upload.put_part(part.into()).await?;
        part = next_part(file).await?;
    }
    upload.complete().await?;
    Ok(())
}

/// Up to [`PART_BYTES`]; fewer only at the end of the file.
async fn next_part(file: &mut File) -> Result<Bytes, UploadError> {
    let mut part = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut part).await?;
    Ok(part.into())
}
