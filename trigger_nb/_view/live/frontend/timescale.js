// The scale of the timeline: the place of an instant, and the ticks of the axis.
//
// The scale is linear except for gaps: stretches without work (days between two passes, a wait of an hour) that are
// much longer than all the rest are shortened to a mark. In a run of many tasks, so is a stretch in which one of them
// works for so long that nothing could be seen of the others.

import { duration, ticking } from "./format.js";

/** @typedef {import("./store.js").Row} Row */
/**
 * The time span of a row, in seconds since the origin of the run's times.
 * @typedef {{ row: Row, from: number, to: number }} Span
 */
/**
 * A stretch in which nothing began or ended: nothing happened, a task waited, or one worked.
 * @typedef {{ from: number, to: number, kind: "idle" | "waited" | "worked" }} Gap
 */
/**
 * `places[k]` is the place of `times[k]`, in seconds after shortening. The knots are the beginning, then the two ends
 * of each gap. The scale shows the places from `start` on, `full` of them; `origin`, the start of the run, is 0 on the
 * axis.
 * @typedef {{ origin: number, times: number[], places: number[], gaps: Gap[], start: number, full: number }} TimeScale
 */
/**
 * A tick of the axis; `at` is in percent of the width.
 * @typedef {{ at: number, text: string, gap: boolean }} Tick
 */

const SHORTEST_GAP = 10; // seconds: shorter gaps are never shortened
// A gap is shortened if it is this many times longer than all the rest. Work is drawn in proportion as long as possible.
const MUCH_LONGER = { idle: 4, waited: 4, worked: 9 };
const MANY = 10; // rows of a run in which work may be shortened: the bars of a few rows can be seen next to a long one
const GAP_SHARE = 0.06; // maximum share of the width for each gap
const GAPS_SHARE = 0.3; // maximum share of the width for all gaps
const WORK_SHARE = 0.4; // share of the width for all gaps in which a task worked: they remain the longest
const HEADROOM = 1.2; // free space for growing bars, so that the scale of a live run does not change all the time

const NICE_STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((ms) => ms / 1000),
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60),
  ...[1, 2, 3, 6, 12].map((hours) => hours * 3600),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((days) => days * 86400),
];

/**
 * The time span of a row; null if it has not started.
 * @param {Row} row
 * @param {number} now
 * @returns {Span | null}
 */
export function spanOf(row, now) {
  const { start: from, duration: took } = row;
  if (from === null || row.state === "pending") return null;
  // A stopped row has no known end.
  const to = took !== null ? from + took : row.ticking ? now : from;
  return { row, from, to: Math.max(from, to) };
}

/**
 * @param {Iterable<Row>} rows
 * @param {number} now
 */
export function spansOf(rows, now) {
  /** @type {Span[]} */
  const spans = [];
  for (const row of rows) {
    const span = spanOf(row, now);
    if (span) spans.push(span);
  }
  return spans;
}

/**
 * Whether the row waits, for a time or for another attempt.
 * @param {Row} row
 */
export function isWaiting(row) {
  return row.kind === "wait" || row.state === "waiting" || row.state === "retrying";
}

/**
 * The rows that contain other rows than log lines. A map with unsent items does not count: it works by itself.
 * @param {Span[]} spans
 */
export function holdersOf(spans) {
  const parents = spans.filter(({ row }) => row.kind !== "log").map(({ row }) => row.parent);
  return new Set(parents.filter((parent) => !parent?.keepsBack));
}

/**
 * Whether the row is inside a map with unsent items.
 * @param {Row} row
 */
export function isOneOfMany(row) {
  for (let scope = row.parent; scope; scope = scope.parent) if (scope.keepsBack) return true;
  return false;
}

/**
 * @param {Span[]} spans
 * @param {number} origin
 * @param {boolean} ticking  whether the run is under way
 * @param {TimeScale | null} before  the current scale, whose width is kept while it fits
 * @returns {TimeScale}
 */
