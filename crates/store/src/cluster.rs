//! The private PostgreSQL: a cluster in the data folder that the program starts and stops itself.
//!
//! Several programs of one user share it: the first starts the server, every one holds a shared lock, and a small
//! watcher process stops the server when the last lock is gone, however its holder ended. Nothing listens on the
//! network; whoever may enter the socket's folder is known to the kernel, so there is no password.

mod account;
mod binaries;
mod fetch;
mod server;
mod settings;
mod watcher;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::error::ErrorKind;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use account::Account;
use binaries::{Binaries, SearchPlan};
pub(crate) use server::is_alive as process_is_alive;
pub use settings::Durability;
use watcher::FileLock;

/// The superuser of a private cluster. Never the name of a schema: the search path begins with `"$user"`.
pub(crate) const SUPERUSER: &str = "postgres";
/// The longest path of a socket (`sun_path` has 104 bytes on macOS, 108 on Linux).
const SOCKET_PATH_MAX: usize = 103;
/// The longest name that the server gives a file in the socket's folder.
const SOCKET_NAME: &str = "/.s.PGSQL.5432.lock";
/// How long a program waits for another one that is setting the cluster up.
const SETUP_PATIENCE: Duration = Duration::from_mins(5);
/// Between two tries to take a lock.
const POLL: Duration = Duration::from_millis(10);

/// Where the cluster lies and where its programs are looked for.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The cluster's folder; made when missing.
    pub folder: PathBuf,
    /// The only folder in which `initdb` and `postgres` are looked for, when the user names one.
    pub bin_dir: Option<PathBuf>,
    /// The value of `PATH`: where `initdb`, `pg_config` and `python3` are looked for.
    pub search_path: Option<OsString>,
    /// Whether the usual folders of distributions are searched too.
    pub usual_folders: bool,
    /// Whether the programs may be fetched when none are found.
    pub may_fetch: bool,
    /// The user that called `sudo`, when this is root.
    pub sudo_uid: Option<u32>,
    /// How safe committed data is.
    pub durability: Durability,
    /// How long the server stays after its last user.
    pub linger: Duration,
}

impl ClusterConfig {
    /// The usual cluster in `folder`: crash-safe, programs found or fetched, stopped with its last user.
    pub const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            bin_dir: None,
            search_path: None,
            usual_folders: true,
            may_fetch: true,
            sudo_uid: None,
            durability: Durability::CrashSafe,
            linger: Duration::ZERO,
        }
    }
}

/// A slow part of opening the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartStep {
    /// Another program is setting the cluster up; its process number, where known.
    Waiting(Option<u32>),
    /// The server's programs are being downloaded (14 MB).
    Fetching,
    /// They are being unpacked.
    Unpacking,
    /// The data folder is being made.
    Initialising,
    /// The server is being started.
    Starting,
    /// The server is recovering after a crash.
    Recovering,
    /// The schema is being brought up to date.
    Migrating,
}

/// Hears which slow part of opening the database has begun.
pub trait StartObserver: Send + Sync {
    /// `step` has begun.
    fn on_step(&self, step: StartStep);
}

/// An observer that does not listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl StartObserver for Unobserved {
    fn on_step(&self, _step: StartStep) {}
}

