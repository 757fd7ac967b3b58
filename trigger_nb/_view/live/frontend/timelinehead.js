// The tools and the axis above the timeline.

import { Button } from "./button.js";
import { duration, plural, ticking } from "./format.js";
import { h, setAttribute, setChildren, setShown, setText } from "./dom.js";
import { isShortest, placeOf, ticksOf } from "./timescale.js";

/** @typedef {import("./timescale.js").Tick} Tick */
/** @typedef {import("./timescale.js").TimeScale} TimeScale */

const TICK_WIDTH = 64; // pixels for one tick
const LETTER_WIDTH = 6.5; // pixels, about
const DRAGGED = 4; // pixels: a shorter movement is no brush
const ALL_SHOWN = "The whole run is shown.";

/** Tools for zoom, order and layout; and the axis: its ticks, the part that is shown, a brush to choose another. */
export class TimelineHead {
  /** @param {import("./timeline.js").Timeline} timeline */
  constructor(timeline) {
    this.timeline = timeline;
    /** The width of the bars, in pixels, and their left end on the screen. */
    this.width = 0;
    this.left = 0;
    this.drawn = "";
    /** The ends of a brush, in percent of the width. @type {[from: number, to: number] | null} */
    this.brushed = null;

    this.says = h("span", { class: "tnb-axis-says" });
    this.part = h("span", { class: "tnb-axis-part", role: "status" });
    this.out = tool("−", "Zoom out", "-", () => timeline.zoom(1 / 2));
    this.in = tool("+", "Zoom in", "+", () => timeline.zoom(2));
    this.fit = tool("Fit row", "Show the time of the chosen row", "", () => timeline.fitRow());
    this.all = tool("All", "Show the whole run", "0", () => timeline.showAll());
    this.byStart = tool("Start", "Order by start", "", () => timeline.setLongestFirst(false));
    this.byLength = tool("Longest", "Longest first", "", () => timeline.setLongestFirst(true));
    this.inRows = tool("Rows", "One row for each task", "", () => timeline.setLanes(false));
    this.inLanes = tool("Lanes", "Tasks that do not overlap share a row", "", () => timeline.setLanes(true));
    const tools = [
      group("Zoom", this.out, this.in, this.fit, this.all),
      group("Order", this.byStart, this.byLength),
      group("Layout", this.inRows, this.inLanes),
    ];
    this.ticks = h("span", { class: "tnb-axis-ticks", "aria-hidden": "true" });
    this.thumb = h("i", { class: "tnb-axis-thumb", "aria-hidden": "true" });
    this.brush = h("i", { class: "tnb-axis-brush", "aria-hidden": "true", hidden: true });
    this.axis = h(
      "div",
      {
        ...{ class: "tnb-axis", role: "slider", tabindex: "0", "aria-label": "Time shown", "aria-orientation": "horizontal" },
        ...{ "aria-valuemin": 0, "aria-valuemax": 100 },
        title: "Drag to zoom in. Ctrl and the wheel zoom, Shift and the wheel move. Keys: + - 0, arrows.",
      },
      this.ticks,
      h("span", { class: "tnb-axis-track" }, this.thumb, this.brush),
    );
    const bar = h("div", { class: "tnb-time-bar" }, this.says, this.part, ...tools);
    this.element = h("div", { class: "tnb-time", hidden: true }, bar, this.axis);
    this.listen();
  }

  listen() {
    const { axis, timeline } = this;
    axis.addEventListener("keydown", (event) => this.pressed(event));
    timeline.listen(axis);
    timeline.listen(timeline.lanes.element);
    axis.addEventListener("pointerdown", (event) => this.beginBrush(event));
    axis.addEventListener("pointermove", (event) => this.moveBrush(event));
    axis.addEventListener("pointerup", () => this.endBrush());
    axis.addEventListener("pointercancel", () => this.setBrush(null));
  }

  /** Keeps the ticks aligned with the bars, whose place depends on the layout and the scroll bar of the list. @param {AbortSignal} signal */
  watch(signal) {
    const sizes = new ResizeObserver(() => this.align());
    for (const element of [this.axis, this.timeline.tree.window, this.timeline.lanes.track]) sizes.observe(element);
    signal.addEventListener("abort", () => sizes.disconnect());
  }

  // --- keys and pointer ---

  /** Keys that only the axis has, because the tree uses them for its rows. @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { timeline } = this;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => timeline.pan(-1 / 4),
      ArrowRight: () => timeline.pan(1 / 4),
      PageUp: () => timeline.pan(-1),
      PageDown: () => timeline.pan(1),
      Home: () => timeline.pan(-1e9),
      End: () => timeline.pan(1e9),
      ArrowUp: () => timeline.zoom(2),
      ArrowDown: () => timeline.zoom(1 / 2),
      f: () => timeline.fitRow(),
    };
    // As in other viewers of traces.
    Object.assign(keys, { w: keys.ArrowUp, s: keys.ArrowDown, a: keys.ArrowLeft, d: keys.ArrowRight });
    if (event.key === "Escape" && this.brushed) this.setBrush(null);
    else if (Object.hasOwn(keys, event.key)) keys[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** The place under the pointer, in percent of the width. @param {number} x */
  placeAt(x) {
    const left = this.axis.getBoundingClientRect().left + this.left;
    return Math.min(100, Math.max(0, ((x - left) / Math.max(1, this.width)) * 100));
  }

