// Sends events of the log again, to a subscriber, the bus or a URL, after it said how many.

import { failed, get, hasPath, post, withQuery } from './api.js';
import { button, confirm, count, element, field, number, say } from './dom.js';

/** A form to send the events of a selection again; null if the server can send them nowhere. */
export async function replayForm(selection, signal) {
  const targets = await loadTargets(signal);
  if (targets.length === 0) {
    if (!hasPath('/subscribers')) return null;
    return element('p', { class: 'quiet' }, 'To deliver events again, ', element('a', { href: '#subscribers' }, 'create a subscriber'), '.');
  }
  const to = element('select', {}, targets.map(({ title }, index) => element('option', { value: index }, title)));
  const url = element('input', { type: 'url', placeholder: 'https://example.com/hooks', size: 32 });
  const urlField = field('URL', url);
  const change = () => { urlField.hidden = !targets[to.value].needsUrl; };
  to.addEventListener('change', change);
  change();
  const progress = element('span', { role: 'status' });
  const start = button('Send again', async () => {
    const target = targets[to.value];
    if (target.needsUrl && !url.reportValidity()) return;
    if (target.needsUrl && !url.value) return say('Enter a URL.');
    start.disabled = true;
    try {
      await replay(target, url.value, selection, signal, (text) => progress.replaceChildren(text));
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) failed(error, signal);
      else progress.replaceChildren(error.message);
    } finally {
      start.disabled = false;
    }
  });
  return element('div', { class: 'fields' }, field('Send to', to), urlField, start, progress);
}

/** Where events can be sent. A target has a path of the API, and the name of the number of events in its responses. */
async function loadTargets(signal) {
  const subscribers = hasPath('/subscribers') ? (await get('subscribers', signal)).data : [];
  const targets = subscribers.map(({ name }) => ({
    title: name, path: `subscribers/${encodeURIComponent(name)}/replay`, counted: 'deliveries',
    none: `${name} receives none of these events: see its types and its filter.`,
    sent: (events) => `${count(events, 'event')} will be delivered to ${name} now.`,
  }));
  if (!hasPath('/replays')) return targets;
  const replays = { path: 'replays', counted: 'events', none: 'There is no such event.', sent: (events) => `${count(events, 'event')} sent.` };
  return [...targets, { ...replays, title: 'the bus' }, { ...replays, title: 'a URL', needsUrl: true }];
}

async function replay(target, url, selection, signal, show) {
  const options = target.needsUrl ? { url } : {};
  const total = await replayPages(target, selection, { ...options, dry_run: true }, signal, (events) => show(`Counting: ${number(events)}`));
  show('');
  if (total === 0) return say(target.none);
  const name = target.needsUrl ? url : target.title;
  if (!await confirm(`Send ${count(total, 'event')} to ${name}, also those that were sent before?`, 'Send again')) return;
  const done = await replayPages(target, selection, options, signal, (events) => show(`${number(events)} of ${number(total)}`));
  show('');
  say(target.sent(done));
}

/** Goes through the pages of a selection; returns the number of its events. */
async function replayPages({ path, counted }, { event, filter }, options, signal, show) {
  let [sum, after, started] = [0, 'start', undefined];
  while (!signal.aborted) {
    const query = event ? {} : { ...filter, after, limit: 1000 };
    const page = await post(withQuery(path, query), { ...options, started, ...(event ? { event } : {}) });
    sum += page[counted];
    if (page.error) throw new Error(`${count(sum, 'event')} sent. ${page.error}`);
    if (!page.has_more) break;
    ({ cursor: after, started } = page);
    show(sum);
  }
  return sum;
}
