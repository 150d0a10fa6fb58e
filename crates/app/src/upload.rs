//! Uploads: from bytes that nobody trusts to a document of a course (service 4.4).
//!
//! Bytes go to a nameless file first, which no crash leaves behind, and to the store of files when all of them were
//! looked at. Room for them is reserved in the database before they come, so that many at once cannot exceed a quota
//! together. Whatever fails gives the room back and removes the bytes; what a killed program could not remove, the
//! list of removed files tells the next one.

mod archive;
mod content;
mod file_type;
mod keep;
mod local;
mod name;
#[cfg(test)]
mod tests;

use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::clock::Clock;
use domain::id::{CourseId, UploadId};
use domain::organization::Tier;
use domain::user::{Actor, Role};
use futures::{Stream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use store::Store;
use store::document::{self, Document, NewDocument};
use store::error::StoreError;
use store::organization::get_tier;
use store::tier::{TierSettings, check_tier_lasts, get_tier_settings};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::config::Config;
use crate::failure::Failure;
pub(crate) use content::ContentError;
use content::HEAD_BYTES;
pub(crate) use file_type::FileType;
pub(crate) use local::LocalFile;

/// A sender that is silent for so long has gone.
const SILENCE: Duration = Duration::from_secs(30);
/// An upload that takes longer is given up: its reservation ends after an hour.
const PATIENCE: Duration = Duration::from_mins(50);
/// Removed files that are deleted at once.
const SWEEP_FILES: u32 = 100;

/// What the sender says of a file.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    /// For which course.
    pub(crate) course_id: CourseId,
    /// What the author calls it.
    pub(crate) filename: String,
    /// Its type; `None`: the name tells.
    pub(crate) mime_type: Option<String>,
    /// Its size in bytes.
    pub(crate) size_bytes: u64,
}

