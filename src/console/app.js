// The frame of the console: the token, the sections and the navigation between them.

import { ApiError, hasPath, loadPaths, setToken, token } from './api.js';
import { button, element, empty, field, say } from './dom.js';
import * as consumers from './consumers.js';
import * as delivery from './delivery.js';
import * as events from './events.js';
import * as health from './health.js';
import * as live from './live.js';
import * as send from './send.js';

// A section is shown if the server has its path.
const SECTIONS = [
  { name: 'live', title: 'Live', path: '/webhooks', show: live.show },
  { name: 'events', title: 'Events', path: '/events', show: events.show },
  { name: 'subscribers', title: 'Subscribers', path: '/subscribers', show: delivery.showSubscribers },
  { name: 'deliveries', title: 'Deliveries', path: '/deliveries', show: delivery.showDeliveries },
  { name: 'consumers', title: 'Consumers', path: '/consumers', show: consumers.show },
  { name: 'health', title: 'Health', path: '/status', show: health.show },
  { name: 'send', title: 'Send', path: '/samples', show: send.show },
];

const main = document.getElementById('main');
let sections = [];
let current = new AbortController();

async function start() {
  current.abort();
  try {
    await loadPaths();
    sections = SECTIONS.filter((section) => hasPath(section.path));
  } catch (error) {
    return fail(error);
  }
  document.getElementById('forget-token').hidden = !token();
  show();
}

/** Shows the section that the address names: #NAME or #NAME/PART or #NAME?QUERY. */
async function show() {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const [path, query] = location.hash.slice(1).split('?');
  const [name, ...rest] = path.split('/').map(decode);
  const section = sections.find((section) => section.name === name) ?? sections[0];
  if (!section) return;
  const links = sections.map(({ name, title }) =>
    element('a', { href: `#${name}`, 'aria-current': name === section.name ? 'page' : null }, title));
  document.getElementById('sections').replaceChildren(...links);
  document.title = `${section.title} - hookbridge`;
  const content = element('div');
  main.replaceChildren(element('h1', {}, section.title), content);
  try {
    await section.show(content, { rest, query: new URLSearchParams(query), signal });
  } catch (error) {
    if (!signal.aborted) fail(error, content);
  }
}

/** Decodes a part of the address; a part that is not encoded stays as it is. */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Shows an error; asks for the token if that is what is missing. */
function fail(error, content = main) {
  if (error.name === 'AbortError') return;
  if (error instanceof ApiError && error.status === 401) return askForToken();
  if (!(error instanceof ApiError)) console.error(error);
  content.replaceChildren(empty(
    element('p', { role: 'alert', class: 'bad' }, error.message),
    button('Try again', () => (sections.length ? show() : start()))));
}

function askForToken() {
  const wasWrong = Boolean(token());
  setToken(null);
  sections = [];
  current.abort();
  document.getElementById('sections').replaceChildren();
  document.getElementById('forget-token').hidden = true;
  const input = element('input', { type: 'password', autocomplete: 'off', required: true, size: 40, id: 'token' });
  const submit = (event) => {
    event.preventDefault();
    setToken(input.value.trim());
    start();
  };
  main.replaceChildren(
    element('h1', {}, 'Token'),
    wasWrong ? element('p', { role: 'alert', class: 'bad' }, 'The server does not accept this token.') : '',
    element('form', { class: 'fields', onsubmit: submit },
      field('Token of the API', input),
      element('button', { class: 'primary' }, 'Continue')),
    element('p', { class: 'quiet' },
      'For hookbridge serve, it is the value of --token. For a stack, hookbridge token creates one. It stays in this tab.'));
  input.focus();
}

document.getElementById('forget-token').addEventListener('click', () => {
  setToken(null);
  say('The token is forgotten.');
  start();
});
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener('hashchange', () => { show(); main.focus(); });
// A section that is left meanwhile cannot fail any more.
addEventListener('hookbridge:failed', ({ detail: { error, signal } }) => { if (!signal.aborted) fail(error); });
addEventListener('hookbridge:reload', show);
start();
