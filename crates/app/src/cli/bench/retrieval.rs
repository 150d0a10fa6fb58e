//! Finding: how well terms lead to the text that explains them, and how long a search takes in a large collection.
//!
//! Quality is measured on open textbooks: for a term of a glossary, the module that the glossary belongs to has to be
//! found. The way is the product's own: documents are taken in, read, embedded and searched.

mod bm25;
mod books;
mod large;
mod quality;

use std::path::Path;
use std::sync::Arc;

use store::Store;
use store::cluster::Unobserved;

use crate::config::Config;
use crate::failure::Failure;
use crate::wiring::store_config;

/// Measures how well is found, with the books in `data`: `BOOK.json` with chapters, modules and glossaries, and
/// `BOOK/*.md` with the text of some chapters.
pub(super) async fn measure_quality(config: &Config, data: Option<&Path>) -> Result<String, Failure> {
    let data = data.ok_or_else(|| {
        Failure::setup("there is nothing to search in")
            .advice("name a folder with books: `coursewright bench retrieval --data FOLDER`")
    })?;
    let books = books::load(data)?;
    let place = Place::open(config, "retrieval").await?;
    let measured = quality::measure(config, &place.store, &books).await;
    place.remove().await?;
    measured
}

/// Measures how long a search takes in 1 000 documents.
pub(super) async fn measure_large(config: &Config) -> Result<String, Failure> {
    let place = Place::open(config, "search").await?;
    let measured = large::measure(&place.store).await;
    place.remove().await?;
    measured
}

/// A database of its own, which is removed afterwards.
struct Place {
    store: Arc<Store>,
    folder: std::path::PathBuf,
}

impl Place {
    async fn open(config: &Config, name: &str) -> Result<Self, Failure> {
        let folder = config
            .data_dir
            .join(format!("bench-{name}-{}", std::process::id()));
        let mut database = store_config(config);
        database.database_url = None;
        database.cluster.folder.clone_from(&folder);
        let store = Arc::new(Store::open(&database, &Unobserved).await?);
        Ok(Self { store, folder })
    }

    async fn remove(self) -> Result<(), Failure> {
        if let Some(store) = Arc::into_inner(self.store) {
            store.close().await?;
        }
        // The folder was made by this command a moment ago; what cannot be removed is a rest in the user's own folder.
        let _ = std::fs::remove_dir_all(&self.folder);
        Ok(())
    }
}
