// One camera: live, what state it is in, today, what it reported, its settings.

import { get, isAdmin, mayOperate, patch, post, remove } from "./lib/api.js";
import { adviceFor, isPending, kindOf, refreshCameras, stateOf, watchCameras } from "./lib/cameras.js";
import { dayBar } from "./lib/chart.js";
import { clipWindowCard } from "./camera/clipwindow.js";
import { configForm } from "./camera/config.js";
import { keysCard } from "./camera/keys.js";
import { SourceCard } from "./camera/source.js";
import { bootWords, isWake, telemetryCharts } from "./camera/telemetry.js";
import { button, confirmed, h, icon, iconButton, notice, nothing, openDialog, redraw, toast } from "./lib/dom.js";
import { Tile, TileWatch } from "./lib/tile.js";
import { ago, dayStart, exact, sinceWhen } from "./lib/time.js";

const SLOW_MS = 30_000;
const COMMANDS = [
  ["start_streaming", "Start streaming", null],
  ["stop_streaming", "Stop streaming", "The camera stays connected and sends no pictures, so nothing is recorded until streaming is started again."],
  ["reboot", "Restart", "The picture and the recording stop for some seconds while the camera starts again."],
  ["sleep", "Put to sleep", "The camera goes offline until it notices motion. Nothing is recorded until then."],
];

const id = Number(document.body.dataset.device);
const place = document.getElementById("camera");
let camera = await get(`devices/${id}/`);
const isOperator = await mayOperate();
const isOwner = await isAdmin();

const parts = {
  title: h("div", { class: "title-edit" }),
  state: h("div", { class: "card" }),
  today: h("section", { class: "card", "aria-label": "Today" }),
  charts: h("section", { class: "card", "aria-label": "What the camera reports" }),
  events: h("section", { class: "card is-flush" }),
};
let sourceCard = null;
let updateSaid = null; // the newest of the events shown that is about new firmware
const tile = new Tile(camera);
tile.element.addEventListener("aspect", () => tile.element.style.setProperty("--ratio", tile.aspect));
const watch = new TileWatch();

function showTitle() {
  const rename = isOperator && iconButton("Rename", "edit", { onclick: editTitle });
  parts.title.replaceChildren(h("h1", {}, camera.name), ...(rename ? [rename] : []));
  document.title = `${camera.name} – Roost`;
}

function editTitle() {
  const input = h("input", { class: "input", value: camera.name, maxLength: 80, required: true, "aria-label": "Name of the camera" });
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      camera = await patch(`devices/${id}/`, { name: input.value.trim() });
      showTitle();
      tile.update(camera);
      toast(`Renamed to ${camera.name}`);
    } catch (error) { toast(error.message, "bad"); input.setAttribute("aria-invalid", "true"); }
  } }, input, button("Save", { kind: "is-primary", type: "submit" }), button("Cancel", { onclick: showTitle }));
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") showTitle(); });
  parts.title.replaceChildren(form);
  input.select();
}

