// Clips: the gallery by day, and one clip large. What is shown is in the address:
// /clips?camera=1&day=2026-11-20&search=…&locked=1&group=…, and /clips/<id> over it.

import { all, mayOperate } from "./lib/api.js";
import { openCalendar } from "./lib/calendar.js";
import { change, drop, isOver, momentOf, nextLookMs, retry, titleOf } from "./lib/clips.js";
import { button, h, icon, iconButton, nothing, select, toast } from "./lib/dom.js";
import { Gallery } from "./lib/gallery.js";
import { dayName, dayStart, fromIsoDate, isoDate } from "./lib/time.js";
import { ClipCard } from "./clips/card.js";
import { ClipViewer } from "./clips/viewer.js";

const TYPED_MS = 300;
const KEYS = ["camera", "day", "search", "locked", "group"];
const NO_FILTER = { camera: "", day: null, search: "", locked: false, group: "" };

const isOperator = await mayOperate();
const cameras = await all("devices/", { ordering: "position", is_new: false });

const gallery = new Gallery({
  place: document.getElementById("clips"), page: document.querySelector(".gallery-page"),
  path: "clips/", noun: "clip", keys: KEYS, read, write, question, momentOf, titleOf, isOver, nextLookMs, drop, empty, drawFilter, cardKey,
  pageTitle: () => "Clips – Roost",
  makeCard: (clip) => new ClipCard(clip, { onRetry: isOperator ? tryAgain : null }),
});
const viewer = new ClipViewer({
  isOperator, onClose: () => gallery.close(), onChange: (clip) => gallery.changed(clip),
  onDelete: (clip) => gallery.dropOpen(clip), onStep: (by) => gallery.step(by),
});

// --- the address

function read() {
  const params = new URLSearchParams(location.search);
  const day = fromIsoDate(params.get("day") ?? "");
  return { open: location.pathname.split("/")[2] || null, camera: params.get("camera") ?? "", day: Number.isNaN(day) ? null : day,
    search: params.get("search") ?? "", locked: params.get("locked") === "1", group: params.get("group") ?? "" };
}

const hasFilter = (now) => Boolean(now.camera || now.day !== null || now.search || now.locked || now.group);

function write(now) {
  const values = { ...now, day: now.day === null ? "" : isoDate(now.day), locked: now.locked ? "1" : "" };
  const params = new URLSearchParams(KEYS.filter((key) => values[key]).map((key) => [key, values[key]]));
  return `/clips${now.open ? `/${now.open}` : ""}${params.size ? `?${params}` : ""}`;
}

function question(now) {
  return { device: now.camera, day: now.day === null ? "" : isoDate(now.day), search: now.search, is_locked: now.locked ? "true" : "", group: now.group };
}

// --- what is around the gallery

function empty(now) {
  if (hasFilter(now)) {
    return h("section", { class: "card" }, nothing(h("p", {}, now.search ? `No clip says “${now.search}”.` : "No clip was kept that fits."),
      h("p", {}, button("Show all clips", { onclick: () => gallery.go(NO_FILTER) }))));
  }
  return h("section", { class: "card gallery-empty" }, h("div", {}, icon("keep")), h("h2", {}, "Keep the half minute that matters"),
    h("p", { class: "muted" }, "A clip holds what happened before you pressed the button and what comes after it, as a file of its own that outlives the recording."),
    h("ol", { class: "steps" },
      h("li", {}, h("p", {}, "Press ", icon("keep"), " on a live picture, or ", h("kbd", {}, "c"), " on the timeline.")),
      h("li", {}, h("p", {}, "Half a minute later the clip is here, and on the note that followed you.")),
      h("li", {}, h("p", {}, "Watch it, name it, send a link to it, or lock it."))),
    h("div", { class: "row" }, h("a", { class: "button is-primary", href: "/" }, icon("live"), "Go to live"), h("a", { class: "button", href: "/timeline" }, icon("timeline"), "Go to the timeline")));
}

function drawFilter(now) {
  let typing = 0;
  const search = h("input", { class: "input", type: "search", value: now.search, placeholder: "Search names and notes", "aria-label": "Search names and notes", oninput: () => {
    clearTimeout(typing);
    typing = setTimeout(() => { gallery.go({ search: search.value.trim() }, { isNew: false }); }, TYPED_MS);
  } });
  const box = document.getElementById("clips-filter");
  const kept = box.querySelector("input:focus"); // a person types there
  if (kept) kept.closest(".clips-search").nextSibling.replaceWith(choices(now));
  else box.replaceChildren(h("span", { class: "clips-search" }, search), choices(now));
}

function choices(now) {
  const pick = button(now.day === null ? "All days" : dayName(now.day), { icon: "calendar", onclick: () => openCalendar(pick, { day: now.day ?? dayStart(Date.now()), onPick: (day) => gallery.go({ day }) }) });
  return h("div", { class: "row" },
    select([["", "All cameras"], ...cameras.map((one) => [one.id, one.name])], now.camera, { "aria-label": "Camera", onchange: (event) => gallery.go({ camera: event.target.value }) }),
    pick, now.day !== null && iconButton("All days", "close", { onclick: () => gallery.go({ day: null }) }),
    iconButton(now.locked ? "Locked ones only; show all" : "Show locked ones only", "lock", { kind: now.locked ? "is-on" : "is-quiet", "aria-pressed": String(now.locked), onclick: () => gallery.go({ locked: !now.locked }) }));
}

// --- what is done to one

async function tryAgain(clip) {
  try { gallery.changed((await retry(clip)) ?? { ...clip, state: "pending" }); } catch (error) { toast(error.message, "bad"); }
}

async function cardKey(event, card) {
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector(".clips-search input").focus();
  } else if (card && isOperator && event.key === "l") {
    try { gallery.changed(await change(card.item, { is_locked: !card.item.is_locked })); } catch (error) { toast(error.message, "bad"); }
  } else if (card && isOperator && event.key === "n") {
    event.preventDefault();
    gallery.go({ open: card.item.id });
    viewer.rename();
  } else if (card && isOperator && event.key === "Delete" && !card.item.is_locked) {
    gallery.moveFocus(card, 1);
    gallery.dropSoon(card.item);
  }
}

await gallery.start(viewer);
