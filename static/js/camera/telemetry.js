// What a camera reports of itself, as charts; the starts that nobody asked for are marked in each.

import { get } from "../lib/api.js";
import { lineChart } from "../lib/chart.js";
import { h } from "../lib/dom.js";
import { HOUR, MINUTE, bytes, hourMinute } from "../lib/time.js";

const SPAN_MS = 6 * HOUR;
const SHORTEST_MS = 10 * MINUTE;

const CHARTS = [
  ["Pictures a second", "received_fps", { floor: 0, say: (value) => value.toFixed(1) }],
  ["Data a second", "received_bytes_per_second", { floor: 0, say: bytes }],
  ["Wi-Fi signal", "rssi_dbm", { say: (value) => `${value} dBm` }],
  ["Free memory", "free_heap_bytes", { say: bytes }],
  ["Chip temperature", "temperature_c", { say: (value) => `${Math.round(value)} °C` }],
  ["Battery", "battery_mv", { say: (value) => `${(value / 1000).toFixed(2)} V` }],
  ["Pictures given up since its start", "drops", { floor: 0, say: String }],
];

/** Why a camera booted, as its firmware names it; `is_wake`: that is what a sleeping camera is for. */
const BOOTS = {
  power_on: "its power came on", motion: "motion", timer: "its timer", software: "its own firmware restarted it",
  panic: "its firmware crashed", watchdog: "its firmware hung", brownout: "its supply voltage fell too low",
  simulator: "its simulator was started",
};
const WAKES = ["motion", "timer"];

export const isWake = (reason) => WAKES.includes(reason);
export const bootWords = (reason) => BOOTS[reason] ?? reason.replaceAll("_", " ");

export async function telemetryCharts(id) {
  const end = Date.now();
  const since = end - SPAN_MS;
  const [{ results }, events] = await Promise.all([
    get(`devices/${id}/telemetry/`, { since }), get(`devices/${id}/events/`, { since, page_size: 200 })]);
  const oldest = results.length ? Date.parse(results.at(-1).at) : end;
  const start = Math.min(oldest, end - SHORTEST_MS);
  const marks = events.results
    .filter((event) => event.kind === "booted" && !isWake(event.detail))
    .map((event) => [Date.parse(event.at), bootWords(event.detail)])
    .filter(([at]) => at >= start)
    .reverse();
  const series = (name) => results.filter((row) => row[name] !== null).map((row) => [Date.parse(row.at), row[name]]).reverse();
  const charts = CHARTS.map(([label, name, look]) => lineChart(label, series(name), { start, end, marks, ...look })).filter(Boolean);
  return [h("h2", {}, "What the camera reports"),
    charts.length ? h("div", { class: "charts" }, charts) : h("p", { class: "muted" }, "Nothing in the last six hours. A connected camera reports once a minute."),
    charts.length && marks.length ? h("p", { class: "hint chart-marks" },
      `Dashed: it started anew, ${marks.map(([at, why]) => `${hourMinute(at)} (${why})`).join(", ")}.`) : null].filter(Boolean);
}
