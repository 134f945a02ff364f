// An ESP32-CAM registers itself: three steps, and a list in which it appears.

import { isAdmin, patch, post } from "../lib/api.js";
import { esp32Card } from "../lib/addcamera.js";
import { isPending, refreshCameras, stateOf, watchCameras } from "../lib/cameras.js";
import { button, h, icon, isSelectedIn, notice, redraw, toast } from "../lib/dom.js";
import { SECOND } from "../lib/time.js";

const LOOK_EVERY_MS = 2 * SECOND;

export class Esp32Step {
  #known; #stop; #timer; #isOwner = false; #shown = "";

  constructor({ cameras }) {
    this.#known = new Map(cameras.map((camera) => [camera.id, camera.connection_count]));
    this.list = h("section", { class: "card", "aria-label": "Cameras that came", role: "status" });
    this.element = h("div", { class: "columns" });
    Promise.all([esp32Card(), isAdmin()]).then(([card, isOwner]) => {
      this.#isOwner = isOwner;
      this.element.append(card, this.list);
    });
    this.#stop = watchCameras((list, error) => this.#show(list, error));
    this.#timer = setInterval(refreshCameras, LOOK_EVERY_MS);
  }

  leave() {
    this.#stop();
    clearInterval(this.#timer);
  }

  /** Those that were not there when the page opened, and those of old that came back meanwhile. */
  #show(list, error) {
    if (!list) { this.list.replaceChildren(notice(error.message, { kind: "is-bad" })); return; }
    const came = list.filter((camera) => camera.kind === "esp32" && (!this.#known.has(camera.id) || camera.connection_count > this.#known.get(camera.id)));
    const key = JSON.stringify([came.map((camera) => [camera.id, camera.name, camera.sentence, camera.enrolment, camera.presence]), this.#isOwner]);
    if (key === this.#shown || isSelectedIn(this.list) || this.list.querySelector("input:focus")) return;
    this.#shown = key;
    redraw(this.list, h("h2", {}, came.length ? "Here it is" : "Waiting for the camera"),
      came.length ? h("ul", { class: "found" }, came.map((camera) => this.#row(camera)))
        : h("p", { class: "row muted" }, h("span", { class: "spinner" }), "It appears here as soon as it registers."));
  }

  #row(camera) {
    const state = stateOf(camera);
    const name = h("input", { class: "input", value: camera.name, maxLength: 80, "aria-label": `Name of ${camera.mac}` });
    name.addEventListener("change", async () => {
      try { toast(`Named ${(await patch(`devices/${camera.id}/`, { name: name.value.trim() })).name}`); } catch (error) { toast(error.message, "bad"); }
    });
    const approve = async () => {
      try { await post(`devices/${camera.id}/approve/`); toast(`${camera.name} is let in`); } catch (error) { toast(error.message, "bad"); }
      refreshCameras();
    };
    return h("li", {}, icon("camera"), h("div", { class: "grow fields" }, name, h("p", { class: "row" }, h("span", { class: `state is-${state.kind}` }, state.word), h("span", { class: "mono muted small" }, camera.mac))),
      isPending(camera) ? this.#isOwner && button("Approve", { kind: "is-primary", icon: "check", onclick: approve }) : h("a", { class: "button", href: `/cameras/${camera.id}` }, "Open"));
  }
}
