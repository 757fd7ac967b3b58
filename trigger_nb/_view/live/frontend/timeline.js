// The timeline of one view: the rows as bars over time, or the tasks in lanes, in a scale that can be zoomed.

import { criticalPath } from "./criticalpath.js";
import { duration } from "./format.js";
import { h, setAttribute, setShown, setStyle, setText, stateName } from "./dom.js";
import { Lanes } from "./lanes.js";
import { guarded } from "./store.js";
import { TimelineHead } from "./timelinehead.js";
import { fitted, instantText, isShortest, isShown, isWaiting, partOf, placeOf, spanOf, spansOf, timeScale, whenText } from "./timescale.js";

/** @typedef {import("./store.js").Row} Row */
/** @typedef {import("./timescale.js").Span} Span */

const REFRESH_EVERY = 500; // ms: minimum time between two computations of scale and path
const FASTEST_STEP = 50; // ms between two steps of a growing bar
const ZOOM = 2; // by a key or a button
const PAN = 0.25; // of the shown time, by a key
const NOTCH = 100; // pixels of a wheel's notch; more at once count as one
const LINE = 16; // pixels of a line, in which some browsers tell what a wheel does

/** Zoom, order and layout of the timeline, and what is drawn of it. */
export class Timeline {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./outline.js").Outline} outline
   * @param {import("./tree.js").Tree} tree
   */
  constructor(store, outline, tree) {
    this.store = store;
    this.outline = outline;
    this.tree = tree;
    /** While the timeline is open. */
    this.opened = new AbortController();
    this.opened.abort();
    /** @type {number | undefined} */
    this.timer = undefined;
    this.frame = 0;
    this.version = -1;
    this.refreshedAt = -Infinity;
    this.longestFirst = false;
    this.inLanes = false;
    /** The part of the time that is shown. @type {import("./timescale.js").Part} */
    this.part = null;
    this.whole = timeScale([], 0);
    this.scale = this.whole;
    this.path = criticalPath([], 0);
    this.lanes = new Lanes(this);
    this.head = new TimelineHead(this);
  }

  get isOpen() {
    return !this.opened.signal.aborted;
  }

  open() {
    if (this.isOpen) return;
    this.opened = new AbortController();
    const { signal } = this.opened;
    signal.addEventListener("abort", this.store.subscribe(() => guarded(() => this.changed())));
    this.listen(this.tree.element, signal);
    this.measure();
    setShown(this.head.element, true);
    this.head.watch(signal);
    this.tree.setTimeline(this);
    this.setLanes(this.inLanes);
    this.setLongestFirst(this.longestFirst);
    this.changed();
  }

  close() {
    if (!this.isOpen) return;
    this.opened.abort();
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.timer = undefined;
    this.frame = 0;
    setShown(this.head.element, false);
    setShown(this.lanes.element, false);
    this.tree.element.classList.remove("tnb-replaced");
    this.tree.setTimeline(null);
    this.outline.setLongestFirst(false);
  }

  /** @param {HTMLElement} element */
  listen(element, signal = /** @type {AbortSignal | undefined} */ (undefined)) {
    // Before the keys of the tree, which takes each letter for the beginning of a name.
    element.addEventListener("keydown", (event) => this.pressed(event), { capture: true, signal });
    element.addEventListener("wheel", (event) => this.wheeled(event), { passive: false, signal });
    element.addEventListener("dblclick", (event) => this.doubleClicked(event), { capture: true, signal });
  }

  // --- what is shown ---

  /** @param {boolean} on */
  setLongestFirst(on) {
    this.longestFirst = on;
    this.outline.setLongestFirst(on && !this.inLanes);
    this.redraw();
  }

  /** @param {boolean} on  whether tasks that do not overlap share a row */
  setLanes(on) {
    this.inLanes = on;
    this.outline.setLongestFirst(this.longestFirst && !on);
    setShown(this.lanes.element, on);
    this.tree.element.classList.toggle("tnb-replaced", on);
    if (on) this.lanes.measure();
    this.head.align();
    this.redraw();
  }

  /**
   * Shows a part of the time.
   * @param {number} start  its place on the whole scale
   * @param {number} full  its width
   */
  show(start, full) {
    this.part = fitted(this.whole, start, full);
    this.lanes.showWhen(null);
    this.redraw();
  }

