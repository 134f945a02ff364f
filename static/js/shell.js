// What every page has: the line that says what is wrong now, and the theme.

import { watchCameras, worstOf } from "./lib/cameras.js";
import { announce, h, icon } from "./lib/dom.js";

const UNRECORDED_FOR_MS = 10_000;
const THEMES = ["auto", "dark", "light"];
const NAMES = { auto: "Auto", dark: "Dark", light: "Light" };

const line = document.getElementById("topline");
let unrecorded = { key: "", since: 0 };

/** A camera that just connected is not recorded for a moment; that is no news. */
function isNews(worst) {
  if (!worst?.isBad) { unrecorded = { key: "", since: 0 }; return worst !== null; }
  if (unrecorded.key !== worst.key) unrecorded = { key: worst.key, since: Date.now() };
  return Date.now() - unrecorded.since >= UNRECORDED_FOR_MS;
}

function showLine(item) {
  const text = item?.text ?? "";
  if (line.textContent === text) return;
  line.replaceChildren(...(item ? [h("a", { class: `topline-link ${item.isBad ? "is-bad" : ""}`, href: item.href },
    icon("attention"), h("span", {}, text))] : []));
}

watchCameras((cameras, error) => {
  if (error) { showLine({ isBad: true, href: "/system", text: error.message }); return; }
  const worst = worstOf(cameras);
  showLine(isNews(worst) ? worst : null);
});

function chosenTheme() {
  try { return localStorage.getItem("roost-theme") ?? "auto"; } catch { return "auto"; }
}

function showTheme() {
  for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = NAMES[chosenTheme()];
  for (const control of document.querySelectorAll("[data-theme-button]")) control.setAttribute("aria-label", `Theme: ${NAMES[chosenTheme()]}`);
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length];
  if (next === "auto") localStorage.removeItem("roost-theme");
  else localStorage.setItem("roost-theme", next);
  dispatchEvent(new Event("storage"));
  showTheme();
  announce(`Theme: ${NAMES[next]}`);
}

for (const control of document.querySelectorAll("[data-theme-button]")) control.addEventListener("click", nextTheme);
showTheme();

/** A clip that is on its way is followed from page to page; who keeps nothing loads nothing for it. */
function resumeFollowing() {
  try { if (!sessionStorage.getItem("roost-following")) return; } catch { return; }
  import("./lib/keep.js").then(({ resume }) => resume());
}
resumeFollowing();
