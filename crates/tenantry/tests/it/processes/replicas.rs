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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_one_hard_limit() {
    let folder = Folder::new();
    let first = Server::start(&folder);
    let url = |role: &str| folder.says(&["database", "url", "--as", role]);
    let (user, service) = (url("user"), url("service"));
    let second = Server::start_with(
        &Folder(folder.0.clone().join("second")).with_plans(&folder),
        &[("TENANTRY_USER_DATABASE_URL", &user), ("TENANTRY_SERVICE_DATABASE_URL", &service)],
    );
    let owner = "11111111-1111-4111-8111-111111111111";
    let tenant = folder.says(&["tenant", "create", "--name", "Acme", "--owner", owner]);
    let key = folder.says(&["key", "create", "--service"]);
    let servers = Arc::new([first, second]);
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

impl Folder {
    fn with_plans(self, other: &Self) -> Self {
        std::fs::create_dir_all(&self.0).unwrap();
        std::fs::copy(other.0.join("plans.toml"), self.0.join("plans.toml")).unwrap();
        self
    }
}
