// One row of the tree, as elements.

import {
  STATES,
  h,
  iconElement,
  link,
  piecesOf,
  safeImageUrl,
  setAttribute,
  setChildren,
  setShown,
  setText,
  shape,
  stateName,
} from "./dom.js";
import { countdown, duration, grouped, localTime, probablyLeft, ticking } from "./format.js";
import { paintCharts } from "./mapstats.js";
import { timeOfDay } from "./moments.js";

const DEEPEST_INDENT = 14;
const OVERDUE = 2; // seconds

/** The elements of one row. They belong to the row while it is in view; only differences are written. */
export class RowElement {
  constructor() {
    this.fold = h("span", { class: "tnb-chev" });
    this.shape = shape("pending");
    this.icon = h("span", { class: "tnb-i0" });
    this.name = h("bdi", { class: "tnb-n" });
    this.key = h("code", { class: "tnb-k" });
    this.marks = h("span", { class: "tnb-m" });
    this.hot = h("span", { class: "tnb-m tnb-m-hot" });
    this.countdown = h("span", { class: "tnb-m tnb-m-hot" });
    this.progressBar = h("i");
    this.progressFailed = h("i", { class: "tnb-pb-bad" });
    this.progress = h("span", { class: "tnb-pb" }, this.progressBar);
    this.progressText = h("span", { class: "tnb-m" });
    this.properties = h("span", { class: "tnb-ps" });
    this.error = h("span", { class: "tnb-e" });
    this.counts = h("span", { class: "tnb-counts" });
    this.found = h("span", { class: "tnb-m tnb-found" });
    this.took = h("span", { class: "tnb-d" });
    this.cell = h("span", { class: "tnb-cell" });
    /** The elements of each part: the kernel gives the order. @type {Record<string, HTMLElement[]>} */
    const drawn = {
      ...{ state: [this.shape], icon: [this.icon], name: [this.name], key: [this.key], counts: [this.counts] },
      ...{ marks: [this.marks], hot: [this.hot], countdown: [this.countdown] },
      ...{ progress: [this.progress, this.progressText], properties: [this.properties], error: [this.error] },
    };
    const parts = SHARED.parts.flatMap((part) => drawn[part] ?? []);
    this.left = h("span", { class: "tnb-left" }, this.fold, ...parts, this.found);
    this.element = h("div", { class: "tnb-row", role: "treeitem" }, this.left, this.cell, this.took);
    /** The values that the row was last painted from. */
    this.painted = "";
    this.iconPainted = "";
    this.propertiesPainted = "";
    this.countsPainted = "";
    /** @type {import("./store.js").Row | null} */
    this.row = null;
  }

  /**
   * @param {import("./outline.js").Line} line
   * @param {import("./tree.js").Tree} tree
   */
  paint(line, tree) {
    const { row, depth, position, siblings } = line;
    const { outline, store } = tree;
    const isOpen = outline.isOpen(row);
    const isActive = outline.active === row.index;
    const isDetailed = isActive && outline.detailed;
    const painted = [row.version, depth, position, siblings, isOpen, isActive, isDetailed, outline.searchVersion].join();
    if (painted !== this.painted || row !== this.row) {
      this.painted = painted;
      this.row = row;
      setAttribute(this.element, "id", tree.prefix + row.index);
      this.paintPlace(line, isOpen, isActive, isDetailed);
      this.paintTexts(row, isOpen, outline);
    }
    this.paintClock(store);
    tree.timeline?.paint(this.cell, row);
  }

  /**
   * @param {import("./outline.js").Line} line
   * @param {boolean} isOpen
   * @param {boolean} isActive
   * @param {boolean} isDetailed
   */
  paintPlace({ row, depth, position, siblings }, isOpen, isActive, isDetailed) {
    const element = this.element;
    const isScope = row.isScope;
    setAttribute(element, "data-row", row.index);
    setAttribute(element, "aria-level", depth + 1);
    setAttribute(element, "aria-posinset", position);
    setAttribute(element, "aria-setsize", siblings);
    setAttribute(element, "aria-expanded", isScope ? String(isOpen) : null);
    setAttribute(element, "aria-selected", String(isActive));
    setAttribute(element, "aria-label", accessibleName(row));
    const classes = [
      "tnb-row",
      isScope && "tnb-scope",
      isActive && "tnb-active",
      isDetailed && "tnb-detailed",
      row.replayed && "tnb-old",
      (row.state === "pending" || row.state === "not reached") && "tnb-off",
      row.quiet && "tnb-min",
      row.isMap && "tnb-map",
      row.kind === "rest" && "tnb-rest",
      row.kind === "alike" && "tnb-alike",
    ];
    setAttribute(element, "class", classes.filter(Boolean).join(" "));
    element.style.setProperty("--depth", String(Math.min(depth, DEEPEST_INDENT)));
  }

  /**
   * @param {import("./store.js").Row} row
   * @param {boolean} isOpen
   * @param {import("./outline.js").Outline} outline
   */
  paintTexts(row, isOpen, outline) {
    const { text } = outline;
    setAttribute(this.shape, "class", `tnb-s tnb-s-${stateName(row.state)}`);
    setAttribute(this.shape, "title", row.state);
    this.paintIcon(row);
    marked(this.name, row.name, text);
    setAttribute(this.name, "title", row.name);
    part(this.key, row.key, text);
    setAttribute(this.key, "title", row.key);
    part(this.marks, row.marks.join(" · "), text);
    part(this.hot, row.hot.join(" · "), text);
    this.paintProgress(row);
    this.paintProperties(row, text);
    part(this.error, row.error, text);
    setAttribute(this.error, "title", row.error || null);
    this.paintCounts(row, !isOpen);
    part(this.found, outline.foundIn(row), text);
  }

