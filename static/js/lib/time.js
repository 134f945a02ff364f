// Times and sizes as people say them. Wall times are epoch milliseconds, shown in the browser's zone,
// always with 24 hours: a scrubber label has no room for "a.m.", and 02:00 happens twice in October anyway.

const format = (options) => {
  const formatter = new Intl.DateTimeFormat("en-GB", { hourCycle: "h23", ...options });
  return (ms) => formatter.format(ms);
};

export const clock = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const hourMinute = format({ hour: "2-digit", minute: "2-digit" });
export const weekday = format({ weekday: "long", day: "numeric", month: "long" });
export const shortDay = format({ weekday: "short", day: "numeric", month: "short" });
export const monthName = format({ month: "long", year: "numeric" });
export const exact = format({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Local midnight `days` days after the day that holds `ms`; days have 23, 24 or 25 hours. */
export function dayStart(ms, days = 0) {
  const at = new Date(ms);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate() + days).getTime();
}

/** 2026-11-20, local. */
export function isoDate(ms) {
  const at = new Date(ms);
  return [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

/** Local midnight of 2026-11-20; NaN where it is not a date. */
export function fromIsoDate(text) {
  const [year, month, day] = text.split("-").map(Number);
  return new Date(year, month - 1, day).getTime();
}

/** "Today", "Yesterday", else the weekday and date. */
export function dayName(ms, now = Date.now()) {
  if (dayStart(ms) === dayStart(now)) return "Today";
  if (dayStart(ms) === dayStart(now, -1)) return "Yesterday";
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? weekday(ms) : `${weekday(ms)} ${new Date(ms).getFullYear()}`;
}

/** "14:02" today, "Wed 18 Nov 14:02" before. */
export const sinceWhen = (ms, now = Date.now()) =>
  dayStart(ms) === dayStart(now) ? hourMinute(ms) : `${shortDay(ms)} ${hourMinute(ms)}`;

/** "8 s", "14 min", "3 h 5 min", "2 days 4 h": two units at most. */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / SECOND));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 && minutes < 5 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 5 ? `${days} days ${hours % 24} h` : `${days} days`;
}

export function ago(ms, now = Date.now()) {
  const past = now - ms;
  return past < 5 * SECOND ? "just now" : `${duration(past)} ago`;
}

const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** Decimal units, as disks are sold. */
export function bytes(count) {
  if (count === null || count === undefined) return "–";
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) { value /= 1000; unit += 1; }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}
