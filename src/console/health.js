// The parts of the server: whether each works, and what failed last.

import { get } from './api.js';
import { element, table, time } from './dom.js';

const INTERVAL = 5000;

const COLUMNS = [
  { title: 'Part', cell: ({ name }) => name },
  { title: 'State', cell: (part) => element('span', { class: part.ok ? 'good' : 'bad' }, part.ok ? 'ok' : `failing: ${part.error}`), class: 'text' },
  { title: 'Last failure', cell: (part) => failure(part.last_failure), class: 'text' },
  { title: 'Place', cell: ({ place }) => place, class: 'text code wide' },
];

function failure(last) {
  return last ? element('span', {}, time(last.time), ` ${last.error}`) : 'none since the start';
}

export async function show(content, { signal }) {
  let wasShown = false;
  while (!signal.aborted) {
    try {
      const status = await get('status', signal);
      content.replaceChildren(
        table('Parts of the server', COLUMNS, status.parts),
        element('p', { class: 'quiet' }, `hookbridge ${status.version}, running since `, time(status.started),
          '. Metrics for Prometheus are at ', element('code', {}, '/metrics'), '.'));
      wasShown = true;
    } catch (error) {
      if (signal.aborted) return;
      if (!wasShown || error.status === 401) throw error;
      content.replaceChildren(element('p', { role: 'alert', class: 'bad' }, error.message));
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}
