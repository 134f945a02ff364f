// The keys a camera was given. The secret itself is known to the camera alone.

import { all, post, remove } from "../lib/api.js";
import { button, confirmed, h, nothing, toast } from "../lib/dom.js";
import { ago, exact } from "../lib/time.js";

const timeCell = (iso, never) => (iso ? h("span", { title: exact(Date.parse(iso)) }, ago(Date.parse(iso))) : never);

function stateOf(key) {
  if (key.revoked_at) return h("span", { class: "state" }, "Revoked");
  return key.enrolment === "pending" ? h("span", { class: "state is-attention" }, "Waiting") : h("span", { class: "state is-good" }, "Valid");
}

export async function keysCard(deviceId) {
  const body = h("div");
  const card = h("section", { class: "card is-flush" }, h("div", { class: "card-head" }, h("h2", {}, "Keys")), body);

  async function change(request, done) {
    try {
      await request();
      toast(done);
    } catch (error) { toast(error.message, "bad"); }
    await show();
  }

  async function revoke(key) {
    const text = key.last_used_at
      ? "A camera that uses this key is cut off at once and stays out until it registers again, which an ESP32 does after its power was switched off and on."
      : "No camera has used this key yet.";
    if (await confirmed("Revoke this key?", text, "Revoke", { danger: true })) {
      change(() => remove(`devices/${deviceId}/keys/${key.id}/`), "The key is revoked");
    }
  }

  const row = (key) => h("tr", {},
    h("td", {}, stateOf(key)),
    h("td", {}, key.issued_to ?? "–"),
    h("td", {}, h("span", { class: "muted only-card" }, "used "), timeCell(key.last_used_at, "never")),
    h("td", { class: "actions" }, h("div", { class: "row" },
      key.enrolment === "pending" && !key.revoked_at && button("Approve", { kind: "is-primary", onclick: () => change(() => post(`devices/${deviceId}/approve/`, { key: key.id }), "The key is approved") }),
      !key.revoked_at && button("Revoke", { kind: "is-quiet is-danger", onclick: () => revoke(key) }))));

  async function show() {
    const keys = await all(`devices/${deviceId}/keys/`);
    body.replaceChildren(keys.length
      ? h("table", { class: "table is-cards" },
        h("thead", {}, h("tr", {}, ["State", "Given to", "Last used", ""].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, keys.map(row)))
      : nothing("This camera has no key yet."));
  }

  await show();
  return card;
}
