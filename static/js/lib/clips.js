// Clips: what their states are called, how one is asked for, and how it is followed until it is there.

import { get, patch, post, remove } from "./api.js";
import { SECOND, clock, duration, sinceWhen } from "./time.js";

export const clipHref = (clip) => `/clips/${clip.id}`;
export const isOver = (clip) => clip.state === "ready" || clip.state === "failed";

/** The moment that it is about: where it was triggered, or where a marked span begins. */
export const momentOf = (clip) => (clip.trigger_at ? Date.parse(clip.trigger_at) : clip.start_ms);

/** The name that a person gave it; "" for the one it was born with, which is camera and time. */
export const ownName = (clip) => (clip.name.startsWith(`${clip.device_name}, `) ? "" : clip.name);

/** Its own name, else camera and time. */
export const titleOf = (clip) => ownName(clip) || `${clip.device_name}, ${sinceWhen(momentOf(clip))}`;

/** "30 s before, 30 s after" or "14:02:10 – 14:03:00". */
export function windowOf(clip) {
  if (clip.kind === "span") return `${clock(clip.start_ms)} – ${clock(clip.end_ms)}`;
  return windowWords((momentOf(clip) - clip.start_ms) / SECOND, (clip.end_ms - momentOf(clip)) / SECOND);
}

export function windowWords(before, after) {
  const parts = [before > 0 && `${duration(before * SECOND)} before`, after > 0 && `${duration(after * SECOND)} after`];
  return parts.filter(Boolean).join(", ");
}

/** `{word, isBusy, share}`; `share` from 0 to 1 is how much of the wait is over, null where that is not known. */
export function progressOf(clip, now = Date.now()) {
  if (clip.state === "ready") return { word: "Ready", isBusy: false, share: 1 };
  if (clip.state === "failed") return { word: "Not kept", isBusy: false, share: null };
  if (clip.state === "cutting") return { word: "Being cut", isBusy: true, share: null };
  if (now >= clip.end_ms) return { word: "Waiting for the last pictures", isBusy: true, share: null };
  const began = Math.max(Date.parse(clip.created_at), clip.start_ms);
  return { word: `Recording, ${duration(clip.end_ms - now)} to go`, isBusy: true, share: Math.min(Math.max((now - began) / (clip.end_ms - began), 0), 1) };
}

// --- the calls

/** `{group, clips}` of a moment; without `at` now. Of cameras `[id, …]` or of "all". */
export function trigger(cameras, { at, before, after } = {}) {
  const whose = cameras === "all" ? { all: true } : cameras.length === 1 ? { device: cameras[0] } : { devices: cameras };
  return post("clips/", { ...whose, ...(at !== undefined && { at_ms: Math.round(at) }), ...(before !== undefined && { before_seconds: before, after_seconds: after }) }, { keepalive: true });
}

export const saveSpan = (camera, start, end) => post("clips/", { device: camera, start_ms: Math.round(start), end_ms: Math.round(end) });
export const change = (clip, fields) => patch(`clips/${clip.id}/`, fields);
export const retry = (clip) => post(`clips/${clip.id}/retry/`);
export const drop = (clip, options) => remove(`clips/${clip.id}/`, {}, options);
export const ofGroup = async (group) => (await get("clips/", { group, page_size: 100 })).results;

/** How long to wait before asking again: the end of the window is known, cutting takes a moment. */
export function nextLookMs(clips, now = Date.now()) {
  const open = clips.filter((clip) => !isOver(clip));
  const left = Math.min(...open.map((clip) => clip.end_ms - now));
  return Math.min(Math.max(left, 700), 5 * SECOND);
}
