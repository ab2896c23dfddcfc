import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY, advance, control, price, receiver, stripe, submit, subscribed, Stripe } from './world.mjs';

test('a checkout session is completed by the form of its page', async () => {
  const pro = await price('Pro', 2900);
  const customer = await stripe.customers.create({ email: 'c@example.com' });
  const session = await stripe.checkout.sessions.create({
    mode: 'subscription',
    customer: customer.id,
    client_reference_id: 't1',
    line_items: [{ price: pro.id, quantity: 1 }],
    success_url: 'http://127.0.0.1:9/ok?session={CHECKOUT_SESSION_ID}',
    cancel_url: 'http://127.0.0.1:9/no',
    subscription_data: { metadata: { tenant_id: 't1' }, billing_mode: { type: 'flexible' } },
  });
  assert.equal((await submit(session.url, { card_number: '4000 0000 0000 9995' })).status, 402);
  const paid = await submit(session.url, { card_number: '4242 4242 4242 4242' });
  assert.deepEqual([paid.status, paid.headers.get('location')], [303, `http://127.0.0.1:9/ok?session=${session.id}`]);
  const done = await stripe.checkout.sessions.retrieve(session.id, { expand: ['line_items', 'subscription.latest_invoice'] });
  assert.equal(done.subscription.status, 'active');
  assert.equal(done.subscription.metadata.tenant_id, 't1');
  assert.equal(done.subscription.latest_invoice.amount_paid, 2900);
  assert.equal(done.line_items.data[0].price.id, pro.id);
  const other = await stripe.checkout.sessions.create({
    mode: 'subscription',
    line_items: [{ price: pro.id, quantity: 1 }],
    success_url: 'http://127.0.0.1:9/ok',
  });
  assert.equal((await stripe.checkout.sessions.expire(other.id)).status, 'expired');
  assert.equal((await submit(other.url, { card_number: '4242424242424242', email: 'x@y.z' })).status, 410);
});

test('an upgrade charges what its preview told, and its payment is listed', async () => {
  const [pro, max] = [await price('Pro', 2900), await price('Max', 9900)];
  const subscription = await subscribed(pro);
  await advance(10 * DAY);
  const [item] = subscription.items.data;
  const at = item.current_period_start + 10 * DAY;
  const preview = await stripe.invoices.createPreview({
    subscription: subscription.id,
    subscription_details: {
      items: [{ id: item.id, price: max.id }],
      proration_behavior: 'always_invoice',
      proration_date: at,
    },
  });
  const changed = await stripe.subscriptions.update(subscription.id, {
    items: [{ id: item.id, price: max.id }],
    proration_behavior: 'always_invoice',
    payment_behavior: 'error_if_incomplete',
    proration_date: at,
    expand: ['latest_invoice.payments'],
  });
  const lines = (invoice) => invoice.lines.data.map(({ amount, description }) => [amount, description]);
  assert.deepEqual(lines(changed.latest_invoice), lines(preview));
  assert.equal(changed.latest_invoice.total, preview.total);
  const payments = await stripe.invoicePayments.list({ invoice: changed.latest_invoice.id });
  assert.equal(payments.data[0].id, changed.latest_invoice.payments.data[0].id);
  assert.equal(payments.data[0].amount_paid, preview.total);
  const bad = await stripe.paymentMethods.attach('pm_card_chargeCustomerFail', { customer: subscription.customer });
  await stripe.subscriptions.update(subscription.id, { default_payment_method: bad.id });
  await assert.rejects(
    stripe.subscriptions.update(subscription.id, {
      items: [{ id: item.id, quantity: 5 }],
      proration_behavior: 'always_invoice',
      payment_behavior: 'error_if_incomplete',
    }),
    Stripe.errors.StripeCardError,
  );
  assert.equal((await stripe.subscriptions.retrieve(subscription.id)).items.data[0].quantity, 1);
});

test('a schedule lowers the price at the end of the period', async () => {
  const [max, pro] = [await price('Max', 9900), await price('Pro', 2900)];
  const subscription = await subscribed(max);
  const schedule = await stripe.subscriptionSchedules.create({ from_subscription: subscription.id });
  const [{ start_date, end_date }] = schedule.phases;
  const planned = await stripe.subscriptionSchedules.update(schedule.id, {
    end_behavior: 'release',
    phases: [
      { start_date, end_date, items: [{ price: max.id, quantity: 1 }] },
      { items: [{ price: pro.id, quantity: 1 }], duration: { interval: 'month' }, proration_behavior: 'none' },
    ],
  });
  assert.equal(planned.phases.length, 2);
  await advance(32 * DAY);
  const after = await stripe.subscriptions.retrieve(subscription.id, { expand: ['schedule', 'items.data.price.product'] });
  assert.equal(after.items.data[0].price.id, pro.id);
  assert.equal(after.items.data[0].price.product.name, 'Pro');
  assert.equal(after.schedule.id, schedule.id);
  assert.equal((await stripe.subscriptionSchedules.release(schedule.id)).status, 'released');
});

