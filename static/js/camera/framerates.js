// Frames a second by situation: off, a camera sends at the one rate of its settings.

import { field, h } from "../lib/dom.js";

const LOW = 1;
const HIGH = 30;
const USUAL_IDLE = 2;
const SETTLED_MS = 300; // a slider moved by the keyboard fires once a step
const SITUATIONS = [
  ["idle", "Nobody watches", "What is recorded while the live view is closed."],
  ["watched", "Somebody watches", "While the live view is open, and for ten seconds after."],
  ["motion", "Motion woke it", "Only of cameras that sleep until they notice motion and say so."],
];

/** `rates` as the camera has them or null; `change(rates)` is asked for every change. */
export function rateControls(rates, usual, change) {
  let wanted = rates;
  let timer = 0;
  const slider = ([key, label, hint]) => {
    const value = h("output", { class: "muted" }, String(wanted[key]));
    const input = h("input", { class: "slider", type: "range", min: LOW, max: HIGH, step: 1, value: wanted[key],
      oninput: () => { value.textContent = input.value; },
      onchange: () => {
        wanted = { ...wanted, [key]: Number(input.value) };
        clearTimeout(timer);
        timer = setTimeout(() => change(wanted), SETTLED_MS);
      } });
    return field(label, input, { hint, value });
  };
  const onOff = h("input", { type: "checkbox", checked: Boolean(rates),
    onchange: () => change(onOff.checked ? { idle: Math.min(USUAL_IDLE, usual), watched: usual, motion: usual } : null) });
  return h("fieldset", { class: "rates" },
    h("label", { class: "check" }, onOff, h("span", {}, "Another frame rate when somebody watches")),
    h("p", { class: "hint" }, "The recorder tells the camera when that changes. Needs firmware that obeys the frame rate: the original sketch does not."),
    rates && h("div", { class: "config" }, SITUATIONS.map(slider)));
}
