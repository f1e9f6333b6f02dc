// Webhooks as they arrive, and the last hour by the minute.

import { failed, get, withQuery } from './api.js';
import { button, cells, element, empty, field, number, svg, table, time } from './dom.js';

const MAX_ROWS = 300;
/** The most webhooks of one response. While more arrive, the others are not listed. */
const PAGE_SIZE = 100;
const GOOD = ['published', 'archived', 'repeated', 'empty', 'handshake', 'spilled'];
const PUBLISHED = ['published', 'repeated', 'spilled'];
const RETRY_PAUSE = 2000;
const FLOOD_PAUSE = 500;
const CHART_INTERVAL = 15000;

const COLUMNS = [
  { title: 'Time', cell: (webhook) => time(webhook.received, { isToday: true }) },
  { title: 'Provider', cell: (webhook) => webhook.provider },
  { title: 'Outcome', cell: outcome, class: 'text' },
  { title: 'Type', cell: (webhook) => webhook.event_type, class: 'text' },
  { title: 'Delivery id', cell: deliveryId, class: 'text code wide' },
  { title: 'ms', cell: (webhook) => webhook.milliseconds?.toFixed(1), class: 'number' },
];

function kind(outcome) {
  if (GOOD.includes(outcome)) return outcome === 'spilled' ? 'warn' : 'good';
  return 'bad';
}

function outcome(webhook) {
  const why = [webhook.reason, webhook.error].filter(Boolean).join(': ');
  const text = `${webhook.outcome} ${webhook.status}${why ? ` (${why})` : ''}`;
  const mistakes = webhook.mistakes.map((mistake) => element('span', { class: 'mistake' }, mistake));
  return element('div', {}, element('span', { class: kind(webhook.outcome) }, text), mistakes);
}

function deliveryId(webhook) {
  if (!webhook.delivery_id) return '';
  const events = webhook.events > 1 ? ` and ${webhook.events - 1} more` : '';
  // The events of an archived batch have ids of their own.
  if (!PUBLISHED.includes(webhook.outcome)) return webhook.delivery_id + events;
  const link = element('a', { href: withQuery('#events', { id: webhook.delivery_id }) }, webhook.delivery_id);
  return element('div', {}, link, events);
}

export async function show(content, { signal }) {
  let isPaused = false;
  let all = [];
  const filter = element('input', { type: 'search', oninput: () => render(), placeholder: 'provider, outcome, type or id' });
  const pause = button('Pause', () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? 'Continue' : 'Pause';
    render();
  });
  const chart = element('div', { class: 'panel' });
  const list = element('div');
  const state = element('p', { role: 'status', class: 'warn' });
  content.replaceChildren(chart, element('div', { class: 'fields' }, field('Filter', filter), pause), state, list);

  const matches = (webhook) => {
    const text = [webhook.provider, webhook.outcome, webhook.reason, webhook.event_type, webhook.delivery_id].join(' ');
    return text.toLowerCase().includes(filter.value.trim().toLowerCase());
  };
  let body = null;
  const render = () => {
    const rows = all.filter(matches).slice(0, MAX_ROWS);
    if (rows.length === 0) {
      body = null;
      list.replaceChildren(all.length
        ? empty('No webhook matches the filter.')
        : empty('No webhook has arrived since the server started. Send one in the section ',
          element('a', { href: '#send' }, 'Send'), ', or with ', element('code', {}, 'hookbridge send github'), '.'));
      return;
    }
    const shown = table('The newest webhooks', COLUMNS, rows);
    list.replaceChildren(shown);
    body = shown.querySelector('tbody');
  };
  const add = (webhooks) => {
    all = [...webhooks.reverse(), ...all].slice(0, 1000);
    if (isPaused) return;
    if (!body) return render();
    const rows = webhooks.filter(matches).map((webhook) => element('tr', {}, cells(COLUMNS, webhook)));
    body.prepend(...rows);
    while (body.rows.length > MAX_ROWS) body.lastElementChild.remove();
  };

  const first = await get('webhooks?limit=200', signal);
  add(first.data);
  render();
  showChart(chart, signal);
  follow(first.cursor, add, state, signal);
}

