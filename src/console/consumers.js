// Named consumers: how far each is behind, and where it reads next.

import { failed, get, hasPath, post } from './api.js';
import { button, confirm, count, element, empty, field, number, say, svg, time } from './dom.js';

const INTERVAL = 5000;
const HOUR = 3600_000;
/** The lags of the last hour, { time, consumers }: from the server if it has them, and since the console was opened. */
let history = [];

export async function show(content, { signal }) {
  const panels = new Map();
  let wasShown = false;
  if (hasPath('/status/consumers')) {
    history = (await get('status/consumers', signal)).data.map((sample) => ({ ...sample, time: Date.parse(sample.time) }));
  }
  while (!signal.aborted) {
    try {
      update(content, panels, (await get('consumers', signal)).data);
      wasShown = true;
    } catch (error) {
      if (signal.aborted) return;
      if (!wasShown || error.status === 401) return failed(error, signal);
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

function update(content, panels, consumers) {
  if (consumers.length === 0) {
    panels.clear();
    content.replaceChildren(empty('There is no named consumer. One is created with ',
      element('code', {}, 'PUT /consumers/NAME'), '; the server then keeps its cursor.'));
    return;
  }
  const names = consumers.map((consumer) => consumer.name);
  if ([...panels.keys()].join('\n') !== names.join('\n')) {
    panels.clear();
    consumers.forEach((consumer) => panels.set(consumer.name, panel(consumer.name)));
    content.replaceChildren(...[...panels.values()].map(({ node }) => node));
  }
  const now = Date.now();
  history.push({ time: now, consumers: Object.fromEntries(consumers.map(({ name, lag }) => [name, lag])) });
  history = history.filter(({ time }) => time > now - HOUR);
  for (const consumer of consumers) {
    const { facts } = panels.get(consumer.name);
    const expiry = consumer.expired
      ? element('p', { class: 'bad' }, 'Retention has deleted events that it had not acknowledged.') : '';
    facts.replaceChildren(
      element('dl', {},
        element('dt', {}, 'lag'), element('dd', {}, `${count(consumer.lag.events, 'event')}, ${number(Math.round(consumer.lag.seconds))} s`),
        element('dt', {}, 'last acknowledged'), element('dd', {}, time(consumer.acknowledged) || 'never'),
        element('dt', {}, 'leased until'), element('dd', {}, time(consumer.leased_until) || '-')),
      expiry, sparkline(consumer.name, 'events'), sparkline(consumer.name, 'seconds'));
  }
}

function panel(name) {
  const facts = element('div');
  const to = element('select', {},
    element('option', { value: 'now' }, 'the end of the log'),
    element('option', { value: 'start' }, 'the start of the log'),
    element('option', { value: 'time' }, 'a time'));
  const at = element('input', { type: 'datetime-local', step: 1, hidden: true, 'aria-label': 'Time' });
  to.addEventListener('change', () => { at.hidden = to.value !== 'time'; });
  const seek = button('Move', async () => {
    if (to.value === 'time' && !at.value) return say('Enter a time.');
    const after = to.value === 'time' ? new Date(at.value).toISOString() : to.value;
    if (!await confirm(`Move ${name} to ${after}? It reads from there next; a lease on its events ends.`, 'Move')) return;
    try {
      await post(`consumers/${encodeURIComponent(name)}/seek`, { after });
      say(`${name} was moved.`);
    } catch (error) {
      say(error.message);
    }
  });
  const node = element('section', { class: 'panel' },
    element('h2', {}, name), facts, element('div', { class: 'fields' }, field('Move to', to), at, seek));
  return { node, facts };
}

/** The lag of the last hour, in events or seconds; nothing for a single sample. */
function sparkline(name, unit) {
  const samples = history.filter(({ consumers }) => name in consumers).map(({ time, consumers }) => [time, consumers[name][unit]]);
  if (samples.length < 2) return '';
  const highest = Math.max(1, ...samples.map(([, lag]) => lag));
  const now = samples.at(-1)[0];
  const points = samples.map(([time, lag]) => `${600 - (600 * (now - time)) / HOUR},${100 - (98 * lag) / highest}`);
  const amount = unit === 'events' ? count(highest, 'event') : `${number(Math.ceil(highest))} s`;
  const text = `At most ${amount} in the last hour`;
  return element('figure', {}, element('figcaption', { class: 'quiet' }, text), svg('svg', {
    class: 'chart', viewBox: '0 0 600 101', preserveAspectRatio: 'none', role: 'img', 'aria-label': `Lag of ${name}: ${text}.`,
  }, svg('polyline', { points: points.join(' '), fill: 'none', stroke: 'currentColor', 'stroke-width': 2 })));
}
