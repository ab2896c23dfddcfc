//! Handing organizations over, over HTTP.

use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, App, send};

async fn owners(app: &App, tenant: Uuid) -> Vec<Uuid> {
    let sql = "select user_id from tenantry.tenant_members where tenant_id = $1 and role = 'owner' order by user_id";
    app.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attack_24_a_transfer_to_nobody_to_oneself_twice_at_once_or_again_leaves_one_owner() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (admin_id, admin) = app.member(&owner, acme, "admin").await;
    let (member_id, member) = app.member(&owner, acme, "member").await;
    let (stranger_id, stranger) = app.user().await;
    let path = format!("/api/tenants/{acme}/transfer-ownership");
    let ask = async |token: &str, to: Uuid| app.call(token, "POST", &path, &json!({ "userId": to })).await;
    for to in [stranger_id, app.id(), owner_id, Uuid::nil()] {
        let refused = ask(&owner, to).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("userId")), "{refused:?}");
    }
    for (token, status) in [(&admin, 403), (&member, 403), (&stranger, 404)] {
        assert_eq!(ask(token, admin_id).await.status, status);
    }
    for body in [json!({ "userId": admin_id, "role": "owner" }), json!({ "userId": "me" }), json!({})] {
        assert_eq!(app.call(&owner, "POST", &path, &body).await.status, 422, "{body}");
    }
    assert_eq!(owners(&app, acme).await, [owner_id]);

    let answers = join_all((0..10).map(|n| ask(&owner, if n % 2 == 0 { admin_id } else { member_id }))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 403].contains(status)), "{statuses:?}");
    let now_owner: Uuid = answers.iter().find(|answer| answer.status == 200).unwrap().body["member"]["userId"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(owners(&app, acme).await, [now_owner]);
    // Who handed over has lost it with the next request.
    assert_eq!(app.call(&owner, "DELETE", &format!("/api/tenants/{acme}"), &Value::Null).await.status, 403);
}

#[tokio::test]
async fn a_transfer_that_is_repeated_under_its_key_is_answered_again_and_done_once() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (admin_id, admin) = app.member(&owner, acme, "admin").await;
    let path = format!("/api/tenants/{acme}/transfer-ownership");
    let ask = async |token: &str, to: Uuid| -> Answer {
        let request = app.request("POST", &path).bearer_auth(token).header("idempotency-key", "over");
        send(request.json(&json!({ "userId": to }))).await
    };
    let first = ask(&owner, admin_id).await;
    assert_eq!((first.status, &first.body["member"]["role"]), (200, &json!("owner")));
    // Handed back meanwhile: the repetition does not hand it over again.
    assert_eq!(ask(&admin, owner_id).await.status, 200);
    let again = ask(&owner, admin_id).await;
    assert_eq!((again.status, again.lasting()), (200, first.lasting()));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(owners(&app, acme).await, [owner_id]);
}
