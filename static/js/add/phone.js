// Roost's own firmware is told what it has to know by a phone, or over its cable. What is typed here stays in this page.

import { get } from "../lib/api.js";
import { button, copyable, field, h, icon, notice } from "../lib/dom.js";
import { MOST_BYTES, qrCode } from "./qr.js";
import { authorityOf, complaints, endingOf, joinCode, portalAddress, serialLines, updateKeyOf } from "./setup.js";

const TYPING_MS = 200; // a large code is not drawn anew for each letter

/** The authority that a camera has to trust, and where it reaches the recorder; viewers' pages do not get here. */
async function aboutRecorder() {
  const answer = await fetch("/ca.pem");
  if (!answer.ok) throw new Error("The recorder does not hand out its certificate.");
  const { addresses } = await get("system/");
  const places = addresses.length ? addresses : [location.origin];
  return { authority: authorityOf(await answer.text()), places: places.map((place) => new URL(place)) };
}

export class PhoneSetup {
  #memory; #authority = ""; #timer = 0; #inputs = {}; #errors = {}; #turn = 0;

  /** `memory` outlives a reload; the password and the update key are never put there. */
  constructor({ memory }) {
    this.#memory = memory;
    this.codes = h("section", { class: "card", "aria-label": "Set it up with a phone" });
    this.cable = h("details", { class: "card", hidden: true });
    this.form = h("section", { class: "card", "aria-label": "What the camera has to know" }, h("span", { class: "spinner" }));
    this.element = h("div", { class: "fields" }, this.form, this.codes, this.cable);
    this.codes.hidden = true;
    aboutRecorder().then(({ authority, places }) => {
      this.#authority = authority;
      this.#showForm(places);
      return this.#show();
    }).catch((error) => { this.form.replaceChildren(notice(error.message, { kind: "is-bad" })); });
  }

