use tenantry_stripe::invoice_items::{PriceData, PricingParameters};
use tenantry_stripe::invoice_payments::InvoicePaymentStatus;
use tenantry_stripe::invoices::{
    InvoiceStatus, PendingItems, PreviewAnchor, PreviewItem, SubscriptionDetailsParameters,
};
use tenantry_stripe::shared::{CollectionMethod, Moment, ProrationBehavior, TaxBehavior};
use tenantry_stripe::subscriptions::{CancelAt, ItemParameters};
use tenantry_stripe::{invoice_items, invoice_lines, invoice_payments, invoices};

use super::{Judge, discounts, flexible, metadata, period, range, tax, time};

pub(super) async fn judge(judge: &mut Judge) {
    reads(judge).await;
    drafts(judge).await;
    previews(judge).await;
    items(judge).await;
}

async fn reads(judge: &mut Judge) {
    judge.get(&invoices::Retrieve { id: "in_1", expand: vec!["payments", "customer"] }, "invoice").await;
    for status in [
        InvoiceStatus::Draft,
        InvoiceStatus::Open,
        InvoiceStatus::Paid,
        InvoiceStatus::Uncollectible,
        InvoiceStatus::Void,
    ] {
        let list = invoices::List {
            customer: Some("cus_1"),
            subscription: Some("sub_1"),
            status: Some(status),
            created: Some(range()),
            collection_method: Some(CollectionMethod::ChargeAutomatically),
            limit: Some(100),
            starting_after: Some("in_1"),
            ending_before: Some("in_2"),
            expand: vec!["data.payments"],
        };
        judge.get(&list, "invoice").await;
    }
    let lines = invoice_lines::List {
        invoice: "in_1",
        limit: Some(100),
        starting_after: Some("il_1"),
        ending_before: Some("il_2"),
        expand: vec!["data.discounts"],
    };
    judge.get(&lines, "line_item").await;
    for status in [InvoicePaymentStatus::Open, InvoicePaymentStatus::Paid, InvoicePaymentStatus::Canceled] {
        let payments = invoice_payments::List {
            invoice: Some("in_1"),
            status: Some(status),
            limit: Some(100),
            starting_after: Some("inpay_1"),
            ending_before: Some("inpay_2"),
            expand: vec!["data.payment.payment_intent"],
        };
        judge.get(&payments, "invoice_payment").await;
    }
}

async fn drafts(judge: &mut Judge) {
    for pending in [PendingItems::Include, PendingItems::Exclude] {
        let create = invoices::Create {
            customer: "cus_1",
            auto_advance: Some(false),
            pending_invoice_items_behavior: Some(pending),
            collection_method: Some(CollectionMethod::SendInvoice),
            days_until_due: Some(14),
            currency: Some("usd"),
            default_payment_method: Some("pm_1"),
            subscription: Some("sub_1"),
            automatic_tax: Some(tax()),
            discounts: discounts(),
            description: Some("words"),
            footer: Some("Thanks"),
            statement_descriptor: Some("ACME"),
            metadata: metadata(),
            expand: vec!["lines"],
        };
        judge.post(&create, "invoice").await;
    }
    let update = invoices::Update {
        id: "in_1",
        auto_advance: Some(true),
        automatically_finalizes_at: Some(time()),
        collection_method: Some(CollectionMethod::ChargeAutomatically),
        days_until_due: Some(14),
        default_payment_method: Some("pm_1"),
        automatic_tax: Some(tax()),
        description: Some("words"),
        footer: Some("Thanks"),
        statement_descriptor: Some("ACME"),
        metadata: metadata(),
        expand: vec!["lines"],
    };
    judge.post(&update, "invoice").await;
    let finalize = invoices::Finalize { id: "in_1", auto_advance: Some(true), expand: vec!["payments"] };
    judge.post(&finalize, "invoice").await;
    let pay = invoices::Pay {
        id: "in_1",
        payment_method: Some("pm_1"),
        off_session: Some(true),
        paid_out_of_band: Some(false),
        forgive: Some(false),
        expand: vec!["payments"],
    };
    judge.post(&pay, "invoice").await;
    judge.post(&invoices::Void { id: "in_1", expand: vec!["payments"] }, "invoice").await;
}

async fn previews(judge: &mut Judge) {
    for (anchor, cancel_at) in [
        (PreviewAnchor::Now, CancelAt::Never),
        (PreviewAnchor::Unchanged, CancelAt::At(time())),
        (PreviewAnchor::At(time()), CancelAt::MinPeriodEnd),
    ] {
        let preview = invoices::CreatePreview {
            customer: Some("cus_1"),
            subscription: Some("sub_1"),
            subscription_details: Some(SubscriptionDetailsParameters {
                items: vec![ItemParameters {
                    id: Some("si_1"),
                    price: Some("price_1"),
                    quantity: Some(3),
                    deleted: Some(true),
                    metadata: metadata(),
                }],
                proration_behavior: Some(ProrationBehavior::AlwaysInvoice),
                proration_date: Some(time()),
                billing_cycle_anchor: Some(anchor),
                billing_mode: Some(flexible()),
                cancel_at: Some(cancel_at),
                cancel_at_period_end: Some(true),
                cancel_now: Some(false),
                start_date: Some(time()),
                trial_end: Some(Moment::Now),
            }),
            schedule: Some("sub_sched_1"),
            currency: Some("usd"),
            invoice_items: vec![PreviewItem {
                amount: Some(-100),
                currency: Some("usd"),
                description: Some("words"),
                invoiceitem: Some("ii_1"),
                period: Some(period()),
                price: Some("price_1"),
                price_data: Some(price_data()),
                quantity: Some(2),
                unit_amount_decimal: Some("-0.5"),
                metadata: metadata(),
            }],
            automatic_tax: Some(tax()),
            discounts: discounts(),
            preview_mode: Some("next"),
            expand: vec!["total_taxes"],
        };
        judge.post(&preview, "invoice").await;
    }
}

fn price_data() -> PriceData<'static> {
    PriceData {
        currency: "usd",
        product: "prod_1",
        unit_amount: Some(5),
        unit_amount_decimal: Some("0.05"),
        tax_behavior: Some(TaxBehavior::Unspecified),
    }
}

async fn items(judge: &mut Judge) {
    let create = invoice_items::Create {
        customer: "cus_1",
        amount: Some(1234),
        currency: Some("usd"),
        quantity: Some(2),
        unit_amount_decimal: Some("617.000000000001"),
        pricing: Some(PricingParameters { price: Some("price_1") }),
        price_data: Some(price_data()),
        description: Some("12,340 tokens over"),
        discountable: Some(false),
        invoice: Some("in_1"),
        subscription: Some("sub_1"),
        period: Some(period()),
        tax_behavior: Some(TaxBehavior::Exclusive),
        tax_code: Some("txcd_10103001"),
        metadata: metadata(),
        expand: vec!["invoice"],
    };
    judge.post(&create, "invoiceitem").await;
    judge.get(&invoice_items::Retrieve { id: "ii_1", expand: vec!["invoice"] }, "invoiceitem").await;
    let list = invoice_items::List {
        customer: Some("cus_1"),
        invoice: Some("in_1"),
        pending: Some(true),
        created: Some(range()),
        limit: Some(100),
        starting_after: Some("ii_1"),
        ending_before: Some("ii_2"),
        expand: vec!["data.invoice"],
    };
    judge.get(&list, "invoiceitem").await;
    judge.delete(&invoice_items::Delete { id: "ii_1" }, "deleted_invoiceitem").await;
}
