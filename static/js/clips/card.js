// One clip in the gallery: its picture, or how far it is.

import { isOver, momentOf, ownName, progressOf, titleOf } from "../lib/clips.js";
import { button, h, icon } from "../lib/dom.js";
import { Shot, playTime } from "../lib/shot.js";
import { clock, duration, exact } from "../lib/time.js";

export class ClipCard extends Shot {
  isOver = isOver;
  titleOf = titleOf;
  progressOf = progressOf;

  /** `onRetry(clip)`; null for those who may only watch. */
  constructor(clip, { onRetry }) {
    super("clip", clip.id);
    this.onRetry = onRetry;
  }

  keyOf(clip) { return [clip.state, clip.name, clip.note, clip.device_name, clip.is_locked, clip.sentence, clip.reason, clip.duration_ms]; }

  draw(clip) {
    const isFailed = clip.state === "failed";
    const at = momentOf(clip);
    this.link.textContent = ownName(clip) || clip.device_name;
    this.meta.replaceChildren(...[h("time", { title: exact(at), dateTime: new Date(at).toISOString() }, clock(at)), ownName(clip) && ` · ${clip.device_name}`].filter(Boolean));
    this.picture.replaceChildren(...(clip.state === "ready" ? this.#still(clip) : isFailed ? [icon("attention")] : this.waiting()));
    if (clip.is_locked) this.picture.append(h("span", { class: "shot-mark", title: "Locked: never deleted by itself" }, icon("lock"), h("span", { class: "unseen" }, "Locked")));
    this.element.classList.toggle("is-failed", isFailed);
    this.trouble.hidden = !isFailed;
    if (isFailed) this.trouble.replaceChildren(h("p", {}, clip.sentence || clip.reason), ...(this.onRetry ? [button("Try again", { icon: "restart", onclick: () => this.onRetry(clip) })] : []));
  }

  #still(clip) {
    const still = h("img", { src: clip.thumbnail_url, alt: "", loading: "lazy", decoding: "async" });
    still.addEventListener("error", () => still.replaceWith(icon("clips")), { once: true });
    return [still, h("span", { class: "shot-badge", title: duration(clip.duration_ms) }, playTime(clip.duration_ms))];
  }
}