  leave() { clearTimeout(this.#timer); }

  #showForm(places) {
    const kept = this.#memory.read();
    const isFixed = kept.isFixed ?? false;
    const radio = (value, label, hint) => h("label", { class: "choice" },
      h("input", { type: "radio", name: "find", value, checked: (value === "fixed") === isFixed, onchange: () => this.#changed() }), h("span", {}, label), h("span", { class: "hint" }, hint));
    const plain = { autocomplete: "off", autocapitalize: "none", spellcheck: false };
    const ssid = this.#input("ssid", { ...plain, value: kept.ssid ?? "" });
    const password = this.#input("password", { type: "password", autocomplete: "new-password" });
    const server = this.#input("server", { ...plain, value: kept.server ?? places[0].hostname });
    const port = this.#input("port", { ...plain, inputMode: "numeric", value: kept.port ?? (places[0].port || "443") });
    const ending = this.#input("ending", { ...plain, value: kept.ending ?? "", placeholder: "A1B2C3" });
    this.fixed = h("div", { class: "columns is-pair", hidden: !isFixed }, this.#field("server", "Address", server), this.#field("port", "Port", port));
    this.form.replaceChildren(h("h2", {}, "What the camera has to know"),
      h("form", { class: "fields", autocomplete: "off", onsubmit: (event) => event.preventDefault() },
        h("div", { class: "columns is-pair" }, this.#field("ssid", "Wi-Fi name", ssid), this.#field("password", "Wi-Fi password", password)),
        h("p", { class: "hint" }, "Once the name is typed, a code for your phone appears below. The password stays in this browser: it goes into that code, is not sent to the recorder and not stored."),
        h("div", { class: "choices", role: "radiogroup", "aria-label": "How it finds the recorder" },
          radio("auto", "It finds the recorder by itself", "Right in most networks, also when the recorder's address changes."),
          radio("fixed", "The recorder is always at one address", "Where mDNS does not get through: guest networks, several subnets.")),
        this.fixed, this.#more(ending)));
  }

  #more(ending) {
    const key = h("textarea", { class: "input is-lines mono", rows: 4, autocomplete: "off", spellcheck: false, placeholder: "-----BEGIN PUBLIC KEY-----", oninput: () => this.#changed() });
    this.#inputs.updateKey = key;
    const file = h("input", { type: "file", accept: ".pem,.pub,.txt", hidden: true, onchange: async () => {
      if (file.files[0]) key.value = await file.files[0].text();
      file.value = "";
      this.#changed();
    } });
    return h("details", {}, h("summary", {}, "More: its name in the list of networks, updates"),
      h("div", { class: "fields" },
        this.#field("ending", "The end of the camera's hardware address", ending, "Six characters, where they are printed on the board: then your phone joins the camera's network by a code, too."),
        this.#field("updateKey", "Key for updates, its public half", key, "The camera takes new firmware only if it was signed with this key. Without one it takes none."),
        h("div", {}, button("Read it from a file", { onclick: () => file.click() }), file)));
  }

  #input(name, props) {
    this.#inputs[name] = h("input", { class: "input", oninput: () => this.#changed(), ...props });
    return this.#inputs[name];
  }

  #field(name, label, control, hint) {
    this.#errors[name] = h("p", { class: "error", role: "status" });
    const element = field(label, control, { hint });
    element.append(this.#errors[name]);
    return element;
  }

  #changed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#show(), TYPING_MS);
  }

  /** What is typed now, checked; null while it cannot be used. */
  #read() {
    const value = (name) => this.#inputs[name].value;
    const told = { ssid: value("ssid"), password: value("password"), isFixed: this.form.querySelector("[name=find]:checked").value === "fixed",
      server: value("server").trim(), port: value("port").trim(), ending: value("ending").trim(), authority: this.#authority, updateKey: "" };
    const { ssid, isFixed, server, port, ending } = told;
    this.#memory.write({ ssid, isFixed, server, port, ending });
    const wrong = complaints(told);
    try { told.updateKey = updateKeyOf(value("updateKey")); } catch (error) {
      wrong.updateKey = error.message;
      if (value("updateKey").includes("PRIVATE KEY")) this.#inputs.updateKey.value = "";
    }
    for (const [name, place] of Object.entries(this.#errors)) {
      place.textContent = wrong[name] ?? "";
      this.#inputs[name].setAttribute("aria-invalid", String(name in wrong));
    }
    this.fixed.hidden = !isFixed;
    return Object.keys(wrong).length || !ssid ? null : told;
  }

  async #show() {
    const turn = ++this.#turn;
    const told = this.#read();
    this.codes.hidden = this.cable.hidden = !told;
    if (!told) return;
    const address = portalAddress(told);
    const isSmallEnough = address.length <= MOST_BYTES;
    try {
      const join = endingOf(told.ending) && await qrCode(joinCode(told.ending), `Code that joins Roost-${endingOf(told.ending)}`);
      const open = isSmallEnough && await qrCode(address, "Code that opens the camera's page, filled in");
      if (turn === this.#turn) this.#showSteps(told, address, join, open);
    } catch { this.codes.replaceChildren(notice("The codes could not be drawn. The link and the cable below work without them.", { kind: "is-bad" }), this.#link(address)); }
    this.#showCable(told);
  }

  #link(address) {
    return h("a", { class: "button", href: address, target: "_blank", rel: "noreferrer", referrerPolicy: "no-referrer" }, icon("link"), "Open the camera's page");
  }

  #showSteps(told, address, join, open) {
    const name = endingOf(told.ending) ? `Roost-${endingOf(told.ending)}` : "Roost-…";
    const text = (...content) => h("p", {}, ...content);
    this.codes.replaceChildren(h("h2", {}, "Set it up with a phone"), h("ol", { class: "steps" },
      h("li", {}, h("div", {}, text("Switch the camera on. Knowing no Wi-Fi yet, it opens one of its own, called ", h("strong", {}, name), "."))),
      h("li", {}, h("div", { class: "fields" }, text(join ? "Scan this with the phone's camera to join it." : ["Join it in the phone's Wi-Fi settings: the name that begins with ", h("strong", {}, "Roost-"), ". It has no password."]),
        join && h("div", { class: "qr-place is-small" }, join),
        h("p", { class: "hint" }, "The phone may say that there is no internet, or show a page of the camera by itself. Stay connected, and close that page."))),
      h("li", {}, h("div", { class: "fields step-open" }, text("Scan this. The camera's page opens, filled in; press ", h("strong", {}, "Save and connect"), "."),
        open ? h("div", { class: "qr-place" }, open) : notice("The recorder's certificate is too large for a code. Use the link below on the phone itself, or the cable."),
        h("p", { class: "hint" }, "The code holds your Wi-Fi password. Show it to nobody else."),
        h("p", { class: "row open-here" }, h("span", { class: "muted small" }, "Is this page open on the phone itself?"), this.#link(address)))),
      h("li", {}, h("div", {}, text("The camera joins your Wi-Fi, looks for the recorder and registers. It appears on this page by itself.")))));
  }

  #showCable(told) {
    const lines = serialLines(told);
    this.cable.replaceChildren(h("summary", {}, "By cable instead"), h("div", { class: "fields" },
      h("p", { class: "muted" }, "With the camera on its USB adapter, open its serial console (115,200 baud, such as ", h("code", {}, "pio device monitor"), ") and paste these lines. Each is answered with “ok”."),
      lines ? h("div", { class: "copy-lines" }, copyable(lines))
        : notice("The serial line has no way to say a name or password with both a blank and a quotation mark in it. Use the phone.", { kind: "is-info", icon: "info" })));
  }
}
