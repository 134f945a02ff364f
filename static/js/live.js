// Live: all cameras at once, in the grid that shows the most picture.

import { mayOperate, patch } from "./lib/api.js";
import { esp32Card, simulatedCard } from "./lib/addcamera.js";
import { isPending, watchCameras } from "./lib/cameras.js";
import { announce, h, icon, notice, toast } from "./lib/dom.js";
import { keep } from "./lib/keep.js";
import { Tile, TileWatch } from "./lib/tile.js";

const GAP = 4;
const SMALLEST_TILE = 240;
const PHONE = matchMedia("(max-width: 719px)");

const place = document.getElementById("live");
const grid = h("div", { class: "grid" });
const tiles = new Map(); // camera id -> Tile, in the order of the grid
const watch = new TileWatch();
let isWelcoming = false;
let isOperator = false;
let dragged = null;

/** Columns and width for which `count` tiles of one aspect cover the most of the area. */
function bestFit(count, width, height, aspect) {
  let best = { columns: 1, width: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const byWidth = (width - GAP * (columns + 1)) / columns;
    const byHeight = ((height - GAP * (rows + 1)) / rows) * aspect;
    const fitting = Math.min(byWidth, byHeight);
    if (fitting > best.width) best = { columns, width: fitting };
  }
  if (best.width >= SMALLEST_TILE) return best;
  const columns = Math.max(1, Math.floor((width - GAP) / (SMALLEST_TILE + GAP)));
  return { columns, width: (width - GAP * (columns + 1)) / columns };
}

function layOut() {
  const line = document.getElementById("topline").offsetHeight;
  grid.style.setProperty("--line-height", `${line}px`);
  if (PHONE.matches && innerHeight > innerWidth) { grid.style.removeProperty("--tile-width"); return; }
  const aspects = [...tiles.values()].map((tile) => tile.aspect).sort((a, b) => a - b);
  const aspect = aspects[Math.floor(aspects.length / 2)] ?? 4 / 3;
  const fit = bestFit(tiles.size, grid.clientWidth, innerHeight - line, aspect);
  grid.style.setProperty("--tile-width", `${Math.floor(fit.width)}px`);
}

/** A newcomer that nobody has let in yet waits on the Cameras page; one that is known keeps its place. */
function shown(cameras) {
  return cameras.filter((camera) => !camera.is_inactive && !(isPending(camera) && camera.connection_count === 0));
}

function sync(cameras) {
  const wanted = shown(cameras);
  const ids = new Set(wanted.map((camera) => camera.id));
  for (const [id, tile] of tiles) {
    if (ids.has(id)) continue;
    watch.delete(tile);
    tile.element.remove();
    tiles.delete(id);
  }
  let isChanged = grid.childElementCount !== wanted.length;
  for (const camera of wanted) {
    if (tiles.has(camera.id)) { tiles.get(camera.id).update(camera); continue; }
    const tile = new Tile(camera);
    tile.element.draggable = isOperator;
    tiles.set(camera.id, tile);
    watch.add(tile);
    isChanged = true;
  }
  if (!dragged) order(wanted.map((camera) => camera.id), isChanged);
}

function order(ids, isChanged = true) {
  const current = [...grid.children].map((element) => element.dataset.camera).join();
  if (current !== ids.join() || isChanged) {
    ids.forEach((id, index) => {
      const tile = tiles.get(id);
      tile.setNumber(index + 1);
      if (grid.children[index] !== tile.element) grid.insertBefore(tile.element, grid.children[index] ?? null);
    });
    layOut();
  }
}

const otherCard = () => h("section", { class: "card" }, h("h2", {}, "Add any other camera"),
  h("p", { class: "muted" }, "One on the network is found by itself or by its address; one on USB and a Raspberry Pi's own are listed."),
  h("p", { class: "row" }, h("a", { class: "button", href: "/cameras/add" }, icon("plus"), "Network, USB or Pi camera")));

async function welcome(cameras) {
  if (isWelcoming) return;
  isWelcoming = true;
  if (!cameras.length && !(await mayOperate())) {
    const told = [h("h2", {}, "No camera is shared with you"), h("p", {}, "An administrator can do that.")];
    if (isWelcoming) place.replaceChildren(h("div", { class: "welcome" }, h("header", { class: "welcome-head" }, icon("camera"), told)));
    return;
  }
  const head = h("header", { class: "welcome-head" }, icon("camera"), h("h2", {}, "No camera yet"),
    h("p", {}, cameras.length ? "None of your cameras was seen for long. They keep their keys and come back by themselves." : "Everything is running and ready to record. Add the first camera:"));
  const [esp32, simulated] = await Promise.all([esp32Card(), simulatedCard()]);
  if (isWelcoming) place.replaceChildren(h("div", { class: "welcome" }, head, h("div", { class: "columns" }, esp32, h("div", { class: "fields" }, otherCard(), simulated))));
}

