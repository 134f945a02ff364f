// System: is it recording, for how long does it fit, what was deleted, what runs, what went wrong.

import { get, isAdmin, mayOperate } from "./lib/api.js";
import { h, isSelectedIn, notice, nothing, redraw, s, toast } from "./lib/dom.js";
import { ago, bytes, duration, exact, sinceWhen } from "./lib/time.js";

const EVERY_MS = 5000;
const CLOCK_NEWS_MS = 5000;
const REASONS = { age: "older than the days to keep", bytes: "over the storage limit", free_space: "the disk was nearly full", person: "deleted by a person", missing: "the file was gone" };
const PROCESS_WORDS = {
  valkey: "Messages between the processes", web: "Cameras, pages and live pictures",
  worker: "Makes the hour files", beat: "Starts what is due", discovery: "Lets cameras find the recorder", cameras: "Simulated cameras", simulated: "Simulated cameras", capture: "Fetches network, USB and Pi cameras",
};

const NOT_SHARED = "No camera is shared with you. An administrator can do that.";

const place = document.getElementById("system");
const isOwner = await isAdmin();
const isOperator = await mayOperate(); // nobody else is told about processes and errors
let names = new Map();

const verdict = (facts) => h("section", { class: `verdict ${facts.is_recording ? "" : "is-not"}`, role: "status" },
  h("span", { class: "mark" }), h("div", {}, facts.cameras.length || isOperator ? facts.sentence : NOT_SHARED));

function diskCard({ disk }) {
  const other = disk.total_bytes - disk.free_bytes - disk.recordings_bytes - disk.spool_bytes;
  const parts = [["fill", "Recordings", disk.recordings_bytes], ["spool", "Waiting to be filed", disk.spool_bytes], ["other", "Everything else", Math.max(0, other)]];
  let x = 0;
  const bars = parts.map(([kind, , size]) => {
    const width = (size / disk.total_bytes) * 1000;
    const bar = s("rect", { class: kind, x, y: 0, width, height: 10 });
    x += width;
    return bar;
  });
  return h("section", { class: "card" },
    h("div", { class: "spread" }, h("h2", {}, "Disk"), h("span", { class: "small" }, `${bytes(disk.free_bytes)} free of ${bytes(disk.total_bytes)}`)),
    s("svg", { class: "meter", viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img",
      "aria-label": parts.map(([, text, size]) => `${text}: ${bytes(size)}`).join(", ") }, ...bars),
    h("ul", { class: "key-list" }, parts.map(([kind, text, size]) => h("li", {}, h("i", { class: kind }), `${text} ${bytes(size)}`)),
      h("li", {}, h("i", { class: "free" }), `Free ${bytes(disk.free_bytes)}`)),
    h("p", { class: "hint" }, `${bytes(disk.min_free_bytes)} are always kept free; when the disk fills up, the oldest recordings that are not locked go first.`));
}

const days = (count) => (count === null || count === undefined ? "not known yet" : count < 2 ? `${Math.round(count * 24)} hours` : `${Math.round(count)} days`);

