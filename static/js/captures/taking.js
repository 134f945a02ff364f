// The bar that takes: which camera, what, how large, how long. What was chosen last is remembered.

import { isPending } from "../lib/cameras.js";
import { OWN, OWN_NAME, SELF_TEST, asItComes, streamName, take } from "../lib/captures.js";
import { button, field, h, icon, select } from "../lib/dom.js";

const MEMORY = "roost-taking";
const OTHER = "other";
const AS_IT_COMES = "";
const USUAL = { camera: "", kind: "jpg", size: "1920x1080", isOther: false, smaller: AS_IT_COMES, fps: "30", seconds: "10" };
const KINDS = [["jpg", "Picture", "snapshot"], ["mp4", "Video", "clips"], ["dng", "Raw", "chip"]];
const SIZES = [[3840, 2160], [1920, 1080], [1280, 720], [640, 480]];
const RATES = [5, 10, 15, 25, 30, 60];
const LENGTHS = [[5, "5 s"], [10, "10 s"], [30, "30 s"], [60, "1 min"], [300, "5 min"], [1800, "30 min"]];
const DOES = { jpg: "Take picture", mp4: "Record video", dng: "Take raw picture" };

const sizeText = ([width, height]) => `${width} × ${height}`;
const sizeKey = ([width, height]) => `${width}x${height}`;

export class TakingBar {
  #own; #cameras = []; #chosen; #isTouched = false;
  #cameraShown = ""; #sizesShown = ""; // what the selects offer

