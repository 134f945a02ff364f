// How much a clip of this camera holds before and after the moment.

import { get, put } from "../lib/api.js";
import { button, field, h, icon } from "../lib/dom.js";

const LONGEST_S = 300;

export async function clipWindowCard(deviceId) {
  const status = h("span", { class: "hint", role: "status" });
  const body = h("div", { class: "fields" });
  let current = await get(`clip-windows/${deviceId}/`);

  async function send(wanted) {
    status.className = "hint";
    status.textContent = "Saving…";
    try {
      current = await put(`clip-windows/${deviceId}/`, wanted);
      status.textContent = "Saved";
    } catch (error) {
      status.className = "error";
      status.textContent = `Not saved. ${error.message}`;
    }
    draw();
  }

  const number = (key, label) => {
    const input = h("input", { class: "input is-short", type: "number", min: 0, max: LONGEST_S, step: 1, value: current[key], required: true, onchange: () => {
      if (input.reportValidity()) send({ before_seconds: current.before_seconds, after_seconds: current.after_seconds, [key]: Number(input.value) });
    } });
    return field(label, h("span", { class: "with-unit" }, input, h("span", { class: "muted" }, "seconds")));
  };

  function draw() {
    body.replaceChildren(h("div", { class: "columns is-pair" }, number("before_seconds", "Before the moment"), number("after_seconds", "After it")),
      current.is_default ? h("p", { class: "hint" }, "As for all cameras.")
        : h("p", { class: "row" }, h("span", { class: "hint" }, "This camera has its own."), button("As for all cameras", { kind: "is-quiet", onclick: () => send({ before_seconds: null, after_seconds: null }) })));
  }

  draw();
  return h("section", { class: "card", "aria-label": "Clips of this camera" },
    h("div", { class: "spread" }, h("h2", {}, "Clips"), status, h("a", { class: "button", href: `/clips?camera=${deviceId}` }, icon("clips"), "Its clips")), body);
}
