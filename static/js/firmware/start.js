// Starting a roll-out: to whom it goes, in which stages.

import { post } from "../lib/api.js";
import { field, h, notice } from "../lib/dom.js";
import { askFor } from "./ask.js";

const numbers = (version) => version.split(".").map(Number);

function isNewer(version, than) {
  const [one, other] = [numbers(version), numbers(than)];
  const index = one.findIndex((number, at) => number !== other[at]);
  return index >= 0 && one[index] > other[index];
}

const cameras = (count) => (count === 1 ? "1 camera" : `${count} cameras`);

/** Whom it would go to, as the recorder decides it, in words. */
function audience(image, all) {
  const older = all.filter((one) => one.board === image.board && one.version && isNewer(image.version, one.version));
  const able = older.filter((one) => one.update_key === image.signer);
  const words = `${cameras(able.length)} of this board would take it.`;
  const others = older.length - able.length;
  return others ? `${words} ${cameras(others)} with another update key, or none, would refuse it.` : words;
}

function numberField(label, value, min, max, unit, hint) {
  const input = h("input", { class: "input is-short", type: "text", inputMode: "numeric", value: String(value), autocomplete: "off" });
  return { element: field(label, h("span", { class: "with-unit" }, input, h("span", { class: "muted" }, unit)), { hint }), read() {
    const number = Number(input.value);
    const isRight = input.value.trim() !== "" && Number.isInteger(number) && number >= min && number <= max;
    input.setAttribute("aria-invalid", String(!isRight));
    if (!isRight) throw new Error(`${label}: a whole number from ${min} to ${max}.`);
    return number;
  } };
}

export function askToRollOut(image, all, refresh) {
  const first = numberField("Watch one camera for", 60, 0, 43200, "minutes", "The first camera is one that is connected now.");
  const share = numberField("Then update a share of", 10, 1, 99, "%");
  const second = numberField("and watch them for", 24, 0, 720, "hours");
  askFor(`Roll out ${image.version}`, [
    notice(audience(image, all), { kind: "is-info", icon: "info" }),
    first.element, h("div", { class: "columns is-pair" }, share.element, second.element),
    h("p", { class: "hint" }, "After that all the others get it. A camera sends no pictures while it downloads and restarts, a few minutes at most. When one fails, goes back to its old firmware or does not come back, the roll-out pauses and waits for you."),
  ], "Start the roll-out", async () => {
    const stages = [
      { count: 1, soak_minutes: first.read() },
      { percent: share.read(), soak_minutes: 60 * second.read() },
      { percent: 100, soak_minutes: 0 },
    ];
    await post("firmware/rollouts/", { image: image.id, stages });
    await refresh(`${image.version} is being rolled out`);
  });
}
