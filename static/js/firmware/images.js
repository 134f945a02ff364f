// The catalogue: signed files that cameras can be given.

import { remove, upload } from "../lib/api.js";
import { button, confirmed, field, h, icon, nothing, s } from "../lib/dom.js";
import { ago, bytes, exact } from "../lib/time.js";
import { askFor } from "./ask.js";
import { askToRollOut } from "./start.js";

function progressBar() {
  const fill = s("rect", { class: "fill", x: 0, y: 0, width: 0, height: 10 });
  const words = h("p", { class: "hint", role: "status" });
  const element = h("div", { class: "fields", hidden: true }, s("svg", { class: "meter", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" }, fill), words);
  return { element, show(sent, total) {
    element.hidden = false;
    fill.setAttribute("width", total ? (1000 * sent) / total : 0);
    words.textContent = sent < total ? `${bytes(sent)} of ${bytes(total)} sent` : "Sent; its signature is checked";
  } };
}

function askForFile(refresh) {
  const chosen = h("span", { class: "hint chosen" }, "Nothing chosen yet");
  const file = h("input", { class: "unseen", type: "file", accept: ".roost", onchange: () => {
    const [one] = file.files;
    chosen.textContent = one ? `${one.name}, ${bytes(one.size)}` : "Nothing chosen yet";
  } });
  const notes = h("textarea", { class: "input is-lines", rows: 3, maxLength: 2000, placeholder: "What is new in it" });
  const bar = progressBar();
  askFor("Upload firmware", [
    h("div", { class: "row" }, h("label", { class: "button" }, icon("chip"), "Choose a .roost file", file), chosen),
    field("Notes", notes, { hint: "For whoever rolls it out later; may stay empty." }),
    bar.element,
  ], "Upload", async (signal) => {
    if (!file.files.length) throw new Error("Choose the file that signfirmware image made.");
    const form = new FormData();
    form.append("file", file.files[0]);
    form.append("notes", notes.value.trim());
    try {
      const image = await upload("firmware/images/", form, { signal, onprogress: bar.show });
      await refresh(`${image.version} for ${image.board} is in the catalogue`);
    } finally { bar.element.hidden = true; }
  });
}

export function imagesCard({ images, keys, cameras }, { act, refresh }) {
  const drop = async (image) => {
    const text = "Its file and the history of its roll-outs are gone for good. Cameras that have it keep it.";
    if (await confirmed(`Delete ${image.version} for ${image.board}?`, text, "Delete", { danger: true })) act(() => remove(`firmware/images/${image.id}/`), `${image.version} is deleted`);
  };
  const rows = images.map((image) => h("tr", {},
    h("td", { class: "name" }, image.version),
    h("td", {}, image.board),
    h("td", { class: "number" }, bytes(image.size_bytes)),
    h("td", { class: "wide" }, image.signer_name ? h("span", { title: image.signer }, h("span", { class: "muted only-card" }, "signed by "), image.signer_name)
      : h("span", { class: "state is-attention" }, "by a key that is not trusted any more")),
    h("td", { class: "muted", title: exact(Date.parse(image.uploaded_at)) }, h("span", { class: "only-card" }, "uploaded "), ago(Date.parse(image.uploaded_at))),
    h("td", { class: "wide notes" }, image.notes),
    h("td", { class: "actions" }, h("div", { class: "row" },
      image.signer_name && !image.is_in_use && button("Roll out", { "aria-label": `Roll out ${image.version} for ${image.board}`, onclick: () => askToRollOut(image, cameras, refresh) }),
      image.is_in_use ? h("span", { class: "muted" }, "being rolled out")
        : button("Delete", { kind: "is-quiet is-danger", "aria-label": `Delete ${image.version} for ${image.board}`, onclick: () => drop(image) })))));
  return h("section", { class: "card is-flush", "aria-label": "Catalogue" },
    h("div", { class: "card-head spread" }, h("h2", {}, "Catalogue"),
      button("Upload firmware", { icon: "plus", disabled: !keys.length, title: keys.length ? "" : "First add the public key that it is signed with", onclick: () => askForFile(refresh) })),
    rows.length ? h("table", { class: "table is-cards" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Version"), h("th", { scope: "col" }, "Board"), h("th", { scope: "col", class: "number" }, "Size"),
        ["Signed by", "Uploaded", "Notes", ""].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows)) : nothing(keys.length
      ? ["No firmware yet. Build it, sign it with ", h("code", {}, "manage.py signfirmware image"), ", and upload the file that this makes. ", h("code", {}, "docs/firmware-updates.md"), " says how."]
      : "No firmware yet. First add the public key that it will be signed with."));
}