/// Why the private database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There are no programs of the server.
    #[error("{}", no_binaries_message(*pinned, tried))]
    NoBinaries {
        /// The version that the data folder needs, if it has one already.
        pinned: Option<u32>,
        /// Folders that were looked at, and why they were not used.
        tried: Vec<String>,
    },
    /// There are none, and fetching them failed.
    #[error("no PostgreSQL was found, and fetching one failed: {0}. {INSTALL_HINT}")]
    Fetch(String),
    /// Running as root, with no account for the server.
    #[error(
        "PostgreSQL does not run as root and there is no account for it: create a user 'postgres', run as another user, or set DATABASE_URL"
    )]
    NoAccount,
    /// Another program holds the cluster and does not let go.
    #[error("the database in {} is in use by another coursewright process{}", folder.display(), process.map_or_else(String::new, |process| format!(" ({process})")))]
    InUse {
        /// The cluster's folder.
        folder: PathBuf,
        /// The number of the process.
        process: Option<u32>,
    },
    /// The folder belongs to somebody else.
    #[error("{} belongs to another user; choose another data folder", .0.display())]
    ForeignFolder(PathBuf),
    /// The data folder could not be made.
    #[error("initdb failed: {output}")]
    Initialise {
        /// What it said.
        output: String,
    },
    /// The server did not start.
    #[error("the database server did not start: {what}. The end of {}:\n{tail}", log.display())]
    Start {
        /// What was seen.
        what: String,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The file system refused.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// What to do where no server can be had.
const INSTALL_HINT: &str = "Install PostgreSQL 15 or newer (Debian, Ubuntu: 'apt install postgresql'; macOS: 'brew install postgresql'), or set DATABASE_URL to a server";

fn no_binaries_message(pinned: Option<u32>, tried: &[String]) -> String {
    let what = pinned.map_or_else(
        || "no PostgreSQL was found".to_owned(),
        |major| format!("the data folder was made by PostgreSQL {major}, which was not found"),
    );
    let tried = if tried.is_empty() {
        String::new()
    } else {
        format!(" (not usable: {})", tried.join(", "))
    };
    format!("{what}{tried}. {INSTALL_HINT}")
}

impl ClusterError {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |cause| Self::Io { action, path, cause }
    }

    /// The kind for exit codes and statuses.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::NoBinaries { .. }
            | Self::Fetch(_)
            | Self::NoAccount
            | Self::ForeignFolder(_)
            | Self::Initialise { .. }
            | Self::Start { .. }
            | Self::Io { .. } => ErrorKind::Setup,
        }
    }
}

/// A running private cluster, held for as long as this value lives.
#[derive(Debug)]
pub struct Cluster {
    base: PathBuf,
    sockets: PathBuf,
    account: Account,
    durability: Durability,
    setup: FileLock,
    users: FileLock,
    sole_user: bool,
}

impl Cluster {
    /// Joins the cluster in the configured folder; makes and starts it first where needed. Other programs wait until
    /// [`Cluster::admit_others`].
    ///
    /// # Errors
    /// [`ClusterError`]; of kind `Setup` when the machine lacks something, with what to do in the message.
    pub async fn open(config: &ClusterConfig, observer: &dyn StartObserver) -> Result<Self, ClusterError> {
        let (base, account) = place(config)?;
        fs::create_dir_all(&base).map_err(ClusterError::io("create the folder", &base))?;
        // The server's account has to pass through; the files inside have permissions of their own.
        let mode = if account.switches { 0o711 } else { 0o700 };
        fs::set_permissions(&base, fs::Permissions::from_mode(mode))
            .map_err(|_| ClusterError::ForeignFolder(base.clone()))?;

        let setup = FileLock::open(base.join("setup.lock"))?;
        take_setup_lock(&setup, &base, observer).await?;
        let users = FileLock::open(base.join("users.lock"))?;
        let sole_user = take_user_lock(&users).await?;

        let sockets = socket_folder(&base, &account)?;
        let durability = config.durability;
        let cluster = Self {
            base,
            sockets,
            account,
            durability,
            setup,
            users,
            sole_user,
        };
        cluster.bring_up(config, observer).await?;
        Ok(cluster)
    }

    /// Lets other programs join. Until then they wait, so that the schema is made by one program alone and
    /// [`Cluster::was_sole_user`] still holds.
    ///
    /// # Errors
    /// [`ClusterError::Io`] if the lock file cannot be used.
    pub fn admit_others(&self) -> Result<(), ClusterError> {
        self.setup.unlock()
    }

