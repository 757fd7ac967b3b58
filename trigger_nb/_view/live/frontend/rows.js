// The rows of a run as a tree, updated by the messages of the kernel.

import { STATES } from "./dom.js";

/** @typedef {"" | string | [letter: string, colour: string]} Icon */
/** @typedef {[label: string, text: string, url?: string, image?: string]} Property */
/**
 * The progress of a row: shares from 0 to 1 (null if the total is not known), the text, and the expected end.
 * @typedef {[done: number | null, failed: number, text: string, ends?: number]} Progress
 */
/**
 * The fields that the kernel sends of a row. Times are seconds since `header.base`.
 * @typedef {object} Fields
 * @property {string} name
 * @property {string} key
 * @property {string} state
 * @property {number | null} order  of the first start
 * @property {number | null} start
 * @property {number | null} duration
 * @property {number | null} until  end of the wait, or start of the next attempt or call
 * @property {number} attempt
 * @property {string[]} marks
 * @property {string[]} hot  marks that are highlighted
 * @property {boolean} replayed  its body did not run
 * @property {boolean} reused  replayed, and its result is that of another run
 * @property {Icon} icon
 * @property {Property[]} properties
 * @property {Progress | null} progress
 * @property {string} error
 * @property {boolean} quiet
 * @property {string} kind
 * @property {boolean} counts  whether the row counts as a task: a scope does not if its subtasks account for its state
 * @property {boolean} large  whether this is a large map, most of whose items the kernel does not send
 * @property {Record<string, number>} rest  of a map: the items that the kernel has not sent, counted by state, and those "replayed" and "reused" across the states
 * @property {Spread | null} spread
 * @property {Ended | null} ended
 * @property {[number: number, count: number, text: string][]} errors  of a map: errors that several items have
 * @property {number | null} alike  of a failed item: the number of its error
 * @property {string} asks  what a person is asked, while the task waits for the answer
 */
/**
 * The durations of a map's items that have ended: a histogram, the least and the largest duration in it,
 * the median, the 95th percentile, the longest one, and the name of the item that it was.
 * @typedef {[bars: number[], low: number, high: number, half: number, most: number, longest: number, slowest: string]} Spread
 */
/** How many items of a map ended in each slice of time: its length, the end of the last one, and the numbers. @typedef {[slice: number, end: number, counts: number[]]} Ended */
/**
 * A row as it is sent: short names, and only fields that differ from their default (see FIELDS).
 * @typedef {{ i: number, p?: number, [field: string]: unknown }} WireRow
 */
/** @typedef {[names: string[], ...rows: unknown[][]]} PackedRows */

/** One task, wait, log line or scope. Times are seconds since `header.base`. */
export class Row {
  /** @param {number} index */
  constructor(index) {
    this.index = index;
    /** @type {Row | null} */
    this.parent = null;
    /** Sorted for display by `RowSet.sorted`. @type {Row[]} */
    this.children = [];
    this.unsorted = false;
    /** The number of tasks below, by state. @type {Record<string, number>} */
    this.below = {};
    /** Incremented by each change of the row or of its counts. */
    this.version = 0;

    this.name = DEFAULTS.name;
    this.key = DEFAULTS.key;
    this.state = DEFAULTS.state;
    this.order = DEFAULTS.order;
    this.start = DEFAULTS.start;
    this.duration = DEFAULTS.duration;
    this.until = DEFAULTS.until;
    this.attempt = DEFAULTS.attempt;
    this.marks = DEFAULTS.marks;
    this.hot = DEFAULTS.hot;
    this.replayed = DEFAULTS.replayed;
    this.reused = DEFAULTS.reused;
    this.icon = DEFAULTS.icon;
    this.properties = DEFAULTS.properties;
    this.progress = DEFAULTS.progress;
    this.error = DEFAULTS.error;
    this.quiet = DEFAULTS.quiet;
    this.kind = DEFAULTS.kind;
    this.counts = DEFAULTS.counts;
    this.large = DEFAULTS.large;
    this.rest = DEFAULTS.rest;
    this.spread = DEFAULTS.spread;
    this.ended = DEFAULTS.ended;
    this.errors = DEFAULTS.errors;
    this.alike = DEFAULTS.alike;
    this.asks = DEFAULTS.asks;
  }

