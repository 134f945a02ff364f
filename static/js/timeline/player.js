// One camera's past: wall time in, picture out. Media time inside a playlist has no gaps, so wall time
// comes from the playlist's EXT-X-PROGRAM-DATE-TIME (hls.js) or from the coverage (Safari's own player).

import { h, icon } from "../lib/dom.js";
import { HOUR, MINUTE, clock } from "../lib/time.js";
import { timesOf } from "./gaps.js";

const BEFORE_MS = 5 * MINUTE; // of each playlist, so that small steps back need no new one
const AFTER_MS = HOUR;
const PATIENCE_MS = 8000;
const NEAR_S = 1;

export const FILING = "The newest moments are recorded and still being filed. Live shows them now.";

let hlsModule;
const loadHls = () => (hlsModule ??= import(document.body.dataset.hls));
const isNative = () => !window.MediaSource && document.createElement("video").canPlayType("application/vnd.apple.mpegurl");

/** Resolves once the video shows `seconds()`, or after a while without: a seek must never hang the page.
    Not by "seeked" alone, which does not come where the video already stands at that moment. */
function arrived(video, seconds) {
  return new Promise((resolve) => {
    const signs = ["seeked", "loadeddata", "canplay", "timeupdate"];
    const stop = () => {
      clearTimeout(timer);
      for (const name of signs) video.removeEventListener(name, look);
      resolve();
    };
    const look = () => {
      const wanted = seconds();
      const isThere = wanted !== null && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && !video.seeking;
      if (isThere && Math.abs(video.currentTime - wanted) < NEAR_S) stop();
    };
    const timer = setTimeout(stop, PATIENCE_MS);
    for (const name of signs) video.addEventListener(name, look);
  });
}

export class Player {
  #hls = null; #window = null; #fragments = []; #spans = []; #wanted = null; #isBusy = false; #isPlaying = false; #speed = 1;
  #missing = null; // the moment asked for, of which there is no picture

