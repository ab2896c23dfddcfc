use tenantry_stripe::checkout_sessions::{MissingPaymentMethod, TrialEndBehavior, TrialSettings};
use tenantry_stripe::schedules::{EndBehavior, PhaseAnchor, PhaseItemParameters, PhaseParameters};
use tenantry_stripe::shared::{CollectionMethod, Moment, PaymentBehavior, ProrationBehavior};
use tenantry_stripe::subscriptions::{BillingCycleAnchor, CancelAt, CancellationDetails, ItemParameters, StatusFilter};
use tenantry_stripe::{schedules, subscriptions};

use super::{Judge, at, metadata, range, tax, time};

pub(super) async fn judge(judge: &mut Judge) {
    changes(judge).await;
    reads(judge).await;
    plans(judge).await;
}

fn update() -> subscriptions::Update<'static> {
    let details = CancellationDetails { comment: Some("words"), feedback: Some("too_expensive") };
    subscriptions::Update {
        id: "sub_1",
        items: vec![ItemParameters {
            id: Some("si_1"),
            price: Some("price_1"),
            quantity: Some(3),
            deleted: Some(false),
            metadata: metadata(),
        }],
        proration_behavior: Some(ProrationBehavior::AlwaysInvoice),
        proration_date: Some(time()),
        payment_behavior: Some(PaymentBehavior::ErrorIfIncomplete),
        billing_cycle_anchor: Some(BillingCycleAnchor::Unchanged),
        cancel_at_period_end: Some(true),
        cancel_at: Some(CancelAt::At(time())),
        cancellation_details: Some(details),
        collection_method: Some(CollectionMethod::ChargeAutomatically),
        days_until_due: Some(14),
        default_payment_method: Some("pm_1"),
        description: Some(""),
        trial_end: Some(Moment::Now),
        trial_settings: Some(TrialSettings {
            end_behavior: TrialEndBehavior { missing_payment_method: MissingPaymentMethod::Pause },
        }),
        automatic_tax: Some(tax()),
        off_session: Some(true),
        metadata: metadata(),
        expand: vec!["latest_invoice.payments"],
    }
}

async fn changes(judge: &mut Judge) {
    judge.post(&update(), "subscription").await;
    for proration_behavior in [ProrationBehavior::CreateProrations, ProrationBehavior::None].map(Some) {
        judge.post(&subscriptions::Update { proration_behavior, ..update() }, "subscription").await;
    }
    for payment_behavior in
        [PaymentBehavior::AllowIncomplete, PaymentBehavior::DefaultIncomplete, PaymentBehavior::PendingIfIncomplete]
    {
        let update = subscriptions::Update { payment_behavior: Some(payment_behavior), ..update() };
        judge.post(&update, "subscription").await;
    }
    for cancel_at in [CancelAt::MinPeriodEnd, CancelAt::MaxPeriodEnd, CancelAt::Never].map(Some) {
        judge.post(&subscriptions::Update { cancel_at, ..update() }, "subscription").await;
    }
    let other = subscriptions::Update {
        trial_end: Some(time().into()),
        billing_cycle_anchor: Some(BillingCycleAnchor::Now),
        collection_method: Some(CollectionMethod::SendInvoice),
        ..update()
    };
    judge.post(&other, "subscription").await;
    let cancel = subscriptions::Cancel {
        id: "sub_1",
        invoice_now: Some(true),
        prorate: Some(false),
        cancellation_details: Some(CancellationDetails { comment: Some("words"), feedback: Some("unused") }),
        expand: vec!["latest_invoice"],
    };
    judge.delete(&cancel, "subscription").await;
}

async fn reads(judge: &mut Judge) {
    judge.get(&subscriptions::Retrieve { id: "sub_1", expand: vec!["customer"] }, "subscription").await;
    for status in [
        StatusFilter::All,
        StatusFilter::Ended,
        StatusFilter::Active,
        StatusFilter::Canceled,
        StatusFilter::Incomplete,
        StatusFilter::PastDue,
        StatusFilter::Trialing,
        StatusFilter::Unpaid,
        StatusFilter::Paused,
    ] {
        let list = subscriptions::List {
            customer: Some("cus_1"),
            status: Some(status),
            price: Some("price_1"),
            created: Some(range()),
            limit: Some(100),
            starting_after: Some("sub_1"),
            ending_before: Some("sub_2"),
            expand: vec!["data.customer"],
        };
        judge.get(&list, "subscription").await;
    }
}

async fn plans(judge: &mut Judge) {
    let create = schedules::CreateFromSubscription { from_subscription: "sub_1", expand: vec!["subscription"] };
    judge.post(&create, "subscription_schedule").await;
    judge.get(&schedules::Retrieve { id: "sub_sched_1", expand: vec!["subscription"] }, "subscription_schedule").await;
    let list = schedules::List {
        customer: Some("cus_1"),
        scheduled: Some(true),
        limit: Some(100),
        starting_after: Some("sub_sched_1"),
        ending_before: Some("sub_sched_2"),
        expand: vec!["data.subscription"],
    };
    judge.get(&list, "subscription_schedule").await;
    let phase = |price, start, end, anchor| PhaseParameters {
        items: vec![PhaseItemParameters { price: Some(price), quantity: Some(2), metadata: metadata() }],
        start_date: Some(start),
        end_date: Some(end),
        trial_end: Some(Moment::At(at(1))),
        trial: Some(true),
        billing_cycle_anchor: Some(anchor),
        proration_behavior: Some(ProrationBehavior::None),
        collection_method: Some(CollectionMethod::ChargeAutomatically),
        default_payment_method: Some("pm_1"),
        description: Some("words"),
        automatic_tax: Some(tax()),
        metadata: metadata(),
    };
    for end_behavior in [EndBehavior::Release, EndBehavior::Cancel].map(Some) {
        let update = schedules::Update {
            id: "sub_sched_1",
            phases: vec![
                phase("price_1", Moment::Now, Moment::At(time()), PhaseAnchor::Automatic),
                phase("price_2", Moment::At(time()), Moment::Now, PhaseAnchor::PhaseStart),
            ],
            end_behavior,
            proration_behavior: Some(ProrationBehavior::None),
            metadata: metadata(),
            expand: vec!["subscription"],
        };
        judge.post(&update, "subscription_schedule").await;
    }
    let release =
        schedules::Release { id: "sub_sched_1", preserve_cancel_date: Some(true), expand: vec!["subscription"] };
    judge.post(&release, "subscription_schedule").await;
}
