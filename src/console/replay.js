// Delivers events of the log to a subscriber again, after it said how many.

import { failed, get, post, withQuery } from './api.js';
import { button, confirm, element, field, number, say } from './dom.js';

/** A form to deliver the events of a selection again; null if the server has no subscribers. */
export async function replayForm(selection, signal) {
  const subscribers = await loadSubscribers(signal);
  if (subscribers === null) return null;
  if (subscribers.length === 0) {
    return element('p', { class: 'quiet' }, 'To deliver events again, ', element('a', { href: '#subscribers' }, 'create a subscriber'), '.');
  }
  const to = element('select', {}, subscribers.map(({ name }) => element('option', {}, name)));
  const progress = element('span', { role: 'status' });
  const start = button('Deliver again', async () => {
    start.disabled = true;
    try {
      await replay(to.value, selection, signal, (text) => progress.replaceChildren(text));
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) failed(error, signal);
      else progress.replaceChildren(error.message);
    } finally {
      start.disabled = false;
    }
  });
  return element('div', { class: 'fields' }, field('To', to), start, progress);
}

/** The subscribers; null if the server has none, as the function feed. */
async function loadSubscribers(signal) {
  try {
    return (await get('subscribers', signal)).data;
  } catch (error) {
    if (error.status === 403 || error.status === 404) return null;
    throw error;
  }
}

async function replay(subscriber, selection, signal, show) {
  const count = await replayPages(subscriber, selection, true, signal, (events) => show(`Counting: ${number(events)}`));
  show('');
  if (count === 0) return say(`${subscriber} receives none of these events: see its types and its filter.`);
  const many = count === 1 ? '1 event' : `${number(count)} events`;
  if (!await confirm(`Deliver ${many} to ${subscriber}, also those that were delivered before?`, 'Deliver again')) return;
  const done = await replayPages(subscriber, selection, false, signal, (events) => show(`${number(events)} of ${number(count)}`));
  show('');
  say(done === 1 ? '1 delivery is due now.' : `${number(done)} deliveries are due now.`);
}

/** Goes through the pages of a selection; returns the sum of their deliveries. */
async function replayPages(subscriber, { event, filter }, isDryRun, signal, show) {
  const path = `subscribers/${encodeURIComponent(subscriber)}/replay`;
  let [sum, after] = [0, 'start'];
  while (!signal.aborted) {
    const query = event ? {} : { ...filter, after, limit: 1000 };
    const body = event ? { event, dry_run: isDryRun } : { dry_run: isDryRun };
    const page = await post(withQuery(path, query), body);
    sum += page.deliveries;
    if (!page.has_more) break;
    after = page.cursor;
    show(sum);
  }
  return sum;
}
