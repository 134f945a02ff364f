// The public keys whose firmware is taken.

import { post, remove } from "../lib/api.js";
import { button, confirmed, field, h, nothing } from "../lib/dom.js";
import { ago, exact } from "../lib/time.js";
import { askFor } from "./ask.js";

function askForKey(refresh) {
  const name = h("input", { class: "input", maxLength: 80, required: true, placeholder: "Workshop key", autocomplete: "off" });
  const pem = h("textarea", { class: "input is-lines mono", rows: 6, required: true, spellcheck: false, autocomplete: "off", placeholder: "-----BEGIN PUBLIC KEY-----" });
  askFor("Trust an update key", [
    field("Name", name, { hint: "For people: who holds the private half." }),
    field("Public key", pem, { hint: "The lines that signfirmware newkey printed, with BEGIN and END. Never the private key." }),
  ], "Trust this key", async () => {
    await post("firmware/keys/", { name: name.value.trim(), pem: pem.value.trim() });
    await refresh("The key is trusted");
  });
}

export function keysCard({ keys }, { act, refresh }) {
  const drop = async (key) => {
    const text = "What it signed stays in the catalogue and is given to no camera any more. Cameras keep the key that they were set up with.";
    if (await confirmed(`Trust “${key.name}” no longer?`, text, "Remove key", { danger: true })) act(() => remove(`firmware/keys/${key.id}/`), "The key is removed");
  };
  const rows = keys.map((key) => h("tr", {},
    h("td", { class: "wide name" }, key.name),
    h("td", { class: "mono" }, key.short_id),
    h("td", { class: "muted", title: exact(Date.parse(key.added_at)) }, `added ${ago(Date.parse(key.added_at))}${key.added_by ? ` by ${key.added_by}` : ""}`),
    h("td", { class: "actions" }, button("Remove", { kind: "is-quiet is-danger", "aria-label": `Remove ${key.name}`, onclick: () => drop(key) }))));
  return h("section", { class: "card is-flush", "aria-label": "Trusted update keys" },
    h("div", { class: "card-head spread" }, h("h2", {}, "Trusted update keys"), button("Add a key", { icon: "key", onclick: () => askForKey(refresh) })),
    rows.length ? h("table", { class: "table is-cards" }, h("tbody", {}, rows)) : nothing(
      "No key is trusted yet, so no firmware is taken. Make one on your own machine with ", h("code", {}, "manage.py signfirmware newkey"),
      " and add its public half here. ", h("code", {}, "docs/firmware-updates.md"), " says how."));
}
