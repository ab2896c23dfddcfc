//! Commands beside a running server, and the import of the trace.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::server::{Folder, Server};

const USER: &str = "11111111-1111-4111-8111-111111111111";

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap()
}

#[tokio::test]
async fn commands_use_the_running_server_and_print_secrets_alone() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let token = folder.says(&["token", "--user", USER]);
    assert_eq!((token.lines().count(), token.split('.').count()), (1, 3));
    let tenant = folder.says(&["tenant", "create", "--name", "Acme", "--owner", USER]);
    assert!(Uuid::try_parse(&tenant).is_ok());
    let key = folder.says(&["key", "create", "--tenant", &tenant, "--scopes", "recordUsage"]);
    assert!(key.starts_with("tk_") && key.lines().count() == 1);
    let keys: Value = serde_json::from_str(&folder.says(&["--json", "key", "list", "--tenant", &tenant])).unwrap();
    let id = keys["data"][0]["id"].as_str().unwrap();
    assert_eq!(keys["data"][0]["scopes"], serde_json::json!(["recordUsage"]));
    folder.says(&["key", "revoke", id]);
    let keys: Value = serde_json::from_str(&folder.says(&["--json", "key", "list", "--tenant", &tenant])).unwrap();
    assert!(keys["data"][0]["revokedAt"].is_string());
    assert!(folder.says(&["tenant", "list"]).contains("acme"));
    assert!(folder.says(&["tenant", "show", &tenant]).contains(USER));
    assert!(folder.says(&["catalog", "show"]).contains("free (default)"));
    assert!(folder.says(&["doctor"]).contains("cannot get past row security"));
    assert!(folder.says(&["migrate"]).contains("already"));
    let document: Value = serde_json::from_str(&folder.says(&["openapi"])).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    // Each login is who it says.
    for (role, name) in [("user", "tenantry_user"), ("service", "tenantry_service")] {
        let url: tokio_postgres::Config = folder.says(&["database", "url", "--as", role]).parse().unwrap();
        let client = tenantry::storage::migrate::connect(&url).await.unwrap();
        let found: String = client.query_one("select current_user::text", &[]).await.unwrap().get(0);
        assert_eq!(found, name);
    }
    // A damaged book is found, and the exit code says so.
    let admin: tokio_postgres::Config = folder.says(&["database", "url", "--as", "owner"]).parse().unwrap();
    let client = tenantry::storage::migrate::connect(&admin).await.unwrap();
    client.execute("delete from tenantry.tenant_members where role = 'owner'", &[]).await.unwrap();
    let verified = folder.run(&["verify"]);
    assert_eq!(verified.status.code(), Some(1), "{}", String::from_utf8_lossy(&verified.stdout));
    // No secret is in the log or among the arguments of processes.
    let log = std::fs::read_to_string(&server.log).unwrap();
    let password = std::fs::read_to_string(folder.data().join("database-password")).unwrap();
    let listed = std::process::Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for secret in [token.as_str(), key.as_str(), password.trim()] {
        assert!(!log.contains(secret) && !listed.contains(secret), "a secret is shown");
    }
    assert_eq!(server.stop("-TERM"), Some(0));
    // Without a server a command starts the database for itself, and ends it.
    assert!(folder.says(&["tenant", "list"]).contains("acme"));
    assert_eq!(folder.postmaster(), None);
}

#[tokio::test]
async fn the_trace_is_imported_once_however_often_it_is_tried() {
    let folder = Folder::new();
    std::fs::copy(repository("demo/plans.toml"), folder.0.join("plans.toml")).unwrap();
    let trace = repository("demo/azure_llm_inference_2023_code.csv");
    let server = Server::start(&folder);
    let tenant = folder.says(&["tenant", "create", "--name", "Inference", "--owner", USER]);
    let import = [
        "--json",
        "usage",
        "import",
        trace.to_str().unwrap(),
        "--tenant",
        &tenant,
        "--timestamp",
        "TIMESTAMP",
        "--metric",
        "context_tokens=ContextTokens",
        "--metric",
        "generated_tokens=GeneratedTokens",
    ];
    // Killed half way, at different points.
    for pause in [150, 400, 700] {
        let mut child = folder.command(&import).stdout(std::process::Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let whole: Value = serde_json::from_str(&folder.says(&import)).unwrap();
    assert_eq!(whole["rows"], 8819, "{whole}");
    assert_eq!(whole["accepted"].as_u64().unwrap() + whole["duplicate"].as_u64().unwrap(), 2 * 8819);
    let again: Value = serde_json::from_str(&folder.says(&import)).unwrap();
    assert_eq!((&again["accepted"], &again["duplicate"]), (&0.into(), &(2 * 8819).into()), "{again}");
    let span = ["--from", "2023-11-16T00:00:00Z", "--to", "2023-11-17T00:00:00Z"];
    let report = [&["--json", "usage", "report", "--tenant", &tenant][..], &span].concat();
    let report: Value = serde_json::from_str(&folder.says(&report)).unwrap();
    for (metric, total, cents) in [("context_tokens", "18059974", 4765), ("generated_tokens", "245896", 265)] {
        assert_eq!(report["usage"][metric]["total"], total);
        let limit = &report["subscription"]["limits"][metric];
        assert_eq!((&limit["total"], &limit["accruedOverageCents"]), (&total.into(), &cents.into()), "{limit}");
    }
    assert!(folder.says(&["verify"]).ends_with("the books are right"));
    drop(server);
}

#[tokio::test]
async fn an_import_of_what_cannot_be_usage_is_wrong_use() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let tenant = folder.says(&["tenant", "create", "--name", "Acme", "--owner", USER]);
    let file = folder.0.join("usage.csv");
    std::fs::write(&file, format!("t,n,id\n2026-11-01T00:00:00Z,1,{}\n", "k".repeat(300))).unwrap();
    let import = |metric: &str| {
        let file = file.to_str().unwrap();
        let done = folder.run(&[
            "usage",
            "import",
            file,
            "--tenant",
            &tenant,
            "--timestamp",
            "t",
            "--metric",
            metric,
            "--key",
            "id",
        ]);
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, says) = import("nonsense=n");
    assert!(code == Some(2) && says.contains("no plan declares the metric \"nonsense\""), "{code:?} {says}");
    // A key that no row may have is named with its place; nothing was recorded, so the file can be mended.
    let (code, says) = import("calls=n");
    assert!(
        code == Some(1) && says.contains("line 2, column \"id\": the key must have 1 to 255 bytes"),
        "{code:?} {says}"
    );
    drop(server);
}
