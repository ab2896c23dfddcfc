use serde_json::{Value, json};
use tenantry_stripe::{List, events, subscriptions};
use tenantry_stripe_spec::decode;

use crate::world::{Told, World};

fn page(ids: &[&str], has_more: bool) -> Told {
    let data: Vec<Value> =
        ids.iter().map(|id| json!({"id": id, "object": "event", "type": "x", "created": 1})).collect();
    Told::json(200, &json!({"object": "list", "url": "/v1/events", "has_more": has_more, "data": data}))
}

#[tokio::test]
async fn a_list_is_followed_to_its_end() {
    let world = World::new().await;
    world.tell([page(&["evt_1", "evt_2"], true), page(&["evt_3", "evt_4"], true), page(&["evt_5"], false)]);
    let list = events::List { delivery_success: Some(false), limit: Some(2), ..Default::default() };
    let all = world.client().all(&list).await.unwrap();
    let ids: Vec<&str> = all.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5"]);
    let asked: Vec<Value> = world.asked().iter().map(|asked| decode(&asked.query).unwrap()).collect();
    let with = |after: &str| json!({"delivery_success": "false", "limit": "2", "starting_after": after});
    assert_eq!(asked, [json!({"delivery_success": "false", "limit": "2"}), with("evt_2"), with("evt_4")]);
}

#[tokio::test]
async fn a_list_can_begin_behind_an_id() {
    let world = World::new().await;
    world.tell([page(&["evt_2"], true), page(&["evt_3"], false)]);
    let list = events::List { starting_after: Some("evt_1"), ..Default::default() };
    let mut pages = world.client().pages(&list).unwrap();
    while pages.next().await.unwrap().is_some() {}
    let asked: Vec<String> = world.asked().into_iter().map(|asked| asked.query).collect();
    assert_eq!(asked, ["starting_after=evt_1", "starting_after=evt_2"]);
}

#[tokio::test]
async fn an_empty_page_ends_a_list_whatever_it_says() {
    let world = World::new().await;
    world.tell([page(&[], true)]);
    assert_eq!(world.client().all(&events::List::default()).await.unwrap(), []);
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test]
async fn a_page_that_failed_can_be_asked_for_again() {
    let world = World::new().await;
    let failure = Told::json(400, &json!({"error": {"type": "invalid_request_error"}}));
    world.tell([page(&["evt_1"], true), failure, page(&["evt_2"], false)]);
    let mut pages = world.client().pages(&events::List::default()).unwrap();
    assert_eq!(pages.next().await.unwrap().unwrap().len(), 1);
    pages.next().await.unwrap_err();
    assert_eq!(pages.next().await.unwrap().unwrap()[0].id, "evt_2");
    assert_eq!(pages.next().await.unwrap(), None);
}

#[tokio::test]
async fn one_page_is_a_list() {
    let world = World::new().await;
    world.tell([Told::json(200, &json!({"object": "list", "data": [], "has_more": true}))]);
    let list = subscriptions::List { status: Some(subscriptions::StatusFilter::All), ..Default::default() };
    let page = world.client().get(&list).await.unwrap();
    assert_eq!(page, List { data: vec![], has_more: true });
    assert_eq!(world.asked_once().query, "status=all");
}
