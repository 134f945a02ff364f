// Small line charts and the bar of a day, as SVG.

import { h, s } from "./dom.js";
import { DAY, dayStart, hourMinute } from "./time.js";

const WIDTH = 300;
const HEIGHT = 60;
const GAP_MS = 5 * 60_000; // a line is not drawn over time in which nothing was reported

function pathOf(points, start, end, low, high) {
  let path = "";
  let lastAt = -Infinity;
  for (const [at, value] of points) {
    const x = ((at - start) / (end - start)) * WIDTH;
    const y = HEIGHT - ((value - low) / (high - low || 1)) * HEIGHT;
    path += `${at - lastAt > GAP_MS ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    lastAt = at;
  }
  return path;
}

/** `points` are `[ms, value]` in order; `say(value)` gives the words for the newest, lowest and highest; `marks` are
 * moments `[ms, why]` that stand out in it. */
export function lineChart(label, points, { start, end, say, floor, marks = [] }) {
  if (!points.length) return null;
  const values = points.map(([, value]) => value);
  const high = Math.max(...values);
  const margin = Math.max((high - Math.min(...values)) * 0.15, Math.abs(high) * 0.02); // a flat line lies in the middle
  const low = floor ?? Math.min(...values) - margin;
  const [lastAt, newest] = points.at(-1);
  const xOf = (at) => ((at - start) / (end - start)) * WIDTH;
  const summary = `${label}: ${say(newest)} at ${hourMinute(lastAt)}, between ${say(Math.min(...values))} and ${say(high)}`;
  return h("figure", { class: "chart" },
    h("figcaption", { class: "chart-head" }, h("span", { class: "muted" }, label), h("strong", {}, say(newest))),
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": summary },
      s("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
      ...marks.map(([at, why]) => s("line", { class: "mark", x1: xOf(at), x2: xOf(at), y1: 0, y2: HEIGHT }, s("title", {}, `${hourMinute(at)}: ${why}`))),
      s("path", { d: pathOf(points, start, end, low, high + margin) })),
    h("div", { class: "chart-foot" }, h("span", {}, hourMinute(start)), h("span", {}, `${say(Math.min(...values))} – ${say(high)}`), h("span", {}, hourMinute(end))));
}

/** Today's coverage; a click opens the timeline at that moment. */
export function dayBar(spans, now, open) {
  const start = dayStart(now);
  const end = dayStart(now, 1);
  const x = (ms) => ((ms - start) / (end - start)) * 1000;
  const recorded = spans.reduce((sum, [from, to]) => sum + (to - from), 0);
  const bar = s("svg", { class: "day-bar", viewBox: "0 0 1000 28", preserveAspectRatio: "none", role: "img",
    "aria-label": `Recorded today: ${Math.round((recorded / Math.max(1, Math.min(now, end) - start)) * 100)} % of the time until now` },
    ...spans.map(([from, to]) => s("rect", { x: x(from), width: Math.max(x(to) - x(from), 1), y: 0, height: 28 })),
    s("rect", { class: "future", x: x(now), width: Math.max(0, 1000 - x(now)), y: 0, height: 28 }));
  bar.addEventListener("click", (event) => {
    const box = bar.getBoundingClientRect();
    open(start + ((event.clientX - box.left) / box.width) * (end - start));
  });
  const hours = Array.from({ length: 5 }, (_, index) => (index === 4 ? "24:00" : hourMinute(start + (index * DAY) / 4)));
  return h("div", {}, bar, h("div", { class: "day-hours", "aria-hidden": "true" }, hours.map((text) => h("span", {}, text))));
}
