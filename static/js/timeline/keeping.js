// Clips on the timeline: keep the moment at the playhead, mark a span and save it, see those there are.

import { get, mayOperate } from "../lib/api.js";
import { saveSpan } from "../lib/clips.js";
import { announce, button, h, iconButton, toast } from "../lib/dom.js";
import { follow, keep, keepButton } from "../lib/keep.js";
import { MINUTE, SECOND, clock, dayStart, duration } from "../lib/time.js";
import { Overlay } from "./overlay.js";

const FIRST_SPAN_MS = 30 * SECOND; // on each side of the playhead
const MOST_MARKS = 200; // of one camera on one day
const SPAN_VIEW_MS = 10 * MINUTE; // a view in which such a span can be seen and dragged

export class Keeping {
  #scrubber; #state; #at; #seek; #overlay; #isOperator = false; #clips = [];

  /** `at()` is the playhead or undefined while live; `seek(ms)` shows a moment. */
  constructor({ scrubber, state, at, seek }) {
    this.#scrubber = scrubber;
    this.#state = state;
    this.#at = at;
    this.#seek = seek;
    this.#overlay = new Overlay(scrubber, { onSpan: (span, edge) => { this.#showBar(); this.#seek(span[edge]); } });
    this.keepButton = keepButton({ cameras: () => state.chosen, at });
    this.spanButton = iconButton("Mark a span to save it (m)", "span", { "aria-pressed": "false", onclick: () => this.toggleSpan() });
    this.bar = h("div", { class: "span-bar", role: "group", "aria-label": "Marked span", hidden: true });
    this.buttons = h("span", { class: "row", hidden: true }, this.keepButton, this.spanButton);
    mayOperate().then((isOperator) => { this.#isOperator = isOperator; this.buttons.hidden = !isOperator; }).catch(() => {});
  }

  keepMoment() { if (this.#isOperator) keep(this.#state.chosen, { at: this.#at() }); }

  toggleSpan() {
    if (!this.#isOperator) return;
    if (this.#overlay.span) { this.#overlay.setSpan(null); this.#showBar(); return; }
    const at = this.#at() ?? Date.now() - FIRST_SPAN_MS;
    if (this.#scrubber.viewLength > SPAN_VIEW_MS) this.#scrubber.zoomTo(SPAN_VIEW_MS, at);
    this.#overlay.setSpan([at - FIRST_SPAN_MS, at + FIRST_SPAN_MS]);
    this.#scrubber.reveal(...this.#overlay.span);
    this.#showBar();
    announce(this.#words());
  }

  /** One edge to the playhead: [ and ]. */
  setEdge(edge) {
    if (!this.#isOperator) return;
    const at = this.#at() ?? Date.now();
    const [start, end] = this.#overlay.span ?? [at - FIRST_SPAN_MS, at + FIRST_SPAN_MS];
    this.#overlay.setSpan(edge ? [Math.min(start, at - SECOND), at] : [at, Math.max(end, at + SECOND)]);
    this.#showBar();
    announce(this.#words());
  }

  /** Marks of the day that is shown; `day` is its local midnight. */
  async read(day, chosen) {
    try {
      const ofDay = { start_ms: day, end_ms: dayStart(day, 1), page_size: MOST_MARKS };
      this.#clips = (await Promise.all(chosen.map((device) => get("clips/", { device, ...ofDay })))).flatMap((page) => page.results);
    } catch { return; } // the line on top says when the recorder is gone
    if (chosen === this.#state.chosen) this.#overlay.setClips(this.#clips, chosen);
  }

  #words() {
    const [start, end] = this.#overlay.span;
    return `${clock(start)} – ${clock(end)}, ${duration(end - start)}`;
  }

  #showBar() {
    const { span } = this.#overlay;
    this.bar.hidden = !span;
    this.spanButton.setAttribute("aria-pressed", String(Boolean(span)));
    this.spanButton.classList.toggle("is-on", Boolean(span));
    if (!span) return;
    if (!this.bar.childElementCount) {
      this.words = h("strong", {});
      this.save = button("Save as clip", { kind: "is-primary", icon: "keep", onclick: () => this.#save() });
      this.bar.append(this.words, h("span", { class: "muted span-help" }, "Drag the handles, or press [ and ] at the playhead"), this.save,
        iconButton("Remove the marks", "close", { onclick: () => this.toggleSpan() }));
    }
    this.words.textContent = this.#words();
  }

  async #save() {
    const [start, end] = this.#overlay.span;
    this.save.disabled = true;
    try {
      for (const id of this.#state.chosen) {
        const { group, clips } = await saveSpan(id, start, end);
        follow(group, clips);
      }
      this.toggleSpan();
      await this.read(this.#state.day, this.#state.chosen);
    } catch (error) { toast(error.message, "bad"); }
    this.save.disabled = false;
  }
}
