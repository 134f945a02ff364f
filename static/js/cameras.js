// All cameras with their state; new ones wait here for approval.

import { get, isAdmin, mayOperate, put } from "./lib/api.js";
import { kindOf, stateOf, watchCameras } from "./lib/cameras.js";
import { button, confirmed, h, icon, isSelectedIn, notice, nothing, redraw, toast } from "./lib/dom.js";
import { nodesCard } from "./cameras/nodes.js";
import { RequestsCard } from "./cameras/requests.js";
import { ago, exact } from "./lib/time.js";

const place = document.getElementById("cameras");
const tools = document.getElementById("cameras-tools");
let known = [];
let lastDrawn = "";
const isOperator = await mayOperate();
const isOwner = await isAdmin();
const requests = new RequestsCard();
const nodes = isOwner ? await nodesCard().catch(() => null) : null; // without it the cameras still show

const addLink = () => h("a", { class: "button is-primary", href: "/cameras/add" }, icon("plus"), "Add a camera");

function row(camera) {
  const state = stateOf(camera);
  const seen = Date.parse(camera.last_seen_at);
  return h("tr", {},
    h("td", { class: "wide" }, h("a", { class: "name", href: `/cameras/${camera.id}` }, camera.name),
      h("p", { class: "muted" }, isTroubled(camera) ? camera.sentence : kindOf(camera))),
    h("td", {}, h("span", { class: `state is-${state.kind}` }, state.word)),
    h("td", { class: "number" }, camera.presence === "streaming" ? `${(camera.received_fps ?? 0).toFixed(1)} fps` : ""),
    h("td", { class: "muted" }, camera.is_connected ? "" : h("span", { title: exact(seen) }, `seen ${ago(seen)}`)),
    h("td", { class: "muted" }, camera.source ? "" : camera.address ?? ""),
    h("td", { class: "actions" }, h("a", { class: "button is-quiet", href: `/timeline?camera=${camera.id}` }, icon("timeline"), h("span", { class: "unseen" }, `${camera.name}: `), "Timeline")));
}

const isTroubled = (camera) => Boolean(camera.source) && camera.presence !== "streaming" && camera.source.state !== "connecting";

function table(title, cameras) {
  const names = ["Name", "State", "Pictures", "", "Address", ""];
  return h("section", { class: "card is-flush" },
    h("div", { class: "card-head" }, h("h2", {}, title)),
    h("table", { class: "table is-cards" },
      h("thead", {}, h("tr", {}, names.map((text, index) => h("th", { scope: "col", class: index === 2 ? "number" : "" }, text)))),
      h("tbody", {}, cameras.map(row))));
}

function draw(cameras) {
  const active = cameras.filter((camera) => !camera.is_inactive);
  const inactive = cameras.filter((camera) => camera.is_inactive);
  const sections = [
    active.length && table(active.length === 1 ? "1 camera" : `${active.length} cameras`, active),
    inactive.length && table("Not seen for long", inactive),
    !cameras.length && h("section", { class: "card" }, isOperator ? nothing("No camera yet. ", addLink()) : nothing("No camera is shared with you. An administrator can do that.")),
  ].filter(Boolean);
  redraw(place, h("div", { class: "fields" }, requests.element, sections, nodes));
}

watchCameras((cameras, error) => {
  if (!cameras) { place.replaceChildren(notice(error.message, { kind: "is-bad" })); return; }
  known = cameras;
  const now = JSON.stringify([cameras, Math.floor(Date.now() / 60_000)]);
  if (now === lastDrawn || isSelectedIn(place)) return;
  lastDrawn = now;
  draw(cameras);
});

async function stopSimulated() {
  const { count } = await get("simulated-cameras/");
  if (!count) { toast("No simulated camera is running"); return; }
  const yes = await confirmed("Stop the simulated cameras?", "They go offline; what they recorded stays until you delete them.", "Stop them");
  if (!yes) return;
  try {
    await put("simulated-cameras/", { count: 0 });
    toast("The simulated cameras are stopped");
  } catch (error) { toast(error.message, "bad"); }
}

if (isOperator) tools.append(addLink());
if (isOperator && known.some((camera) => camera.kind === "simulated")) {
  tools.prepend(button("Stop simulated", { kind: "is-quiet", onclick: stopSimulated }));
}
