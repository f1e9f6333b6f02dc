// Subscribers, and the deliveries to them.

import { failed, get, goTo, post, request, withQuery } from './api.js';
import { button, confirm, copy, element, empty, field, number, say, table, time } from './dom.js';

const PAGE_SIZE = 100;
const FOLLOW_INTERVAL = 1000;
const FOLLOW_TRIES = 10;
const STATES = ['waiting', 'delivered', 'failed', 'cancelled'];
const STATE_CLASS = { delivered: 'good', failed: 'bad', waiting: 'warn', cancelled: 'quiet' };

/** Runs an action of a button, and shows its error. */
async function attempt(signal, action) {
  try {
    await action();
  } catch (error) {
    if (error.name === 'AbortError') return;
    if (error.status === 401) failed(error, signal);
    else say(error.message);
  }
}

const subscriberLink = (name) => element('a', { href: `#subscribers/${encodeURIComponent(name)}` }, name);

const SUBSCRIBER_COLUMNS = [
  { title: 'Name', cell: ({ name }) => subscriberLink(name) },
  { title: 'State', cell: state },
  { title: 'URL', cell: ({ url }) => url, class: 'text code' },
  { title: 'Types', cell: ({ settings }) => settings.types.join(', ') || 'all', class: 'text wide' },
];

function state(subscriber) {
  if (subscriber.state === 'paused') {
    return element('span', { class: 'bad' }, `paused${subscriber.paused_because ? `: ${subscriber.paused_because}` : ''}`);
  }
  if (subscriber.failing_since) {
    const hours = (Date.now() - new Date(subscriber.failing_since)) / 3600000;
    const budget = subscriber.settings.failure_budget;
    return element('span', { class: 'warn' }, `failing, ${Math.min(100, (100 * hours) / budget).toFixed(0)} % of its budget of ${budget} h`);
  }
  return element('span', { class: 'good' }, 'active');
}

export async function showSubscribers(content, { rest: [name], signal }) {
  if (name) return showSubscriber(content, name, signal);
  const { data } = await get('subscribers', signal);
  const inputs = {
    name: element('input', { required: true, pattern: '[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}', placeholder: 'crm' }),
    url: element('input', { required: true, type: 'url', size: 36, placeholder: 'https://crm.example/hooks' }),
    types: element('input', { placeholder: 'all; or push, order.*' }),
  };
  const created = element('div');
  const submit = (event) => {
    event.preventDefault();
    attempt(signal, async () => {
      const types = inputs.types.value.split(',').map((type) => type.trim()).filter(Boolean);
      const subscriber = await post('subscribers', { name: inputs.name.value, url: inputs.url.value, types });
      history.replaceState(null, '', `#subscribers/${encodeURIComponent(subscriber.name)}`);
      await showSubscriber(content, subscriber.name, signal, subscriber.secret);
    });
  };
  content.replaceChildren(
    data.length
      ? table('Subscribers', SUBSCRIBER_COLUMNS, data)
      : empty('There is no subscriber yet. Every event is delivered, signed and with retries, to the URL of each subscriber.'),
    element('h2', {}, 'Create a subscriber'),
    element('form', { class: 'fields', onsubmit: submit },
      field('Name', inputs.name), field('URL', inputs.url), field('Event types', inputs.types),
      element('button', { class: 'primary' }, 'Create')),
    created);
}

