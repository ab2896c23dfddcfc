use crate::world::{World, id, list};

#[tokio::test]
async fn lookup_keys_move_only_when_asked_and_lists_filter_and_page() {
    let world = World::start().await;
    let product = id(&world.post("/v1/products", &[("name", "Pro"), ("metadata[123]", "x")]).await);
    let form = [
        ("product", product.as_str()),
        ("currency", "usd"),
        ("unit_amount", "2900"),
        ("recurring[interval]", "month"),
        ("lookup_key", "pro_month"),
    ];
    let first = id(&world.post("/v1/prices", &form).await);
    let taken = world.refused(400, "/v1/prices", &form).await;
    assert_eq!(taken["param"], "lookup_key");
    let mut moved = form.to_vec();
    moved.push(("transfer_lookup_key", "true"));
    let second = id(&world.post("/v1/prices", &moved).await);
    let found = world.get("/v1/prices?lookup_keys[]=pro_month&expand[]=data.product").await;
    assert_eq!((list(&found).len(), &list(&found)[0]["id"]), (1, &second.into()));
    assert_eq!(list(&found)[0]["product"]["metadata"]["123"], "x");
    assert!(world.get(&format!("/v1/prices/{first}")).await["lookup_key"].is_null());

    let page = world.get("/v1/prices?limit=1").await;
    assert_eq!(page["has_more"], true);
    let last = id(&list(&page)[0]);
    let next = world.get(&format!("/v1/prices?limit=1&starting_after={last}")).await;
    assert_eq!((next["has_more"].as_bool(), id(&list(&next)[0])), (Some(false), first.clone()));
    let back = world.get(&format!("/v1/prices?ending_before={first}")).await;
    assert_eq!(id(&list(&back)[0]), last);
}

#[tokio::test]
async fn metadata_merges_and_an_empty_string_unsets() {
    let world = World::start().await;
    let customer = world.post("/v1/customers", &[("metadata[a]", "1"), ("metadata[b]", "2"), ("name", "N")]).await;
    let path = format!("/v1/customers/{}", id(&customer));
    let changed = world.post(&path, &[("metadata[a]", ""), ("metadata[c]", "3"), ("name", "")]).await;
    assert_eq!(changed["metadata"], serde_json::json!({ "b": "2", "c": "3" }));
    assert!(changed["name"].is_null());
    assert_eq!(world.post(&path, &[("metadata", "")]).await["metadata"], serde_json::json!({}));
    let events = world.get("/v1/events?type=customer.updated").await;
    let previous = &list(&events)[1]["data"]["previous_attributes"];
    assert_eq!(previous["metadata"], serde_json::json!({ "a": "1", "c": null }));

    let (status, gone) = world.call("DELETE", &path, &[]).await;
    assert_eq!((status, gone["deleted"].as_bool()), (200, Some(true)));
    assert_eq!(world.get(&path).await["deleted"], true);
    assert_eq!(list(&world.get("/v1/customers").await).len(), 0);
}
