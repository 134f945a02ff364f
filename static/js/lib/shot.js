// One item of a gallery: its picture or how far it is, its name, a line about it, and what is wrong.

import { announce, h } from "./dom.js";

/** A player's way to write a length: 0:58, 12:03, 1:00:00. */
export function playTime(ms) {
  const seconds = Math.round(ms / 1000);
  const pad = (number) => String(number).padStart(2, "0");
  const rest = `${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  return seconds >= 3600 ? `${Math.floor(seconds / 3600)}:${rest}` : rest.replace(/^0/, "");
}

/** `share` from 0 to 1; null where it is not known how long it takes. */
export function showProgress(place, { word, share }) {
  const bar = place.querySelector(".shot-bar");
  place.querySelector(".shot-word").textContent = word;
  bar.hidden = share === null;
  bar.firstChild.style.setProperty("--share", String(share ?? 0));
}

/** A subclass says `isOver(item)`, `titleOf(item)`, `progressOf(item)`, `keyOf(item)` (what is drawn) and draws with `draw(item)`. */
export class Shot {
  #shown = "";
  item = null;

  /** `kind` names it in the page: the class of the element and the data attribute with its id. */
  constructor(kind, id) {
    this.link = h("a", { class: "shot-name" });
    this.picture = h("div", { class: "shot-picture" });
    this.meta = h("p", { class: "muted small" });
    this.trouble = h("div", { class: "shot-trouble", hidden: true });
    this.element = h("article", { class: `shot ${kind}`, data: { shot: id } }, this.picture, h("div", { class: "shot-text" }, this.link, this.meta, this.trouble));
  }

  update(item, href) {
    const was = this.item;
    this.item = item;
    this.link.href = href;
    const key = JSON.stringify(this.keyOf(item));
    if (key !== this.#shown) {
      this.#shown = key;
      this.draw(item);
    }
    this.tick();
    if (was && was.state !== item.state && this.isOver(item)) announce(`${this.titleOf(item)}: ${this.progressOf(item).word}`);
  }

  /** Once a second while it is on its way. */
  tick() {
    if (!this.isOver(this.item)) showProgress(this.picture, this.progressOf(this.item));
  }

  /** What a picture is while there is none. */
  waiting() {
    return [h("span", { class: "spinner" }), h("span", { class: "shot-word" }), h("div", { class: "shot-bar", hidden: true }, h("i"))];
  }
}
