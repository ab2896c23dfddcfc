//! `GET /api/billing/invoices`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::{Permitted, ViewBilling};
use crate::http::extract::Query;
use crate::http::page::{Page, PageQuery};
use crate::http::problem::Problem;
use crate::http::refusals::ReadRefusals;
use crate::http::state::AppState;
use crate::storage::stripe::invoices::{self as rows, InvoiceRow};

/// An invoice as Stripe has it. Amounts are minor units of the currency.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceView {
    /// Its id.
    pub id: Uuid,
    /// Number as the customer knows it; null while it is a draft.
    #[schema(example = "ACME-0001")]
    pub number: Option<String>,
    /// `draft`, `open`, `paid`, `void` or `uncollectible`.
    #[schema(example = "paid")]
    pub status: String,
    /// Why it was made, as Stripe names it.
    #[schema(example = "subscription_cycle")]
    pub billing_reason: Option<String>,
    /// ISO 4217, lower case.
    #[schema(example = "usd")]
    pub currency: String,
    /// Before tax.
    pub subtotal: i64,
    /// All taxes.
    pub tax: i64,
    /// With tax.
    pub total: i64,
    /// What is to be paid.
    pub amount_due: i64,
    /// What was paid.
    pub amount_paid: i64,
    /// What is left.
    pub amount_remaining: i64,
    /// First instant that it bills.
    #[schema(value_type = String, format = DateTime)]
    pub period_start: Timestamp,
    /// First instant that it does not.
    #[schema(value_type = String, format = DateTime)]
    pub period_end: Timestamp,
    /// Its lines: description, amount, quantity, proration, period.
    #[schema(value_type = Vec<Object>)]
    pub lines: Value,
    /// Its taxes: amount, and whether the price contains it.
    #[schema(value_type = Vec<Object>)]
    pub taxes: Value,
    /// Address of the customer as it was.
    #[schema(value_type = Option<Object>)]
    pub customer_address: Option<Value>,
    /// Tax ids of the customer as they were.
    #[schema(value_type = Vec<Object>)]
    pub customer_tax_ids: Value,
    /// `complete`, `requires_location_inputs` or `failed`; null where tax is not computed.
    pub automatic_tax_status: Option<String>,
    /// Stripe's page where it can be seen and paid.
    pub hosted_invoice_url: Option<String>,
    /// The same as a PDF.
    pub invoice_pdf: Option<String>,
    /// Tries to collect it.
    pub attempt_count: i32,
    /// When the next try is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_payment_attempt: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it became final.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finalized_at: Option<Timestamp>,
    /// When it was paid.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
}

impl From<InvoiceRow> for InvoiceView {
    fn from(row: InvoiceRow) -> Self {
        Self {
            id: row.id,
            number: row.number,
            status: row.status,
            billing_reason: row.billing_reason,
            currency: row.currency,
            subtotal: row.subtotal,
            tax: row.tax,
            total: row.total,
            amount_due: row.amount_due,
            amount_paid: row.amount_paid,
            amount_remaining: row.amount_remaining,
            period_start: row.period_start,
            period_end: row.period_end,
            lines: row.lines,
            taxes: row.taxes,
            customer_address: row.customer_address,
            customer_tax_ids: row.customer_tax_ids,
            automatic_tax_status: row.automatic_tax_status,
            hosted_invoice_url: row.hosted_invoice_url,
            invoice_pdf: row.invoice_pdf,
            attempt_count: row.attempt_count,
            next_payment_attempt: row.next_payment_attempt,
            created_at: row.created_at,
            finalized_at: row.finalized_at,
            paid_at: row.paid_at,
        }
    }
}

/// List invoices
///
/// The tenant's invoices, newest first, with totals, taxes and links. Needs `viewBilling`.
#[utoipa::path(
    get, path = "/api/billing/invoices", tag = "billing", operation_id = "listInvoices",
    params(PageQuery),
    responses((status = 200, body = Page<InvoiceView>), ReadRefusals),
    security(("bearer" = [])),
)]
pub async fn invoices(
    State(state): State<AppState>,
    permitted: Permitted<ViewBilling>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<InvoiceView>>, Problem> {
    let (after, limit) = (query.after()?, query.fetch()?);
    let tx = permitted.caller.read(&state, "list_invoices", permitted.tenant_id).await?;
    let rows = rows::list(&tx, permitted.tenant_id, after, limit).await?;
    tx.rollback().await?;
    Ok(Json(Page::of(rows, &query, |row| (row.created_at, row.id), InvoiceView::from)?))
}
