import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stripe, client, control, price, stripe } from './world.mjs';

test('customers, products and prices are made, changed, found and deleted', async () => {
  const customer = await stripe.customers.create({
    email: 'a@example.com',
    address: { country: 'DE', city: 'Ulm' },
    metadata: { tenant_id: 't1' },
    tax_id_data: [{ type: 'eu_vat', value: 'DE123456789' }],
  });
  assert.equal(customer.object, 'customer');
  assert.ok(customer.lastResponse.requestId.startsWith('req_'));
  const changed = await stripe.customers.update(customer.id, { metadata: { plan_id: 'pro' }, name: 'N' });
  assert.deepEqual(changed.metadata, { tenant_id: 't1', plan_id: 'pro' });
  const found = await stripe.customers.retrieve(customer.id, { expand: ['tax_ids'] });
  assert.equal(found.tax_ids.data[0].value, 'DE123456789');
  const listed = await stripe.customers.list({ email: 'a@example.com', limit: 3 });
  assert.ok(listed.data.some(({ id }) => id === customer.id));
  const key = `pro_${customer.id}`;
  const pro = await price('Pro', 2900, 'month', { lookup_key: key });
  const byKey = await stripe.prices.list({ lookup_keys: [key], expand: ['data.product'] });
  assert.equal(byKey.data[0].product.name, 'Pro');
  assert.equal(byKey.data[0].recurring.interval, 'month');
  await stripe.prices.update(pro.id, { active: false });
  assert.equal((await stripe.prices.retrieve(pro.id)).active, false);
  await stripe.products.update(pro.product, { description: 'For teams' });
  assert.equal((await stripe.customers.del(customer.id)).deleted, true);
  assert.equal((await stripe.customers.retrieve(customer.id)).deleted, true);
});

test('lists page by themselves', async () => {
  const product = await stripe.products.create({ name: 'Many' });
  const made = [];
  for (let cents = 1; cents <= 7; cents += 1) {
    const one = await stripe.prices.create({ product: product.id, currency: 'usd', unit_amount: cents });
    made.unshift(one.id);
  }
  const seen = [];
  for await (const one of stripe.prices.list({ product: product.id, limit: 2 })) seen.push(one.id);
  assert.deepEqual(seen, made);
});

test('errors become the classes of the SDK', async () => {
  await assert.rejects(stripe.customers.create({ emial: 'x' }), (error) => {
    assert.ok(error instanceof Stripe.errors.StripeInvalidRequestError);
    assert.deepEqual([error.statusCode, error.code, error.param], [400, 'parameter_unknown', 'emial']);
    return true;
  });
  await assert.rejects(stripe.customers.retrieve('cus_none'), { statusCode: 404, code: 'resource_missing' });
  const wrong = new Stripe('sk_test_wrong', {
    host: stripe.getApiField('host'),
    port: stripe.getApiField('port'),
    protocol: 'http',
  });
  await assert.rejects(wrong.customers.list(), Stripe.errors.StripeAuthenticationError);
  const customer = await stripe.customers.create({});
  await assert.rejects(
    stripe.paymentMethods.attach('pm_card_chargeDeclined', { customer: customer.id }),
    (error) => error instanceof Stripe.errors.StripeCardError && error.decline_code === 'generic_decline',
  );
  await control('POST', 'faults', { action: { status: 429 } });
  await assert.rejects(stripe.customers.list(), Stripe.errors.StripeRateLimitError);
  await control('POST', 'faults', { action: { status: 500 } });
  await assert.rejects(stripe.customers.list(), Stripe.errors.StripeAPIError);
  // The SDK repeats a request whose connection was closed, once, whatever it is told.
  await control('POST', 'faults', { action: 'drop', times: 2 });
  await assert.rejects(stripe.customers.list(), Stripe.errors.StripeConnectionError);
});

test('a lost answer is found again under its key, also by the retries of the SDK', async () => {
  const email = `lost-${process.hrtime.bigint()}@example.com`;
  await control('POST', 'faults', { action: 'drop', executed: true });
  const retrying = client({ maxNetworkRetries: 2 });
  const customer = await retrying.customers.create({ email }, { idempotencyKey: `key-${email}` });
  const found = await stripe.customers.list({ email });
  assert.deepEqual(found.data.map(({ id }) => id), [customer.id]);
  await assert.rejects(
    stripe.customers.create({ email: 'other@example.com' }, { idempotencyKey: `key-${email}` }),
    Stripe.errors.StripeIdempotencyError,
  );
});
