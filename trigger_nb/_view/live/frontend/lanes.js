// The tasks of a run in lanes: tasks that do not overlap share one. Each lane is drawn as a few paths, so ten thousand
// bars are about as many elements as ten.

import { h, setAttribute, setShown, setStyle, setText, stateName, svg } from "./dom.js";
import { plural } from "./format.js";
import { holdersOf, isWaiting, placeOf, spansOf, timeAt, whenText } from "./timescale.js";

/** @typedef {import("./store.js").Row} Row */
/** @typedef {import("./timescale.js").Span} Span */
/** @typedef {import("./timescale.js").TimeScale} TimeScale */
/** A label of a bar that is wide enough for one. @typedef {{ text: string, left: number, width: number }} Label */

const LANE_HEIGHT = 22; // pixels
const OVERLAP = 0.002; // seconds: times are rounded to milliseconds, so a task may seem to start before the previous one ended
const LABELLED = 44; // pixels of the shortest bar with a name
const HIT = 4; // pixels around a bar that count as the bar

/** The top and height of a bar by state, in pixels: states differ not only in colour. */
const HEIGHTS = /** @type {Record<string, [top: number, height: number]>} */ ({
  failed: [1, 20],
  waits: [9, 4],
  canceled: [17, 2],
  unfinished: [6, 10],
  critical: [20, 2],
});
const USUAL = /** @type {const} */ ([3, 16]);

/**
 * The lanes, each in the order of time: a task is in the first one that is free at its start. What runs on keeps its
 * lane, and the lanes before it.
 * @param {Span[]} spans
 * @returns {Span[][]}
 */
export function lanesOf(spans) {
  /** @type {Span[][]} */
  const lanes = [];
  const ends = [];
  for (const span of [...spans].sort((a, b) => a.from - b.from || a.row.index - b.row.index)) {
    let lane = 0;
    while (lane < ends.length && ends[lane] > span.from + OVERLAP) lane += 1;
    (lanes[lane] ??= []).push(span);
    ends[lane] = span.to;
  }
  return lanes;
}

/**
 * The place of the first span in a lane that ends after an instant.
 * @param {Span[]} lane
 * @param {number} time
 */
export function firstAfter(lane, time) {
  let first = 0;
  for (let last = lane.length; first < last; ) {
    const middle = (first + last) >> 1;
    if (lane[middle].to < time) first = middle + 1;
    else last = middle;
  }
  return first;
}

/**
 * One lane as paths: by look, the data of a path. Bars of one look in the same pixels are one, so the length of the
 * data depends on the width and not on the number of tasks.
 * @param {Span[]} lane
 * @param {TimeScale} scale
 * @param {number} width  in pixels
 * @param {(row: Row) => string[]} looksOf
 */
export function pathsOf(lane, scale, width, looksOf) {
  /** @type {Map<string, { data: string, from: number, to: number }>} */
  const paths = new Map();
  /** @type {Label[]} */
  const labels = [];
  const from = timeAt(scale, 0);
  const to = timeAt(scale, 100);
  for (let k = firstAfter(lane, from); k < lane.length && lane[k].from <= to; k++) {
    const span = lane[k];
    const left = (placeOf(scale, span.from) / 100) * width;
    const right = Math.max(left + 2, (placeOf(scale, span.to) / 100) * width - 1);
    if (right - left >= LABELLED) labels.push({ text: span.row.name, left, width: right - left });
    for (const look of looksOf(span.row)) {
      const path = paths.get(look);
      if (path && left - path.to < 0.5) {
        path.to = Math.max(path.to, right);
      } else {
        paths.set(look, { data: (path ? path.data + barData(path.from, path.to, look) : ""), from: left, to: right });
      }
    }
  }
  const data = new Map([...paths].map(([look, { data, from, to }]) => [look, data + barData(from, to, look)]));
  return { data, labels };
}

/**
 * @param {number} left
 * @param {number} right
 * @param {string} look
 */
function barData(left, right, look) {
  const [top, height] = HEIGHTS[look] ?? USUAL;
  return `M${left.toFixed(1)} ${top}H${right.toFixed(1)}v${height}H${left.toFixed(1)}z`;
}

