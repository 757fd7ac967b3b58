// The tree of rows as a list of which only the visible part is in the page, however many rows there are.

import { h, iconElement, link, safeImageUrl, setAttribute, setChildren, setShown, setText, shape, stateName } from "./dom.js";
import { STATE_ORDER, duration, grouped, remaining, ticking } from "./format.js";
import { TreeKeys } from "./keys.js";
import { guarded } from "./store.js";
import { hideBar, paintBar } from "./timeline.js";

const ROW_HEIGHT = 24; // as .tnb-row in widget.css
const OVERSCAN = 6; // rows above and below what is seen
const TICK = 500; // ms
const PRINTED = 500; // rows, at most
const FOLLOW_PAUSE = 600; // ms between two jumps to a row that is far off
const DEEPEST_INDENT = 14;

let treeCount = 0;

/** Draws an Outline, and turns what a person does to it into changes of the Outline. */
export class Tree {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./outline.js").Outline} outline
   */
  constructor(store, outline) {
    this.store = store;
    this.outline = outline;
    this.prefix = `tnb-${(treeCount += 1)}-`;
    this.timed = false;
    /** @type {Map<number, RowElement>} */
    this.shown = new Map();
    this.lastJump = 0;
    /** How far the list is scrolled: kept here, as a browser forgets it when it is taken out of the page. */
    this.top = 0;
    /** Whether there are more rows than fit. */
    this.scrolls = false;
    this.printing = false;
    /** To be brought into view by the next frame. @type {number | null} */
    this.wanted = null;

    this.window = h("div", { class: "tnb-window", role: "presentation" });
    this.sizer = h("div", { class: "tnb-sizer", role: "presentation" }, this.window);
    this.element = h("div", { class: "tnb-tree", role: "tree", tabindex: "0", "aria-label": "Tasks" }, this.sizer);
    this.empty = h("div", { class: "tnb-empty", role: "status", hidden: true });
    this.keys = new TreeKeys(this);
    this.listen();
  }

  listen() {
    const element = this.element;
    element.addEventListener("scroll", () => this.scrolled(), { passive: true });
    for (const moved of ["wheel", "touchmove", "pointerdown"]) {
      element.addEventListener(moved, () => this.leaveFollowing(), { passive: true });
    }
    element.addEventListener("click", (event) => this.clicked(event));
    element.addEventListener("dblclick", (event) => this.toggle(this.rowAt(event)));
    element.addEventListener("focus", () => this.focused());
  }

  // --- what a person does ---

  scrolled() {
    if (!this.element.clientHeight || this.element.scrollTop === this.top) return;
    this.top = this.element.scrollTop;
    guarded(() => this.render());
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const target = /** @type {Element} */ (event.target);
    const row = this.rowAt(event);
    if (!row || target.closest("a")) return;
    if (target.closest(".tnb-chev") && row.children.length) this.toggle(row);
    else this.outline.detailed = true;
    this.choose(row);
  }

  /** @param {Event} event */
  rowAt(event) {
    const line = /** @type {Element} */ (event.target).closest("[data-row]");
    return line && (this.store.rows.byIndex.get(Number(line.getAttribute("data-row"))) ?? null);
  }

  /** @param {import("./store.js").Row | null} row */
  toggle(row) {
    if (row) this.outline.setOpen(row, !this.outline.isOpen(row));
  }

  focused() {
    if (this.outline.activeRow() || !this.element.matches(":focus-visible")) return;
    const [first] = this.outline.lines();
    if (first) this.choose(first.row);
  }

  /**
   * Puts the keyboard on a row and brings it into view.
   * @param {import("./store.js").Row} row
   */
  choose(row) {
    this.leaveFollowing();
    this.outline.reveal(row);
    this.outline.active = row.index;
    this.wanted = row.index;
    this.store.notify();
  }

  leaveFollowing() {
    if (!this.outline.following) return;
    this.outline.following = false;
    this.store.notify();
  }

  /** How many rows a page of them has. */
  get pageSize() {
    return Math.max(1, Math.floor(this.element.clientHeight / ROW_HEIGHT) - 1);
  }

  // --- drawing ---

  /** @param {boolean} timed  whether bars over time stand in the rows */
  setTimed(timed) {
    this.timed = timed;
    this.element.classList.toggle("tnb-timed", timed);
    if (!timed) for (const drawn of this.shown.values()) hideBar(drawn.cell);
    this.store.notify();
  }

