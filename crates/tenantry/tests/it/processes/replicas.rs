//! Two server processes over one database.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::server::{Folder, Server, client};

/// What 64 clients of two servers were answered: events that count, as their own answers say.
async fn press(servers: &[Server], tenant: &str, key: &str) -> (usize, usize) {
    let client = client();
    let mut clients = JoinSet::new();
    for number in 0..64_usize {
        let (client, url) = (client.clone(), format!("{}/api/usage", servers[number % servers.len()].url));
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        clients.spawn(async move {
            let (mut accepted, mut refused) = (0, 0);
            for n in 0..6 {
                let event = json!({ "metric": "calls", "amount": 1, "idempotencyKey": format!("{number}-{n}") });
                let send = || client.post(&url).bearer_auth(&key).header("x-tenant-id", &tenant).json(&event).send();
                let status = send().await.unwrap().status().as_u16();
                match status {
                    201 => {
                        accepted += 1;
                        assert_eq!(send().await.unwrap().status().as_u16(), 200);
                    }
                    402 => refused += 1,
                    other => panic!("status {other}"),
                }
            }
            (accepted, refused)
        });
    }
    clients.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Two servers on one database, an organization there and a service key.
fn pair(folder: &Folder) -> ([Server; 2], String, String) {
    let first = Server::start(folder);
    let url = |role: &str| folder.says(&["database", "url", "--as", role]);
    let (user, service) = (url("user"), url("service"));
    let second = Server::start_with(
        &Folder(folder.0.clone().join("second")).with_plans(folder),
        &[("TENANTRY_USER_DATABASE_URL", &user), ("TENANTRY_SERVICE_DATABASE_URL", &service)],
    );
    let owner = "11111111-1111-4111-8111-111111111111";
    let tenant = folder.says(&["tenant", "create", "--name", "Acme", "--owner", owner]);
    let key = folder.says(&["key", "create", "--service"]);
    ([first, second], tenant, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_one_hard_limit() {
    let folder = Folder::new();
    let (servers, tenant, key) = pair(&folder);
    let servers = Arc::new(servers);
    let (accepted, refused) = press(servers.as_slice(), &tenant, &key).await;
    assert_eq!((accepted, refused), (200, 64 * 6 - 200));
    for server in servers.iter() {
        let total: Value = client()
            .get(format!("{}/api/usage?metric=calls", server.url))
            .bearer_auth(&key)
            .header("x-tenant-id", &tenant)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(total["total"], "200", "{total}");
    }
    assert!(folder.says(&["verify"]).ends_with("the books are right"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_one_server_revoked_is_refused_by_the_other_with_the_next_request() {
    let folder = Folder::new();
    let ([first, second], tenant, service) = pair(&folder);
    let client = client();
    let report = async |server: &Server, key: &str| {
        let request = client.get(format!("{}/api/usage/report", server.url)).bearer_auth(key);
        request.send().await.unwrap().status().as_u16()
    };
    for round in 0..50 {
        let (here, there) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let keys = format!("{}/api/keys", here.url);
        let body = json!({ "name": "short-lived", "scopes": ["viewUsage"] });
        let made = client.post(&keys).bearer_auth(&service).header("x-tenant-id", &tenant).json(&body);
        let made: Value = made.send().await.unwrap().json().await.unwrap();
        let (id, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
        // Both know it by now.
        assert_eq!((report(here, secret).await, report(there, secret).await), (200, 200));
        let revoke = client.delete(format!("{keys}/{id}")).bearer_auth(&service).header("x-tenant-id", &tenant);
        assert_eq!(revoke.send().await.unwrap().status().as_u16(), 204);
        assert_eq!((report(there, secret).await, report(here, secret).await), (401, 401), "round {round}");
    }
}

impl Folder {
    fn with_plans(self, other: &Self) -> Self {
        std::fs::create_dir_all(&self.0).unwrap();
        std::fs::copy(other.0.join("plans.toml"), self.0.join("plans.toml")).unwrap();
        self
    }
}
