//! What is told of spend, and when.

use jiff::SignedDuration;
use tenantry::tenancy::Actor;
use tenantry::usage::spend::change::{self, MAX_ALERTS, MOST_MINOR, On};

use super::super::world::at;
use super::{conflicts, world};

#[tokio::test]
async fn an_alert_is_told_when_it_is_reached_and_once_in_a_period() {
    let world = world().await;
    let t = world.user().await;
    world.alert(t, None, 30).await;
    world.alert(t, Some("tokens"), 33).await;
    world.record(&[world.event(t, "a", "tokens", "59.6")]).await;
    assert_eq!(world.told(t).await, Vec::<String>::new());
    world.record(&[world.event(t, "b", "minutes", "22")]).await;
    assert_eq!(world.told(t).await, ["alert all 30 30"]);
    world.record(&[world.reversal(t, "r", "b")]).await;
    world.record(&[world.event(t, "c", "tokens", "1"), world.event(t, "d", "tokens", "5")]).await;
    assert_eq!(world.told(t).await, ["alert all 30 30", "alert tokens 33 47"]);
    world.record(&[world.event(t, "e", "tokens", "500")]).await;
    assert_eq!(world.told(t).await.len(), 2);
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.record(&[world.event(t, "f", "tokens", "60")]).await;
    assert_eq!(world.told(t).await, ["alert all 30 30", "alert all 30 30", "alert tokens 33 47"]);
    // What comes late is charged, so it is told of.
    world.env.clock.set(at("2026-05-16T00:00:00Z"));
    world.work().await;
    world.record(&[world.event_at(t, "g", "tokens", "2", "2026-05-15T00:00:00Z")]).await;
    assert_eq!(world.told(t).await.len(), 4);
    world.books_are_right().await;
}

#[tokio::test]
async fn what_is_reached_already_is_told_at_once() {
    let world = world().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "70")]).await;
    world.alert(t, None, 61).await;
    assert_eq!(world.told(t).await, Vec::<String>::new());
    world.alert(t, None, 60).await;
    world.alert(t, Some("tokens"), 1).await;
    world.cap(t, Some("minutes"), 0).await;
    assert_eq!(world.told(t).await, ["alert all 60 60", "alert tokens 1 60"]);
    world.cap(t, Some("tokens"), 60).await;
    assert_eq!(world.told(t).await, ["alert all 60 60", "alert tokens 1 60", "capped tokens 60 60"]);
    // Each amount of a cap is told of its own; the same again is not.
    world.cap(t, Some("tokens"), 59).await;
    world.cap(t, Some("tokens"), 60).await;
    let capped: Vec<String> = world.told(t).await.into_iter().filter(|text| text.starts_with("capped")).collect();
    assert_eq!(capped, ["capped tokens 59 60", "capped tokens 60 60"]);
    assert_eq!(world.record(&[world.event(t, "b", "minutes", "22")]).await, ["capped 0"]);
    assert_eq!(world.record(&[world.event(t, "c", "minutes", "22")]).await, ["capped 0"]);
    assert_eq!(world.told(t).await.len(), 5);
    world.books_are_right().await;
}

#[tokio::test]
async fn only_what_can_be_is_set_and_only_what_is_there_is_removed() {
    let world = world().await;
    let t = world.user().await;
    let on = On { actor: Actor::User(t), tenant_id: t };
    let (db, env) = (&world.db, &world.env);
    for amount in [-1, MOST_MINOR + 1, i64::MIN, i64::MAX] {
        assert!(change::set_cap(db, env, on, None, amount).await.is_err(), "{amount}");
    }
    for amount in [0, -1, MOST_MINOR + 1] {
        assert!(change::add_alert(db, env, on, (None, amount), None).await.is_err(), "{amount}");
    }
    assert!(change::remove_cap(db, env, on, None).await.is_err());
    let first = change::set_cap(db, env, on, None, MOST_MINOR).await.unwrap();
    assert!(change::remove_cap(db, env, on, Some("tokens")).await.is_err());
    world.env.clock.advance(SignedDuration::from_hours(1));
    // The same again changes nothing and leaves no entry.
    assert_eq!(change::set_cap(db, env, on, None, MOST_MINOR).await.unwrap(), first);
    let moved = change::set_cap(db, env, on, None, 5).await.unwrap();
    assert_eq!((moved.id, moved.amount_minor), (first.id, 5));
    change::remove_cap(db, env, on, None).await.unwrap();
    let alert = world.alert(t, None, 5).await;
    assert!(conflicts(&change::add_alert(db, env, on, (None, 5), None).await));
    for n in 1..i64::try_from(MAX_ALERTS).unwrap() {
        world.alert(t, Some("tokens"), n).await;
    }
    assert!(conflicts(&change::add_alert(db, env, on, (None, 7), None).await));
    change::remove_alert(db, env, on, alert).await.unwrap();
    assert!(change::remove_alert(db, env, on, alert).await.is_err());
    world.alert(t, None, 7).await;
    let sql = "select array_agg(type || ' ' || (payload ->> 'amountCents') order by sequence)
               from tenantry.billing_events where tenant_id = $1 and type like 'spend%' and payload ->> 'metric' is null";
    let entries: Vec<String> = world.admin.query_one(sql, &[&t]).await.unwrap().get(0);
    assert_eq!(
        entries,
        [
            "spend_cap.set {\"to\": 999999999999999, \"from\": null}",
            "spend_cap.set {\"to\": 5, \"from\": 999999999999999}",
            "spend_cap.removed 5",
            "spend_alert.created 5",
            "spend_alert.removed 5",
            "spend_alert.created 7",
        ]
    );
    // Who may not manage billing changes nothing.
    let stranger = On { actor: Actor::User(world.user().await), tenant_id: t };
    assert!(change::set_cap(db, env, stranger, None, 1).await.is_err());
    world.books_are_right().await;
}
