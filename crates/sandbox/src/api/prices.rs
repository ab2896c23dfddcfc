//! Prices.

use rust_decimal::Decimal;

use super::list::{created, page, same};
use super::{Call, Route, get, post};
use crate::engine::{Work, exponent};
use crate::fault::{Answer, Fault};
use crate::http::{
    Args, CREATED, Kind, METADATA, ONE, PAGE, Param, boolean, integer, object, objects, one_of, param, text, texts,
    unsupported,
};
use crate::model::{Price, Product, Recurring, Tier, TiersMode, Transform};

const INTERVALS: &[&str] = &["day", "week", "month", "year"];
const RECURRING: &[Param] = &[
    one_of("interval", INTERVALS).required(),
    integer("interval_count"),
    text("meter"),
    integer("trial_period_days"),
    one_of("usage_type", &["licensed", "metered"]),
];
const TAX_BEHAVIOR: Param = one_of("tax_behavior", &["inclusive", "exclusive", "unspecified"]);
/// What a price is made of, also where one is made in passing.
pub(super) const PRICE_DATA: &[Param] = &[
    text("currency").required(),
    object("recurring", RECURRING),
    TAX_BEHAVIOR,
    integer("unit_amount"),
    param("unit_amount_decimal", Kind::Decimal),
    METADATA,
    unsupported("currency_options"),
    unsupported("custom_unit_amount"),
];
const CREATE: &[Param] = &[
    boolean("active"),
    one_of("billing_scheme", &["per_unit", "tiered"]),
    text("lookup_key"),
    text("nickname"),
    text("product"),
    object("product_data", &[text("name").required(), text("id"), boolean("active"), METADATA, text("unit_label")]),
    objects(
        "tiers",
        &[
            param("up_to", Kind::IntegerOr(&["inf"])).required(),
            integer("flat_amount"),
            param("flat_amount_decimal", Kind::Decimal),
            integer("unit_amount"),
            param("unit_amount_decimal", Kind::Decimal),
        ],
    ),
    one_of("tiers_mode", &["graduated", "volume"]),
    boolean("transfer_lookup_key"),
    object("transform_quantity", &[integer("divide_by").required(), one_of("round", &["down", "up"]).required()]),
];
const UPDATE: &[Param] = &[
    boolean("active"),
    unsupported("currency_options"),
    text("lookup_key"),
    METADATA,
    text("nickname"),
    TAX_BEHAVIOR,
    boolean("transfer_lookup_key"),
];
const LIST: &[Param] = &[
    boolean("active"),
    CREATED,
    text("currency"),
    texts("lookup_keys"),
    text("product"),
    object(
        "recurring",
        &[one_of("interval", INTERVALS), text("meter"), one_of("usage_type", &["licensed", "metered"])],
    ),
    one_of("type", &["one_time", "recurring"]),
];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/prices", &[PRICE_DATA, CREATE, ONE], create),
    get("/v1/prices", &[LIST, PAGE], list),
    get("/v1/prices/:id", &[ONE], retrieve),
    post("/v1/prices/:id", &[UPDATE, ONE], update),
];

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let product = match args.text("product") {
        Some(id) => Work::named(&work.state.products, id, "product")?.id.clone(),
        None if args.has("product_data") => product_in_passing(work, &args.object("product_data")),
        None => {
            let message = "Missing required param: product.";
            return Err(Fault::invalid(message).code("parameter_missing").param("product"));
        }
    };
    let mut price = price_of(work, args, &product)?;
    price.active = args.boolean("active").unwrap_or(true);
    price.nickname = args.owned("nickname");
    price.lookup_key = take_key(work, args, &price.id)?;
    let shown = work.price_json(&price);
    work.state.prices.put(price);
    work.emit("price.created", shown.clone());
    Ok(shown)
}

