// Who asks to join, on the Cameras page: one row a camera, or one line for a flood; and who was refused.

import { MANY, approve, readmit, refusedPage, refuse, refuseAll, requestPage, watchRequests, wordsOf } from "../lib/enrolment.js";
import { button, confirmed, h, isSelectedIn, redraw } from "../lib/dom.js";
import { ago, exact } from "../lib/time.js";

export class RequestsCard {
  #found = { count: 0, results: [] }; #refused = { count: 0, results: [] }; #page = 0; #shown = ""; #asked = "";

  constructor() {
    this.element = h("div", { class: "fields", hidden: true });
    watchRequests((found) => this.#update(found));
  }

  async #update(newest) {
    try {
      const isPaged = this.#page > 0 && newest.count > MANY;
      if (!isPaged) this.#page = 0;
      this.#page = Math.min(this.#page, Math.ceil(newest.count / MANY));
      this.#found = isPaged ? await requestPage(this.#page) : newest;
      const asked = JSON.stringify(newest);
      if (asked !== this.#asked) this.#refused = await refusedPage(); // nobody is refused who did not ask
      this.#asked = asked;
    } catch { return; } // what is shown stays; the line on top says that nobody answers
    this.newest = newest;
    this.#draw();
  }

  #turn(page) {
    this.#page = page;
    this.#update(this.newest);
  }

  #draw() {
    const key = JSON.stringify([this.#found, this.#refused, this.#page, Math.floor(Date.now() / 60_000)]);
    if (key === this.#shown || isSelectedIn(this.element)) return;
    this.#shown = key;
    this.element.hidden = !this.#found.count && !this.#refused.count;
    const isOpen = this.element.querySelector("details")?.open ?? false;
    redraw(this.element, ...[this.#found.count && this.#waiting(), this.#refused.count && this.#refusedCard(isOpen)].filter(Boolean));
  }

  #waiting() {
    const { count, results } = this.#found;
    const isFlood = count > MANY && this.#page === 0;
    return h("section", { class: "card is-flush", "aria-label": "Waiting for approval" },
      h("div", { class: "card-head spread" }, h("div", {}, h("h2", {}, "Waiting for approval"),
        h("p", { class: "hint" }, "Let in only what you know: compare the hardware address with the one printed on the camera.")), h("div", { class: "row" }, this.#forAll())),
      isFlood ? this.#flood() : h("table", { class: "table is-cards" }, h("tbody", {}, results.map((one) => row(one)))),
      this.#page > 0 && this.#pages());
  }

  #forAll() {
    const { count, results } = this.#found;
    const isPlain = count <= MANY && results.every((one) => one.is_new);
    const approveAll = async () => {
      const yes = await confirmed(`Let all ${count} in?`, results.map((one) => `${one.name} (${one.mac})`).join(", "), "Let them in");
      if (yes) approve(results);
    };
    return count > 1 && [button("Refuse all", { kind: "is-quiet is-danger", onclick: () => refuseAll(this.newest) }), isPlain && button("Approve all", { icon: "check", onclick: approveAll })];
  }

  #flood() {
    const [newest] = this.#found.results;
    return h("div", { class: "spread card-line" }, h("p", {}, `${this.#found.count} devices ask to join, the last one ${ago(Date.parse(newest.asked_at))}${newest.asked_from ? ` from ${newest.asked_from}` : ""}. So many at once are hardly cameras of yours; new ones can be shut out under `, h("a", { href: "/settings" }, "Settings"), "."),
      button("Show them", { onclick: () => this.#turn(1) }));
  }

  #pages() {
    const last = Math.ceil(this.#found.count / MANY);
    return h("div", { class: "spread card-line" }, h("span", { class: "muted small" }, `Page ${this.#page} of ${last}`), h("div", { class: "row" },
      button("Newer", { disabled: this.#page <= 1, onclick: () => this.#turn(this.#page - 1) }),
      button("Older", { disabled: this.#page >= last, onclick: () => this.#turn(this.#page + 1) }),
      button("As one line", { kind: "is-quiet", onclick: () => this.#turn(0) })));
  }

  #refusedCard(isOpen) {
    const { count, results } = this.#refused;
    return h("details", { class: "card", open: isOpen }, h("summary", {}, count === 1 ? "1 refused" : `${count} refused`),
      h("div", { class: "fields" }, h("p", { class: "hint" }, "They get no key, whatever the settings say. The last ones:"),
        h("ul", { class: "plain-list" }, results.map((one) => h("li", { class: "spread" }, h("span", { class: "mono" }, one.mac), h("span", { class: "muted small", title: exact(Date.parse(one.refused_at)) }, ago(Date.parse(one.refused_at))),
          button("Let it ask again", { "aria-label": `Let ${one.mac} ask again`, onclick: () => readmit(one) }))))));
  }
}

function row(request) {
  const asked = Date.parse(request.asked_at);
  return h("tr", {},
    h("td", { class: "wide" }, h("a", { class: "name", href: `/cameras/${request.device}` }, request.name), h("p", { class: "muted" }, wordsOf(request))),
    h("td", { class: "mono" }, request.mac),
    h("td", { class: "muted" }, h("span", { title: exact(asked) }, ago(asked).replaceAll(" ", "\u00a0"))),
    h("td", { class: "actions" }, h("div", { class: "row" }, ...answers(request))));
}

/** The two answers to a request, for whoever shows it. */
export function answers(request) {
  return [button("Refuse", { kind: "is-quiet is-danger", "aria-label": `Refuse ${request.mac}`, onclick: () => refuse(request) }),
    button("Approve", { kind: request.is_new ? "is-primary" : "", icon: "check", "aria-label": `Approve ${request.mac}`, onclick: () => approve([request]) })];
}
