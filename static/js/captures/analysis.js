// What an analysis found out about a capture, in words, and the button that asks for one.

import { get } from "../lib/api.js";
import { analyse, isVideo, newestAnalysis } from "../lib/captures.js";
import { announce, button, h, notice, redraw } from "../lib/dom.js";
import { duration, exact } from "../lib/time.js";

const LOOK_MS = 700;
const isOver = (analysis) => analysis.state === "done" || analysis.state === "failed";
const percent = (share) => (share > 0 && share < 1 ? "under 1 %" : `${Math.round(share)} %`);

/** One place in the viewer; of the capture that was shown last. */
export class Analyses {
  #capture = null; #timer = 0;
  element = h("section", { class: "analysis", "aria-label": "Analysis" });

  constructor({ isOperator }) { this.isOperator = isOperator; }

  /** Looks for one that is there already. */
  async show(capture) {
    this.stop();
    this.#capture = capture;
    this.#draw(null);
    try { this.#follow(capture, await newestAnalysis(capture)); } catch { /* it can still be asked for */ }
  }

  stop() {
    clearTimeout(this.#timer);
    this.#capture = null;
  }

  async ask() {
    const capture = this.#capture;
    try { this.#follow(capture, await analyse(capture)); } catch (error) { this.#draw(null, error.message); }
  }

  #follow(capture, analysis) {
    if (capture !== this.#capture) return;
    this.#draw(analysis);
    if (!analysis || isOver(analysis)) return;
    this.#timer = setTimeout(async () => {
      try {
        const now = await get(`analyses/${analysis.id}/`);
        if (isOver(now)) announce(now.state === "done" ? "The analysis is done" : now.reason);
        this.#follow(capture, now);
      } catch (error) { if (error.status !== 404) this.#follow(capture, analysis); }
    }, LOOK_MS);
  }

  #draw(analysis, trouble = "") {
    if (!analysis && !this.isOperator) { this.element.replaceChildren(); return; }
    const isBusy = analysis && !isOver(analysis);
    redraw(this.element,
      h("div", { class: "spread" }, h("h2", {}, "Analysis"),
        this.isOperator && button(analysis ? "Analyse again" : "Analyse", { disabled: Boolean(isBusy), onclick: () => this.ask() })),
      trouble ? notice(trouble, { kind: "is-bad" }) : isBusy ? busy() : analysis ? found(analysis) : h("p", { class: "muted small" }, isVideo(this.#capture) ? "How bright and how sharp it is, and whether anything moves." : "How bright and how sharp it is."));
  }
}

const busy = () => h("p", { class: "row small", role: "status" }, h("span", { class: "spinner" }), "A worker looks at it.");

function found(analysis) {
  if (analysis.state === "failed") return notice(analysis.reason, { kind: "is-bad" });
  const lines = Object.entries(analysis.result).map(([name, one]) => line(name, one)).filter(Boolean);
  return h("div", {}, h("ul", { class: "findings" }, lines), h("p", { class: "muted small" }, `Looked at ${exact(Date.parse(analysis.finished_at))}`));
}

function line(name, one) {
  const figures = one.error ? "" : FIGURES[name]?.(one) ?? "";
  const sentence = one.error ? `${LABELS[name] ?? name}: ${one.error}` : one.sentence;
  if (!sentence && !figures) return null;
  return h("li", {}, sentence && h("p", {}, sentence), figures && h("p", { class: "muted small" }, figures));
}

const LABELS = { file: "File", media: "Format", brightness: "Brightness", sharpness: "Sharpness", motion: "Motion" };
const CODECS = { jpeg: "JPEG", h264: "H.264", hevc: "H.265", raw: "Raw", mjpeg: "JPEG pictures" };

/** What a detector measured, as a person says it. */
const FIGURES = {
  media: (one) => [`${CODECS[one.codec] ?? one.codec}, ${one.width} × ${one.height}`,
    one.frames > 1 && `${one.frames} pictures`, one.duration_ms && duration(one.duration_ms), one.fps && `${Number(one.fps.toFixed(1))} a second`].filter(Boolean).join(", "),
  brightness: (one) => `Brightness ${Math.round(one.mean)} of 255; ${percent(one.dark_percent)} is lost in the dark, ${percent(one.bright_percent)} in the light`,
  sharpness: (one) => `Sharpness of edges ${Math.round(one.variance_of_laplacian)}; from 50 on it is sharp`,
  motion: (one) => `Neighbouring pictures differ by ${one.mean} of 255 on average, by ${one.max} at most; ${one.frames_compared} were compared`,
};
