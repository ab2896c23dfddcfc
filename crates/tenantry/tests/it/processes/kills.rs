//! Killed in the middle of load: what was answered is there once, nothing is there twice, the books are right.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::server::{Folder, Server, client, is_alive, parent, processes, signal};

/// Where the server is now, and what it answered.
struct Load {
    url: Mutex<String>,
    answered: Mutex<BTreeSet<String>>,
    stopping: AtomicBool,
    tenant: String,
    key: String,
}

impl Load {
    /// Sends events, alone and in batches, until it is told to stop. What is not answered is sent again, the same.
    async fn send(self: Arc<Self>, sender: usize) {
        let client = client();
        let mut number = 0;
        while !self.stopping.load(Ordering::Relaxed) {
            let count = if sender.is_multiple_of(2) { 1 } else { 25 };
            let keys: Vec<String> = (number..number + count).map(|n| format!("{sender}-{n}")).collect();
            number += count;
            let events: Vec<Value> =
                keys.iter().map(|key| json!({ "metric": "bytes", "amount": "1.5", "idempotencyKey": key })).collect();
            let body = if count == 1 { events[0].clone() } else { json!({ "events": events }) };
            loop {
                let url = format!("{}/api/usage", *self.url.lock().await);
                let sent = client
                    .post(url)
                    .bearer_auth(&self.key)
                    .header("x-tenant-id", &self.tenant)
                    .json(&body)
                    .send()
                    .await;
                match sent {
                    Ok(answer) if answer.status().is_success() => {
                        let answer: Value = match answer.json().await {
                            Ok(answer) => answer,
                            // Cut off in the middle: not answered.
                            Err(_) => continue,
                        };
                        if count > 1 {
                            let counted = answer["accepted"].as_u64().unwrap() + answer["duplicate"].as_u64().unwrap();
                            assert_eq!(counted, 25, "{answer}");
                        }
                        self.answered.lock().await.extend(keys);
                        break;
                    }
                    // 503 and 504 say: come back. Everything else is a fault.
                    Ok(answer) => assert!([503, 504].contains(&answer.status().as_u16()), "{answer:?}"),
                    Err(_) => {}
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    }

    /// Takes holds and commits them, until it is told to stop. What is not answered is asked again, the same.
    async fn hold(self: Arc<Self>, sender: usize) {
        let client = client();
        let mut number = 0;
        while !self.stopping.load(Ordering::Relaxed) {
            number += 1;
            let held = json!({ "metric": "bytes", "amount": "2" });
            let held = self.ask(&client, "/api/usage/holds", &format!("hold-{sender}-{number}"), &held).await;
            let id = held["id"].as_str().unwrap();
            let (commit, key) = (format!("/api/usage/holds/{id}/commit"), format!("commit-{id}"));
            let committed = self.ask(&client, &commit, &key, &json!({ "amount": "1.5" })).await;
            assert_eq!(committed["state"], "committed", "{committed}");
            self.answered.lock().await.insert(format!("hold:{id}"));
        }
    }

    /// The answer to a request that is sent until it is answered.
    async fn ask(&self, client: &reqwest::Client, path: &str, key: &str, body: &Value) -> Value {
        loop {
            let url = format!("{}{path}", *self.url.lock().await);
            let request = client.post(url).bearer_auth(&self.key).header("x-tenant-id", &self.tenant);
            match request.header("idempotency-key", key).json(body).send().await {
                Ok(answer) if answer.status().is_success() => {
                    if let Ok(answer) = answer.json().await {
                        return answer;
                    }
                }
                // 409: the request before it has not been given up yet.
                Ok(answer) => assert!([409, 503, 504].contains(&answer.status().as_u16()), "{answer:?}"),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn answered_more_than(&self, count: usize) {
        while self.answered.lock().await.len() <= count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn begin(folder: &Folder, server: &Server) -> (Arc<Load>, JoinSet<()>) {
    let owner = "11111111-1111-4111-8111-111111111111";
    let load = Arc::new(Load {
        url: Mutex::new(server.url.clone()),
        answered: Mutex::default(),
        stopping: AtomicBool::new(false),
        tenant: folder.says(&["tenant", "create", "--name", "Acme", "--owner", owner]),
        key: folder.says(&["key", "create", "--service"]),
    });
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        senders.spawn(Arc::clone(&load).send(sender));
    }
    for sender in 0..2 {
        senders.spawn(Arc::clone(&load).hold(sender));
    }
    (load, senders)
}

/// Ends the load and compares what was answered with what is there.
async fn settle(folder: &Folder, load: &Load, senders: JoinSet<()>) {
    load.stopping.store(true, Ordering::Relaxed);
    senders.join_all().await;
    let admin: tokio_postgres::Config = folder.says(&["database", "url", "--as", "owner"]).parse().unwrap();
    let client = tenantry::storage::migrate::connect(&admin).await.unwrap();
    let rows = client.query("select idempotency_key from tenantry.tenant_usage", &[]).await.unwrap();
    let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(there.len(), rows.len(), "an event is there twice");
    let answered = load.answered.lock().await;
    // Every sender ended with an answer, so that the two sets are the same.
    assert_eq!(answered.difference(&there).next(), None, "answered and not there");
    assert_eq!(there.difference(&answered).next(), None, "there and never answered");
    assert!(there.iter().any(|key| key.starts_with("hold:")), "no hold was committed");
    let holds = "select count(*) from tenantry.usage_holds where state <> 'committed' or committed_amount <> 1.5";
    assert_eq!(
        client.query_one(holds, &[]).await.unwrap().get::<_, i64>(0),
        0,
        "a hold was not committed as it was told"
    );
    assert!(folder.says(&["verify"]).ends_with("the books are right"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_answer() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let (load, senders) = begin(&folder, &server);
    for round in 1..=3 {
        load.answered_more_than(round * 300).await;
        signal("-KILL", server.pid());
        drop(server);
        // The database goes on without its parent and is found again.
        assert!(folder.postmaster().is_some());
        server = Server::start(&folder);
        server.url.clone_into(&mut *load.url.lock().await);
    }
    load.answered_more_than(1500).await;
    settle(&folder, &load, senders).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_loses_no_answer() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (load, senders) = begin(&folder, &server);
    for round in 1..=3 {
        // So many more: then the database that was ended before has come back.
        let so_far = load.answered.lock().await.len();
        load.answered_more_than(so_far + 300).await;
        let postmaster = folder.postmaster().unwrap();
        if round == 2 {
            // One connection's process: the database ends all sessions and recovers by itself.
            let backend = processes()
                .into_iter()
                .find(|(pid, arguments)| arguments.contains("tenantry_service") && parent(*pid) == Some(postmaster));
            signal("-KILL", backend.unwrap().0);
        } else {
            signal("-KILL", postmaster);
            while is_alive(postmaster) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    load.answered_more_than(1500).await;
    settle(&folder, &load, senders).await;
    assert_eq!(server.stop("-INT"), Some(0));
    assert_eq!(folder.postmaster(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_answers_what_is_in_flight_and_stops_everything() {
    for name in ["-INT", "-TERM"] {
        let folder = Folder::new();
        let server = Server::start(&folder);
        assert!(server.banner.len() <= 8, "{:?}", server.banner);
        let url = format!("{}/api/usage", server.url);
        let owner = "11111111-1111-4111-8111-111111111111";
        let tenant = folder.says(&["tenant", "create", "--name", "Acme", "--owner", owner]);
        let key = folder.says(&["key", "create", "--service"]);
        // The database is held up, so that the requests are in flight when the signal comes.
        let admin: tokio_postgres::Config = folder.says(&["database", "url", "--as", "owner"]).parse().unwrap();
        let holder = tenantry::storage::migrate::connect(&admin).await.unwrap();
        let first = json!({ "metric": "bytes", "amount": 1, "idempotencyKey": "first" });
        let post =
            |body: &Value| client().post(&url).bearer_auth(&key).header("x-tenant-id", &tenant).json(body).send();
        assert_eq!(post(&first).await.unwrap().status().as_u16(), 201);
        holder.batch_execute("begin; lock table tenantry.usage_keys in exclusive mode").await.unwrap();
        let mut in_flight = JoinSet::new();
        for n in 0..10 {
            let body = json!({ "metric": "bytes", "amount": 1, "idempotencyKey": format!("k{n}") });
            in_flight.spawn(post(&body));
        }
        let waiting = "select count(*) > 0 from pg_locks where not granted";
        while !holder.query_one(waiting, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // All requests have arrived once the server counts them.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let stopped = tokio::task::spawn_blocking({
            let name = name.to_owned();
            move || server.stop(&name)
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        holder.batch_execute("rollback").await.unwrap();
        drop(holder);
        for answer in in_flight.join_all().await {
            assert_eq!(answer.unwrap().status().as_u16(), 201);
        }
        assert_eq!(stopped.await.unwrap(), Some(0));
        assert_eq!(folder.postmaster(), None);
    }
}
