// Settings: each change is sent when it is made and says so beside its heading.

import { all, get, isAdmin, patch, post, remove } from "./lib/api.js";
import { button, confirmed, copyable, field, h, notice, nothing, openDialog, select, toast } from "./lib/dom.js";
import { ago, exact } from "./lib/time.js";

const GB = 1e9;
const inGb = (bytes) => Math.round((bytes / GB) * 10) / 10;
const PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"];
const place = document.getElementById("settings");

/** A card whose `send(change)` writes one group; the answer becomes the new state. */
function group(name, title, state, draw) {
  const status = h("span", { class: "hint", role: "status" });
  const body = h("div", { class: "fields" });
  const isFixed = (key) => state.is_fixed?.includes(key) ?? false;
  const send = async (change) => {
    status.className = "hint";
    status.textContent = "Saving…";
    try {
      ({ [name]: state } = await patch("settings/", { [name]: change }));
      status.textContent = "Saved";
    } catch (error) {
      status.className = "error";
      status.textContent = `Not saved. ${error.message}`;
    }
    body.replaceChildren(...draw(state, send, isFixed));
  };
  body.replaceChildren(...draw(state, send, isFixed));
  return h("section", { class: "card", "aria-label": title }, h("div", { class: "spread" }, h("h2", {}, title), status), body);
}

const FIXED = "Fixed by the recorder's environment; it can only be changed there.";
const hintOf = (isFixed, text) => (isFixed ? FIXED : text);

function numberField(label, { value, min, max, unit, hint, isFixed, onvalue }) {
  const input = h("input", { class: "input is-short", type: "text", inputMode: "decimal", value: String(value), disabled: isFixed, autocomplete: "off",
    onchange: () => {
      const number = Number(input.value.replace(",", "."));
      const isRight = input.value.trim() !== "" && number >= min && number <= max && (unit === "GB" || Number.isInteger(number));
      input.setAttribute("aria-invalid", String(!isRight));
      if (isRight) onvalue(number);
      else toast(`${label}: a ${unit === "GB" ? "" : "whole "}number from ${min} to ${max}`, "bad");
    } });
  return field(label, h("span", { class: "with-unit" }, input, h("span", { class: "muted" }, unit)), { hint: hintOf(isFixed, hint) });
}

function choice(name, value, current, label, hint, isFixed, onchange) {
  return h("label", { class: "choice" },
    h("input", { type: "radio", name, value, checked: value === current, disabled: isFixed, onchange }), h("span", {}, label), h("span", { class: "hint" }, hint));
}

function drawRegistration(state, send, isFixed) {
  const modes = [
    ["open", "Open", "Any camera on the network may join. Right while you set cameras up."],
    ["approve", "By approval", "New cameras wait on the Cameras page until someone lets them in."],
    ["closed", "Closed", "No new camera. One you have that lost power waits on the Cameras page."],
  ];
  return [
    h("div", { class: "choices", role: "radiogroup", "aria-label": "Who may join" },
      modes.map(([value, label, hint]) => choice("mode", value, state.mode, label, hint, isFixed("mode"), () => send({ mode: value })))),
    isFixed("mode") && h("p", { class: "hint" }, FIXED),
    numberField("At most", { value: state.max_devices, min: 1, max: 1000, unit: "cameras", isFixed: isFixed("max_devices"), onvalue: (max_devices) => send({ max_devices }) }),
  ].filter(Boolean);
}

function drawRetention(state, send, isFixed) {
  return [
    numberField("Keep recordings for", { value: state.days, min: 1, max: 3650, unit: "days", isFixed: isFixed("days"),
      hint: "Older ones are deleted at night. Locked recordings stay.", onvalue: (days) => send({ days }) }),
    numberField("Use at most", { value: inGb(state.max_bytes), min: 0, max: 1e6, unit: "GB", isFixed: isFixed("max_bytes"),
      hint: "0 means no limit but the disk itself.", onvalue: (gb) => send({ max_bytes: Math.round(gb * GB) }) }),
    numberField("Always leave free", { value: inGb(state.min_free_bytes), min: 0, max: 1e6, unit: "GB", isFixed: isFixed("min_free_bytes"),
      hint: "Below this the oldest recordings go, whatever their age.", onvalue: (gb) => send({ min_free_bytes: Math.round(gb * GB) }) }),
  ];
}

