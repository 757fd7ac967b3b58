// The state of one view of a run: open rows, filter, visible lines and the active row.

import { Items } from "./items.js";
import { isOrigin } from "./rows.js";

/** @typedef {import("./store.js").Row} Row */

const FOLDED_FROM = 50; // a scope with more children starts folded
const LARGE_RUN = 200; // in a run with more rows, every scope below the first level starts folded

/** One line of the list. @typedef {{ row: Row, depth: number, position: number, siblings: number }} Line */

/** The visible lines of a run, in order; computed again when rows, folding or filter have changed. */
export class Outline {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    /** The index of the active row, which the keyboard controls. @type {number | null} */
    this.active = null;
    /** Whether the details of the active row are shown. */
    this.detailed = false;
    this.text = "";
    /** The states to show; all if empty. @type {Set<string>} */
    this.states = new Set();
    /** "replayed" and "reused", as far as only such rows are to be shown. @type {Set<string>} */
    this.origins = new Set();
    /** Whether the rows of a scope are in the order of their duration, not of their start. */
    this.longestFirst = false;
    /** Incremented by each change of the filter. */
    this.filterVersion = 0;
    /** Whether to keep the row that started last in view. */
    this.following = !store.header.ended;
    this.items = new Items(store);

    /** Scopes that the user has folded (false) or unfolded (true), by index. @type {Map<number, boolean>} */
    this.chosen = new Map();
    /** The same while a filter is set. @type {Map<number, boolean>} */
    this.chosenInFilter = new Map();
    /** The number of rows below a scope that pass the filter, by index. @type {Map<number, number>} */
    this.hitsBelow = new Map();
    /** The number of rows that pass the filter. */
    this.hits = 0;