  showAll() {
    this.part = null;
    this.redraw();
  }

  /**
   * @param {number} factor
   * @param {number} [place]  that stays where it is, in percent of the width
   */
  zoom(factor, place = 50) {
    const { start, full } = this.scale;
    if (factor > 1 && isShortest(this.scale)) return;
    this.show(start + ((full * place) / 100) * (1 - 1 / factor), full / factor);
  }

  /** @param {number} share  of the shown time */
  pan(share) {
    const { start, full } = this.scale;
    if (this.part) this.show(start + share * full, full);
  }

  /**
   * Shows the time between two places, which are in percent of the width.
   * @param {number} from
   * @param {number} to
   */
  brush(from, to) {
    const { start, full } = this.scale;
    this.show(start + (full * from) / 100, (full * (to - from)) / 100);
  }

  /** Shows the time of the chosen row, with a margin on both sides. */
  fitRow() {
    const row = this.outline.activeRow();
    const span = row && spanOf(row, this.store.sinceBase());
    if (!span) return;
    const [from, to] = [placeOf(this.whole, span.from), placeOf(this.whole, span.to)];
    const margin = Math.max((to - from) * 0.05, 0.02);
    this.part = null;
    this.scale = this.whole;
    this.brush(from - margin, to + margin);
  }

  /** Why the time of a row cannot be shown; "" if it can. */
  whyNoFit() {
    const row = this.outline.activeRow();
    if (!row) return "Choose a row first.";
    return spanOf(row, 0) ? "" : "The chosen row has not started.";
  }

  /** Moves a span into the part that is shown. @param {Span} span */
  bringIntoView(span) {
    if (isShown(this.scale, span)) return;
    const middle = (placeOf(this.whole, span.from) + placeOf(this.whole, span.to)) / 2;
    this.show((this.whole.full * middle) / 100 - this.scale.full / 2, this.scale.full);
  }

  // --- keys and pointer ---

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.act(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** @param {KeyboardEvent} event */
  act({ key, shiftKey }) {
    if (key === "+" || key === "=") this.zoom(ZOOM);
    else if (key === "-" || key === "_") this.zoom(1 / ZOOM);
    else if (!this.part) return false;
    else if (key === "0" || (key === "Escape" && !this.outline.detailed && !this.head.brushed)) this.showAll();
    else if (shiftKey && key === "ArrowLeft") this.pan(-PAN);
    else if (shiftKey && key === "ArrowRight") this.pan(PAN);
    else return false;
    return true;
  }

  /** @param {WheelEvent} event */
  wheeled(event) {
    const unit = event.deltaMode ? LINE : 1;
    const along = (event.shiftKey ? event.deltaX || event.deltaY : event.deltaX) * unit;
    if (event.ctrlKey || event.metaKey) {
      const turned = Math.max(-NOTCH, Math.min(NOTCH, event.deltaY * unit));
      this.zoom(Math.exp(-turned / 250), this.head.placeAt(event.clientX));
    } else if (this.part && Math.abs(along) > (event.shiftKey ? 0 : Math.abs(event.deltaY * unit))) {
      this.pan(along / this.head.width);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** @param {MouseEvent} event */
  doubleClicked(event) {
    const isOnBars = /** @type {Element} */ (event.target).closest(".tnb-cell, .tnb-axis, .tnb-lanes");
    if (!this.part || !isOnBars) return;
    this.showAll();
    event.stopImmediatePropagation();
  }

  // --- drawing ---

  /** The element that the keyboard controls. */
  list() {
    return this.isOpen && this.inLanes ? this.lanes.element : this.tree.element;
  }

  /** The element over whose width the time is drawn; none before there is a row. */
  track() {
    if (this.inLanes) return this.lanes.track;
    for (const { cell } of this.tree.shown.values()) return cell;
    return null;
  }

  /** Whether bars grow with time. */
  get moves() {
    return this.store.header.ticking && this.store.channel.live();
  }

  /** Redraws if necessary, and schedules the next call. */
  changed() {
    const waits = this.moves || this.version !== this.store.version;
    if (waits && this.refreshIn() <= 0) this.refresh();
    else if (this.inLanes && this.lanes.filterVersion !== this.outline.filterVersion) this.setLanes(true);
    this.head.render(); // the chosen row may have changed
    if (this.timer !== undefined || !waits) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.refreshIn() > 0) this.grow();
      this.changed();
    }, this.moves ? Math.min(this.stepTime(), this.refreshIn()) : this.refreshIn());
  }