test('cancel at the end, undo, and cancel now', async () => {
  const subscription = await subscribed(await price('Pro', 2900));
  const pending = await stripe.subscriptions.update(subscription.id, { cancel_at_period_end: true });
  assert.ok(pending.cancel_at_period_end || pending.cancel_at !== null);
  const undone = await stripe.subscriptions.update(subscription.id, { cancel_at_period_end: false });
  assert.ok(!undone.cancel_at_period_end && undone.cancel_at === null);
  assert.equal((await stripe.subscriptions.cancel(subscription.id)).status, 'canceled');
  const all = await stripe.subscriptions.list({ customer: subscription.customer, status: 'all' });
  assert.equal(all.data.length, 1);
});

test('invoices of their own: items, finalization, payment', async () => {
  const { customer, default_payment_method } = await subscribed(await price('Pro', 2900));
  await stripe.invoiceItems.create({
    customer,
    currency: 'usd',
    unit_amount_decimal: '2.5',
    quantity: 1001,
    description: 'compute minutes',
    period: { start: 1_700_000_000, end: 1_700_003_600 },
  });
  const draft = await stripe.invoices.create({ customer, pending_invoice_items_behavior: 'include', default_payment_method });
  assert.equal(draft.total, 2503);
  const open = await stripe.invoices.finalizeInvoice(draft.id);
  assert.ok(open.number && open.hosted_invoice_url);
  assert.equal((await stripe.invoices.pay(draft.id)).status, 'paid');
  await assert.rejects(stripe.invoices.voidInvoice(draft.id), Stripe.errors.StripeInvalidRequestError);
  const lines = await stripe.invoices.listLineItems(draft.id);
  assert.equal(lines.data[0].parent.type, 'invoice_item_details');
});

test('meters count on the renewal', async () => {
  const event_name = `tokens_${process.hrtime.bigint()}`;
  const meter = await stripe.billing.meters.create({
    display_name: 'Tokens',
    event_name,
    default_aggregation: { formula: 'sum' },
    customer_mapping: { type: 'by_id', event_payload_key: 'stripe_customer_id' },
    value_settings: { event_payload_key: 'value' },
  });
  const product = await stripe.products.create({ name: 'Tokens' });
  const metered = await stripe.prices.create({
    product: product.id,
    currency: 'usd',
    unit_amount_decimal: '0.5',
    recurring: { interval: 'month', usage_type: 'metered', meter: meter.id },
  });
  const subscription = await subscribed(metered);
  const send = (value, identifier) => stripe.billing.meterEvents.create({
    event_name,
    identifier,
    payload: { stripe_customer_id: subscription.customer, value },
  });
  await send('101', `${event_name}-1`);
  await assert.rejects(send('101', `${event_name}-1`), Stripe.errors.StripeInvalidRequestError);
  await advance(32 * DAY);
  const [renewal] = (await stripe.invoices.list({ subscription: subscription.id })).data;
  assert.deepEqual(renewal.lines.data.map(({ amount, quantity }) => [amount, quantity]), [[51, 101]]);
});

test('the portal is configured, opened and used', async () => {
  const subscription = await subscribed(await price('Pro', 2900), { billing_mode: { type: 'flexible' } });
  const configuration = await stripe.billingPortal.configurations.create({
    features: { subscription_cancel: { enabled: true }, payment_method_update: { enabled: true }, invoice_history: { enabled: true } },
  });
  const session = await stripe.billingPortal.sessions.create({
    customer: subscription.customer,
    configuration: configuration.id,
    return_url: 'http://127.0.0.1:9/billing',
  });
  const canceled = await submit(session.url, { action: 'cancel', subscription: subscription.id });
  assert.equal(canceled.status, 200);
  const after = await stripe.subscriptions.retrieve(subscription.id);
  assert.ok(!after.cancel_at_period_end && after.cancel_at !== null);
});

test('what a listener gets is verified by the SDK, and events are listed', async () => {
  const hook = await receiver();
  const secrets = ['whsec_old', 'whsec_new'];
  await control('POST', 'switches', { paused: true });
  await control('POST', 'webhook', { url: hook.url, secrets });
  try {
    const customer = await stripe.customers.create({ email: 'hook@example.com' });
    await control('POST', 'deliver');
    const { body, signature } = hook.received.at(-1);
    for (const secret of secrets) {
      const event = stripe.webhooks.constructEvent(body, signature, secret);
      assert.deepEqual([event.type, event.data.object.id], ['customer.created', customer.id]);
    }
    assert.throws(
      () => stripe.webhooks.constructEvent(body, signature, 'whsec_wrong'),
      Stripe.errors.StripeSignatureVerificationError,
    );
    const listed = await stripe.events.list({ types: ['customer.created'], limit: 1 });
    assert.equal(listed.data[0].data.object.id, customer.id);
    assert.equal(listed.data[0].pending_webhooks, 0);
    assert.equal((await stripe.events.retrieve(listed.data[0].id)).type, 'customer.created');
  } finally {
    await control('POST', 'webhook', { url: null });
    await control('POST', 'switches', {});
    hook.close();
  }
});
