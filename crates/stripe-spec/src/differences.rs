//! What the document says otherwise than the version that requests are pinned to.
//!
//! The document is of [`DOCUMENT`], requests name [`PINNED`]. Both lists were reviewed by comparing the document with
//! the types of Stripe's Node SDK 18.5.0, which is generated for the pinned version, for every operation that the
//! client has and every object that it reads. An operation that is added has to be compared too.

/// The version that requests name.
pub const PINNED: &str = "2025-08-27.basil";
/// The version that the document describes.
pub const DOCUMENT: &str = "2026-05-27.dahlia";

/// How a parameter differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The document has it and the pinned version does not: it must not be sent.
    NewerThanPinned,
    /// These words are in the document only.
    NewerWords(&'static [&'static str]),
    /// The pinned version has it, with this schema, and the document does not, or has another.
    OlderThanDocument(&'static str),
    /// The pinned version requires it and the document does not.
    RequiredByPinned,
}

/// A difference in what may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestDifference {
    /// Where: `POST /v1/invoices`, or `*` for every operation.
    pub operation: &'static str,
    /// Which parameter: `phases[].iterations`. What begins with `**.` is meant at every depth.
    pub parameter: &'static str,
    /// How it differs.
    pub because: Because,
    /// Why.
    pub reason: &'static str,
}

/// A difference in what is answered: the document requires a field that the pinned version does not have, or the pinned
/// version has a field or words that the document does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerDifference {
    /// Name of the schema in the document.
    pub schema: &'static str,
    /// The field.
    pub field: &'static str,
    /// Words of the pinned version that the document does not have.
    pub words: &'static [&'static str],
    /// Why.
    pub reason: &'static str,
}

const fn request(
    operation: &'static str,
    parameter: &'static str,
    because: Because,
    reason: &'static str,
) -> RequestDifference {
    RequestDifference { operation, parameter, because, reason }
}

const fn answer(schema: &'static str, field: &'static str, reason: &'static str) -> AnswerDifference {
    AnswerDifference { schema, field, words: &[], reason }
}

use Because::{NewerThanPinned, NewerWords, OlderThanDocument, RequiredByPinned};