  /** @param {import("./store.js").Row} row */
  paintIcon(row) {
    const painted = String(row.icon);
    if (painted === this.iconPainted) return;
    this.iconPainted = painted;
    const icon = iconElement(row.icon) ?? h("span", { class: "tnb-i0" });
    this.icon.replaceWith(icon);
    this.icon = icon;
  }

  /** @param {import("./store.js").Row} row */
  paintProgress(row) {
    const [done, failed] = row.progress ?? [null, 0];
    setShown(this.progress, done !== null);
    if (done === null) return;
    this.progressBar.style.width = percent(done);
    this.progressFailed.style.width = `max(2px, ${percent(failed)})`;
    setChildren(this.progress, failed ? [this.progressBar, this.progressFailed] : [this.progressBar]);
  }

  /**
   * @param {import("./store.js").Row} row
   * @param {string} text
   */
  paintProperties(row, text) {
    const painted = row.properties.length ? JSON.stringify([row.properties, text]) : "";
    if (painted === this.propertiesPainted) return;
    this.propertiesPainted = painted;
    setChildren(this.properties, row.properties.map((property) => propertyElement(property, true, text)));
  }

  /**
   * Counts by state: of a folded scope, and of a running map (an ended map has its counts in the marks).
   * @param {import("./store.js").Row} row
   * @param {boolean} folded
   */
  paintCounts(row, folded) {
    const isCounted = row.isMap ? row.progress !== null : folded;
    const states = row.isScope && row.kind !== "rest" && isCounted ? STATES.filter((state) => state !== "log" && row.below[state] > 0) : [];
    const painted = states.map((state) => `${state} ${row.below[state]}`).join();
    if (painted === this.countsPainted) return;
    this.countsPainted = painted;
    const counts = states.map((state) => {
      const count = grouped(row.below[state]);
      return h("span", { class: "tnb-count", title: `${count} ${state}` }, shape(state), count);
    });
    setChildren(this.counts, counts);
  }

  /**
   * Counts the remaining time down. If no update has come for long, rate and end are out of date and not shown.
   * @param {import("./store.js").Row} row
   * @param {import("./store.js").Store} store
   */
  paintProgressText(row, store) {
    const [, , text, ends] = row.progress ?? [null, 0, ""];
    const left = ends === undefined || !store.header.ticking ? null : ends - store.sinceBase();
    part(this.progressText, left === null || left < -OVERDUE ? text : `${text} · ${probablyLeft(left)}`);
  }

  /** @param {import("./store.js").Store} store */
  paintClock(store) {
    const row = this.row;
    if (!row) return;
    const took = store.took(row);
    const logged = row.kind === "log" && row.start !== null ? timeOfDay(store.header.base + row.start) : "";
    setText(this.took, took === null ? logged : row.ticking ? ticking(took) : duration(took));
    setAttribute(this.took, "title", row.start === null ? null : `Started ${localTime(row.start + store.header.base)}`);
    this.paintProgressText(row, store);
    paintCharts(this.left, row, store);
    const left = row.until === null ? 0 : row.until - store.sinceBase();
    part(this.countdown, row.until === null ? "" : countdown(row.state, left, row.until + store.header.base));
    setAttribute(this.countdown, "title", row.until === null ? null : localTime(row.until + store.header.base));
  }
}

/**
 * Sets a text, in which the text that was searched is marked, and hides the element if the text is empty.
 * @param {HTMLElement} element
 * @param {string} text
 * @param {string} [searched]
 */
function part(element, text, searched = "") {
  marked(element, text, searched);
  setShown(element, text !== "");
}

/**
 * Sets a text; each place with the searched text is marked.
 * @param {HTMLElement} element
 * @param {string} text
 * @param {string} searched
 */
export function marked(element, text, searched) {
  const pieces = piecesOf(text, searched);
  if (pieces.length === 1 && !element.firstElementChild) return setText(element, text);
  const painted = JSON.stringify(pieces);
  if (element.dataset["marked"] === painted) return;
  element.replaceChildren(...pieces.map((piece, at) => (at % 2 ? h("mark", {}, piece) : piece)));
  if (pieces.length > 1) element.dataset["marked"] = painted;
  else delete element.dataset["marked"];
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)}%`;
}

/**
 * The text of a row for screen readers, without its clock, which would be read again and again.
 * @param {import("./store.js").Row} row
 */
function accessibleName(row) {
  const texts = [row.state, row.name, row.key, ...row.marks, ...row.hot, row.error];
  return [...new Set(texts)].filter(Boolean).join(", ");
}

/**
 * A property with its label. In a row, the Tab key skips its link, which the details contain too.
 * @param {import("./store.js").Property} property
 * @param {boolean} inRow
 * @param {string} [searched]
 */
export function propertyElement([label, text, url, image], inRow, searched = "") {
  const value = link(url, text);
  const name = h("b", {}, `${label}: `);
  marked(value, text, searched);
  marked(name, `${label}: `, searched);
  if (inRow && url) value.setAttribute("tabindex", "-1");
  const source = safeImageUrl(image);
  const picture =
    source && h("img", { src: source, height: "14", alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
  return h("span", { class: "tnb-p" }, picture, name, value);
}
