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
  return `${grouped(Math.floor(whole / large))} ${name}${rest ? ` ${rest} ${smallName}` : ""}`;
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
 * A rate: `412/s`, `2.5/s`, `24/min`.
 * @param {number} perSecond
 */
export function rate(perSecond) {
  const [seconds, name] = perSecond >= 1 ? [1, "s"] : perSecond * MINUTE >= 1 ? [MINUTE, "min"] : [HOUR, "h"];
  const count = perSecond * seconds;
  return `${count >= 9.95 ? grouped(count) : Number(count.toFixed(1))}/${name}`;
}

/** The order in which counts of states are shown. */
export const STATE_ORDER = [
  "completed",
  "failed",
  "running",
  "retrying",
  "waiting",
  "unfinished",
  "canceled",
  "pending",
  "not reached",
];
