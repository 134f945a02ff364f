// Timeline: one day of one to four cameras. All of its state is in the address:
// ?camera=1&camera=2&at=<epoch ms | now>&view=<seconds shown>&speed=2

import { all, get } from "./lib/api.js";
import { openCalendar } from "./lib/calendar.js";
import { watchCameras } from "./lib/cameras.js";
import { announce, button, h, icon, iconButton, nothing, select, toast } from "./lib/dom.js";
import { Tile, TileWatch } from "./lib/tile.js";
import { DAY, HOUR, MINUTE, SECOND, clock, dayName, dayStart, isoDate, shortDay } from "./lib/time.js";
import { Conductor } from "./timeline/conductor.js";
import { Gaps } from "./timeline/gaps.js";
import { Keeping } from "./timeline/keeping.js";
import { FILING, Player } from "./timeline/player.js";
import { Scrubber } from "./timeline/scrubber.js";

const MOST_CAMERAS = 4;
const SPEEDS = [0.5, 1, 2, 4, 8, 16];
const COVERAGE_EVERY_MS = 8000;
const ADDRESS_EVERY_MS = 1000;

const place = document.getElementById("timeline");
const cameras = (await all("devices/", { ordering: "position", is_new: false })).filter((camera) => camera.enrolment !== "pending");
const stage = h("div", { class: "stage" });
const chips = h("div", { class: "chips", role: "group", "aria-label": "Cameras, up to four" });
const clockFace = h("time", { class: "clock" });
const dateFace = h("span", { class: "clock-day" });
const tiles = new TileWatch();
const gaps = new Gaps();
const state = { chosen: [], isLive: false, day: 0, shown: new Map() }; // shown: camera id -> Player or Tile
const present = new Map(); // camera id -> what the list of cameras said last
let addressAt = 0;
let addressTimer = 0;

const conductor = new Conductor({ onTime: showTime, onEnd: reachEnd });
const scrubber = new Scrubber({
  onSeek: (ms, isFinal) => { seek(ms, { isHeld: !isFinal }); },
  onView: () => keepAddress(),
});

const keeping = new Keeping({ scrubber, state, at: () => (state.isLive ? undefined : conductor.at), seek: (ms) => seek(ms, { isHeld: true }) });

// --- controls

const playButton = iconButton("Play", "play", { kind: "is-primary is-round", onclick: togglePlay });
const liveButton = button("Live", { kind: "live-button", title: "Join what is happening now (n)", onclick: () => goLive() });
const dayButton = button("", { icon: "calendar", onclick: () => openCalendar(dayButton, { day: state.day, deviceIds: state.chosen, onPick: (day) => goToDay(day) }) });
const dayAfter = iconButton("Day after", "open", { onclick: () => goToDay(dayStart(state.day, 1)) });
const speedSelect = select(SPEEDS.map((speed) => [speed, `${speed} ×`]), 1, { "aria-label": "Speed", onchange: (event) => setSpeed(Number(event.target.value)) });
const filesLink = h("a", { class: "button is-quiet is-icon", "aria-label": "Files of this day", title: "Files of this day: lock, download, delete" }, icon("library"));

const line = document.getElementById("topline"); // taller on touch, with larger text and over two rows
new ResizeObserver(() => place.style.setProperty("--line-height", `${line.offsetHeight}px`)).observe(line);

function drawPage() {
  place.append(chips, stage, h("div", { class: "controls" },
    h("div", { class: "row day-controls" }, iconButton("Day before", "back", { onclick: () => goToDay(dayStart(state.day, -1)) }), dayButton, dayAfter),
    h("div", { class: "row play-controls" },
      iconButton("Back 10 seconds", "back10", { onclick: () => step(-10 * SECOND) }), playButton,
      iconButton("On 10 seconds", "on10", { onclick: () => step(10 * SECOND) }), speedSelect),
    h("div", { class: "clock-box" }, clockFace, dateFace),
    h("div", { class: "row end-controls" },
      iconButton("Show less time", "plus", { onclick: () => scrubber.zoomBy(0.5) }), iconButton("Show more time", "minus", { onclick: () => scrubber.zoomBy(2) }),
      keeping.buttons, filesLink, liveButton)), keeping.bar, scrubber.element);
}

