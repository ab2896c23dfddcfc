//! `serve` with the sandbox, without, and with a key; the clock of development.

use std::net::TcpStream;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::server::{Folder, Server, client};

const USER: &str = "11111111-1111-4111-8111-111111111111";
const KEY: &str = "sk_test_hunter2hunter2";
const WEBHOOK: &str = "whsec_hunter2hunter2";
const JWT: &str = "a-secret-of-the-tests-that-is-long-enough-for-production";
const PLANS: &str = "currency = \"usd\"\n[[plans]]\nid = \"free\"\nname = \"Free\"\nrank = 0\ndefault = true\n\
                     [[plans]]\nid = \"pro\"\nname = \"Pro\"\nrank = 10\nprices = { month = 2900 }\n";

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::write(folder.0.join("plans.toml"), PLANS).unwrap();
    folder
}

fn line<'s>(server: &'s Server, name: &str) -> &'s str {
    server.banner.iter().find_map(|line| line.trim().strip_prefix(name)).unwrap().trim()
}

/// Where the banner says that the sandbox is.
fn sandbox(server: &Server) -> String {
    let line = line(server, "Stripe");
    line.strip_prefix("the sandbox at ").unwrap_or_else(|| panic!("{line}")).split(' ').next().unwrap().to_owned()
}

fn is_open(url: &str) -> bool {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).is_ok()
}

async fn period_start(server: &Server, token: &str) -> Timestamp {
    let url = format!("{}/api/billing/subscription", server.url);
    let answer = client().get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    body["subscription"]["currentPeriodStart"].as_str().unwrap_or_else(|| panic!("{body}")).parse().unwrap()
}

/// Asks until it is so; gives up when a server would have followed many times.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it never was");
}

#[tokio::test]
async fn the_sandbox_starts_and_stops_with_the_server_and_knows_the_plans() {
    let folder = folder();
    let server = Server::start(&folder);
    assert!(server.banner.len() <= 8, "{:?}", server.banner);
    let url = sandbox(&server);
    assert!(is_open(&url));
    // What was pushed at the start is all there is to push.
    assert!(folder.says(&["catalog", "push"]).contains("nothing to do"));
    std::fs::write(folder.0.join("plans.toml"), PLANS.replace("2900", "3900")).unwrap();
    let planned: Value = serde_json::from_str(&folder.says(&["--json", "catalog", "push", "--dry-run"])).unwrap();
    assert_eq!(planned["changes"][0]["action"], "replace_price", "{planned}");
    assert!(folder.says(&["catalog", "push"]).contains("39.00 USD a month"));
    let events: Value = serde_json::from_str(&folder.says(&["--json", "stripe", "events"])).unwrap();
    assert_eq!(events["counts"]["dead"], 0);
    assert_eq!(folder.run(&["stripe", "replay", "--event", "evt_none"]).status.code(), Some(1));
    assert_eq!(folder.run(&["stripe", "replay"]).status.code(), Some(2));
    // A second server on another folder finds the port taken and takes another.
    let other = self::folder();
    let second = Server::start(&other);
    assert_ne!(sandbox(&second), url);
    let arguments = arguments_of_all();
    let mut log: String = [&server, &second].map(|one| one.banner.join("\n")).concat();
    let second_log = second.log.clone();
    assert_eq!(second.stop("-TERM"), Some(0));
    // No secret of the data folders is in a log or among the arguments of a process.
    let secrets: Vec<String> = ["jwt-secret", "sandbox/secret-key", "sandbox/webhook-secret"]
        .iter()
        .flat_map(|name| [folder.data().join(name), other.data().join(name)])
        .map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned())
        .collect();
    for path in [&server.log, &second_log] {
        log += &std::fs::read_to_string(path).unwrap();
    }
    assert!(log.len() > 500, "{log}");
    for secret in &secrets {
        assert!(!log.contains(secret) && !arguments.contains(secret));
    }
    assert_eq!(server.stop("-TERM"), Some(0));
    assert!(!is_open(&url), "the sandbox outlived its server");
    let gone = folder.run(&["catalog", "push"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("the sandbox does not run"));
}

fn arguments_of_all() -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        // Processes end while they are looked at.
        let path = entry.unwrap().path().join("cmdline");
        text += &std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    }
    assert!(text.contains("serve"));
    text
}