function camerasCard({ cameras }) {
  const rows = cameras.map((camera) => h("tr", {},
    h("td", { class: "wide" }, h("a", { class: "name", href: `/cameras/${camera.id}` }, camera.name)),
    h("td", {}, camera.is_recording ? h("span", { class: "state is-live" }, "Recording") : h("span", { class: "state is-attention" }, "Not recording")),
    h("td", { class: "number" }, bytes(camera.recordings_bytes)),
    h("td", { class: "number" }, camera.bytes_per_day ? `${bytes(camera.bytes_per_day)} a day` : "–"),
    h("td", { class: "number" }, h("span", { class: "muted only-card" }, "fits "), days(camera.days_that_fit))));
  return h("section", { class: "card is-flush" }, h("div", { class: "card-head" }, h("h2", {}, "What is recorded, and how long it fits")),
    rows.length ? h("table", { class: "table is-cards" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Camera"), h("th", { scope: "col" }, "State"), ...["Kept", "Grows by", "Room for"].map((text) => h("th", { scope: "col", class: "number" }, text)))),
      h("tbody", {}, rows)) : isOperator ? nothing("No camera yet. ", h("a", { href: "/cameras/add" }, "Add the first one")) : nothing(NOT_SHARED));
}

function processesCard({ processes, now_ms: now }) {
  const rows = (processes ?? []).map((process) => h("tr", {},
    h("td", { class: "wide" }, h("span", { class: "name" }, process.name), " ", h("span", { class: "muted" }, PROCESS_WORDS[process.name] ?? "")),
    h("td", {}, h("span", { class: `state is-${process.state === "running" ? "good" : "attention"}` }, process.state)),
    h("td", {}, process.state === "running" && process.started_ms ? h("span", { title: exact(process.started_ms) }, `up ${duration(now - process.started_ms)}`) : ""),
    h("td", {}, process.restarts ? `${process.restarts} ${process.restarts === 1 ? "restart" : "restarts"}` : h("span", { class: "muted" }, "no restart")),
    h("td", { class: "muted wide" }, process.last_error || "")));
  return h("section", { class: "card is-flush" }, h("div", { class: "card-head" }, h("h2", {}, "Processes")),
    rows.length ? h("table", { class: "table is-cards" },
      h("thead", {}, h("tr", {}, ["Process", "State", "Since", "Restarts", "Last error"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows)) : nothing("The supervisor does not answer, so nothing is known about the processes."));
}

function logCard(title, items, empty) {
  return h("section", { class: "card is-flush" }, h("div", { class: "card-head" }, h("h2", {}, title)),
    items.length ? h("ul", { class: "log scroll", tabIndex: 0, "aria-label": title }, items.map(([at, ...words]) =>
      h("li", {}, h("time", { title: exact(at) }, sinceWhen(at)), h("span", {}, words)))) : nothing(empty));
}

const deletionItems = ({ deletions }) => (deletions ?? []).map((one) =>
  [Date.parse(one.at), `${names.get(one.device) ?? "A deleted camera"}, ${hourOf(one.path)}, ${bytes(one.size_bytes)}: `, h("span", { class: "muted" }, one.detail || REASONS[one.reason] || one.reason)]);

/** "AA-BB-…/2026-11-12/14.mp4" as "2026-11-12 14:00". */
function hourOf(path) {
  const [, date, hour] = path.match(/(\d{4}-\d\d-\d\d)\/(\d\d)/) ?? [];
  return date ? `${date} ${hour}:00` : path;
}

/** Recordings carry the recorder's time, so a clock that is wrong has to be seen. */
function clockWords(now) {
  const ahead = now - Date.now();
  if (Math.abs(ahead) < CLOCK_NEWS_MS) return `${exact(now)}, as on this device`;
  return h("span", { class: "state is-attention" }, `${exact(now)}, ${duration(Math.abs(ahead))} ${ahead > 0 ? "ahead of" : "behind"} this device`);
}

function aboutCard(facts) {
  const { certificate } = facts;
  const left = certificate?.days_left;
  return h("section", { class: "card" }, h("h2", {}, "This recorder"),
    h("dl", { class: "facts" },
      h("dt", {}, "Version"), h("dd", {}, facts.version),
      h("dt", {}, "Clock"), h("dd", {}, clockWords(facts.now_ms)),
      h("dt", {}, "Addresses"), h("dd", {}, (facts.addresses ?? []).map((address) => h("div", {}, h("a", { href: address }, address)))),
      h("dt", {}, "Certificate"), h("dd", {}, certificate ? `valid for ${left} more days, until ${exact(Date.parse(certificate.not_after))}` : "not known"),
      certificate?.sha256 && [h("dt", {}, "Fingerprint"), h("dd", { class: "mono" }, certificate.sha256)],
      h("dt", {}, "For cameras"), h("dd", {}, h("div", {}, h("a", { href: "/ca.pem", download: "roost-ca.pem" }, "Certificate to put into a sketch")),
        isOwner && h("div", {}, h("a", { href: "/firmware" }, "Firmware and updates")))));
}

async function show() {
  try {
    const facts = await get("system/");
    if (isSelectedIn(place)) return;
    names = new Map(facts.cameras.map((camera) => [camera.id, camera.name]));
    const scrolled = [...place.querySelectorAll(".scroll")].map((list) => list.scrollTop);
    redraw(place, verdict(facts), h("div", { class: "columns" }, diskCard(facts), aboutCard(facts)), camerasCard(facts), ...(isOperator ? [processesCard(facts)] : []),
      h("div", { class: "columns" },
        logCard("Last deleted", deletionItems(facts), "Nothing has been deleted."),
        isOperator && logCard("Last warnings and errors", (facts.errors ?? []).map((one) => [one.at_ms, one.message]), "No errors.")));
    place.querySelectorAll(".scroll").forEach((list, index) => { list.scrollTop = scrolled[index] ?? 0; });
  } catch (error) {
    if (place.childElementCount) toast(error.message, "bad");
    else place.replaceChildren(notice(error.message, { kind: "is-bad" }));
  }
}

await show();
setInterval(() => { if (!document.hidden) show(); }, EVERY_MS);
