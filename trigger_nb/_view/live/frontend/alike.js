// Equal errors of a map's items: one line for all of them, the first ones below it, the others when it is asked for.

import { grouped } from "./format.js";
import { Row } from "./rows.js";

const FIRST = SHARED.alike; // items that are shown at once

/** The groups of equal errors in one view. */
export class Alike {
  constructor() {
    /** By map and number of the error. @type {Map<string, Group>} */
    this.groups = new Map();
    this.lastIndex = -1e9; // rows of the kernel have positive numbers, lines that count other items small negative ones
  }

  /**
   * The items of a map with equal errors together, at the place of the first of them.
   * @param {Row} map
   * @param {Row[]} rows
   */
  together(map, rows) {
    const errors = new Map(map.errors.map(([number, count, text]) => [number, { count, text }]));
    /** @type {Map<number, Row[]>} */
    const members = new Map();
    for (const row of rows) {
      if (row.alike === null || !errors.has(row.alike) || row.state !== "failed") continue;
      const alike = members.get(row.alike);
      if (alike) alike.push(row);
      else members.set(row.alike, [row]);
    }
    /** @type {Row[]} */
    const lines = [];
    for (const row of rows) {
      const error = row.alike !== null && row.state === "failed" ? errors.get(row.alike) : undefined;
      const alike = error && members.get(/** @type {number} */ (row.alike));
      if (!error) lines.push(row);
      else if (alike?.[0] === row) lines.push(this.group(map, row).line(error, alike));
    }
    return lines;
  }

  /**
   * @param {Row} map
   * @param {Row} row
   */
  group(map, row) {
    const name = `${map.index} ${row.alike}`;
    const group = this.groups.get(name) ?? new Group(map, (this.lastIndex -= 2));
    this.groups.set(name, group);
    return group;
  }

  /** Shows all items of the group that a line belongs to. @param {Row} line */
  showAll(line) {
    for (const group of this.groups.values()) if (group.more === line) group.showsAll = true;
  }

  /**
   * The line of the group that hides an item, which is shown from now on; null if there is none.
   * @param {Row} row
   */
  reveal(row) {
    const group = row.parent && row.alike !== null ? this.groups.get(`${row.parent.index} ${row.alike}`) : undefined;
    if (!group) return null;
    group.showsAll ||= !group.row.children.includes(row);
    return group.row;
  }
}

/** One line, and the line for the items that are not shown yet. */
class Group {
  /**
   * @param {Row} map
   * @param {number} index
   */
  constructor(map, index) {
    this.row = Object.assign(new Row(index), { kind: "alike", state: "failed", parent: map });
    this.more = Object.assign(new Row(index - 1), { kind: "rest", state: "failed", parent: this.row });
    this.showsAll = false;
  }

  /**
   * @param {{ count: number, text: string }} error
   * @param {Row[]} rows  the items that the kernel has sent
   */
  line({ count, text }, rows) {
    const left = this.showsAll ? 0 : rows.length - FIRST;
    named(this.row, `${grouped(count)} items: ${text}`);
    named(this.more, `${grouped(left)} more with this error`);
    this.row.children = left > 0 ? [...rows.slice(0, FIRST), this.more] : rows;
    return this.row;
  }
}

/**
 * @param {Row} row
 * @param {string} name
 */
function named(row, name) {
  if (row.name !== name) row.version += 1;
  row.name = name;
}
