// The list of cameras that were let in, asked again every few seconds while the page is seen, and the words for their states.

import { all } from "./api.js";
import { sinceWhen } from "./time.js";

const EVERY_MS = 4000;
const OFFLINE_NEWS_AFTER_MS = 15_000; // a camera that starts again is gone for some seconds
const listeners = new Set();
let last = null;
let timer = 0;

/** Calls back with the cameras now (when known) and on every answer; returns the way to stop. */
export function watchCameras(callback) {
  listeners.add(callback);
  if (last) callback(last);
  else if (listeners.size === 1) refreshCameras();
  return () => listeners.delete(callback);
}

/** Asks at once; the regular question follows from here. */
export async function refreshCameras() {
  clearTimeout(timer);
  try {
    last = await all("devices/", { ordering: "position", is_new: false });
    for (const callback of listeners) callback(last, null);
  } catch (error) {
    for (const callback of listeners) callback(last, error);
  }
  clearTimeout(timer);
  if (!document.hidden && listeners.size) timer = setTimeout(refreshCameras, EVERY_MS);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (listeners.size) refreshCameras();
});

const KINDS = { esp32: "ESP32-CAM", simulated: "Simulated camera", network: "Network camera", usb: "USB camera", pi: "Raspberry Pi camera" };
export const kindOf = (camera) => KINDS[camera.kind] ?? camera.kind;

/** It went to sleep, and that is too long ago to be expected. */
export const isMissing = (camera) => camera.presence === "asleep" && camera.is_inactive;

export const isPending = (camera) => camera.enrolment === "pending";

/** `kind` is one of the four meanings, `word` what it is called on the picture. */
export function stateOf(camera) {
  if (isPending(camera)) return { kind: "attention", word: "Waiting for approval" };
  if (camera.presence === "streaming") {
    return camera.is_recording ? { kind: "live", word: "Recording" } : { kind: "attention", word: "Not recording" };
  }
  if (camera.source) return sourceState(camera);
  if (isMissing(camera)) return { kind: "attention", word: "Missing" };
  if (camera.presence === "asleep") return { kind: "asleep", word: "Asleep" };
  if (camera.presence === "online") return { kind: "good", word: "Connected" };
  if (camera.presence === "registered") return { kind: "attention", word: "Never connected" };
  return { kind: "attention", word: "Offline" };
}

/** Of a camera that the recorder fetches and that sends no picture now. */
function sourceState({ source, presence }) {
  if (source.state === "off") return { kind: "off", word: "Switched off" };
  if (source.state === "retrying") return { kind: "attention", word: "Trying again" };
  if (source.state === "waiting") return { kind: "attention", word: "Waiting" };
  return presence === "online" ? { kind: "good", word: "Connected" } : { kind: "attention", word: "Connecting" };
}

function sourceAdvice({ source }) {
  if (source.state === "off") return "Switch it on again on its page.";
  if (source.state === "waiting") return "The Cameras page says how the machines are that fetch cameras.";
  if (source.code === "refused") return "Enter its log-in again on its page.";
  if (["not_found", "bad_address", "redirected", "no_video"].includes(source.code)) return "Check its address on its page.";
  return source.state === "retrying" ? "It is tried again by itself." : "The picture comes in a moment.";
}

/** What to do about a camera that shows nothing; empty when there is nothing to do. */
export function adviceFor(camera) {
  if (isPending(camera)) return "Approve it to let it in.";
  if (camera.source && camera.presence !== "streaming") return sourceAdvice(camera);
  if (isMissing(camera)) return "Check its battery and its Wi-Fi; it comes back by itself with the next motion.";
  switch (camera.presence) {
    case "asleep": return "The picture comes back with the next motion.";
    case "online": return "It is connected and has not sent a picture yet.";
    case "registered": return "It got its key. Switch it off and on if it does not appear within a minute.";
    case "offline": return camera.kind === "simulated"
      ? "Start simulated cameras again on the Cameras page."
      : "Check its power and its Wi-Fi; it comes back by itself.";
    default: return "";
  }
}

/** One sentence for what is wrong now over all cameras, or null. */
export function worstOf(cameras) {
  const waiting = cameras.filter(isPending);
  const usable = cameras.filter((camera) => !isPending(camera) && !camera.is_inactive);
  const unrecorded = usable.filter((camera) => camera.presence === "streaming" && !camera.is_recording);
  const isMeant = (camera) => camera.source?.state === "off"; // somebody switched it off: no news
  const isGone = (camera) => !isMeant(camera) && (camera.presence === "offline" || camera.source?.state === "retrying") && camera.presence !== "streaming" && Date.now() - Date.parse(camera.presence_since) > OFFLINE_NEWS_AFTER_MS;
  const offline = usable.filter(isGone);
  const named = (list, one, many) => (list.length === 1 ? one(list[0]) : many(list.length));
  const href = (list) => (list.length === 1 ? `/cameras/${list[0].id}` : "/cameras");
  if (unrecorded.length) {
    return { isBad: true, href: href(unrecorded), key: unrecorded.map((c) => c.id).join(),
      text: named(unrecorded, (c) => `${c.name} is seen but not recorded`, (n) => `${n} cameras are seen but not recorded`) };
  }
  if (offline.length) {
    return { isBad: false, href: href(offline), key: "",
      text: named(offline, (c) => (c.source ? `${c.name}: ${c.sentence}` : `${c.name} is offline since ${sinceWhen(Date.parse(c.presence_since))}`), (n) => `${n} cameras are offline`) };
  }
  const missing = cameras.filter((camera) => !isPending(camera) && isMissing(camera));
  if (missing.length) {
    const since = sinceWhen(Math.min(...missing.map((c) => Date.parse(c.presence_since))));
    return { isBad: false, href: href(missing), key: "",
      text: named(missing, (c) => `${c.name} went to sleep and is missing since ${since}`, (n) => `${n} cameras went to sleep and are missing, the first since ${since}`) };
  }
  if (waiting.length) {
    return { isBad: false, href: href(waiting), key: "", text: named(waiting, (c) => `${c.name} waits for approval`, (n) => `${n} cameras wait for approval`) };
  }
  return null;
}