/// Why a file is not taken, in the order in which it is looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// Students upload nothing.
    #[error("this role may not upload files")]
    Role,
    /// The tier allows no files.
    #[error("the tier '{}' allows no files", .0.as_str())]
    TierWithoutFiles(Tier),
    /// The course has as many files as the tier allows.
    #[error("the course has {current} of {limit} files")]
    TooManyFiles {
        /// Files and uploads under way.
        current: u32,
        /// How many may be.
        limit: u32,
    },
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// The file is larger than the tier or the installation allows.
    #[error("the file has {size} bytes; at most {limit} are allowed")]
    TooLarge {
        /// The declared size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The name's ending or the declared type is not one of the tier's, or they do not belong together.
    #[error("files of this type are not allowed")]
    TypeNotAllowed {
        /// What the tier allows.
        allowed: Vec<String>,
    },
    /// The bytes are not those of the type.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The name is a path, or has characters that no name has.
    #[error("the name cannot be used: {0}")]
    Name(&'static str),
    /// There are more or fewer bytes than were declared.
    #[error("{declared} bytes were declared, {found} came")]
    SizeMismatch {
        /// The declared size.
        declared: u64,
        /// What came, counted no further than one byte too many.
        found: u64,
    },
    /// The sender went silent or broke off.
    #[error("the upload was broken off")]
    BrokenOff,
    /// The quota is used up, the course is another's, or the database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes could not be kept.
    #[error("the file cannot be stored")]
    Files(#[from] object_store::Error),
    /// The bytes could not be put aside.
    #[error("the file cannot be put aside")]
    Io(#[from] std::io::Error),
}

/// Takes uploads in. One a process.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    store: Arc<Store>,
    blobs: Arc<dyn ObjectStore>,
    folder: Arc<Path>,
    most_bytes: u64,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
}

/// The store of uploaded files: a folder, or what the URL of the configuration names.
///
/// # Errors
/// [`Failure`] if the folder cannot be made or the URL names nothing that this build knows.
pub(crate) fn open_blobs(config: &Config) -> Result<Arc<dyn ObjectStore>, Failure> {
    let storage = &config.settings.storage;
    let Some(url) = &storage.url else {
        return local(&config.files_folder());
    };
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::setup(format!("storage.url cannot be used: {why}")).advice(
            "file:///folder works in every build; s3://, gs:// and az:// need the features s3, gcs, azure",
        )
    };
    let url = Url::parse(url).map_err(|error| unusable(&error))?;
    if url.scheme() == "file" {
        let folder = url
            .to_file_path()
            .map_err(|()| unusable(&"it is no path of this machine"))?;
        return local(&folder);
    }
    let (store, prefix) =
        object_store::parse_url_opts(&url, &storage.options).map_err(|error| unusable(&error))?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

fn local(folder: &Path) -> Result<Arc<dyn ObjectStore>, Failure> {
    private_folder(folder)
        .and_then(|()| Ok(LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true)))
        .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        .map_err(|error| Failure::setup(format!("{} cannot be used for files: {error}", folder.display())))
}

/// Nobody else on the machine reads what users upload.
fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

impl Uploads {
    /// Ready to take uploads in; `tasks` are awaited when the process ends.
    ///
    /// # Errors
    /// [`Failure`] if there is no place for bytes that have just come.
    pub(crate) fn new(
        config: &Config,
        store: Arc<Store>,
        blobs: Arc<dyn ObjectStore>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Result<Self, Failure> {
        let folder = config.data_dir.join("incoming");
        private_folder(&folder)
            .map_err(|error| Failure::setup(format!("{} cannot be used: {error}", folder.display())))?;
        Ok(Self {
            store,
            blobs,
            folder: folder.into(),
            most_bytes: config.settings.limits.upload_bytes,
            clock,
            tasks,
        })
    }

    /// Takes a file in. Goes on in a task of its own: a sender that has gone is cleaned up after, however the request
    /// ends.
    ///
    /// # Errors
    /// [`UploadError`] with the first thing that is wrong; then nothing of the file is left.
    pub(crate) async fn receive(
        &self,
        actor: Actor,
        declared: Declared,
        body: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin + 'static,
    ) -> Result<Document, UploadError> {
        let uploads = self.clone();
        let receiving = self
            .tasks
            .spawn(async move { Box::pin(uploads.receive_here(actor, &declared, body)).await });
        receiving.await.map_err(|_| UploadError::BrokenOff)?
    }

    async fn receive_here(
        &self,
        actor: Actor,
        declared: &Declared,
        mut body: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin,
    ) -> Result<Document, UploadError> {
        let limits = self.limits(actor, declared).await?;
        let kind = check_declared(declared, &limits, self.most_bytes)?;
        let mut incoming = Incoming::new(&self.folder, declared.size_bytes)?;
        let head = incoming.read_until(&mut body, HEAD_BYTES as u64);
        timeout(SILENCE, head)
            .await
            .map_err(|_| UploadError::BrokenOff)??;
        content::check_head(&incoming.head, kind)?;
        let (course_id, size) = (declared.course_id, declared.size_bytes);
        let filename = declared.filename.clone();
        let reserving = self.store.with_tenant(&actor, async move |tx| {
            document::reserve_replacement(tx, course_id, &filename, size, &limits).await
        });
        let reservation = reserving.await?;
        let filling = Box::pin(self.fill(&reservation, declared, kind, incoming, body));
        let received = timeout(PATIENCE, filling)
            .await
            .unwrap_or(Err(UploadError::BrokenOff));
        if received.is_err() {
            self.give_up(reservation.id).await;
        }
        received
    }

    /// What the actor may upload to the course. A file of the same name whose reading has ended makes room for the new
    /// one.
    async fn limits(&self, actor: Actor, declared: &Declared) -> Result<TierSettings, UploadError> {
        if !actor.role.may_author() {
            return Err(UploadError::Role);
        }
        let (course_id, filename) = (declared.course_id, declared.filename.clone());
        let now = self.clock.now();
        let asked = self.store.with_tenant(&actor, async move |tx| {
            check_tier_lasts(tx, now).await?;
            // A superadmin works with the limits of the highest tier (service 4.3).
            let tier = match actor.role {
                Role::Superadmin => Tier::Premium,
                Role::Student | Role::Instructor | Role::Admin => get_tier(tx, actor.organization_id).await?,
            };
            let course = store::course::get_course(tx, course_id).await?;
            if course.owner_id != actor.user_id {
                let message = "only its owner may add documents to a course";
                return Err(StoreError::Forbidden(message.to_owned()));
            }
            let limits = get_tier_settings(tx, tier).await?;
            let listed = document::list_documents(tx, course_id).await?;
            let documents = listed
                .iter()
                .filter(|document| document.filename != filename || !document.status.is_settled())
                .count();
            Ok((limits, documents))
        });
        let (limits, documents) = asked.await?;
        if limits.max_files_per_course == 0 || limits.formats.is_empty() {
            return Err(UploadError::TierWithoutFiles(limits.tier));
        }
        let current = u32::try_from(documents).unwrap_or(u32::MAX);
        if current >= limits.max_files_per_course {
            return Err(UploadError::TooManyFiles {
                current,
                limit: limits.max_files_per_course,
            });
        }
        Ok(limits)
    }

    /// Fills the room that was reserved.
    async fn fill(
        &self,
        reservation: &document::UploadReservation,
        declared: &Declared,
        kind: FileType,
        mut incoming: Incoming,
        mut body: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin,
    ) -> Result<Document, UploadError> {
        name::check(&declared.filename).map_err(UploadError::Name)?;
        incoming.read_until(&mut body, u64::MAX).await?;
        incoming.check_size()?;
        let (mut file, sha256) = incoming.judged(kind).await?;
        let key = object_store::path::Path::from(reservation.storage_key.as_str());
        keep::keep(self.blobs.as_ref(), &key, &mut file).await?;
        let new = NewDocument {
            filename: declared.filename.clone(),
            mime_type: kind.mime_type().to_owned(),
            size_bytes: declared.size_bytes,
            sha256,
        };
        let finished = self.finish(reservation.id, &new).await;
        if let Err(StoreError::NotFound { .. }) = &finished {
            // The reservation had ended meanwhile, and its key has been swept already.
            self.remove(std::slice::from_ref(&reservation.storage_key)).await;
        }
        let finished = finished?;
        if finished.duplicate_of_key.is_some() {
            self.sweep().await;
        }
        Ok(finished.document)
    }

    /// One try only: if the answer to the commit is lost, a second try could not know that the first was done.
    async fn finish(&self, id: UploadId, new: &NewDocument) -> Result<document::FinishedUpload, StoreError> {
        let mut tx = self.store.system().await?;
        let finished = document::finish_upload(&mut tx, id, new).await?;
        tx.commit().await?;
        Ok(finished)
    }

    /// Gives the room back and removes what lies there.
    async fn give_up(&self, id: UploadId) {
        let released = self
            .store
            .with_system(async move |tx| document::release_upload(tx, id).await)
            .await;
        match released {
            Ok(()) => self.sweep().await,
            // The reservation ends by itself.
            Err(error) => tracing::warn!(%error, upload_id = %id, "the room of an upload was not given back"),
        }
    }

    /// Removes a document; its bytes go with it unless another document has them too.
    ///
    /// # Errors
    /// [`StoreError`] as [`document::delete_document`] has it.
    pub(crate) async fn delete(&self, actor: Actor, id: domain::id::DocumentId) -> Result<(), StoreError> {
        let orphaned = self
            .store
            .with_tenant(&actor, async move |tx| document::delete_document(tx, id).await)
            .await?;
        if orphaned.is_some() {
            self.sweep().await;
        }
        Ok(())
    }

    /// Deletes files to which nothing refers any more. What cannot be deleted now is tried again the next time.
    pub(crate) async fn sweep(&self) {
        loop {
            let listed = self
                .store
                .with_system(async move |tx| document::list_removed_files(tx, SWEEP_FILES).await)
                .await;
            match listed {
                Ok(keys) if keys.is_empty() => return,
                Ok(keys) => {
                    if !self.remove(&keys).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "removed files could not be listed");
                    return;
                }
            }
        }
    }

    /// Deletes these files; whether all of them are gone.
    async fn remove(&self, keys: &[String]) -> bool {
        let mut gone = Vec::with_capacity(keys.len());
        for key in keys {
            match self
                .blobs
                .delete(&object_store::path::Path::from(key.as_str()))
                .await
            {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => gone.push(key.clone()),
                Err(error) => tracing::warn!(%error, key, "a removed file could not be deleted"),
            }
        }
        let is_all = gone.len() == keys.len();
        let forgotten = self
            .store
            .with_system(async move |tx| document::forget_removed_files(tx, &gone).await)
            .await;
        if let Err(error) = &forgotten {
            tracing::warn!(%error, "removed files could not be struck off the list");
        }
        forgotten.is_ok() && is_all
    }
}

/// What can be refused before a byte was read; the type of file.
fn check_declared(
    declared: &Declared,
    limits: &TierSettings,
    most_bytes: u64,
) -> Result<FileType, UploadError> {
    let (size, limit) = (declared.size_bytes, limits.max_file_bytes.min(most_bytes));
    if size == 0 {
        return Err(UploadError::Empty);
    }
    if size > limit {
        return Err(UploadError::TooLarge { size, limit });
    }
    FileType::of_name(&declared.filename)
        .filter(|kind| limits.formats.iter().any(|word| word == kind.word()))
        .filter(|kind| {
            declared
                .mime_type
                .as_ref()
                .is_none_or(|mime_type| kind.may_be_declared_as(mime_type))
        })
        .ok_or_else(|| UploadError::TypeNotAllowed {
            allowed: limits.formats.clone(),
        })
}

/// Bytes on their way: in a file without a name, which the system removes with its last user.
struct Incoming {
    file: tokio::fs::File,
    declared: u64,
    received: u64,
    head: Vec<u8>,
    digest: Sha256,
}

impl Incoming {
    fn new(folder: &Path, declared: u64) -> Result<Self, UploadError> {
        Ok(Self {
            file: tokio::fs::File::from_std(tempfile::tempfile_in(folder)?),
            declared,
            received: 0,
            head: Vec::new(),
            digest: Sha256::new(),
        })
    }

    /// Reads until `wanted` bytes have come, the sender is done, or there is one byte more than was declared.
    async fn read_until(
        &mut self,
        body: &mut (impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Unpin),
        wanted: u64,
    ) -> Result<(), UploadError> {
        while self.received < wanted && self.received <= self.declared {
            let next = timeout(SILENCE, body.next()).await;
            let Some(chunk) = next.map_err(|_| UploadError::BrokenOff)? else {
                break;
            };
            let chunk = chunk.map_err(|_| UploadError::BrokenOff)?;
            let room = HEAD_BYTES - self.head.len();
            self.head.extend_from_slice(&chunk[..chunk.len().min(room)]);
            self.digest.update(&chunk);
            self.received += chunk.len() as u64;
            self.file.write_all(&chunk).await?;
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), UploadError> {
        if self.received == self.declared {
            return Ok(());
        }
        Err(UploadError::SizeMismatch {
            declared: self.declared,
            found: self.received,
        })
    }

    /// Looks at the whole file, away from the threads that serve requests. Gives it back at its beginning, with its
    /// SHA-256 in hexadecimal.
    async fn judged(mut self, kind: FileType) -> Result<(tokio::fs::File, String), UploadError> {
        self.file.flush().await?;
        let mut file = self.file.into_std().await;
        let judging = tokio::task::spawn_blocking(move || {
            content::check_whole(&mut file, kind)?;
            Ok::<_, ContentError>(file)
        });
        let file = judging.await.map_err(std::io::Error::other)??;
        let mut file = tokio::fs::File::from_std(file);
        file.seek(SeekFrom::Start(0)).await?;
        Ok((file, hex::encode(self.digest.finalize())))
    }
}