fn product_in_passing(work: &mut Work, args: &Args) -> String {
    let id = args.owned("id").unwrap_or_else(|| work.id("prod_", 14));
    let product = Product {
        id: id.clone(),
        created: work.now,
        updated: work.now,
        active: args.boolean("active").unwrap_or(true),
        name: args.owned("name").unwrap_or_default(),
        description: None,
        default_price: None,
        images: Vec::new(),
        metadata: args.metadata(),
        statement_descriptor: None,
        tax_code: None,
        unit_label: args.owned("unit_label"),
        url: None,
    };
    let shown = work.product_json(&product);
    work.state.products.put(product);
    work.emit("product.created", shown);
    id
}

/// A price of parameters, not yet kept.
pub(super) fn price_of(work: &mut Work, args: &Args, product: &str) -> Result<Price, Fault> {
    let currency = args.text("currency").unwrap_or_default().to_ascii_lowercase();
    if exponent(&currency).is_none() {
        return Err(Fault::invalid(format!("Invalid currency: {currency}")).param("currency"));
    }
    let tiered = args.is("billing_scheme", "tiered");
    let unit_amount = decimal(args, "unit_amount");
    if !tiered && unit_amount.is_none() {
        let message = "One of the following params is required: unit_amount, unit_amount_decimal, custom_unit_amount.";
        return Err(Fault::invalid(message).param("unit_amount"));
    }
    if unit_amount.is_some_and(|amount| amount.is_sign_negative() && !amount.is_zero()) {
        let message = "Invalid non-negative integer";
        return Err(Fault::invalid(message).code("parameter_invalid_integer").param("unit_amount"));
    }
    let tiers = if tiered { tiers(args)? } else { Vec::new() };
    let mode = if args.is("tiers_mode", "volume") { TiersMode::Volume } else { TiersMode::Graduated };
    Ok(Price {
        id: work.long_id("price_"),
        created: work.now,
        active: true,
        currency,
        product: product.to_owned(),
        nickname: None,
        lookup_key: None,
        metadata: args.metadata(),
        tax_behavior: args.owned("tax_behavior").unwrap_or_else(|| "unspecified".to_owned()),
        unit_amount: unit_amount.filter(|_| !tiered),
        tiers,
        tiers_mode: tiered.then_some(mode),
        transform: transform(args, tiered)?,
        recurring: if args.has("recurring") { Some(recurring(work, &args.object("recurring"))?) } else { None },
    })
}

/// Tiers count units, so that only a price of one amount can divide them.
fn transform(args: &Args, tiered: bool) -> Result<Option<Transform>, Fault> {
    if !args.has("transform_quantity") {
        return Ok(None);
    }
    if tiered {
        let message = "`transform_quantity` cannot be combined with `tiers`.";
        return Err(Fault::invalid(message).param("transform_quantity"));
    }
    let args = args.object("transform_quantity");
    let divide_by = args.integer("divide_by").unwrap_or(1);
    if divide_by < 1 {
        let message = "Invalid divide_by: must be at least 1.";
        return Err(Fault::invalid(message).param("transform_quantity[divide_by]"));
    }
    Ok(Some(Transform { divide_by, rounds_up: args.is("round", "up") }))
}

/// An amount that is given whole or as a decimal.
fn decimal(args: &Args, name: &str) -> Option<Decimal> {
    let exact = args.text(&format!("{name}_decimal")).and_then(|text| text.parse().ok());
    exact.or_else(|| args.integer(name).map(Decimal::from))
}

fn recurring(work: &Work, args: &Args) -> Result<Recurring, Fault> {
    let metered = args.is("usage_type", "metered");
    let meter = args.owned("meter");
    match &meter {
        Some(id) => {
            Work::named(&work.state.meters, id, "recurring[meter]")?;
        }
        None if metered => {
            let message = "Metered prices require a billing meter: usage records are gone since 2025-03-31.basil.";
            return Err(Fault::invalid(message).param("recurring[meter]"));
        }
        None => {}
    }
    let interval = args.owned("interval").unwrap_or_default();
    let interval_count = interval_count(args, &interval, "recurring")?;
    Ok(Recurring { interval, interval_count, meter, metered })
}