  constructor(camera) {
    this.camera = camera;
    this.gapAt = () => undefined; // why there is no video at a moment
    this.filing = () => []; // spans that are recorded and cannot be played yet
    this.video = h("video", { muted: true, playsInline: true, preload: "auto", disablePictureInPicture: true, "aria-label": `Video of ${camera.name}` });
    this.message = h("p", { class: "player-message", hidden: true });
    this.element = h("figure", { class: "player" }, this.video, h("span", { class: "player-busy spinner" }), this.message, h("figcaption", {}, camera.name));
    this.video.addEventListener("waiting", () => this.#setWaiting(true));
    for (const name of ["playing", "seeked", "canplay"]) this.video.addEventListener(name, () => this.#setWaiting(false));
  }

  /** What is recorded, `[[start, end], …]` in order. */
  set spans(spans) { this.#spans = spans; }

  covers(ms) { return this.#spans.some(([start, end]) => ms >= start && ms < end); }

  /** The first recorded moment at or after `ms`; null when there is none. */
  nextAt(ms) {
    const span = this.#spans.find(([, end]) => end > ms);
    return span ? Math.max(span[0], ms) : null;
  }

  /** Where the span that holds `ms` ends. */
  endAt(ms) { return this.#spans.find(([start, end]) => ms >= start && ms < end)?.[1] ?? ms; }

  get isBusy() { return this.#isBusy; }
  get isStalled() { return this.video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA; }

  /** Wall time of the shown frame; null before the first. */
  get wall() { return this.#fragments.length || this.#hls === null ? this.#wallOf(this.video.currentTime) : null; }

  /** Shows the picture of `ms`. Asked again while one is on its way, only the last wish counts. */
  async seek(ms) {
    this.#wanted = ms;
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.#wanted !== null) {
      const target = this.#wanted;
      this.#wanted = null;
      try { await this.#show(target); } catch (error) { this.say(error.message); }
    }
    this.#isBusy = false;
    this.#run();
  }

  /** After more is known of what is recorded or why it is not: the picture, or the better reason. */
  lookAgain() { if (this.#missing !== null && !this.#isBusy) this.seek(this.#missing); }

  play(speed) {
    this.#isPlaying = true;
    this.#speed = speed;
    if (!this.#isBusy) this.#run();
  }

  pause() {
    this.#isPlaying = false;
    this.video.pause();
  }

  /** Words in place of the picture; empty shows the picture again. */
  say(text) {
    if (this.message.textContent !== text) this.message.replaceChildren(...(text ? [icon("offline"), text] : []));
    this.message.hidden = !text;
    this.element.classList.toggle("is-empty", Boolean(text));
  }

  destroy() {
    this.#hls?.destroy();
    this.video.removeAttribute("src");
    this.element.remove();
  }

  #setWaiting(isWaiting) { this.element.classList.toggle("is-waiting", isWaiting); }

  #run() {
    if (!this.#isPlaying || this.element.classList.contains("is-empty")) { this.video.pause(); return; }
    if (this.video.playbackRate !== this.#speed) this.video.playbackRate = this.#speed;
    if (this.video.paused) this.video.play().catch(() => {}); // refused while another seek is under way
  }

  async #show(ms) {
    if (!this.covers(ms)) {
      this.video.pause();
      this.#missing = ms;
      this.say(this.#whyNot(ms));
      return;
    }
    this.#missing = null;
    this.say("");
    this.#setWaiting(true);
    const isInside = this.#window && ms >= this.#window[0] && ms < this.#window[1] && this.#mediaOf(ms) !== null;
    if (!isInside) await this.#load(ms);
    else {
      const there = arrived(this.video, () => this.#mediaOf(ms));
      this.video.currentTime = this.#mediaOf(ms);
      await there;
    }
    this.#setWaiting(false);
  }

  #whyNot(ms) {
    if (ms > Date.now()) return "This has not happened yet";
    if (this.filing().some(([start, end]) => ms >= start && ms < end)) return FILING;
    const gap = this.gapAt(ms);
    return `Nothing was recorded at ${clock(ms)}${gap ? ` (${timesOf(gap, ms)}): ${gap.sentence}` : ""}`;
  }

  async #load(ms) {
    this.#window = [ms - BEFORE_MS, ms + AFTER_MS];
    const url = `/api/v1/devices/${this.camera.id}/playlist.m3u8?start_ms=${Math.round(this.#window[0])}&end_ms=${Math.round(this.#window[1])}`;
    if (isNative()) await this.#loadNative(url, ms);
    else await this.#loadHls(url, ms);
  }

  async #loadHls(url, ms) {
    const { default: Hls } = await loadHls();
    this.#hls?.destroy();
    this.#fragments = [];
    const hls = new Hls({ autoStartLoad: false, enableWorker: false, maxBufferLength: 60, backBufferLength: 60, maxBufferHole: 1 });
    this.#hls = hls;
    let isFirst = true;
    const ready = arrived(this.video, () => this.#mediaOf(ms));
    hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => this.#note(details));
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      this.#note(details);
      if (!isFirst) return;
      isFirst = false;
      this.video.currentTime = this.#mediaOf(ms) ?? 0;
    });
    hls.on(Hls.Events.LEVEL_PTS_UPDATED, (_, { details }) => this.#note(details));
    const failed = new Promise((_, reject) => {
      hls.on(Hls.Events.ERROR, (_event, data) => { if (data.fatal) reject(new Error(this.#wordsFor(data))); });
    });
    failed.catch((error) => { if (this.#hls === hls) { this.say(error.message); this.#window = null; } });
    hls.attachMedia(this.video);
    hls.loadSource(url);
    hls.on(Hls.Events.MANIFEST_PARSED, () => hls.startLoad(this.#mediaOf(ms) ?? 0));
    await Promise.race([ready, failed]);
  }

  #wordsFor(data) {
    const code = data.response?.code;
    if (code === 404) return "This recording is gone";
    return code ? `The recorder answered ${code}` : "The video cannot be played here";
  }

  #note(details) {
    this.#fragments = details.fragments.filter((fragment) => fragment.programDateTime);
  }

  async #loadNative(url, ms) {
    const there = arrived(this.video, () => this.#mediaOf(ms));
    this.video.src = url;
    this.video.addEventListener("loadedmetadata", () => { this.video.currentTime = this.#mediaOf(ms) ?? 0; }, { once: true });
    await there;
  }

  /** Pieces of continuous video as `[wall ms, media s, length s]`. */
  *#pieces() {
    if (this.#hls) {
      for (const fragment of this.#fragments) yield [fragment.programDateTime, fragment.start, fragment.duration];
      return;
    }
    let media = 0;
    for (const [start, end] of this.#spans) {
      const from = Math.max(start, this.#window?.[0] ?? 0);
      const length = (Math.min(end, this.#window?.[1] ?? 0) - from) / 1000;
      if (length <= 0) continue;
      yield [from, media, length];
      media += length;
    }
  }

  #mediaOf(ms) {
    for (const [wall, media, length] of this.#pieces()) {
      if (ms < wall + length * 1000) return media + Math.max(0, ms - wall) / 1000;
    }
    return null;
  }

  #wallOf(time) {
    let last = null;
    for (const [wall, media, length] of this.#pieces()) {
      if (time < media && last) break;
      last = wall + Math.min(Math.max(time - media, 0), length) * 1000;
      if (time < media + length) break;
    }
    return last;
  }
}
