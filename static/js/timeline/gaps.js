// Why there is no video: of some cameras and one day, and the words for it.

import { get } from "../lib/api.js";
import { clock, dayStart, shortDay } from "../lib/time.js";

const EVERY_MS = 60000; // why there is no video changes less often than that there is
const SHORTEST_MS = 2000; // a gap may begin that much after the last picture

export class Gaps {
  #of = new Map(); #key = ""; #readAt = 0; #askedMs = 0;

  /** The gap that the moment is in, or undefined. One that lasts was read up to then, and goes on. */
  at(id, ms) {
    const gap = this.#of.get(id)?.filter((one) => one.start_ms <= ms).at(-1);
    return gap && (ms < gap.end_ms || gap.ended_ms === null) ? gap : undefined;
  }

  /** `[[start, end], …]` of what is no gap from `from` until they were asked for; nothing before they are known. */
  between(id, from) {
    const found = [];
    let start = from;
    for (const gap of this.#of.get(id) ?? []) {
      if (gap.start_ms - start > SHORTEST_MS) found.push([start, gap.start_ms]);
      start = Math.max(start, gap.end_ms);
    }
    if (this.#of.has(id) && this.#askedMs - start > SHORTEST_MS) found.push([start, this.#askedMs]);
    return found;
  }

  /** Anew when the day or a camera changes, and once a minute. */
  async read(ids, day) {
    const key = [day, ...ids].join();
    if (key === this.#key && performance.now() - this.#readAt < EVERY_MS) return;
    this.#key = key;
    this.#readAt = performance.now();
    const askedMs = Date.now();
    const answers = await Promise.all(ids.map((device) => get("gaps/", { device, start_ms: day, end_ms: dayStart(day, 1) })));
    if (key !== this.#key) return;
    this.#of = new Map(ids.map((id, index) => [id, answers[index].gaps]));
    this.#askedMs = askedMs;
  }
}

/** "from Fri 27 Nov 22:10:03 to 01:30:12", or "since …" while it lasts: days other than that of `ms` are named. */
export function timesOf({ began_ms: began, ended_ms: ended }, ms) {
  const edge = (at) => (dayStart(at) === dayStart(ms) ? clock(at) : `${shortDay(at)} ${clock(at)}`);
  return ended === null ? `since ${edge(began)}` : `from ${edge(began)} to ${edge(ended)}`;
}