async function showSubscriber(content, name, signal, secret) {
  const path = `subscribers/${encodeURIComponent(name)}`;
  const subscriber = await get(path, signal);
  const waiting = await get(withQuery('deliveries', { subscriber: name, status: 'waiting', limit: 1000 }), signal);
  const again = (newSecret) => attempt(signal, () => showSubscriber(content, name, signal, newSecret));
  const result = element('div', { role: 'status' });
  const isPaused = subscriber.state === 'paused';
  const actions = [
    button('Send a test', () => attempt(signal, async () => {
      const test = await post(`${path}/test`);
      const what = test.delivered ? `The test was answered ${test.status}` : `The test failed: ${test.error ?? test.status}`;
      result.replaceChildren(element('p', { class: test.delivered ? 'good' : 'bad' }, `${what} in ${test.milliseconds.toFixed(1)} ms.`));
    }), { class: 'primary' }),
    button(isPaused ? 'Resume' : 'Pause', () => attempt(signal, async () => {
      await post(`${path}/${isPaused ? 'resume' : 'pause'}`);
      await again();
    })),
    button('Rotate the secret', () => attempt(signal, async () => {
      const question = 'A new secret signs from now on; the present one signs, too, for 24 hours.';
      if (!await confirm(question, 'Rotate the secret')) return;
      const rotated = await post(`${path}/rotate-secret`);
      await again(rotated.secret);
    })),
    button('Delete', () => attempt(signal, async () => {
      if (!await confirm(`Delete ${name}? Its waiting deliveries are cancelled.`, 'Delete')) return;
      await request('DELETE', path);
      location.hash = '#subscribers';
    }), { class: 'danger' }),
  ];
  const { settings } = subscriber;
  const facts = {
    URL: subscriber.url,
    state: state(subscriber),
    'event types': settings.types.join(', ') || 'all',
    filter: settings.filter ? JSON.stringify(settings.filter) : '-',
    waits: `${number(waiting.data.length)}${waiting.has_more ? ' or more' : ''} deliveries`,
    'failures in a row': number(subscriber.failures),
    'concurrent attempts': settings.limit,
    timeout: `${settings.timeout} s`,
    signature: settings.signature,
    created: time(subscriber.created),
  };
  const deliveries = element('div');
  content.replaceChildren(
    element('p', {}, element('a', { href: '#subscribers' }, 'All subscribers')),
    element('section', { class: 'panel' },
      element('h2', {}, name),
      element('dl', {}, Object.entries(facts).flatMap(([title, value]) =>
        [element('dt', {}, title), element('dd', {}, value)])),
      secret ? element('div', { role: 'status' },
        element('p', {}, 'Its signing secret, which is shown only now:'),
        element('pre', { tabindex: 0 }, secret),
        element('div', { class: 'actions' }, button('Copy the secret', () => copy(secret)))) : null,
      element('div', { class: 'actions' }, actions),
      result),
    element('h2', {}, 'Its deliveries'),
    deliveries);
  await showList(deliveries, { subscriber: name }, signal);
}

const DELIVERY_COLUMNS = [
  { title: 'Id', cell: ({ id }) => element('a', { href: `#deliveries/${id}` }, id) },
  { title: 'Status', cell: (delivery) => element('span', { class: STATE_CLASS[delivery.status] }, delivery.status) },
  { title: 'Subscriber', cell: ({ subscriber }) => subscriber, class: 'text' },
  { title: 'Type', cell: ({ type }) => type, class: 'text' },
  { title: 'Event', cell: ({ event }) => element('a', { href: `#events/${encodeURIComponent(event)}` }, event), class: 'text code wide' },
  { title: 'Attempts', cell: ({ attempts }) => attempts, class: 'number' },
  { title: 'Answer', cell: ({ answered, error }) => error ?? answered, class: 'text' },
  { title: 'Next attempt', cell: ({ next_attempt: next }) => time(next), class: 'wide' },
];

export async function showDeliveries(content, { rest: [id], query, signal }) {
  if (id) return showDelivery(content, id, signal);
  const inputs = {
    subscriber: element('input', { value: query.get('subscriber') }),
    event: element('input', { value: query.get('event') }),
    status: element('select', {}, element('option', { value: '' }, 'all'),
      STATES.map((name) => element('option', { selected: name === query.get('status') }, name))),
  };
  const submit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
    goTo(withQuery('#deliveries', values));
  };
  const list = element('div');
  content.replaceChildren(
    element('form', { class: 'fields', onsubmit: submit },
      field('Subscriber', inputs.subscriber), field('Event', inputs.event), field('Status', inputs.status),
      element('button', { class: 'primary' }, 'Show')),
    list);
  const filter = Object.fromEntries(['subscriber', 'event', 'status'].map((name) => [name, query.get(name)]));
  await showList(list, filter, signal);
}

