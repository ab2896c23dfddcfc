//! Commands beside a running server, and the import of the trace.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::server::{Folder, Server, Watch, client};

const USER: &str = "11111111-1111-4111-8111-111111111111";

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap()
}

#[tokio::test]
async fn commands_use_the_running_server_and_print_secrets_alone() {
    let folder = Folder::new();
    let watch = Watch::start();
    let server = Server::start(&folder);
    let token = folder.says(&["token", "--user", USER]);
    assert_eq!((token.lines().count(), token.split('.').count()), (1, 3));
    let tenant = folder.says(&["tenant", "create", "--name", "Acme", "--owner", USER]);
    assert!(Uuid::try_parse(&tenant).is_ok());
    // Held up in its statement, so that it is looked at while it has the secret.
    let admin: tokio_postgres::Config = folder.says(&["database", "url", "--as", "owner"]).parse().unwrap();
    let client = tenantry::storage::migrate::connect(&admin).await.unwrap();
    client.batch_execute("begin; lock table tenantry.api_keys in access exclusive mode").await.unwrap();
    let mut create = folder.command(&["key", "create", "--tenant", &tenant, "--scopes", "recordUsage"]);
    let create = create.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let held_up = "select count(*) > 0 from pg_locks where not granted and relation = 'tenantry.api_keys'::regclass";
    while !client.query_one(held_up, &[]).await.unwrap().get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while !watch.saw(&format!("key create --tenant {tenant}")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.batch_execute("rollback").await.unwrap();
    let created = create.wait_with_output().unwrap();
    let key = String::from_utf8(created.stdout).unwrap().trim().to_owned();
    assert!(key.starts_with("tk_") && key.lines().count() == 1);
    let keys: Value = serde_json::from_str(&folder.says(&["--json", "key", "list", "--tenant", &tenant])).unwrap();
    let id = keys["data"][0]["id"].as_str().unwrap();
    assert_eq!(keys["data"][0]["scopes"], json!(["recordUsage"]));
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
    // A damaged book is found and named, and the exit code says so.
    client.execute("delete from tenantry.tenant_members where role = 'owner'", &[]).await.unwrap();
    let verified = folder.run(&["verify"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.code() == Some(1) && said.contains("owners"), "{said}");
    let log = std::fs::read_to_string(&server.log).unwrap();
    let password = std::fs::read_to_string(folder.data().join("database-password")).unwrap();
    assert_eq!(server.stop("-TERM"), Some(0));
    // Without a server a command starts the database for itself, and ends it.
    assert!(folder.says(&["tenant", "list"]).contains("acme"));
    assert_eq!(folder.postmaster(), None);
    // No secret is in the log, or was among the arguments of a process at any time.
    assert!(watch.saw("initdb") && watch.saw("serve --listen"), "the watch saw nothing");
    for secret in [token.as_str(), key.as_str(), password.trim()] {
        assert!(secret.len() > 20 && !log.contains(secret) && !watch.saw(secret), "a secret is shown");
    }
}

/// Kills an import three times, each time with some of its events recorded and others not.
async fn killed_half_way(folder: &Folder, import: &[&str]) {
    let admin: tokio_postgres::Config = folder.says(&["database", "url", "--as", "owner"]).parse().unwrap();
    let client = tenantry::storage::migrate::connect(&admin).await.unwrap();
    let recorded =
        async || -> i64 { client.query_one("select count(*) from tenantry.tenant_usage", &[]).await.unwrap().get(0) };
    client.batch_execute("select pg_advisory_lock(4711)").await.unwrap();
    for rows in [1, 6000, 12_000] {
        // The import goes no further once so many events are there.
        let gate = format!(
            "create or replace function public.gate() returns trigger language plpgsql as $$ begin
                 if (select count(*) from tenantry.tenant_usage) >= {rows} then perform pg_advisory_xact_lock(4711); end if;
                 return null;
             end $$;
             create or replace trigger gate before insert on tenantry.usage_keys
                 for each statement execute function public.gate()"
        );
        client.batch_execute(&gate).await.unwrap();
        let mut child = folder.command(import).stdout(std::process::Stdio::null()).spawn().unwrap();
        let stopped = "select count(*) > 0 from pg_locks where locktype = 'advisory' and not granted";
        while !client.query_one(stopped, &[]).await.unwrap().get::<_, bool>(0) {
            assert_eq!(child.try_wait().unwrap(), None, "the import ended before it was killed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let ended = "select pg_terminate_backend(pid, 10000) from pg_locks where locktype = 'advisory' and not granted";
        client.query(ended, &[]).await.unwrap();
        let recorded = recorded().await;
        assert!(rows <= recorded && recorded < 2 * 8819, "{recorded} events were recorded");
    }
    client.batch_execute("drop trigger gate on tenantry.usage_keys; drop function public.gate()").await.unwrap();
}

#[tokio::test]
async fn notices_are_shown_with_the_mails_that_are_kept() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let token = folder.says(&["token", "--user", USER, "--email", "ada@example.com"]);
    let event = json!({ "metric": "calls", "amount": 160, "idempotencyKey": "1" });
    let request = client().post(format!("{}/api/usage", server.url)).bearer_auth(&token).json(&event);
    assert_eq!(request.send().await.unwrap().status(), 201);
    let mut shown = String::new();
    // The worker looks every second.
    for _ in 0..200 {
        shown = folder.says(&["notifications"]);
        if shown.contains("kept") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(shown.contains("80 % of calls used") && shown.contains("ada@example.com kept"), "{shown}");
    let list: Value = serde_json::from_str(&folder.says(&["--json", "notifications", "--tenant", USER])).unwrap();
    let notice = &list["data"][0];
    assert_eq!((&notice["kind"], &notice["tenantId"]), (&"limit_threshold".into(), &USER.into()), "{list}");
    assert!(notice["text"].as_str().unwrap().contains("Used: 160"), "{notice}");
    // An invitation that nobody mailed can be handed on, and accepted.
    let acme = folder.says(&["tenant", "create", "--name", "Acme", "--owner", USER]);
    let invitation = json!({ "email": "bea@example.com", "role": "member" });
    let request = client().post(format!("{}/api/tenants/{acme}/invitations", server.url)).bearer_auth(&token);
    let made: Value = request.json(&invitation).send().await.unwrap().json().await.unwrap();
    let secret = made["token"].as_str().unwrap();
    for _ in 0..200 {
        shown = folder.says(&["notifications", "--tenant", &acme]);
        if shown.contains("kept") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let link = format!("bea@example.com is invited: http://localhost:3000/invitations/accept?token={secret}");
    assert!(shown.contains(&link) && shown.contains("Acme: You are invited"), "{shown}");
    let list: Value = serde_json::from_str(&folder.says(&["--json", "notifications", "--tenant", &acme])).unwrap();
    assert!(list["data"][0]["text"].as_str().unwrap().contains(secret), "{list}");
    let bea = Uuid::from_u128(0xbea).to_string();
    let bearer = folder.says(&["token", "--user", &bea, "--email", "bea@example.com"]);
    let request = client().post(format!("{}/api/invitations/accept", server.url)).bearer_auth(&bearer);
    assert_eq!(request.json(&json!({ "token": secret })).send().await.unwrap().status(), 200);
    let shown = folder.says(&["--json", "notifications", "--tenant", &acme]);
    assert!(shown.contains("invitation") && !shown.contains(secret), "{shown}");
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(!log.contains(secret), "the token is in the log");
    drop(server);
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
    killed_half_way(&folder, &import).await;
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
    let by_day = [&["--json", "usage", "report", "--tenant", &tenant, "--group-by", "day"][..], &span].concat();
    let by_day = [&by_day[..], &["--metric", "context_tokens"]].concat();
    let by_day: Value = serde_json::from_str(&folder.says(&by_day)).unwrap();
    let day = json!({ "metric": "context_tokens", "key": "2023-11-16", "total": "18059974", "count": 8819 });
    assert_eq!(by_day["groups"], json!([day]));
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