function drawEncoder(state, send, isFixed) {
  return [
    field("Encode with", select([["software", "Software (works everywhere)"], ["auto", "Hardware where it works, else software"]], state.encoder,
      { disabled: isFixed("encoder"), onchange: (event) => send({ encoder: event.target.value }) }), { hint: isFixed("encoder") && FIXED }),
    field("Effort", select(PRESETS.map((name) => [name, name]), state.preset,
      { disabled: isFixed("preset"), onchange: (event) => send({ preset: event.target.value }) }), { hint: hintOf(isFixed("preset"), "Slower presets make smaller files and cost more of the processor.") }),
    numberField("Quality (CRF)", { value: state.crf, min: 0, max: 51, unit: "", isFixed: isFixed("crf"), hint: "Lower is better and larger; 26 keeps what a Wi-Fi camera sees.", onvalue: (crf) => send({ crf }) }),
    numberField("Keep at hand", { value: state.pre_roll_seconds, min: 0, max: 3600, unit: "seconds", isFixed: isFixed("pre_roll_seconds"),
      hint: "How much of the past stays as original pictures after it was filed.", onvalue: (pre_roll_seconds) => send({ pre_roll_seconds }) }),
  ];
}

function drawClips(state, send, isFixed, cameras) {
  const seconds = (key, label) => numberField(label, { value: state[key], min: 0, max: 300, unit: "seconds", isFixed: isFixed(key), onvalue: (value) => send({ [key]: value }) });
  return [
    seconds("before_seconds", "A clip begins before the moment by"),
    seconds("after_seconds", "and ends after it by"),
    numberField("Keep at most", { value: state.max_count, min: 0, max: 1e6, unit: "clips", isFixed: isFixed("max_count"),
      hint: "0 means no limit. Beyond it the oldest go that are not locked.", onvalue: (max_count) => send({ max_count }) }),
    numberField("Use at most", { value: inGb(state.max_bytes), min: 0, max: 1e6, unit: "GB", isFixed: isFixed("max_bytes"), hint: "0 means no limit.", onvalue: (gb) => send({ max_bytes: Math.round(gb * GB) }) }),
    field("Older clip programs mean", select([["", "The first fetched camera"], ...cameras.map((camera) => [camera.id, camera.name])], state.legacy_camera ?? "",
      { disabled: isFixed("legacy_camera"), onchange: (event) => send({ legacy_camera: Number(event.target.value) || null }) }),
    { hint: hintOf(isFixed("legacy_camera"), "They name no camera when they ask for a clip.") }),
  ];
}

// --- tokens: shown once, never again

async function tokensCard() {
  const body = h("div");
  const name = h("input", { class: "input", maxLength: 60, required: true, placeholder: "Home Assistant", "aria-label": "What the token is for", autocomplete: "off" });
  const form = h("form", { class: "row", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const { token } = await post("tokens/", { name: name.value.trim() });
      name.value = "";
      openDialog("Your new token", [
        notice("Copy it now. It is not shown again, and nobody can look it up.", { kind: "is-info", icon: "info" }),
        copyable(token), h("p", { class: "hint" }, "Programs send it as the header “Authorization: Bearer …” and may do what your account may.")]);
      show();
    } catch (error) { toast(error.message, "bad"); }
  } }, name, button("Create token", { type: "submit", icon: "key" }));

  async function drop(token) {
    if (!(await confirmed(`Delete the token “${token.name}”?`, "Whatever uses it is shut out at once.", "Delete", { danger: true }))) return;
    try { await remove(`tokens/${token.id}/`); toast("The token is deleted"); } catch (error) { toast(error.message, "bad"); }
    show();
  }

  async function show() {
    const tokens = await all("tokens/");
    body.replaceChildren(tokens.length ? h("table", { class: "table is-cards" }, h("tbody", {}, tokens.map((token) => h("tr", {},
      h("td", { class: "name" }, token.name),
      h("td", { class: "muted", title: exact(Date.parse(token.created_at)) }, `made ${ago(Date.parse(token.created_at))}`),
      h("td", { class: "actions" }, button("Delete", { kind: "is-quiet is-danger", onclick: () => drop(token) })))))) : nothing("No program has a token."));
  }
  await show();
  return h("section", { class: "card", "aria-label": "Tokens for programs" }, h("h2", {}, "Tokens for programs"),
    h("p", { class: "muted" }, "For Home Assistant, scripts and everything else that is not a person. ", h("a", { href: "/api/docs/" }, "What the API can do")), form, body);
}

async function showSettings() {
  const [settings, cameras] = await Promise.all([get("settings/"), all("devices/", { ordering: "position", is_new: false })]);
  place.append(h("div", { class: "columns" },
    group("registration", "New cameras", settings.registration, drawRegistration),
    group("retention", "How long recordings are kept", settings.retention, drawRetention),
    group("clips", "Clips", settings.clips, (state, send, isFixed) => drawClips(state, send, isFixed, cameras)),
    group("encoder", "How video is stored", settings.encoder, drawEncoder),
    await tokensCard(), document.getElementById("people").closest("section")));
}

try {
  if (await isAdmin()) await showSettings();
  else place.append(notice("Only administrators may change settings.", { kind: "is-info", icon: "info" }));
} catch (error) { place.append(notice(error.message, { kind: "is-bad" })); }
