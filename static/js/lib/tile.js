// A camera's live picture with its name, state and controls on it.

import { mayOperate } from "./api.js";
import { adviceFor, isPending, stateOf } from "./cameras.js";
import { darkPictureOf, takeButton } from "./captures.js";
import { announce, h, icon, iconButton, iconLink } from "./dom.js";
import { keepButton } from "./keep.js";
import { LiveStream } from "./livestream.js";
import { SECOND, clock, isoDate, sinceWhen } from "./time.js";

const AGE_SHOWN_MS = SECOND;
const STALE_MS = 3 * SECOND;
const STALE_STILLS_MS = 20 * SECOND; // key pictures come as rarely as the camera likes
const REST_MS = 3 * SECOND;
const VEILED = new Set(["asleep", "offline", "registered"]);
let audible = null; // one tile at a time

export class Tile {
  #camera; #stream; #isSeen = false; #lastWord = ""; #lastVeil = ""; #hasPicture = false; #startedAt = 0; #restTimer = 0;
  #presence = null; // what the stream said last; the camera list is seconds behind it

  constructor(camera, { onFirstPicture = () => {} } = {}) {
    this.#camera = camera;
    this.canvas = h("canvas", { width: 4, height: 3, "aria-hidden": "true" });
    this.still = h("img", { class: "tile-still", alt: "", hidden: true }); // was chosen for it, for when it is dark
    this.still.addEventListener("load", () => this.element.classList.toggle("has-still", !this.still.hidden));
    this.still.addEventListener("error", () => this.element.classList.remove("has-still"));
    this.name = h("a", { class: "tile-name", href: `/cameras/${camera.id}`, draggable: false });
    this.state = h("span", { class: "state tile-state" });
    this.age = h("span", { class: "tile-age", hidden: true });
    this.number = h("kbd", { class: "tile-number", hidden: true });
    this.veil = h("div", { class: "tile-veil" });
    this.note = h("p", { class: "tile-note", hidden: true });
    this.sound = iconButton("Sound", "mute", { hidden: true, "aria-pressed": "false", onclick: () => this.setAudible(audible !== this) });
    this.bottom = h("div", { class: "tile-bottom" }, this.number, this.sound, ...this.#controls());
    this.element = h("article", { class: "tile", data: { camera: camera.id } },
      this.canvas, this.still, this.veil, this.note, h("div", { class: "tile-top" }, this.name, this.state, this.age), this.bottom);
    this.#stream = new LiveStream(camera.id, this.canvas, {
      onState: (state) => { this.#hear(state); },
      onPicture: () => {
        this.#hasPicture = true;
        this.element.classList.add("has-picture");
        this.refresh();
        onFirstPicture();
      },
      onSize: () => { this.#fitAspect(); },
    });
    this.element.addEventListener("dblclick", (event) => { if (!event.target.closest(".button")) location.assign(this.name.href); });
    this.element.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") this.#rest(); });
    this.element.addEventListener("keydown", () => this.#rest());
    this.element.addEventListener("fullscreenchange", () => this.#rest());
    this.element.addEventListener("pointerup", (event) => { if (event.pointerType === "touch") this.#touch(event); });
    this.update(camera);
  }

  get camera() { return this.#camera; }
  get aspect() { return this.#stream.aspect; }

  /** New facts from the camera list. */
  update(camera) {
    this.#camera = camera;
    this.name.textContent = camera.name;
    this.#run();
    this.refresh();
  }

  /** Out of sight or in a hidden tab, a tile costs neither the network nor the camera anything. */
  setSeen(isSeen) {
    this.#isSeen = isSeen;
    this.#run();
  }

  setNumber(number) {
    this.number.hidden = number > 9;
    this.number.textContent = number;
    this.number.title = `Press ${number} to choose this camera`;
  }

  stop() {
    if (audible === this) this.setAudible(false);
    this.#stream.stop();
  }

  /** Sound of one camera at a time; only from a click or a key. */
  setAudible(isAudible) {
    if (isAudible && audible !== this) audible?.setAudible(false);
    if (isAudible) audible = this;
    else if (audible === this) audible = null;
    this.#stream.setAudible(isAudible);
    this.#showSound();
  }

  /** Words and greys; twice a second by the page, at once on a change. Touches only what differs. */
  refresh() {
    const age = this.#stream.ageMs;
    const isStale = this.#hasPicture && (age === null || age > (this.#stream.isStills ? STALE_STILLS_MS : STALE_MS));
    const isAged = this.#hasPicture && age > AGE_SHOWN_MS && !isStale;
    this.element.classList.toggle("is-stale", isStale);
    this.age.hidden = !isAged;
    if (isAged) this.age.textContent = `${(age / SECOND).toFixed(1)} s ago`;
    this.take.disabled = this.#camera.presence !== "streaming";
    this.#sayState(isStale);
    this.#showVeil(this.#veilFor(isStale));
  }

  #run() {
    if (this.#isSeen && !isPending(this.#camera)) {
      if (!this.#startedAt) this.#startedAt = performance.now();
      this.#stream.start();
    } else {
      this.#startedAt = 0;
      this.#stream.stop();
    }
  }

  #hear(message) {
    if (message.type === "media") {
      this.note.hidden = !message.note;
      this.note.textContent = message.note;
      this.#showSound();
      return;
    }
    this.#presence = message.presence;
    if (message.recording !== undefined) this.#camera = { ...this.#camera, presence: message.presence, is_recording: message.recording };
    this.refresh();
  }

  #showSound() {
    const { hasSound, isAudible } = this.#stream;
    const label = isAudible ? "Sound off" : "Sound on";
    this.sound.hidden = !hasSound;
    this.sound.replaceChildren(icon(isAudible ? "sound" : "mute"));
    this.sound.setAttribute("aria-pressed", String(isAudible));
    this.sound.setAttribute("aria-label", `Sound of ${this.#camera.name}`);
    this.sound.title = label;
  }

  #sayState(isStale) {
    const state = isStale && this.#camera.presence === "streaming" ? { kind: "attention", word: "No picture" } : stateOf(this.#camera);
    if (this.#lastWord === state.word) return;
    const isNews = this.#lastWord !== "";
    this.#lastWord = state.word;
    this.state.textContent = state.word;
    this.state.className = `state tile-state is-${state.kind}`;
    if (isNews) announce(`${this.#camera.name}: ${state.word}`);
  }

  /** `[icon, headline, text]`, or null when the picture speaks for itself. */
  #veilFor(isStale) {
    const camera = this.#camera;
    if (this.#presence === "gone") return ["offline", "Not available", "This camera was deleted or is no longer shared with you."];
    if (isPending(camera)) return ["key", "Waiting for approval", adviceFor(camera)];
    if (VEILED.has(camera.presence)) {
      return [camera.presence === "asleep" ? "asleep" : "offline", camera.sentence, adviceFor(camera)];
    }
    if (isStale) {
      const since = sinceWhen(this.#stream.capturedMs);
      return this.#presence === "unreachable"
        ? ["offline", `No picture since ${since}`, "The recorder does not answer; trying again."]
        : ["attention", `No picture since ${since}`, "The camera stopped sending; the recorder waits for it."];
    }
    if (this.#hasPicture) return null;
    return ["spinner", "Connecting", performance.now() - this.#startedAt > 4 * SECOND ? adviceFor(camera) || "Waiting for the first picture." : ""];
  }

  #showVeil(content) {
    const key = JSON.stringify(content);
    if (key === this.#lastVeil) return;
    this.#lastVeil = key;
    this.veil.hidden = content === null;
    this.#showStill(content !== null && content[0] !== "spinner" && this.#camera.presence !== "streaming");
    if (!content) return;
    const [name, headline, text] = content;
    this.veil.replaceChildren(name === "spinner" ? h("span", { class: "spinner" }) : icon(name), h("strong", {}, unbroken(headline)), h("p", {}, unbroken(text)));
  }

  /** Behind the words, so that a wall of sleeping cameras tells which is which. */
  async #showStill(isDark) {
    this.still.hidden = !isDark;
    this.element.classList.toggle("has-still", isDark && this.still.complete && this.still.naturalWidth > 0);
    if (!isDark) return;
    const url = await darkPictureOf(this.#camera.id);
    if (url && this.still.getAttribute("src") !== url) this.still.src = url;
  }

  #fitAspect() {
    this.element.style.setProperty("--aspect", String(this.aspect));
    this.element.dispatchEvent(new CustomEvent("aspect", { bubbles: true }));
  }

  #controls() {
    const snapshot = iconLink("Save this picture", "download", `/api/v1/devices/${this.#camera.id}/snapshot.jpg`, {
      onclick: () => {
        const at = this.#stream.capturedMs ?? Date.now();
        snapshot.download = `${this.#camera.name} ${isoDate(at)} ${clock(at).replaceAll(":", "-")}.jpg`;
      },
    });
    this.keep = keepButton({ cameras: () => [this.#camera.id] });
    this.take = takeButton(() => this.#camera);
    this.keep.hidden = this.take.hidden = true;
    mayOperate().then((isOperator) => { this.keep.hidden = this.take.hidden = !isOperator; }).catch(() => {}); // who may only watch sees no button
    return [
      this.keep, this.take, snapshot,
      iconLink("Timeline of this camera", "timeline", `/timeline?camera=${this.#camera.id}`),
      iconButton("Full screen", "full", { onclick: () => this.toggleFullScreen() }),
    ];
  }

  /** iPhones have no full screen for elements; there the tile covers the page instead. */
  async toggleFullScreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (this.element.requestFullscreen) await this.element.requestFullscreen();
    else this.element.classList.toggle("is-maximised");
  }

  /** In full screen the picture is alone again once the hand has rested. */
  #rest() {
    clearTimeout(this.#restTimer);
    this.element.classList.remove("is-resting");
    if (document.fullscreenElement === this.element) this.#restTimer = setTimeout(() => this.element.classList.add("is-resting"), REST_MS);
  }

  #touch(event) {
    const wasResting = this.element.classList.contains("is-resting");
    this.#rest();
    if (wasResting || event.target.closest("a, button")) return;
    for (const other of document.querySelectorAll(".tile.is-touched")) if (other !== this.element) other.classList.remove("is-touched");
    this.element.classList.toggle("is-touched");
  }
}

/** Narrow tiles would break Wi-Fi at its hyphen. */
const unbroken = (text) => (text ?? "").replaceAll("Wi-Fi", "Wi\u2011Fi");

/** Starts and stops tiles as they come into sight, and keeps their words fresh. */
export class TileWatch {
  #tiles = new Map(); // element -> tile
  #inSight = new Set();
  #observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      this.#inSight[isIntersecting ? "add" : "delete"](target);
      this.#tiles.get(target)?.setSeen(isIntersecting && !document.hidden);
    }
  }, { rootMargin: "100px" });

  constructor() {
    document.addEventListener("visibilitychange", () => {
      for (const [element, tile] of this.#tiles) tile.setSeen(!document.hidden && this.#inSight.has(element));
    });
    setInterval(() => { if (!document.hidden) for (const tile of this.#tiles.values()) tile.refresh(); }, 500);
  }

  add(tile) {
    this.#tiles.set(tile.element, tile);
    this.#observer.observe(tile.element);
  }

  delete(tile) {
    this.#observer.unobserve(tile.element);
    this.#tiles.delete(tile.element);
    this.#inSight.delete(tile.element);
    tile.stop();
  }
}