  /** Whether the row is none of the kernel's, but a line that counts items or tells their errors. */
  get isLine() {
    return this.index < -1;
  }

  get isMap() {
    return this.kind === "map";
  }

  /** Whether this is a large map. */
  get folds() {
    return this.large || this.keepsBack;
  }

  /** Whether there are items that the kernel has not sent. */
  get keepsBack() {
    for (const _ in this.rest) return true;
    return false;
  }

  /** Whether there are rows below, sent or not. */
  get isScope() {
    return this.children.length > 0 || this.keepsBack;
  }

  /** 0 for a task of the run function. */
  get depth() {
    let depth = 0;
    for (let row = this.parent; row && row.parent; row = row.parent) depth += 1;
    return depth;
  }

  /** Whether the duration still increases. */
  get ticking() {
    return this.duration === null && this.start !== null && ACTIVE.has(this.state);
  }
}

const ACTIVE = new Set(SHARED.active);

/** The names of the fields, by the short name that is sent. */
const FIELDS = /** @type {Record<string, keyof Fields>} */ (
  Object.fromEntries(Object.entries(SHARED.fields).map(([short, [name]]) => [short, name]))
);
const DEFAULTS = /** @type {Fields} */ (Object.fromEntries(Object.values(SHARED.fields)));

/**
 * Unpacks rows, which are sent in groups with the same fields: a list of the names, then a list of values for each row.
 * @param {PackedRows[]} groups
 * @returns {Generator<WireRow>}
 */
export function* unpacked(groups) {
  for (const [names, ...rows] of groups) {
    for (const values of rows) {
      const row = /** @type {WireRow} */ (Object.fromEntries(names.map((name, at) => [name, values[at]])));
      if ("s" in row) row.s = STATES[/** @type {number} */ (row.s)];
      yield row;
    }
  }
}

/** The tree of rows. */
export class RowSet {
  constructor() {
    this.root = new Row(-1);
    /** @type {Map<number, Row>} */
    this.byIndex = new Map([[-1, this.root]]);
    /** The row that last started or became active. @type {Row | null} */
    this.lastActive = null;
    /** Whether any row has had an icon; then all rows reserve space for one. */
    this.hasIcons = false;
    /** The maps. @type {Set<Row>} */
    this.maps = new Set();
    /** The number of map items that the kernel has not sent. */
    this.unsent = 0;
    /** The rows that wait for the answer of a person. @type {Set<Row>} */
    this.asking = new Set();
  }

  /** The number of rows that were sent. */
  get size() {
    return this.byIndex.size - 1;
  }

  /** The number of all rows, including those not sent. */
  get total() {
    return this.size + this.unsent;
  }

  /**
   * The children of a row, in the order of display.
   * @param {Row} scope
   */
  sorted(scope) {
    if (scope.unsorted) {
      scope.children.sort(beforeSibling);
      scope.unsorted = false;
    }
    return scope.children;
  }

  /**
   * Applies the sent fields of a row.
   * @param {WireRow} wire
   */
  put(wire) {
    const known = this.byIndex.get(wire.i);
    const row = known ?? this.added(wire.i, wire.p ?? -1);
    // A row created as a placeholder for a missing parent gets its place only when it arrives itself.
    if (known && wire.p !== undefined) this.moved(known, this.byIndex.get(wire.p) ?? this.added(wire.p, -1));
    const { state, order, rest } = row;
    const countedAs = row.counts ? state : null;
    for (const name in wire) {
      const field = FIELDS[name];
      if (field) /** @type {any} */ (row)[field] = wire[name];
    }
    if (row.icon) this.hasIcons = true;
    if (row.isMap) this.maps.add(row);
    if (row.asks) this.asking.add(row);
    else this.asking.delete(row);
    if (row.order !== order && row.parent) row.parent.unsorted = true;
    const countsAs = row.counts ? row.state : null;
    if (countsAs !== countedAs) {
      if (countedAs !== null) this.count(row, countedAs, -1);
      if (countsAs !== null) this.count(row, countsAs, 1);
    }
    if (row.rest !== rest) {
      this.countRest(row, rest, -1);
      this.countRest(row, row.rest, 1);
    }
    if (!known || (row.state !== state && ACTIVE.has(row.state))) this.noteActive(row);
    row.version += 1;
  }

