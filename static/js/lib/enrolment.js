// Cameras that ask to join, for those who may let them in: asked again with the list of cameras, and what to answer.

import { get, post } from "./api.js";
import { refreshCameras, watchCameras } from "./cameras.js";
import { confirmed, toast } from "./dom.js";
import { ago, sinceWhen } from "./time.js";

/** More than these at once are hardly cameras of one person: they are one line until somebody looks. */
export const MANY = 8;
const UNDO_MS = 8000;
const listeners = new Set();
let last = null;
let isWatching = false;

/** Whoever else sees this page cannot answer, and is not asked. */
export const mayEnrol = () => "isAdmin" in document.body.dataset;

/** Calls back with `{count, results}`, the newest MANY first, after each look at the cameras; returns the way to stop. */
export function watchRequests(callback) {
  if (!mayEnrol()) return () => {};
  listeners.add(callback);
  if (last) callback(last);
  if (!isWatching) {
    isWatching = true;
    watchCameras((cameras, error) => { if (!error) look(); });
  }
  return () => listeners.delete(callback);
}

async function look() {
  try { last = await get("enrolment/", { page_size: MANY }); } catch { return; } // the line on top says that nobody answers
  for (const callback of listeners) callback(last);
}

export const requestPage = (page) => get("enrolment/", { page, page_size: MANY });
export const refusedPage = () => get("enrolment/refused/", { page_size: MANY });

/** One line for the top of every page, or null. */
export function linesOf({ count, results }) {
  if (!count) return null;
  const [newest] = results;
  if (count > 1) return `${count} cameras ask to join`;
  return newest.is_new ? `${newest.name} asks to join` : `Somebody asks for a new key of ${newest.name}`;
}

/** Who asks, as far as it is known, and what that may mean. */
export function wordsOf(request) {
  const { is_new: isNew, asked_from: from, ask_count: count, address_count: addresses, connected_from: connected } = request;
  const times = count > 1 ? `, ${count} times since ${sinceWhen(Date.parse(request.first_asked_at))}` : "";
  const asks = `${from ? `from ${from}` : "from an unknown address"}${addresses > 1 ? ` and ${addresses - 1} more` : ""}${times}`;
  if (isNew) return `Asks to join ${asks}. Signal not known yet.`;
  const signal = request.rssi_dbm === null ? "" : `, its signal ${request.rssi_dbm} dBm`;
  if (connected === null) return `Asks for a new key ${asks}. The known camera was last seen ${ago(Date.parse(request.last_seen_at))}${signal}: it lost power, or somebody uses its hardware address.`;
  const place = connected ? ` from ${connected}` : "";
  return `Asks for a new key ${asks}. The known camera is connected${place}${signal}: ${connected === from ? "it started twice, or" : ""} somebody else uses its hardware address.`;
}

async function answer(path, document, said, options) {
  try {
    const { count } = await post(`enrolment/${path}/`, document);
    toast(said(count), "good", options);
  } catch (error) { toast(error.message, "bad"); }
  await refreshCameras();
}

/** With the keys that were shown. Asks back where a known camera is connected, as then somebody else may become it, too. */
export async function approve(requests) {
  const rival = requests.find((one) => one.connected_from !== null);
  if (rival && !(await confirmed(`A second key for ${rival.name}?`,
    `The camera that is connected keeps its own. Whoever asked from ${rival.asked_from ?? "an unknown address"} can then send pictures as ${rival.name}, too, whenever the other is gone.`, "Let it in", { danger: true }))) return;
  await answer("approve", { requests: requests.map(({ device, key }) => ({ device, key })) },
    (count) => { if (!count) return "It asked anew meanwhile; look again"; return requests.length === 1 ? `${requests[0].name} is let in` : `${count} cameras are let in`; });
}

export async function refuse(request) {
  const undo = request.is_new ? { action: ["Undo", () => readmit(request)], forMs: UNDO_MS } : {};
  await answer("refuse", { devices: [request.device] },
    () => (request.is_new ? `${request.name} is refused` : `Refused. ${request.name} keeps its key`), undo);
}

export async function refuseAll({ count, results }) {
  const yes = await confirmed(`Refuse all ${count}?`, "Those that are new get no key until you let them ask again. Cameras that were let in before keep their keys.", "Refuse all", { danger: true });
  if (yes) await answer("refuse", { up_to_key: results[0].key }, (done) => `${done} refused`);
}

export const readmit = (one) => answer("readmit", { devices: [one.device] }, () => `${one.name} may ask again`);
