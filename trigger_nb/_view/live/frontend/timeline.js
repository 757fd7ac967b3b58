// The rows as bars over time, with the critical path.

import { duration, plural, ticking } from "./format.js";
import { h, setAttribute, setChildren, setShown, setText, stateName } from "./dom.js";
import { holdersOf, isOneOfMany, isWaiting, placeOf, spanOf, spansOf, ticksOf, timeScale } from "./timescale.js";

/** @typedef {import("./store.js").Row} Row */
/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./timescale.js").Span} Span */
/** @typedef {import("./timescale.js").Tick} Tick */
/** @typedef {import("./timescale.js").TimeScale} TimeScale */
/**
 * `rows`: the indices of all rows on the path, including scopes; `leaves`: the parts of the path in the order of
 * time, each for the time in which it determined the duration of the run; `seconds`: their sum; `from` and `to`: the
 * time span of all rows.
 * @typedef {{ rows: Set<number>, leaves: Span[], seconds: number, from: number, to: number }} CriticalPath
 */

// --- the critical path ---------------------------------------------------------------------------------------------

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

// --- shared by all views of a run ----------------------------------------------------------------------------------

const REFRESH_EVERY = 500; // ms: minimum time between two computations of scale and path
const FASTEST_STEP = 50; // ms between two steps of a growing bar
const TICK_WIDTH = 64; // pixels for one tick

/** @type {WeakMap<Store, Timeline>} */
const timelines = new WeakMap();

/** @param {Store} store */
function timelineOf(store) {
  let timeline = timelines.get(store);
  if (!timeline) timelines.set(store, (timeline = new Timeline(store)));
  return timeline;
}