  render() {
    const { element, outline, store } = this;
    const lines = outline.lines();
    setText(this.empty, this.emptyText(lines.length));
    setShown(this.empty, lines.length === 0);
    setShown(element, lines.length > 0);
    element.classList.toggle("tnb-ics", store.rows.hasIcons);
    const height = Math.min(lines.length, this.printing ? PRINTED : Infinity) * ROW_HEIGHT;
    this.sizer.style.height = `${height}px`;
    const viewHeight = this.printing ? height : element.clientHeight;
    this.scrolls = height > viewHeight;
    this.top = Math.max(0, Math.min(this.scrollTarget(this.top, viewHeight), height - viewHeight));
    if (element.scrollTop !== this.top) element.scrollTop = this.top;
    this.renderWindow(lines, this.top, viewHeight);
  }

  /**
   * @param {import("./outline.js").Line[]} lines
   * @param {number} top
   * @param {number} viewHeight
   */
  renderWindow(lines, top, viewHeight) {
    const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - OVERSCAN);
    const last = Math.min(lines.length, Math.ceil((top + viewHeight) / ROW_HEIGHT) + OVERSCAN);
    /** @type {Map<number, RowElement>} */
    const shown = new Map();
    for (const line of lines.slice(first, last)) {
      const index = line.row.index;
      const drawn = this.shown.get(index) ?? new RowElement(this.prefix + index);
      drawn.paint(line, this);
      shown.set(index, drawn);
    }
    this.shown = shown;
    setChildren(this.window, [...shown.values()].map((drawn) => drawn.element));
    this.window.style.transform = `translateY(${first * ROW_HEIGHT}px)`;
    const active = this.outline.active;
    setAttribute(this.element, "aria-activedescendant", active !== null && shown.has(active) ? this.prefix + active : null);
  }

  /** @param {number} lines */
  emptyText(lines) {
    if (lines) return "";
    if (this.store.rows.size) return "No task matches the filter";
    return this.store.header.ended ? "No tasks" : "No tasks yet";
  }

  /**
   * Where to scroll to, so that the row that was asked for, or the one that is followed, is in view.
   * @param {number} top
   * @param {number} viewHeight
   */
  scrollTarget(top, viewHeight) {
    const wanted = this.outline.place(this.wanted);
    this.wanted = null;
    if (wanted >= 0) return towards(wanted, top, viewHeight);
    if (!this.outline.following) return top;
    const place = this.followedPlace();
    if (place < 0) return top;
    const target = inView(place, top, viewHeight);
    const isFar = Math.abs(target - top) > 4 * ROW_HEIGHT;
    if (isFar && Date.now() - this.lastJump < FOLLOW_PAUSE) return top;
    if (isFar) this.lastJump = Date.now();
    return target;
  }

  /** The place of the row that last became active, or of the scope that it is folded into. */
  followedPlace() {
    for (let row = this.store.rows.lastActive; row; row = row.parent) {
      const place = this.outline.place(row.index);
      if (place >= 0) return place;
    }
    return -1;
  }

  /** Paper does not scroll. @param {boolean} printing */
  setPrinting(printing) {
    this.printing = printing;
    this.render();
  }

  /** Clocks go on by themselves between two messages. */
  tick() {
    for (const drawn of this.shown.values()) drawn.paintClock(this.store);
  }
}

/**
 * @param {number} place
 * @param {number} top
 * @param {number} viewHeight
 */
function inView(place, top, viewHeight) {
  const start = place * ROW_HEIGHT;
  if (start < top) return start;
  return Math.max(top, start + ROW_HEIGHT - viewHeight);
}

/**
 * Like `inView`, with a row to spare; a row from far off comes to stand in the middle.
 * @param {number} place
 * @param {number} top
 * @param {number} viewHeight
 */
function towards(place, top, viewHeight) {
  const near = inView(place + 1, inView(Math.max(0, place - 1), top, viewHeight), viewHeight);
  if (Math.abs(near - top) <= viewHeight / 2) return near;
  return place * ROW_HEIGHT - (viewHeight - ROW_HEIGHT) / 2;
}

