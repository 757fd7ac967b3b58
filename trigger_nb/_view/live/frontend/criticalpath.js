// The critical path: the chain of tasks that determined the duration of a run.

import { holdersOf, isOneOfMany, spansOf } from "./timescale.js";

/** @typedef {import("./store.js").Row} Row */
/** @typedef {import("./timescale.js").Span} Span */
/**
 * `rows`: the indices of all rows on the path, including scopes; `leaves`: the parts of the path in the order of
 * time, each for the time in which it determined the duration of the run; `seconds`: their sum; `from` and `to`: the
 * time span of all rows.
 * @typedef {{ rows: Set<number>, leaves: Span[], seconds: number, from: number, to: number }} CriticalPath
 */

const SLACK = 0.002; // seconds: times are rounded to milliseconds, so a task may seem to start before the previous one ended

/**
 * The chain of tasks that determined the duration of the run: the task that ended last, before it the task that ended
 * last before its start, and so on; then the same inside each of these tasks. Running tasks count as ending now.
 * @param {Iterable<Row>} rows
 * @param {number} now
 * @returns {CriticalPath}
 */
export function criticalPath(rows, now) {
  const spans = ofOnePass(spansOf(rows, now).filter(({ row }) => !isOneOfMany(row)));
  const scopes = scopesOf(spans);
  /** @type {CriticalPath} */
  const path = { rows: new Set(), leaves: [], seconds: 0, from: Infinity, to: -Infinity };
  for (const { from, to } of spans) {
    path.from = Math.min(path.from, from);
    path.to = Math.max(path.to, to);
  }
  addChain(null, path.from, path.to, scopes, path);
  path.leaves.reverse();
  for (const { from, to } of path.leaves) path.seconds += to - from;
  return path;
}

/**
 * The tasks that ran in the last pass; replayed tasks only if nothing else ran.
 * @param {Span[]} spans
 */
function ofOnePass(spans) {
  const met = spans.filter(({ row }) => row.kind !== "log" && row.state !== "not reached");
  // A scope is included even if all rows in it were replayed.
  const holders = holdersOf(met);
  const replayed = met.every(({ row }) => row.replayed || holders.has(row));
  return met.filter(({ row }) => row.replayed === replayed);
}

/**
 * The spans by their scope: the nearest ancestor among the spans, or null for the run.
 * @param {Span[]} spans
 */
function scopesOf(spans) {
  const counted = new Set(spans.map(({ row }) => row));
  /** @type {Map<Row | null, Span[]>} */
  const scopes = new Map();
  for (const span of spans) {
    let scope = span.row.parent;
    while (scope && !counted.has(scope)) scope = scope.parent;
    const inside = scopes.get(scope);
    if (inside) inside.push(span);
    else scopes.set(scope, [span]);
  }
  return scopes;
}

/**
 * Adds the chain through a scope between two instants, from its end to its beginning.
 * @param {Row | null} scope
 * @param {number} from
 * @param {number} to
 * @param {Map<Row | null, Span[]>} scopes
 * @param {CriticalPath} path
 * @returns {boolean}  whether there is a chain
 */
function addChain(scope, from, to, scopes, path) {
  const spans = within(scopes.get(scope) ?? [], from, to);
  const found = spans.length > 0;
  let limit = to;
  for (let span = spans.pop(); span; span = spans.pop()) {
    if (span.to > limit + SLACK) continue;
    const end = Math.min(span.to, limit);
    const begin = Math.min(span.from, end);
    path.rows.add(span.row.index);
    if (!addChain(span.row, begin, end, scopes, path)) path.leaves.push({ row: span.row, from: begin, to: end });
    limit = begin;
  }
  return found;
}

/**
 * The spans cut to the time between two instants, sorted by their end. Among spans that ended together, one without a
 * length comes last, because it may have followed the others; then the longest one.
 * @param {Span[]} spans
 * @param {number} from
 * @param {number} to
 */
function within(spans, from, to) {
  /** @type {Span[]} */
  const inside = [];
  for (const { row, ...span } of spans) {
    if (span.from > to || span.to < from) continue;
    inside.push({ row, from: Math.max(from, span.from), to: Math.min(to, span.to) });
  }
  return inside.sort((a, b) => a.to - b.to || rank(a) - rank(b) || b.row.index - a.row.index);
}

/** @param {Span} span */
function rank({ from, to }) {
  return from === to ? Infinity : to - from;
}
