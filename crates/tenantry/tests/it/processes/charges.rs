//! Charges and simulations on the command line.

use serde_json::{Value, json};
use tenantry::storage::migrate;

use super::server::{Folder, Server, client};

const USER: &str = "11111111-1111-4111-8111-111111111111";

/// A folder whose tenant used 15 tokens, five above what is included, and was charged five cents; with its charge.
async fn charged(folder: &Folder, server: &Server) -> Value {
    let token = folder.says(&["token", "--user", USER]);
    let event = json!({ "metric": "tokens", "amount": 15, "idempotencyKey": "1" });
    let request = client().post(format!("{}/api/usage", server.url)).bearer_auth(&token).json(&event);
    assert_eq!(request.send().await.unwrap().status(), 201);
    folder.says(&["sandbox", "advance", "40d"]);
    // The worker looks every second.
    for _ in 0..200 {
        let list: Value = serde_json::from_str(&folder.says(&["--json", "charge", "list"])).unwrap();
        if let Some(charge) = list["data"].as_array().unwrap().first() {
            return charge.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no charge came");
}

/// Exit code, standard output, standard error.
fn ends(folder: &Folder, args: &[&str]) -> (Option<i32>, String, String) {
    let done = folder.run(args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[tokio::test]
async fn charges_are_listed_explained_and_reckoned_again_and_their_month_simulated() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let charge = charged(&folder, &server).await;
    let (id, month) = (charge["id"].as_str().unwrap(), &charge["period"]["start"].as_str().unwrap()[..7]);
    assert_eq!((&charge["amountCents"], &charge["tenantId"]), (&json!(5), &json!(USER)));
    assert!(folder.says(&["charge", "list", "--tenant", USER, "--period", month]).contains("0.05 USD"));
    assert!(!folder.says(&["charge", "list", "--period", "2001-01"]).contains(id));

    let explained = folder.says(&["charge", "explain", id]);
    for part in ["tokens", "under free version 1: total from 0 to 15, included 10", "adds 5", "sha256 ", "0.05 USD"] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    let explained: Value =
        serde_json::from_str(&folder.says(&["--json", "charge", "explain", id, "--tenant", USER])).unwrap();
    assert_eq!(
        (&explained["sum"], &explained["holds"], &explained["events"]["count"]),
        (&json!("5"), &json!(true), &json!(1))
    );
    for args in
        [&["charge", "recompute", "all"][..], &["charge", "recompute", id], &["charge", "recompute", "--tenant", USER]]
    {
        assert!(folder.says(args).ends_with("1 event: the charges are the price of the events"), "{args:?}");
    }
    for args in [
        &["charge", "recompute"][..],
        &["charge", "recompute", "some"],
        &["charge", "recompute", id, "--period", month],
        &["charge", "recompute", USER],
        &["charge", "explain", USER],
        &["simulate", "--period", "2026-13"],
        &["simulate", "--period", month, "--map", "free"],
        &["simulate", "--period", month, "--map", "free=nothing"],
    ] {
        assert_eq!(ends(&folder, args).0, Some(2), "{args:?}");
    }

    let plans = std::fs::read_to_string(folder.0.join("plans.toml")).unwrap();
    let dear = plans.replace("unit_price = \"1\"", "unit_price = \"2.5\"").replace("id = \"free\"", "id = \"basic\"");
    std::fs::write(folder.0.join("new.toml"), dear).unwrap();
    let simulate = ["simulate", "--plans", "new.toml", "--period", month];
    let (code, said, _) = ends(&folder, &simulate);
    assert!(code == Some(1) && said.contains("plan `free` is not in the catalog"), "{code:?} {said}");
    let files = ["--map", "free=basic", "--csv", "out.csv", "--svg", "out.svg"];
    let said = folder.says(&[&simulate[..], &files].concat());
    // Half of 12.5 cents goes to the even one.
    assert!(said.contains("0.12 USD") && said.contains("+0.07 USD") && said.contains("+140"), "{said}");
    let table = std::fs::read_to_string(folder.0.join("out.csv")).unwrap();
    assert!(table.contains(&format!("{USER},free,tokens,15,5,12,7,usd,overage,")), "{table}");
    assert!(std::fs::read_to_string(folder.0.join("out.svg")).unwrap().starts_with("<svg "));
    let json: Value = serde_json::from_str(&folder.says(&[&["--json"], &simulate[..], &files[..2]].concat())).unwrap();
    assert_eq!((&json["totals"][0]["differenceCents"], &json["gaps"]), (&json!(7), &json!([])));
    // Nothing of the other catalog was loaded, and under the present one it is what it is.
    assert!(folder.says(&["simulate", "--period", month]).contains("0.00 USD"));

    let admin: tokio_postgres::Config = folder.says(&["database", "url", "--as", "owner"]).parse().unwrap();
    let admin = migrate::connect(&admin).await.unwrap();
    admin.execute("update tenantry.overage_charges set charge_amount_cents = 6", &[]).await.unwrap();
    let (code, said, _) = ends(&folder, &["charge", "recompute", "--period", month]);
    assert!(code == Some(1) && said.contains("charged 6, the price of 15 is 5"), "{code:?} {said}");
    let (code, said, _) = ends(&folder, &["charge", "explain", id]);
    assert!(code == Some(1) && said.contains("NOT what the charge says"), "{code:?} {said}");
    drop(server);
}
