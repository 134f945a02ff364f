// Captures: what is taken on request. The bar that takes, the gallery by day, one capture large, and this machine's camera.
// What is shown is in the address: /captures?camera=own&kind=video&day=2026-11-20&capture=<id>, or ?view=camera.

import { all, get, mayOperate } from "./lib/api.js";
import { openCalendar } from "./lib/calendar.js";
import { watchCameras } from "./lib/cameras.js";
import { OWN, OWN_NAME, SELF_TEST, cancel, drop, isOver, momentOf, nextLookMs, takeAgain, titleOf } from "./lib/captures.js";
import { button, h, icon, iconButton, nothing, select, toast } from "./lib/dom.js";
import { Gallery } from "./lib/gallery.js";
import { SECOND, dayName, dayStart, fromIsoDate, isoDate } from "./lib/time.js";
import { CaptureCard } from "./captures/card.js";
import { SelfTest, foundIn, stateOf } from "./captures/selftest.js";
import { TakingBar } from "./captures/taking.js";
import { CaptureViewer } from "./captures/viewer.js";

const KEYS = ["camera", "kind", "day"];
const NO_FILTER = { camera: "", kind: "", day: null };
const KINDS = { jpg: ["Pictures", ["jpg"]], video: ["Videos", ["mp4", "h264"]], dng: ["Raw pictures", ["dng"]] };
const OWN_EVERY_MS = 5 * SECOND;

const isOperator = await mayOperate();
let [own, cameras] = await Promise.all([get("camera/"), all("devices/", { ordering: "position", is_new: false })]);

const gallery = new Gallery({
  place: document.getElementById("captures"), page: document.querySelector(".gallery-page"),
  path: "captures/", noun: "capture", keys: KEYS, read, write, question, momentOf, titleOf, isOver, nextLookMs, drop, empty, drawFilter, cardKey,
  pageTitle: (now) => `${now.view === "camera" ? OWN_NAME : "Captures"} – Roost`,
  isElsewhere: (now) => now.view === "camera",
  arrived: (now) => { if (now.view === "camera") selfTest.show(); else selfTest.hide(); },
  makeCard: (capture) => new CaptureCard(capture, isOperator ? { onCancel, onRetry, onDelete: (one) => gallery.dropSoon(one) } : null),
});
const viewer = new CaptureViewer({
  isOperator, onCancel, onRetry, onClose: () => gallery.close(), onChange: (capture) => gallery.changed(capture),
  onDelete: (capture) => gallery.dropOpen(capture), onStep: (by) => gallery.step(by),
});
const selfTest = new SelfTest({ own, isOperator, onFound: heardOfOwn, onClose: () => gallery.go({ view: "" }) });
const bar = isOperator ? new TakingBar({ own, cameras, onTaken, onLook: openSelfTest }) : null;

// --- the address

function read() {
  const params = new URLSearchParams(location.search);
  const day = fromIsoDate(params.get("day") ?? "");
  const kind = params.get("kind") ?? "";
  return { open: params.get("capture"), camera: params.get("camera") ?? "", kind: kind in KINDS ? kind : "", day: Number.isNaN(day) ? null : day, view: params.has("capture") ? "" : params.get("view") ?? "" };
}

const hasFilter = (now) => Boolean(now.camera || now.kind || now.day !== null);

function write(now) {
  const values = { ...now, day: now.day === null ? "" : isoDate(now.day), capture: now.open };
  const params = new URLSearchParams([...KEYS, "capture", "view"].filter((key) => values[key]).map((key) => [key, values[key]]));
  return `/captures${params.size ? `?${params}` : ""}`;
}

function question(now) {
  return { device: now.camera, kind: KINDS[now.kind]?.[1], day: now.day === null ? "" : isoDate(now.day) };
}

// --- what is around the gallery

function drawFilter(now) {
  const names = [...(isOperator ? [[OWN, OWN_NAME]] : []), ...cameras.map((one) => [one.id, one.name])];
  const day = now.day === null ? "All days" : dayName(now.day);
  const pick = button("", { icon: "calendar", "aria-label": day, onclick: () => openCalendar(pick, { day: now.day ?? dayStart(Date.now()), onPick: (picked) => gallery.go({ day: picked }) }) });
  pick.append(h("span", { class: now.day === null ? "captures-all-days" : "" }, day));
  document.getElementById("captures-filter").replaceChildren(
    select([["", "All cameras"], ...names], now.camera, { "aria-label": "Show captures of", onchange: (event) => gallery.go({ camera: event.target.value }) }),
    select([["", "Everything"], ...Object.entries(KINDS).map(([key, [text]]) => [key, text])], now.kind, { "aria-label": "Kind", onchange: (event) => gallery.go({ kind: event.target.value }) }),
    h("div", { class: "captures-day" }, pick, now.day !== null && iconButton("All days", "close", { onclick: () => gallery.go({ day: null }) })));
}

