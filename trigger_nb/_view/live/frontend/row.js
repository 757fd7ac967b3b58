// One row of the tree, as elements.

import { h, iconElement, link, safeImageUrl, setAttribute, setChildren, setShown, setText, shape, stateName } from "./dom.js";
import { STATE_ORDER, duration, grouped, probablyLeft, rate, remaining, ticking } from "./format.js";
import { paintBar } from "./timeline.js";

const DEEPEST_INDENT = 14;
const OVERDUE = 2; // seconds

/** The elements of one row. They belong to the row while it is in view; only differences are written. */
export class RowElement {
  constructor() {
    this.fold = h("span", { class: "tnb-chev" });
    this.shape = shape("pending");
    this.icon = h("span", { class: "tnb-i0" });
    this.name = h("span", { class: "tnb-n" });
    this.key = h("code", { class: "tnb-k" });
    this.marks = h("span", { class: "tnb-m" });
    this.countdown = h("span", { class: "tnb-m tnb-m-hot" });
    this.progressBar = h("i");
    this.progressFailed = h("i", { class: "tnb-pb-bad" });
    this.progress = h("span", { class: "tnb-pb" }, this.progressBar);
    this.progressText = h("span", { class: "tnb-m" });
    this.properties = h("span", { class: "tnb-ps" });
    this.error = h("span", { class: "tnb-e" });
    this.counts = h("span", { class: "tnb-counts" });
    this.took = h("span", { class: "tnb-d" });
    this.cell = h("span", { class: "tnb-cell" });
    const texts = [this.name, this.key, this.counts, this.marks, this.countdown, this.progress, this.progressText];
    const ends = [this.properties, this.error];
    this.left = h("span", { class: "tnb-left" }, this.fold, this.shape, this.icon, ...texts, ...ends);
    this.element = h("div", { class: "tnb-row", role: "treeitem" }, this.left, this.cell, this.took);
    /** The values that the row was last painted from. */
    this.painted = "";
    this.iconPainted = "";
    this.propertiesPainted = "";
    this.countsPainted = "";
    /** The texts beside the progress bar. */
    this.progressTexts = { count: "", text: "", rate: "" };
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
    const painted = [row.version, depth, position, siblings, isOpen, isActive, isDetailed].join();
    if (painted !== this.painted || row !== this.row) {
      this.painted = painted;
      this.row = row;
      setAttribute(this.element, "id", tree.prefix + row.index);
      this.paintPlace(line, isOpen, isActive, isDetailed);
      this.paintTexts(row, isOpen);
    }
    this.paintClock(store);
    if (tree.timed) paintBar(this.cell, row, store);
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
    ];
    setAttribute(element, "class", classes.filter(Boolean).join(" "));
    element.style.setProperty("--depth", String(Math.min(depth, DEEPEST_INDENT)));
  }

  /**
   * @param {import("./store.js").Row} row
   * @param {boolean} isOpen
   */
  paintTexts(row, isOpen) {
    setAttribute(this.shape, "class", `tnb-s tnb-s-${stateName(row.state)}`);
    setAttribute(this.shape, "title", row.state);
    this.paintIcon(row);
    setText(this.name, row.name);
    setAttribute(this.name, "title", row.name);
    part(this.key, row.key);
    setAttribute(this.key, "title", row.key);
    part(this.marks, [row.level, ...attemptMark(row), ...row.marks].filter(Boolean).join(" · "));
    setAttribute(this.marks, "class", row.hot || (row.level && row.level !== "debug") ? "tnb-m tnb-m-hot" : "tnb-m");
    this.paintProgress(row);
    this.paintProperties(row);
    part(this.error, row.error);
    setAttribute(this.error, "title", row.error || null);
    this.paintCounts(row, !isOpen);
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
    const [done, total, text, failed = 0, perSecond] = row.progress ?? [0, null, ""];
    setShown(this.progress, Boolean(row.progress && total));
    if (total) {
      this.progressBar.style.width = percent(done - failed, total);
      this.progressFailed.style.width = `max(2px, ${percent(failed, total)})`;
      setChildren(this.progress, failed ? [this.progressBar, this.progressFailed] : [this.progressBar]);
    }
    const count = row.progress ? amount(done) + (total ? ` of ${amount(total)}` : "") : "";
    this.progressTexts = { count, text, rate: perSecond ? rate(perSecond) : "" };
  }

  /** @param {import("./store.js").Row} row */
  paintProperties(row) {
    const painted = row.properties.length ? JSON.stringify(row.properties) : "";
    if (painted === this.propertiesPainted) return;
    this.propertiesPainted = painted;
    setChildren(this.properties, row.properties.map((property) => propertyElement(property, true)));
  }

  /**
   * Counts by state: of a folded scope, and of a running map (an ended map has its counts in the marks).
   * @param {import("./store.js").Row} row
   * @param {boolean} folded
   */
  paintCounts(row, folded) {
    const isCounted = row.isMap ? row.progress !== null : folded;
    const states = row.isScope && row.kind !== "rest" && isCounted ? STATE_ORDER.filter((state) => row.below[state] > 0) : [];
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
    const { count, rate, text } = this.progressTexts;
    const ends = row.progress?.[5] ?? null;
    const left = ends === null || !store.header.ticking ? null : ends - store.sinceBase();
    const foreseen = left === null ? [rate] : left < -OVERDUE ? [] : [rate, probablyLeft(left)];
    part(this.progressText, [count, text, ...foreseen].filter(Boolean).join(" · "));
  }

  /** @param {import("./store.js").Store} store */
  paintClock(store) {
    const row = this.row;
    if (!row) return;
    const took = store.took(row);
    setText(this.took, took === null ? "" : row.ticking ? ticking(took) : duration(took));
    this.paintProgressText(row, store);
    const left = row.until === null ? null : remaining(row.until - store.sinceBase());
    part(this.countdown, left === null ? "" : row.state === "retrying" ? `next attempt ${left}` : left);
  }
}

/**
 * Sets a text, and hides the element if the text is empty.
 * @param {HTMLElement} element
 * @param {string} text
 */
function part(element, text) {
  setText(element, text);
  setShown(element, text !== "");
}

/** @param {import("./store.js").Row} row */
function attemptMark(row) {
  return row.attempt > 1 ? [`attempt ${row.attempt}`] : [];
}

/**
 * @param {number} part
 * @param {number} whole
 */
function percent(part, whole) {
  return `${Math.min(100, Math.max(0, (100 * part) / whole)).toFixed(1)}%`;
}

/** @param {number} value */
function amount(value) {
  return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}

/**
 * The text of a row for screen readers, without its clock, which would be read again and again.
 * @param {import("./store.js").Row} row
 */
function accessibleName(row) {
  const texts = [row.state, row.name, row.key, row.level, ...attemptMark(row), ...row.marks, row.error];
  return [...new Set(texts)].filter(Boolean).join(", ");
}

/**
 * A property with its label. In a row, the Tab key skips its link, which the details contain too.
 * @param {import("./store.js").Property} property
 * @param {boolean} inRow
 */
export function propertyElement([label, text, url, image], inRow) {
  const value = link(url, text);
  if (inRow && url) value.setAttribute("tabindex", "-1");
  const source = safeImageUrl(image);
  const picture =
    source && h("img", { src: source, height: "14", alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
  return h("span", { class: "tnb-p" }, picture, h("b", {}, `${label}: `), value);
}
