// H.264 and H.265 as they come: fragments over the live view's WebSocket into a <video>, close behind the camera.
// Each picture claims a second and the next one takes over, so playing runs on until something comes.

import { h } from "./dom.js";

const Source = globalThis.MediaSource ?? globalThis.ManagedMediaSource; // iPhones have only the second
const FIRST_DELAY = 0.12; // seconds behind the newest picture; grows where pictures come unevenly
const LONGEST_DELAY = 1;
const JUMP_BEHIND = 1.5;
const JUMP_AHEAD = -0.25;
const JUMP_AGAIN_MS = 5000; // a slow machine needs time to decode up to where it jumped
const HURRY = 1.05; // where it is heard
const HURRY_UNHEARD = 1.15;
const TRIMMED_AT = 40; // seconds of the past in the browser's buffer, and what is left then
const TRIMMED_TO = 30; // longer than a group of pictures: what refers to removed ones is removed with them
const FULL_TO = 8;
const LOOK_MS = 1000;
const FORGETTING = 0.997; // a second

const NAMES = { h264: "H.264", hevc: "H.265" };
const ELSEWHERE = { h264: "most other browsers and VLC can", hevc: "Safari, Edge with the HEVC extension and VLC can" };

export const canPlay = (mime) => Source?.isTypeSupported(mime) ?? false;

/** Why there are only stills, in words for the picture. */
export const cannotPlay = (codec) => `This browser cannot play ${NAMES[codec] ?? codec}. Recording goes on; ${ELSEWHERE[codec] ?? "VLC can"}.`;

export class MsePlayer {
  #media = null; #source = null; #buffer = null; #waiting = []; #isMuted = true;
  #origin = 0; #newest = null; #delay = FIRST_DELAY; #least = Infinity; #lookedAt = 0; #jumpedAt = 0; #isAtEdge = false; #hasPicture = false;
  #owed = 0; #onAppended; #onPicture; #onStill; #onBroken;