/** Waits for new webhooks until the section is left. */
async function follow(cursor, add, state, signal) {
  let skipped = 0;
  while (!signal.aborted) {
    try {
      const page = await get(withQuery('webhooks', { after: cursor, limit: PAGE_SIZE, wait: 20 }), signal);
      const missing = page.cursor - cursor - page.data.length;
      skipped += missing;
      cursor = page.cursor;
      state.replaceChildren(skipped ? `Too many arrive to list each: ${number(skipped)} are counted in the chart only.` : '');
      if (page.data.length) add(page.data);
      // In a flood nobody reads each line, so the server is asked less often.
      if (missing) await new Promise((resolve) => setTimeout(resolve, FLOOD_PAUSE));
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) return failed(error, signal);
      state.replaceChildren(`${error.message} The list continues as soon as it does.`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE));
    }
  }
}

async function showChart(panel, signal) {
  while (!signal.aborted) {
    try {
      const { data } = await get('webhooks/minutes', signal);
      panel.replaceChildren(...chart(data));
    } catch (error) {
      if (signal.aborted) return;
    }
    await new Promise((resolve) => setTimeout(resolve, CHART_INTERVAL));
  }
}

/** A bar for each of the last 60 minutes, by outcome, and the numbers as text. */
function chart(minutes) {
  const now = Math.floor(Date.now() / 60000);
  const byMinute = new Map(minutes.map((minute) => [Math.floor(new Date(minute.minute) / 60000), minute]));
  const count = (minute, wanted) => Object.values(minute?.providers ?? {})
    .flatMap((outcomes) => Object.entries(outcomes))
    .reduce((sum, [outcome, count]) => sum + (kind(outcome) === wanted ? count : 0), 0);
  const bars = Array.from({ length: 60 }, (_, index) => byMinute.get(now - 59 + index));
  const kinds = ['good', 'warn', 'bad'];
  const totals = Object.fromEntries(kinds.map((wanted) => [wanted, bars.reduce((sum, bar) => sum + count(bar, wanted), 0)]));
  const highest = Math.max(1, ...bars.map((bar) => kinds.reduce((sum, wanted) => sum + count(bar, wanted), 0)));
  const rectangles = bars.flatMap((bar, index) => {
    let top = 100;
    return kinds.map((wanted) => {
      const height = (98 * count(bar, wanted)) / highest;
      top -= height;
      const title = `${bar?.minute ?? ''}: ${kinds.map((k) => `${count(bar, k)} ${LABELS[k]}`).join(', ')}`;
      return height > 0
        ? svg('rect', { class: wanted, x: index * 10, y: top, width: 8, height }, svg('title', {}, title))
        : null;
    });
  });
  const providers = new Map();
  for (const minute of minutes) {
    for (const [provider, outcomes] of Object.entries(minute.providers)) {
      const sum = Object.values(outcomes).reduce((a, b) => a + b, 0);
      providers.set(provider, (providers.get(provider) ?? 0) + sum);
    }
  }
  const latest = minutes.findLast((minute) => minute.milliseconds.p50 !== null);
  const within = (bound) => (bound === null ? 'more than 10 s' : `${bound} ms`);
  const latency = latest
    ? `Latest minute: half within ${within(latest.milliseconds.p50)}, 95 % within ${within(latest.milliseconds.p95)}.` : '';
  const perProvider = [...providers].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${number(count)}`).join(', ');
  const summary = kinds.map((wanted) => element('span', {},
    element('span', { class: wanted, 'aria-hidden': 'true' }, '\u25a0 '), `${number(totals[wanted])} ${LABELS[wanted]}  `));
  return [
    element('div', {}, 'The last hour: ', summary),
    svg('svg', {
      class: 'chart', viewBox: '0 0 600 101', preserveAspectRatio: 'none', role: 'img',
      'aria-label': `Webhooks in each of the last 60 minutes: ${number(totals.good)} accepted, ${number(totals.bad)} refused or failed.`,
    }, svg('rect', { class: 'axis', x: 0, y: 100, width: 600, height: 1 }), rectangles),
    element('div', { class: 'quiet' }, [latency, perProvider].filter(Boolean).join(' ')),
  ];
}

const LABELS = { good: 'accepted', warn: 'spilled', bad: 'refused or failed' };