    /** @type {Line[]} */
    this.made = [];
    /** @type {Map<number, number>} */
    this.places = new Map();
    this.madeFor = -1;
  }

  get filtered() {
    return this.text !== "" || this.states.size > 0 || this.origins.size > 0;
  }

  /** @returns {Line[]} */
  lines() {
    if (this.madeFor !== this.store.version) this.make();
    return this.made;
  }

  /**
   * The place of a row in the list; -1 if it is not visible.
   * @param {number | null} index
   */
  place(index) {
    this.lines();
    return index === null ? -1 : (this.places.get(index) ?? -1);
  }

  /** @returns {Row | null} */
  activeRow() {
    return this.active === null ? null : this.row(this.active);
  }

  /**
   * A row by its number, including lines that count other items and items just removed.
   * @param {number} index
   * @returns {Row | null}
   */
  row(index) {
    return this.store.rows.byIndex.get(index) ?? this.lines()[this.place(index)]?.row ?? null;
  }

  /** The row whose details are shown. */
  detailedRow() {
    const row = this.detailed ? this.activeRow() : null;
    return row?.isLine ? null : row;
  }

  /** Must be called after a change of folding or filter. */
  changed() {
    this.madeFor = -1;
    this.store.notify();
  }

  // --- folding ---

  /** @param {Row} row */
  isOpen(row) {
    if (!row.isScope || row.kind === "rest") return false;
    if (row.kind === "alike") return this.chosen.get(row.index) ?? true;
    if (this.filtered) return this.chosenInFilter.get(row.index) ?? (this.hitsBelow.get(row.index) ?? 0) > 0;
    return this.chosen.get(row.index) ?? this.startsOpen(row);
  }

  /** @param {Row} row */
  startsOpen(row) {
    if (row.folds || row.children.length > FOLDED_FROM) return false;
    return this.store.rows.size <= LARGE_RUN || row.parent === this.store.rows.root;
  }

  /**
   * @param {Row} row
   * @param {boolean} open
   */
  setOpen(row, open) {
    if (row.kind === "rest") {
      this.items.ask(row, this.place(row.index));
      this.changed();
      return;
    }
    if (!row.isScope || this.isOpen(row) === open) return;
    if (!open) this.items.letGo(row);
    (this.filtered && row.kind !== "alike" ? this.chosenInFilter : this.chosen).set(row.index, open);
    this.changed();
  }

  /**
   * Opens or folds all scopes, or those among `rows`.
   * @param {boolean} open
   * @param {Row[]} [rows]
   */
  setAllOpen(open, rows) {
    const choices = this.filtered ? this.chosenInFilter : this.chosen;
    for (const row of rows ?? this.store.rows.byIndex.values()) {
      if (!row.parent || !row.isScope) continue;
      if (!open) this.items.letGo(row);
      choices.set(row.index, open);
    }
    this.changed();
  }

  /**
   * Makes a row visible: opens its ancestors, and clears a filter that hides it.
   * @param {Row} row
   */
  reveal(row) {
    if (this.place(row.index) >= 0) return;
    if (this.filtered && !this.passes(row)) this.clearFilter();
    const choices = this.filtered ? this.chosenInFilter : this.chosen;
    for (let scope = row.parent; scope && scope.parent; scope = scope.parent) {
      if (!this.isOpen(scope)) choices.set(scope.index, true);
    }
    const alike = this.items.alike.reveal(row);
    if (alike) this.chosen.set(alike.index, true);
    this.changed();
  }

  // --- filter ---

  /** @param {string} text */
  setText(text) {
    const wanted = text.trim().toLowerCase();
    if (wanted === this.text) return;
    this.text = wanted;
    this.store.lookFor(wanted);
    this.filterChanged();
  }

  /** @param {string} state  or "replayed" or "reused" */
  toggleState(state) {
    const chosen = isOrigin(state) ? this.origins : this.states;
    if (!chosen.delete(state)) chosen.add(state);
    this.filterChanged();
  }

  clearFilter() {
    this.text = "";
    this.store.lookFor("");
    this.states.clear();
    this.origins.clear();
    this.filterChanged();
  }

  filterChanged() {
    this.filterVersion += 1;
    this.chosenInFilter.clear();
    this.changed();
  }

  /** @param {Row} row */
  passes(row) {
    if (this.states.size && !(row.counts && this.states.has(row.state))) return false;
    if (this.origins.size && !(row.counts && this.origins.has(originOf(row)))) return false;
    return !this.text || searchText(row).includes(this.text) || this.store.found.has(row.index);
  }

  /**
   * Where the kernel has found the searched text in the details of a row; "" if the row itself shows the text.
   * @param {Row} row
   */
  foundIn(row) {
    const where = this.text ? this.store.found.get(row.index) : undefined;
    return where === undefined || searchText(row).includes(this.text) ? "" : where;
  }

  /** Changes with the text that is searched, and with the places where it was found. */
  get searchVersion() {
    return `${this.filterVersion}.${this.store.foundVersion}`;
  }

  /**
   * The next failed row after the active one, from the start again after the end; scopes that failed because of a
   * subtask are skipped.
   * @returns {Row | null}
   */
  nextFailure() {
    /** @type {Row | null} */
    let first = null;
    let isPast = false;
    for (const row of this.inOrder(this.store.rows.root)) {
      if (row.state === "failed" && !row.below["failed"]) {
        if (isPast) return row;
        first ??= row;
      }
      if (row.index === this.active) isPast = true;
    }
    return first;
  }

  /**
   * @param {Row} scope
   * @returns {Generator<Row>}
   */
  *inOrder(scope) {
    for (const row of this.inScope(scope)) {
      yield row;
      if (row.children.length) yield* this.inOrder(row);
    }
  }

  // --- making the lines ---

  /** @param {boolean} on */
  setLongestFirst(on) {
    if (on === this.longestFirst) return;
    this.longestFirst = on;
    this.changed();
  }

  /** @param {Row} scope */
  inScope(scope) {
    if (this.longestFirst) return longestFirst(scope.children, this.store);
    return scope.folds ? this.items.inOrder(scope) : this.store.rows.sorted(scope);
  }

  make() {
    this.madeFor = this.store.version;
    this.made = [];
    this.places = new Map();
    this.hitsBelow.clear();
    const root = this.store.rows.root;
    this.hits = this.filtered ? this.countHits(root) : 0;
    this.addLines(root, 0, !this.filtered);
    this.made.forEach((line, place) => this.places.set(line.row.index, place));
    this.active = this.items.activeAfter(this.active, this.made, this.places);
  }

  /**
   * @param {Row} scope
   * @returns {number}
   */
  countHits(scope) {
    let hits = 0;
    for (const row of scope.children) {
      if (row.isScope) hits += this.countHits(row);
      if (this.passes(row)) hits += 1;
    }
    if (scope.keepsBack) for (const { state, rest } of this.restsShown(scope)) hits += rest[state];
    if (hits) this.hitsBelow.set(scope.index, hits);
    return hits;
  }

  /**
   * The lines that count unsent items of a map, as far as they pass the filter.
   * @param {Row} scope
   */
  restsShown(scope) {
    const rests = this.items.rests(scope);
    if (!this.filtered) return rests;
    if (this.text) return [];
    const passes = (/** @type {Row} */ row) => !this.states.size || this.states.has(row.state);
    const isOf = (/** @type {Row} */ row) => !this.origins.size || [...this.origins].some((origin) => row.rest[origin]);
    return rests.filter((row) => passes(row) && isOf(row));
  }

  /**
   * @param {Row} scope
   * @param {number} depth
   * @param {boolean} all  whether to show all children: there is no filter, or the scope itself passes it
   */
  addLines(scope, depth, all) {
    let shown = this.inScope(scope);
    if (!all) shown = shown.filter((row) => this.hitsBelow.has(row.index) || this.passes(row));
    if (scope.errors.length && !this.longestFirst) shown = this.items.alike.together(scope, shown);
    if (scope.keepsBack) shown = this.items.withRests(shown, this.restsShown(scope));
    shown.forEach((row, at) => {
      this.made.push({ row, depth, position: at + 1, siblings: shown.length });
      if (this.isOpen(row)) this.addLines(row, depth + 1, all || !this.hitsBelow.has(row.index));
    });
  }
}

/** Where the result of a row comes from, if its body did not run: "replayed", "reused" or "". @param {Row} row */
function originOf(row) {
  return row.reused ? "reused" : row.replayed ? "replayed" : "";
}

/**
 * The rows in the order of their duration; those that have none are last.
 * @param {Row[]} rows
 * @param {import("./store.js").Store} store
 */
function longestFirst(rows, store) {
  const took = new Map(rows.map((row) => [row, store.took(row) ?? -1]));
  const length = (/** @type {Row} */ row) => took.get(row) ?? -1;
  return [...rows].sort((a, b) => length(b) - length(a) || (a.order ?? Infinity) - (b.order ?? Infinity) || a.index - b.index);
}

/** @type {WeakMap<Row, { version: number, text: string }>} */
const searchTexts = new WeakMap();

/**
 * The text that the filter searches: name, key, error, properties and marks.
 * @param {Row} row
 */
function searchText(row) {
  const known = searchTexts.get(row);
  if (known && known.version === row.version) return known.text;
  const properties = row.properties.map(([label, text]) => `${label} ${text}`);
  const text = [row.name, row.key, row.error, ...properties, ...row.marks, ...row.hot].join("\n").toLowerCase();
  searchTexts.set(row, { version: row.version, text });
  return text;
}
