// A network camera: found by itself, or by its address; then tried.

import { get, post } from "../lib/api.js";
import { button, field, h, icon, notice, nothing, select } from "../lib/dom.js";
import { SECOND } from "../lib/time.js";
import { Trial, withoutLogin } from "./trial.js";

const LOOK_EVERY_MS = SECOND;
const SEARCH_LIMIT_MS = 15 * SECOND;
const CODECS = { h264: "H.264", hevc: "H.265", mjpeg: "JPEG" };
const HAS_SCHEME = /^[a-z][a-z0-9+.-]*:/i;
/** Where the makes put their main stream; `HOST` stands for what was typed. */
const MAKES = [
  ["Amcrest, Dahua", "rtsp://HOST:554/cam/realmonitor?channel=1&subtype=0"],
  ["Annke, Hikvision", "rtsp://HOST:554/Streaming/Channels/101"],
  ["Axis", "rtsp://HOST:554/axis-media/media.amp"],
  ["ESP32-CAM with the example sketch", "http://HOST:81/stream"],
  ["Foscam", "rtsp://HOST:88/videoMain"],
  ["mjpg-streamer, OctoPrint", "http://HOST:8080/?action=stream"],
  ["Reolink", "rtsp://HOST:554/h264Preview_01_main"],
  ["Tapo, TP-Link", "rtsp://HOST:554/stream1"],
];

export class NetworkStep {
  #memory; #onSaved; #trial = null; #isLeft = false; #login = { username: "", password: "" };

  /** `memory` keeps what was typed (never a password) over a reload: `read()`, `write(values)`. */
  constructor({ memory, onSaved }) {
    this.#memory = memory;
    this.#onSaved = onSaved;
    this.found = h("section", { class: "card", "aria-label": "Found on this network" });
    this.form = h("section", { class: "card", "aria-label": "By its address" });
    this.body = h("div", { class: "fields" });
    this.element = this.body;
    this.#drawForm();
    this.#showForm();
    this.#search();
  }

  leave() {
    this.#isLeft = true;
    this.#trial?.stop();
  }

