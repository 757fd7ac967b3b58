// The clock of the page, for all that shows times. It stands still when nothing in view changes with time.

import { guarded } from "./store.js";

const TICK = 500; // ms
const SLOW = 30_000; // ms, for what is told in minutes: `3 min ago`

/**
 * @typedef {object} Timed
 * @property {() => boolean} isTicking  whether it changes with time
 * @property {() => void} tick          shows the current time
 * @property {() => void} appear        shows all: it has come into view
 */

/** @type {WeakMap<Element, Timed>} */
const timed = new WeakMap();
/** What is in view. @type {Set<Timed>} */
const inView = new Set();
/** @type {IntersectionObserver | null} */
let eyes = null;
/** The running timers, by period. @type {Map<number, number>} */
const timers = new Map();

/**
 * Has something told of the time from now on, while its element is in view.
 * @param {Element} element
 * @param {Timed} each
 * @returns {() => void} ends it
 */
export function keepTime(element, each) {
  eyes ??= new IntersectionObserver(looked);
  timed.set(element, each);
  eyes.observe(element);
  return () => {
    eyes?.unobserve(element);
    inView.delete(each);
    wake();
  };
}

/** Starts or stops the clock: what is in view may change with time from now on, or no more. */
export function wake() {
  const seen = document.hidden ? [] : [...inView];
  run(TICK, seen.some((each) => each.isTicking()), tick);
  run(SLOW, seen.length > 0, tickAll);
}

/**
 * @param {number} period
 * @param {boolean} isNeeded
 * @param {() => void} call
 */
function run(period, isNeeded, call) {
  if (isNeeded && !timers.has(period)) timers.set(period, setInterval(call, period));
  if (isNeeded) return;
  clearInterval(timers.get(period));
  timers.delete(period);
}

/** @param {IntersectionObserverEntry[]} entries */
function looked(entries) {
  for (const { target, isIntersecting } of entries) {
    const each = timed.get(target);
    if (!each) continue;
    if (!isIntersecting) inView.delete(each);
    else if (!inView.has(each)) {
      inView.add(each);
      guarded(() => each.appear());
    }
  }
  wake();
}

function tick() {
  for (const each of inView) if (each.isTicking()) guarded(() => each.tick());
  wake();
}

function tickAll() {
  for (const each of inView) guarded(() => each.tick());
}

globalThis.document?.addEventListener("visibilitychange", () => {
  if (!document.hidden) tickAll();
  wake();
});
