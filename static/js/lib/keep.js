// "Keep this moment": one click asks for a clip, and a note stays until the clip is there, on whichever page.

import { get } from "./api.js";
import { clipHref, isOver, nextLookMs, ofGroup, progressOf, titleOf, trigger, windowOf, windowWords } from "./clips.js";
import { button, h, icon, iconButton, showNear, toast, toastBox } from "./dom.js";
import { SECOND, sinceWhen } from "./time.js";

const MEMORY = "roost-following"; // groups whose note goes on after a change of page
const SHOWN_AFTER_MS = 20 * SECOND;
const LONG_PRESS_MS = 500;
const WINDOWS = [[10, 10], [60, 60], [300, 0], [0, 300]];

function remembered() {
  try { return JSON.parse(sessionStorage.getItem(MEMORY) ?? "[]"); } catch { return []; }
}

function remember(groups) {
  try { sessionStorage.setItem(MEMORY, JSON.stringify([...new Set(groups)].slice(-5))); } catch { /* it is followed on this page only */ }
}

/** Asks for the clip and says so at once; `cameras` is a list of ids or "all". */
export async function keep(cameras, options = {}) {
  const note = new Note();
  try {
    const { group, clips } = await trigger(cameras, options);
    note.follow(group, clips);
    return clips;
  } catch (error) {
    note.close();
    toast(error.message, "bad");
    return [];
  }
}

/** Follows clips that are asked for already. */
export function follow(group, clips) { new Note().follow(group, clips); }

/** What was being kept when the page was left. */
export function resume() {
  for (const group of remembered()) {
    ofGroup(group).then((clips) => { if (clips.length) new Note().follow(group, clips); else forget(group); }).catch(() => forget(group));
  }
}

const forget = (group) => remember(remembered().filter((one) => one !== group));

class Note {
  #group = ""; #clips = []; #timer = 0; #tick = 0; #isClosed = false;

  constructor() {
    this.text = h("span", {}, "Keeping this moment");
    this.left = h("span", { class: "muted", "aria-hidden": "true" }); // counts down; heard once, in the text, not every second
    this.mark = h("span", { class: "spinner" });
    this.actions = h("span", { class: "row" });
    this.element = h("div", { class: "toast is-staying" }, this.mark, h("span", { class: "toast-text" }, this.text, this.left),
      iconButton("Close", "close", { onclick: () => this.close() }), this.actions);
    toastBox().append(this.element);
  }

  follow(group, clips) {
    this.#group = group;
    remember([...remembered(), group]);
    this.#show(clips);
    this.#tick = setInterval(() => this.#count(), SECOND);
    this.#lookLater();
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#tick);
    forget(this.#group);
    this.element.remove();
  }

  #lookLater() {
    this.#timer = setTimeout(() => this.#look(), nextLookMs(this.#clips));
  }

  async #look() {
    try {
      const clips = await ofGroup(this.#group);
      if (this.#isClosed) return;
      if (!clips.length) { this.close(); return; } // deleted meanwhile
      this.#show(clips);
    } catch { /* the line on top says when the recorder is gone; the next look may find it again */ }
    if (!this.#clips.every(isOver)) this.#lookLater();
  }

  #show(clips) {
    const was = this.#clips.map((clip) => clip.state).join();
    this.#clips = clips;
    if (was === clips.map((clip) => clip.state).join()) return;
    if (clips.every(isOver)) this.#end(clips);
    else {
      const [first] = clips;
      const name = clips.length === 1 ? first.device_name : `${clips.length} cameras`;
      this.text.textContent = `Keeping ${name}: ${windowOf(first)}`;
      this.#count();
    }
  }

  #count() {
    const open = this.#clips.filter((clip) => !isOver(clip));
    if (!open.length) return;
    const slowest = open.reduce((a, b) => (b.end_ms > a.end_ms ? b : a));
    this.left.textContent = progressOf(slowest).word;
  }

