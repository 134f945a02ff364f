// Firmware: whose signature is trusted, what there is, who runs what, and how far each roll-out is.

import { all, get, isAdmin } from "./lib/api.js";
import { h, isSelectedIn, notice, nothing, redraw, toast } from "./lib/dom.js";
import { ago, exact } from "./lib/time.js";
import { reasonOf } from "./firmware/ask.js";
import { imagesCard } from "./firmware/images.js";
import { keysCard } from "./firmware/keys.js";
import { isUnderWay, pastCard, rolloutCard } from "./firmware/rollouts.js";

const EVERY_MS = 5000;
const NEWEST = 50; // roll-outs, each with its cameras
const place = document.getElementById("firmware");

function keyCell(camera) {
  if (!camera.update_key) return h("span", { class: "state is-off" }, "no update key");
  return camera.key_name ? h("span", {}, h("span", { class: "mono" }, camera.update_key), " ", h("span", { class: "muted" }, camera.key_name))
    : h("span", { class: "state is-attention" }, h("span", { class: "mono" }, camera.update_key), " not trusted here");
}

function camerasCard({ cameras }) {
  const rows = cameras.map((camera) => h("tr", {},
    h("td", { class: "wide" }, h("a", { class: "name", href: `/cameras/${camera.id}` }, camera.name)),
    h("td", {}, camera.version),
    h("td", {}, camera.board),
    h("td", { class: "wide" }, keyCell(camera)),
    h("td", {}, camera.is_connected ? h("span", { class: "state is-good" }, "Connected")
      : h("span", { class: "state is-off", title: exact(Date.parse(camera.last_seen_at)) }, `seen ${ago(Date.parse(camera.last_seen_at))}`))));
  return h("section", { class: "card is-flush", "aria-label": "What cameras run" }, h("div", { class: "card-head" }, h("h2", {}, "What cameras run")),
    rows.length ? h("table", { class: "table is-cards" },
      h("thead", {}, h("tr", {}, ["Camera", "Version", "Board", "Update key", "State"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows)) : nothing("No camera has said yet what it runs. Cameras with Roost's own firmware do; ", h("code", {}, "docs/firmware.md"), " says how to flash one."));
}

async function refresh(done) {
  const [keys, images, cameras, { results: rollouts }] = await Promise.all([
    ...["keys", "images", "cameras"].map((name) => all(`firmware/${name}/`)), get("firmware/rollouts/", { page_size: NEWEST })]);
  if (done) toast(done);
  else if (isSelectedIn(place)) return;
  const facts = { keys, images, cameras };
  const tools = { act, refresh };
  const [first, second] = keys.length ? [imagesCard, keysCard] : [keysCard, imagesCard]; // what is to be done comes first
  redraw(place, ...rollouts.filter(isUnderWay).map((rollout) => rolloutCard(rollout, tools)),
    first(facts, tools), second(facts, tools), camerasCard(facts), pastCard(rollouts.filter((one) => !isUnderWay(one))));
}

async function act(request, done) {
  try {
    await request();
    await refresh(done);
  } catch (error) { toast(reasonOf(error), "bad"); }
}

async function show() {
  try { await refresh(); } catch (error) {
    if (place.childElementCount) toast(error.message, "bad");
    else place.replaceChildren(notice(error.message, { kind: "is-bad" }));
  }
}

if (await isAdmin()) {
  await show();
  setInterval(() => { if (!document.hidden) show(); }, EVERY_MS);
} else {
  place.replaceChildren(notice("Only administrators may give cameras new firmware.", { kind: "is-info", icon: "info" }));
}
