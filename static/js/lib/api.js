// The product's own API. Every failure becomes an ApiError whose message can be shown.

const BASE = "/api/v1/";
const SILENT = "The recorder does not answer. Is it running, and is this device on its network?";

export class ApiError extends Error {
  /** `code` names the reason for programs where the API gives one, such as "refused". */
  constructor(message, status, code = "") {
    super(message);
    Object.assign(this, { status, code });
  }
}

const csrfToken = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";

/** What the framework says of a value, which needs the field's name to be understood; sentences of ours do not. */
const OF_A_VALUE = /^(This (field|value|list) |Ensure th|A valid |Not a valid |Expected |Invalid |"|“)/;

/** DRF answers `{"detail": …}` or `{"field": ["…"]}`, possibly nested; both become one sentence. */
function sentenceOf(body) {
  if (typeof body === "string") return body;
  if (Array.isArray(body)) return body.map(sentenceOf).join(" ");
  if (body?.detail) return sentenceOf(body.detail);
  return Object.entries(body ?? {}).map(([name, value]) => {
    const said = sentenceOf(value);
    return name !== "non_field_errors" && OF_A_VALUE.test(said) ? `${spoken(name)}: ${said}` : said;
  }).join(" ");
}

const spoken = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

async function failure(response) {
  let words = "";
  let code = "";
  try {
    const body = await response.json();
    words = sentenceOf(body);
    code = body.code;
  } catch { /* not JSON: the status has to do */ }
  const isLoggedOut = response.status === 401 || words.startsWith("Authentication credentials");
  if (isLoggedOut) location.assign(`/login/?next=${encodeURIComponent(location.pathname + location.search)}`);
  return new ApiError(words || `The recorder answered ${response.status}.`, response.status, code);
}

async function call(method, path, { params, body, signal, keepalive } = {}) {
  const url = path.startsWith("/") ? new URL(path, location.origin) : new URL(BASE + path, location.origin);
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const one of [value].flat()) if (one !== undefined && one !== "") url.searchParams.append(name, one);
  }
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers, signal, keepalive, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(SILENT, 0);
  }
  if (!response.ok) throw await failure(response);
  return response.status === 204 || response.headers.get("Content-Length") === "0" ? null : response.json();
}

// `keepalive` in the options: it is sent even if the page goes away at once.
export const get = (path, params, options) => call("GET", path, { params, ...options });
export const post = (path, body = {}, options = {}) => call("POST", path, { body, ...options });
export const put = (path, body) => call("PUT", path, { body });
export const patch = (path, body) => call("PATCH", path, { body });
export const remove = (path, params, options) => call("DELETE", path, { params, ...options });

/** Posts a FormData; `onprogress(sent, total)` in bytes, which `fetch` does not tell. */
export function upload(path, form, { signal, onprogress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", BASE + path);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.upload.onprogress = (event) => onprogress(event.loaded, event.total);
    request.onerror = () => reject(new ApiError(SILENT, 0));
    request.onabort = () => reject(new DOMException("Given up", "AbortError"));
    request.onload = async () => {
      const answer = new Response(request.responseText, { status: request.status });
      if (answer.ok) resolve(await answer.json());
      else reject(await failure(answer));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** All rows of a list, page by page. */
export async function all(path, params) {
  let page = await get(path, params);
  const rows = page.results;
  while (page.next) {
    const next = new URL(page.next, location.origin);
    page = await get(next.pathname + next.search);
    rows.push(...page.results);
  }
  return rows;
}

let whoAmI;

/** `{username, role}`, asked once a page. */
export const me = () => (whoAmI ??= get("me/"));

/** True for those who may change things; viewers only watch. */
export const mayOperate = async () => ["operator", "admin"].includes((await me()).role);
export const isAdmin = async () => (await me()).role === "admin";