export function timeScale(spans, origin, ticking = false, before = null) {
  let first = origin;
  let last = origin;
  for (const { from, to } of spans) {
    first = Math.min(first, from);
    last = Math.max(last, to);
  }
  const idle = idleStretches(spans, first, last);
  const still = spans.length < MANY ? [] : stillStretches(spans, first, last, idle);
  const gaps = squeezed([...idle, ...still], last - first);
  const rest = gaps.reduce((left, gap) => left - (gap.to - gap.from), last - first);
  const shares = sharesOf(gaps);
  const whole = Math.max(rest, 0.001) / (1 - shares.reduce((sum, share) => sum + share, 0));
  const times = [first];
  const places = [0];
  for (const [k, { from, to }] of gaps.entries()) {
    const place = /** @type {number} */ (places.at(-1)) + from - /** @type {number} */ (times.at(-1));
    times.push(from, to);
    places.push(place, place + shares[k] * whole);
  }
  const end = /** @type {number} */ (places.at(-1)) + last - /** @type {number} */ (times.at(-1));
  return { origin, times, places, gaps, start: 0, full: ticking ? roomFor(end, before) : Math.max(end, 0.001) };
}

/**
 * The share of the width for each gap.
 * @param {Gap[]} gaps
 */
function sharesOf(gaps) {
  const worked = gaps.filter(({ kind }) => kind === "worked").length;
  const others = Math.min(GAP_SHARE, GAPS_SHARE / (gaps.length - worked));
  return gaps.map(({ kind }) => (kind === "worked" ? WORK_SHARE / worked : others));
}

/**
 * @param {number} end
 * @param {TimeScale | null} before
 */
function roomFor(end, before) {
  const fits = before !== null && end <= before.full && before.full <= end * HEADROOM * HEADROOM;
  return fits ? before.full : Math.max(end * HEADROOM, 0.1);
}

/**
 * The stretches in which no task worked; scopes do not count while all their tasks wait. Short ones are left out.
 * @param {Span[]} spans
 * @param {number} first
 * @param {number} last
 * @returns {Gap[]}
 */
function idleStretches(spans, first, last) {
  const holders = holdersOf(spans);
  // A row with several attempts may have waited most of the time.
  const mayWait = (/** @type {Row} */ row) => isWaiting(row) || row.attempt > 1;
  const works = spans.filter(({ row }) => !mayWait(row) && !holders.has(row));
  const free = between(works, first, last);
  if (!free.length) return [];
  /** @type {[at: number, by: number, kind: 0 | 1 | 2][]} */
  const edges = [];
  for (const [from, to] of free) edges.push([from, -1, 0], [to, 1, 0]);
  for (const { row, from, to } of spans) {
    if (mayWait(row)) edges.push([from, 1, 1], [to, -1, 1]);
    else if (holders.has(row)) edges.push([from, 1, 2], [to, -1, 2]);
  }
  edges.sort((a, b) => a[0] - b[0]);
  /** @type {Gap[]} */
  const idle = [];
  const open = [1, 0, 0]; // whether any task works; number of waiting rows; number of scopes
  for (let k = 0; k + 1 < edges.length; k++) {
    const [from, by, kind] = edges[k];
    const to = edges[k + 1][0];
    open[kind] += by;
    const isIdle = !open[0] && (open[1] || !open[2]);
    if (isIdle && to - from >= SHORTEST_GAP) idle.push({ from, to, kind: open[1] ? "waited" : "idle" });
  }
  return idle;
}

/**
 * The stretches outside of all spans, without short ones.
 * @param {Span[]} spans
 * @param {number} first
 * @param {number} last
 */