    /// Connection options for one of its databases.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.sockets)
            .port(5432)
            .username(SUPERUSER)
            .database(database)
            .application_name("coursewright")
            .disable_statement_logging()
    }

    /// Whether nobody else used the cluster when this program joined it: then nothing in the database that claims
    /// to be at work still is.
    pub const fn was_sole_user(&self) -> bool {
        self.sole_user
    }

    /// The cluster's folder: the configured one, or its substitute where the server's account cannot enter it.
    pub fn folder(&self) -> &Path {
        &self.base
    }

    /// The process number of the server, while it runs.
    pub fn server_process(&self) -> Option<i32> {
        server::running(&self.data_folder())
    }

    /// Leaves the cluster; the last one to leave stops the server and returns when it has ended.
    ///
    /// # Errors
    /// [`ClusterError::Io`] if the lock file cannot be used.
    pub async fn stop(self) -> Result<(), ClusterError> {
        let data = self.data_folder();
        // First let go: changing a shared lock into an exclusive one lets go in between too, unseen.
        self.users.unlock()?;
        let Some(process) = server::running(&data) else {
            return Ok(());
        };
        // The server removes its pid file a little before it ends, so its process is what is waited for.
        while server::is_alive(process) {
            if self.users.try_exclusive()? {
                server::stop(process).await;
                break;
            }
            // Somebody has it: others share it, or the watcher has it alone until the server has ended.
            if self.users.try_shared()? {
                self.users.unlock()?;
                if server::running(&data) == Some(process) {
                    break;
                }
            }
            tokio::time::sleep(POLL).await;
        }
        self.users.unlock()
    }

    fn data_folder(&self) -> PathBuf {
        self.base.join("data")
    }

    /// Makes the server run, whatever state it is in. The set-up lock is held.
    async fn bring_up(
        &self,
        config: &ClusterConfig,
        observer: &dyn StartObserver,
    ) -> Result<(), ClusterError> {
        let data = self.data_folder();
        if let Some(process) = server::running(&data)
            && server::wait_for_running(self, observer).await?
        {
            return self.watch(process, config.linger);
        }
        let binaries = self.find_binaries(config, observer)?;
        if !data.join("PG_VERSION").exists() {
            observer.on_step(StartStep::Initialising);
            let (base, account, durability) = (self.base.clone(), self.account.clone(), self.durability);
            let made = binaries.clone();
            blocking(move || server::initialise(&base, &data, &made, &account, durability)).await?;
        }
        let process = server::start(self, &binaries, observer).await?;
        self.watch(process, config.linger)
    }

    fn find_binaries(
        &self,
        config: &ClusterConfig,
        observer: &dyn StartObserver,
    ) -> Result<Binaries, ClusterError> {
        let pinned = fs::read_to_string(self.data_folder().join("PG_VERSION"))
            .ok()
            .and_then(|version| version.trim().parse().ok());
        let fetched = self.base.join("programs");
        let plan = SearchPlan {
            explicit: config.bin_dir.as_deref(),
            path: config.search_path.as_deref(),
            fetched: &fetch::program_folder(&fetched),
            usual_folders: config.usual_folders,
        };
        match binaries::find(&plan, &self.account, pinned) {
            Err(ClusterError::NoBinaries { .. }) if config.may_fetch && config.bin_dir.is_none() => {
                fetch::fetch(&fetched, config.search_path.as_deref(), observer)?;
                binaries::find(&plan, &self.account, pinned)
            }
            found => found,
        }
    }

    /// Makes sure that a watcher will stop this server.
    fn watch(&self, process: i32, linger: Duration) -> Result<(), ClusterError> {
        let alive = FileLock::open(self.base.join(format!("watcher-{process}.lock")))?;
        if alive.try_exclusive()? {
            self.remove_old_watcher_locks(process);
            watcher::spawn(&self.base.join("users.lock"), &alive, process, linger)?;
        }
        Ok(())
    }

    fn remove_old_watcher_locks(&self, process: i32) {
        let current = format!("watcher-{process}.lock");
        for entry in fs::read_dir(&self.base).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("watcher-") && name != current {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether the server lets us in.
pub(crate) async fn connects(options: &PgConnectOptions) -> bool {
    match PgConnection::connect_with(options).await {
        Ok(connection) => connection.close().await.is_ok(),
        Err(_) => false,
    }
}

async fn blocking(
    work: impl FnOnce() -> Result<(), ClusterError> + Send + 'static,
) -> Result<(), ClusterError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => Err(ClusterError::Initialise {
            output: failed.to_string(),
        }),
    }
}