  /** `onTaken(capture)`: it was asked for. `onLook()`: what is missing at this machine's camera. */
  constructor({ own, cameras, onTaken, onLook }) {
    Object.assign(this, { onTaken, onLook });
    this.#own = own;
    this.#chosen = { ...USUAL, ...remembered() };
    const chose = () => { this.#isTouched = true; this.#read(); this.#draw(); };
    this.camera = select([], "", { onchange: chose });
    this.kinds = h("fieldset", { class: "segments", onchange: chose }, h("legend", {}, "What"), h("div", { class: "segments-row" }, KINDS.map(segment)));
    this.size = select([], "", { onchange: chose });
    this.fps = select(RATES.map((fps) => [fps, `${fps} a second`]), this.#chosen.fps, { onchange: chose });
    this.length = select([...LENGTHS, [OTHER, "Other length…"]], "", { onchange: chose });
    this.width = number("Width in pixels", 16, 16_384, chose);
    this.height = number("Height in pixels", 16, 16_384, chose);
    this.seconds = number("Length in seconds", 1, 3600, chose);
    this.ownSize = h("div", { class: "taking-own" }, this.width, h("span", { class: "muted" }, "×"), this.height);
    this.ownLength = h("div", { class: "taking-own" }, this.seconds, h("span", { class: "muted" }, "s"));
    this.sizeField = field("Size", h("div", { class: "taking-choice" }, this.size, this.ownSize));
    this.fpsField = field("Pictures", this.fps);
    this.lengthField = field("Length", h("div", { class: "taking-choice" }, this.length, this.ownLength));
    this.submit = button("", { kind: "is-primary", type: "submit" });
    this.hint = h("p", { class: "hint" });
    this.error = h("p", { class: "error", role: "alert", hidden: true });
    this.element = h("form", { class: "card taking", "aria-label": "Take a capture", onsubmit: (event) => { event.preventDefault(); this.#take(); } },
      h("div", { class: "taking-fields" }, field("Camera", this.camera), this.kinds, this.sizeField, this.fpsField, this.lengthField, this.submit), this.hint, this.error);
    this.update({ own, cameras });
    this.#fill();
  }

  /** Newer facts; a choice is never changed under a hand. */
  update({ own = this.#own, cameras = this.#cameras }) {
    this.#own = own;
    this.#cameras = cameras;
    const isLost = this.#chosen.camera !== OWN && !this.#device; // removed, or nothing was chosen yet
    if (isLost || !(this.#isTouched || this.element.contains(document.activeElement))) this.#chosen.camera = this.#usualCamera();
    const options = this.#cameraOptions();
    if (JSON.stringify(options) !== this.#cameraShown && !this.camera.matches(":focus-within")) {
      this.#cameraShown = JSON.stringify(options);
      fillSelect(this.camera, options, this.#chosen.camera);
    }
    this.#draw();
  }

  // --- cameras

  get #streaming() { return this.#cameras.filter((camera) => camera.presence === "streaming" && !isPending(camera)); }

  get #device() { return this.#cameras.find((camera) => String(camera.id) === this.#chosen.camera) ?? null; }

  /** The one of last time, else this machine's, else the first that streams. */
  #usualCamera() {
    const last = remembered().camera;
    const streaming = this.#streaming.map((camera) => String(camera.id));
    if (last === OWN || streaming.includes(last)) return last;
    return this.#own.is_there || !streaming.length ? OWN : streaming[0];
  }

  #cameraOptions() {
    const gone = this.#device && !this.#streaming.includes(this.#device) ? [[this.#device.id, `${this.#device.name} (sends nothing now)`]] : [];
    return [[OWN, OWN_NAME], ...this.#streaming.map((camera) => [camera.id, camera.name]), ...gone];
  }

  // --- what is chosen

  get #kind() { return this.#chosen.kind === "dng" && this.#chosen.camera !== OWN ? "jpg" : this.#chosen.kind; }

  /** Which sizes there are to choose from; none where it is the sensor's or the stream's own. */
  #sizes() {
    const isOwn = this.#chosen.camera === OWN;
    if (this.#kind === "dng" || (this.#kind === "mp4" && !isOwn)) return [];
    if (!isOwn) return [[AS_IT_COMES, "As it comes"], ...SIZES.slice(1).map((size) => [sizeKey(size), `At most ${sizeText(size)}`])];
    return [...this.#sensor(), ...SIZES.map((size) => [sizeKey(size), sizeText(size)]), [OTHER, "Other size…"]];
  }

  /** The whole sensor of this machine's camera, where its name says how large that is. */
  #sensor() {
    const size = this.#own.cameras[0]?.name.match(/\d{3,5}x\d{3,5}/)?.[0] ?? "";
    const isKnown = !size || SIZES.some((one) => sizeKey(one) === size);
    return isKnown || this.#kind !== "jpg" ? [] : [[size, `${sizeText(size.split("x"))}, whole sensor`]];
  }

  /** From what was remembered into the fields. */
  #fill() {
    const { kind, seconds } = this.#chosen;
    for (const input of this.kinds.querySelectorAll("input")) input.checked = input.value === kind;
    this.seconds.value = seconds;
    valueOf(this.fps, this.#chosen.fps);
    valueOf(this.length, LENGTHS.some(([one]) => String(one) === seconds) ? seconds : OTHER);
    this.#draw();
  }

  #read() {
    const was = this.#chosen.camera;
    this.#chosen.camera = valueOf(this.camera);
    this.#chosen.kind = this.kinds.querySelector("input:checked").value;
    if (was === this.#chosen.camera && !this.sizeField.hidden) { // else it offers another camera's sizes
      const size = valueOf(this.size);
      if (was !== OWN) this.#chosen.smaller = size;
      else Object.assign(this.#chosen, { size: size === OTHER ? `${this.width.value}x${this.height.value}` : size, isOther: size === OTHER });
    }
    const seconds = valueOf(this.length);
    this.#chosen.fps = valueOf(this.fps);
    this.#chosen.seconds = seconds === OTHER ? this.seconds.value : seconds;
  }

  #draw() {
    const isOwn = this.#chosen.camera === OWN;
    const kind = this.#kind;
    const raw = this.kinds.querySelector("input[value=dng]");
    raw.closest("label").hidden = !isOwn;
    this.kinds.querySelector(`input[value=${kind}]`).checked = true;
    this.#drawSize(isOwn);
    this.fpsField.hidden = !(isOwn && kind === "mp4");
    this.lengthField.hidden = kind !== "mp4";
    this.ownLength.hidden = valueOf(this.length) !== OTHER;
    this.seconds.disabled = this.lengthField.hidden || this.ownLength.hidden;
    if (this.submit.textContent !== DOES[kind]) this.submit.replaceChildren(icon(KINDS.find(([one]) => one === kind)[2]), DOES[kind]);
    const hints = this.#hints(isOwn, kind);
    if (hints.map((one) => one.textContent ?? one).join("") !== this.hint.textContent) this.hint.replaceChildren(...hints); // a link in it may have the focus
    this.hint.hidden = !hints.length;
  }

  #drawSize(isOwn) {
    const sizes = this.#sizes();
    this.sizeField.hidden = !sizes.length;
    const key = JSON.stringify(sizes);
    if (sizes.length && key !== this.#sizesShown) {
      this.#sizesShown = key;
      const isOffered = (size) => sizes.some(([one]) => one === size);
      if (isOwn && !this.#chosen.isOther && !isOffered(this.#chosen.size)) this.#chosen.size = USUAL.size; // no video is as large as a sensor
      const { size, smaller, isOther } = this.#chosen;
      fillSelect(this.size, sizes, isOwn ? (isOther ? OTHER : size) : isOffered(smaller) ? smaller : AS_IT_COMES);
      if (isOwn) [this.width.value, this.height.value] = size.split("x");
    }
    this.ownSize.hidden = !sizes.length || valueOf(this.size) !== OTHER;
    this.width.disabled = this.height.disabled = this.ownSize.hidden;
  }

  #hints(isOwn, kind) {
    const own = this.#own;
    if (!isOwn) return kind === "mp4" ? ["It holds what the camera sends from now on, in the stream's own size."] : [];
    const streamsAs = this.#cameras.find((camera) => camera.id === own.device);
    if (!own.looked_at) return ["The recorder looks for a camera at this machine."];
    if (!own.is_there) return [`${own.sentence} `, h("a", { href: SELF_TEST, onclick: this.onLook }, "What to do")];
    if (streamsAs) return [kind === "dng" ? `${streamsAs.name} pauses for some seconds while the raw picture is taken.` : `It streams as ${streamsAs.name}, so this comes from its stream.`];
    return kind === "dng" ? ["As the sensor saw it, for developing: a DNG file in the sensor's own size."] : [];
  }

  // --- taking

  #wish() {
    const kind = this.#kind;
    const device = this.#device;
    const wish = { kind };
    if (kind === "mp4") wish.duration_seconds = Number(this.#chosen.seconds);
    if (device) {
      if (kind === "jpg" && !this.#chosen.smaller) return { ...wish, ...asItComes(device) };
      wish.name = streamName(device);
    }
    if (!this.sizeField.hidden) [wish.width, wish.height] = (device ? this.#chosen.smaller : this.#chosen.size).split("x").map(Number);
    if (!this.fpsField.hidden) wish.fps = Number(this.#chosen.fps);
    return wish;
  }

  async #take() {
    this.#read();
    this.submit.disabled = true;
    this.error.hidden = true;
    try {
      const capture = await take(this.#device?.id ?? null, this.#wish());
      remember(this.#chosen);
      this.onTaken(capture);
    } catch (error) {
      this.error.textContent = error.message;
      this.error.hidden = false;
    }
    this.submit.disabled = false;
    if (document.activeElement === document.body) this.submit.focus({ preventScroll: true }); // it lost it to being disabled
  }
}

function segment([value, text, iconName]) {
  return h("label", { class: "segment" }, h("input", { type: "radio", name: "kind", value }), icon(iconName), h("span", {}, text));
}

const number = (label, min, max, onchange) => h("input", { class: "input is-short", type: "number", min, max, required: true, "aria-label": label, onchange });

function fillSelect(box, options, value) {
  box.firstChild.replaceChildren(...options.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value) }, text)));
}

/** Of a select in its box; sets it when a value is given. */
function valueOf(box, value) {
  if (value !== undefined) box.firstChild.value = value;
  return box.firstChild.value;
}

function remembered() {
  try { return JSON.parse(localStorage.getItem(MEMORY)) ?? {}; } catch { return {}; }
}

function remember(chosen) {
  try { localStorage.setItem(MEMORY, JSON.stringify(chosen)); } catch { /* it is chosen again next time */ }
}