function between(spans, first, last) {
  // With both sorted, a stretch is free if as many spans have ended before it as have started.
  const starts = Float64Array.from(spans, ({ from }) => from).sort();
  const ends = Float64Array.from(spans, ({ to }) => to).sort();
  /** @type {[from: number, to: number][]} */
  const free = [];
  for (let k = 0; k <= spans.length; k++) {
    const from = k ? ends[k - 1] : first;
    const to = k < spans.length ? starts[k] : last;
    if (to - from >= SHORTEST_GAP) free.push([from, to]);
  }
  return free;
}

/**
 * The stretches in which something worked but nothing began or ended. Short ones are left out.
 * @param {Span[]} spans
 * @param {number} first
 * @param {number} last
 * @param {Gap[]} idle
 */
function stillStretches(spans, first, last, idle) {
  const idleFrom = new Set(idle.map(({ from }) => from));
  const edges = Float64Array.from([first, last, ...spans.map(({ from }) => from), ...spans.map(({ to }) => to)]).sort();
  /** @type {Gap[]} */
  const still = [];
  for (let k = 0; k + 1 < edges.length; k++) {
    const [from, to] = [edges[k], edges[k + 1]];
    if (to - from >= SHORTEST_GAP && !idleFrom.has(from)) still.push({ from, to, kind: "worked" });
  }
  return still;
}

/**
 * The stretches to shorten: those much longer than all the rest, in the order of time.
 * @param {Gap[]} stretches
 * @param {number} span
 */
function squeezed(stretches, span) {
  const longest = [...stretches].sort((a, b) => b.to - b.from - (a.to - a.from));
  let rest = span;
  let count = 0;
  for (const [k, { from, to, kind }] of longest.entries()) {
    rest -= to - from;
    if (to - from > MUCH_LONGER[kind] * rest) count = k + 1;
  }
  return longest.slice(0, count).sort((a, b) => a.from - b.from);
}

/**
 * The place of an instant, in percent of the width; that of an edge if it is not shown.
 * @param {TimeScale} scale
 * @param {number} time
 */
export function placeOf(scale, time) {
  return Math.min(100, Math.max(0, ((secondsTo(scale, time) - scale.start) / scale.full) * 100));
}

/**
 * The place of an instant, in seconds after shortening.
 * @param {TimeScale} scale
 * @param {number} time
 */
function secondsTo({ times, places }, time) {
  const knot = knotBefore(times, time);
  return places[knot] + (time - times[knot]) * paceAfter(knot, times, places);
}

/**
 * The instant at a place, which is in percent of the width.
 * @param {TimeScale} scale
 * @param {number} place
 */
export function timeAt({ times, places, start, full }, place) {
  const seconds = start + (full * place) / 100;
  const knot = knotBefore(places, seconds);
  return times[knot] + (seconds - places[knot]) / paceAfter(knot, times, places);
}

/**
 * The last knot that is not after a value.
 * @param {number[]} knots
 * @param {number} value
 */
function knotBefore(knots, value) {
  let knot = 0;
  for (let above = knots.length; above - knot > 1; ) {
    const middle = (knot + above) >> 1;
    if (knots[middle] <= value) knot = middle;
    else above = middle;
  }
  return knot;
}

/**
 * Seconds on the scale for a second after a knot: less than one in a gap.
 * @param {number} knot
 * @param {number[]} times
 * @param {number[]} places
 */
function paceAfter(knot, times, places) {
  const isInGap = knot % 2 === 1;
  return isInGap ? (places[knot + 1] - places[knot]) / (times[knot + 1] - times[knot]) : 1;
}

// --- zoom ------------------------------------------------------------------------------------------------------------

/** The part of a scale that is shown; null for all of it. @typedef {{ from: number, to: number } | null} Part */

const SHORTEST_PART = 0.002; // seconds: times are rounded to milliseconds

/**
 * The scale that shows a part of a whole scale.
 * @param {TimeScale} whole
 * @param {Part} part
 * @returns {TimeScale}
 */
