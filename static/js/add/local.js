// Cameras that are plugged into a machine of ours: USB, and the Raspberry Pi's own.

import { get } from "../lib/api.js";
import { button, h, icon, notice, nothing } from "../lib/dom.js";
import { SECOND } from "../lib/time.js";
import { Trial } from "./trial.js";

const LOOK_EVERY_MS = 3 * SECOND;
const WORDS = {
  usb: { icon: "usb", none: "No USB camera is plugged in. Plug one in; it appears here by itself.", name: "USB camera" },
  pi: { icon: "board", none: "No camera is connected to a Raspberry Pi of this recorder. After connecting the ribbon cable the Pi has to be started again.", name: "Pi camera" },
};

export class LocalStep {
  #kind; #onSaved; #timer = 0; #trial = null; #shown = "";

  constructor(kind, { onSaved }) {
    this.#kind = kind;
    this.#onSaved = onSaved;
    this.element = h("div", {}, h("section", { class: "card" }, h("div", { class: "row" }, h("span", { class: "spinner" }), "Looking for cameras")));
    this.#look();
  }

  leave() {
    clearTimeout(this.#timer);
    this.#trial?.stop();
  }

  async #look() {
    if (this.#trial) return;
    try {
      const found = (await get("source-candidates/"))[this.#kind] ?? [];
      const key = JSON.stringify(found);
      if (!this.#trial && key !== this.#shown) this.#list(found);
      this.#shown = key;
    } catch (error) {
      this.#shown = "";
      if (!this.#trial) this.element.replaceChildren(notice(error.message, { kind: "is-bad" }));
    }
    this.#timer = setTimeout(() => this.#look(), LOOK_EVERY_MS);
  }

  #list(found) {
    const words = WORDS[this.#kind];
    const isOneMachine = new Set(found.map((one) => one.node)).size < 2;
    this.element.replaceChildren(h("section", { class: "card" }, found.length
      ? h("ul", { class: "found" }, found.map((one) => h("li", {}, icon(words.icon), h("div", { class: "grow" }, h("strong", {}, one.name || one.url),
        h("p", { class: "muted small" }, [formatsOf(one), !isOneMachine && one.node_name].filter(Boolean).join(" · ") || one.url)),
      one.is_added ? h("span", { class: "state is-good" }, "Added") : button("Test", { icon: "play", kind: "is-primary", "aria-label": `Test ${one.name || one.url}`, onclick: () => this.#try(one) }))))
      : nothing(h("span", { class: "spinner" }), h("p", { role: "status" }, words.none))));
  }

  #try(one) {
    clearTimeout(this.#timer);
    const back = () => { this.#trial.stop(); this.#trial = null; this.#shown = ""; this.#look(); };
    this.#trial = new Trial({ url: one.url, node: one.node }, { name: one.name || WORDS[this.#kind].name, onSaved: this.#onSaved, onBack: back });
    this.element.replaceChildren(this.#trial.element);
    this.#trial.element.focus();
  }
}

/** "MJPEG up to 1920x1080 at 30 fps, H.264 up to …": each format with its largest picture. */
function formatsOf(one) {
  return (one.formats ?? []).map(({ format, sizes = [], fps = [] }) => {
    const area = (size) => size.split("x").reduce((a, b) => a * Number(b), 1);
    const largest = [...sizes].sort((a, b) => area(b) - area(a))[0];
    const fastest = Math.max(...fps, 0);
    return [format.toUpperCase(), largest && `up to ${largest.replace("x", " × ")}`, fastest && `at ${fastest} fps`].filter(Boolean).join(" ");
  }).join(", ");
}
