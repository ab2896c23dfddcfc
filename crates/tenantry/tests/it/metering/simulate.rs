//! A month of recorded usage under another catalog.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;
use tenantry::storage::StoreError;
use tenantry::usage::simulate::{Line, Simulation, What, simulate};
use tenantry_domain::plan::{Catalog, Plan};
use uuid::Uuid;

use super::world::{World, at, catalog};

fn plan(value: serde_json::Value) -> Plan {
    serde_json::from_value(value).unwrap()
}

/// Tokens cost less above less, calls have another limit, pro is called team.
fn other() -> Catalog {
    let free = plan(json!({
        "id": "free", "name": "Free", "rank": 0, "default": true, "prices": null, "currency": "usd",
        "metrics": {
            "calls": { "allowance": { "included": "80" } },
            "tokens": { "allowance": { "included": "50" }, "overage": { "mode": "package", "per": 25, "tiers": [
                { "unit_price": "10" },
            ] } },
        },
    }));
    let team = plan(json!({
        "id": "team", "name": "Team", "rank": 10, "default": false,
        "prices": { "currency": "usd", "month": 3900, "year": 40001 },
        "metrics": {
            "calls": { "allowance": "unlimited" },
            "tokens": { "allowance": { "included": "40" }, "overage": { "mode": "flat", "per": 1, "tiers": [
                { "unit_price": "1.25" },
            ] } },
            "bytes": { "allowance": "unlimited" },
        },
    }));
    Catalog::new(vec![free, team]).unwrap()
}

async fn lines(
    world: &World,
    catalog: &Catalog,
    renamed: &[(&str, &str)],
    month: &str,
    tenant: Option<Uuid>,
) -> Vec<(Uuid, Vec<Line>)> {
    let renamed: BTreeMap<String, String> =
        renamed.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
    let simulation = Simulation { catalog, renamed: &renamed, month: month.parse().unwrap(), tenant };
    let mut found = Vec::new();
    simulate(&world.db, &simulation, |tenant, lines| -> Result<(), StoreError> {
        found.push((tenant, lines));
        Ok(())
    })
    .await
    .unwrap();
    found
}

/// One tenant stays on free, one changes to pro in the middle, one is on pro by the year; periods are closed, but the
/// last one's is open.
async fn three(world: &World) -> [Uuid; 3] {
    let tenants = [world.user().await, world.user().await, world.user().await];
    let [stays, changes, yearly] = tenants;
    world.record(&[world.event(stays, "a", "tokens", "131.5"), world.event(stays, "b", "calls", "90.25")]).await;
    world.record(&[world.event(changes, "a", "tokens", "60"), world.event(changes, "b", "calls", "100")]).await;
    world.env.clock.set(at("2026-03-20T00:00:00Z"));
    world.change_plan(changes, "pro", world.now()).await;
    world.record(&[world.event(changes, "c", "tokens", "60.75"), world.event(changes, "d", "calls", "50")]).await;
    world.record(&[world.event(changes, "e", "exports", "3"), world.event(changes, "f", "bytes", "7")]).await;
    world.env.clock.set(at("2026-03-28T00:00:00Z"));
    world.new_anchor(yearly, "pro", world.now()).await;
    world.record(&[world.event(yearly, "a", "tokens", "100")]).await;
    let year = "update tenantry.tenant_subscriptions set billing_interval = 'year' where tenant_id = $1";
    world.admin.execute(year, &[&yearly]).await.unwrap();
    world.env.clock.set(at("2026-04-16T00:00:00Z"));
    world.work().await;
    // History is never billed, so it is in no simulation.
    world.record(&[world.event_at(stays, "o", "tokens", "900", "2026-03-10T00:00:00Z")]).await;
    tenants
}

fn table(found: &[(Uuid, Vec<Line>)], tenants: &[Uuid]) -> String {
    let mut text = String::new();
    for (tenant, lines) in found {
        let place = tenants.iter().position(|known| known == tenant).unwrap();
        for line in lines {
            let what = if line.what == What::Plan { "price of the plan" } else { line.metric.as_str() };
            let simulated = match &line.simulated {
                Ok(found) => format!("{} (refused {})", found.minor, found.would_be_refused),
                Err(gap) => gap.to_string(),
            };
            let (start, total, now, currency) = (line.period_start, line.total, line.current_minor, &line.currency);
            writeln!(text, "{place} {start} {} {what} {total}: {now} {currency}, {simulated}", line.plan_id).unwrap();
        }
    }
    text
}

#[tokio::test]
async fn under_the_present_catalog_it_comes_to_what_was_charged() {
    let world = World::new().await;
    let tenants = three(&world).await;
    for month in ["2026-03", "2026-04"] {
        let found = lines(&world, &catalog(), &[], month, None).await;
        for (tenant, lines) in &found {
            for line in lines {
                let place = format!("{tenant} {line:?}");
                let simulated = line.simulated.as_ref().unwrap_or_else(|gap| panic!("{gap}: {place}"));
                assert_eq!(
                    (simulated.minor, simulated.would_be_refused.to_string()),
                    (line.current_minor, "0".to_owned()),
                    "{place}"
                );
            }
            if month == "2026-03" && *tenant != tenants[2] {
                let overage: i64 =
                    lines.iter().filter(|line| line.what == What::Overage).map(|line| line.current_minor).sum();
                let sql = "select sum(charge_amount_cents)::bigint from tenantry.overage_charges where tenant_id = $1";
                let charged: i64 = world.admin.query_one(sql, &[tenant]).await.unwrap().get(0);
                assert!(charged > 0 && charged == overage, "{tenant}: {charged} {overage}");
            }
        }
        assert!(!found.is_empty(), "{month}");
    }
}

#[tokio::test]
async fn a_small_month_under_another_catalog() {
    let world = World::new().await;
    let tenants = three(&world).await;
    let found = lines(&world, &other(), &[("pro", "team")], "2026-03", None).await;
    insta::assert_snapshot!(table(&found, &tenants));
    let one = lines(&world, &other(), &[("pro", "team")], "2026-03", Some(tenants[1])).await;
    assert_eq!((one.len(), &one[0].1), (1, &found.iter().find(|(tenant, _)| *tenant == tenants[1]).unwrap().1));
    // Without its new name the plan is not found, and nothing is made up.
    let gaps = lines(&world, &other(), &[], "2026-03", Some(tenants[1])).await;
    for line in &gaps[0].1 {
        let gap = line.simulated.as_ref().unwrap_err().to_string();
        assert_eq!(gap, "plan `pro` is not in the catalog: say what it is called there with --map pro=NEW");
    }
    assert!(lines(&world, &other(), &[], "2026-07", None).await.is_empty());
}

#[tokio::test]
async fn amounts_of_two_currencies_are_not_compared() {
    let world = World::new().await;
    let t = world.user().await;
    world.record(&[world.event(t, "a", "tokens", "100"), world.event(t, "b", "calls", "1")]).await;
    let mut free = catalog().plans()[0].clone();
    free.currency = Some("eur".parse().unwrap());
    let found = lines(&world, &Catalog::new(vec![free]).unwrap(), &[], "2026-03", None).await;
    let told: Vec<String> = found[0]
        .1
        .iter()
        .map(|line| match &line.simulated {
            Ok(found) => format!("{} {}", found.minor, line.currency),
            Err(gap) => gap.to_string(),
        })
        .collect();
    assert_eq!(told, ["0 usd", "plan `free` is in eur in the catalog and in usd now"]);
}
