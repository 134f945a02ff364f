// Simulated cameras, of both kinds: one that dials in like an ESP32-CAM, one that is fetched like a network camera.

import { button, field, h, select } from "../lib/dom.js";
import { simulatedCard } from "../lib/addcamera.js";
import { Trial } from "./trial.js";

const CODECS = [["h264", "H.264"], ["hevc", "H.265"], ["mjpeg", "JPEG pictures"]];

export class SimulatedStep {
  #onSaved; #trial = null;

  constructor({ onSaved }) {
    this.#onSaved = onSaved;
    this.element = h("div");
    simulatedCard({ onReady: (camera) => onSaved(camera.id) }).then((card) => {
      card.querySelector("h2").textContent = "Like an ESP32-CAM";
      this.dialling = card;
      this.#showCards();
    });
  }

  leave() { this.#trial?.stop(); }

  #showCards() {
    this.#trial?.stop();
    const codec = select(CODECS, "h264");
    const sound = h("input", { type: "checkbox", checked: true });
    const form = h("form", { class: "fields", onsubmit: (event) => {
      event.preventDefault();
      const url = `simulated:${codec.querySelector("select").value}${sound.checked ? "?audio=1" : ""}`;
      this.#trial = new Trial({ url }, { name: "Simulated network camera", onSaved: this.#onSaved, onBack: () => this.#showCards() });
      this.element.replaceChildren(this.#trial.element);
      this.#trial.element.focus();
    } }, field("Sends", codec), h("label", { class: "check" }, sound, "With sound"), h("div", {}, button("Test", { type: "submit", kind: "is-primary", icon: "play" })));
    this.element.replaceChildren(h("div", { class: "columns" }, this.dialling,
      h("section", { class: "card" }, h("h2", {}, "Like a network camera"), h("p", { class: "muted" }, "The recorder fetches it as it fetches a network camera: tried first, then named, recorded as it comes."), form)));
  }
}
