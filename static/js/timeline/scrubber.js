// One day as a bar per camera: what is recorded, where the playhead is; drag seeks, wheel and pinch zoom.

import { h } from "../lib/dom.js";
import { DAY, MINUTE, SECOND, clock, duration, hourMinute, weekday } from "../lib/time.js";
import { timesOf } from "./gaps.js";

const SHORTEST_VIEW = MINUTE;
const TIP_MS = 3000;
const HEAD = 26; // px for the hours
const LABEL_EVERY = 76; // px at least
const STEPS = [5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600].map((seconds) => seconds * SECOND);
const ROW = { 1: 44, 2: 30, 3: 26, 4: 24 };

export class Scrubber {
  #canvas = h("canvas", { "aria-hidden": "true" });
  #tip = h("div", { class: "scrub-tip", hidden: true });
  #day = [0, DAY]; #view = [0, DAY]; #rows = []; #at = 0; #hover = null; #isQueued = false; #colours = {};
  #pointers = new Map(); #onSeek; #onView; #pinch = null; #width = 0; #hatch = null; #tipTimer = 0;

  /** `onSeek(ms, isFinal)` while dragging and at its end; `onView(lengthMs)` after zooming. */
  constructor({ onSeek, onView }) {
    this.#onSeek = onSeek;
    this.#onView = onView;
    this.onPaint = () => {}; // for what lies over the bar
    this.bar = h("div", { class: "scrub-bar", role: "slider", tabIndex: 0, "aria-label": "Time of day" }, this.#canvas, this.#tip);
    this.element = h("div", { class: "scrub" }, this.bar);
    new ResizeObserver(() => this.#resize()).observe(this.element);
    new MutationObserver(() => this.#readColours()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const on = (name, handler, options) => this.bar.addEventListener(name, handler, options);
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#up(event));
    on("pointerleave", (event) => {
      clearTimeout(this.#tipTimer); // a finger leaves as soon as it taps: what it asked for stays for a moment
      this.#tipTimer = setTimeout(() => { this.#hover = null; this.#tip.hidden = true; this.#draw(); }, event.pointerType === "touch" ? TIP_MS : 0);
    });
    on("wheel", (event) => this.#wheel(event), { passive: false });
    this.#readColours();
  }

  get viewLength() { return this.#view[1] - this.#view[0]; }
  get isDragged() { return this.#pointers.size > 0; }
  get dayRange() { return this.#day; }
  get width() { return this.#width; }
  xOf(ms) { return ((ms - this.#view[0]) / this.viewLength) * this.#width; }
  rowTop(index) { return HEAD + index * this.#rowHeight; }

  /** `[start, end)` of the local day; it has 23 to 25 hours. The zoom is kept around the playhead. */
  setDay(start, end, length = end - start) {
    this.#day = [start, end];
    this.bar.setAttribute("aria-valuemin", "0");
    this.bar.setAttribute("aria-valuemax", String((end - start) / SECOND));
    this.zoomTo(length, this.#at);
  }

  /** `[{name, spans: [[start, end], …], gapAt(ms), filing()}]`, one row each; `gapAt` knows why there is no video, or gives undefined;
      `filing()` are spans that are recorded and cannot be played yet. */
  setRows(rows) {
    const isResized = rows.length !== this.#rows.length;
    this.#rows = rows;
    if (isResized) this.#resize();
    this.#draw();
  }

  /** The playhead; the view follows it unless a hand is on the bar. */
  setAt(ms) {
    this.#at = ms;
    this.bar.setAttribute("aria-valuenow", String(Math.round((ms - this.#day[0]) / SECOND)));
    this.bar.setAttribute("aria-valuetext", `${clock(ms)}, ${weekday(ms)}`);
    const [start, end] = this.#view;
    if (!this.isDragged && this.viewLength < this.#day[1] - this.#day[0] && (ms < start || ms > end - this.viewLength * 0.05)) {
      this.#follow(ms, this.viewLength);
    }
    this.#draw();
  }

  /** Moves the view, and widens it if need be, so that all of `[start, end]` lies in it. */
  reveal(start, end) {
    if (start >= this.#view[0] && end <= this.#view[1]) return;
    const length = Math.min(Math.max(this.viewLength, (end - start) * 1.5), this.#day[1] - this.#day[0]);
    this.#setView((start + end - length) / 2, length);
    this.#onView(length);
  }

  zoomBy(factor, around = this.#at) { this.zoomTo(this.viewLength * factor, around); }

  zoomTo(length, around) {
    const [start, end] = this.#view;
    const share = Math.min(Math.max((around - start) / (end - start), 0), 1);
    const kept = Math.min(Math.max(length, SHORTEST_VIEW), this.#day[1] - this.#day[0]);
    this.#setView(around - kept * (around >= start && around <= end ? share : 0.5), kept);
    this.#onView(this.viewLength);
  }

  /** So much time around `at`. */
  frame(at, length) {
    this.#follow(at, Math.min(Math.max(length, SHORTEST_VIEW), this.#day[1] - this.#day[0]));
    this.#onView(this.viewLength);
  }

  /** Room to go on to, but of what is yet to come no more than a margin. */
  #follow(at, length) { this.#setView(Math.min(at - length * 0.2, Date.now() - length * 0.9), length); }

  #setView(start, length) {
    const from = Math.min(Math.max(start, this.#day[0]), this.#day[1] - length);
    this.#view = [from, from + length];
    this.#draw();
  }

  // --- hands

  timeAt(clientX) {
    const { left } = this.#canvas.getBoundingClientRect();
    const [start, end] = this.#view;
    return Math.min(Math.max(start + ((clientX - left) / this.#width) * (end - start), this.#day[0]), this.#day[1] - 1);
  }

  #down(event) {
    if (event.button > 0) return;
    this.bar.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event.clientX);
    if (this.#pointers.size === 1) this.#onSeek(this.timeAt(event.clientX), false);
    if (this.#pointers.size === 2) this.#pinch = { view: [...this.#view], ...this.#spread() };
    this.#showTip(event);
  }

  #move(event) {
    this.#showTip(event);
    if (!this.#pointers.has(event.pointerId)) return;
    this.#pointers.set(event.pointerId, event.clientX);
    if (this.#pinch) this.#zoomByPinch();
    else this.#onSeek(this.timeAt(event.clientX), false);
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    if (!this.#pinch) this.#onSeek(this.timeAt(event.clientX), true);
    if (!this.#pointers.size) this.#pinch = null;
  }

  #spread() {
    const [a, b] = [...this.#pointers.values()];
    return { middle: (a + b) / 2, distance: Math.max(Math.abs(a - b), 10) };
  }

  /** What was between the fingers stays between them. */
  #zoomByPinch() {
    const { middle, distance } = this.#spread();
    const [start, end] = this.#pinch.view;
    const { left } = this.#canvas.getBoundingClientRect();
    const length = Math.min(Math.max((end - start) * (this.#pinch.distance / distance), SHORTEST_VIEW), this.#day[1] - this.#day[0]);
    const held = start + ((this.#pinch.middle - left) / this.#width) * (end - start);
    this.#setView(held - ((middle - left) / this.#width) * length, length);
    this.#onView(length);
  }

  #wheel(event) {
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.#setView(this.#view[0] + ((event.deltaX || event.deltaY) / this.#width) * this.viewLength, this.viewLength);
    } else {
      this.zoomBy(1.0018 ** Math.min(Math.max(event.deltaY, -240), 240), this.timeAt(event.clientX));
    }
  }

  #showTip(event) {
    if (event.pointerType === "touch" && !this.isDragged) return;
    clearTimeout(this.#tipTimer);
    const at = this.timeAt(event.clientX);
    const { left, top } = this.#canvas.getBoundingClientRect();
    this.#hover = at;
    const row = this.#rows[Math.floor((event.clientY - top - HEAD) / this.#rowHeight)];
    this.#tip.textContent = [clock(at), row && this.#describe(row, at)].filter(Boolean).join(" · ");
    this.#tip.hidden = false;
    const x = Math.min(Math.max(event.clientX - left, this.#tip.offsetWidth / 2), this.#width - this.#tip.offsetWidth / 2);
    this.#tip.style.transform = `translate(calc(${x}px - 50%), -100%)`;
    this.#draw();
  }

  #describe(row, at) {
    if (at > Date.now()) return "";
    const next = row.spans.findIndex(([, end]) => end > at);
    if (next >= 0 && row.spans[next][0] <= at) return "";
    if (row.filing().some(([start, end]) => start <= at && at < end)) return `${row.name}: recorded, not filed yet`;
    const gap = row.gapAt(at);
    if (gap) return `${row.name}: nothing recorded for ${duration((gap.ended_ms ?? Date.now()) - gap.began_ms)}, ${timesOf(gap, at)} · ${gap.sentence}`;
    const from = next > 0 ? row.spans[next - 1][1] : next < 0 && row.spans.length ? row.spans.at(-1)[1] : this.#day[0];
    const to = next >= 0 ? row.spans[next][0] : Math.min(this.#day[1], Date.now());
    return `${row.name}: nothing recorded for ${duration(to - from)}`;
  }

  // --- drawing, at most once a screen frame

  get #rowHeight() { return ROW[this.#rows.length] ?? 24; }

  #resize() {
    const ratio = devicePixelRatio;
    const height = HEAD + Math.max(1, this.#rows.length) * this.#rowHeight + 6;
    this.#width = this.element.clientWidth;
    Object.assign(this.#canvas, { width: Math.round(this.#width * ratio), height: Math.round(height * ratio) });
    this.#canvas.style.height = `${height}px`;
    this.#draw();
  }

  #readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["surface", "line", "line-strong", "text", "muted", "accent", "hover", "live", "bg"]) this.#colours[name] = style.getPropertyValue(`--${name}`).trim();
    const tile = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
    const context = tile.getContext("2d");
    context.strokeStyle = this.#colours["line-strong"];
    context.globalAlpha = 0.45;
    context.beginPath();
    for (const x of [-4, 4]) { context.moveTo(x, 8); context.lineTo(x + 8, 0); }
    context.stroke();
    this.#hatch = tile;
    this.#draw();
  }

  #draw() {
    if (this.#isQueued) return;
    this.#isQueued = true;
    requestAnimationFrame(() => { this.#isQueued = false; this.#paint(); });
  }

  #paint() {
    const context = this.#canvas.getContext("2d");
    const ratio = devicePixelRatio;
    const height = this.#canvas.height / ratio;
    const [start, end] = this.#view;
    const x = (ms) => ((ms - start) / (end - start)) * this.#width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.#width, height);
    this.#paintHours(context, x, height);
    this.#rows.forEach((row, index) => this.#paintRow(context, x, row, HEAD + index * this.#rowHeight));
    const line = (ms, colour, width) => { context.fillStyle = colour; context.fillRect(x(ms) - width / 2, 0, width, height); };
    if (this.#hover !== null) line(this.#hover, this.#colours.muted, 1);
    if (Date.now() > start && Date.now() < end) line(Date.now(), this.#colours.live, 1.5);
    line(this.#at, this.#colours.text, 2);
    context.beginPath();
    context.moveTo(x(this.#at) - 6, 0);
    context.lineTo(x(this.#at) + 6, 0);
    context.lineTo(x(this.#at), 8);
    context.fill();
    this.onPaint();
  }

  #paintHours(context, x, height) {
    const [start, end] = this.#view;
    const step = STEPS.find((one) => (one / (end - start)) * this.#width >= LABEL_EVERY) ?? STEPS.at(-1);
    const say = step < MINUTE ? clock : hourMinute;
    context.font = `500 12px ${getComputedStyle(this.element).fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const first = this.#day[0] + Math.ceil((start - this.#day[0]) / step) * step;
    for (let at = first - step; at <= end; at += step) {
      context.fillStyle = this.#colours.line;
      context.fillRect(x(at), HEAD - 6, 1, height);
      context.fillStyle = this.#colours.muted;
      const isEdge = x(at) < 20 || x(at) > this.#width - 20;
      if (!isEdge) context.fillText(say(at), x(at), 11);
    }
  }

  #paintRow(context, x, row, top) {
    const height = this.#rowHeight - 4;
    const past = Math.min(x(Math.min(Date.now(), this.#day[1])), this.#width);
    context.fillStyle = this.#colours.hover;
    context.fillRect(0, top, Math.max(0, past), height);
    context.fillStyle = context.createPattern(this.#hatch, "repeat");
    context.fillRect(0, top, Math.max(0, past), height);
    const fill = ([from, to], strength) => {
      if (to < this.#view[0] || from > this.#view[1]) return;
      const left = Math.max(x(from), 0);
      const width = Math.max(Math.min(x(to), this.#width) - left, 1);
      context.fillStyle = this.#colours.surface;
      context.fillRect(left, top, width, height);
      context.fillStyle = this.#colours.accent;
      context.globalAlpha = strength;
      context.fillRect(left, top, width, height);
      context.globalAlpha = 1;
    };
    for (const span of row.spans) fill(span, 0.85);
    for (const span of row.filing()) fill(span, 0.4);
    if (this.#rows.length > 1) {
      const width = context.measureText(row.name).width + 12;
      context.textAlign = "left";
      context.fillStyle = this.#colours.bg;
      context.globalAlpha = 0.8;
      context.fillRect(0, top, width, height);
      context.globalAlpha = 1;
      context.fillStyle = this.#colours.text;
      context.fillText(row.name, 6, top + height / 2 + 1);
      context.textAlign = "center";
    }
  }
}

