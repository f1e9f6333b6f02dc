// The public HTTP API. The token stays in this tab.

const TOKEN_KEY = 'hookbridge-token';

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let paths = {};

/** Loads which paths the server has. */
export async function loadPaths() {
  ({ paths } = await get('openapi.json'));
}

export function hasPath(path) {
  return path in paths;
}

export function token() {
  return sessionStorage.getItem(TOKEN_KEY);
}

export function setToken(text) {
  if (text) sessionStorage.setItem(TOKEN_KEY, text);
  else sessionStorage.removeItem(TOKEN_KEY);
}

/** The URL of a path of the API, relative to the page, which a front door may serve below a prefix. */
export function url(path) {
  return new URL(path, document.baseURI).href;
}

/** Sends a request and returns the JSON of its response. */
export async function request(method, path, { body, signal } = {}) {
  const headers = { accept: 'application/json' };
  if (token()) headers.authorization = `Bearer ${token()}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(url(path), {
      method, headers, signal, cache: 'no-store', credentials: 'omit', body: body && JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'The server does not answer.');
  }
  const text = await response.text();
  if (response.ok) return text ? JSON.parse(text) : null;
  throw new ApiError(response.status, message(text) ?? `The server answered ${response.status}.`);
}

export const get = (path, signal) => request('GET', path, { signal });
export const post = (path, body) => request('POST', path, { body: body ?? undefined });

function message(text) {
  try {
    return JSON.parse(text).errors[0].message;
  } catch {
    return null;
  }
}

/** Tells the frame that a section failed after it was shown, unless it was left meanwhile. */
export function failed(error, signal) {
  dispatchEvent(new CustomEvent('hookbridge:failed', { detail: { error, signal } }));
}

/** Goes to an address of the console, or shows it anew if it is the present one. */
export function goTo(hash) {
  if (location.hash === hash) dispatchEvent(new CustomEvent('hookbridge:reload'));
  else location.hash = hash;
}

/** A path with a query; parameters without a value are left out. */
export function withQuery(path, parameters) {
  const pairs = Object.entries(parameters).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  const query = new URLSearchParams(pairs).toString();
  return query ? `${path}?${query}` : path;
}