/// How many intervals a period has; one by default, and never more than three years.
pub(super) fn interval_count(args: &Args, interval: &str, object: &str) -> Result<i64, Fault> {
    let count = args.integer("interval_count").unwrap_or(1);
    let longest = match interval {
        "year" => 3,
        "month" => 36,
        "week" => 156,
        _ => 1095,
    };
    if !(1..=longest).contains(&count) {
        let message = "The maximum interval is three years, the minimum one.";
        return Err(Fault::invalid(message).param(format!("{object}[interval_count]")));
    }
    Ok(count)
}

fn tiers(args: &Args) -> Result<Vec<Tier>, Fault> {
    let tiers: Vec<Tier> = (args.objects("tiers").iter())
        .map(|tier| Tier {
            up_to: tier.integer("up_to"),
            unit_amount: decimal(tier, "unit_amount"),
            flat_amount: decimal(tier, "flat_amount"),
        })
        .collect();
    let bounds: Vec<Option<i64>> = tiers.iter().map(|tier| tier.up_to).collect();
    let (last, before) = bounds.split_last().unwrap_or((&Some(0), &[]));
    let ascending = before.windows(2).all(|pair| matches!(pair, [Some(low), Some(high)] if low < high));
    if last.is_some() || !ascending || before.contains(&None) {
        let message = "Tiers must be in ascending order, and the last one must have `up_to=inf`.";
        return Err(Fault::invalid(message).param("tiers"));
    }
    Ok(tiers)
}

/// A lookup key belongs to one price; it is moved only when asked for.
fn take_key(work: &mut Work, args: &Args, price: &str) -> Result<Option<String>, Fault> {
    let Some(key) = args.owned("lookup_key") else { return Ok(None) };
    let holder = work.state.prices.iter().find(|other| other.lookup_key.as_ref() == Some(&key) && other.id != price);
    if let Some(holder) = holder.cloned() {
        if args.boolean("transfer_lookup_key") != Some(true) {
            let message = format!("A price (`{}`) already uses that lookup key.", holder.id);
            return Err(Fault::invalid(message).param("lookup_key"));
        }
        let before = work.price_json(&holder);
        work.state.prices.edit(&holder.id, |price| price.lookup_key = None);
        let after = work.price_json(Work::find(&work.state.prices, &holder.id)?);
        work.emit_change("price.updated", &before, after);
    }
    Ok(Some(key))
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let keys = args.texts("lookup_keys");
    let wanted = args.object("recurring");
    let rows = work.state.prices.iter().rev().filter(|price| {
        let recurring = price.recurring.as_ref();
        let interval = recurring.map(|recurring| recurring.interval.as_str());
        let usage = if price.metered() { "metered" } else { "licensed" };
        let kind = if recurring.is_some() { "recurring" } else { "one_time" };
        args.boolean("active").is_none_or(|active| price.active == active)
            && (!args.has("lookup_keys") || price.lookup_key.as_ref().is_some_and(|key| keys.contains(key)))
            && same(call, "product", Some(&price.product))
            && same(call, "currency", Some(&price.currency))
            && same(call, "type", Some(kind))
            && wanted.text("interval").is_none_or(|wanted| interval == Some(wanted))
            && wanted.text("usage_type").is_none_or(|wanted| usage == wanted)
            && wanted.text("meter").is_none_or(|meter| recurring.and_then(|of| of.meter.as_deref()) == Some(meter))
            && created(call, price.created)
    });
    page(call, "/v1/prices", rows, |price| work.price_json(price))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.price_json(Work::find(&work.state.prices, call.id(0))?))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let mut price = Work::find(&work.state.prices, call.id(0))?.clone();
    let before = work.price_json(&price);
    if args.has("lookup_key") {
        price.lookup_key = take_key(work, args, &price.id)?;
    }
    price.active = args.boolean("active").unwrap_or(price.active);
    args.put_text("nickname", &mut price.nickname);
    args.put_metadata(&mut price.metadata);
    if let Some(behavior) = args.text("tax_behavior") {
        behavior.clone_into(&mut price.tax_behavior);
    }
    let after = work.price_json(&price);
    work.state.prices.put(price);
    work.emit_change("price.updated", &before, after.clone());
    Ok(after)
}
