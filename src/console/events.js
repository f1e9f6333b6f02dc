// The event log: newest first, with filters, and one event in detail.

import { failed, get, goTo, token, url, withQuery } from './api.js';
import { button, copy, element, empty, field, number, table, time } from './dom.js';
import { replayForm } from './replay.js';

const PAGE_SIZE = 100;
const MAX_RESULTS = 1000;

const COLUMNS = [
  { title: 'Time', cell: (event) => time(event.time) },
  { title: 'Type', cell: (event) => event['detail-type'], class: 'text' },
  { title: 'Source', cell: (event) => event.source, class: 'text' },
  { title: 'Id', cell: (event) => link(event.id), class: 'text code' },
];

const RECIPIENT_COLUMNS = [
  { title: 'Time', cell: (event) => time(event.timestamp) },
  { title: 'Type', cell: (event) => event.type },
  { title: 'Recipient', cell: (event) => event.rcpt_to, class: 'text' },
  { title: 'Id', cell: (event) => link(event.event_id), class: 'text code' },
];

function link(id) {
  return id ? element('a', { href: `#events/${encodeURIComponent(id)}` }, id) : '';
}

export async function show(content, { rest: [id], query, signal }) {
  if (id) return showEvent(content, id, signal);
  const inputs = {
    type: element('input', { placeholder: 'push or order.*', value: query.get('type') }),
    source: element('input', { placeholder: 'github.com', value: query.get('source') }),
    from: element('input', { type: 'datetime-local', step: 1, value: query.get('from') }),
    to: element('input', { type: 'datetime-local', step: 1, value: query.get('to') }),
    id: element('input', { placeholder: 'a part is enough', value: query.get('id') }),
    recipient: element('input', { type: 'email', placeholder: 'of an email event', value: query.get('recipient') }),
  };
  const submit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
    goTo(withQuery('#events', values));
  };
  const list = element('div');
  const labels = { type: 'Type', source: 'Source', from: 'From', to: 'To', id: 'Event or delivery id', recipient: 'Recipient' };
  content.replaceChildren(
    element('form', { class: 'fields', onsubmit: submit },
      Object.entries(inputs).map(([name, input]) => field(labels[name], input)),
      element('button', { class: 'primary' }, 'Show')),
    list);
  const utc = (text) => (text ? new Date(text).toISOString() : '');
  const filter = {
    type: query.get('type'), source: query.get('source'), from: utc(query.get('from')), to: utc(query.get('to')), id: query.get('id'),
  };
  if (query.get('recipient')) return showRecipient(list, query.get('recipient'), filter, signal);
  const form = await replayForm({ filter }, signal);
  if (form) content.append(element('h2', {}, 'Send these events again'), form);
  await showPage(list, filter, query.get('before') ?? 'now', signal);
}

async function showPage(list, filter, before, signal) {
  const page = await get(withQuery('events', { ...filter, before, limit: PAGE_SIZE }), signal);
  const events = page.data.reverse();
  const isFirst = before === 'now';
  const older = button('Older events', () => turn(list, filter, page.cursor, signal), { disabled: !page.has_more });
  const newest = button('Newest events', () => turn(list, filter, 'now', signal), { disabled: isFirst });
  if (events.length === 0 && !page.has_more) {
    const isFiltered = Object.values(filter).some(Boolean);
    list.replaceChildren(empty(isFiltered
      ? 'No event matches the filters.'
      : element('span', {}, 'The log has no event yet. A webhook becomes an event as soon as it arrives: send one in the section ',
        element('a', { href: '#send' }, 'Send'), '.')));
    return;
  }
  list.replaceChildren(
    table(isFirst ? 'The newest events' : 'Older events', COLUMNS, events),
    element('div', { class: 'actions' }, newest, older));
}

async function turn(list, filter, before, signal) {
  try {
    await showPage(list, filter, before, signal);
    list.scrollIntoView();
  } catch (error) {
    if (error.name !== 'AbortError') failed(error, signal);
  }
}

/** The email events of a recipient. The search has no sources: all email events are SparkPost's. */
async function showRecipient(list, recipient, { type, from, to }, signal) {
  const path = withQuery('api/v1/events/message', {
    recipients: recipient, events: type, from: from || '2000-01-01T00:00:00Z', to, per_page: MAX_RESULTS,
  });
  const { results, total_count: total } = await get(path, signal);
  const shown = total > results.length ? `, the newest ${number(results.length)} of ${number(total)}` : '';
  list.replaceChildren(results.length
    ? table(`Email events of ${recipient}${shown}`, RECIPIENT_COLUMNS, results)
    : empty(`No email event of ${recipient} matches the filters.`));
}

async function showEvent(content, id, signal) {
  const event = await get(`events/${encodeURIComponent(id)}`, signal);
  const form = await replayForm({ event: id }, signal);
  const text = JSON.stringify(event.detail, null, 2);
  const detail = element('pre', { tabindex: 0, 'aria-label': 'Detail' }, text);
  const search = element('input', { type: 'search', oninput: () => mark(detail, text, search.value) });
  const authorization = token() ? '-H "Authorization: Bearer $TOKEN" ' : '';
  const address = url(`events/${encodeURIComponent(id)}`).replaceAll("'", '%27');
  const curl = `curl ${authorization}'${address}'`;
  const pattern = JSON.stringify({ source: [event.source], 'detail-type': [event['detail-type']] }, null, 2);
  const facts = ['id', 'source', 'account', 'region'].map((name) => [name, event[name] || '-']);
  content.replaceChildren(
    element('p', {}, element('a', { href: '#events' }, 'All events')),
    element('div', { class: 'columns' },
      element('section', { class: 'panel' },
        element('h2', {}, event['detail-type']),
        element('dl', {},
          element('dt', {}, 'time'), element('dd', {}, time(event.time)),
          facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', { class: 'code' }, value)]),
          element('dt', {}, 'resources'), element('dd', { class: 'code' }, event.resources.join(', ') || '-')),
        element('p', {}, element('a', { href: `#deliveries?event=${encodeURIComponent(id)}` }, 'Its deliveries'))),
      element('section', { class: 'panel' },
        element('h2', {}, 'Read it with curl'), element('pre', { tabindex: 0 }, curl),
        element('div', { class: 'actions' }, button('Copy the command', () => copy(curl))),
        element('h2', {}, 'Rule pattern'), element('pre', { tabindex: 0 }, pattern),
        element('div', { class: 'actions' }, button('Copy the pattern', () => copy(pattern))))),
    form ? element('h2', {}, 'Send it again') : '', form ?? '',
    element('h2', {}, 'Detail'),
    element('div', { class: 'fields' }, field('Search', search), button('Copy the detail', () => copy(text))),
    detail);
}

/** Marks the places of `wanted` in a text. */
function mark(node, text, wanted) {
  if (!wanted) return node.replaceChildren(text);
  const parts = [];
  const [haystack, needle] = [text.toLowerCase(), wanted.toLowerCase()];
  let from = 0;
  for (let at = haystack.indexOf(needle); at >= 0 && parts.length < 2000; at = haystack.indexOf(needle, from)) {
    parts.push(text.slice(from, at), element('mark', {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  node.replaceChildren(...parts, text.slice(from));
  node.querySelector('mark')?.scrollIntoView({ block: 'nearest' });
}