function empty(now) {
  if (hasFilter(now)) {
    return h("section", { class: "card" }, nothing(h("p", {}, "No capture fits."), h("p", {}, button("Show all captures", { onclick: () => gallery.go(NO_FILTER) }))));
  }
  if (!isOperator) {
    return h("section", { class: "card gallery-empty" }, h("div", {}, icon("captures")), h("h2", {}, "Nothing was taken yet"),
      h("p", { class: "muted" }, "Pictures and videos that somebody takes of your cameras appear here."));
  }
  return h("section", { class: "card gallery-empty" }, h("div", {}, icon("captures")), h("h2", {}, "Pictures and short videos, when you want one"),
    h("p", { class: "muted" }, "A capture is one file that you asked for, beside what is recorded anyway."),
    h("ol", { class: "steps" },
      h("li", {}, h("p", {}, "Choose a camera above and take a picture, or press ", icon("snapshot"), " on a live picture. Every camera that streams can do it.")),
      h("li", {}, h("p", {}, "It appears here. A video may take up to an hour; you need not wait for it.")),
      h("li", {}, h("p", {}, "Download it, have it analysed, or let it stand for its camera while that is dark."))),
    ...(own.is_there ? [] : [h("p", { class: "muted" }, "A camera at this machine, such as a Raspberry Pi camera, gives raw pictures, too.")]),
    h("div", { class: "row" }, h("a", { class: "button", href: "/" }, icon("live"), "Go to live"),
      own.is_there ? null : h("a", { class: "button", href: SELF_TEST, onclick: openSelfTest }, icon("chip"), "Set up this machine's camera")));
}

const ownLink = h("a", { class: "button is-quiet own-camera", href: SELF_TEST, onclick: openSelfTest });

function drawOwnLink() {
  const state = stateOf({ ...own, is_busy: false }); // that passes while nobody looks
  ownLink.replaceChildren(h("span", { class: `state is-${state.kind}` }, OWN_NAME));
  ownLink.setAttribute("aria-label", `${OWN_NAME}: ${state.word}`);
  ownLink.title = foundIn(own);
}

function openSelfTest(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  gallery.go({ view: "camera", open: null });
}

function heardOfOwn(fresh) {
  const wasThere = own.is_there;
  own = fresh;
  drawOwnLink();
  selfTest.update(own);
  bar?.update({ own });
  if (wasThere !== own.is_there) gallery.draw();
}

async function askForOwn() {
  if (document.hidden || selfTest.isLooking) return;
  try { heardOfOwn(await get("camera/")); } catch { /* the line on top says when the recorder is gone */ }
}

// --- what is done to one

/** What was asked for is seen at once, whatever the gallery was narrowed to. */
function onTaken(capture) {
  if (hasFilter(read())) gallery.go(NO_FILTER);
  else gallery.add(capture);
}

async function onCancel(capture) {
  try { gallery.changed(await cancel(capture)); } catch (error) { toast(error.message, "bad"); }
}

async function onRetry(capture) {
  try { gallery.replace(capture, await takeAgain(capture)); } catch (error) { toast(error.message, "bad"); }
}

function cardKey(event, card) {
  if (!card || !isOperator || event.key !== "Delete") return;
  gallery.moveFocus(card, 1);
  gallery.dropSoon(card.item);
}

document.addEventListener("keydown", (event) => {
  if (!selfTest.element.hidden && !event.target.closest("input, select, dialog, [popover]")) selfTest.key(event);
});

document.querySelector(".gallery-page .page-head").append(ownLink);
document.getElementById("main").append(selfTest.element);
if (bar) document.querySelector(".gallery-page .page-head").after(bar.element);
drawOwnLink();
watchCameras((fresh) => {
  if (!fresh) return;
  const isOther = fresh.map((one) => one.id + one.name).join() !== cameras.map((one) => one.id + one.name).join();
  cameras = fresh;
  bar?.update({ cameras });
  if (isOther && !document.getElementById("captures-filter").matches(":focus-within")) drawFilter(read());
});
setInterval(askForOwn, OWN_EVERY_MS);
await gallery.start(viewer);
if (isOperator && !own.looked_at) selfTest.look(); // nobody has: the first visit does
