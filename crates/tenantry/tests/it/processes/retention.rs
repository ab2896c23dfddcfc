//! Old usage leaves: by command, also after the command was killed, and by a server that was told how much it keeps.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::Client;

use super::server::{Folder, Server};

const USER: &str = "11111111-1111-4111-8111-111111111111";

/// A tenant with usage of two old months, imported, and how to do that again.
fn with_old_usage(folder: &Folder) -> (String, Vec<String>) {
    let tenant = folder.says(&["tenant", "create", "--name", "Acme", "--owner", USER]);
    let file = folder.0.join("usage.csv");
    let rows = (0..50).map(|n| format!("2024-0{}-11T00:00:{:02}Z,1.25\n", 5 + n % 2, n));
    std::fs::write(&file, format!("t,n\n{}", rows.collect::<String>())).unwrap();
    let import = [
        "--json",
        "usage",
        "import",
        file.to_str().unwrap(),
        "--tenant",
        &tenant,
        "--timestamp",
        "t",
        "--metric",
        "bytes=n",
    ];
    let import: Vec<String> = import.map(str::to_owned).to_vec();
    assert_eq!(imported(folder, &import), (50, 0));
    (tenant, import)
}

/// How many events were accepted, and how many had been before.
fn imported(folder: &Folder, import: &[String]) -> (u64, u64) {
    let import: Vec<&str> = import.iter().map(String::as_str).collect();
    let done: Value = serde_json::from_str(&folder.says(&import)).unwrap();
    (done["accepted"].as_u64().unwrap(), done["duplicate"].as_u64().unwrap())
}

async fn admin(folder: &Folder) -> Client {
    let admin: tokio_postgres::Config = folder.says(&["database", "url", "--as", "owner"]).parse().unwrap();
    tenantry::storage::migrate::connect(&admin).await.unwrap()
}

async fn events(client: &Client) -> i64 {
    client.query_one("select count(*) from tenantry.tenant_usage", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn old_usage_leaves_by_command_also_after_it_was_killed() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (tenant, import) = with_old_usage(&folder);
    let client = admin(&folder).await;
    let missing = folder.run(&["usage", "retain"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("give --older-than, or set usage_retain_months"));
    assert_eq!(folder.says(&["usage", "retain", "--older-than", "2024-05"]), "no month of usage is that old");
    let retain = ["usage", "retain", "--older-than", "2024-07", "--archive", "old"];
    let dry = [&retain[..], &["--dry-run"]].concat();
    assert_eq!(folder.says(&dry), "2024-05  would leave\n2024-06  would leave");
    // Killed while it waits for a reader: everything is staged, nothing has left.
    client.batch_execute("begin; lock table tenantry.tenant_usage in access share mode").await.unwrap();
    let mut child = folder.command(&retain).stdout(std::process::Stdio::null()).spawn().unwrap();
    let waits = "select count(*) > 0 from pg_locks where not granted and relation = 'tenantry.tenant_usage'::regclass";
    while !client.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before it was killed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    client.batch_execute("rollback").await.unwrap();
    assert_eq!(events(&client).await, 50);
    assert!(folder.says(&["verify", "--archives", "old"]).ends_with(", 0 archive files: the books are right"));
    let held = folder.run(&retain);
    assert_eq!(held.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&held.stderr).contains("try again in a quarter of an hour"));
    client.batch_execute("update tenantry.retention_runs set lease_until = now()").await.unwrap();
    let due = "2024-05  left: 25 events of 1 tenants, 1 files\n2024-06  left: 25 events of 1 tenants, 1 files";
    assert_eq!(folder.says(&retain), due);
    assert_eq!(events(&client).await, 0);
    assert!(folder.says(&["verify", "--archives", "old"]).ends_with(", 2 archive files: the books are right"));
    assert_eq!(imported(&folder, &import), (0, 50));
    // A file that is not what it was is found.
    std::fs::remove_file(folder.0.join(format!("old/{tenant}/2024-05.ndjson.zst"))).unwrap();
    let verified = folder.run(&["verify", "--archives", "old"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.code() == Some(1) && said.contains("2024-05.ndjson.zst: the file is missing"), "{said}");
    drop(server);
}

#[tokio::test]
async fn a_server_lets_leave_what_it_was_told_not_to_keep() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (tenant, import) = with_old_usage(&folder);
    assert_eq!(server.stop("-TERM"), Some(0));
    let told = [("TENANTRY_USAGE_RETAIN_MONTHS", "3"), ("TENANTRY_USAGE_ARCHIVE_DIR", "old")];
    let server = Server::start_with(&folder, &told);
    let client = admin(&folder).await;
    let out = "select count(*) from pg_class where relname ~ '^(tenant_usage_2024|usage_detached_)' and relkind = 'r'";
    while client.query_one(out, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(events(&client).await, 0);
    for month in ["2024-05", "2024-06"] {
        assert!(folder.0.join(format!("old/{tenant}/{month}.ndjson.zst")).exists());
    }
    assert!(folder.says(&["verify", "--archives", "old"]).ends_with(", 2 archive files: the books are right"));
    assert_eq!(imported(&folder, &import), (0, 50));
    drop(server);
}
