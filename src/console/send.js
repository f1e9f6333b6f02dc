// Sends a sample of a provider, signed with the development secret.

import { get, post } from './api.js';
import { element, empty, field, table } from './dom.js';

const COLUMNS = [
  { title: 'Provider', cell: ({ title }) => title },
  { title: 'Path of its webhooks', cell: ({ path }) => `POST ${path}`, class: 'text code' },
  { title: 'Signatures', cell: ({ documentation }) => (documentation
    ? element('a', { href: documentation, rel: 'noopener noreferrer' }, 'documentation') : 'in the configuration file') },
];

export async function show(content, { signal }) {
  const { data } = await get('samples', signal);
  content.replaceChildren(
    form(data.filter((one) => one.can_be_sent)),
    element('h2', {}, 'Providers'),
    table('Each webhook with a valid signature becomes an event', COLUMNS, data));
}

function form(samples) {
  if (samples.length === 0) {
    return empty('Samples are signed with development secrets only, and every provider here has a secret of yours.');
  }
  const provider = element('select', { onchange: () => showEvents() },
    samples.map((one) => element('option', { value: one.provider, selected: one.provider === 'github' }, one.title)));
  const event = element('select');
  const result = element('div', { role: 'status' });
  const showEvents = () => {
    const { events } = samples.find((one) => one.provider === provider.value);
    event.replaceChildren(...events.map((name) => element('option', {}, name)));
  };
  const submit = async (submitted) => {
    submitted.preventDefault();
    try {
      const sent = await post(`samples/${provider.value}`, { event: event.value });
      const isAccepted = sent.status >= 200 && sent.status < 300;
      result.replaceChildren(element('p', { class: isAccepted ? 'good' : 'bad' }, `Answered ${sent.status} ${sent.body}`),
        element('p', {}, 'See it in the sections ', element('a', { href: '#live' }, 'Live'), ' and ', element('a', { href: '#events' }, 'Events'), '.'));
    } catch (error) {
      result.replaceChildren(element('p', { role: 'alert', class: 'bad' }, error.message));
    }
  };
  showEvents();
  return element('div', {},
    element('p', {}, 'Sends a sample webhook to this server as the provider would, signed with its development secret.'),
    element('form', { class: 'fields', onsubmit: submit },
      field('Provider', provider), field('Event type', event), element('button', { class: 'primary' }, 'Send')),
    result);
}
