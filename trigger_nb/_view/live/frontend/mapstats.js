// Small charts on the row of a map: how long its items take, and how many end in a time.

import { duration, grouped } from "./format.js";
import { h, setAttribute, setShown, svg } from "./dom.js";

/** @typedef {import("./rows.js").Spread} Spread */
/** @typedef {import("./rows.js").Ended} Ended */

const WIDTH = 56; // pixels, the same as in maps.css
const HEIGHT = 16;
const MOST_SLICES = 40; // of the rate

/** The charts by the element of their row; few rows are maps. @type {WeakMap<Element, MapCharts>} */
const chartsOf = new WeakMap();

/**
 * Draws the charts of a map into the element of its row; other rows have none.
 * @param {Element} element
 * @param {import("./store.js").Row} row
 * @param {import("./store.js").Store} store
 */
export function paintCharts(element, row, store) {
  let charts = chartsOf.get(element);
  if (!charts && row.spread) {
    chartsOf.set(element, (charts = new MapCharts()));
    element.append(charts.element);
  }
  charts?.paint(row, store);
}

/** The charts of one row. */
class MapCharts {
  constructor() {
    this.durations = svg("path");
    this.rate = svg("path");
    this.durationsBox = chart("tnb-chart-durations", this.durations);
    this.rateBox = chart("tnb-chart-rate", this.rate);
    this.element = h("span", { class: "tnb-charts", "aria-hidden": "true", hidden: true }, this.durationsBox, this.rateBox);
  }

  /**
   * @param {import("./store.js").Row} row
   * @param {import("./store.js").Store} store
   */
  paint({ spread, ended, ticking }, store) {
    setShown(this.element, spread !== null);
    if (!spread || !ended) return;
    setAttribute(this.durations, "d", barsPath(spread[0]));
    setAttribute(this.durationsBox, "title", spreadText(spread));
    const counts = upTo(ended, ticking ? store.sinceBase() : null);
    setAttribute(this.rate, "d", linePath(counts));
    setAttribute(this.rateBox, "title", rateText(counts, ended[0]));
  }
}

/**
 * @param {string} name
 * @param {SVGElement} path
 */
function chart(name, path) {
  return h("span", { class: `tnb-chart ${name}` }, svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" }, path));
}

/** `p50 41 ms · p95 60 ms · max 7.3 s (Text 17); the chart goes from 9 ms to 8 s`. @param {Spread} spread */
export function spreadText([, low, high, half, most, longest, slowest]) {
  const times = `p50 ${duration(half)} · p95 ${duration(most)} · max ${duration(longest)}`;
  const whose = slowest && ` (${slowest})`;
  return `${times}${whose}; the chart goes from ${duration(low)} to ${duration(high)}`;
}

/**
 * @param {number[]} counts
 * @param {number} slice
 */
export function rateText(counts, slice) {
  const last = counts.length > 1 ? counts[counts.length - 2] : counts[0];
  const most = Math.max(...counts);
  return `Items over the last ${duration(counts.length * slice)}: ${perSecond(last, slice)} now, at most ${perSecond(most, slice)}`;
}

/**
 * @param {number} count
 * @param {number} slice  in seconds
 */
function perSecond(count, slice) {
  const rate = count / slice;
  return rate ? `${rate < 9.95 ? Number(rate.toFixed(1)) : grouped(rate)}/s` : "none";
}

/**
 * The counts of all slices up to now: no message comes while no item ends.
 * @param {Ended} ended
 * @param {number | null} now
 */
export function upTo([slice, end, counts], now) {
  const passed = now === null ? 0 : Math.ceil((now - end) / slice);
  const empty = Array(Math.max(0, Math.min(MOST_SLICES, passed))).fill(0);
  return [...counts, ...empty].slice(-MOST_SLICES);
}

/**
 * A histogram; what is not empty is at least one pixel high.
 * @param {number[]} bars
 */
export function barsPath(bars) {
  const most = Math.max(...bars, 1);
  const wide = WIDTH / bars.length;
  return bars
    .map((count, at) => {
      const height = count ? Math.max(1, (count / most) * HEIGHT) : 0;
      return height && `M${(at * wide).toFixed(1)} ${HEIGHT}v-${height.toFixed(1)}h${(wide - 1).toFixed(1)}V${HEIGHT}z`;
    })
    .filter(Boolean)
    .join("");
}

/**
 * The area below a line through the counts.
 * @param {number[]} counts
 */
export function linePath(counts) {
  const most = Math.max(...counts, 1);
  const wide = WIDTH / Math.max(1, counts.length - 1);
  const points = (counts.length > 1 ? counts : [counts[0] ?? 0, counts[0] ?? 0]).map(
    (count, at) => `L${(at * wide).toFixed(1)} ${(HEIGHT - (count / most) * (HEIGHT - 1)).toFixed(1)}`,
  );
  return `M0 ${HEIGHT}${points.join("")}V${HEIGHT}z`;
}