  /** `onAppended()` once for each message, `onPicture()` on the first picture of a stream, `onBroken()` when it has to begin anew. */
  constructor({ onAppended, onPicture, onSize, onStill, onBroken }) {
    this.#onAppended = onAppended;
    this.#onStill = onStill;
    this.#onPicture = onPicture;
    this.#onBroken = onBroken;
    this.video = h("video", { muted: true, playsInline: true, disablePictureInPicture: true, disableRemotePlayback: true, tabIndex: -1, "aria-hidden": "true" });
    this.video.addEventListener("resize", onSize);
    this.video.addEventListener("loadeddata", () => this.#show());
    this.video.addEventListener("waiting", () => this.#starve());
    this.video.addEventListener("error", () => { if (this.#source) this.#fail(); });
  }

  get aspect() { return this.video.videoWidth / this.video.videoHeight || null; }

  /** Wall time of the shown picture, or null; playing may run on a little behind the newest one. */
  get capturedMs() {
    if (!this.#hasPicture || !this.#newest) return null;
    return Math.min(this.#newest.origin + this.video.currentTime * 1000, this.#newest.capturedMs);
  }

  /** What the recorder says of what follows; another `mime` begins anew, else only the times moved. */
  describe(media) {
    this.#origin = media.origin_ms;
    if (this.#source && this.#media.mime === media.mime) return;
    this.stop();
    this.#media = media;
    const source = new Source();
    this.#source = source;
    source.addEventListener("sourceopen", () => { if (this.#source === source) this.#open(); }, { once: true });
    this.video.src = URL.createObjectURL(source);
    this.#play();
  }

  /** One message: an init segment or fragments, newest picture captured at `capturedMs`. */
  push(bytes, capturedMs) {
    this.#owed += 1;
    this.#waiting.push({ bytes, capturedMs, origin: this.#origin });
    this.#feed();
  }

  /** Lets go of the decoder and the buffer; `onStill` gets the last picture, to be shown meanwhile. */
  stop() {
    const { src } = this.video;
    if (this.#hasPicture) createImageBitmap(this.video, { resizeWidth: this.video.clientWidth || 320 }).then(this.#onStill, () => {});
    this.#source = this.#buffer = this.#media = this.#newest = null;
    this.#waiting = [];
    this.#isAtEdge = this.#hasPicture = false;
    for (; this.#owed > 0; this.#owed -= 1) this.#onAppended();
    if (!src) return;
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(src);
    this.video.classList.remove("is-shown");
  }

  mute(isMuted) {
    this.#isMuted = isMuted;
    this.video.muted = isMuted;
  }

  #play() {
    this.video.play().catch((error) => {
      if (error.name !== "NotAllowedError" || this.#isMuted) return; // AbortError: it began anew meanwhile
      this.video.muted = true;
      this.#play();
    });
  }

  #open() {
    URL.revokeObjectURL(this.video.src);
    try {
      this.#buffer = this.#source.addSourceBuffer(this.#media.mime);
    } catch { this.#fail(); return; }
    this.#buffer.mode = "segments";
    this.#buffer.addEventListener("updateend", () => this.#feed());
    this.#feed();
  }

  #feed() {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#source.readyState !== "open" || !this.#waiting.length) return;
    if (this.#trim(TRIMMED_AT, TRIMMED_TO)) return;
    const message = this.#waiting[0];
    try {
      buffer.appendBuffer(message.bytes);
    } catch (error) {
      // Full: give up the past, and where there is none, begin anew.
      if (error.name !== "QuotaExceededError" || !this.#trim(FULL_TO + 1, FULL_TO)) this.#fail();
      return;
    }
    this.#waiting.shift();
    buffer.addEventListener("updateend", () => { if (this.#buffer === buffer) this.#appended(message); }, { once: true });
  }

  /** Starts to forget what lies more than `most` seconds behind; false where there is nothing of the kind. */
  #trim(most, to) {
    const { buffered, currentTime } = this.video;
    if (!buffered.length || currentTime - buffered.start(0) <= most) return false;
    this.#buffer.remove(0, currentTime - to);
    return true;
  }

  #appended(message) {
    this.#owed -= 1;
    this.#onAppended();
    const { buffered } = this.video;
    if (!buffered.length) return; // the init segment
    const edge = (message.capturedMs - message.origin) / 1000;
    if (!this.#newest || message.origin !== this.#newest.origin || message.capturedMs > this.#newest.capturedMs) this.#newest = message;
    this.#follow(edge, buffered);
  }

  /** Keeps the picture `#delay` behind the newest one: jumps over holes and long delays, hurries over short ones. */
  #follow(edge, buffered) {
    const { video } = this;
    const lag = edge - video.currentTime;
    if (this.#isAtEdge && video.seeking) return;
    const now = performance.now();
    const behind = now - this.#jumpedAt < JUMP_AGAIN_MS ? 3 * JUMP_BEHIND : JUMP_BEHIND;
    if (!this.#isAtEdge || lag > behind || lag < JUMP_AHEAD) {
      if (this.#isAtEdge && lag < 0) this.#delay = Math.min(LONGEST_DELAY, this.#delay * 1.5);
      this.#jump(edge, buffered);
      return;
    }
    this.#least = Math.min(this.#least, lag);
    if (now - this.#lookedAt < LOOK_MS) return;
    // The least of a second decides: a picture that came too late to be shown in time is what hurts.
    if (this.#least < 0) this.#delay = Math.min(LONGEST_DELAY, this.#delay - this.#least + 0.03);
    else this.#delay = Math.max(FIRST_DELAY, this.#delay * FORGETTING);
    const excess = this.#least - this.#delay / 2;
    const hurry = this.#isMuted ? HURRY_UNHEARD : HURRY;
    video.playbackRate = excess > 0.1 ? hurry : excess < -0.03 ? 1 / hurry : 1;
    this.#lookedAt = now;
    this.#least = Infinity;
    if (video.paused) this.#play(); // a browser may pause what nobody sees
  }

  /** The decoder had nothing to show though pictures are there: one that puts them in order needs some ahead. */
  #starve() {
    if (this.#hasPicture && performance.now() - this.#jumpedAt > LOOK_MS) this.#delay = Math.min(LONGEST_DELAY, this.#delay + 0.06);
  }

  #jump(edge, buffered) {
    const last = buffered.length - 1;
    this.video.currentTime = Math.max(buffered.start(last), Math.min(edge, buffered.end(last)) - this.#delay);
    this.video.playbackRate = 1;
    this.#isAtEdge = true;
    this.#least = Infinity;
    this.#lookedAt = this.#jumpedAt = performance.now();
  }

  #show() {
    if (this.#hasPicture || !this.#source) return;
    this.#hasPicture = true;
    this.video.classList.add("is-shown");
    this.#onPicture();
  }

  #fail() {
    this.stop();
    this.#onBroken();
  }
}
