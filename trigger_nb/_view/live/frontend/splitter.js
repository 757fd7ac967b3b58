// The separator with which the details are made larger and smaller.

import { h, setAttribute } from "./dom.js";

/** @typedef {{ share: number, height: number }} Sizes */

const USUAL_SIZES = /** @type {const} */ ({ share: 42, height: 440 });
const PANE_SHARES = /** @type {const} */ ([20, 80]); // % of the width, beside the tree
const PANE_HEIGHTS = /** @type {const} */ ([80, 1600]); // px, below it
const KEY_STEPS = /** @type {const} */ ({ share: 2, height: 24 });

/** The sizes of all details in the page, also of other widgets: each may have a copy of this module. */
const KEPT = Symbol.for("trigger_nb.sizes");

/** @returns {Sizes} */
function sizes() {
  const page = /** @type {Record<symbol, Sizes | undefined>} */ (/** @type {unknown} */ (globalThis));
  return (page[KEPT] ??= { ...USUAL_SIZES });
}

/** Beside the tree it changes the width of the details, below it their height. */
export class Splitter {
  /** @param {HTMLElement} details */
  constructor(details) {
    this.details = details;
    /** Whether the details are beside the tree. */
    this.isBeside = false;
    this.painted = "";
    this.element = h("div", { class: "tnb-splitter", role: "separator", tabindex: "0", "aria-label": "Size of the details" });
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    this.element.addEventListener("pointerdown", (event) => this.dragged(event));
    this.element.addEventListener("dblclick", () => this.set(USUAL_SIZES[this.name]));
    // The styles decide by the width of the widget. After a change of layout they are known at no cost.
    new ResizeObserver(() => {
      this.isBeside = details.isConnected && getComputedStyle(this.body).flexDirection === "row";
      this.tell();
    }).observe(details);
  }

  /** The size that is changed. @returns {"share" | "height"} */
  get name() {
    return this.isBeside ? "share" : "height";
  }

  /** The element that holds the tree and the details. */
  get body() {
    return /** @type {HTMLElement} */ (this.details.parentElement);
  }

  /** Takes over the sizes of the page, which another view may have changed. */
  render() {
    const { share, height } = sizes();
    const painted = `--share: ${share}%; --height: ${height}px`;
    if (this.details.parentElement && painted !== this.painted) this.body.style.cssText = this.painted = painted;
    this.tell();
  }

  tell() {
    const [least, most] = this.isBeside ? PANE_SHARES : PANE_HEIGHTS;
    setAttribute(this.element, "aria-orientation", this.isBeside ? "vertical" : "horizontal");
    setAttribute(this.element, "aria-valuemin", least);
    setAttribute(this.element, "aria-valuemax", most);
    setAttribute(this.element, "aria-valuenow", Math.round(sizes()[this.name]));
  }

  /** @param {number} size */
  set(size) {
    const [least, most] = this.isBeside ? PANE_SHARES : PANE_HEIGHTS;
    sizes()[this.name] = Math.min(most, Math.max(least, size));
    this.render();
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const [least, most] = this.isBeside ? PANE_SHARES : PANE_HEIGHTS;
    const size = sizes()[this.name];
    const step = KEY_STEPS[this.name];
    /** The separator goes where the arrow points to. @type {Record<string, number>} */
    const wanted = { Home: least, End: most, Enter: USUAL_SIZES[this.name] };
    if (this.isBeside) Object.assign(wanted, { ArrowLeft: size + step, ArrowRight: size - step });
    else Object.assign(wanted, { ArrowDown: size + step, ArrowUp: size - step });
    if (!(event.key in wanted)) return;
    this.set(wanted[event.key]);
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {PointerEvent} event */
  dragged(event) {
    if (event.button !== 0) return;
    const { element, details, body } = this;
    const { clientX, clientY, pointerId } = event;
    const { width, height } = details.getBoundingClientRect();
    const move = (/** @type {PointerEvent} */ moved) => {
      if (this.isBeside) this.set((100 * (width + clientX - moved.clientX)) / body.clientWidth);
      else this.set(height + moved.clientY - clientY);
    };
    element.setPointerCapture(pointerId);
    element.addEventListener("pointermove", move);
    element.addEventListener("lostpointercapture", () => element.removeEventListener("pointermove", move), { once: true });
    event.preventDefault(); // no text is selected
    element.focus({ preventScroll: true });
  }
}
