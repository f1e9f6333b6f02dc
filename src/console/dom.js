// Builds elements. Text is always set as text, never as markup, so that content from a webhook cannot become part of the page.

const SVG_NAMESPACE = 'http://www.w3.org/2000/svg';

/** Creates an element. `properties` that begin with "on" are listeners; the others are attributes. */
export function element(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

export function svg(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG_NAMESPACE, name), properties, children);
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** A table. Each column has a title, a function that returns the content of its cell, and optionally a class. */
export function table(caption, columns, rows) {
  const head = columns.map((column) => element('th', { scope: 'col', class: column.class }, column.title));
  const body = rows.map((row) => element('tr', {}, cells(columns, row)));
  return element('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    element('table', {},
      element('caption', {}, caption),
      element('thead', {}, element('tr', {}, head)),
      element('tbody', {}, body)));
}

export function cells(columns, row) {
  return columns.map((column) => element('td', { class: column.class }, column.cell(row) ?? ''));
}

const SHORT = new Intl.DateTimeFormat(undefined, {
  year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
});
const TIME_OF_DAY = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** A time in the reader's zone; exact in UTC on hover. */
export function time(text, { isToday = false } = {}) {
  if (!text) return '';
  const date = new Date(text);
  const shown = Number.isNaN(date.getTime()) ? text : (isToday ? TIME_OF_DAY : SHORT).format(date);
  return element('time', { datetime: text, title: text }, shown);
}

export function button(text, onclick, properties = {}) {
  return element('button', { type: 'button', onclick, ...properties }, text);
}

export function field(label, input) {
  return element('label', {}, label, input);
}

export function empty(...children) {
  return element('div', { class: 'empty' }, ...children);
}

export function number(value) {
  return new Intl.NumberFormat().format(value);
}

/** A number with its noun: "1 event", "2 events". */
export function count(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** Shows a message for some seconds. */
export function say(text) {
  const message = element('div', {}, text);
  document.getElementById('messages').append(message);
  setTimeout(() => message.remove(), 8000);
}

/** Asks a question in a dialog; the answer is whether it was confirmed. */
export function confirm(question, action) {
  return new Promise((resolve) => {
    const close = (isConfirmed) => { dialog.close(); dialog.remove(); resolve(isConfirmed); };
    const dialog = element('dialog', { 'aria-label': action, oncancel: () => close(false) },
      element('p', {}, question),
      element('div', { class: 'actions' },
        button(action, () => close(true), { class: 'danger' }),
        button('Cancel', () => close(false), { autofocus: true })));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Copies text, and says so. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
  } catch {
    say('The browser does not allow copying.');
  }
}
