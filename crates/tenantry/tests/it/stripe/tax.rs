//! Taxes: asked for at checkout, mirrored from invoices, told where the location is missing. Nothing of it where it is
//! switched off.

use serde_json::Value;
use tenantry::billing::operations::Asked;
use tenantry::stripe_sync::Settings;
use uuid::Uuid;

use super::invoices::is_mirrored;
use super::world::{World, settings, wish};

async fn with_taxes() -> World {
    World::with(Settings { automatic_tax: true, collect_address: true, collect_tax_ids: true, ..settings() }).await
}

async fn invoice_row(world: &World, tenant: Uuid) -> Value {
    let sql =
        "select to_jsonb(i) from tenantry.invoices i where tenant_id = $1 order by created_at desc, id desc limit 1";
    world.admin.query_one(sql, &[&tenant]).await.unwrap().get(0)
}

/// Pays on the page, as somebody in a place with a tax id. The status of the answer.
async fn pay_on_page(url: &str, more: &[(&str, &str)]) -> u16 {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut form = vec![("card_number", "4242424242424242"), ("card_expiry", "12 / 34"), ("card_cvc", "123")];
    form.extend(more);
    let mut body = reqwest::Url::parse("http://form").unwrap();
    body.query_pairs_mut().extend_pairs(&form);
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded");
    request.body(body.query().unwrap().to_owned()).send().await.unwrap().status().as_u16()
}

const BERLIN: &[(&str, &str)] = &[
    ("name", "Acme GmbH"),
    ("country", "DE"),
    ("line1", "Unter den Linden 1"),
    ("postal_code", "10117"),
    ("city", "Berlin"),
    ("tax_id", "DE123456789"),
];

#[tokio::test]
async fn address_and_tax_id_are_collected_and_taxes_mirrored() {
    let world = with_taxes().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    let answer = world.done(tenant, &Asked::Checkout(wish("pro", None))).await;
    let url = answer["url"].as_str().unwrap();
    assert_ne!(pay_on_page(url, &[("name", "Acme GmbH")]).await, 303, "an address is required");
    assert_eq!(pay_on_page(url, BERLIN).await, 303);
    world.work().await;
    assert!(world.standing(tenant).await.starts_with("pro active"));
    let row = invoice_row(&world, tenant).await;
    assert_eq!(
        (row["subtotal"].as_i64(), row["tax"].as_i64(), row["total"].as_i64()),
        (Some(2900), Some(551), Some(3451))
    );
    assert_eq!((row["amount_paid"].as_i64(), &row["automatic_tax_status"]), (Some(3451), &"complete".into()));
    assert_eq!(row["taxes"][0]["amount"], 551);
    assert_eq!(row["customer_address"]["country"], "DE");
    assert_eq!(row["customer_address"]["city"], "Berlin");
    assert_eq!(row["customer_tax_ids"][0]["value"], "DE123456789");
    assert_eq!(row["customer_tax_ids"][0]["type"], "eu_vat");
    // What an invoice says stays, wherever the customer moves.
    let customer = world.customer(tenant).await;
    world.post(&format!("/v1/customers/{customer}"), &[("address[country]", "US"), ("address[city]", "Boston")]).await;
    world.work().await;
    assert_eq!(invoice_row(&world, tenant).await["customer_address"]["city"], "Berlin");
    world.advance("1mo").await;
    world.advance("2h").await;
    let next = invoice_row(&world, tenant).await;
    assert_eq!((next["tax"].as_i64(), &next["customer_address"]["city"]), (Some(0), &"Boston".into()));
    is_mirrored(&world, tenant).await;
    world.finish().await;
}

#[tokio::test]
async fn a_location_that_is_missing_is_told_once_and_visible() {
    let world = with_taxes().await;
    let (tenant, _) = world.organization("owner@example.com").await;
    let answer = world.done(tenant, &Asked::Checkout(wish("pro", None))).await;
    assert_eq!(pay_on_page(answer["url"].as_str().unwrap(), BERLIN).await, 303);
    world.work().await;
    let customer = world.customer(tenant).await;
    world.post(&format!("/v1/customers/{customer}"), &[("address", "")]).await;
    world.advance("1mo").await;
    world.advance("3h").await;
    let row = invoice_row(&world, tenant).await;
    assert_eq!((&row["status"], &row["automatic_tax_status"]), (&"draft".into(), &"requires_location_inputs".into()));
    assert_eq!(world.notices_of(tenant, "tax_location_missing").await.len(), 1);
    // The address comes, and the draft goes on.
    let invoice = world.invoices(tenant).await[0]["id"].as_str().unwrap().to_owned();
    world.post(&format!("/v1/customers/{customer}"), &[("address[country]", "DE")]).await;
    world.post(&format!("/v1/invoices/{invoice}/pay"), &[]).await;
    world.work().await;
    let row = invoice_row(&world, tenant).await;
    assert_eq!((&row["status"], &row["automatic_tax_status"]), (&"paid".into(), &"complete".into()));
    assert_eq!(world.notices_of(tenant, "tax_location_missing").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn switched_off_nothing_of_it_is_sent() {
    for is_on in [true, false] {
        let world = if is_on { with_taxes().await } else { World::new().await };
        let tenant = world.user("plain@example.com").await;
        let answer = world.done(tenant, &Asked::Checkout(wish("pro", None))).await;
        let session = world.get(&format!("/v1/checkout/sessions/{}", answer["sessionId"].as_str().unwrap())).await;
        assert_eq!(session["automatic_tax"]["enabled"], is_on);
        assert_eq!(session["tax_id_collection"]["enabled"].as_bool().unwrap_or(false), is_on);
        assert_eq!(session["billing_address_collection"] == "required", is_on);
        if !is_on {
            world.control.pay_session(answer["sessionId"].as_str().unwrap(), super::world::VISA).await.unwrap();
            world.work().await;
            let row = invoice_row(&world, tenant).await;
            assert_eq!((row["tax"].as_i64(), row["automatic_tax_status"].is_null()), (Some(0), true));
        }
        world.finish().await;
    }
}
