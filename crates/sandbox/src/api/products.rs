//! Products.

use serde_json::json;

use super::list::{created, page};
use super::prices::{PRICE_DATA, price_of};
use super::{Call, Route, delete, get, post};
use crate::engine::Work;
use crate::fault::{Answer, Fault};
use crate::http::{Args, CREATED, METADATA, ONE, PAGE, Param, anything, boolean, object, one_of, text, texts};
use crate::model::Product;

const FIELDS: &[Param] = &[
    boolean("active"),
    text("description"),
    texts("images"),
    anything("marketing_features"),
    METADATA,
    anything("package_dimensions"),
    boolean("shippable"),
    text("statement_descriptor"),
    text("tax_code"),
    text("unit_label"),
    text("url"),
];
const CREATE: &[Param] = &[
    text("id"),
    text("name").required(),
    one_of("type", &["good", "service"]),
    object("default_price_data", PRICE_DATA),
];
const UPDATE: &[Param] = &[text("name"), text("default_price")];
const LIST: &[Param] = &[boolean("active"), CREATED, texts("ids"), boolean("shippable"), text("url")];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/products", &[FIELDS, CREATE, ONE], create),
    get("/v1/products", &[LIST, PAGE], list),
    get("/v1/products/:id", &[ONE], retrieve),
    post("/v1/products/:id", &[FIELDS, UPDATE, ONE], update),
    delete("/v1/products/:id", &[], remove),
];

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let id = args.owned("id").unwrap_or_else(|| work.id("prod_", 14));
    if work.state.products.get(&id).is_some() {
        return Err(Fault::invalid("Product already exists.").code("resource_already_exists").param("id"));
    }
    let mut product = Product {
        id: id.clone(),
        created: work.now,
        updated: work.now,
        active: true,
        name: args.owned("name").unwrap_or_default(),
        description: None,
        default_price: None,
        images: Vec::new(),
        metadata: args.metadata(),
        statement_descriptor: None,
        tax_code: None,
        unit_label: None,
        url: None,
    };
    apply(&mut product, args);
    work.state.products.put(product);
    if args.has("default_price_data") {
        let price = price_of(work, &args.object("default_price_data"), &id)?;
        work.state.products.edit(&id, |product| product.default_price = Some(price.id.clone()));
        let shown = work.price_json(&price);
        work.state.prices.put(price);
        work.emit("price.created", shown);
    }
    let shown = work.product_json(Work::find(&work.state.products, &id)?);
    work.emit("product.created", shown.clone());
    Ok(shown)
}

fn apply(product: &mut Product, args: &Args) {
    product.active = args.boolean("active").unwrap_or(product.active);
    args.put_text("description", &mut product.description);
    args.put_text("statement_descriptor", &mut product.statement_descriptor);
    args.put_text("tax_code", &mut product.tax_code);
    args.put_text("unit_label", &mut product.unit_label);
    args.put_text("url", &mut product.url);
    args.put_metadata(&mut product.metadata);
    if let Some(name) = args.text("name") {
        name.clone_into(&mut product.name);
    }
    if args.has("images") {
        product.images = args.texts("images");
    }
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let ids = call.args.texts("ids");
    let rows = work.state.products.iter().rev().filter(|product| {
        call.args.boolean("active").is_none_or(|active| product.active == active)
            && (ids.is_empty() || ids.contains(&product.id))
            && created(call, product.created)
    });
    page(call, "/v1/products", rows, |product| work.product_json(product))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.product_json(Work::find(&work.state.products, call.id(0))?))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let mut product = Work::find(&work.state.products, call.id(0))?.clone();
    let before = work.product_json(&product);
    apply(&mut product, &call.args);
    if let Some(price) = call.args.text("default_price") {
        let found = Work::named(&work.state.prices, price, "default_price")?;
        if found.product != product.id {
            let message = format!("The price {price} does not belong to the product {}.", product.id);
            return Err(Fault::invalid(message).param("default_price"));
        }
    }
    call.args.put_text("default_price", &mut product.default_price);
    product.updated = work.now;
    let after = work.product_json(&product);
    work.state.products.put(product);
    work.emit_change("product.updated", &before, after.clone());
    Ok(after)
}

fn remove(work: &mut Work, call: &Call) -> Answer {
    let product = Work::find(&work.state.products, call.id(0))?.clone();
    if work.state.prices.iter().any(|price| price.product == product.id) {
        let message = "This product cannot be deleted because it has one or more user-created prices.";
        return Err(Fault::invalid(message));
    }
    let shown = work.product_json(&product);
    work.state.products.remove(&product.id);
    work.emit("product.deleted", shown);
    Ok(json!({ "id": product.id, "object": "product", "deleted": true }))
}
