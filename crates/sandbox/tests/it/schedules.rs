use crate::world::{DAY, World, amounts, id, list, number, text};

#[tokio::test]
async fn a_downgrade_waits_for_the_end_of_the_period() {
    let world = World::start().await;
    let (max, pro) = (world.price("Max", "9900", "month").await, world.price("Pro", "2900", "month").await);
    let subscription = world.subscribed(&max, &[]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let schedule = world.post("/v1/subscription_schedules", &[("from_subscription", &id(&subscription))]).await;
    assert_eq!(world.get(&path).await["schedule"], id(&schedule).as_str());
    assert_eq!(world.refused(400, &path, &[("cancel_at_period_end", "true")]).await["type"], "invalid_request_error");
    let phase = &schedule["phases"][0];
    let (start, end) = (number(&phase["start_date"]).to_string(), number(&phase["end_date"]).to_string());
    let change = format!("/v1/subscription_schedules/{}", id(&schedule));
    let form = [
        ("end_behavior", "release"),
        ("phases[0][start_date]", start.as_str()),
        ("phases[0][end_date]", &end),
        ("phases[0][items][0][price]", &max),
        ("phases[1][items][0][price]", &pro),
        ("phases[1][duration][interval]", "month"),
        ("phases[1][proration_behavior]", "none"),
    ];
    let planned = world.post(&change, &form).await;
    assert_eq!(planned["phases"].as_array().unwrap().len(), 2);
    assert_eq!(world.refused(400, &change, &form[3..]).await["type"], "invalid_request_error");
    world.advance(30 * DAY).await;
    assert_eq!(world.get(&path).await["items"]["data"][0]["price"]["id"], max.as_str());
    world.advance(DAY + 3600).await;
    let after = world.get(&path).await;
    assert_eq!(after["items"]["data"][0]["price"]["id"], pro.as_str());
    let invoice = world.get(&format!("/v1/invoices/{}", text(&after["latest_invoice"]))).await;
    assert_eq!((amounts(&invoice), text(&invoice["status"])), (vec![2900], "paid".to_owned()));
    world.advance(29 * DAY).await;
    assert_eq!(world.get(&change).await["status"], "released");
    assert!(world.get(&path).await["schedule"].is_null());
    assert_eq!(list(&world.get("/v1/invoices").await).len(), 3);
}

#[tokio::test]
async fn from_year_to_month_begins_a_new_cycle_at_the_end() {
    let world = World::start().await;
    let (yearly, monthly) = (world.price("Pro", "29000", "year").await, world.price("Pro", "2900", "month").await);
    let subscription = world.subscribed(&yearly, &[]).await;
    let schedule = world.post("/v1/subscription_schedules", &[("from_subscription", &id(&subscription))]).await;
    let phase = &schedule["phases"][0];
    let (start, end) = (number(&phase["start_date"]).to_string(), number(&phase["end_date"]).to_string());
    let change = format!("/v1/subscription_schedules/{}", id(&schedule));
    let form = [
        ("phases[0][start_date]", start.as_str()),
        ("phases[0][end_date]", &end),
        ("phases[0][items][0][price]", &yearly),
        ("phases[1][items][0][price]", &monthly),
    ];
    world.post(&change, &form).await;
    world.advance(365 * DAY + 3600).await;
    let after = world.get(&format!("/v1/subscriptions/{}", id(&subscription))).await;
    let item = &after["items"]["data"][0];
    assert_eq!(number(&item["current_period_end"]) - number(&item["current_period_start"]), 31 * DAY);
    let invoice = world.get(&format!("/v1/invoices/{}", text(&after["latest_invoice"]))).await;
    assert_eq!(amounts(&invoice), [2900]);
}

#[tokio::test]
async fn a_released_schedule_lets_the_subscription_go() {
    let world = World::start().await;
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[]).await;
    let schedule = world.post("/v1/subscription_schedules", &[("from_subscription", &id(&subscription))]).await;
    let path = format!("/v1/subscription_schedules/{}", id(&schedule));
    let released = world.post(&format!("{path}/release"), &[]).await;
    assert_eq!(released["released_subscription"], id(&subscription).as_str());
    world.refused(400, &format!("{path}/release"), &[]).await;
    let again = world.post("/v1/subscription_schedules", &[("from_subscription", &id(&subscription))]).await;
    let canceled = world.post(&format!("/v1/subscription_schedules/{}/cancel", id(&again)), &[]).await;
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(world.get(&format!("/v1/subscriptions/{}", id(&subscription))).await["status"], "canceled");
}