/** Draws the lanes that are seen, and lets pointer and keyboard choose a task. */
export class Lanes {
  /** @param {import("./timeline.js").Timeline} timeline */
  constructor(timeline) {
    this.timeline = timeline;
    /** @type {Span[][]} */
    this.lanes = [];
    /** The version of the filter for which they were made. */
    this.filterVersion = -1;
    this.svg = svg("svg", { class: "tnb-lanes-bars", "aria-hidden": "true" });
    this.names = h("div", { class: "tnb-lanes-names", "aria-hidden": "true" });
    this.chosen = h("div", { class: "tnb-lanes-chosen", role: "option", "aria-selected": "true", id: `${timeline.tree.prefix}lane` });
    this.when = h("span", { class: "tnb-when", "aria-hidden": "true", hidden: true });
    this.track = h("div", { class: "tnb-lanes-track", role: "presentation" }, this.svg, this.names, this.chosen, this.when);
    this.empty = h("div", { class: "tnb-empty", role: "status" }, "No task has started");
    this.element = h(
      "div",
      { class: "tnb-lanes", role: "listbox", tabindex: "0", hidden: true, "aria-label": "Tasks in lanes" },
      this.empty,
      this.track,
    );
    this.listen();
  }

  listen() {
    const { element } = this;
    element.addEventListener("scroll", () => this.draw(), { passive: true });
    element.addEventListener("pointermove", (event) => this.point(event), { passive: true });
    element.addEventListener("pointerleave", () => this.showWhen(null));
    element.addEventListener("click", (event) => this.choose(this.spanAt(event), true));
    element.addEventListener("keydown", (event) => this.pressed(event));
    element.addEventListener("focus", () => {
      // A pointer chooses by its click, which follows.
      if (element.matches(":focus-visible") && !this.placeOfChosen()) this.choose(this.firstShown(), false);
    });
  }

  /** Puts the tasks into lanes: those that pass the filter, and hold no other tasks. */
  measure() {
    const { outline, store } = this.timeline;
    this.filterVersion = outline.filterVersion;
    const spans = spansOf(store.rows.byIndex.values(), store.sinceBase());
    const holders = holdersOf(spans);
    const isShown = (/** @type {Row} */ row) =>
      row.kind !== "log" && !holders.has(row) && (!outline.filtered || outline.passes(row));
    this.lanes = lanesOf(spans.filter(({ row }) => isShown(row)));
    this.track.style.height = `${this.lanes.length * LANE_HEIGHT}px`;
    setShown(this.empty, !this.lanes.length);
    const count = this.lanes.reduce((sum, lane) => sum + lane.length, 0);
    setAttribute(this.element, "aria-label", `${plural(count, "task")} in ${plural(this.lanes.length, "lane")}`);
  }

  // --- drawing ---

  draw() {
    const { element, lanes, timeline } = this;
    if (element.hidden) return;
    const first = Math.max(0, Math.floor(element.scrollTop / LANE_HEIGHT) - 1);
    const last = Math.min(lanes.length, first + Math.ceil(element.clientHeight / LANE_HEIGHT) + 3);
    const { scale, head } = timeline;
    const groups = [];
    const names = [];
    for (let nth = first; nth < last; nth++) {
      const { data, labels } = pathsOf(lanes[nth], scale, head.width, (row) => this.looksOf(row));
      const paths = [...data].map(([look, d]) => svg("path", { class: `tnb-lane-${look}`, d }));
      groups.push(svg("g", { transform: `translate(0 ${nth * LANE_HEIGHT})` }, ...paths));
      for (const { text, left, width } of labels) {
        const name = h("span", {}, text);
        name.style.cssText = `left:${left.toFixed(1)}px;width:${width.toFixed(1)}px;top:${nth * LANE_HEIGHT}px`;
        names.push(name);
      }
    }
    this.svg.replaceChildren(...groups);
    this.names.replaceChildren(...names);
    this.drawChosen();
  }

  /** @param {Row} row */
  looksOf(row) {
    const state = isWaiting(row) ? "waits" : stateName(row.state);
    const look = row.replayed ? `${state}-old` : state;
    return this.timeline.path.rows.has(row.index) ? [look, "critical"] : [look];
  }

  drawChosen() {
    const at = this.placeOfChosen();
    setShown(this.chosen, at !== null);
    setAttribute(this.element, "aria-activedescendant", at ? this.chosen.id : null);
    if (!at) return;
    const { row } = at.span;
    const { scale } = this.timeline;
    this.put(this.chosen, at.span, at.lane);
    setAttribute(this.chosen, "aria-label", [row.state, row.name, row.key, whenText(at.span, scale.origin), row.error].filter(Boolean).join(", "));
    setAttribute(this.chosen, "aria-posinset", at.place + 1);
    setAttribute(this.chosen, "aria-setsize", this.lanes[at.lane].length);
  }

  /**
   * Puts an element over a bar.
   * @param {HTMLElement} element
   * @param {Span} span
   * @param {number} lane
   */
  put(element, span, lane) {
    const { scale } = this.timeline;
    const left = placeOf(scale, span.from);
    setStyle(element, "left", `min(${left.toFixed(2)}%, 100% - 3px)`);
    setStyle(element, "width", `${(placeOf(scale, span.to) - left).toFixed(2)}%`);
    setStyle(element, "top", `${lane * LANE_HEIGHT}px`);
  }