  #end(clips) {
    clearInterval(this.#tick);
    forget(this.#group);
    const failed = clips.filter((clip) => clip.state === "failed");
    const isBad = failed.length === clips.length;
    this.left.textContent = "";
    this.element.classList.add(isBad ? "is-bad" : "is-good");
    this.mark.replaceWith(icon(isBad ? "attention" : "check"));
    this.text.textContent = endWords(clips, failed);
    if (!isBad) this.actions.append(...this.#offers(clips));
    setTimeout(() => this.#leave(), SHOWN_AFTER_MS);
  }

  /** Not from under a hand or the keyboard. */
  #leave() {
    if (this.element.matches(":hover, :focus-within")) setTimeout(() => this.#leave(), 3 * SECOND);
    else this.close();
  }

  #offers(clips) {
    const [first] = clips;
    const href = clips.length === 1 ? clipHref(first) : `/clips?group=${this.#group}`;
    const watch = h("a", { class: "button", href }, icon("play"), "Watch");
    if (clips.length > 1) return [watch];
    return [watch, button("Send", { icon: "share", onclick: async () => (await import("./share.js")).openShare(first, { isAtOnce: true }) })];
  }
}

function endWords(clips, failed) {
  if (clips.length === 1) return clips[0].state === "ready" ? `Kept: ${titleOf(clips[0])}` : clips[0].sentence || clips[0].reason;
  if (!failed.length) return `${clips.length} clips are kept`;
  return `${clips.length - failed.length} of ${clips.length} clips are kept; ${failed.map((clip) => clip.device_name).join(", ")}: ${failed[0].sentence || failed[0].reason}`;
}

// --- other lengths

/** A small menu below `anchor`. `cameras()` are the ids meant, `at()` the moment (undefined: now). */
export async function openKeepMenu(anchor, { cameras, at = () => undefined }) {
  const ids = cameras();
  const everyone = h("input", { type: "checkbox" });
  const menu = h("div", { class: "menu", popover: "auto", role: "dialog", "aria-label": "Keep this moment" });
  const send = (before, after) => {
    menu.hidePopover();
    keep(everyone.checked ? "all" : ids, { at: at(), before, after });
  };
  const choice = (before, after) => button(sentence(windowWords(before, after)), { kind: "is-quiet", onclick: () => send(before, after) });
  const usual = button("The usual length", { kind: "is-quiet", icon: "keep", onclick: () => send() });
  menu.append(h("strong", {}, at() === undefined ? "Keep this moment" : `Keep ${sinceWhen(at())}`), usual, ...WINDOWS.map(([before, after]) => choice(before, after)),
    ownLength(send), h("label", { class: "check" }, everyone, "All cameras"));
  if (ids.length === 1) {
    get(`clip-windows/${ids[0]}/`).then((usually) => { usual.lastChild.textContent = sentence(windowWords(usually.before_seconds, usually.after_seconds)); }).catch(() => {});
  }
  menu.addEventListener("toggle", (event) => { if (event.newState === "closed") { menu.remove(); anchor.focus(); } });
  menu.addEventListener("keydown", (event) => move(menu, event));
  (anchor.closest("dialog, :fullscreen") ?? document.body).append(menu);
  showNear(menu, anchor);
  usual.focus();
}

const sentence = (words) => words[0].toUpperCase() + words.slice(1);

function ownLength(send) {
  const number = (label) => h("input", { class: "input is-short", type: "number", min: 0, max: 300, value: 30, required: true, "aria-label": label });
  const before = number("Seconds before");
  const after = number("Seconds after");
  return h("form", { class: "menu-form", onsubmit: (event) => { event.preventDefault(); send(Number(before.value), Number(after.value)); } },
    before, h("span", { class: "muted" }, "s before"), after, h("span", { class: "muted" }, "s after"), button("Keep", { type: "submit", kind: "is-primary" }));
}

function move(menu, event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.target.matches("input[type=number]")) return;
  event.preventDefault();
  const all = [...menu.querySelectorAll("button, input")];
  all[(all.indexOf(event.target) + step + all.length) % all.length].focus();
}

/** A keep button: a click keeps, a long press, a right click or the arrow down offers other lengths. */
export function keepButton({ cameras, at = () => undefined, kind = "is-quiet" }) {
  let timer = 0;
  let wasLong = false;
  const more = () => { wasLong = true; openKeepMenu(control, { cameras, at }); };
  const control = iconButton("Keep this moment (c); hold for other lengths", "keep", { kind, "aria-haspopup": "dialog",
    onclick: () => { if (!wasLong) keep(cameras(), { at: at() }); wasLong = false; },
    onpointerdown: (event) => { wasLong = false; if (event.button === 0) timer = setTimeout(more, LONG_PRESS_MS); },
    onpointerup: () => clearTimeout(timer),
    onpointerleave: () => clearTimeout(timer),
    oncontextmenu: (event) => { event.preventDefault(); clearTimeout(timer); if (!wasLong) more(); },
    onkeydown: (event) => { if (event.key === "ArrowDown") { event.preventDefault(); event.stopPropagation(); more(); wasLong = false; } },
  });
  return control;
}
