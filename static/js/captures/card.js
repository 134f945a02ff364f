// One capture in the gallery: its picture, how far it is, or why there is none.

import { SELF_TEST, cameraOf, canBeRetaken, hasAdvice, isOver, isReady, isVideo, momentOf, ownName, progressOf, sizeOf, titleOf } from "../lib/captures.js";
import { button, h, icon, iconButton } from "../lib/dom.js";
import { Shot, playTime } from "../lib/shot.js";
import { SECOND, clock, duration, exact } from "../lib/time.js";

export class CaptureCard extends Shot {
  isOver = isOver;
  titleOf = titleOf;
  progressOf = progressOf;

  /** `does`: `onCancel`, `onRetry`, `onDelete` of a capture; null for those who may only watch. */
  constructor(capture, does) {
    super("capture", capture.id);
    this.does = does;
  }

  keyOf(capture) { return [capture.state, capture.filename, capture.device_name, capture.sentence, capture.preview_url, capture.is_camera_picture]; }

  draw(capture) {
    const at = momentOf(capture);
    const more = isReady(capture) ? [ownName(capture) && cameraOf(capture), sizeOf(capture)] : [capture.kind === "dng" ? "raw" : isVideo(capture) && duration(capture.duration_ms)];
    this.link.textContent = ownName(capture) || cameraOf(capture);
    this.meta.replaceChildren(h("time", { title: exact(at), dateTime: new Date(at).toISOString() }, clock(at)), ...more.filter(Boolean).map((text) => ` · ${text}`));
    this.picture.replaceChildren(...this.#picture(capture));
    if (capture.is_camera_picture) this.picture.append(h("span", { class: "shot-mark", title: `Shown while ${cameraOf(capture)} sends nothing` }, icon("camera"), h("span", { class: "unseen" }, "The camera's picture")));
    this.element.classList.toggle("is-failed", capture.state === "failed");
    const below = this.#below(capture);
    this.trouble.hidden = !below.length;
    this.trouble.replaceChildren(...below);
  }

  #picture(capture) {
    if (!isOver(capture)) return this.waiting();
    if (!isReady(capture)) return [icon(capture.state === "failed" ? "attention" : "close")];
    return [this.#still(capture), this.#badge(capture)].filter(Boolean);
  }

  #still(capture) {
    const instead = icon(isVideo(capture) ? "clips" : "captures");
    if (!capture.preview_url) return instead;
    const still = h("img", { src: capture.preview_url, alt: "", loading: "lazy", decoding: "async" });
    still.addEventListener("error", () => still.replaceWith(instead), { once: true });
    return still;
  }

  #badge(capture) {
    if (capture.kind === "dng") return h("span", { class: "shot-badge", title: "A raw picture, as the sensor saw it" }, "Raw");
    if (!isVideo(capture)) return null;
    const length = capture.duration_ms < SECOND ? "0:01" : playTime(capture.duration_ms);
    return h("span", { class: "shot-badge", title: duration(capture.duration_ms) }, capture.kind === "h264" ? `H.264 ${length}` : length);
  }

  #below(capture) {
    if (isReady(capture)) return [];
    if (!isOver(capture)) return this.does ? [button("Cancel", { onclick: () => this.does.onCancel(this.item) })] : [];
    return [h("p", {}, capture.sentence, hasAdvice(capture) && [" ", h("a", { href: SELF_TEST }, "What to do")]), this.does && h("div", { class: "row" },
      canBeRetaken(capture) && button(capture.state === "failed" ? "Try again" : "Take it after all", { icon: "restart", onclick: () => this.does.onRetry(this.item) }),
      iconButton("Delete", "delete", { onclick: () => this.does.onDelete(this.item) }))].filter(Boolean);
  }
}