function drawChips() {
  chips.replaceChildren(...cameras.map((camera) => {
    const isOn = state.chosen.includes(camera.id);
    return h("button", { type: "button", class: `chip ${isOn ? "is-on" : ""}`, "aria-pressed": String(isOn), onclick: () => toggleCamera(camera.id) }, isOn && icon("check"), camera.name);
  }));
}

function showControls() {
  const isToday = dayStart(Date.now()) === state.day;
  dayButton.replaceChildren(icon("calendar"), h("span", { class: "day-name" }, dayName(state.day)));
  dayButton.title = "Choose a day";
  dayAfter.disabled = isToday;
  liveButton.classList.toggle("is-on", state.isLive);
  liveButton.setAttribute("aria-pressed", String(state.isLive));
  const isPlaying = state.isLive || conductor.isPlaying;
  playButton.replaceChildren(icon(isPlaying ? "pause" : "play"));
  playButton.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  speedSelect.querySelector("select").value = String(conductor.speed);
  filesLink.href = `/library?${new URLSearchParams({ date: isoDate(state.day), ...(state.chosen.length === 1 && { camera: state.chosen[0] }) })}`;
}

// --- what is shown

function showTime(ms) {
  const text = clock(ms);
  if (clockFace.textContent !== text) {
    clockFace.textContent = text;
    dateFace.textContent = shortDay(ms);
  }
  scrubber.setAt(ms);
  if (dayStart(ms) !== state.day && !scrubber.isDragged) openDay(ms);
  keepAddress();
}

/** Browsers allow few changes of the address a second; the last one always gets there. */
function keepAddress({ isNew = false } = {}) {
  clearTimeout(addressTimer);
  const wait = addressAt + ADDRESS_EVERY_MS - performance.now();
  if (!isNew && wait > 0) { addressTimer = setTimeout(keepAddress, wait); return; }
  addressAt = performance.now();
  const params = new URLSearchParams(state.chosen.map((id) => ["camera", id]));
  params.set("at", state.isLive ? "now" : Math.round(conductor.at));
  if (scrubber.viewLength < DAY - MINUTE) params.set("view", Math.round(scrubber.viewLength / SECOND));
  if (conductor.speed !== 1) params.set("speed", conductor.speed);
  history[isNew ? "pushState" : "replaceState"](null, "", `?${params}`);
}

/** Players for the past or tiles for now; what is already there stays. */
function stageCameras() {
  for (const shown of state.shown.values()) {
    if (shown instanceof Tile) tiles.delete(shown);
    else shown.destroy();
    shown.element.remove();
  }
  state.shown = new Map(state.chosen.map((id) => {
    const camera = cameras.find((one) => one.id === id);
    return [id, state.isLive ? new Tile(camera) : new Player(camera)];
  }));
  stage.dataset.count = state.chosen.length;
  for (const shown of state.shown.values()) {
    stage.append(shown.element);
    if (state.isLive) tiles.add(shown);
  }
  conductor.setPlayers(state.isLive ? [] : [...state.shown.values()]);
}

async function openDay(ms) {
  state.day = dayStart(ms);
  scrubber.setDay(state.day, dayStart(ms, 1), Math.min(scrubber.viewLength, dayStart(ms, 1) - state.day));
  showControls();
  await readCoverage();
}

