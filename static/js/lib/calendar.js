// A month whose days say whether there is video; arrows move the focus as in any date grid.

import { get } from "./api.js";
import { h, iconButton, showNear } from "./dom.js";
import { dayStart, duration, fromIsoDate, isoDate, monthName, weekday } from "./time.js";

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };

async function secondsByDay(deviceIds, month) {
  const answers = await Promise.all(deviceIds.map((device) => get("calendar/", { device, month })));
  const days = {};
  for (const answer of answers) for (const [date, seconds] of Object.entries(answer.days)) days[date] = (days[date] ?? 0) + seconds;
  return days;
}

class Calendar {
  /** Without `deviceIds` any day may be chosen and nothing is said about video. */
  constructor({ day, deviceIds, onPick }) {
    Object.assign(this, { day, deviceIds, onPick });
    this.element = h("div", { class: "calendar", popover: "auto", role: "dialog", "aria-label": "Choose a day" });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.month = new Date(day);
    this.month.setDate(1);
  }

  async draw(focusDay = this.day) {
    const year = this.month.getFullYear();
    const index = this.month.getMonth();
    const days = await secondsByDay(this.deviceIds ?? [], isoDate(this.month.getTime()).slice(0, 7));
    const blanks = (this.month.getDay() + 6) % 7;
    const count = new Date(year, index + 1, 0).getDate();
    const cells = Array.from({ length: count }, (_, day) => this.#cell(new Date(year, index, day + 1).getTime(), days));
    const turn = (by) => { this.month.setMonth(index + by); this.draw(this.month.getTime()); };
    this.element.replaceChildren(
      h("div", { class: "calendar-head" }, iconButton("Month before", "back", { onclick: () => turn(-1) }),
        h("strong", { role: "status" }, monthName(this.month.getTime())), iconButton("Month after", "open", { onclick: () => turn(1) })),
      h("div", { class: "calendar-days" }, DAYS.map((name) => h("span", { class: "muted" }, name)), Array.from({ length: blanks }, () => h("span")), cells));
    (this.element.querySelector(`[data-date="${isoDate(focusDay)}"]:not(:disabled)`) ?? this.element.querySelector("button")).focus();
  }

  #cell(ms, days) {
    const date = isoDate(ms);
    const seconds = days[date] ?? 0;
    const video = seconds ? `${duration(seconds * 1000)} of video` : "no video";
    const isChosen = ms === dayStart(this.day);
    return h("button", {
      type: "button", class: `day ${seconds ? "has-video" : ""} ${isChosen ? "is-chosen" : ""}`, data: { date },
      disabled: ms > Date.now(), "aria-current": isChosen ? "date" : null,
      "aria-label": [weekday(ms), this.deviceIds && video].filter(Boolean).join(", "),
      title: this.deviceIds && video,
      onclick: () => { this.element.hidePopover(); this.onPick(ms); },
    }, String(new Date(ms).getDate()));
  }

  #key(event) {
    const date = event.target.dataset.date;
    if (!STEPS[event.key] || !date) return;
    event.preventDefault();
    event.stopPropagation();
    const next = dayStart(fromIsoDate(date), STEPS[event.key]);
    const cell = this.element.querySelector(`[data-date="${isoDate(next)}"]`);
    if (cell) { cell.focus(); return; }
    this.month = new Date(next);
    this.month.setDate(1);
    this.draw(next);
  }
}

/** Opens below `anchor`; `onPick` gets the local midnight of the chosen day. */
export async function openCalendar(anchor, options) {
  const calendar = new Calendar(options);
  const { element } = calendar;
  document.body.append(element);
  element.addEventListener("toggle", (event) => { if (event.newState === "closed") { element.remove(); anchor.focus(); } });
  await calendar.draw();
  showNear(element, anchor);
  (element.querySelector(".is-chosen") ?? element.querySelector("button")).focus();
}
