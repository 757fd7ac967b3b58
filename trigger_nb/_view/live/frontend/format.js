// Times and numbers as text, the same as view/words.py.

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/**
 * An integer with thousands separators.
 * @param {number} count
 */
export function grouped(count) {
  return WHOLE.format(count);
}

/**
 * @param {number} count
 * @param {string} word
 */
export function plural(count, word) {
  return `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;
}

/**
 * A duration in at most two units: `4 ms`, `3.2 s`, `3 min 12 s`, `1 d 2 h`.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 0.0005) return "<1 ms";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  return wholeDuration(seconds);
}

/**
 * The duration of something still running, in whole seconds: tenths would flicker.
 * @param {number} seconds
 */
export function ticking(seconds) {
  return wholeDuration(Math.floor(Math.max(0, seconds)));
}

/** @param {number} seconds */
function wholeDuration(seconds) {
  const whole = Math.round(seconds);
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return twoUnits(whole, MINUTE, "min", 1, "s");
  if (whole < DAY) return twoUnits(whole, HOUR, "h", MINUTE, "min");
  return twoUnits(whole, DAY, "d", HOUR, "h");
}

/**
 * @param {number} whole
 * @param {number} large
 * @param {string} name
 * @param {number} small
 * @param {string} smallName
 */
function twoUnits(whole, large, name, small, smallName) {
  const rest = Math.floor((whole % large) / small);
  const smaller = rest ? ` ${rest} ${smallName}` : "";
  return `${grouped(Math.floor(whole / large))} ${name}${smaller}`;
}

/**
 * The time until an instant: `in 1 min 30 s`, `in 5 s`, `now`.
 * @param {number} seconds
 */
export function remaining(seconds) {
  return seconds <= 0 ? "now" : `in ${wholeDuration(Math.ceil(seconds))}`;
}

/**
 * An estimated remaining time, rounded as its precision deserves.
 * @param {number} seconds
 */
export function probablyLeft(seconds) {
  if (seconds <= 0) return "nearly done";
  if (seconds < 2 * MINUTE) return `about ${wholeDuration(Math.ceil(seconds))} left`;
  const [unit, name] = seconds < 2 * HOUR ? [MINUTE, "min"] : seconds < 2 * DAY ? [HOUR, "h"] : [DAY, "d"];
  return `about ${grouped(Math.round(seconds / unit))} ${name} left`;
}

/**
 * The countdown of a row: `in 5 s`, `next attempt in 5 s`, `due since 2026-11-29 12:29:03 PST`.
 * @param {string} state
 * @param {number} seconds
 * @param {number} [when]  in epoch seconds
 */
export function countdown(state, seconds, when) {
  const overdue = SHARED.overdues[state];
  if (overdue && when !== undefined && seconds < -SHARED.overdue) return overdue.replace("{}", localTime(when));
  return (SHARED.countdowns[state] ?? "{}").replace("{}", remaining(seconds));
}

/**
 * The time since an instant, in one unit: `just now`, `3 min ago`.
 * @param {number} seconds
 */
export function ago(seconds) {
  if (seconds < JUST_NOW) return "just now";
  const units = /** @type {[number, string, number][]} */ ([
    [1, "s", MINUTE],
    [MINUTE, "min", HOUR],
    [HOUR, "h", DAY],
    [DAY, "d", Infinity],
  ]);
  const [unit, name] = units.find(([, , until]) => seconds < until) ?? [DAY, "d"];
  return `${grouped(Math.floor(seconds / unit))} ${name} ago`;
}

const JUST_NOW = 10; // seconds

/**
 * An instant in the reader's time zone, with its name: `2026-11-29 12:29:03 PST`.
 * @param {number} timestamp  in epoch seconds
 */
export function localTime(timestamp) {
  const date = new Date(timestamp * 1000);
  if (Number.isNaN(date.getTime())) return `${timestamp} s`;
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  const zone = ZONE.formatToParts(date).find(({ type }) => type === "timeZoneName")?.value ?? "";
  return `${day} ${time} ${zone}`.trim();
}

const ZONE = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" });
