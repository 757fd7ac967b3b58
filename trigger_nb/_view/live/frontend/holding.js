// Keeps the outputs of a cell at their height while the cell is run again: they are removed, and the new tree takes a moment to come.

const OUTPUTS = ".jp-Cell-outputWrapper"; // of a cell in JupyterLab and Notebook; nowhere else is anything held
const HELD = 1000; // ms

/** The timers that end it. @type {WeakMap<Element, number>} */
const held = new WeakMap();

/** Holds the height of the cell that a view is in, when the view is taken out of it. */
export class Holder {
  constructor() {
    /** @type {HTMLElement | null} */
    this.outputs = null;
    /** Their height in the last frame: when one is removed, those before it are already gone. */
    this.height = 0;
    this.sizes = new ResizeObserver(([{ target }]) => (this.height = target.clientHeight));
  }

  /** The view is in the page. @param {Element} view */
  enter(view) {
    this.outputs = view.closest(OUTPUTS);
    if (this.outputs) this.sizes.observe(this.outputs);
  }

  /** The view was removed: alone, or with the cell, which has no height to hold then. */
  leave() {
    const { outputs, height } = this;
    this.outputs = null;
    this.sizes.disconnect();
    if (!outputs?.isConnected || !height) return;
    clearTimeout(held.get(outputs));
    outputs.style.minHeight = `${height}px`;
    held.set(outputs, setTimeout(() => (outputs.style.minHeight = ""), HELD));
  }
}