  /**
   * Removes a row, with all rows below it.
   * @param {number} index
   */
  remove(index) {
    const row = this.byIndex.get(index);
    if (!row || !row.parent) return;
    const tally = tallyOf(row);
    for (const state in tally) this.count(row, state, -tally[state]);
    row.parent.children.splice(row.parent.children.indexOf(row), 1);
    this.forget(row);
  }

  /** @param {Row} row */
  forget(row) {
    this.byIndex.delete(row.index);
    this.maps.delete(row);
    this.asking.delete(row);
    this.unsent -= unsentIn(row.rest);
    for (const child of row.children) this.forget(child);
  }

  /**
   * @param {number} index
   * @param {number} parentIndex
   * @returns {Row}
   */
  added(index, parentIndex) {
    const row = new Row(index);
    this.byIndex.set(index, row);
    const parent = this.byIndex.get(parentIndex) ?? this.added(parentIndex, -1);
    this.attach(row, parent);
    this.count(row, row.state, 1);
    return row;
  }

  /**
   * @param {Row} row
   * @param {Row} parent
   */
  moved(row, parent) {
    if (!row.parent || row.parent === parent || row === parent) return;
    const tally = tallyOf(row);
    for (const state in tally) this.count(row, state, -tally[state]);
    row.parent.children.splice(row.parent.children.indexOf(row), 1);
    this.attach(row, parent);
    for (const state in tally) this.count(row, state, tally[state]);
  }

  /**
   * @param {Row} row
   * @param {Row} parent
   */
  attach(row, parent) {
    row.parent = parent;
    const last = parent.children.at(-1);
    if (last && beforeSibling(last, row) > 0) parent.unsorted = true;
    parent.children.push(row);
  }

  /**
   * @param {Row} row
   * @param {string} state
   * @param {number} by
   */
  count(row, state, by) {
    for (let scope = row.parent; scope; scope = scope.parent) {
      scope.below[state] = (scope.below[state] ?? 0) + by;
      scope.version += 1;
    }
  }

  /**
   * Counts unsent items in their map and its ancestors too.
   * @param {Row} row
   * @param {Record<string, number>} rest
   * @param {number} sign
   */
  countRest(row, rest, sign) {
    this.unsent += sign * unsentIn(rest);
    for (const state in rest) {
      if (isOrigin(state)) continue;
      row.below[state] = (row.below[state] ?? 0) + sign * rest[state];
      this.count(row, state, sign * rest[state]);
    }
  }

  /** @param {Row} row */
  noteActive(row) {
    if (row.state === "pending" || row.state === "not reached") return;
    if (!this.lastActive || !beganBefore(row, this.lastActive)) this.lastActive = row;
  }
}

/**
 * The number of tasks in each state, of a row and all rows below it.
 * @param {Row} row
 */
function tallyOf(row) {
  const tally = { ...row.below };
  if (row.counts) tally[row.state] = (tally[row.state] ?? 0) + 1;
  return tally;
}

/** Whether this counts results by where they come from, across the states. @param {string} name */
export function isOrigin(name) {
  return name === "replayed" || name === "reused";
}

/** @param {Record<string, number>} rest */
function unsentIn(rest) {
  return Object.entries(rest).reduce((sum, [state, count]) => sum + (isOrigin(state) ? 0 : count), 0);
}

/**
 * Whether row `a` started before row `b`: the rows of one message come in any order.
 * @param {Row} a
 * @param {Row} b
 */
function beganBefore(a, b) {
  return (a.start ?? 0) - (b.start ?? 0) < 0 || (a.start === b.start && (a.order ?? Infinity) < (b.order ?? Infinity));
}

/**
 * @param {Row} a
 * @param {Row} b
 */
function beforeSibling(a, b) {
  if (a.order === b.order) return a.index - b.index;
  if (a.order === null) return 1;
  if (b.order === null) return -1;
  return a.order - b.order || a.index - b.index;
}