#[tokio::test]
async fn periods_move_with_the_sandboxs_clock_and_tokens_stay_in_real_time() {
    let folder = folder();
    let server = Server::start(&folder);
    let token = folder.says(&["token", "--user", USER, "--hours", "1"]);
    let before = period_start(&server, &token).await;
    let now: Timestamp = folder.says(&["sandbox", "advance", "2mo"]).parse().unwrap();
    let real = tenantry::env::Clock::system().real_now();
    assert!(now.duration_since(real).as_hours() > 24 * 58, "{now}");
    // The token is a month too old by the product's clock, and still good; the period is another.
    let after = period_start(&server, &token).await;
    assert!(after.duration_since(before).as_hours() >= 24 * 58, "{before} {after}");
    assert_eq!(after.as_second().rem_euclid(60), before.as_second().rem_euclid(60));
    // One that is made now expires in an hour, not in two months.
    let token = folder.says(&["token", "--user", USER, "--hours", "1"]);
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert!(claims["exp"].as_i64().unwrap() <= real.as_second() + 2 * 3600, "{claims}");
    // A key expires in real time too.
    let ends = real + 24.hours();
    let key = json!({ "name": "k", "scopes": ["viewBilling"], "expiresAt": ends });
    let made = client().post(format!("{}/api/keys", server.url)).bearer_auth(&token).json(&key).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    assert_eq!(period_start(&server, made["secret"].as_str().unwrap_or_else(|| panic!("{made}"))).await, after);
    for (args, says) in
        [(["sandbox", "advance", "2020-01-01T00:00:00Z"], "cannot go back"), (["sandbox", "advance", "soon"], "1mo")]
    {
        let refused = folder.run(&args);
        assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains(says), "{refused:?}");
    }
    // It goes on from there after a restart.
    let url = |role: &str| folder.says(&["database", "url", "--as", role]);
    let urls = (url("owner"), url("user"), url("service"));
    {
        // Another process on the same database, without a sandbox, follows.
        let other = self::folder();
        let variables = [
            ("DATABASE_ADMIN_URL", urls.0.as_str()),
            ("TENANTRY_USER_DATABASE_URL", &urls.1),
            ("TENANTRY_SERVICE_DATABASE_URL", &urls.2),
            ("JWT_SECRET", JWT),
            ("TENANTRY_SANDBOX", "false"),
        ];
        let follower = Server::start_with(&other, &variables);
        let token = other.command(&["token", "--user", USER]).env("JWT_SECRET", JWT).output().unwrap().stdout;
        let token = String::from_utf8(token).unwrap().trim().to_owned();
        assert_eq!(period_start(&follower, &token).await, after);
        folder.says(&["sandbox", "advance", "1mo"]);
        until(async || period_start(&follower, &token).await > after).await;
        // With a key of Stripe's, and in production, there is only real time.
        for more in [("STRIPE_SECRET_KEY", KEY), ("TENANTRY_ENV", "production")] {
            let mut refused = other.command(&["serve", "--listen", "127.0.0.1:0"]);
            refused.envs(variables).env("STRIPE_WEBHOOK_SECRET", WEBHOOK).env(more.0, more.1);
            let refused = refused.output().unwrap();
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(said.contains("the clock of this database is") && said.contains("ahead"), "{said}");
            assert!(!said.contains("hunter2"));
        }
    }
    assert_eq!(server.stop("-TERM"), Some(0));
    let again = Server::start(&folder);
    assert!(period_start(&again, &token).await > after);
}

/// A sandbox that runs alone, ended whatever happens.
struct Alone(std::process::Child);

impl Drop for Alone {
    fn drop(&mut self) {
        // Gone already, where the test stopped it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn without_the_sandbox_and_with_one_that_runs_alone() {
    let folder = folder();
    let mut command = folder.command(&["--json", "sandbox", "--listen", "127.0.0.1:0"]);
    let mut alone = Alone(command.stdout(std::process::Stdio::piped()).spawn().unwrap());
    let address = folder.data().join("sandbox/address");
    until(async || address.exists()).await;
    let url = std::fs::read_to_string(&address).unwrap().trim().to_owned();
    let twice = folder.run(&["sandbox"]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&twice.stderr).contains(&url), "{twice:?}");
    // A server on the same folder finds it, and follows its clock.
    let server = Server::start(&folder);
    assert_eq!(sandbox(&server), url);
    let token = folder.says(&["token", "--user", USER]);
    let before = period_start(&server, &token).await;
    folder.says(&["sandbox", "advance", "40d"]);
    until(async || period_start(&server, &token).await > before).await;
    assert_eq!(server.stop("-TERM"), Some(0));
    assert!(is_open(&url));
    super::server::signal("-TERM", alone.0.id());
    assert_eq!(alone.0.wait().unwrap().code(), Some(0));
    assert!(!address.exists());
    let said = std::io::read_to_string(alone.0.stdout.take().unwrap()).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["url"], url.as_str());
    for (key, file) in [("secretKeyFile", "secret-key"), ("webhookSecretFile", "webhook-secret")] {
        let secret = std::fs::read_to_string(folder.data().join("sandbox").join(file)).unwrap();
        assert!(said[key].as_str().unwrap().ends_with(file) && !said.to_string().contains(secret.trim()));
        assert!(Path::new(&said[key].as_str().unwrap()).is_absolute());
    }
    let off = Server::start_with(&folder, &[("TENANTRY_SANDBOX", "false")]);
    assert!(line(&off, "Stripe").contains("--no-sandbox"), "{:?}", off.banner);
}

#[tokio::test]
async fn production_has_a_key_or_says_that_billing_is_off() {
    let folder = folder();
    let production = [("TENANTRY_ENV", "production"), ("JWT_SECRET", JWT)];
    let serve = |variables: &[(&str, &str)]| {
        let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0"]);
        let output = command.envs(production).envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        said
    };
    assert!(serve(&[]).contains("STRIPE_SECRET_KEY is missing"));
    assert!(serve(&[("STRIPE_SECRET_KEY", KEY)]).contains("STRIPE_WEBHOOK_SECRET is missing"));
    let both = [("STRIPE_SECRET_KEY", KEY), ("STRIPE_WEBHOOK_SECRET", WEBHOOK)];
    assert!(serve(&both).contains("APP_URL is missing"));
    let alone = folder.command(&["sandbox"]).envs(production).output().unwrap();
    assert_eq!(alone.status.code(), Some(2));
    // None of these made a sandbox.
    assert!(!folder.data().join("sandbox").exists());
    let all = [production.as_slice(), &both, &[("APP_URL", "https://app.example")]].concat();
    let server = Server::start_with(&folder, &all);
    assert_eq!(line(&server, "Stripe"), "test mode");
    let log = std::fs::read_to_string(&server.log).unwrap();
    assert!(log.contains("tenantry catalog push") && log.contains("pro (month)") && !log.contains("hunter2"), "{log}");
    assert_eq!(server.stop("-TERM"), Some(0));
    let off = Server::start_with(&folder, &[&production[..], &[("TENANTRY_SANDBOX", "false")]].concat());
    assert!(line(&off, "Stripe").starts_with("none"), "{:?}", off.banner);
}