async function readCoverage() {
  const { day, chosen } = state;
  // Beyond the day, so that playback crosses midnight without asking.
  const [{ devices }] = await Promise.all([get("timeline/", { device: chosen, start_ms: day, end_ms: dayStart(day, 2) }), keeping.read(day, chosen)]);
  if (day !== state.day || chosen !== state.chosen) return;
  scrubber.setRows(chosen.map((id) => {
    const { spans } = devices.find((device) => device.id === id);
    const gapAt = (ms) => gaps.at(id, ms);
    const filing = () => filingOf(id, spans);
    const shown = state.shown.get(id);
    if (shown instanceof Player) Object.assign(shown, { spans, gapAt, filing });
    return { name: cameras.find((camera) => camera.id === id).name, spans, gapAt, filing };
  }));
  lookAgain();
  gaps.read(chosen, day).then(lookAgain, () => {}); // without them a gap is shown all the same
  state.last = Math.max(0, ...devices.map((device) => device.spans.at(-1)?.[1] ?? 0));
  state.first = Math.min(Infinity, ...devices.map((device) => device.spans[0]?.[0] ?? Infinity));
}

/** `[[start, end], …]` of what is recorded and cannot be played yet: it is in its hour file half a minute later. */
function filingOf(id, spans) {
  if (state.day !== dayStart(Date.now())) return [];
  const last = spans.at(-1)?.[1] ?? 0;
  const found = last ? gaps.between(id, last) : [];
  const camera = present.get(id);
  if (camera?.presence === "streaming" && camera.is_recording) found.push([Math.max(last, state.day, Date.parse(camera.presence_since)), Date.now()]);
  return found;
}

/** Where a player says why it has no picture, there may be a picture or a better reason now. */
function lookAgain() {
  for (const shown of state.shown.values()) if (shown instanceof Player) shown.lookAgain();
}

// --- moving in time

async function seek(ms, { isHeld = false } = {}) {
  if (ms >= Date.now()) { if (!isHeld) goLive(); return; }
  if (state.isLive) {
    state.isLive = false;
    stageCameras();
    await readCoverage();
    conductor.play();
  }
  conductor.seek(ms, { isHeld });
  showControls();
  if (!isHeld) keepAddress({ isNew: true });
}

function step(by) {
  seek((state.isLive ? Date.now() : conductor.at) + by);
  announce(clock(conductor.at));
}

async function goToDay(day) {
  const of = (state.isLive ? Date.now() : conductor.at) - state.day;
  const wasPlaying = conductor.isPlaying;
  await openDay(day);
  const inDay = state.first < dayStart(day, 1);
  const wanted = Math.min(day + of, dayStart(day, 1) - 1);
  await seek(Math.min(inDay ? Math.max(wanted, state.first) : wanted, Date.now() - SECOND));
  if (!wasPlaying) conductor.pause();
  showControls();
}

function goLive() {
  if (state.isLive) return;
  conductor.pause();
  state.isLive = true;
  stageCameras();
  openDay(Date.now());
  scrubber.setAt(Date.now());
  keepAddress({ isNew: true });
  announce("Live");
}

function togglePlay() {
  if (state.isLive) { seek(Date.now() - MINUTE).then(() => { conductor.pause(); showControls(); }); return; }
  if (conductor.isPlaying) conductor.pause();
  else conductor.play();
  showControls();
}

function setSpeed(speed) {
  conductor.speed = speed;
  showControls();
  keepAddress();
}

function reachEnd() {
  showControls();
  const isNewest = Date.now() - conductor.at < MINUTE;
  for (const player of state.shown.values()) player.say(isNewest || player.filing().length ? FILING : "Nothing was recorded after this");
  announce("End of what is recorded");
}

function toggleCamera(id) {
  const { chosen } = state;
  if (chosen.includes(id) && chosen.length === 1) return;
  const rest = chosen.filter((one) => one !== id);
  if (rest.length === chosen.length && chosen.length === MOST_CAMERAS) { toast("Four cameras at most; switch one off first", "bad"); return; }
  showCameras(rest.length === chosen.length ? [...chosen, id] : rest);
  keepAddress({ isNew: true });
}

async function showCameras(ids) {
  const wasPlaying = conductor.isPlaying;
  state.chosen = ids;
  drawChips();
  stageCameras();
  await readCoverage();
  if (!state.isLive) {
    conductor.seek(conductor.at);
    if (wasPlaying) conductor.play();
  }
  showControls();
}