  // --- pointer and keys ---

  /**
   * The span under the pointer.
   * @param {MouseEvent} event
   * @returns {Span | null}
   */
  spanAt({ clientX, clientY }) {
    const box = this.track.getBoundingClientRect();
    const lane = this.lanes[Math.floor((clientY - box.top) / LANE_HEIGHT)];
    if (!lane) return null;
    const { scale } = this.timeline;
    const at = (/** @type {number} */ x) => timeAt(scale, (x / Math.max(1, box.width)) * 100);
    const x = clientX - box.left;
    const nearest = lane[firstAfter(lane, at(x))];
    if (nearest && nearest.from <= at(x)) return nearest;
    const near = lane[firstAfter(lane, at(x - HIT))];
    return near && near.from <= at(x + HIT) ? near : null;
  }

  /** @param {PointerEvent} event */
  point(event) {
    this.showWhen(this.spanAt(event), event);
  }

  /**
   * Shows name, start and duration of the task under the pointer.
   * @param {Span | null} span
   * @param {MouseEvent} [event]
   */
  showWhen(span, event) {
    setShown(this.when, span !== null);
    if (!span || !event) return;
    const box = this.track.getBoundingClientRect();
    const x = event.clientX - box.left;
    const isRight = x > box.width / 2;
    setText(this.when, `${span.row.name}: ${whenText(span, this.timeline.scale.origin)}`);
    setAttribute(this.when, "class", isRight ? "tnb-when tnb-when-before" : "tnb-when");
    setStyle(this.when, "--at", `${isRight ? box.width - x + 6 : x + 6}px`);
    const lane = Math.floor((event.clientY - box.top) / LANE_HEIGHT);
    setStyle(this.when, "top", `${(lane > 0 ? lane - 1 : lane + 1) * LANE_HEIGHT + 2}px`);
  }

  firstShown() {
    const from = timeAt(this.timeline.scale, 0);
    return this.lanes.map((lane) => lane[firstAfter(lane, from)]).find(Boolean) ?? null;
  }

  /** The lane and the place in it of the chosen row. */
  placeOfChosen() {
    const { active } = this.timeline.outline;
    if (active === null) return null;
    for (const [lane, spans] of this.lanes.entries()) {
      const place = spans.findIndex(({ row }) => row.index === active);
      if (place >= 0) return { lane, place, span: spans[place] };
    }
    return null;
  }

  /**
   * @param {Span | null} span
   * @param {boolean} detailed  whether to show its details
   */
  choose(span, detailed) {
    if (!span) return;
    const { outline, store } = this.timeline;
    outline.following = false;
    outline.active = span.row.index;
    outline.detailed ||= detailed;
    store.notify();
    this.drawChosen();
    this.bringIntoView(span);
  }

  /** @param {Span} span */
  bringIntoView(span) {
    const { element } = this;
    const at = this.placeOfChosen();
    if (at) {
      const top = at.lane * LANE_HEIGHT;
      element.scrollTop = Math.min(top, Math.max(element.scrollTop, top + LANE_HEIGHT - element.clientHeight));
    }
    this.timeline.bringIntoView(span);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const at = this.placeOfChosen();
    const { outline, store } = this.timeline;
    if (event.key === "Escape" && outline.detailed) {
      outline.detailed = false;
      store.notify();
    } else if (at && (event.key === "Enter" || event.key === " ")) {
      this.choose(at.span, true);
    } else {
      const next = at ? this.next(event.key, at) : event.key.startsWith("Arrow") ? this.firstShown() : undefined;
      if (next === undefined) return;
      this.choose(next, false);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * The task that a key chooses; null if there is none in that direction, undefined for other keys.
   * @param {string} key
   * @param {{ lane: number, place: number, span: Span }} at
   */
  next(key, { lane, place, span }) {
    const spans = this.lanes[lane];
    const beside = (/** @type {Span[] | undefined} */ other) =>
      other ? (other[Math.min(other.length - 1, firstAfter(other, (span.from + span.to) / 2))] ?? null) : null;
    /** @type {Record<string, Span | null>} */
    const places = {
      ArrowRight: spans[place + 1] ?? null,
      ArrowLeft: spans[place - 1] ?? null,
      ArrowDown: beside(this.lanes[lane + 1]),
      ArrowUp: beside(this.lanes[lane - 1]),
      Home: spans[0],
      End: spans[spans.length - 1],
    };
    return places[key];
  }
}
