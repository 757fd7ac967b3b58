// The scale of the timeline: the place of an instant, and the ticks of the axis.
//
// The scale is linear except for gaps: stretches without work (days between two passes, a wait of an hour) that are
// much longer than all the rest are shortened to a mark.

import { duration } from "./format.js";

/** @typedef {import("./store.js").Row} Row */
/**
 * The time span of a row, in seconds since the origin of the run's times.
 * @typedef {{ row: Row, from: number, to: number }} Span
 */
/**
 * A stretch without work. `waited`: whether a task waited in it.
 * @typedef {{ from: number, to: number, waited: boolean }} Idle
 */
/**
 * `places[k]` is the place of `times[k]`, in seconds after shortening. The knots are the beginning, then the two ends
 * of each gap. `full` is the whole width; `origin`, the start of the run, is 0 on the axis.
 * @typedef {{ origin: number, times: number[], places: number[], gaps: Idle[], full: number }} TimeScale
 */
/**
 * A tick of the axis; `at` is in percent of the width.
 * @typedef {{ at: number, text: string, gap: boolean }} Tick
 */

const SHORTEST_GAP = 10; // seconds: shorter gaps are never shortened
const MUCH_LONGER = 4; // a gap is shortened if it is this many times longer than all the rest
const GAP_SHARE = 0.06; // maximum share of the width for each gap
const GAPS_SHARE = 0.3; // maximum share of the width for all gaps
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
  const gaps = squeezed(idleStretches(spans, first, last), last - first);
  const rest = gaps.reduce((left, gap) => left - (gap.to - gap.from), last - first);
  const share = gaps.length ? Math.min(GAP_SHARE, GAPS_SHARE / gaps.length) : 0;
  const width = (share * Math.max(rest, 0.001)) / (1 - share * gaps.length);
  const times = [first];
  const places = [0];
  for (const { from, to } of gaps) {
    const place = /** @type {number} */ (places.at(-1)) + from - /** @type {number} */ (times.at(-1));
    times.push(from, to);
    places.push(place, place + width);
  }
  const end = /** @type {number} */ (places.at(-1)) + last - /** @type {number} */ (times.at(-1));
  return { origin, times, places, gaps, full: ticking ? roomFor(end, before) : Math.max(end, 0.001) };
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
 * @returns {Idle[]}
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
  /** @type {Idle[]} */
  const idle = [];
  const open = [1, 0, 0]; // whether any task works; number of waiting rows; number of scopes
  for (let k = 0; k + 1 < edges.length; k++) {
    const [from, by, kind] = edges[k];
    const to = edges[k + 1][0];
    open[kind] += by;
    const isIdle = !open[0] && (open[1] || !open[2]);
    if (isIdle && to - from >= SHORTEST_GAP) idle.push({ from, to, waited: open[1] > 0 });
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
 * The stretches to shorten: those much longer than all the rest, in the order of time.
 * @param {Idle[]} idle
 * @param {number} span
 */
function squeezed(idle, span) {
  const longest = [...idle].sort((a, b) => b.to - b.from - (a.to - a.from));
  let rest = span;
  let count = 0;
  for (const [k, { from, to }] of longest.entries()) {
    rest -= to - from;
    if (to - from > MUCH_LONGER * rest) count = k + 1;
  }
  return longest.slice(0, count).sort((a, b) => a.from - b.from);
}

/**
 * The place of an instant, in percent of the width.
 * @param {TimeScale} scale
 * @param {number} time
 */
export function placeOf({ times, places, full }, time) {
  let knot = 0;
  for (let above = times.length; above - knot > 1; ) {
    const middle = (knot + above) >> 1;
    if (times[middle] <= time) knot = middle;
    else above = middle;
  }
  const inGap = knot % 2 === 1;
  const pace = inGap ? (places[knot + 1] - places[knot]) / (times[knot + 1] - times[knot]) : 1;
  const place = places[knot] + (time - times[knot]) * pace;
  return Math.min(100, Math.max(0, (place / full) * 100));
}

/**
 * The ticks of an axis, at most `most`. After a gap, they count from its end.
 * @param {TimeScale} scale
 * @param {number} most
 * @returns {Tick[]}
 */
export function ticksOf({ origin, times, places, gaps, full }, most) {
  const step = NICE_STEPS.find((nice) => full / nice <= most) ?? full;
  /** @type {Tick[]} */
  const ticks = [];
  for (let knot = 0; knot < times.length; knot += 2) {
    const zero = knot ? places[knot] : origin - times[0];
    const end = (places[knot + 1] ?? full) * (1 + 1e-9);
    // There is no tick at the end of a gap, which has a mark.
    for (let nth = knot ? 1 : Math.max(0, Math.ceil(-zero / step)); zero + nth * step <= end; nth++) {
      ticks.push({ at: ((zero + nth * step) / full) * 100, text: (knot ? "+" : "") + tickText(nth * step), gap: false });
    }
    const gap = gaps[knot / 2];
    if (gap) {
      const at = ((places[knot + 1] + places[knot + 2]) / 2 / full) * 100;
      ticks.push({ at, text: duration(gap.to - gap.from), gap: true });
    }
  }
  return ticks;
}

/** @param {number} seconds */
function tickText(seconds) {
  const exact = Number(seconds.toFixed(3)); // 3 * 0.2 is a little more than 0.6
  if (exact === 0) return "0";
  return exact >= 1 && exact < 60 ? `${exact} s` : duration(exact);
}
