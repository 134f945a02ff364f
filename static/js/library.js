// Recordings: hour files by day and camera. What is shown is in the address: ?date=…&camera=…

import { all, get, mayOperate, patch, remove } from "./lib/api.js";
import { button, confirmed, h, icon, iconButton, iconLink, notice, nothing, select, toast } from "./lib/dom.js";
import { openCalendar } from "./lib/calendar.js";
import { bytes, dayName, dayStart, duration, fromIsoDate, hourMinute, isoDate } from "./lib/time.js";

const place = document.getElementById("library");
const filter = document.getElementById("library-filter");
const isOperator = await mayOperate();
const cameras = await all("devices/", { ordering: "position", is_new: false });
const nameOf = (id) => cameras.find((camera) => camera.id === id)?.name ?? `Camera ${id}`;

function shown() {
  const params = new URLSearchParams(location.search);
  const date = params.get("date");
  const day = date && !Number.isNaN(fromIsoDate(date)) ? fromIsoDate(date) : dayStart(Date.now());
  return { day, camera: params.get("camera") ?? "" };
}

function go({ day = shown().day, camera = shown().camera }) {
  const params = new URLSearchParams({ date: isoDate(day), ...(camera && { camera }) });
  history.pushState(null, "", `?${params}`);
  show();
}

function drawFilter({ day, camera }) {
  const today = dayStart(Date.now());
  const pick = button(dayName(day), { icon: "calendar", onclick: () => openCalendar(pick, { day, deviceIds: camera ? [Number(camera)] : cameras.map((one) => one.id), onPick: (chosen) => go({ day: chosen }) }) });
  filter.replaceChildren(
    select([["", "All cameras"], ...cameras.map((one) => [one.id, one.name])], camera, { "aria-label": "Camera", onchange: (event) => go({ camera: event.target.value }) }),
    h("span", { class: "row" }, iconButton("Day before", "back", { onclick: () => go({ day: dayStart(day, -1) }) }),
      pick, iconButton("Day after", "open", { disabled: day >= today, onclick: () => go({ day: dayStart(day, 1) }) })));
}

function row(recording) {
  const start = Date.parse(recording.started_at);
  const end = Date.parse(recording.ended_at);
  const title = `${hourMinute(start)} – ${recording.is_growing ? "now" : hourMinute(end)}`;
  const line = h("tr", {},
    h("td", { class: "wide" }, h("a", { class: "name", href: `/timeline?camera=${recording.device}&at=${start}` }, title),
      recording.is_growing && [" ", h("span", { class: "state is-live" }, "Recording")]),
    h("td", {}, `${duration(recording.duration_ms)} of video`),
    h("td", { class: "number" }, bytes(recording.size_bytes)),
    h("td", { class: "muted" }, `${recording.width} × ${recording.height}`),
    h("td", { class: "actions" }, h("div", { class: "row" },
      iconLink(`Play ${title}`, "play", `/timeline?camera=${recording.device}&at=${start}`),
      iconLink(`Download ${title}`, "download", `/api/v1/recordings/${recording.id}/file?download=1`, { download: "" }),
      isOperator && lockButton(recording),
      isOperator && iconButton(`Delete ${title}`, "delete", { disabled: recording.is_locked, onclick: () => drop(recording, title) }))));
  return line;
}

function lockButton(recording) {
  const words = () => (recording.is_locked ? "Locked: never deleted by itself. Unlock" : "Lock, so that it is never deleted by itself");
  const control = iconButton(words(), recording.is_locked ? "lock" : "unlock", {
    kind: recording.is_locked ? "is-on" : "is-quiet",
    "aria-pressed": String(recording.is_locked),
    onclick: async () => {
      try {
        const answer = await patch(`recordings/${recording.id}/`, { is_locked: !recording.is_locked });
        toast(answer.is_locked ? "Locked: kept until you unlock it" : "Unlocked");
        const line = control.closest("tr");
        line.replaceWith(row(answer));
      } catch (error) { toast(error.message, "bad"); }
    },
  });
  return control;
}

async function drop(recording, title) {
  const text = `${nameOf(recording.device)}, ${dayName(Date.parse(recording.started_at))} ${title}: ${duration(recording.duration_ms)} of video, ${bytes(recording.size_bytes)}. This cannot be undone.`;
  if (!(await confirmed("Delete this recording?", text, "Delete", { danger: true }))) return;
  try {
    await remove(`recordings/${recording.id}/`);
    toast("Deleted");
  } catch (error) { toast(error.message, "bad"); }
  show();
}

function group(id, recordings) {
  const size = recordings.reduce((sum, one) => sum + one.size_bytes, 0);
  const time = recordings.reduce((sum, one) => sum + one.duration_ms, 0);
  return h("section", { class: "card is-flush" },
    h("div", { class: "card-head spread" }, h("h2", {}, nameOf(id)), h("span", { class: "muted small" }, `${duration(time)} of video, ${bytes(size)}`)),
    h("table", { class: "table is-cards is-files" },
      h("thead", { class: "unseen" }, h("tr", {}, ["Time", "Video", "Size", "Picture", "Actions"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, recordings.map(row))));
}

async function nothingHere({ day, camera }) {
  const { results } = await get("recordings/", { device: camera, ordering: "-started_at", page_size: 1 });
  const last = results[0] && dayStart(Date.parse(results[0].started_at));
  return h("section", { class: "card" }, nothing(
    h("p", {}, `Nothing is kept of ${dayName(day).toLowerCase()}${camera ? ` from ${nameOf(Number(camera))}` : ""}.`),
    last !== undefined && last !== day
      ? h("p", {}, button(`Go to ${dayName(last)}`, { onclick: () => go({ day: last }) }))
      : h("p", {}, h("a", { class: "button", href: "/" }, icon("live"), "See what is live"))));
}

async function show() {
  const now = shown();
  drawFilter(now);
  try {
    const rows = await all("recordings/", { device: now.camera, start_ms: now.day, end_ms: dayStart(now.day, 1), ordering: "-started_at" });
    const byCamera = rows.reduce((map, one) => map.set(one.device, [...(map.get(one.device) ?? []), one]), new Map());
    const groups = cameras.filter((camera) => byCamera.has(camera.id)).map((camera) => group(camera.id, byCamera.get(camera.id)));
    place.replaceChildren(groups.length ? h("div", { class: "fields" }, groups) : await nothingHere(now));
  } catch (error) { place.replaceChildren(notice(error.message, { kind: "is-bad" })); }
}

addEventListener("popstate", show);
show();
