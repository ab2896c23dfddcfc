//! The tests' PostgreSQL: started by the first test, stopped when the process ends, however it ends.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tenantry::storage::migrate;
use tenantry_embedded::{Cluster, ClusterConfig, Connection};
use tokio_postgres::Config;

use super::{PASSWORDS, unique_name};

/// The migrated database that tests' databases are copies of.
pub(crate) const TEMPLATE: &str = "tenantry_template";

static SERVER: OnceLock<Config> = OnceLock::new();

/// The superuser's connection to the tests' server.
pub(crate) fn server() -> &'static Config {
    super::watched_logs::listen();
    SERVER.get_or_init(|| {
        // The first test may run in any runtime; the server is started from a thread that has its own.
        std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(start())).join().unwrap()
    })
}

async fn start() -> Config {
    // Under the system's folder for temporary files, which the server's user can reach when we are root.
    let dir = std::env::temp_dir().join(format!("tenantry-tests-{}", unique_name()));
    std::fs::create_dir_all(&dir).unwrap();
    let settings = [("max_connections", "400"), ("shared_buffers", "256MB"), ("log_min_messages", "fatal")];
    let cluster = Cluster::start(ClusterConfig {
        data_dir: dir.clone(),
        password: "admin-password-of-the-tests".to_owned(),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
    })
    .await
    .unwrap();
    stop_with_this_process(&dir);
    let server = config(cluster.connection(), "postgres");
    let template = create_on(&server, TEMPLATE, None).await;
    migrate::migrate(&template, &PASSWORDS, true).await.unwrap();
    // The watchdog stops the server; the folder stays locked by this process until then.
    std::mem::forget(cluster);
    server
}

/// A child that waits for the end of our pipe, which comes with our end, then stops the server and tidies up.
fn stop_with_this_process(dir: &std::path::Path) {
    let script = r#"
        trap '' INT TERM
        read -r _
        pid=$(head -n 1 "$1/postgres/pgdata/postmaster.pid")
        kill -QUIT "$pid"
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        rm -rf "$1"
    "#;
    let mut watchdog = Command::new("sh");
    watchdog
        .args(["-c", script, "watchdog"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // The pipe stays open as long as this process lives.
    std::mem::forget(watchdog.process_group(0).spawn().unwrap());
}

/// A driver's configuration for a cluster's database.
pub(crate) fn config(connection: &Connection, database: &str) -> Config {
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(connection.port)
        .user(connection.user)
        .password(&connection.password)
        .dbname(database);
    config
}

/// Makes a database with a name of its own, empty or as a copy.
pub(crate) async fn create_database(template: Option<&str>) -> Config {
    let server = tokio::task::spawn_blocking(server).await.unwrap();
    create_on(server, &unique_name(), template).await
}

async fn create_on(server: &Config, name: &str, template: Option<&str>) -> Config {
    let client = migrate::connect(server).await.unwrap();
    let from = template.map(|template| format!(" template {template}")).unwrap_or_default();
    // Only one copy of a template is made at a time.
    client.batch_execute("select pg_advisory_lock(42)").await.unwrap();
    client.batch_execute(&format!("create database {name}{from}")).await.unwrap();
    let mut config = server.clone();
    config.dbname(name);
    // What is granted on a database is not copied with it.
    client.batch_execute(&format!("revoke temporary on database {name} from public")).await.unwrap();
    config
}
