// A gallery by day, newest first, and one of its items large: what clips and captures have in common.
// What is shown is in the address; what is on its way is asked for again until it is there.

import { get } from "./api.js";
import { button, h, notice, toast } from "./dom.js";
import { SECOND, dayName, dayStart } from "./time.js";

const PAGE_SIZE = 60;
const QUIET_MS = 10 * SECOND;
const UNDO_MS = 7 * SECOND;
const GRID_KEYS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: "up", ArrowDown: "down" };

export class Gallery {
  #items = []; // newest moment first
  #next = null;
  #asked = 0; // which question the answer on its way belongs to
  #timer = 0;
  #current; // the address that is drawn
  #opened = null; // an item that was opened by its address and is not in the list
  #cards = new Map(); // id -> its Shot
  #leaving = new Map(); // id -> timer of its deletion
  #sections = new Map(); // local midnight -> its section, reused so that nothing flickers
  #foot = h("div", { class: "gallery-foot" });

  /**
   * `place` holds the days, `page` is hidden while one is open. The rest says what the items are:
   * `path` and `noun` in the API and in words, `keys` of the address that change the list, `pageTitle(now)`;
   * `read()` the address as `{open, …}`, `write(now)` an address, `question(now)` the API's parameters;
   * `momentOf`, `titleOf`, `isOver`, `nextLookMs(open ones)`, `makeCard(item)`, `empty(now)`, `drop(item, options)`;
   * `drawFilter(now)` and `arrived(now)` after the address changed, `isElsewhere(now)` where it means something else than the
   * gallery; `cardKey(event, card)` for more keys.
   */
  constructor(options) {
    Object.assign(this, { arrived() {}, cardKey() {}, isElsewhere: () => false }, options);
    this.#current = this.read();
  }

