// What every page has: the line that says what is wrong now, and the theme.

import { watchCameras, worstOf } from "./lib/cameras.js";
import { announce, h, icon } from "./lib/dom.js";
import { linesOf, watchRequests } from "./lib/enrolment.js";

const UNRECORDED_FOR_MS = 10_000;
const THEMES = ["auto", "dark", "light"];
const NAMES = { auto: "Auto", dark: "Dark", light: "Light" };

const line = document.getElementById("topline");
const MOST_COUNTED = 99;
let unrecorded = { key: "", since: 0 };
let cameras = [];
let requests = { count: 0, results: [] };

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

function showWorst() {
  const worst = worstOf(cameras);
  const asks = linesOf(requests);
  showLine(isNews(worst) ? worst : asks && { isBad: false, href: "/cameras", text: asks });
}

watchCameras((fresh, error) => {
  if (error) { showLine({ isBad: true, href: "/system", text: error.message }); return; }
  cameras = fresh;
  showWorst();
});

/** How many ask to join, on the rail, whatever else is wrong now. */
function showCount({ count }) {
  const link = document.querySelector('.rail-link[href="/cameras"]');
  const badge = link.querySelector(".rail-count") ?? h("span", { class: "rail-count" });
  if (!count) { badge.remove(); return; }
  badge.replaceChildren(count > MOST_COUNTED ? `${MOST_COUNTED}+` : String(count), h("span", { class: "unseen" }, count === 1 ? " asks to join" : " ask to join"));
  if (!badge.isConnected) link.append(badge);
}

watchRequests((found) => {
  requests = found;
  showCount(found);
  showWorst();
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
