// What the tests share: the SDK of the version that STRIPE_SDK names, pointed at the sandbox of SANDBOX_URL.
import { createServer } from 'node:http';
import { once } from 'node:events';

export const { default: Stripe } = await import(process.env.STRIPE_SDK ?? 'stripe-basil');

const url = new URL(process.env.SANDBOX_URL);
export const KEY = 'sk_test_sandbox';

export function client(more = {}) {
  return new Stripe(KEY, {
    host: url.hostname,
    port: url.port,
    protocol: 'http',
    maxNetworkRetries: 0,
    telemetry: false,
    ...more,
  });
}

export const stripe = client();

/** A request to the sandbox's own interface. */
export async function control(method, path, body) {
  const response = await fetch(new URL(`/_sandbox/${path}`, url), {
    method,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
  return answer;
}

export const DAY = 86_400;
export const advance = (seconds) => control('POST', 'clock/advance', { seconds });

/** Fills in the form of a hosted page, without following where it leads to. */
export function submit(page, fields) {
  const form = { card_expiry: '12 / 34', card_cvc: '123', name: 'A B', ...fields };
  return fetch(page, { method: 'POST', redirect: 'manual', body: new URLSearchParams(form) });
}

export async function price(name, cents, interval = 'month', more = {}) {
  const product = await stripe.products.create({ name });
  return stripe.prices.create({
    product: product.id,
    currency: 'usd',
    unit_amount: cents,
    recurring: { interval },
    ...more,
  });
}

/** A customer with a card that pays, and a running subscription. */
export async function subscribed(toPrice, more = {}) {
  const customer = await stripe.customers.create({ email: 'sdk@example.com' });
  const method = await stripe.paymentMethods.attach('pm_card_visa', { customer: customer.id });
  return stripe.subscriptions.create({
    customer: customer.id,
    items: [{ price: toPrice.id }],
    default_payment_method: method.id,
    ...more,
  });
}

/** An endpoint that keeps what it is sent. */
export async function receiver() {
  const received = [];
  const server = createServer(async (request, response) => {
    const chunks = await collect(request);
    received.push({ body: Buffer.concat(chunks), signature: request.headers['stripe-signature'] });
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { received, url: `http://127.0.0.1:${server.address().port}/hook`, close: () => server.close() };
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