async function showList(list, filter, signal, before) {
  const page = await get(withQuery('deliveries', { ...filter, before, limit: PAGE_SIZE }), signal);
  if (page.data.length === 0) {
    list.replaceChildren(empty('There is no such delivery. An event is delivered to each subscriber that wants its type: ',
      element('a', { href: '#subscribers' }, 'see the subscribers'), '.'));
    return;
  }
  const reload = () => attempt(signal, () => showList(list, filter, signal, before));
  const last = page.data.at(-1).id;
  list.replaceChildren(
    table('Deliveries, newest first', DELIVERY_COLUMNS, page.data),
    element('div', { class: 'actions' },
      button('Newest', () => attempt(signal, () => showList(list, filter, signal)), { disabled: !before }),
      button('Older', () => attempt(signal, () => showList(list, filter, signal, last)), { disabled: !page.has_more }),
      changeAll('retry', filter, signal, reload),
      changeAll('cancel', filter, signal, reload)));
}

/** A button that retries the failed or cancels the waiting deliveries of a filter, after it asked. */
function changeAll(action, filter, signal, reload) {
  const status = action === 'retry' ? 'failed' : 'waiting';
  const title = action === 'retry' ? 'Retry all failed' : 'Cancel all waiting';
  return button(title, () => attempt(signal, async () => {
    const selection = { ...Object.fromEntries(Object.entries(filter).filter(([, value]) => value)), status };
    const found = await get(withQuery('deliveries', { ...selection, limit: 1000 }));
    if (found.data.length === 0) return say(`No delivery is ${status}.`);
    const many = `${number(found.data.length)}${found.has_more ? ' or more' : ''}`;
    const noun = found.data.length === 1 ? 'delivery' : 'deliveries';
    const question = `${action === 'retry' ? 'Retry' : 'Cancel'} ${many} ${status} ${noun}?`;
    if (!await confirm(question, title)) return;
    const changed = await post(`deliveries/${action}`, selection);
    say(changed.deliveries === 1 ? '1 delivery changed.' : `${number(changed.deliveries)} deliveries changed.`);
    await reload();
  }));
}

const ATTEMPT_COLUMNS = [
  { title: 'Attempt', cell: (one) => one.number, class: 'number' },
  { title: 'Started', cell: (one) => time(one.started) },
  { title: 'ms', cell: (one) => one.milliseconds.toFixed(1), class: 'number' },
  { title: 'Status', cell: (one) => one.status ?? '-' },
  { title: 'Error', cell: (one) => one.error, class: 'text' },
  { title: 'Address', cell: (one) => one.address, class: 'code wide' },
  { title: 'Answer', cell: (one) => one.answer, class: 'text code' },
];

let follow = null;

async function showDelivery(content, id, signal, tries = 0) {
  const path = `deliveries/${encodeURIComponent(id)}`;
  const delivery = await get(path, signal);
  const change = (action) => attempt(signal, async () => {
    await post(`${path}/${action}`);
    await showDelivery(content, id, signal, FOLLOW_TRIES);
  });
  // An attempt that is due now usually ends soon.
  clearTimeout(follow);
  if (tries > 0 && delivery.status === 'waiting' && new Date(delivery.next_attempt) <= new Date()) {
    follow = setTimeout(() => {
      if (!signal.aborted) attempt(signal, () => showDelivery(content, id, signal, tries - 1));
    }, FOLLOW_INTERVAL);
  }
  const facts = {
    status: element('span', { class: STATE_CLASS[delivery.status] }, delivery.status),
    subscriber: delivery.subscriber ? subscriberLink(delivery.subscriber) : '-',
    type: delivery.type,
    event: element('a', { href: `#events/${encodeURIComponent(delivery.event)}` }, delivery.event),
    created: time(delivery.created),
    'next attempt': time(delivery.next_attempt) || '-',
  };
  content.replaceChildren(
    element('p', {}, element('a', { href: '#deliveries' }, 'All deliveries')),
    element('section', { class: 'panel' },
      element('h2', {}, `Delivery ${delivery.id}`),
      element('dl', {}, Object.entries(facts).flatMap(([title, value]) => [element('dt', {}, title), element('dd', {}, value)])),
      element('div', { class: 'actions' },
        button('Retry now', () => change('retry'), { class: 'primary' }),
        button('Cancel', () => change('cancel'), { class: 'danger', disabled: delivery.status !== 'waiting' }))),
    element('h2', {}, 'Attempts'),
    delivery.tries.length
      ? table('Attempts', ATTEMPT_COLUMNS, delivery.tries)
      : empty('No attempt has been made yet.'));
}
