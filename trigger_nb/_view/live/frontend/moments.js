// Instants as elements: how long ago, with the reader's local time as title.

import { h, setText } from "./dom.js";
import { ago, localTime, remaining } from "./format.js";

/**
 * @param {number} at  in epoch seconds
 * @param {string} [before]  what the text begins with: `next attempt `
 */
export function momentElement(at, before = "") {
  const date = new Date(at * 1000);
  if (Number.isNaN(date.getTime())) return h("span", {}, `${before}${at} s`); // of a damaged record
  return h("time", { datetime: date.toISOString(), "data-at": at, "data-before": before, title: localTime(at) });
}

/**
 * Writes the texts of all instants in an element.
 * @param {Element} root
 * @param {number} now  in epoch seconds
 */
export function tellMoments(root, now) {
  for (const element of root.querySelectorAll("time[data-at]")) {
    const { at, before } = /** @type {HTMLElement} */ (element).dataset;
    setText(element, before + relative(Number(at) - now));
  }
}

/**
 * The time until or since an instant: `in 5 s`, `3 min ago`.
 * @param {number} seconds  negative for the past
 */
function relative(seconds) {
  return seconds > 0 ? remaining(seconds) : ago(-seconds);
}

/** The local time of day: `07:12:30`. @param {number} at  in epoch seconds */
export function timeOfDay(at) {
  return new Date(at * 1000).toTimeString().slice(0, 8);
}