/** The scale and the critical path of a run, and the bars and axes drawn from them. */
class Timeline {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    /** @type {Set<TimelineAxis>} */
    this.axes = new Set();
    /** @type {Map<HTMLElement, Row>} */
    this.bars = new Map();
    /** @type {number | undefined} */
    this.timer = undefined;
    this.stopListening = () => {};
    this.version = -1;
    this.refreshedAt = -Infinity;
    this.scale = timeScale([], 0);
    this.path = criticalPath([], 0);
    this.measure();
  }

  /** @param {TimelineAxis} axis */
  add(axis) {
    if (!this.axes.size) this.stopListening = this.store.subscribe(() => this.changed());
    this.axes.add(axis);
    this.changed();
    axis.draw();
  }

  /** @param {TimelineAxis} axis */
  remove(axis) {
    if (!this.axes.delete(axis) || this.axes.size) return;
    this.stopListening();
    clearTimeout(this.timer);
    this.timer = undefined;
    this.bars.clear();
  }

  /** Whether bars grow with time. */
  get moves() {
    return this.store.header.ticking && this.store.channel.live();
  }

  /** Redraws if necessary, and schedules the next call. */
  changed() {
    const waits = this.moves || this.version !== this.store.version;
    if (waits && this.refreshIn() <= 0) this.refresh();
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
    const width = Math.max(1, ...[...this.axes].map((axis) => axis.width));
    return Math.max(FASTEST_STEP, (this.scale.full / width) * 1000);
  }

  refresh() {
    this.measure();
    // A view, with its bars, may be out of the page for a moment.
    const isShown = [...this.axes].some((axis) => axis.element.isConnected);
    for (const [cell, row] of this.bars) {
      if (cell.isConnected ? cell.hasChildNodes() : !isShown) this.paint(cell, row);
      else this.bars.delete(cell);
    }
    this.drawAxes();
  }

  drawAxes() {
    for (const axis of this.axes) axis.draw();
  }

  measure() {
    const { header, rows, version } = this.store;
    const now = this.store.sinceBase();
    const origin = header.started === null ? 0 : header.started - header.base;
    this.scale = timeScale(spansOf(rows.byIndex.values(), now), origin, header.ticking, this.scale);
    this.path = criticalPath(rows.byIndex.values(), now);
    this.version = version;
    this.refreshedAt = Date.now();
  }

  grow() {
    for (const [cell, row] of this.bars) if (row.ticking && cell.hasChildNodes()) this.paint(cell, row);
  }

  /**
   * @param {HTMLElement} cell
   * @param {Row} row
   */
  paint(cell, row) {
    // Axes are aligned with the first bar.
    if (!this.bars.size) requestAnimationFrame(() => this.drawAxes());
    this.bars.set(cell, row);
    const bar = /** @type {HTMLElement} */ (cell.firstElementChild ?? cell.appendChild(h("i")));
    const label = /** @type {HTMLElement} */ (bar.nextElementSibling ?? cell.appendChild(h("span", { class: "tnb-when" })));
    const span = spanOf(row, this.store.sinceBase());
    setShown(bar, span !== null);
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
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 * @param {string} value
 */
function setStyle(element, name, value) {
  if (element.style.getPropertyValue(name) !== value) element.style.setProperty(name, value);
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

/**
 * The label of a bar: start and duration.
 * @param {Span} span
 * @param {number} origin
 */
function whenText({ row, from, to }, origin) {
  const began = from - origin < 0.0005 ? "at 0" : `at ${duration(from - origin)}`;
  if (row.kind === "log") return began;
  if (row.ticking) return `${began}, for ${ticking(to - from)} so far`;
  return row.duration === null ? `${began}, stopped` : `${began}, took ${duration(to - from)}`;
}

/**
 * Draws the bar of a row into its cell.
 * @param {HTMLElement} cell
 * @param {Row} row
 * @param {Store} store
 */
export function paintBar(cell, row, store) {
  timelineOf(store).paint(cell, row);
}

/** @param {HTMLElement} cell */
export function hideBar(cell) {
  if (cell.firstElementChild) cell.replaceChildren();
}

// --- the axis ------------------------------------------------------------------------------------------------------

const LETTER_WIDTH = 6.5; // pixels, about

/**
 * Shows ticks and the length of the critical path above the rows.
 * @param {HTMLElement} element
 * @param {Store} store
 * @returns {() => void}  removes the axis
 */
export function mountTimelineAxis(element, store) {
  const axis = new TimelineAxis(element, timelineOf(store));
  return () => axis.close();
}

class TimelineAxis {
  /**
   * @param {HTMLElement} element
   * @param {Timeline} timeline
   */
  constructor(element, timeline) {
    this.element = element;
    this.timeline = timeline;
    this.width = 0;
    this.drawn = "";
    /** The cell of a bar with which the ticks are aligned. @type {HTMLElement | null} */
    this.cell = null;
    this.says = h("span", { class: "tnb-axis-says" });
    this.ticks = h("span", { class: "tnb-axis-ticks", "aria-hidden": "true" });
    element.classList.add("tnb-axis");
    element.append(this.says, this.ticks);
    this.sizes = new ResizeObserver(() => {
      this.align();
      this.draw();
    });
    this.sizes.observe(element);
    timeline.add(this);
  }

  close() {
    this.sizes.disconnect();
    this.timeline.remove(this);
    this.element.replaceChildren();
  }

  draw() {
    if (!this.cell?.hasChildNodes() || !this.cell.isConnected) this.findCell();
    const { path, scale, store } = this.timeline;
    setText(this.says, pathText(path, scale, store.header.ticking));
    setAttribute(this.says, "title", this.says.textContent);
    const drawn = JSON.stringify([scale, this.width]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const ticks = ticksOf(scale, this.width / TICK_WIDTH);
    setChildren(this.ticks, withRoom(ticks, this.width).map(tickElement));
    this.view()?.style.setProperty("--tnb-grid", gridOf(ticks, scale));
  }

  /** The view that contains the axis. */
  view() {
    return /** @type {HTMLElement | null} */ (this.element.closest(".tnb"));
  }

  findCell() {
    if (this.cell) this.sizes.unobserve(this.cell);
    this.cell = [...this.timeline.bars.keys()].find((cell) => cell.isConnected && this.view()?.contains(cell)) ?? null;
    if (this.cell) this.sizes.observe(this.cell);
  }

  /** Aligns the ticks with the bars, whose place depends on the layout and the scroll bar of the list. */
  align() {
    if (!this.cell) return;
    const place = this.cell.getBoundingClientRect();
    if (!place.width) return;
    this.width = place.width;
    setStyle(this.ticks, "left", `${(place.left - this.element.getBoundingClientRect().left).toFixed(1)}px`);
    setStyle(this.ticks, "width", `${place.width.toFixed(1)}px`);
  }
}

/**
 * The text about the critical path: `critical path: 5 tasks, 12 s of 14 s`.
 * @param {CriticalPath} path
 * @param {TimeScale} scale
 * @param {boolean} isTicking
 */
function pathText(path, scale, isTicking) {
  if (!path.leaves.length) return "";
  let whole = path.to - path.from;
  // The time between two passes does not count.
  for (const { from, to, waited } of scale.gaps) if (!waited && from >= path.from && to <= path.to) whole -= to - from;
  const words = isTicking ? ticking : duration;
  return `critical path: ${plural(path.leaves.length, "task")}, ${words(path.seconds)} of ${words(whole)}`;
}

/**
 * The ticks whose texts do not touch; the marks of gaps have priority.
 * @param {Tick[]} ticks
 * @param {number} width
 */
function withRoom(ticks, width) {
  /** @type {Tick[]} */
  const placed = [];
  for (const tick of [...ticks].sort((a, b) => Number(b.gap) - Number(a.gap))) {
    const touches = placed.some(
      (other) => (Math.abs(other.at - tick.at) / 100) * width < ((other.text.length + tick.text.length) / 2 + 2) * LETTER_WIDTH,
    );
    if (!touches) placed.push(tick);
  }
  return placed.sort((a, b) => a.at - b.at);
}

/** @param {Tick} tick */
function tickElement({ at, text, gap }) {
  const title = gap ? `${text} without work, drawn shortened` : null;
  const tick = h("span", { class: gap ? "tnb-tick tnb-tick-gap" : "tnb-tick", title }, text);
  tick.style.left = `${at.toFixed(2)}%`;
  // Keep the first and the last tick within the axis.
  tick.style.transform = `translateX(-${at < 3 ? 0 : at > 97 ? 100 : 50}%)`;
  return tick;
}

/**
 * The grid lines behind the bars as a CSS background, which needs no elements.
 * @param {Tick[]} ticks
 * @param {TimeScale} scale
 */
function gridOf(ticks, { places, full }) {
  const lines = ticks
    .filter((tick) => !tick.gap)
    .map(({ at }) => `linear-gradient(var(--line) 0 0) ${at.toFixed(2)}% 0 / 1px 100% no-repeat`);
  for (let knot = 1; knot < places.length; knot += 2) {
    const width = ((places[knot + 1] - places[knot]) / full) * 100;
    const at = ((places[knot] / full) * 100 * 100) / (100 - width);
    lines.push(`var(--tnb-gap) ${at.toFixed(2)}% 0 / ${width.toFixed(2)}% 100% no-repeat`);
  }
  return lines.join(", ") || "none";
}
