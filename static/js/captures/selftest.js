// This machine's camera: what was found, what is missing and what to do, and another look.

import { get, post } from "../lib/api.js";
import { OWN_NAME } from "../lib/captures.js";
import { announce, button, h, icon, iconButton, isSelectedIn, notice, redraw } from "../lib/dom.js";
import { SECOND, ago, exact } from "../lib/time.js";
import { factList } from "../lib/viewer.js";

const LOOK_LIMIT_MS = 45 * SECOND; // looking takes up to half a minute
const ASK_MS = SECOND;
const BACKENDS = { picamera2: "picamera2", rpicam: "the rpicam programs", libcamera: "the libcamera programs", v4l2: "Video4Linux (USB)", simulated: "no device: it is simulated" };
const NAMES = { camera: "Camera", program: "Program", permission: "Permission", helper: "Package", setting: "Setting" };

/** Another look; resolves to what was found. `now` is what is known. Rejects with a sentence. */
export async function lookAgain(now) {
  let fresh = await post("camera/");
  const until = performance.now() + LOOK_LIMIT_MS;
  while (fresh.looked_at === now.looked_at) {
    if (performance.now() > until) throw new Error("No worker has looked within 45 seconds. Is it busy with another camera? Try again in a moment.");
    await new Promise((resolve) => { setTimeout(resolve, ASK_MS); });
    fresh = await get("camera/");
  }
  return fresh;
}

export class SelfTest {
  #own; #isLooking = false; #trouble = "";
  element = h("div", { class: "page selftest", hidden: true });

  /** `onFound(own)`: it was looked at again; `onClose()`: back to the gallery. */
  constructor({ own, isOperator, onFound, onClose }) {
    Object.assign(this, { isOperator, onFound, onClose });
    this.#own = own;
  }

