// Over the day's bar: clips as marks that open, and two handles that mark a span to keep.

import { clipHref, momentOf, titleOf } from "../lib/clips.js";
import { h, icon } from "../lib/dom.js";
import { HOUR, MINUTE, SECOND, clock, duration } from "../lib/time.js";

export const LONGEST_SPAN = HOUR;
const SHORTEST_SPAN = SECOND;
const STEPS = { ArrowLeft: -SECOND, ArrowRight: SECOND, ArrowDown: -10 * SECOND, ArrowUp: 10 * SECOND, PageDown: -MINUTE, PageUp: MINUTE };

export class Overlay {
  #scrubber; #marks = new Map(); #span = null; #onSpan;

  /** `onSpan([start, end] | null, edge)` on each change by hand: `edge` 0 or 1 is the handle that moved. */
  constructor(scrubber, { onSpan }) {
    this.#scrubber = scrubber;
    this.#onSpan = onSpan;
    this.band = h("div", { class: "span-band", hidden: true });
    this.handles = ["Start of the span", "End of the span"].map((label, edge) => this.#handle(label, edge));
    this.layer = h("div", { class: "scrub-layer" }, this.band, ...this.handles);
    scrubber.element.append(this.layer);
    scrubber.onPaint = () => this.place();
  }

  get span() { return this.#span; }

  /** Clips of the shown cameras; each becomes a mark in the row of its camera. */
  setClips(clips, rows) {
    const shown = clips.filter((clip) => rows.includes(clip.device));
    const ids = new Set(shown.map((clip) => clip.id));
    for (const [id, { element }] of this.#marks) if (!ids.has(id)) { element.remove(); this.#marks.delete(id); }
    for (const clip of shown) {
      const known = this.#marks.get(clip.id);
      const element = known?.element ?? this.layer.appendChild(h("a", { class: "clip-mark", href: clipHref(clip) }, icon("keep")));
      element.title = `Clip: ${titleOf(clip)}, ${duration(clip.end_ms - clip.start_ms)}`;
      element.setAttribute("aria-label", element.title);
      element.classList.toggle("is-open", clip.state !== "ready");
      this.#marks.set(clip.id, { element, clip, row: rows.indexOf(clip.device) });
    }
    this.place();
  }

  /** `[start, end)` in ms, or null for none; kept within an hour and the past. */
  setSpan(span) {
    this.#span = span && [span[0], Math.min(span[1], span[0] + LONGEST_SPAN, Date.now())];
    if (this.#span && this.#span[1] - this.#span[0] < SHORTEST_SPAN) this.#span[0] = this.#span[1] - SHORTEST_SPAN;
    for (const part of [this.band, ...this.handles]) part.hidden = !this.#span;
    this.place();
  }

  /** Called by the scrubber on every paint, so that nothing lags behind the bar. */
  place() {
    const { width } = this.#scrubber;
    const isSeen = (x) => x > -20 && x < width + 20;
    for (const { element, clip, row } of this.#marks.values()) {
      const x = this.#scrubber.xOf(momentOf(clip));
      element.hidden = !isSeen(x);
      if (!element.hidden) element.style.transform = `translate(${x}px, ${this.#scrubber.rowTop(row)}px)`;
    }
    if (!this.#span) return;
    const [left, right] = this.#span.map((ms) => this.#scrubber.xOf(ms));
    const from = Math.min(Math.max(left, 0), width);
    this.band.style.transform = `translateX(${from}px)`;
    this.band.style.width = `${Math.max(Math.min(right, width) - from, 0)}px`;
    this.handles.forEach((handle, edge) => {
      const x = edge ? right : left;
      handle.hidden = !isSeen(x);
      handle.style.transform = `translateX(${x}px)`;
      const [start, end] = this.#scrubber.dayRange;
      handle.setAttribute("aria-valuemin", "0");
      handle.setAttribute("aria-valuemax", String((end - start) / SECOND));
      handle.setAttribute("aria-valuenow", String(Math.round((this.#span[edge] - start) / SECOND)));
      handle.setAttribute("aria-valuetext", clock(this.#span[edge]));
    });
  }

  #handle(label, edge) {
    const handle = h("div", { class: `span-handle ${edge ? "is-end" : ""}`, role: "slider", tabIndex: 0, "aria-label": label, hidden: true });
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      handle.setPointerCapture(event.pointerId);
      handle.focus();
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) this.#moveTo(edge, this.#scrubber.timeAt(event.clientX));
    });
    handle.addEventListener("keydown", (event) => {
      if (!STEPS[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      this.#moveTo(edge, this.#span[edge] + STEPS[event.key]);
    });
    return handle;
  }

  /** A handle stops at the other one, at an hour from it and at now. */
  #moveTo(edge, ms) {
    const [start, end] = this.#span;
    this.setSpan(edge
      ? [start, Math.min(Math.max(ms, start + SHORTEST_SPAN), start + LONGEST_SPAN)]
      : [Math.max(Math.min(ms, end - SHORTEST_SPAN), end - LONGEST_SPAN), end]);
    this.#scrubber.reveal(this.#span[edge], this.#span[edge]); // a handle out of sight would lose the focus
    this.#onSpan(this.#span, edge);
  }
}
