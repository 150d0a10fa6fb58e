//! The server process: making the data folder, starting, recognising and stopping it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::time::Instant;

use super::account::Account;
use super::binaries::Binaries;
use super::settings::{Durability, LOG_FILE, settings};
use super::{Cluster, ClusterError, SUPERUSER, StartObserver, StartStep, connects};

/// After a crash the server reads its log before it answers; with the settings above that takes seconds.
const START_PATIENCE: Duration = Duration::from_mins(10);
/// When the user is told that the server is recovering.
const RECOVERY_NOTICE: Duration = Duration::from_secs(3);
/// Between two looks at a file or a process that is about to change.
const POLL: Duration = Duration::from_millis(5);
/// Above this the log of earlier runs is dropped at a start.
const LOG_MAX_BYTES: u64 = 10 << 20;

/// Makes a data folder. It appears under its name only when it is complete.
pub(crate) fn initialise(
    base: &Path,
    data: &Path,
    binaries: &Binaries,
    account: &Account,
    durability: Durability,
) -> Result<(), ClusterError> {
    let new = base.join("data.new");
    let _ = fs::remove_dir_all(&new); // left by an interrupted start
    account.create_dir(&new, 0o700)?;
    let mut command = account.command(&binaries.folder.join("initdb"));
    command.arg("-D").arg(&new).args([
        "-U",
        SUPERUSER,
        "-E",
        "UTF8",
        "--no-instructions",
        "--wal-segsize=4",
    ]);
    if binaries.major >= 17 {
        command.args([
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ]);
    } else if cfg!(target_os = "macos") {
        command.arg("--locale=en_US.UTF-8");
    } else {
        // With the locale C `lower` would leave Russian capitals alone.
        command.arg("--locale=C.UTF-8");
    }
    // pg_hba.conf of the data folder is not used; should it be, it lets nobody in. The one sync of the whole file
    // system below costs less than one a file.
    let output = command
        .args(["--auth=reject", "-N"])
        .output()
        .map_err(ClusterError::io("run initdb in", &new))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ClusterError::Initialise { output: said });
    }
    if durability == Durability::CrashSafe {
        sync_tree(&new)?;
    }
    fs::rename(&new, data).map_err(ClusterError::io("move into place", data))?;
    let folder = File::open(base).map_err(ClusterError::io("open", base))?;
    folder.sync_all().map_err(ClusterError::io("sync", base))
}

#[cfg(target_os = "linux")]
fn sync_tree(folder: &Path) -> Result<(), ClusterError> {
    let opened = File::open(folder).map_err(ClusterError::io("open", folder))?;
    rustix::fs::syncfs(opened).map_err(|error| ClusterError::io("sync", folder)(error.into()))
}

#[cfg(not(target_os = "linux"))]
fn sync_tree(_folder: &Path) -> Result<(), ClusterError> {
    rustix::fs::sync();
    Ok(())
}

/// Starts the server and waits until it answers. Returns its process number.
pub(crate) async fn start(
    cluster: &Cluster,
    binaries: &Binaries,
    observer: &dyn StartObserver,
) -> Result<i32, ClusterError> {
    observer.on_step(StartStep::Starting);
    let data = cluster.data_folder();
    let sockets = &cluster.sockets;
    if running(&data).is_none() {
        remove_leftovers(&data, sockets)?;
    }
    let hba = sockets.join("pg_hba.conf");
    cluster
        .account
        .write_file(&hba, "local all all peer map=coursewright\n")?;
    let ident = sockets.join("pg_ident.conf");
    let map = format!(
        "coursewright \"{}\" {SUPERUSER}\ncoursewright \"{}\" {SUPERUSER}\n",
        Account::own_name(),
        cluster.account.name
    );
    cluster.account.write_file(&ident, &map)?;

    let log_path = cluster.base.join(LOG_FILE);
    let log = open_log(&log_path)?;
    let mut command = cluster.account.command(&binaries.folder.join("postgres"));
    command.arg("-D").arg(&data);
    let mut set = |name: &str, value: &std::ffi::OsStr| {
        let mut setting = std::ffi::OsString::from(format!("{name}="));
        setting.push(value);
        command.arg("-c").arg(setting);
    };
    set("unix_socket_directories", sockets.as_os_str());
    set("hba_file", hba.as_os_str());
    set("ident_file", ident.as_os_str());
    for (name, value) in settings(cluster.durability, binaries.major) {
        set(name, value.as_ref());
    }
    let second = log.try_clone().map_err(ClusterError::io("open", &log_path))?;
    // An own process group: Ctrl-C must not stop the server before the program has put its work away. No inherited
    // output: whoever reads this program's output through a pipe would wait for the server.
    command
        .stdin(Stdio::null())
        .stdout(second)
        .stderr(log)
        .process_group(0);
    let mut child = command
        .spawn()
        .map_err(ClusterError::io("start", &binaries.folder.join("postgres")))?;
    wait_until_ready(cluster, &mut child, observer).await?;
    let process = child.id().cast_signed();
    // Somebody has to collect the ended server, or it would stay a zombie for as long as this program runs.
    std::thread::Builder::new()
        .name("postgres-reaper".to_owned())
        .spawn(move || child.wait())
        .map_err(ClusterError::io("watch", &data))?;
    Ok(process)
}

