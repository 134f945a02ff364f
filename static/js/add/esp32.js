// An ESP32-CAM registers itself once it was told where: by phone, by cable or in its sketch. Whoever registers appears here.

import { patch } from "../lib/api.js";
import { sketchSteps } from "../lib/addcamera.js";
import { isPending, refreshCameras, stateOf, watchCameras } from "../lib/cameras.js";
import { h, icon, isSelectedIn, notice, redraw, toast } from "../lib/dom.js";
import { MANY, watchRequests, wordsOf } from "../lib/enrolment.js";
import { SECOND } from "../lib/time.js";
import { answers } from "../cameras/requests.js";
import { PhoneSetup } from "./phone.js";

const LOOK_EVERY_MS = 2 * SECOND;

export class Esp32Step {
  #known; #stops; #timer; #setup; #shown = ""; #list = null; #requests = { count: 0, results: [] };

  constructor({ cameras, memory }) {
    this.#known = new Map(cameras.map((camera) => [camera.id, camera.connection_count]));
    this.list = h("section", { class: "card came", "aria-label": "Cameras that came", role: "status" });
    this.#setup = new PhoneSetup({ memory });
    this.sketch = h("details", { class: "card" }, h("summary", {}, "The camera runs the older sketch"));
    sketchSteps().then((steps) => this.sketch.append(h("div", { class: "fields" }, steps)));
    this.element = h("div", { class: "setup" }, h("div", { class: "fields" },
      notice(["First flash the board with Roost's firmware, once and by cable; ", h("code", {}, "docs/firmware.md"), " says how. Then tell it the following."], { kind: "is-info", icon: "info" }),
      this.#setup.element, this.sketch), this.list);
    this.#stops = [
      watchCameras((list, error) => { this.#list = list; this.#show(error); }),
      watchRequests((found) => { this.#requests = found; this.#show(); })];
    this.#timer = setInterval(refreshCameras, LOOK_EVERY_MS);
  }

  leave() {
    for (const stop of this.#stops) stop();
    clearInterval(this.#timer);
    this.#setup.leave();
  }

  /** Those that ask to join, those that were not there when the page opened, and those of old that came back meanwhile. */
  #show(error) {
    if (!this.#list) { if (error) this.list.replaceChildren(notice(error.message, { kind: "is-bad" })); return; }
    const came = this.#list.filter((camera) => camera.kind === "esp32" && (!this.#known.has(camera.id) || camera.connection_count > this.#known.get(camera.id)));
    const { count, results } = this.#requests;
    const asking = count <= MANY ? results : [];
    const key = JSON.stringify([came.map((camera) => [camera.id, camera.name, camera.sentence, camera.enrolment, camera.presence]), asking, count]);
    if (key === this.#shown || isSelectedIn(this.list) || this.list.querySelector("input:focus")) return;
    this.#shown = key;
    const rows = [...asking.map((one) => this.#request(one)), ...came.map((camera) => this.#row(camera))];
    const head = h("h2", {}, rows.length ? "Here it is" : "Waiting for the camera");
    const flood = count > MANY ? [notice([`${count} devices ask to join. `, h("a", { href: "/cameras" }, "Look at them")])] : [];
    redraw(this.list, head, rows.length ? h("ul", { class: "found" }, rows)
      : h("p", { class: "row muted" }, h("span", { class: "spinner" }), "It appears here as soon as it registers."), ...flood);
  }

  #request(request) {
    return h("li", {}, icon("key"), h("div", { class: "grow fields" }, h("p", {}, h("strong", {}, request.name), " ", h("span", { class: "mono muted small" }, request.mac)),
      h("p", { class: "muted small" }, wordsOf(request))), h("div", { class: "row" }, ...answers(request)));
  }

  #row(camera) {
    const state = stateOf(camera);
    const name = h("input", { class: "input", value: camera.name, maxLength: 80, "aria-label": `Name of ${camera.mac}` });
    name.addEventListener("change", async () => {
      try { toast(`Named ${(await patch(`devices/${camera.id}/`, { name: name.value.trim() })).name}`); } catch (error) { toast(error.message, "bad"); }
    });
    return h("li", {}, icon("camera"), h("div", { class: "grow fields" }, name, h("p", { class: "row" }, h("span", { class: `state is-${state.kind}` }, state.word), h("span", { class: "mono muted small" }, camera.mac))),
      !isPending(camera) && h("a", { class: "button", href: `/cameras/${camera.id}` }, "Open"));
  }
}
