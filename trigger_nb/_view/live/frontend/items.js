// The items of a map: their order, and the lines that count the items that the kernel has not sent.
//
// Failed items come first, then active ones. Each active item has a fixed place: the next item takes the place of
// one that is done, and no other row moves. While the pointer moves over the list, no row moves at all.

import { Alike } from "./alike.js";
import { STATES } from "./dom.js";
import { grouped } from "./format.js";
import { Row } from "./rows.js";

const HELD_FOR = 4000; // ms after the last move of the pointer
const FOLDED = new Set(SHARED.folded);

/** The map items that one view shows. */
export class Items {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.heldUntil = 0;
    /** Whether rows kept their places in the last order. */
    this.wasHeld = false;
    /** By map: the items in their last order. @type {Map<number, Row[]>} */
    this.last = new Map();
    /** The lines that count other items, by number. @type {Map<number, Row>} */
    this.lines = new Map();
    this.alike = new Alike();
    /** The line that was used to request more items, and its place. @type {{ index: number, place: number } | null} */
    this.asked = null;
  }

  // --- order ---

  get held() {
    return Date.now() < this.heldUntil;
  }

  /** The pointer has moved over the list, or has left it. @param {boolean} on */
  hold(on) {
    this.heldUntil = on ? Date.now() + HELD_FOR : 0;
  }

  /** Whether rows have kept their places, and the pointer is gone. */
  get isOverdue() {
    return this.wasHeld && !this.held;
  }

  /**
   * @param {Row} map
   * @returns {Row[]}
   */
  inOrder(map) {
    const rows = this.store.rows.sorted(map);
    const last = this.last.get(map.index) ?? [];
    const had = new Set(last.map(({ index }) => index));
    const fresh = rows.filter((row) => !had.has(row.index));
    this.wasHeld = this.held;
    const now = this.wasHeld && last.length ? this.keptInPlace(last, fresh) : this.arranged(last, rows, fresh);
    this.last.set(map.index, now);
    return now;
  }

  /**
   * All rows keep their places, even removed ones.
   * @param {Row[]} last
   * @param {Row[]} fresh
   */
  keptInPlace(last, fresh) {
    const underWay = fresh.filter(isUnderWay);
    const kept = last.map((row) => this.store.rows.byIndex.get(row.index) ?? underWay.shift() ?? row);
    return [...kept, ...underWay, ...fresh.filter((row) => !isUnderWay(row))];
  }

  /**
   * @param {Row[]} last
   * @param {Row[]} rows
   * @param {Row[]} fresh
   */
  arranged(last, rows, fresh) {
    const begun = fresh.filter(isUnderWay);
    /** @type {Row[]} */
    const underWay = [];
    for (const { index, state } of last) {
      const row = this.store.rows.byIndex.get(index);
      const next = row && isUnderWay(row) ? row : state === "failed" || (row && FOLDED.has(state)) ? null : begun.shift();
      if (next) underWay.push(next);
    }
    const failed = rows.filter((row) => row.state === "failed");
    return [...failed, ...underWay, ...begun, ...rows.filter((row) => FOLDED.has(row.state))];
  }

  // --- items that the kernel has not sent ---

  /**
   * The lines that count unsent items, one for each state.
   * @param {Row} map
   */
  rests(map) {
    return STATES.filter((state) => map.rest[state] > 0).map((state) => this.line(map, state));
  }

  /**
   * @param {Row} map
   * @param {string} state
   */
  line(map, state) {
    const index = -2 - map.index * STATES.length - STATES.indexOf(state);
    const line = this.lines.get(index) ?? new Row(index);
    this.lines.set(index, line);
    const count = map.rest[state];
    const more = (map.below[state] ?? 0) > count ? " more" : "";
    const reused = state === "completed" ? Math.min(count, map.rest["reused"] ?? 0) : 0;
    const replayed = state === "completed" ? Math.min(count - reused, map.rest["replayed"] ?? 0) : 0;
    const name = `${grouped(count)}${more} ${state}`;
    if (name !== line.name || replayed !== line.rest["replayed"] || reused !== line.rest["reused"]) line.version += 1;
    const of = Object.entries({ reused, replayed }).filter(([, some]) => some);
    const marks = of.map(([origin, some]) => (some === count ? origin : `${grouped(some)} ${origin}`));
    const fields = { kind: "rest", name, state, marks, replayed: of.length > 0, rest: { [state]: count, replayed, reused } };
    return Object.assign(line, fields, { parent: map });
  }

  /**
   * Adds the lines that count other items: after the failed items for failures, at the end for other states.
   * @param {Row[]} rows
   * @param {Row[]} rests
   */
  withRests(rows, rests) {
    const failures = rests.filter(({ state }) => state === "failed");
    const others = rests.filter(({ state }) => state !== "failed");
    const from = rows.findIndex(({ state }) => state !== "failed");
    const end = from < 0 ? rows.length : from;
    return [...rows.slice(0, end), ...failures, ...rows.slice(end), ...others];
  }

  /**
   * Requests the next of the items that a line counts.
   * @param {Row} line
   * @param {number} place
   */
  ask(line, place) {
    if (!line.parent) return;
    if (line.parent.kind === "alike") {
      this.alike.showAll(line);
      return;
    }
    this.asked = { index: line.index, place };
    this.store.askForItems(line.parent, line.state);
  }

  /** @param {Row} row */
  letGo(row) {
    if (row.folds) this.store.askForItems(row);
  }

  /**
   * The active row after requested items have arrived: the first of these items.
   * @param {number | null} active
   * @param {import("./outline.js").Line[]} lines
   * @param {Map<number, number>} places
   */
  activeAfter(active, lines, places) {
    if (!this.asked || active !== this.asked.index) return active;
    const { index, place } = this.asked;
    if (places.get(index) === place) return active;
    this.asked = null;
    return lines[place]?.row.index ?? active;
  }
}

/** @param {Row} row */
function isUnderWay(row) {
  return row.state !== "failed" && !FOLDED.has(row.state);
}
