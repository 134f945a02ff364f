// One camera's live picture by a credit-based WebSocket (docs/design/interfaces.md): JPEGs → createImageBitmap → canvas,
// H.264 and H.265 → <video> (mse.js). A JPEG costs one decode off the page's thread and one transfer; no element is made
// or changed per frame.

import { MsePlayer, canPlay, cannotPlay } from "./mse.js";

const HEADER_BYTES = 16;
const CREDIT = 2; // one on its way while one is being drawn
const STREAM_CREDIT = 12; // fragments are small and come in bursts
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
const SILENT_MS = 12_000; // the recorder says when a camera stops; silence means the connection died
const MAX_BROKEN = 3; // beginnings without a picture, after which stills have to do

export class LiveStream {
  #canvas; #context; #onState; #onPicture; #onSize; #url;
  #socket = null; #retryTimer = 0; #retryMs = FIRST_RETRY_MS; #watchTimer = 0; #heardAt = 0;
  #isDecoding = false; #waiting = null; #drawn = null; #wanted = false; #isStreaming = false;
  #player = null; #isPlaying = false; #mode = "video"; #media = null; #given = 0; #broken = 0; #serverAheadMs = 0;

  /** `onState(state)` gets the recorder's messages, `onPicture()` the first picture of a connection, `onSize()` a new size. */
  constructor(deviceId, canvas, { onState = () => {}, onPicture = () => {}, onSize = () => {} } = {}) {
    this.#url = `${location.protocol === "http:" ? "ws" : "wss"}://${location.host}/ws/live/${deviceId}`;
    this.#canvas = canvas;
    this.#onState = onState;
    this.#onPicture = onPicture;
    this.#onSize = onSize;
    addEventListener("online", () => { if (this.#wanted && !this.#socket) this.#connect(); });
  }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#retryMs = FIRST_RETRY_MS;
    this.#connect();
  }

  stop() {
    this.#wanted = false;
    clearTimeout(this.#retryTimer);
    clearInterval(this.#watchTimer);
    this.#socket?.close();
    this.#socket = null;
    this.#waiting = null;
    this.#stopPlaying();
  }

  /** Milliseconds since the shown frame was captured, by the recorder's clock; null before the first. */
  get ageMs() {
    const shownMs = this.capturedMs;
    return shownMs && Math.max(0, performance.now() + this.#serverAheadMs - shownMs);
  }

  /** Wall time of the shown frame, or null. */
  get capturedMs() { return (this.#isPlaying && this.#player.capturedMs) || (this.#drawn?.capturedMs ?? null); }

  get isConnected() { return this.#socket?.readyState === WebSocket.OPEN; }

  /** Width by height of the picture. */
  get aspect() { return (this.#isPlaying && this.#player.aspect) || this.#canvas.width / this.#canvas.height; }

  /** Key pictures now and then, because the browser cannot play the stream. */
  get isStills() { return this.#mode === "stills"; }

  /** Whether the camera has sound that this browser can play. */
  get hasSound() { return this.#media !== null && this.#media.has_sound && this.#mode !== "stills"; }

  get isAudible() { return this.#mode === "sound"; }

  /** Only from a click or a key: no browser lets a page begin to sound by itself. */
  setAudible(isAudible) {
    if (!this.hasSound || isAudible === this.isAudible) return;
    this.#player.mute(!isAudible);
    this.#ask(isAudible ? "sound" : "video");
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#heardAt = performance.now();
    socket.onopen = () => {
      this.#given = 0;
      if (this.#mode !== "video") this.#ask(this.#mode);
      this.#grant(CREDIT);
    };
    socket.onmessage = ({ data }) => {
      this.#heardAt = performance.now();
      if (typeof data === "string") this.#hear(JSON.parse(data));
      else this.#take(data);
    };
    socket.onclose = ({ code }) => { if (this.#socket === socket) this.#lost(code); };
    clearInterval(this.#watchTimer);
    this.#watchTimer = setInterval(() => this.#watch(), SILENT_MS / 4);
  }

  #hear(message) {
    if (message.type === "media") { this.#prepare(message); return; }
    this.#isStreaming = message.presence === "streaming";
    this.#onState(message);
  }

  #lost(code) {
    this.#socket = null;
    clearInterval(this.#watchTimer);
    if (!this.#wanted) return;
    if (code === 4401) { location.assign(`/login/?next=${encodeURIComponent(location.pathname + location.search)}`); return; }
    if (code === 4404) { this.#onState({ type: "state", presence: "gone" }); return; }
    this.#onState({ type: "state", presence: "unreachable" });
    this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs * (0.75 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #watch() {
    if (!this.#isStreaming || performance.now() - this.#heardAt < SILENT_MS) return;
    const socket = this.#socket;
    socket.onclose = null;
    socket.close();
    this.#lost(0);
  }

  #grant(credit) {
    if (!this.isConnected) return;
    this.#given += credit;
    this.#socket.send(JSON.stringify({ credit }));
  }

  #ask(mode) {
    this.#mode = mode;
    if (this.isConnected) this.#socket.send(JSON.stringify({ show: mode }));
  }

  #take(buffer) {
    this.#given -= 1;
    const header = new DataView(buffer, 0, HEADER_BYTES + 2);
    const arrived = { buffer, socket: this.#socket, capturedMs: Number(header.getBigUint64(0)) };
    this.#serverAheadMs = Number(header.getBigUint64(8)) - performance.now();
    if (header.getUint16(HEADER_BYTES) !== 0xffd8) { this.#play(arrived); return; }
    if (this.#isPlaying) this.#stopPlaying(); // it gives JPEGs now
    if (this.#waiting) this.#grant(1); // its place is taken by a newer one
    this.#waiting = arrived;
    if (!this.#isDecoding) this.#drawNewest();
  }

  // --- JPEGs

  async #drawNewest() {
    this.#isDecoding = true;
    while (this.#waiting && this.#wanted) {
      const frame = this.#waiting;
      this.#waiting = null;
      try {
        this.#show(await createImageBitmap(new Blob([new Uint8Array(frame.buffer, HEADER_BYTES)], { type: "image/jpeg" })));
        this.#note(frame);
      } catch { /* a frame that cannot be decoded is skipped like one that never came */ }
      this.#grant(1);
    }
    this.#isDecoding = false;
  }

  #show(bitmap) {
    const { width, height } = bitmap; // the transfer empties it, and leaves the canvas's own size alone
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      Object.assign(this.#canvas, { width, height });
      this.#onSize();
    }
    // Not "2d": drawing there takes twice the time of the page's thread (measured with ten cameras).
    this.#context ??= this.#canvas.getContext("bitmaprenderer", { alpha: false });
    this.#context.transferFromImageBitmap(bitmap);
  }

  #note({ socket, capturedMs }) {
    const isFirst = this.#drawn?.socket !== socket;
    this.#drawn = { socket, capturedMs };
    this.#retryMs = FIRST_RETRY_MS;
    if (isFirst) this.#onPicture();
  }

  // --- H.264 and H.265

  /** The recorder says what the stream is; where it cannot be played, key pictures come as JPEGs. */
  #prepare(media) {
    this.#media = media;
    if (!canPlay(media.mime) || this.#broken >= MAX_BROKEN) { this.#resign(); return; }
    this.#player ??= this.#makePlayer();
    this.#isPlaying = true;
    this.#player.describe(media);
    if (this.#given < STREAM_CREDIT) this.#grant(STREAM_CREDIT - this.#given);
    this.#onState({ type: "media", note: "" });
  }

  #makePlayer() {
    const player = new MsePlayer({
      onAppended: () => this.#grant(1),
      onPicture: () => {
        this.#retryMs = FIRST_RETRY_MS;
        this.#broken = 0;
        this.#onSize();
        this.#onPicture();
      },
      onSize: () => this.#onSize(),
      onStill: (bitmap) => this.#show(bitmap),
      onBroken: () => {
        this.#broken += 1;
        if (this.#broken >= MAX_BROKEN) this.#resign();
        else this.#ask(this.#mode);
      },
    });
    this.#canvas.after(player.video);
    return player;
  }

  #resign() {
    this.#stopPlaying();
    this.#ask("stills");
    this.#onState({ type: "media", note: cannotPlay(this.#media.codec) });
  }

  #play({ buffer, capturedMs }) {
    if (this.#isPlaying) this.#player.push(new Uint8Array(buffer, HEADER_BYTES), capturedMs);
    else this.#grant(1); // on its way while stills were asked for
  }

  /** The player lets go of its decoder; the canvas below keeps the last picture and its time. */
  #stopPlaying() {
    if (!this.#isPlaying) return;
    this.#drawn = { socket: null, capturedMs: this.#player.capturedMs ?? this.#drawn?.capturedMs ?? null };
    this.#isPlaying = false;
    this.#player.stop();
  }
}