watchCameras((cameras, error) => {
  if (error && !cameras) { place.replaceChildren(h("div", { class: "welcome" }, notice(error.message, { kind: "is-bad" }))); return; }
  if (!cameras) return;
  if (!shown(cameras).length) { sync(cameras); welcome(cameras); return; }
  // The welcome's progress stays until the first camera streams, then its picture takes over.
  if (isWelcoming && place.querySelector(".progress") && !cameras.some((camera) => camera.presence === "streaming")) return;
  if (isWelcoming || !grid.isConnected) place.replaceChildren(grid);
  isWelcoming = false;
  sync(cameras);
});

// --- the keyboard: 1-9 choose, Enter opens (the name is a link), f fills the screen, c keeps, p takes a picture, Alt+arrows move

function chosen() {
  return tiles.get(Number(document.activeElement?.closest?.(".tile")?.dataset.camera));
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea, [popover]") || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey) return;
  const tile = chosen();
  if (/^[1-9]$/.test(event.key)) grid.children[event.key - 1]?.querySelector(".tile-name").focus();
  else if (event.key === "f" && tile) tile.toggleFullScreen();
  else if (event.key === "c") keepChosen(tile);
  else if (event.key === "p") takeOfChosen(tile);
  else if (event.key === "Escape") document.querySelector(".is-maximised")?.classList.remove("is-maximised");
  else if (event.key.startsWith("Arrow") && tile) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
    event.preventDefault();
    if (event.altKey && isOperator) move(tile, step);
    else grid.children[[...grid.children].indexOf(tile.element) + step]?.querySelector(".tile-name").focus();
  }
});

/** The chosen camera, or the one that fills the screen; with one camera there is no question. */
function meant(tile) {
  const found = tile ?? tiles.get(Number(document.fullscreenElement?.dataset.camera)) ?? (tiles.size === 1 ? [...tiles.values()][0] : null);
  if (!found) toast("Choose a camera first, with 1 to 9 or the arrows", "bad");
  return found;
}

function keepChosen(tile) {
  const one = isOperator && meant(tile);
  if (one) keep([one.camera.id]);
}

function takeOfChosen(tile) {
  const one = isOperator && meant(tile);
  if (one?.take.disabled) toast(`${one.camera.name} sends nothing now`, "bad");
  else if (one) one.take.click();
}

function columns() {
  const top = grid.firstElementChild.offsetTop;
  return [...grid.children].filter((element) => element.offsetTop === top).length;
}

function move(tile, step) {
  const ids = [...grid.children].map((element) => Number(element.dataset.camera));
  const from = ids.indexOf(tile.camera.id);
  const to = Math.min(Math.max(from + step, 0), ids.length - 1);
  if (from === to) return;
  ids.splice(to, 0, ...ids.splice(from, 1));
  order(ids);
  tile.name.focus();
  announce(`${tile.camera.name} is now number ${to + 1}`);
  keepOrder(ids);
}

async function keepOrder(ids) {
  const moved = ids.filter((id, index) => tiles.get(id).camera.position !== index + 1);
  try {
    await Promise.all(moved.map((id) => patch(`devices/${id}/`, { position: ids.indexOf(id) + 1 })));
  } catch (error) { toast(`The order was not kept: ${error.message}`, "bad"); }
}

// --- dragging

grid.addEventListener("dragstart", (event) => {
  dragged = event.target.closest(".tile");
  event.dataTransfer.effectAllowed = "move";
  dragged.classList.add("is-dragged");
});
grid.addEventListener("dragover", (event) => {
  const over = event.target.closest(".tile");
  if (!dragged || !over) return;
  event.preventDefault();
  if (over === dragged) return;
  const all = [...grid.children];
  over[all.indexOf(dragged) < all.indexOf(over) ? "after" : "before"](dragged);
});
grid.addEventListener("drop", (event) => event.preventDefault());
grid.addEventListener("dragend", () => {
  dragged.classList.remove("is-dragged");
  dragged = null;
  const ids = [...grid.children].map((element) => Number(element.dataset.camera));
  order(ids);
  keepOrder(ids);
});

grid.addEventListener("aspect", layOut);
new ResizeObserver(layOut).observe(document.getElementById("main"));
new ResizeObserver(layOut).observe(document.getElementById("topline"));

isOperator = await mayOperate();
for (const tile of tiles.values()) tile.element.draggable = isOperator;