  #showForm() {
    this.#trial?.stop();
    this.body.replaceChildren(h("div", { class: "columns" }, this.found, this.form));
  }

  // --- those that say by themselves that they are there

  async #search() {
    const head = (...extra) => h("div", { class: "spread" }, h("h2", {}, "Found on this network"), ...extra);
    this.found.replaceChildren(head(h("span", { class: "spinner" })), h("p", { class: "muted", role: "status" }, "Asking who is there; this takes four seconds."));
    const again = button("Search again", { kind: "is-quiet", icon: "restart", onclick: () => this.#search() });
    try {
      await post("onvif/");
      const began = Date.now();
      let answer = await get("onvif/");
      while (answer.state === "searching" && Date.now() - began < SEARCH_LIMIT_MS && !this.#isLeft) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
        answer = await get("onvif/");
        if (answer.cameras.length) this.#listFound(head(h("span", { class: "spinner" })), answer.cameras);
      }
      if (answer.cameras.length) this.#listFound(head(again), answer.cameras);
      else this.found.replaceChildren(head(again), nothing("No camera answered. Many do once ONVIF is switched on in their own settings; all can be added by their address."));
    } catch (error) { this.found.replaceChildren(head(again), notice(error.message, { kind: "is-bad" })); }
  }

  #listFound(head, cameras) {
    this.found.replaceChildren(head, h("ul", { class: "found" }, cameras.map((camera) => h("li", {}, icon("camera"),
      h("div", { class: "grow" }, h("strong", {}, camera.name || camera.address), h("p", { class: "muted small" }, [camera.model, camera.address].filter(Boolean).join(" · "))),
      camera.is_added ? h("span", { class: "state is-good" }, "Added") : button("Add", { icon: "plus", "aria-label": `Add ${camera.name || camera.address}`, onclick: () => this.#askCamera(camera.url || camera.address, camera.name) })))));
  }

  // --- by its address

  #drawForm() {
    const kept = this.#memory.read();
    this.address = h("input", { class: "input", value: kept.url ?? "", placeholder: "192.168.1.20 or rtsp://…", required: true, autocomplete: "off", autocapitalize: "none", spellcheck: false, inputMode: "url" });
    this.username = h("input", { class: "input", value: kept.username ?? "", autocomplete: "off", autocapitalize: "none", spellcheck: false });
    this.password = h("input", { class: "input", type: "password", autocomplete: "new-password" });
    this.rate = h("input", { class: "input is-short", type: "number", min: 0, max: 30, step: "any", value: kept.rate_fps ?? 0 });
    this.trouble = h("div", { role: "alert" });
    const make = select([["", "Choose…"], ...MAKES.map(([name, url]) => [url, name])], "", { onchange: (event) => { this.#fillMake(event.target.value); event.target.value = ""; } });
    const form = h("form", { class: "fields", autocomplete: "off", onsubmit: (event) => { event.preventDefault(); this.#submit(); } },
      field("Address", this.address, { hint: "The name or number it has on the network is enough where the camera speaks ONVIF." }),
      h("div", { class: "columns is-pair" }, field("User name", this.username), field("Password", this.password)),
      h("details", { open: Boolean(Number(kept.rate_fps)) }, h("summary", {}, "More"), h("div", { class: "fields" },
        field("Fill in the address that is usual for", make),
        field("Single pictures, so many a second", this.rate, { hint: "0 where the address gives a stream. With a number it is asked for one picture after the other." }))),
      this.trouble, h("div", {}, button("Test", { type: "submit", kind: "is-primary", icon: "play" })));
    form.addEventListener("input", () => this.#remember());
    this.form.replaceChildren(h("h2", {}, "By its address"), form);
  }

  #fillMake(template) {
    if (!template) return;
    const host = hostOf(this.address.value) || "192.168.1.20";
    this.address.value = template.replace("HOST", host);
    this.#remember();
    this.address.focus();
  }

  #remember() {
    this.#memory.write({ url: withoutLogin(this.address.value), username: this.username.value, rate_fps: this.rate.value });
  }

  #submit() {
    this.#remember();
    const typed = this.address.value.trim();
    this.#login = { username: this.username.value, password: this.password.value };
    this.trouble.replaceChildren();
    if (HAS_SCHEME.test(typed) && !/^[^/:]+:\d+$/.test(typed)) this.#try(typed, hostOf(typed));
    else this.#askCamera(typed, "");
  }

  /** The camera itself knows where its pictures are; some tell nobody without the log-in. */
  async #askCamera(address, name) {
    const card = h("section", { class: "card" }, h("div", { class: "row" }, h("span", { class: "spinner" }), `Asking ${name || address} where its pictures are`));
    this.body.replaceChildren(card);
    try {
      const { profiles } = await post("onvif/streams/", { address, ...this.#login });
      if (this.#isLeft) return;
      if (!profiles.length) throw new Error("The camera names no stream.");
      if (profiles.length === 1) this.#try(profiles[0].url, name);
      else this.#choose(profiles, name || address);
    } catch (error) {
      if (this.#isLeft) return;
      if (error.code === "bad_address") this.#refuse(error.message);
      else this.#askLogin(address, name, error);
    }
  }

  /** What was typed leads nowhere: it is put right where it was typed. */
  #refuse(reason) {
    this.#showForm();
    this.trouble.replaceChildren(notice(reason, { kind: "is-bad" }));
    this.address.focus();
  }

  #askLogin(address, name, error) {
    const isAsked = error.code === "refused" && !this.#login.password; // no password was tried, so none was wrong
    const reason = isAsked ? "This camera wants a log-in." : error.message;
    const username = h("input", { class: "input", value: this.#login.username, autocomplete: "off", autocapitalize: "none", spellcheck: false });
    const password = h("input", { class: "input", type: "password", autocomplete: "new-password" });
    const form = h("form", { class: "fields", autocomplete: "off", onsubmit: (event) => {
      event.preventDefault();
      this.#login = { username: username.value, password: password.value };
      this.#askCamera(address, name);
    } }, notice(reason, isAsked ? { kind: "is-info", icon: "key" } : {}), h("p", { class: "muted" }, "The user and password are those that were set in the camera's own app or page."),
    h("div", { class: "columns is-pair" }, field("User name", username), field("Password", password)),
    h("div", { class: "row" }, button("Ask again", { type: "submit", kind: "is-primary" }),
      button("Put in its full address", { onclick: () => { this.#back(hostOf(address)); } })));
    this.body.replaceChildren(h("section", { class: "card" }, h("h2", {}, name || address), form));
    username.focus();
  }

  /** To the form, with what is known so far. */
  #back(host) {
    if (host && !this.address.value) this.address.value = host;
    if (this.#login.username && !this.username.value) this.username.value = this.#login.username;
    this.#showForm();
    this.form.querySelector("details").open = true;
    this.address.focus();
  }

  #choose(profiles, name) {
    const words = (one) => [one.width && `${one.width} × ${one.height}`, CODECS[one.codec], one.fps && `${one.fps} fps`].filter(Boolean).join(", ");
    const choices = profiles.map((one, index) => h("label", { class: "choice" }, h("input", { type: "radio", name: "profile", value: index, checked: index === 0 }),
      h("span", {}, words(one) || one.name), h("span", { class: "hint" }, one.name)));
    const form = h("form", { class: "fields", onsubmit: (event) => {
      event.preventDefault();
      this.#try(profiles[Number(form.querySelector(":checked").value)].url, name);
    } }, h("div", { class: "choices", role: "radiogroup", "aria-label": "Stream" }, choices),
    h("div", { class: "row" }, button("Test", { type: "submit", kind: "is-primary", icon: "play" }), button("Back", { onclick: () => this.#showForm() })));
    this.body.replaceChildren(h("section", { class: "card" }, h("h2", {}, `${name} offers ${profiles.length} streams`), form));
    form.querySelector("input").focus();
  }

  #try(url, name) {
    this.#trial?.stop();
    const wish = { url, ...this.#login, rate_fps: Number(this.rate.value) || 0 };
    this.#trial = new Trial(wish, { name: name || "Network camera", onSaved: this.#onSaved, onBack: () => this.#showForm() });
    this.body.replaceChildren(this.#trial.element);
    this.#trial.element.focus();
  }
}

/** Host of an address in whatever stage of being typed; "" where there is none yet. */
function hostOf(text) {
  return text.trim().replace(/^[a-z][a-z0-9+.-]*:\/\//i, "").replace(/^[^/?#]*@/, "").split(/[/?#]/)[0].replace(/:\d*$/, "");
}
