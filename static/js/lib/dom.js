// Making elements, saying things, asking things. Text always goes in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name in node && !(node instanceof SVGElement) && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element; `on…` props are listeners, `data` is the dataset, null children are left out. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** The same for SVG. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

export const icon = (name) => s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `#i-${name}` }));

export function button(text, { icon: iconName, kind = "", ...props } = {}) {
  return h("button", { type: "button", class: `button ${kind}`, ...props }, iconName && icon(iconName), text);
}

/** A button that is only an icon; its label is what screen readers and the tooltip say. */
export function iconButton(label, iconName, props = {}) {
  const { kind = "is-quiet", ...rest } = props;
  return h("button", { type: "button", class: `button is-icon ${kind}`, "aria-label": label, title: label, ...rest }, icon(iconName));
}

export function iconLink(label, iconName, href, props = {}) {
  const { kind = "is-quiet", ...rest } = props;
  return h("a", { class: `button is-icon ${kind}`, href, "aria-label": label, title: label, ...rest }, icon(iconName));
}

export function select(options, value, props = {}) {
  const items = options.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value) }, text));
  return h("span", { class: "select-box" }, h("select", { class: "select", ...props }, items));
}

let fieldNumber = 0;

/** Label, control, hint; the control gets the id that the label and the hint point at. */
export function field(label, control, { hint, value } = {}) {
  const input = control.matches("input, select, textarea") ? control : control.querySelector("input, select, textarea");
  input.id ||= `field-${++fieldNumber}`;
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  const head = h("label", { htmlFor: input.id }, label);
  return h("div", { class: "field" },
    value ? h("div", { class: "field-head" }, head, value) : head,
    control,
    hint && h("p", { class: "hint", id: `${input.id}-hint` }, hint));
}

export const notice = (text, { kind = "", icon: name = "attention" } = {}) =>
  h("div", { class: `notice ${kind}` }, icon(name), h("div", {}, text));

export const nothing = (...content) => h("div", { class: "nothing" }, ...content);

/** Heard by screen readers, seen by nobody. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** Where notes go: over whatever fills the screen. */
export function toastBox() {
  const box = document.getElementById("toasts");
  const place = document.fullscreenElement ?? document.body;
  if (box.parentElement !== place) {
    place.append(box);
    document.addEventListener("fullscreenchange", () => document.body.append(box), { once: true });
  }
  return box;
}

/** What was just done, or why it was not; errors stay longer. `action` is `[text, onclick]` and takes the note away. */
export function toast(text, kind = "good", { action, forMs = kind === "bad" ? 9000 : 4000 } = {}) {
  const item = h("div", { class: `toast is-${kind}` }, icon(kind === "bad" ? "attention" : "check"), h("span", { class: "toast-text" }, text),
    action && button(action[0], { onclick: () => { item.remove(); action[1](); } }));
  const box = toastBox();
  const same = [...box.querySelectorAll(".toast:not(.is-staying)")].find((one) => one.className === item.className && one.textContent === item.textContent);
  same?.remove(); // said again, not twice
  box.append(item);
  const passing = box.querySelectorAll(".toast:not(.is-staying)");
  if (passing.length > 3) passing[0].remove();
  setTimeout(() => item.remove(), forMs);
}

/** Opens a popover below `anchor`, above it where there is no room. */
export function showNear(element, anchor) {
  element.showPopover();
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = element;
  element.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
  element.style.top = `${box.bottom + height + 8 < innerHeight ? box.bottom + 4 : Math.max(8, box.top - height - 4)}px`;
}

const nameOf = (one) => [one.tagName, one.getAttribute("href"), one.getAttribute("aria-label"), one.textContent].join("|");

/** Replaces the content, and gives the focus back to the control that had it if there still is one like it. */
export function redraw(place, ...content) {
  const focused = place.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  place.replaceChildren(...content);
  if (focused) [...place.querySelectorAll("a, button, input, select, [tabindex]")].find((one) => nameOf(one) === focused)?.focus({ preventScroll: true });
}

/** True while text in `place` is selected, which a redraw would undo. */
export const isSelectedIn = (place) => !getSelection().isCollapsed && place.contains(getSelection().anchorNode);

/** A modal that is gone from the page once closed; returns the element. */
export function openDialog(title, content, { wide = false } = {}) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const box = h("dialog", { class: `dialog ${wide ? "is-wide" : ""}`, "aria-labelledby": "dialog-title" },
    h("div", { class: "dialog-body" },
      h("div", { class: "spread" }, heading, iconButton("Close", "close", { onclick: () => box.close() })), content));
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

/** Resolves to true when the person agrees; the harmless answer has the focus. */
export function confirmed(title, text, action, { danger = false } = {}) {
  return new Promise((resolve) => {
    const no = button("Cancel", { autofocus: true, onclick: () => box.close() });
    const yes = button(action, {
      kind: danger ? "is-danger is-primary" : "is-primary",
      onclick: () => { resolve(true); box.close(); },
    });
    const box = openDialog(title, [h("p", {}, text), h("div", { class: "dialog-foot" }, no, yes)]);
    box.addEventListener("close", () => resolve(false));
    no.focus();
  });
}

/** Text to take along, with a button that copies it. */
export function copyable(text) {
  const copy = iconButton("Copy", "copy", {
    onclick: async () => {
      await navigator.clipboard.writeText(text);
      copy.replaceChildren(icon("check"));
      announce("Copied");
      setTimeout(() => copy.replaceChildren(icon("copy")), 2000);
    },
  });
  return h("span", { class: "copy" }, h("code", {}, text), copy);
}
