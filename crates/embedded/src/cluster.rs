//! The life of a cluster.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::layout::{FolderLock, Layout, set_mode};
use crate::server_user::ServerUser;
use crate::{Binaries, ClusterError};

/// The superuser of a private cluster.
const ADMIN: &str = "tenantry_admin";

/// How a cluster is wanted.
#[derive(Clone)]
pub struct ClusterConfig {
    /// The product's data folder; the cluster lies below it or where it points.
    pub data_dir: PathBuf,
    /// The superuser's password, when the cluster is made now; one that is kept in the folder wins.
    pub password: String,
    /// More settings for `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

/// How to connect to a running cluster as its superuser.
#[derive(Clone)]
pub struct Connection {
    /// Folder of the socket, where there is one.
    pub socket_dir: Option<PathBuf>,
    /// Port on 127.0.0.1, and part of the socket's name.
    pub port: u16,
    /// Name of the superuser.
    pub user: &'static str,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("socket_dir", &self.socket_dir)
            .field("port", &self.port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A running cluster that this process holds. Dropped without [`Cluster::stop`], the server goes on.
#[derive(Debug)]
pub struct Cluster {
    programs: Arc<Programs>,
    connection: Connection,
    _lock: FolderLock,
}

impl Cluster {
    /// Takes the folder, makes the cluster if there is none, starts the server or finds it running.
    pub async fn start(config: ClusterConfig) -> Result<Self, ClusterError> {
        blocking(move || {
            let user = ServerUser::choose()?;
            let layout = Layout::prepare(&config.data_dir, user)?;
            let lock = FolderLock::take(&layout.data_dir)?;
            let programs = Programs { binaries: Binaries::find()?, user, layout };
            let password = kept_password(&programs.layout, &config.password)?;
            programs.initialize(&password)?;
            if !programs.is_running() {
                programs.configure(free_port(&programs.layout)?, &config.settings)?;
                programs.start()?;
            }
            let connection = programs.connection(password)?;
            Ok(Self { programs: Arc::new(programs), connection, _lock: lock })
        })
        .await
    }

    /// How to connect.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Starts the server again if it died under us, with the settings and the port that it had. True where it had to.
    pub async fn revive(&self) -> Result<bool, ClusterError> {
        let programs = Arc::clone(&self.programs);
        blocking(move || {
            let is_dead = !programs.is_running();
            if is_dead {
                programs.start()?;
            }
            Ok(is_dead)
        })
        .await
    }

    /// Ends all sessions, writes everything out and stops the server.
    pub async fn stop(self) -> Result<(), ClusterError> {
        blocking(move || self.programs.stop()).await
    }
}

/// How to connect to the cluster of a folder that runs now, whoever started it. Nothing where none runs.
pub async fn attach(data_dir: &Path) -> Result<Option<Connection>, ClusterError> {
    let data_dir = data_dir.to_owned();
    blocking(move || {
        let Some(layout) = Layout::find(&data_dir)? else {
            return Ok(None);
        };
        let programs = Programs { binaries: Binaries::find()?, user: ServerUser::choose()?, layout };
        if !programs.layout.pgdata().is_dir() || !programs.is_running() {
            return Ok(None);
        }
        let path = programs.layout.password_file();
        let password = fs::read_to_string(&path).map_err(|source| ClusterError::writing(&path, source))?;
        programs.connection(password.trim().to_owned()).map(Some)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClusterError> + Send + 'static,
) -> Result<T, ClusterError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ClusterError::Program { program: "starting the database", reason: error.to_string() }),
    }
}

/// The password that is kept in the folder; the given one is kept from now on where there is none.
fn kept_password(layout: &Layout, given: &str) -> Result<String, ClusterError> {
    let path = layout.password_file();
    match fs::read_to_string(&path) {
        Ok(kept) if !kept.trim().is_empty() => Ok(kept.trim().to_owned()),
        _ => {
            write_secret(&path, given)?;
            Ok(given.to_owned())
        }
    }
}

/// Writes a file that only its owner reads.
fn write_secret(path: &Path, secret: &str) -> Result<(), ClusterError> {
    let write = || {
        let mut file = fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(format!("{secret}\n").as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| ClusterError::writing(path, source))?;
    set_mode(path, 0o600)
}

fn free_port(layout: &Layout) -> Result<u16, ClusterError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| ClusterError::writing(&layout.home, source))
}

/// The server's programs, run as the server's user on one cluster.
#[derive(Debug)]
struct Programs {
    binaries: Binaries,
    user: ServerUser,
    layout: Layout,
}

impl Programs {
    fn command(&self, program: &str) -> Command {
        let mut command = self.binaries.command(program);
        // Settings of the caller's shell must not reach the server or its tools.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(&name);
            }
        }
        command.env("LC_ALL", "C").current_dir(&self.layout.home).stdin(Stdio::null());
        self.user.apply(&mut command);
        command
    }

    fn run(&self, program: &'static str, command: &mut Command) -> Result<(), ClusterError> {
        let output = command.output().map_err(|error| ClusterError::Program { program, reason: error.to_string() })?;
        if output.status.success() {
            return Ok(());
        }
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        if program == "pg_ctl start" {
            said.push_str(&fs::read_to_string(self.layout.log()).unwrap_or_default());
        }
        Err(ClusterError::program(program, &self.layout.home, &said))
    }

    /// Makes the cluster. It appears under its name when it is whole, so that an interrupted start leaves nothing.
    fn initialize(&self, password: &str) -> Result<(), ClusterError> {
        let pgdata = self.layout.pgdata();
        if pgdata.is_dir() {
            return Ok(());
        }
        let fresh = self.layout.home.join("pgdata.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(|source| ClusterError::writing(&fresh, source))?;
        }
        // A file, since an argument would be in the process list.
        let secret = self.layout.home.join("initial-password");
        write_secret(&secret, password)?;
        self.user.own(&secret)?;
        let mut initdb = self.command("initdb");
        initdb.arg("--pgdata").arg(&fresh).arg("--pwfile").arg(&secret).args([
            "--username",
            ADMIN,
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--data-checksums",
        ]);
        let made = self.run("initdb", &mut initdb);
        fs::remove_file(&secret).map_err(|source| ClusterError::writing(&secret, source))?;
        if made.is_err() {
            // What is half made only takes room; the next start makes it anew in any case.
            let _ = fs::remove_dir_all(&fresh);
        }
        made?;
        fs::rename(&fresh, &pgdata).map_err(|source| ClusterError::writing(&pgdata, source))
    }

    /// Writes our settings, which `postgresql.conf` includes.
    fn configure(&self, port: u16, more: &[(String, String)]) -> Result<(), ClusterError> {
        let socket = self.layout.socket_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("unix_socket_directories", socket),
            ("unix_socket_permissions", "0700".to_owned()),
            ("max_connections", "100".to_owned()),
            ("shared_buffers", "512MB".to_owned()),
            ("wal_compression", "on".to_owned()),
            ("max_wal_size", "4GB".to_owned()),
            ("checkpoint_timeout", "15min".to_owned()),
            ("timezone", "UTC".to_owned()),
            ("log_timezone", "UTC".to_owned()),
            ("logging_collector", "on".to_owned()),
            ("log_directory", self.layout.home.join("log").display().to_string()),
            ("log_filename", "postgresql-%a.log".to_owned()),
            ("log_truncate_on_rotation", "on".to_owned()),
            ("log_rotation_age", "1d".to_owned()),
        ];
        settings.extend(more.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let mut text = String::from(
            "# Written by tenantry at each start; put your own settings into postgresql.conf below the include.\n",
        );
        for (name, value) in settings {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
        }
        let pgdata = self.layout.pgdata();
        let ours = pgdata.join("tenantry.conf");
        fs::write(&ours, text).map_err(|source| ClusterError::writing(&ours, source))?;
        self.user.own(&ours)?;
        let main = pgdata.join("postgresql.conf");
        let current = fs::read_to_string(&main).map_err(|error| ClusterError::Damaged {
            dir: self.layout.home.clone(),
            reason: format!("postgresql.conf: {error}"),
        })?;
        if !current.contains("include = 'tenantry.conf'") {
            fs::write(&main, format!("{current}\ninclude = 'tenantry.conf'\n"))
                .map_err(|source| ClusterError::writing(&main, source))?;
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        let mut status = self.command("pg_ctl");
        status.arg("status").arg("--pgdata").arg(self.layout.pgdata()).stdout(Stdio::null()).stderr(Stdio::null());
        status.status().is_ok_and(|status| status.success())
    }

    fn start(&self) -> Result<(), ClusterError> {
        let log = self.layout.log();
        // The log tells what went wrong with this start, not with an earlier one.
        fs::write(&log, "").map_err(|source| ClusterError::writing(&log, source))?;
        self.user.own(&log)?;
        let mut start = self.command("pg_ctl");
        start.args(["start", "--wait", "--timeout", "120", "--silent", "--log"]).arg(&log);
        start.arg("--pgdata").arg(self.layout.pgdata());
        self.run("pg_ctl start", start.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    fn stop(&self) -> Result<(), ClusterError> {
        if !self.is_running() {
            return Ok(());
        }
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "--mode", "fast", "--wait", "--timeout", "120", "--silent", "--pgdata"]);
        self.run("pg_ctl stop", stop.arg(self.layout.pgdata()))
    }

    /// Where the running server listens, as its own pid file says.
    fn connection(&self, password: String) -> Result<Connection, ClusterError> {
        let path = self.layout.pgdata().join("postmaster.pid");
        let damaged = |reason: String| ClusterError::Damaged { dir: self.layout.home.clone(), reason };
        let text = fs::read_to_string(&path).map_err(|error| damaged(format!("postmaster.pid: {error}")))?;
        let lines: Vec<&str> = text.lines().collect();
        let port = lines
            .get(3)
            .and_then(|line| line.trim().parse().ok())
            .ok_or_else(|| damaged("postmaster.pid names no port".to_owned()))?;
        let socket_dir = lines.get(4).map(|line| line.trim()).filter(|line| !line.is_empty()).map(PathBuf::from);
        Ok(Connection { socket_dir, port, user: ADMIN, password })
    }
}
