//! A notice is there exactly if its cause is, and once.

use std::collections::BTreeSet;

use tenantry::notices::data::Data;
use tenantry::notices::kind::Kind;
use tenantry::notices::{Notice, raise};
use tenantry::storage::notices;

use super::samples;
use super::world::World;

const ROWS: &str = "select (select count(*) from tenantry.notifications)
    + (select count(*) from tenantry.jobs where kind = 'fan_out_notice')";

#[tokio::test]
async fn a_transaction_that_is_undone_leaves_nothing() {
    let world = World::new().await;
    let t = world.user(None).await;
    let notice = Notice::new("once", samples::payment_failed());
    let tx = world.db.begin("test", &[t]).await.unwrap();
    assert!(raise(&tx, &world.env, world.now(), t, &notice).await.unwrap());
    tx.rollback().await.unwrap();
    assert_eq!(world.count(ROWS).await, 0);
    // Nothing of it is remembered either.
    assert!(world.raise(t, &notice).await);
    assert_eq!(world.count(ROWS).await, 2);
}

#[tokio::test]
async fn the_same_notice_is_raised_once_however_many_raise_it() {
    let world = World::new().await;
    let (t, other) = (world.user(None).await, world.user(None).await);
    let notice = Notice::new("invoice 1", samples::payment_failed());
    let all = futures::future::join_all((0..8).map(|_| world.raise(t, &notice))).await;
    assert_eq!(all.iter().filter(|is_new| **is_new).count(), 1);
    assert!(!world.raise(t, &notice).await);
    assert_eq!(world.count(ROWS).await, 2);
    // Another occasion, another kind and another tenant are others.
    assert!(world.raise(t, &Notice::new("invoice 2", samples::payment_failed())).await);
    assert!(world.raise(t, &Notice::new("invoice 1", samples::limit_threshold(80, true))).await);
    assert!(world.raise(other, &notice).await);
}

#[tokio::test]
async fn every_kind_is_stored_and_read_back() {
    let world = World::new().await;
    let t = world.user(None).await;
    let mut kinds = BTreeSet::new();
    for (number, data) in samples::all().into_iter().enumerate() {
        kinds.insert(data.kind().as_str());
        assert!(world.raise(t, &Notice::new(format!("sample {number}"), data)).await);
    }
    assert_eq!(kinds, Kind::ALL.iter().map(|kind| kind.as_str()).collect());
    let tx = world.db.read_as_service("test", &[t]).await.unwrap();
    let rows = notices::list(&tx, t, None, 100).await.unwrap();
    tx.rollback().await.unwrap();
    let read: Vec<Data> =
        rows.iter().map(|row| Data::read(Kind::parse(&row.kind).unwrap(), &row.data).unwrap()).collect();
    assert_eq!(read.len(), samples::all().len());
    assert!(samples::all().iter().all(|data| read.contains(data)));
}