// --- keys: space, arrows, shift for a minute, + and - zoom, n for now, c keeps, m [ ] mark a span, page up and down for days

const KEYS = {
  " ": togglePlay,
  ArrowLeft: (event) => step(event.shiftKey ? -MINUTE : -10 * SECOND),
  ArrowRight: (event) => step(event.shiftKey ? MINUTE : 10 * SECOND),
  "+": () => scrubber.zoomBy(0.5),
  "=": () => scrubber.zoomBy(0.5),
  "-": () => scrubber.zoomBy(2),
  n: () => goLive(),
  c: () => keeping.keepMoment(),
  m: () => keeping.toggleSpan(),
  "[": () => keeping.setEdge(0),
  "]": () => keeping.setEdge(1),
  PageUp: () => goToDay(dayStart(state.day, -1)),
  PageDown: () => { if (!dayAfter.disabled) goToDay(dayStart(state.day, 1)); },
  Home: () => { if (Number.isFinite(state.first)) seek(state.first); },
  ">": () => setSpeed(SPEEDS[Math.min(SPEEDS.indexOf(conductor.speed) + 1, SPEEDS.length - 1)]),
  "<": () => setSpeed(SPEEDS[Math.max(SPEEDS.indexOf(conductor.speed) - 1, 0)]),
};

document.addEventListener("keydown", (event) => {
  const isOwn = event.target.closest("select, input, [popover]") || document.querySelector("dialog[open]") || (event.key === " " && event.target.closest("button, a"));
  if (isOwn || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key](event);
});

// --- start

/** A recorder that began an hour ago opens on that hour, not on a sliver of the day. */
function usefulView() {
  const length = dayStart(state.day, 1) - state.day;
  const recorded = state.last - state.first;
  return recorded > 0 && recorded < 2 * HOUR ? Math.max(recorded * 1.25, 10 * MINUTE) : length;
}

function newestMinute() {
  const from = (state.last || Date.now()) - MINUTE;
  const starts = [...state.shown.values()].map((shown) => (shown instanceof Player ? shown.nextAt(from) : null)).filter(Boolean);
  return starts.length ? Math.min(...starts) : from;
}

async function readAddress() {
  const params = new URLSearchParams(location.search);
  const asked = params.getAll("camera").map(Number).filter((id) => cameras.some((camera) => camera.id === id));
  state.chosen = (asked.length ? asked : [cameras[0].id]).slice(0, MOST_CAMERAS);
  const at = params.get("at");
  state.isLive = at === "now";
  if (SPEEDS.includes(Number(params.get("speed")))) conductor.speed = Number(params.get("speed"));
  drawChips();
  stageCameras();
  const when = Number(at) > 0 ? Number(at) : Date.now();
  await openDay(when);
  const isAsked = Number(at) > 0;
  if (!isAsked && !state.last && !state.isLive) { // nothing to play today: live says what the camera does
    state.isLive = true;
    stageCameras();
  }
  // Without a moment asked for: the newest minute there is, so that the page opens with a picture.
  const start = isAsked ? when : newestMinute();
  scrubber.frame(start, Number(params.get("view")) * SECOND || usefulView());
  if (state.isLive) scrubber.setAt(Date.now());
  else conductor.seek(start);
  showControls();
}

if (cameras.length) {
  drawPage();
  addEventListener("popstate", readAddress);
  watchCameras((fresh) => { for (const camera of fresh ?? []) present.set(camera.id, camera); });
  await readAddress();
  setInterval(() => { if (!document.hidden) readCoverage().catch(() => {}); }, COVERAGE_EVERY_MS); // the line on top says when the recorder is gone
  setInterval(() => { if (state.isLive) { showTime(Date.now()); } }, SECOND);
} else {
  place.append(nothing(h("p", {}, "There is no camera yet, so nothing was recorded."), h("p", {}, h("a", { class: "button is-primary", href: "/cameras/add" }, icon("plus"), "Add the first camera"))));
}
