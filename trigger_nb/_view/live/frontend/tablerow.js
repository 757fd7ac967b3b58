// One row of a table of items, as elements, and the widths of its cells.

import { STATES, h, setAttribute, setChildren, setText, shape, stateName } from "./dom.js";
import { duration, grouped } from "./format.js";

/** @typedef {import("./table.js").Column} Column */
/** @typedef {import("./table.js").Item} Item */

const OUTPUTS = 7; // where the outputs begin in an item
/** The least width of a column by its kind, in pixels, and the share that it gets of more room. @type {Record<string, [number, number]>} */
const WIDTHS = { name: [190, 1], status: [106, 0], number: [92, 0], text: [150, 2], error: [210, 3], took: [78, 0] };
const NARROW = 480; // pixels of the table; then names are short, and a status is only its shape
const NARROW_NAME = 124;
const NARROW_STATUS = 44;

/**
 * The columns as a template of a grid, and the width of all.
 * @param {Column[]} columns
 * @param {number} room
 * @returns {[template: string, width: number]}
 */
export function widths(columns, room) {
  const isNarrow = room < NARROW;
  const least = columns.map(([, , kind]) => {
    if (isNarrow && kind === "name") return NARROW_NAME;
    return isNarrow && kind === "status" ? NARROW_STATUS : (WIDTHS[kind] ?? WIDTHS["text"])[0];
  });
  const shares = columns.map(([, , kind]) => (WIDTHS[kind] ?? WIDTHS["text"])[1]);
  const sum = least.reduce((a, b) => a + b, 0);
  const all = shares.reduce((a, b) => a + b, 0);
  const left = Math.max(0, room - sum);
  const wide = least.map((width, at) => Math.floor(width + (all ? (left * shares[at]) / all : 0)));
  return [wide.map((width) => `${width}px`).join(" "), Math.max(sum, room)];
}

/** The elements of one row; only differences are written. */
export class TableRow {
  /** @param {string} prefix */
  constructor(prefix) {
    this.prefix = prefix;
    this.element = h("div", { class: "tnb-gr", role: "row" });
    /** @type {HTMLElement[]} */
    this.cells = [];
    this.shape = shape("pending");
    this.word = h("span", { class: "tnb-gr-word" });
    /** What the row was painted from. @type {{ item: Item | null, columns: Column[] | null, place: number, active: string }} */
    this.painted = { item: null, columns: null, place: -1, active: "" };
  }

  /**
   * @param {number} place
   * @param {Item | null} item  null if it is still to come
   * @param {Column[]} columns
   * @param {{ place: number, column: number }} active
   * @param {import("./outline.js").Outline} outline
   */
  paint(place, item, columns, active, outline) {
    const before = this.painted;
    const isActive = active.place === place;
    const isDetailed = item !== null && outline.detailed && outline.active === item[0];
    const marks = `${isActive ? active.column : ""} ${isDetailed} ${item?.[3] ?? false}`;
    const isSame = before.item === item && before.columns === columns && before.place === place;
    if (isSame && before.active === marks) return;
    this.painted = { item, columns, place, active: marks };
    const isMoved = before.place !== place || before.columns !== columns;
    if (before.columns !== columns) this.makeCells(columns);
    const classes = ["tnb-gr", isActive && "tnb-active", isDetailed && "tnb-detailed", item?.[3] && "tnb-old"];
    setAttribute(this.element, "class", classes.filter(Boolean).join(" "));
    setAttribute(this.element, "aria-selected", String(isActive));
    if (isMoved) {
      setAttribute(this.element, "data-place", place);
      setAttribute(this.element, "aria-rowindex", place + 2);
    }
    let output = OUTPUTS;
    columns.forEach(([name, , kind], at) => {
      const cell = this.cells[at];
      if (isMoved) cell.id = `${this.prefix}${place}-${at}`;
      cell.classList.toggle("tnb-cell-active", isActive && active.column === at);
      if (kind === "status") this.paintStatus(item);
      else this.paintText(cell, item === null ? (at ? "" : "…") : textOf(item, name, name.startsWith(".") ? output : 0));
      if (name.startsWith(".")) output += 1;
    });
  }

  /** @param {Column[]} columns */
  makeCells(columns) {
    this.cells = columns.map(([, , kind], at) =>
      h("div", { class: `tnb-gc tnb-gk-${kind}`, role: "gridcell", "data-column": at, "aria-colindex": at + 1 }),
    );
    const status = columns.findIndex(([, , kind]) => kind === "status");
    this.cells[status]?.append(this.shape, this.word);
    setChildren(this.element, this.cells);
  }

  /** @param {Item | null} item */
  paintStatus(item) {
    const state = item ? STATES[item[1]] : "";
    setAttribute(this.shape, "class", state ? `tnb-s tnb-s-${stateName(state)}` : "tnb-s");
    setAttribute(this.shape, "title", state);
    setText(this.word, state);
  }

  /**
   * @param {HTMLElement} cell
   * @param {string} text
   */
  paintText(cell, text) {
    setText(cell, text);
    setAttribute(cell, "title", text.length > 12 ? text : null);
  }
}

/**
 * @param {Item} item
 * @param {string} name  of the column
 * @param {number} output  where its output is
 */
function textOf(item, name, output) {
  if (output) return item[output] === null || item[output] === undefined ? "" : String(item[output]);
  if (name === "name") return item[2];
  if (name === "attempts") return grouped(item[4]);
  if (name === "seconds") return item[5] === null ? "" : duration(item[5]);
  return item[6];
}