/// The folder of the cluster and the account of its server. Where the account cannot enter the configured folder
/// (root's home has mode 0700), a folder under `/var/lib` takes its place: unlike `/var/tmp`, nothing sweeps it.
fn place(config: &ClusterConfig) -> Result<(PathBuf, Account), ClusterError> {
    let wished = std::path::absolute(&config.folder).map_err(ClusterError::io("find", &config.folder))?;
    // Links are followed now: the server reports its folder by its real name.
    fs::create_dir_all(&wished).map_err(ClusterError::io("create the folder", &wished))?;
    let wished = fs::canonicalize(&wished).map_err(ClusterError::io("find", &wished))?;
    let account = Account::choose(&wished.join("data"), config.sudo_uid)?;
    if account
        .blocked_by(&wished.join("data"))
        .is_none_or(|blocked| blocked == wished)
    {
        return Ok((wished, account));
    }
    let name = format!("coursewright-{}", fingerprint(&wished));
    for parent in ["/var/lib", "/var/tmp"] {
        let base = Path::new(parent).join(&name);
        if private_folder(&base, 0o711).is_ok() {
            let account = Account::choose(&base.join("data"), config.sudo_uid)?;
            return Ok((base, account));
        }
    }
    Err(ClusterError::ForeignFolder(wished))
}

/// A folder that is ours already or is made now; one that somebody else put there is refused.
fn private_folder(path: &Path, mode: u32) -> Result<(), ClusterError> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(path).map_err(ClusterError::io("look at", path))?;
            let ours = metadata.is_dir() && metadata.mode() & 0o022 == 0;
            if ours {
                Ok(())
            } else {
                Err(ClusterError::ForeignFolder(path.to_path_buf()))
            }
        }
        Err(error) => Err(ClusterError::io("create the folder", path)(error)),
    }
}

/// The folder of the socket: inside the cluster's folder, or a short one where that path is too long.
fn socket_folder(base: &Path, account: &Account) -> Result<PathBuf, ClusterError> {
    let inside = base.join("run");
    if inside.as_os_str().len() + SOCKET_NAME.len() <= SOCKET_PATH_MAX {
        account.create_dir(&inside, 0o700)?;
        return Ok(inside);
    }
    let short = PathBuf::from(format!(
        "/tmp/.coursewright-{}-{}",
        account.uid,
        fingerprint(base)
    ));
    private_folder(&short, 0o700)?;
    let owner = fs::symlink_metadata(&short)
        .map_err(ClusterError::io("look at", &short))?
        .uid();
    if owner != account.uid && owner != rustix::process::geteuid().as_raw() {
        return Err(ClusterError::ForeignFolder(short));
    }
    account.create_dir(&short, 0o700)?;
    Ok(short)
}

/// Twelve hexadecimal digits that stand for a path, the same in every version of the program.
fn fingerprint(path: &Path) -> String {
    hex::encode(&Sha256::digest(path.as_os_str().as_encoded_bytes())[..6])
}

/// Waits until no other program is setting the cluster up, and notes who does now.
async fn take_setup_lock(
    setup: &FileLock,
    base: &Path,
    observer: &dyn StartObserver,
) -> Result<(), ClusterError> {
    let path = base.join("setup.lock");
    let holder = || {
        fs::read_to_string(&path)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
    };
    let begun = Instant::now();
    let mut told = false;
    while !setup.try_exclusive()? {
        if begun.elapsed() > SETUP_PATIENCE {
            return Err(ClusterError::InUse {
                folder: base.to_path_buf(),
                process: holder(),
            });
        }
        if !told && begun.elapsed() > Duration::from_secs(1) {
            told = true;
            observer.on_step(StartStep::Waiting(holder()));
        }
        tokio::time::sleep(POLL).await;
    }
    let mut file = setup.file();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(ClusterError::io("write", &path))
}

/// Joins the users. Returns whether there were no others. Waits while the watcher stops the server.
async fn take_user_lock(users: &FileLock) -> Result<bool, ClusterError> {
    loop {
        let sole = users.try_exclusive()?;
        // From alone to shared the kernel lets go for a moment, in which the watcher may get the lock.
        if users.try_shared()? {
            return Ok(sole);
        }
        tokio::time::sleep(POLL).await;
    }
}