export function partOf(whole, part) {
  if (!part) return whole;
  const start = secondsTo(whole, part.from);
  return { ...whole, start, full: Math.max(SHORTEST_PART / 2, secondsTo(whole, part.to) - start) };
}

/**
 * The part of a whole scale that begins at `start` and is `full` seconds wide on it, moved and cut to fit.
 * @param {TimeScale} whole
 * @param {number} start
 * @param {number} full
 * @returns {Part}
 */
export function fitted(whole, start, full) {
  const width = Math.max(SHORTEST_PART, full);
  if (width > whole.full * (1 - 1e-6)) return null;
  const left = Math.max(0, Math.min(start, whole.full - width));
  const at = (/** @type {number} */ place) => timeAt(whole, (100 * place) / whole.full);
  return { from: at(left), to: at(left + width) };
}

/** Whether the scale shows as little as it can. @param {TimeScale} scale */
export function isShortest({ full }) {
  return full <= SHORTEST_PART * (1 + 1e-6);
}

/**
 * Whether a span is in the part that the scale shows.
 * @param {TimeScale} scale
 * @param {Span} span
 */
export function isShown(scale, { from, to }) {
  return secondsTo(scale, to) >= scale.start && secondsTo(scale, from) <= scale.start + scale.full;
}

// --- words -----------------------------------------------------------------------------------------------------------

/** @param {number} seconds  since the start of the run */
export function instantText(seconds) {
  return Math.abs(seconds) < 0.0005 ? "0" : seconds < 0 ? `-${duration(-seconds)}` : duration(seconds);
}

/**
 * The label of a bar: start and duration.
 * @param {Span} span
 * @param {number} origin
 */
export function whenText({ row, from, to }, origin) {
  const began = `at ${from < origin ? "0" : instantText(from - origin)}`;
  if (row.kind === "log") return began;
  if (row.ticking) return `${began}, for ${ticking(to - from)} so far`;
  return row.duration === null ? `${began}, stopped` : `${began}, took ${duration(to - from)}`;
}

// --- ticks -----------------------------------------------------------------------------------------------------------

/**
 * The ticks of an axis, at most `most`. After a gap, they count from its end.
 * @param {TimeScale} scale
 * @param {number} most
 * @returns {Tick[]}
 */
export function ticksOf({ origin, times, places, gaps, start, full }, most) {
  const step = NICE_STEPS.find((nice) => full / nice <= most) ?? full;
  const until = (start + full) * (1 + 1e-9);
  /** @type {Tick[]} */
  const ticks = [];
  const add = (/** @type {number} */ place, /** @type {string} */ text, gap = false) => {
    if (place >= start && place <= until) ticks.push({ at: ((place - start) / full) * 100, text, gap });
  };
  for (let knot = 0; knot < times.length; knot += 2) {
    const zero = knot ? places[knot] : origin - times[0];
    const end = Math.min(until, (places[knot + 1] ?? until) * (1 + 1e-9));
    // There is no tick at the end of a gap, which has a mark.
    const first = Math.max(knot ? 1 : 0, Math.ceil((start - zero) / step));
    // Two hours into the run, milliseconds are told from the first tick on.
    const isFine = tickText(first * step) === tickText((first + 1) * step);
    for (let nth = first; zero + nth * step <= end; nth++) {
      const text = isFine && nth > first ? `+${tickText((nth - first) * step)}` : (knot ? "+" : "") + tickText(nth * step);
      add(zero + nth * step, text);
    }
    const gap = gaps[knot / 2];
    if (gap) add((places[knot + 1] + places[knot + 2]) / 2, duration(gap.to - gap.from), true);
  }
  return ticks;
}

/** @param {number} seconds */
function tickText(seconds) {
  const exact = Number(seconds.toFixed(3)); // 3 * 0.2 is a little more than 0.6
  if (exact === 0) return "0";
  return exact >= 1 && exact < 60 ? `${exact} s` : duration(exact);
}
