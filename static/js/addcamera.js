// Add a camera: what kind it is, how it is reached, a picture, a name. The step is in the address: ?kind=network,
// then ?added=<camera>. What was typed outlives a reload in the history's own state, a password nowhere.

import { all, get, mayOperate } from "./lib/api.js";
import { refreshCameras, stateOf, watchCameras } from "./lib/cameras.js";
import { h, icon, notice } from "./lib/dom.js";
import { Tile, TileWatch } from "./lib/tile.js";
import { SECOND } from "./lib/time.js";
import { Esp32Step } from "./add/esp32.js";
import { LocalStep } from "./add/local.js";
import { NetworkStep } from "./add/network.js";
import { SimulatedStep } from "./add/simulated.js";

const KINDS = {
  network: ["network", "Network camera", "Any camera with RTSP, ONVIF or MJPEG. It is found by itself or reached by its address."],
  esp32: ["chip", "ESP32-CAM", "Flash it once, set it up with your phone; it registers itself and dials in."],
  usb: ["usb", "USB camera", "A webcam plugged into the recorder or another machine of yours."],
  pi: ["board", "Raspberry Pi camera", "The camera on the Pi's own ribbon cable."],
  simulated: ["demo", "Simulated camera", "No camera at hand? Try everything with one that draws its own pictures."],
};

const place = document.getElementById("add");
const title = document.getElementById("add-title");
const back = document.getElementById("add-back");
const watch = new TileWatch();
let step = null;
let timer = 0;
let stopWatching = () => {};
let cameras = [];

const memory = {
  read: () => history.state ?? {},
  write: (values) => history.replaceState(values, ""),
};

function go(query) {
  history.pushState(null, "", query);
  draw();
}

function draw() {
  const params = new URLSearchParams(location.search);
  const kind = params.get("kind");
  step?.leave?.();
  stopWatching();
  clearInterval(timer);
  step = null;
  back.href = kind || params.has("added") ? "/cameras/add" : "/cameras";
  if (params.has("added")) drawAdded(Number(params.get("added")));
  else if (KINDS[kind]) drawStep(kind);
  else drawCards();
  title.focus({ preventScroll: true });
}

function drawCards() {
  title.textContent = "Add a camera";
  place.replaceChildren(h("ul", { class: "kinds" }, Object.entries(KINDS).map(([kind, [name, text, hint]]) =>
    h("li", {}, h("a", { class: "kind", href: `?kind=${kind}`, onclick: (event) => { if (plain(event)) { event.preventDefault(); go(`?kind=${kind}`); } } },
      icon(name), h("span", { class: "grow" }, h("strong", {}, text), h("span", { class: "muted" }, hint)), icon("open"))))));
}

const plain = (event) => !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.button;

function drawStep(kind) {
  const onSaved = (id) => go(`?added=${id}`);
  title.textContent = KINDS[kind][1];
  step = { network: () => new NetworkStep({ memory, onSaved }), esp32: () => new Esp32Step({ cameras, memory }), simulated: () => new SimulatedStep({ onSaved }) }[kind]?.()
    ?? new LocalStep(kind, { onSaved });
  place.replaceChildren(step.element);
}

/** The new camera with its picture, so that nobody has to go and look whether it works. */
async function drawAdded(id) {
  title.textContent = "Added";
  try {
    const camera = await get(`devices/${id}/`);
    const tile = new Tile(camera);
    const state = h("p", { role: "status" });
    const show = (now) => {
      const said = stateOf(now);
      state.replaceChildren(h("span", { class: `state is-${said.kind}` }, said.word), " ", h("span", { class: "muted" }, now.sentence));
      tile.update(now);
    };
    tile.element.addEventListener("aspect", () => tile.element.style.setProperty("--ratio", tile.aspect));
    stopWatching = watchCameras((list) => { const now = list?.find((one) => one.id === id); if (now) show(now); });
    timer = setInterval(refreshCameras, SECOND);
    show(camera);
    title.textContent = camera.name;
    watch.add(tile);
    place.replaceChildren(h("section", { class: "card added" }, h("div", { class: "added-picture" }, tile.element), state,
      h("div", { class: "row" }, h("a", { class: "button is-primary", href: "/" }, icon("live"), "See it live"),
        h("a", { class: "button", href: `/cameras/${id}` }, icon("camera"), "Its settings"),
        h("a", { class: "button", href: "/cameras/add" }, icon("plus"), "Add another"))));
    step = { leave: () => watch.delete(tile) };
  } catch (error) { place.replaceChildren(notice(error.message, { kind: "is-bad" })); }
}

back.addEventListener("click", (event) => {
  if (!plain(event) || !location.search) return;
  event.preventDefault();
  go("/cameras/add");
});
addEventListener("popstate", draw);

if (await mayOperate()) {
  cameras = await all("devices/", { ordering: "position", is_new: false });
  draw();
} else {
  place.replaceChildren(notice("Your account may watch cameras, not add them. Somebody who manages this recorder can.", { kind: "is-info", icon: "info" }));
}
