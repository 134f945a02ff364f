// Where the picture of a fetched camera comes from, how that goes, and what can be done about it.

import { get, patch } from "../lib/api.js";
import { button, field, h, isSelectedIn, notice, openDialog, toast } from "../lib/dom.js";
import { exact, sinceWhen } from "../lib/time.js";

const TROUBLED = new Set(["retrying", "waiting", "off"]);
const WORDS = { waiting: "Waits for its machine", connecting: "Connecting", running: "Runs", retrying: "Fails, and is tried again", off: "Switched off" };

/** `update(camera)` with each answer of the camera list keeps it fresh; `onChange()` after something was changed here. */
export class SourceCard {
  #id; #source = null; #onChange; #shown = "";

  constructor(camera, { onChange }) {
    this.#id = camera.source.id;
    this.#onChange = onChange;
    this.element = h("section", { class: "card", "aria-label": "Where its picture comes from" });
    this.read();
  }

  async read() {
    try {
      this.#source = await get(`sources/${this.#id}/`);
      this.#draw();
    } catch (error) { if (!this.#source) this.element.replaceChildren(notice(error.message, { kind: "is-bad" })); }
  }

  update(camera) {
    const key = JSON.stringify(camera.source);
    if (key === this.#shown) return;
    this.#shown = key;
    this.read();
  }

  #draw() {
    if (isSelectedIn(this.element)) return;
    const source = this.#source;
    const isTroubled = TROUBLED.has(source.state);
    this.element.replaceChildren(h("h2", {}, "Where its picture comes from"),
      h("dl", { class: "facts" }, factsOf(source).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      h("div", { class: "row" },
        source.is_enabled && isTroubled && button("Try now", { icon: "restart", kind: "is-primary", onclick: () => this.#send({ is_enabled: true }, "It is tried now") }),
        source.is_enabled ? button("Switch off", { onclick: () => this.#send({ is_enabled: false }, "Switched off; nothing is recorded until it is switched on again") })
          : button("Switch on", { kind: "is-primary", onclick: () => this.#send({ is_enabled: true }, "Switched on") }),
        !source.environment_name && button("Change address or log-in", { icon: "edit", onclick: () => this.#edit() })));
  }

  async #send(change, done) {
    try {
      this.#source = await patch(`sources/${this.#id}/`, change);
      toast(done);
      this.#draw();
      this.#onChange();
      return true;
    } catch (error) { toast(error.message, "bad"); return false; }
  }

  #edit() {
    const source = this.#source;
    const url = h("input", { class: "input", value: source.url, required: true, autocomplete: "off", autocapitalize: "none", spellcheck: false });
    const username = h("input", { class: "input", value: source.username, autocomplete: "off", autocapitalize: "none", spellcheck: false });
    const password = h("input", { class: "input", type: "password", autocomplete: "new-password", placeholder: source.has_password ? "unchanged" : "none" });
    const sound = h("input", { type: "checkbox", checked: source.wants_audio });
    const rate = h("input", { class: "input is-short", type: "number", min: 0, max: 30, step: "any", value: source.rate_fps });
    const trouble = h("div", { role: "alert" });
    const save = button("Save", { type: "submit", kind: "is-primary" });
    const isWeb = /^https?:/.test(source.url);
    const form = h("form", { class: "fields", autocomplete: "off", onsubmit: async (event) => {
      event.preventDefault();
      save.disabled = true;
      try {
        const change = { url: url.value.trim(), username: username.value, wants_audio: sound.checked, rate_fps: Number(rate.value) || 0, ...(password.value && { password: password.value }) };
        this.#source = await patch(`sources/${this.#id}/`, change);
        box.close();
        toast("Changed; it is tried now");
        this.#draw();
        this.#onChange();
      } catch (error) {
        save.disabled = false;
        trouble.replaceChildren(notice(error.message, { kind: "is-bad" }));
      }
    } }, field("Address", url), field("User name", username), field("Password", password, { hint: source.has_password ? "Left empty, the stored one stays." : "" }),
    isWeb && field("Single pictures, so many a second", rate, { hint: "0 where the address gives a stream." }),
    h("label", { class: "check" }, sound, "Record its sound"), trouble,
    h("div", { class: "dialog-foot" }, button("Cancel", { onclick: () => box.close() }), save));
    const box = openDialog("Address and log-in", form);
    url.focus();
  }
}

function factsOf(source) {
  const since = Date.parse(source.state_since);
  return [
    ["State", h("span", { title: exact(since) }, `${WORDS[source.state]} since ${sinceWhen(since)}`)],
    source.state === "retrying" && source.attempts > 1 && ["Attempts", String(source.attempts)],
    source.found?.sentence && ["It sends", source.found.sentence],
    source.found?.audio && ["Sound", source.wants_audio ? "is recorded" : "is not recorded"],
    ["Address", h("span", { class: "mono" }, source.url)],
    source.username && ["Logs in as", source.username],
    source.node_name && ["Fetched by", source.node_name],
    source.environment_name && ["Set by", h("span", {}, "the variable ", h("code", {}, source.environment_name), "; change it there")],
  ].filter(Boolean);
}