/** Calls back twice a second while the page is looked at. @param {() => void} callback */
export function everyTick(callback) {
  const timer = setInterval(() => {
    if (!document.hidden) callback();
  }, TICK);
  return () => clearInterval(timer);
}

// --- one row -------------------------------------------------------------------------------------------------------

/** The elements of one row. They stay while the row is in view, and only what differs is written. */
class RowElement {
  /** @param {string} id */
  constructor(id) {
    this.fold = h("span", { class: "tnb-chev" });
    this.shape = shape("pending");
    this.icon = h("span", { class: "tnb-i0" });
    this.name = h("span", { class: "tnb-n" });
    this.key = h("code", { class: "tnb-k" });
    this.marks = h("span", { class: "tnb-m" });
    this.countdown = h("span", { class: "tnb-m tnb-m-hot" });
    this.progressBar = h("i");
    this.progress = h("span", { class: "tnb-pb" }, this.progressBar);
    this.progressText = h("span", { class: "tnb-m" });
    this.properties = h("span", { class: "tnb-ps" });
    this.error = h("span", { class: "tnb-e" });
    this.counts = h("span", { class: "tnb-counts" });
    this.took = h("span", { class: "tnb-d" });
    this.cell = h("span", { class: "tnb-cell" });
    const texts = [this.name, this.key, this.counts, this.marks, this.countdown, this.progress, this.progressText];
    this.left = h("span", { class: "tnb-left" }, this.fold, this.shape, this.icon, ...texts, this.properties, this.error);
    this.element = h("div", { class: "tnb-row", role: "treeitem", id }, this.left, this.cell, this.took);
    /** What it was painted from. */
    this.painted = "";
    this.iconPainted = "";
    this.propertiesPainted = "";
    this.countsPainted = "";
    /** @type {import("./store.js").Row | null} */
    this.row = null;
  }

  /**
   * @param {import("./outline.js").Line} line
   * @param {Tree} tree
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
    const isScope = row.children.length > 0;
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
    const [done, total, text] = row.progress ?? [0, null, ""];
    setShown(this.progress, Boolean(row.progress && total));
    if (total) this.progressBar.style.width = `${Math.min(100, Math.max(0, (100 * done) / total)).toFixed(1)}%`;
    const count = row.progress ? amount(done) + (total ? ` of ${amount(total)}` : "") : "";
    part(this.progressText, [count, text].filter(Boolean).join(" · "));
  }

  /** @param {import("./store.js").Row} row */
  paintProperties(row) {
    const painted = row.properties.length ? JSON.stringify(row.properties) : "";
    if (painted === this.propertiesPainted) return;
    this.propertiesPainted = painted;
    setChildren(this.properties, row.properties.map((property) => propertyElement(property, true)));
  }

  /**
   * What is in a folded scope, by state.
   * @param {import("./store.js").Row} row
   * @param {boolean} folded
   */
  paintCounts(row, folded) {
    const states = row.children.length && folded ? STATE_ORDER.filter((state) => row.below[state] > 0) : [];
    const painted = states.map((state) => `${state} ${row.below[state]}`).join();
    if (painted === this.countsPainted) return;
    this.countsPainted = painted;
    const counts = states.map((state) =>
      h("span", { class: "tnb-count", title: `${grouped(row.below[state])} ${state}` }, shape(state), grouped(row.below[state])),
    );
    setChildren(this.counts, counts);
  }

  /** @param {import("./store.js").Store} store */
  paintClock(store) {
    const row = this.row;
    if (!row) return;
    const took = store.took(row);
    setText(this.took, took === null ? "" : row.ticking ? ticking(took) : duration(took));
    const left = row.until === null ? null : remaining(row.until - store.sinceBase());
    part(this.countdown, left === null ? "" : row.state === "retrying" ? `next attempt ${left}` : left);
  }
}

/**
 * A text that takes no room when there is none.
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

/** @param {number} value */
function amount(value) {
  return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}

/**
 * What a screen reader says of a row: its clock is left out, as it would be read anew all the time.
 * @param {import("./store.js").Row} row
 */
function accessibleName(row) {
  const told = [row.state, row.name, row.key, row.level, ...attemptMark(row), ...row.marks, row.error];
  return [...new Set(told)].filter(Boolean).join(", ");
}

/**
 * A property with its label; in a row its link is no stop for the Tab key, the details have it again.
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