  /** Milliseconds until the next refresh. */
  refreshIn() {
    return this.refreshedAt + REFRESH_EVERY - Date.now();
  }

  /** Milliseconds in which a bar grows by one pixel. */
  stepTime() {
    return Math.max(FASTEST_STEP, (this.scale.full / Math.max(1, this.head.width)) * 1000);
  }

  refresh() {
    this.measure();
    if (this.inLanes) this.lanes.measure();
    this.draw();
  }

  measure() {
    const { header, rows, version } = this.store;
    const now = this.store.sinceBase();
    const origin = header.started === null ? 0 : header.started - header.base;
    this.whole = timeScale(spansOf(rows.byIndex.values(), now), origin, header.ticking, this.whole);
    this.path = criticalPath(rows.byIndex.values(), now);
    this.version = version;
    this.refreshedAt = Date.now();
  }

  /** Draws in the next frame: a wheel turns faster than that. */
  redraw() {
    this.scale = partOf(this.whole, this.part);
    if (!this.isOpen || this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      guarded(() => this.draw());
    });
  }

  draw() {
    this.scale = partOf(this.whole, this.part);
    this.head.render();
    if (this.inLanes) this.lanes.draw();
    else for (const { cell, row } of this.tree.shown.values()) if (row) this.paint(cell, row);
  }

  grow() {
    if (this.inLanes) return;
    for (const { cell, row } of this.tree.shown.values()) if (row?.ticking) this.paint(cell, row);
  }

  /**
   * Draws the bar of a row into its cell.
   * @param {HTMLElement} cell
   * @param {Row} row
   */
  paint(cell, row) {
    if (this.inLanes) return;
    const bar = /** @type {HTMLElement} */ (cell.firstElementChild ?? cell.appendChild(h("i")));
    const label = /** @type {HTMLElement} */ (bar.nextElementSibling ?? cell.appendChild(h("span", { class: "tnb-when" })));
    const span = spanOf(row, this.store.sinceBase());
    setShown(bar, span !== null && isShown(this.scale, span));
    setShown(label, span !== null);
    if (!span) return;
    const left = placeOf(this.scale, span.from);
    const right = placeOf(this.scale, span.to);
    setStyle(bar, "left", `min(${left.toFixed(2)}%, 100% - 3px)`);
    setStyle(bar, "width", `${(right - left).toFixed(2)}%`);
    setAttribute(bar, "class", this.look(row));
    setText(label, whenText(span, this.scale.origin));
    const [side, at] = placeBeside(left, right);
    setAttribute(label, "class", side);
    setStyle(label, "--at", `${at.toFixed(2)}%`);
  }

  /** @param {Row} row */
  look(row) {
    const onPath = this.path.rows.has(row.index);
    const names = [
      "tnb-span",
      `tnb-span-${stateName(row.state)}`,
      row.kind === "log" && "tnb-span-log",
      row.children.length > 0 && "tnb-span-scope",
      isWaiting(row) && "tnb-span-waits",
      row.attempt > 1 && "tnb-span-again",
      row.replayed && "tnb-span-old",
      onPath && "tnb-span-critical",
      !onPath && row.state !== "failed" && this.path.leaves.length > 0 && "tnb-span-aside",
    ];
    return names.filter(Boolean).join(" ");
  }

  /** What is shown of the time, in words. */
  partText() {
    if (!this.part) return "whole run";
    const { from, to } = this.part;
    const since = (/** @type {number} */ time) => instantText(time - this.whole.origin);
    return `${since(from)} to ${since(to)} (${duration(to - from)})`;
  }
}

const ROOM = 35; // percent of the width

/**
 * The place of a bar's label: on the side with more space, or over the end of the bar if there is no space.
 * @param {number} left
 * @param {number} right
 * @returns {[classes: string, at: number]}
 */
function placeBeside(left, right) {
  if (Math.max(left, 100 - right) < ROOM) return ["tnb-when tnb-when-before", 100 - right];
  return left > 100 - right ? ["tnb-when tnb-when-before", 100 - left] : ["tnb-when", right];
}