const TEXT: Because = OlderThanDocument(r#"{"type": "string", "maxLength": 5000}"#);
const NEW_TAX_IDS: Because = NewerWords(&["fo_vat", "gi_tin", "it_cf", "lk_vat", "pl_nip", "py_ruc"]);
const NEW_PAYMENTS: Because = NewerWords(&["bizum", "custom", "mb_way", "payto", "scalapay", "sunbit"]);

const SESSIONS: &str = "POST /v1/checkout/sessions";
const CONFIGURATIONS: &str = "POST /v1/billing_portal/configurations";
const CONFIGURATION: &str = "POST /v1/billing_portal/configurations/{configuration}";
const SUBSCRIPTION: &str = "POST /v1/subscriptions/{subscription_exposed_id}";
const SCHEDULES: &str = "POST /v1/subscription_schedules";
const SCHEDULE: &str = "POST /v1/subscription_schedules/{schedule}";
const PREVIEW: &str = "POST /v1/invoices/create_preview";
const ITEMS: &str = "POST /v1/invoiceitems";

const REQUESTS: &[RequestDifference] = &[
    request("*", "customer_account", NewerThanPinned, "accounts as customers came with clover"),
    request("*", "**.payment_method_options", NewerThanPinned, "many of its members differ: compare before it is used"),
    request("*", "**.billing_mode.flexible", NewerThanPinned, "options of flexible billing came with clover"),
    request("*", "**.billing_schedules", NewerThanPinned, "billing schedules came after basil"),
    request("*", "**.quantity_decimal", NewerThanPinned, "quantities with a fraction came with dahlia"),
    request("*", "**.add_invoice_items[].discountable", NewerThanPinned, "it came after basil"),
    request("*", "**.cancel_at", NewerWords(&["max_billed_until"]), "it belongs to billing schedules"),
    request("POST /v1/customers", "business_name", NewerThanPinned, "it came after basil"),
    request("POST /v1/customers", "individual_name", NewerThanPinned, "it came after basil"),
    request("POST /v1/customers", "tax_id_data[].type", NEW_TAX_IDS, "they came after basil"),
    request("POST /v1/customers/{customer}", "business_name", NewerThanPinned, "it came after basil"),
    request("POST /v1/customers/{customer}", "individual_name", NewerThanPinned, "it came after basil"),
    request(SESSIONS, "branding_settings", NewerThanPinned, "it came after basil"),
    request(SESSIONS, "excluded_payment_method_types", NewerThanPinned, "it came after basil"),
    request(SESSIONS, "integration_identifier", NewerThanPinned, "it came after basil"),
    request(SESSIONS, "line_items[].metadata", NewerThanPinned, "it came after basil"),
    request(SESSIONS, "line_items[].price_data.product_data.unit_label", NewerThanPinned, "it came after basil"),
    request(SESSIONS, "managed_payments", NewerThanPinned, "it came after basil"),
    request(SESSIONS, "name_collection", NewerThanPinned, "it came after basil"),
    request(SESSIONS, "subscription_data.pending_invoice_item_interval", NewerThanPinned, "it came after basil"),
    request(
        SESSIONS,
        "ui_mode",
        OlderThanDocument(r#"{"type": "string", "enum": ["custom", "embedded", "hosted"]}"#),
        "dahlia renamed its words to elements, embedded_page and hosted_page",
    ),
    request(
        CONFIGURATIONS,
        "features.payment_method_update.payment_method_configuration",
        NewerThanPinned,
        "it came after basil",
    ),
    request(
        CONFIGURATIONS,
        "features.subscription_update.billing_cycle_anchor",
        NewerThanPinned,
        "it came after basil",
    ),
    request(
        CONFIGURATIONS,
        "features.subscription_update.trial_update_behavior",
        NewerThanPinned,
        "it came after basil",
    ),
    request(
        CONFIGURATION,
        "features.payment_method_update.payment_method_configuration",
        NewerThanPinned,
        "it came after basil",
    ),
    request(CONFIGURATION, "features.subscription_update.billing_cycle_anchor", NewerThanPinned, "it came after basil"),
    request(
        CONFIGURATION,
        "features.subscription_update.trial_update_behavior",
        NewerThanPinned,
        "it came after basil",
    ),
    request(
        "POST /v1/billing_portal/sessions",
        "customer",
        RequiredByPinned,
        "it is optional since accounts can be customers",
    ),
    request("GET /v1/subscriptions", "plan", TEXT, "plans are gone since; prices have taken their place"),
    request(SUBSCRIPTION, "items[].plan", TEXT, "plans are gone since; prices have taken their place"),
    request(
        SCHEDULES,
        "phases[].iterations",
        OlderThanDocument(r#"{"type": "integer"}"#),
        "clover took it away; `end_date` and `duration` are in both versions",
    ),
    request(
        SCHEDULE,
        "phases[].iterations",
        OlderThanDocument(r#"{"type": "integer"}"#),
        "clover took it away; `end_date` and `duration` are in both versions",
    ),
    request(SCHEDULE, "phases[].currency", TEXT, "a phase that is changed keeps its currency since"),
    request(PREVIEW, "customer_details.tax_ids[].type", NEW_TAX_IDS, "they came after basil"),
    request(ITEMS, "customer", RequiredByPinned, "it is optional since accounts can be customers"),
    request("GET /v1/invoice_payments", "created", NewerThanPinned, "it came after basil"),
    request("GET /v1/invoice_payments", "payment.payment_record", NewerThanPinned, "it came after basil"),
    request("GET /v1/invoice_payments", "payment.type", NewerWords(&["payment_record"]), "it came after basil"),
    request("GET /v1/customers/{customer}/payment_methods", "type", NEW_PAYMENTS, "they came after basil"),
    request(
        "POST /v1/payment_methods/{payment_method}/attach",
        "customer",
        RequiredByPinned,
        "it is optional since accounts can be customers",
    ),
];

const ANSWERS: &[AnswerDifference] = &[
    answer("customer_tax", "provider", "it came after basil"),
    answer("subscription", "billing_schedules", "billing schedules came after basil"),
    answer("subscription_item", "plan", "plans are gone since; the pinned version still answers them"),
    answer("invoice", "amount_paid_off_stripe", "it came after basil"),
    answer("line_item", "subtotal", "it came after basil"),
    answer("invoiceitem", "quantity_decimal", "quantities with a fraction came with dahlia"),
    answer("discount", "source", "clover put the coupon into it"),
    answer("discount", "coupon", "clover moved it into `source`"),
    answer("portal_subscription_update", "trial_update_behavior", "it came after basil"),
    answer("recurring", "trial_period_days", "it is gone since"),
    answer("product", "type", "it is gone since"),
    AnswerDifference {
        schema: "checkout.session",
        field: "ui_mode",
        words: &["custom", "embedded", "hosted"],
        reason: "dahlia renamed its words",
    },
];

/// All differences in what may be sent.
pub fn request_differences() -> &'static [RequestDifference] {
    REQUESTS
}

/// All differences in what is answered.
pub fn answer_differences() -> &'static [AnswerDifference] {
    ANSWERS
}

/// The difference of a parameter, by the name of its operation and its pattern.
pub(crate) fn request_difference(operation: &str, parameter: &str) -> Option<&'static RequestDifference> {
    let of_operation = REQUESTS.iter().filter(|difference| ["*", operation].contains(&difference.operation));
    of_operation.into_iter().find(|difference| match difference.parameter.strip_prefix("**.") {
        Some(end) => parameter == end || parameter.strip_suffix(end).is_some_and(|before| before.ends_with('.')),
        None => parameter == difference.parameter,
    })
}

/// What the pinned version requires inside a parameter, or at the top where that is empty.
pub(crate) fn required_by_pinned(operation: &str, parameter: &str) -> Vec<&'static str> {
    let of_operation = REQUESTS
        .iter()
        .filter(|difference| difference.because == RequiredByPinned && difference.operation == operation);
    let split =
        of_operation.map(|difference| difference.parameter.rsplit_once('.').unwrap_or(("", difference.parameter)));
    split.filter(|(within, _)| *within == parameter).map(|(_, name)| name).collect()
}

pub(crate) fn answer_difference(schema: &str, field: &str) -> Option<&'static AnswerDifference> {
    ANSWERS.iter().find(|difference| difference.schema == schema && difference.field == field)
}