  /** `viewer` is made by the page, with what this object does. */
  async start(viewer) {
    this.viewer = viewer;
    document.getElementById("main").append(viewer.element);
    this.place.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("popstate", () => this.#arrive());
    addEventListener("pagehide", () => this.#dropAllNow());
    new IntersectionObserver(([entry]) => { if (entry.isIntersecting) this.loadMore(); }, { rootMargin: "600px" }).observe(this.#foot);
    setInterval(() => this.#tick(), SECOND);
    this.drawFilter(this.#current);
    this.page.hidden = this.isElsewhere(this.#current);
    this.arrived(this.#current);
    await this.load();
    this.#showOpen(this.read().open);
  }

  // --- the address

  go(changed, { isNew = true } = {}) {
    history[isNew ? "pushState" : "replaceState"](null, "", this.write({ ...this.read(), ...changed }));
    this.#arrive();
  }

  hrefOf(item) { return this.write({ ...this.read(), open: item.id }); }

  /** After the address changed, by a click or by the browser's back. */
  #arrive() {
    const before = this.#current;
    const now = this.read();
    this.#current = now;
    if (this.keys.some((key) => before[key] !== now[key])) { this.drawFilter(now); this.load(); }
    this.arrived(now);
    this.#showOpen(now.open);
  }

  // --- asking

  async load() {
    const mine = ++this.#asked;
    clearTimeout(this.#timer);
    try {
      const page = await this.#newest();
      if (mine !== this.#asked) return;
      this.#items = page.results;
      this.#next = page.next;
      this.draw();
    } catch (error) { if (mine === this.#asked) this.place.replaceChildren(notice(error.message, { kind: "is-bad" })); }
    this.lookLater();
  }

  #newest() { return get(this.path, { ...this.question(this.read()), page_size: PAGE_SIZE }); }

  async loadMore() {
    if (!this.#next) return;
    const mine = this.#asked;
    const url = new URL(this.#next, location.origin);
    this.#next = null;
    try {
      const page = await get(url.pathname + url.search);
      if (mine !== this.#asked) return;
      const known = new Set(this.#items.map((item) => item.id));
      this.#items.push(...page.results.filter((item) => !known.has(item.id)));
      this.#next = page.next;
    } catch (error) { this.#next = url.href; toast(error.message, "bad"); }
    this.draw();
  }

  lookLater() {
    clearTimeout(this.#timer);
    const busy = [...this.#items, ...(this.#opened ? [this.#opened] : [])].filter((item) => !this.isOver(item));
    this.#timer = setTimeout(() => this.#look(), busy.length ? this.nextLookMs(busy) : QUIET_MS);
  }

  /** The newest page again, and whatever is on its way further down. */
  async #look() {
    if (document.hidden) { this.lookLater(); return; }
    const mine = this.#asked;
    const known = new Set(this.#items.map((item) => item.id));
    try {
      const page = await this.#newest();
      if (mine !== this.#asked) return;
      const fresh = new Set(page.results.map((item) => item.id));
      const last = page.next ? this.momentOf(page.results.at(-1)) : -Infinity;
      const others = this.#items.filter((item) => !fresh.has(item.id));
      const older = others.filter((item) => this.momentOf(item) < last);
      const newer = others.filter((item) => this.momentOf(item) >= last && !known.has(item.id)); // asked for after the question
      this.#items = [...newer, ...page.results, ...older];
      const open = [...older, ...(this.#opened && !fresh.has(this.#opened.id) ? [this.#opened] : [])].filter((item) => !this.isOver(item));
      await Promise.all(open.map(async (item) => this.put(await get(`${this.path}${item.id}/`))));
      this.draw();
    } catch { /* the line on top says when the recorder is gone */ }
    this.lookLater();
  }

  /** A newer account of an item that is known. */
  put(item) {
    const index = this.#items.findIndex((one) => one.id === item.id);
    if (index >= 0) this.#items[index] = item;
    if (this.#opened?.id === item.id) this.#opened = item;
  }

  /** The same, shown at once. */
  changed(item) {
    this.put(item);
    this.draw();
    this.lookLater();
  }

  /** One that was asked for just now. */
  add(item) {
    this.#items = [item, ...this.#items.filter((one) => one.id !== item.id)];
    this.draw();
    this.lookLater();
  }

  /** Another one in place of `old`, which is gone; where that was open the other one is. */
  replace(old, item) {
    const isOpen = this.read().open === old.id;
    this.#forget(old);
    this.#items = [item, ...this.#items];
    if (isOpen) this.go({ open: item.id }, { isNew: false });
    this.draw();
    this.lookLater();
  }

  #forget(item) {
    this.#items = this.#items.filter((one) => one.id !== item.id);
    this.#cards.delete(item.id);
  }

  // --- the gallery

  #visible() { return this.#items.filter((item) => !this.#leaving.has(item.id)); }

  #cardOf(item) {
    if (!this.#cards.has(item.id)) this.#cards.set(item.id, this.makeCard(item));
    const card = this.#cards.get(item.id);
    card.update(item, this.hrefOf(item));
    return card.element;
  }

  draw() {
    const now = this.read();
    const days = new Map();
    for (const item of this.#visible()) {
      const day = dayStart(this.momentOf(item));
      days.set(day, [...(days.get(day) ?? []), item]);
    }
    const sections = [...days].map(([day, items]) => this.#section(day, items));
    this.#foot.replaceChildren(...(this.#next ? [button("Show more", { onclick: () => this.loadMore() })] : []));
    const content = sections.length ? [...sections, this.#foot] : [now.open ? h("div") : this.empty(now)];
    const focused = document.activeElement?.closest?.(".shot")?.dataset.shot;
    if ([...this.place.children].length !== content.length || content.some((one, index) => one !== this.place.children[index])) this.place.replaceChildren(...content);
    if (focused) this.#cards.get(focused)?.link.focus({ preventScroll: true });
    if (now.open) this.#showOpen(now.open);
  }

  #section(day, items) {
    if (!this.#sections.has(day)) this.#sections.set(day, h("section", { class: "gallery-day" }, h("h2", {}), h("div", { class: "gallery-grid" })));
    const element = this.#sections.get(day);
    const elements = items.map((item) => this.#cardOf(item));
    const grid = element.lastChild;
    element.firstChild.textContent = dayName(day);
    if (elements.length !== grid.children.length || elements.some((one, index) => one !== grid.children[index])) grid.replaceChildren(...elements);
    return element;
  }

  // --- one of them

  async #showOpen(id) {
    this.page.hidden = Boolean(id) || this.isElsewhere(this.read());
    if (!id) {
      const last = this.viewer.item?.id;
      this.viewer.hide();
      this.#opened = null;
      document.title = this.pageTitle(this.read());
      if (last) this.#cards.get(last)?.link.focus();
      return;
    }
    const seen = this.#visible();
    const index = seen.findIndex((item) => item.id === id);
    const neighbours = { hasNewer: index > 0, hasOlder: index >= 0 && index < seen.length - 1 };
    if (index >= 0) { this.viewer.show(seen[index], neighbours); return; }
    if (this.#opened?.id === id) { this.viewer.show(this.#opened, neighbours); return; }
    try {
      const found = await get(`${this.path}${encodeURIComponent(id)}/`);
      if (this.read().open !== id) return;
      this.#opened = found;
      this.viewer.show(found, neighbours);
      this.lookLater();
    } catch (error) {
      toast(error.status === 404 ? `That ${this.noun} does not exist any more` : error.message, "bad");
      this.go({ open: null }, { isNew: false });
    }
  }

  /** To a neighbour of the shown one; false when there is none. */
  step(by) {
    const seen = this.#visible();
    const index = seen.findIndex((item) => item.id === this.viewer.item?.id);
    const other = index >= 0 ? seen[index + by] : undefined;
    if (!other) return false;
    this.go({ open: other.id }, { isNew: false });
    if (index + by > seen.length - 5) this.loadMore();
    return true;
  }

  close() { this.go({ open: null }); }

  // --- deleting

  /** The one that is open: a neighbour takes its place. */
  dropOpen(item) {
    if (!this.step(1) && !this.step(-1)) this.close();
    this.dropSoon(item);
  }

  /** Gone from sight at once; really deleted when nobody took it back, or when the page is left. */
  dropSoon(item) {
    const undo = () => { clearTimeout(this.#leaving.get(item.id)); this.#leaving.delete(item.id); this.draw(); };
    this.#leaving.set(item.id, setTimeout(() => this.dropNow(item), UNDO_MS));
    this.draw();
    toast(`Deleted: ${this.titleOf(item)}`, "good", { action: ["Undo", undo], forMs: UNDO_MS });
  }

  async dropNow(item, options) {
    try {
      await this.drop(item, options);
      this.#forget(item);
    } catch (error) { if (error.status !== 404) toast(error.message, "bad"); }
    this.#leaving.delete(item.id);
    this.draw();
  }

  #dropAllNow() {
    for (const [id, timer] of this.#leaving) {
      clearTimeout(timer);
      this.dropNow({ id }, { keepalive: true });
    }
  }

  // --- hands and keys

  #click(event) {
    const link = event.target.closest("a.shot-name");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.go({ open: link.closest(".shot").dataset.shot });
  }

  #key(event) {
    if (event.target.closest("input, textarea, select, [popover]") || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.viewer.item) { this.viewer.key(event); return; }
    if (this.page.hidden) return;
    const card = this.#cards.get(document.activeElement?.closest?.(".shot")?.dataset.shot);
    if (GRID_KEYS[event.key] && (card || event.key === "ArrowRight")) {
      event.preventDefault();
      this.moveFocus(card, GRID_KEYS[event.key]);
    } else this.cardKey(event, card);
  }

  /** `step` is 1, -1, "up" or "down". */
  moveFocus(card, step) {
    const all = [...this.place.querySelectorAll(".shot")];
    const index = card ? all.indexOf(card.element) : -1;
    const { left, top } = card?.element.getBoundingClientRect() ?? { left: 0, top: 0 };
    const isInColumn = (one) => Math.abs(one.getBoundingClientRect().left - left) < 20;
    const target = typeof step === "number" ? all[index + step]
      : step === "down" ? all.slice(index + 1).find((one) => isInColumn(one) && one.getBoundingClientRect().top > top)
        : all.slice(0, Math.max(index, 0)).findLast((one) => isInColumn(one) && one.getBoundingClientRect().top < top);
    target?.querySelector("a").focus();
  }

  #tick() {
    if (document.hidden) return;
    for (const card of this.#cards.values()) card.tick();
    this.viewer.tick();
  }
}