  /** @param {PointerEvent} event */
  beginBrush(event) {
    if (event.button !== 0) return;
    this.axis.setPointerCapture(event.pointerId);
    const place = this.placeAt(event.clientX);
    this.setBrush([place, place]);
  }

  /** @param {PointerEvent} event */
  moveBrush({ clientX }) {
    if (this.brushed) this.setBrush([this.brushed[0], this.placeAt(clientX)]);
  }

  endBrush() {
    const [from, to] = (this.brushed ?? [0, 0]).sort((a, b) => a - b);
    this.setBrush(null);
    if (((to - from) / 100) * this.width >= DRAGGED) this.timeline.brush(from, to);
  }

  /** @param {[from: number, to: number] | null} brushed */
  setBrush(brushed) {
    this.brushed = brushed;
    setShown(this.brush, brushed !== null);
    if (!brushed) return;
    const [from, to] = [...brushed].sort((a, b) => a - b);
    this.brush.style.left = `${from}%`;
    this.brush.style.width = `${to - from}%`;
  }

  // --- drawing ---

  /** Aligns the ticks with the bars. */
  align() {
    const place = this.timeline.track()?.getBoundingClientRect();
    if (!place?.width) return;
    this.width = place.width;
    this.left = place.left - this.axis.getBoundingClientRect().left;
    this.axis.style.setProperty("--left", `${this.left.toFixed(1)}px`);
    this.axis.style.setProperty("--width", `${place.width.toFixed(1)}px`);
    this.timeline.redraw();
  }

  render() {
    const { timeline } = this;
    const { header } = timeline.store;
    setText(this.says, pathText(timeline.path, timeline.whole, header.ticking));
    setAttribute(this.says, "title", this.says.textContent);
    setText(this.part, timeline.partText());
    this.renderTools();
    this.renderAxis();
  }

  renderTools() {
    const { part, scale, longestFirst, inLanes } = this.timeline;
    for (const button of [this.out, this.all]) button.setWhy(part ? "" : ALL_SHOWN);
    this.in.setWhy(isShortest(scale) ? "Nothing is shorter." : "");
    this.fit.setWhy(this.timeline.whyNoFit());
    this.byStart.setPressed(!longestFirst);
    this.byLength.setPressed(longestFirst);
    this.byLength.setWhy(inLanes ? "Lanes are in the order of time." : "");
    this.inRows.setPressed(!inLanes);
    this.inLanes.setPressed(inLanes);
  }

  renderAxis() {
    const { part, scale, whole } = this.timeline;
    const drawn = JSON.stringify([scale, this.width]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const ticks = ticksOf(scale, this.width / TICK_WIDTH);
    setChildren(this.ticks, withRoom(ticks, this.width).map(tickElement));
    const view = /** @type {HTMLElement | null} */ (this.element.closest(".tnb-live"));
    view?.style.setProperty("--tnb-grid", gridOf(ticks, scale));
    const left = (scale.start / whole.full) * 100;
    this.thumb.style.left = `min(${left.toFixed(2)}%, 100% - 6px)`;
    this.thumb.style.width = `${((scale.full / whole.full) * 100).toFixed(2)}%`;
    setShown(this.thumb, part !== null);
    const room = whole.full - scale.full;
    setAttribute(this.axis, "aria-valuenow", room > 0 ? Math.round((100 * scale.start) / room) : 0);
    setAttribute(this.axis, "aria-valuetext", this.timeline.partText());
  }
}

/**
 * @param {string} label
 * @param {string} title  for screen readers and as a tooltip
 * @param {string} key
 * @param {() => void} act
 */
function tool(label, title, key, act) {
  const button = new Button(label, act);
  button.title = key ? `${title} (key ${key})` : title;
  setAttribute(button.element, "title", button.title);
  setAttribute(button.element, "aria-label", title);
  return button;
}

/**
 * @param {string} label
 * @param {...Button} buttons
 */
function group(label, ...buttons) {
  return h("span", { class: "tnb-views", role: "group", "aria-label": label }, ...buttons.map(({ element }) => element));
}

/**
 * The text about the critical path: `critical path: 5 tasks, 12 s of 14 s`.
 * @param {import("./criticalpath.js").CriticalPath} path
 * @param {TimeScale} scale
 * @param {boolean} isTicking
 */
function pathText(path, scale, isTicking) {
  if (!path.leaves.length) return "";
  let whole = path.to - path.from;
  // The time between two passes does not count.
  for (const { from, to, kind } of scale.gaps) if (kind === "idle" && from >= path.from && to <= path.to) whole -= to - from;
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
  const title = gap ? `${text} in which nothing began or ended, drawn shortened` : null;
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
function gridOf(ticks, scale) {
  const lines = ticks
    .filter((tick) => !tick.gap)
    .map(({ at }) => `linear-gradient(var(--line) 0 0) ${at.toFixed(2)}% 0 / 1px 100% no-repeat`);
  for (const gap of scale.gaps) {
    const from = placeOf(scale, gap.from);
    const width = placeOf(scale, gap.to) - from;
    if (width > 0) lines.push(`var(--tnb-gap) ${((100 * from) / Math.max(0.01, 100 - width)).toFixed(2)}% 0 / ${width.toFixed(2)}% 100% no-repeat`);
  }
  return lines.join(", ") || "none";
}
