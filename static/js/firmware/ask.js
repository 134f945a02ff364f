// Asking with a form in a dialog, and saying why it was refused.

import { button, h, openDialog } from "../lib/dom.js";

/** Without the name of the field: the dialog has few, and the sentence says which one is meant. */
export const reasonOf = (error) => error.message.replace(/^(file|pem|image|stages|name): /, "");

/** Stays open with the reason when `send(signal)` fails; closing it gives up what is under way. */
export function askFor(title, content, action, send) {
  const reason = h("p", { class: "error", role: "alert" });
  const abort = new AbortController();
  const go = button(action, { type: "submit", kind: "is-primary" });
  const form = h("form", { class: "fields", oninput: () => { reason.textContent = ""; }, onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    reason.textContent = "";
    try {
      await send(abort.signal);
      box.close();
    } catch (error) {
      if (error.name !== "AbortError") reason.textContent = reasonOf(error);
    } finally { go.disabled = false; }
  } }, content, reason, h("div", { class: "dialog-foot" }, button("Cancel", { onclick: () => box.close() }), go));
  const box = openDialog(title, form);
  box.addEventListener("close", () => abort.abort());
  form.querySelector("input, textarea")?.focus();
}
