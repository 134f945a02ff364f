// A source is tried before it is kept: what is being done, the first picture, what was found, a name, and then live.

import { get, post } from "../lib/api.js";
import { button, field, h, icon, notice } from "../lib/dom.js";
import { SECOND } from "../lib/time.js";

const LOOK_EVERY_MS = 500;
const GIVE_UP_MS = 40 * SECOND; // the recorder itself ends a test after 15 s
const HEVC = 'video/mp4; codecs="hvc1.1.6.L93.B0"';

/** A password in an address is nothing for a screen or the browser's history. */
export const withoutLogin = (text) => text.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1");

/** Resolves with the test when it is over; `onStage(words)` meanwhile. `isWanted()` false ends the asking. */
async function run(wish, onStage, isWanted) {
  let test = await post("source-tests/", wish);
  const began = Date.now();
  while (test.state === "running" && isWanted()) {
    onStage(test.stage);
    if (Date.now() - began > GIVE_UP_MS) throw new Error("The test does not come to an end. The system page says whether the process that fetches cameras is running.");
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    test = await get(`source-tests/${test.id}/`);
  }
  return test;
}

export class Trial {
  #wish; #name; #onSaved; #onBack; #isWanted = true;

  /** `wish` has the fields of a source; `name` is the first proposal; `onSaved(deviceId)`, `onBack()` to the form. */
  constructor(wish, { name, onSaved, onBack }) {
    this.#wish = wish;
    this.#name = name;
    this.#onSaved = onSaved;
    this.#onBack = onBack;
    this.element = h("section", { class: "card trial", "aria-label": "Test", tabIndex: -1 });
    this.#start();
  }

  stop() { this.#isWanted = false; }

  async #start() {
    const list = h("ul", { class: "progress", role: "status" });
    const stages = [];
    const show = (words) => {
      if (!words || stages.at(-1) === words) return;
      stages.push(words);
      list.replaceChildren(...stages.map((text, index) => h("li", { class: index < stages.length - 1 ? "is-done" : "" },
        index < stages.length - 1 ? icon("check") : h("span", { class: "spinner" }), text)));
    };
    this.element.replaceChildren(h("h2", {}, "Trying it"), h("p", { class: "muted mono" }, withoutLogin(this.#wish.url)), list,
      h("div", {}, button("Stop", { onclick: () => { this.stop(); this.#onBack(); } })));
    show("Asking the recorder to fetch a picture");
    try {
      const test = await run(this.#wish, show, () => this.#isWanted);
      if (!this.#isWanted) return;
      if (test.state === "ok") this.#offer(test);
      else this.#explain(test.sentence, test.stage);
    } catch (error) { if (this.#isWanted) this.#explain(error.message); }
  }

  /** What was tried, what came back, what to do. */
  #explain(sentence, stage) {
    const again = button("Try again", { kind: "is-primary", icon: "restart", onclick: () => this.#start() });
    this.element.replaceChildren(h("h2", {}, "That did not work"),
      notice([h("strong", {}, sentence || "The camera could not be fetched."), stage && h("div", { class: "muted" }, `It got as far as: ${stage}.`)].filter(Boolean), { kind: "is-bad" }),
      h("p", { class: "muted mono" }, withoutLogin(this.#wish.url)),
      h("div", { class: "row" }, again, button("Change what was put in", { onclick: () => this.#onBack() })));
    again.focus();
  }

  #offer(test) {
    const found = test.found ?? {};
    const name = h("input", { class: "input", value: this.#name, maxLength: 80, required: true, autocomplete: "off" });
    const sound = found.audio ? h("input", { type: "checkbox", checked: true }) : null;
    const trouble = h("div", { role: "status" });
    const save = button("Add this camera", { kind: "is-primary", icon: "check", type: "submit" });
    const form = h("form", { class: "fields", onsubmit: async (event) => {
      event.preventDefault();
      save.disabled = true;
      trouble.replaceChildren();
      try {
        const source = await post("sources/", { ...this.#wish, name: name.value.trim(), wants_audio: sound ? sound.checked : false });
        this.#onSaved(source.device);
      } catch (error) {
        save.disabled = false;
        trouble.replaceChildren(notice(error.message, { kind: "is-bad" }));
      }
    } }, field("Name", name, { hint: "What the camera sees, such as Front door." }),
    sound && h("label", { class: "check" }, sound, "Record its sound"), ...remarks(found),
    trouble, h("div", { class: "row" }, save, button("Change what was put in", { onclick: () => this.#onBack() })));
    this.element.replaceChildren(h("div", { class: "trial-result" },
      h("figure", { class: "trial-picture" }, test.picture_url ? h("img", { src: test.picture_url, alt: "The first picture of the camera" }) : icon("camera"),
        h("figcaption", {}, icon("check"), found.sentence || "It sends pictures")),
      h("div", { class: "fields" }, h("h2", {}, "It works"), form)));
    name.focus();
    name.select();
  }
}

function remarks(found) {
  const told = [];
  if (found.codec === "hevc") {
    const plays = window.MediaSource?.isTypeSupported(HEVC);
    told.push(notice(plays
      ? "H.265 makes small files, and this browser plays it. Others may not: Safari, Edge with the HEVC extension and VLC do."
      : "It is recorded as it is. This browser cannot play H.265 and will show single pictures; Safari, Edge with the HEVC extension and VLC play it. Most cameras can be switched to H.264 on their own page.",
    { kind: "is-info", icon: "info" }));
  }
  if (found.codec && !found.audio) told.push(h("p", { class: "hint" }, "It sends no sound."));
  return told;
}