function showState() {
  const state = stateOf(camera);
  const approve = isOwner && isPending(camera) && button("Approve", { kind: "is-primary", icon: "check", onclick: () => act(() => post(`devices/${id}/approve/`), `${camera.name} is let in`) });
  const advice = sourceCard ? "" : adviceFor(camera); // the card below says what can be done
  redraw(parts.state, ...[
    h("span", { class: `state is-${state.kind}` }, state.word),
    h("p", { class: "state-line" }, camera.sentence),
    advice && h("p", { class: "muted" }, advice),
    approve,
    h("dl", { class: "facts" }, facts().flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    isOperator && !isPending(camera) && !camera.source && commands(),
  ].filter(Boolean));
}

function facts() {
  return [
    ["Since", h("span", { title: exact(Date.parse(camera.presence_since)) }, sinceWhen(Date.parse(camera.presence_since)))],
    !camera.is_connected && ["Last seen", h("span", { title: exact(Date.parse(camera.last_seen_at)) }, ago(Date.parse(camera.last_seen_at)))],
    camera.presence === "streaming" && ["Pictures", `${(camera.received_fps ?? 0).toFixed(1)} a second`],
    !camera.source && camera.address && ["Address", camera.address], // a fetched one comes from its agent's
    !camera.source && ["Hardware", h("span", { class: "mono" }, camera.mac)], // that of a fetched camera is made up
    ["Kind", kindOf(camera)],
    camera.firmware_version && ["Firmware", firmwareLink(`${camera.firmware_version} for ${camera.firmware_board}`)],
    updateSaid && ["Last update", h("span", { title: exact(Date.parse(updateSaid.at)) }, `${updateSaid.detail}, ${sinceWhen(Date.parse(updateSaid.at))}`)],
    camera.last_reset_reason && [isWake(camera.last_reset_reason) ? "Woken by" : "Last start", bootWords(camera.last_reset_reason)],
    !camera.source && ["Connections", String(camera.connection_count)],
  ].filter(Boolean);
}

const firmwareLink = (text) => (isOwner ? h("a", { href: "/firmware" }, text) : text);

function commands() {
  return h("div", { class: "row" }, COMMANDS.map(([action, text, warning]) => button(text, {
    disabled: !camera.is_connected,
    title: camera.is_connected ? "" : "Only while the camera is connected",
    onclick: async () => {
      if (warning && !(await confirmed(`${text}: ${camera.name}?`, warning, text))) return;
      act(() => post(`devices/${id}/command/`, { action }), `Sent to ${camera.name}`);
    },
  })));
}

async function act(request, done) {
  try {
    await request();
    toast(done);
    await refreshCameras();
  } catch (error) { toast(error.message, "bad"); }
}

async function showToday() {
  const now = Date.now();
  const { devices } = await get("timeline/", { device: id, start_ms: dayStart(now), end_ms: dayStart(now, 1) });
  const open = (at) => location.assign(`/timeline?camera=${id}&at=${Math.round(at)}`);
  parts.today.replaceChildren(
    h("div", { class: "spread" }, h("h2", {}, "Today"), h("a", { class: "button", href: `/timeline?camera=${id}` }, icon("timeline"), "Timeline")),
    devices[0].spans.length ? dayBar(devices[0].spans, now, open) : h("p", { class: "muted" }, "Nothing was recorded today so far."));
}

async function showCharts() {
  parts.charts.replaceChildren(...(await telemetryCharts(id)));
}

const EVENT_WORDS = {
  registered: "Registered", connected: "Connected", disconnected: "Connection ended", stalled: "Stopped sending pictures", paused: "Paused",
  asleep: "Went to sleep", config: "Settings changed", command: "Command sent", error: "Reported an error", update: "Firmware", limit: "Went over a limit",
};

/** What an event is called, and what stands behind it. */
function wordsOf({ kind, detail }) {
  if (kind === "booted") return [isWake(detail) ? "Woke up" : "Started anew", bootWords(detail)];
  return [EVENT_WORDS[kind] ?? kind, detail];
}

async function showEvents() {
  const { results } = await get(`devices/${id}/events/`);
  updateSaid = results.find((event) => event.kind === "update") ?? null;
  if (updateSaid) showState();
  const items = results.map((event) => {
    const [what, detail] = wordsOf(event);
    return h("li", {},
      h("time", { dateTime: event.at, title: exact(Date.parse(event.at)) }, sinceWhen(Date.parse(event.at))),
      h("span", {}, what, detail && h("span", { class: "muted" }, ` · ${detail}`)));
  });
  parts.events.replaceChildren(h("div", { class: "card-head" }, h("h2", {}, "What happened")),
    items.length ? h("ul", { class: "events scroll", tabIndex: 0, "aria-label": "Events" }, items) : nothing("Nothing yet."));
}

async function askToDelete() {
  const { count } = await get("recordings/", { device: id, page_size: 1 });
  const what = count ? `its ${count} recorded ${count === 1 ? "hour" : "hours"}, locked ones too, ` : "";
  const yes = button(count ? "Delete camera and recordings" : "Delete camera", { kind: "is-danger is-primary", onclick: async () => {
    try {
      await remove(`devices/${id}/`, count ? { recordings: "delete" } : {});
      location.assign("/cameras");
    } catch (error) { box.close(); toast(error.message, "bad"); }
  } });
  const no = button("Cancel", { onclick: () => box.close() });
  const box = openDialog(`Delete ${camera.name}?`, [
    h("p", {}, camera.source ? `The camera, ${what}and its address are gone for good. Clips that were kept of it stay.`
      : `The camera, ${what}and its key are gone for good. Clips that were kept of it stay. The same camera can register again later as a new one.`),
    h("div", { class: "dialog-foot" }, no, yes)]);
  no.focus();
}

/** A fetched camera has an address; only one that dials in takes settings of its sensor. */
async function settingsCards() {
  const clips = await clipWindowCard(id);
  if (!camera.source) return [configForm(camera), clips];
  sourceCard = new SourceCard(camera, { onChange: refreshCameras });
  parts.state.after(sourceCard.element);
  showState();
  return [clips];
}

const slowly = () => Promise.all([showToday(), showCharts(), showEvents()]).catch((error) => toast(error.message, "bad"));

place.append(
  h("header", { class: "page-head" }, h("a", { class: "button is-quiet is-icon", href: "/cameras", "aria-label": "All cameras", title: "All cameras" }, icon("back")), parts.title,
    isOwner && iconButton("Delete this camera", "delete", { onclick: askToDelete })),
  h("div", { class: "camera-top" }, h("div", { class: "camera-picture" }, tile.element), h("div", { class: "camera-side" }, parts.state)),
  parts.today, parts.charts,
  ...(isOperator ? await settingsCards() : [notice("Your account may watch this camera, not change it.", { kind: "is-info", icon: "info" })]),
  h("div", { class: "columns" }, parts.events, ...(isOwner && !camera.source ? [await keysCard(id)] : [])));
showTitle();
showState();
watch.add(tile);
watchCameras((cameras) => {
  const fresh = cameras?.find((one) => one.id === id);
  if (!fresh) return;
  camera = fresh;
  tile.update(camera);
  sourceCard?.update(camera);
  showState();
});
slowly();
setInterval(() => { if (!document.hidden) slowly(); }, SLOW_MS);
