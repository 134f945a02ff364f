// Captures: what they are called, how one is asked for and followed, and the pictures that stand for dark cameras.

import { all, get, post, remove } from "./api.js";
import { announce, iconButton, toast } from "./dom.js";
import { SECOND, duration, isoDate, sinceWhen } from "./time.js";

export const OWN = "own"; // this machine's camera, in addresses and filters
export const SELF_TEST = "/captures?view=camera";
export const OWN_NAME = "This machine's camera";
const KINDS = { jpg: "Picture", mp4: "Video", h264: "Video without a container", dng: "Raw picture" };
const LARGEST = 16_384; // pixels a side: of a stream that is "as it comes", which is never enlarged
const PICTURES_FRESH_MS = 60 * SECOND;
const TAKING_LIMIT_MS = 30 * SECOND; // cameras that encode may need twelve, busy workers longer

// Names that nobody thought of: the recorder's, and those of `streamName`.
const BORN = /(^|_)\d{8}_\d{6}(_\d+x\d+_\d+fps_[\d.]+s)?(-\d+)?\.\w+$/;

export const captureHref = (capture) => `/captures?capture=${capture.id}`;
export const isVideo = (capture) => capture.kind === "mp4" || capture.kind === "h264";
export const isOver = (capture) => !["waiting", "taking"].includes(capture.state);
export const isReady = (capture) => capture.state === "ready";
export const momentOf = (capture) => Date.parse(capture.created_at);
export const kindOf = (capture) => KINDS[capture.kind] ?? capture.kind;
export const cameraOf = (capture) => capture.device_name || OWN_NAME;
export const sizeOf = (capture) => (capture.width && capture.height ? `${capture.width} × ${capture.height}` : "");

/** The name that a person or a program gave it; "" for the one it was born with. */
export function ownName(capture) {
  const name = capture.filename || capture.wanted_name;
  return BORN.test(name) ? "" : name;
}

export const titleOf = (capture) => ownName(capture) || `${cameraOf(capture)}, ${sinceWhen(momentOf(capture))}`;

// --- how far one is: the recorder says so in each answer, this browser's monotonic clock goes on from there

const heard = new WeakMap(); // a capture as it was answered -> when

/** `{word, share}`; `share` from 0 to 1, null where it is not known how long it takes. */
export function progressOf(capture) {
  if (capture.state === "ready") return { word: "Ready", share: 1 };
  if (capture.state === "failed") return { word: "Not taken", share: null };
  if (capture.state === "cancelled") return { word: "Cancelled", share: null };
  if (capture.state === "waiting") return { word: "Waits for the camera", share: null };
  const left = leftMs(capture);
  if (!isVideo(capture)) return { word: "Being taken", share: null };
  if (left <= 0) return { word: "Being finished", share: null };
  return { word: `Recording, ${duration(Math.max(left, SECOND))} to go`, share: 1 - left / capture.duration_ms };
}

function leftMs(capture) {
  if (!heard.has(capture)) heard.set(capture, performance.now());
  return capture.duration_ms * (1 - capture.progress) - (performance.now() - heard.get(capture));
}

/** How long to wait before asking again: of a long video the end is known. */
export function nextLookMs(captures) {
  const left = captures.map((capture) => (capture.state === "taking" && isVideo(capture) ? leftMs(capture) : 0));
  return Math.min(Math.max(Math.min(...left), 600), 5 * SECOND);
}

// --- the calls

/** `camera` null: this machine's. What is left out is as the settings say. */
export const take = (camera, wish) => post("captures/", { device: camera, ...wish });
export const cancel = (capture) => post(`captures/${capture.id}/cancel/`);
export const drop = (capture, options) => remove(`captures/${capture.id}/`, {}, options);
export const analyse = (capture) => post(`captures/${capture.id}/analyses/`);
export const newestAnalysis = async (capture) => (await get(`captures/${capture.id}/analyses/`, { page_size: 1 })).results[0] ?? null;

/** A stream has a size of its own, which the recorder's own names would not say right. */
export function streamName(camera, at = Date.now()) {
  const time = new Date(at).toTimeString().slice(0, 8).replaceAll(":", "");
  return `${camera.name.slice(0, 60)}_${isoDate(at).replaceAll("-", "")}_${time}`;
}

export const asItComes = (camera) => ({ width: LARGEST, height: LARGEST, name: streamName(camera) });

/** Whether the self-test says more about why it failed. */
export const isOfOwn = (capture) => !capture.device && !capture.device_name;
export const hasAdvice = (capture) => isOfOwn(capture) && ["no_camera", "permission", "missing_program", "unplugged"].includes(capture.code);
export const canBeRetaken = (capture) => Boolean(capture.device) || isOfOwn(capture); // a removed camera takes none

/** Another one like it, after it failed; that one goes. */
export async function takeAgain(capture) {
  const name = ownName(capture);
  const wish = { kind: capture.kind, width: capture.width, height: capture.height, fps: capture.fps, duration_seconds: capture.duration_ms / SECOND };
  const again = await take(capture.device, { ...wish, ...(name ? { name } : capture.device && { name: streamName({ name: capture.device_name }) }) });
  await drop(capture).catch(() => {}); // it stays in the gallery, which does no harm
  return again;
}

// --- from a live picture

/** A button that takes a picture of the camera and says what came of it. */
export function takeButton(cameraOfTile) {
  const control = iconButton("Take a picture (p)", "snapshot", { onclick: () => takePicture(cameraOfTile(), control) });
  return control;
}

export async function takePicture(camera, control) {
  if (control.hasAttribute("aria-busy")) return;
  control.setAttribute("aria-busy", "true"); // not disabled, which would take the focus away
  announce(`Taking a picture of ${camera.name}`);
  try {
    const capture = await finished(await take(camera.id, { kind: "jpg", ...asItComes(camera) }));
    const open = { action: ["Open", () => location.assign(captureHref(capture))], forMs: 8 * SECOND };
    if (isReady(capture)) toast(`Picture of ${camera.name} taken`, "good", open);
    else if (isOver(capture)) toast(capture.sentence, "bad");
    else toast(`The picture of ${camera.name} still waits for its turn`, "bad", open);
  } catch (error) { toast(error.message, "bad"); }
  control.removeAttribute("aria-busy");
}

async function finished(capture) {
  let now = capture;
  const until = performance.now() + TAKING_LIMIT_MS;
  while (!isOver(now) && performance.now() < until) {
    await new Promise((resolve) => { setTimeout(resolve, 400); });
    now = await get(`captures/${capture.id}/`);
  }
  return now;
}

// --- pictures of dark cameras

let pictures = { at: -Infinity, byCamera: Promise.resolve(new Map()) };

/** The address of the picture that was chosen for a camera; "" where none was. Asked for all cameras at once. */
export async function darkPictureOf(cameraId) {
  if (performance.now() - pictures.at > PICTURES_FRESH_MS) {
    const asked = all("camera-pictures/").then((rows) => new Map(rows.map((row) => [row.device, row.url])));
    pictures = { at: performance.now(), byCamera: asked.catch(() => new Map()) };
  }
  return (await pictures.byCamera).get(cameraId) ?? "";
}
