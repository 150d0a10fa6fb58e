//! Holds a private cluster open, for tests of what happens between processes and at `kill -9`.
//!
//! `hold_cluster FOLDER PATH`: opens the store, prints `ready`, waits until its input ends, closes the store.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use store::cluster::{ClusterConfig, Unobserved};
use store::{Store, StoreConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), Some(path)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let cluster = ClusterConfig {
        search_path: Some(path),
        may_fetch: false,
        ..ClusterConfig::new(PathBuf::from(folder))
    };
    let config = StoreConfig {
        database_url: None,
        cluster,
    };
    match hold(&config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn hold(config: &StoreConfig) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(config, &Unobserved).await?;
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    store.close().await?;
    Ok(())
}
