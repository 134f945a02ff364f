// One item of a gallery, large: the frame that clips and captures have in common.

import { h, iconButton } from "./dom.js";
import { showProgress } from "./shot.js";

/**
 * A subclass says `titleOf(item)`, `isOver(item)`, `progressOf(item)`, `isDeletable(item)`, `stageKey(item)` and what is in
 * `stage(item)` and `side(item)` (lists of nodes); `keys` adds to what the keyboard does.
 */
export class Viewer {
  #staged = ""; #drawn = "";
  item = null;

  /** `onStep(by)` to a neighbour, `onClose()`, `onDelete(item)`, `onChange(item)`; `isOperator` may change things. */
  constructor(noun, { onStep, onClose, onDelete, onChange, isOperator }) {
    Object.assign(this, { onStep, onClose, onDelete, onChange, isOperator });
    this.title = h("div", { class: "title-edit" });
    this.stagePlace = h("div", { class: "viewer-stage" });
    this.sidePlace = h("div", { class: "card viewer-side" });
    this.before = iconButton(`Newer ${noun} (arrow left)`, "back", { onclick: () => onStep(-1) });
    this.after = iconButton(`Older ${noun} (arrow right)`, "open", { onclick: () => onStep(1) });
    this.element = h("section", { class: "viewer", "aria-label": noun[0].toUpperCase() + noun.slice(1), hidden: true },
      h("header", { class: "page-head" }, iconButton(`All ${noun}s (Escape)`, "close", { onclick: onClose }), this.title, this.before, this.after),
      h("div", { class: "viewer-body" }, this.stagePlace, this.sidePlace));
  }

  get video() { return this.stagePlace.querySelector("video"); }
  get keys() { return {}; }

  /** The last argument says which neighbours there are. */
  show(item, { hasNewer = false, hasOlder = false } = {}) {
    const isOther = item.id !== this.item?.id;
    this.item = item;
    this.before.disabled = !hasNewer;
    this.after.disabled = !hasOlder;
    this.element.hidden = false;
    if (isOther) {
      this.drawTitle();
      document.title = `${this.titleOf(item)} – Roost`;
      this.element.querySelector("h1").focus({ preventScroll: true });
    }
    this.#drawStage();
    const key = JSON.stringify(item);
    if (key !== this.#drawn && !this.sidePlace.querySelector("textarea:focus")) this.drawSide();
    this.#drawn = key;
  }

  hide() {
    this.element.hidden = true;
    this.stagePlace.replaceChildren();
    this.item = null;
    this.#staged = this.#drawn = "";
  }

  tick() {
    if (this.item && !this.isOver(this.item)) showProgress(this.stagePlace, this.progressOf(this.item));
  }

  drawTitle() {
    this.title.replaceChildren(h("h1", { tabIndex: -1 }, this.titleOf(this.item)));
  }

  #drawStage() {
    const key = this.stageKey(this.item);
    if (key !== this.#staged) {
      this.#staged = key;
      this.stagePlace.replaceChildren(...this.stage(this.item));
    }
    this.tick();
  }

  drawSide() {
    const place = this.sidePlace;
    const labelOf = (one) => one.getAttribute("aria-label") ?? one.textContent;
    const focused = place.contains(document.activeElement) ? labelOf(document.activeElement) : null;
    place.replaceChildren(...this.side(this.item).filter(Boolean));
    if (focused) [...place.querySelectorAll("a, button, [aria-label]")].find((one) => labelOf(one) === focused)?.focus();
  }

  /** `text` is a list of nodes below the headline. */
  waiting(...text) {
    return h("div", { class: "viewer-message" }, h("span", { class: "spinner" }), h("strong", { class: "shot-word" }), h("div", { class: "shot-bar" }, h("i")), ...text);
  }

  /** Space plays, arrows go to the neighbours. */
  key(event) {
    const does = {
      ArrowLeft: () => this.onStep(-1),
      ArrowRight: () => this.onStep(1),
      " ": this.video && (() => (this.video.paused ? this.video.play() : this.video.pause())),
      Delete: () => { if (this.isOperator && this.isDeletable(this.item)) this.onDelete(this.item); },
      Escape: () => this.onClose(),
      ...this.keys,
    }[event.key];
    if (!does || (event.key === " " && event.target.closest("button, a"))) return;
    event.preventDefault();
    does(event);
  }
}

/** A definition list; false rows are left out. */
export const factList = (rows) => h("dl", { class: "facts" }, rows.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