  get isLooking() { return this.#isLooking; }

  update(own) {
    this.#own = own;
    if (!this.element.hidden && !isSelectedIn(this.element)) this.#draw(); // a command that is being copied stays
  }

  show() {
    const isNew = this.element.hidden;
    this.element.hidden = false;
    this.#draw();
    if (isNew) this.element.querySelector("h1").focus({ preventScroll: true });
  }

  hide() { this.element.hidden = true; }

  async look() {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#trouble = "";
    this.#draw();
    try {
      this.#own = await lookAgain(this.#own);
      this.onFound(this.#own);
      announce(foundIn(this.#own));
    } catch (error) { this.#trouble = error.message; }
    this.#isLooking = false;
    this.#draw();
  }

  key(event) { if (event.key === "Escape") this.onClose(); }

  // --- drawing

  #draw() {
    const own = this.#own;
    const again = this.isOperator && button(this.#isLooking ? "Looking…" : "Look again", { icon: this.#isLooking ? "" : "restart", disabled: this.#isLooking, onclick: () => this.look() });
    redraw(this.element,
      h("header", { class: "page-head" }, iconButton("All captures (Escape)", "back", { onclick: this.onClose }),
        h("h1", { class: "grow", tabIndex: -1 }, OWN_NAME), ...(again ? [again] : [])),
      ...(this.#trouble ? [notice(this.#trouble, { kind: "is-bad" })] : []),
      h("div", { class: "selftest-body" }, h("div", { class: "fields" }, this.#checks(own), ...(own.is_there || !own.looked_at ? [] : [guide(own)])), this.#summary(own)));
  }

  #summary(own) {
    const state = stateOf(own);
    return h("section", { class: "card", "aria-label": "What was found" },
      h("span", { class: `state is-${state.kind}` }, state.word),
      h("p", { class: "state-line" }, this.#isLooking ? "The recorder looks for a camera. That takes up to half a minute." : foundIn(own)),
      factList([
        ...(own.cameras.length > 1 ? own.cameras.map((camera) => [`Camera ${camera.number}`, spaced(camera.name)]) : []),
        own.backend && ["Reached by", BACKENDS[own.backend] ?? own.backend],
        own.device && ["Streams as", h("a", { href: `/cameras/${own.device}` }, "a camera of the list")],
        ["Setting", h("code", {}, `NVR_CAMERA=${own.setting}`)],
        ["Machine", own.node_id],
        ...(own.room_mb ? [room("Captures may take", own.room_mb.captures, "NVR_CAPTURES_MB"), room("Raw pictures", own.room_mb.raw, "NVR_NODE_STORAGE_MB")] : []),
        own.looked_at && ["Looked", timeOf(own.looked_at)],
        own.last_capture_at && ["Last capture", timeOf(own.last_capture_at)],
        own.last_error && ["Last trouble", own.last_error],
      ]));
  }

  #checks(own) {
    if (!own.checks.length) {
      return h("section", { class: "card" }, h("h2", {}, "What a capture needs"), h("p", { class: "muted" }, this.isOperator ? "Nobody has looked yet." : "Nobody has looked yet. An operator can do it here."));
    }
    return h("section", { class: "card is-flush" }, h("div", { class: "card-head" }, h("h2", {}, "What a capture needs")), h("ul", { class: "checks" }, own.checks.map(check)));
  }
}

const timeOf = (iso) => h("time", { title: exact(Date.parse(iso)), dateTime: iso }, ago(Date.parse(iso)));

/** How much is kept before the oldest go; a variable decides it, which is named. */
const room = (what, megabytes, variable) => [what, h("span", {}, `${megabytes.toLocaleString("en")} MB, then the oldest go (`, h("code", {}, variable), ")")];

const spaced = (name) => name.replace(/(\d)x(\d)/, "$1 × $2");

/** The camera that is taken from, or why there is none. */
export const foundIn = (own) => (own.is_there && own.cameras.length ? spaced(own.cameras[0].name) : own.sentence);

/** As the states of cameras are: one of the four meanings and a word. */
export function stateOf(own) {
  if (!own.looked_at) return { kind: "off", word: "Not looked at" };
  if (own.setting === "none") return { kind: "off", word: "Switched off" };
  if (!own.is_there) return { kind: own.setting === "auto" ? "off" : "attention", word: "No camera" }; // auto: there need not be one
  return own.is_busy ? { kind: "live", word: "Taking a capture" } : { kind: "good", word: "Ready" };
}

/** `rpicam program`: the way to the camera, then what was looked at. With one way there is only that. */
function nameOf(check) {
  const [what, way] = check.split(" ").reverse();
  const name = NAMES[what] ?? what;
  if (!way) return name;
  if (what === "program" || what === "helper") return `${name} ${way === "v4l2" ? "FFmpeg" : way}`;
  return `${name} ${way === "v4l2" ? "over USB" : `by ${way}`}`;
}

function check({ name, is_ok: isOk, sentence, advice }) {
  const [kind, iconName, word] = isOk ? ["good", "check", "Fine"] : isOk === null ? ["unknown", "info", "Not known"] : ["bad", "attention", "Missing"];
  return h("li", { class: `check-line is-${kind}` }, icon(iconName),
    h("div", {}, h("p", { class: "muted small" }, nameOf(name), h("span", { class: "unseen" }, `: ${word}`)),
      h("p", {}, sentence), advice && h("p", { class: "check-advice" }, advice)));
}

/** For a machine without a camera: it may well stay so. */
function guide(own) {
  if (own.setting === "none") return "";
  return h("section", { class: "card" }, h("h2", {}, "To get a Raspberry Pi camera going"),
    h("ol", { class: "steps" },
      h("li", {}, h("p", {}, "Switch the Pi off and connect the camera's ribbon: contacts towards the contacts of the socket, pushed in straight, both clips closed.")),
      h("li", {}, h("p", {}, "Install what speaks to it, on Raspberry Pi OS: ", h("code", {}, "sudo apt install rpicam-apps python3-picamera2"))),
      h("li", {}, h("p", {}, "Let the recorder use it: ", h("code", {}, "sudo usermod -aG video <the recorder's user>"), ", then restart the recorder.")),
      h("li", {}, h("p", {}, "Press “Look again”. The list above says what still is missing."))),
    h("p", { class: "muted small" }, "A USB camera needs nothing but FFmpeg and the group video. Without a camera here, pictures and videos can still be taken of every camera that streams."));
}
