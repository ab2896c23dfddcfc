//! Stripe's invoices, mirrored.

use serde_json::{Value, json};
use tenantry_sandbox::Switches;
use uuid::Uuid;

use super::world::World;

/// The mirrored invoices, oldest first.
async fn mirrored(world: &World, tenant: Uuid) -> Vec<Value> {
    let sql = "select to_jsonb(i) from tenantry.invoices i where tenant_id = $1 order by created_at, id";
    world.admin.query(sql, &[&tenant]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// What the mirror must say of an invoice, of what Stripe says.
fn expected(invoice: &Value) -> Value {
    json!({
        "stripe_invoice_id": invoice["id"], "number": invoice["number"], "status": invoice["status"],
        "billing_reason": invoice["billing_reason"], "currency": invoice["currency"],
        "subtotal": invoice["subtotal"], "total": invoice["total"], "amount_due": invoice["amount_due"],
        "amount_paid": invoice["amount_paid"], "amount_remaining": invoice["amount_remaining"],
        "hosted_invoice_url": invoice["hosted_invoice_url"], "invoice_pdf": invoice["invoice_pdf"],
        "attempt_count": invoice["attempt_count"],
    })
}

/// Each of Stripe's invoices is mirrored once, as it is there.
pub(super) async fn is_mirrored(world: &World, tenant: Uuid) {
    let mut here = mirrored(world, tenant).await;
    let there = world.invoices(tenant).await;
    assert_eq!(here.len(), there.len());
    for invoice in &there {
        let wanted = expected(invoice);
        let position = here.iter().position(|row| row["stripe_invoice_id"] == invoice["id"]).unwrap();
        let row = here.swap_remove(position);
        for (name, value) in wanted.as_object().unwrap() {
            assert_eq!(row[name], *value, "{name} of {row}");
        }
        assert_eq!(row["finalized_at"].is_string(), invoice["status_transitions"]["finalized_at"].is_i64());
        assert_eq!(row["paid_at"].is_string(), invoice["status_transitions"]["paid_at"].is_i64());
        let path = format!("/v1/invoices/{}/lines?limit=100", invoice["id"].as_str().unwrap());
        let lines: Vec<Value> = world.list(&path).await.iter().map(|line| line["amount"].clone()).collect();
        let ours: Vec<Value> = row["lines"].as_array().unwrap().iter().map(|line| line["amount"].clone()).collect();
        assert_eq!(ours, lines, "{row}");
    }
}

async fn last_status(world: &World, tenant: Uuid) -> String {
    mirrored(world, tenant).await.last().unwrap()["status"].as_str().unwrap().to_owned()
}

async fn through_its_states(switches: Switches) {
    let world = World::new().await;
    world.control.set_switches(Switches { paused: true, ..switches });
    let (tenant, _) = world.organization("owner@example.com").await;
    world.buy(tenant, "pro").await;
    assert_eq!(last_status(&world, tenant).await, "paid");
    is_mirrored(&world, tenant).await;
    world.use_card(tenant, "pm_card_chargeCustomerFail").await;
    world.advance("1mo").await;
    assert_eq!(last_status(&world, tenant).await, "draft");
    is_mirrored(&world, tenant).await;
    world.advance("2h").await;
    assert_eq!(last_status(&world, tenant).await, "open");
    is_mirrored(&world, tenant).await;
    let open = world.invoices(tenant).await[0]["id"].as_str().unwrap().to_owned();
    world.use_card(tenant, "pm_card_visa").await;
    world.post(&format!("/v1/invoices/{open}/pay"), &[]).await;
    world.work().await;
    assert_eq!(last_status(&world, tenant).await, "paid");
    is_mirrored(&world, tenant).await;
    assert_eq!(world.notices_of(tenant, "payment_succeeded").await.len(), 2);

    world.use_card(tenant, "pm_card_chargeCustomerFail").await;
    world.advance("1mo").await;
    world.advance("2h").await;
    let open = world.invoices(tenant).await[0]["id"].as_str().unwrap().to_owned();
    world.post(&format!("/v1/invoices/{open}/void"), &[]).await;
    world.work().await;
    assert_eq!(last_status(&world, tenant).await, "void");
    is_mirrored(&world, tenant).await;
    world.finish().await;
}

#[tokio::test]
async fn draft_open_paid_void() {
    through_its_states(Switches::default()).await;
}

#[tokio::test]
async fn draft_open_paid_void_told_twice_and_backwards() {
    through_its_states(Switches { duplicate: true, reorder: true, ..Switches::default() }).await;
}

#[tokio::test]
async fn all_lines_of_a_long_invoice() {
    let world = World::new().await;
    let tenant = world.user("long@example.com").await;
    world.buy(tenant, "pro").await;
    let customer = world.customer(tenant).await;
    for number in 1..=12 {
        let amount = number.to_string();
        let form =
            [("customer", customer.as_str()), ("amount", &amount), ("currency", "usd"), ("description", "extra")];
        world.post("/v1/invoiceitems", &form).await;
    }
    world.advance("1mo").await;
    let last = mirrored(&world, tenant).await.pop().unwrap();
    assert_eq!(last["lines"].as_array().unwrap().len(), 13);
    is_mirrored(&world, tenant).await;
    world.finish().await;
}
