// Other machines that fetch cameras for this recorder: a Pi in the shed with its own camera, for instance.

import { all, post, remove } from "../lib/api.js";
import { button, confirmed, copyable, field, h, icon, notice, openDialog, toast } from "../lib/dom.js";
import { ago, exact } from "../lib/time.js";

export async function nodesCard() {
  const body = h("div");
  const card = h("section", { class: "card is-flush", "aria-label": "Other machines" },
    h("div", { class: "card-head spread" }, h("div", {}, h("h2", {}, "Other machines"), h("p", { class: "hint" }, "They fetch cameras that the recorder itself cannot reach: another network, a USB or Pi camera elsewhere.")),
      button("Add a machine", { icon: "plus", onclick: () => ask() })), body);

  async function show() {
    const nodes = (await all("nodes/")).filter((node) => !node.is_local);
    body.replaceChildren(...(nodes.length ? [h("table", { class: "table is-cards" }, h("tbody", {}, nodes.map(row)))] : []));
  }

  function row(node) {
    const seen = node.last_seen_at && Date.parse(node.last_seen_at);
    return h("tr", {},
      h("td", { class: "name wide" }, node.name),
      h("td", {}, h("span", { class: `state is-${node.is_alive ? "good" : "attention"}` }, node.is_alive ? "Connected" : seen ? "Silent" : "Never called")),
      h("td", { class: "muted" }, seen ? h("span", { title: exact(seen) }, `called ${ago(seen)}`) : ""),
      h("td", { class: "muted" }, node.last_address ?? ""),
      h("td", { class: "number" }, `${node.source_count} ${node.source_count === 1 ? "camera" : "cameras"}`),
      h("td", { class: "actions" }, button("New key", { kind: "is-quiet", onclick: () => renew(node) }), button("Remove", { kind: "is-quiet is-danger", onclick: () => drop(node) })));
  }

  function ask() {
    const name = h("input", { class: "input", maxLength: 80, required: true, placeholder: "Shed", autocomplete: "off" });
    const box = openDialog("Add a machine", h("form", { class: "fields", onsubmit: async (event) => {
      event.preventDefault();
      try {
        const { key } = await post("nodes/", { name: name.value.trim() });
        box.close();
        tell(name.value.trim(), key);
        await show();
      } catch (error) { toast(error.message, "bad"); }
    } }, field("Its name", name), h("div", { class: "dialog-foot" }, button("Make its key", { type: "submit", kind: "is-primary", icon: "key" }))));
    name.focus();
  }

  async function renew(node) {
    if (!(await confirmed(`A new key for ${node.name}?`, "The key it has now is refused at once. Its cameras are not recorded until the new one is on that machine.", "Make a new key", { danger: true }))) return;
    try { tell(node.name, (await post(`nodes/${node.id}/key/`)).key); } catch (error) { toast(error.message, "bad"); }
  }

  async function drop(node) {
    if (!(await confirmed(`Remove ${node.name}?`, "Its key is refused from now on. Cameras that it fetches have to be moved or deleted first.", "Remove", { danger: true }))) return;
    try { await remove(`nodes/${node.id}/`); toast(`${node.name} is removed`); } catch (error) { toast(error.message, "bad"); }
    await show();
  }

  await show();
  return card;
}

/** The key is shown now and never again; the rest can be read up. */
function tell(name, key) {
  openDialog(`The key of ${name}`, [
    notice("Copy it now. It is not shown again, and nobody can look it up.", { kind: "is-info", icon: "info" }), copyable(key),
    h("p", {}, "On that machine, with Roost installed, put it into a file of its own and start:"),
    copyable(`python3 manage.py runcapture --server ${location.origin} --key-file node.key --ca-file ca.pem`),
    h("p", {}, h("a", { class: "button", href: "/ca.pem", download: "ca.pem" }, icon("download"), "Certificate of this recorder")),
  ], { wide: true });
}