async fn wait_until_ready(
    cluster: &Cluster,
    child: &mut Child,
    observer: &dyn StartObserver,
) -> Result<(), ClusterError> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        let ended = child
            .try_wait()
            .map_err(ClusterError::io("watch", &cluster.base))?;
        if let Some(status) = ended {
            return Err(start_failure(&cluster.base, &format!("it ended with {status}")));
        }
        if says_ready(&cluster.data_folder()) && connects(&cluster.options("postgres")).await {
            return Ok(());
        }
        if begun.elapsed() > START_PATIENCE {
            let _ = child.kill();
            return Err(start_failure(&cluster.base, "it does not answer"));
        }
        if !told && begun.elapsed() > RECOVERY_NOTICE {
            told = true;
            observer.on_step(StartStep::Recovering);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits for a server that another program started. False if it ends meanwhile.
pub(crate) async fn wait_for_running(
    cluster: &Cluster,
    observer: &dyn StartObserver,
) -> Result<bool, ClusterError> {
    let begun = Instant::now();
    let data = cluster.data_folder();
    let mut told = false;
    while running(&data).is_some() {
        if says_ready(&data) && connects(&cluster.options("postgres")).await {
            return Ok(true);
        }
        if begun.elapsed() > START_PATIENCE {
            return Err(start_failure(&cluster.base, "it runs but does not answer"));
        }
        if !told && begun.elapsed() > RECOVERY_NOTICE {
            told = true;
            observer.on_step(StartStep::Recovering);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(false)
}

/// Stops the server: sessions end, everything is written. After 30 s without it, they are dropped and the next start recovers.
pub(crate) async fn stop(process: i32) {
    let begun = Instant::now();
    let mut pressed = false;
    send(process, Signal::INT);
    while is_alive(process) {
        if !pressed && begun.elapsed() > Duration::from_secs(30) {
            pressed = true;
            send(process, Signal::QUIT);
        }
        if begun.elapsed() > Duration::from_secs(40) {
            tracing::error!(process, "the private database server does not stop");
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn send(process: i32, signal: Signal) {
    if let Some(process) = Pid::from_raw(process) {
        // A server that is gone already is what was wanted.
        let _ = rustix::process::kill_process(process, signal);
    }
}

/// The process number of the server that runs on this data folder.
pub(crate) fn running(data: &Path) -> Option<i32> {
    let process = noted_process(data)?;
    (is_alive(process) && works_in(process, data)).then_some(process)
}

fn noted_process(data: &Path) -> Option<i32> {
    fs::read_to_string(data.join("postmaster.pid"))
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// The server's own word, the eighth line of its pid file.
fn says_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
}

/// Whether the process exists and has not ended. A zombie has ended, but its number still answers.
pub(crate) fn is_alive(process: i32) -> bool {
    let Some(pid) = Pid::from_raw(process) else {
        return false;
    };
    match rustix::process::test_kill_process(pid) {
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(_) => return false,
    }
    match fs::read_to_string(format!("/proc/{process}/stat")) {
        // The state follows the name, which may itself contain parentheses.
        Ok(stat) => !stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X'])),
        Err(_) => cfg!(not(target_os = "linux")),
    }
}

/// Whether the process is the server of this folder, not another one that was given its number.
fn works_in(process: i32, data: &Path) -> bool {
    match fs::read_link(format!("/proc/{process}/cwd")) {
        Ok(folder) => fs::canonicalize(data).is_ok_and(|data| data == folder),
        Err(_) => cfg!(not(target_os = "linux")),
    }
}

/// Removes what a server that is gone has left while its number answers still, as a zombie or as another program's:
/// the server itself would refuse to start. All users wait at the set-up lock meanwhile, the folders belong to this
/// cluster alone, and the server still checks that no process of the old one holds its shared memory.
fn remove_leftovers(data: &Path, sockets: &Path) -> Result<(), ClusterError> {
    let leftovers = [
        data.join("postmaster.pid"),
        sockets.join(".s.PGSQL.5432.lock"),
        sockets.join(".s.PGSQL.5432"),
    ];
    for path in leftovers {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(ClusterError::io("remove", &path)(error)),
        }
    }
    Ok(())
}

fn open_log(path: &Path) -> Result<File, ClusterError> {
    let large = fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_MAX_BYTES);
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if large {
        options.write(true).truncate(true);
    } else {
        options.append(true);
    }
    options.open(path).map_err(ClusterError::io("open", path))
}

fn start_failure(base: &Path, what: &str) -> ClusterError {
    let path = base.join(LOG_FILE);
    let log = fs::read_to_string(&path).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(5)..].join("\n");
    ClusterError::Start {
        what: what.to_owned(),
        log: path,
        tail,
    }
}
