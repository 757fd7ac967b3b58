// The view of one run, which survives changes of the page by the notebook.

import { Actions } from "./actions.js";
import { DetailsPane } from "./details.js";
import { h, keepShortcutsAway, setAttribute, setShown, setText } from "./dom.js";
import { RunHeader } from "./header.js";
import { Outline } from "./outline.js";
import { Store, guarded } from "./store.js";
import { mountTimelineAxis } from "./timeline.js";
import { Toolbar } from "./toolbar.js";
import { Tree, everyTick } from "./tree.js";

/** @typedef {import("./store.js").Channel} Channel */

const FAULT = "The display has failed and may be out of date. The run is not affected.";

/** @type {WeakMap<Channel, Shown>} */
const shownRuns = new WeakMap();

/**
 * Shows the run of a channel in an element. If an earlier view is no longer in the page, it moves to this element and
 * keeps its state; otherwise a new view is made.
 * @param {Channel} channel
 * @param {HTMLElement} element
 * @returns {() => void}  to be called when the element is removed
 */
export function mountRun(channel, element) {
  let shown = shownRuns.get(channel);
  if (!shown) shownRuns.set(channel, (shown = new Shown(channel)));
  return shown.show(element);
}

/** Closes all views of the run of a channel. @param {Channel} channel */
export function closeRun(channel) {
  shownRuns.get(channel)?.close();
  shownRuns.delete(channel);
}

/** The views of one run, over one store. */
class Shown {
  /** @param {Channel} channel */
  constructor(channel) {
    this.store = new Store(channel);
    /** The views by their element. @type {Map<HTMLElement, RunView>} */
    this.places = new Map();
    /** A view whose element was removed. @type {RunView | null} */
    this.spare = null;
    /** Elements whose view has moved to another element. @type {WeakRef<HTMLElement>[]} */
    this.left = [];
    this.stopTicking = everyTick(() => this.tick());
  }

  close() {
    this.stopTicking();
    this.store.close();
    for (const view of this.places.values()) view.close();
    this.spare?.close();
  }

  /** @param {HTMLElement} element */
  show(element) {
    this.place(element, this.spareView() ?? new RunView(this.store));
    return () => this.leave(element);
  }

  /**
   * @param {HTMLElement} element
   * @param {RunView} view
   */
  place(element, view) {
    this.places.set(element, view);
    element.append(view.root);
    view.appeared();
  }

  /** A view that is no longer in the page, removed from its element. */
  spareView() {
    const spare = this.spare;
    this.spare = null;
    if (spare) return spare;
    for (const [element, view] of this.places) {
      if (element.isConnected) continue;
      // A notebook removes an element that is scrolled out of view, and may insert it again: see `tick`.
      this.places.delete(element);
      this.left.push(new WeakRef(element));
      return view;
    }
    return null;
  }

  /** @param {HTMLElement} element */
  leave(element) {
    const view = this.places.get(element);
    if (!view) return;
    this.places.delete(element);
    this.spare?.close();
    this.spare = view;
  }

  tick() {
    this.left = this.left.filter((reference) => {
      const element = reference.deref();
      if (element?.isConnected && !element.childNodes.length) this.place(element, new RunView(this.store));
      return element && !element.isConnected;
    });
    for (const view of this.places.values()) view.tick();
  }
}

/** One view: header, tools, tree and details. */
class RunView {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    this.outline = new Outline(store);
    this.actions = new Actions(store);
    this.tree = new Tree(store, this.outline);
    this.toolbar = new Toolbar(store, this.outline, this.tree, (timed) => this.setTimed(timed));
    this.header = new RunHeader(store, this.actions, this.toolbar.chipBox);
    this.details = new DetailsPane(store, this.outline, this.actions, () => this.closeDetails());
    /** @type {(() => void) | null} */
    this.removeAxis = null;
    this.wasEnded = store.header.ended;
    this.closing = new AbortController();
    /** The element with the focus, for when the notebook moves the view. @type {HTMLElement | null} */
    this.focused = null;

    this.axis = h("div", { class: "tnb-axis", hidden: true });
    const list = h("div", { class: "tnb-list" }, this.axis, this.tree.element, this.tree.empty);
    this.body = h("div", { class: "tnb-body" }, list, this.details.element);
    this.output = h("pre", {});
    this.outputBox = h("ul", { class: "tnb-f", hidden: true }, h("li", {}, h("b", {}, "Output"), this.output));
    this.fault = h("div", { class: "tnb-y tnb-y-bad", role: "status", hidden: true }, FAULT);
    this.root = h(
      "div",
      { class: "tnb tnb-live", role: "region" },
      this.header.element,
      this.toolbar.element,
      this.body,
      this.outputBox,
      this.fault,
    );
    this.listen();
  }

  listen() {
    const { signal } = this.closing;
    keepShortcutsAway(this.root);
    signal.addEventListener("abort", this.store.subscribe(() => this.render()));
    this.root.addEventListener("focusin", (event) => (this.focused = /** @type {HTMLElement} */ (event.target)));
    this.root.addEventListener("focusout", () => {
      // An element removed from the page loses the focus too, but not because of the user.
      setTimeout(() => {
        if (this.root.isConnected && !this.root.contains(document.activeElement)) this.focused = null;
      });
    });
    // When the view is removed and inserted again, the browser forgets the scroll position of the list.
    let width = 0;
    const sizes = new ResizeObserver(([entry]) => {
      if (entry.contentRect.width !== width) this.render();
      width = entry.contentRect.width;
    });
    sizes.observe(this.root);
    signal.addEventListener("abort", () => sizes.disconnect());
    addEventListener("beforeprint", () => this.tree.setPrinting(true), { signal });
    addEventListener("afterprint", () => this.tree.setPrinting(false), { signal });
  }

  close() {
    this.closing.abort();
    this.removeAxis?.();
    this.details.watch(null);
    this.root.remove();
  }

  /** The root has been inserted into the page, perhaps not for the first time. */
  appeared() {
    this.render();
    this.store.notify(); // the notebook may move the view again, which resets the scroll position
    if (this.focused && !this.root.contains(document.activeElement)) this.focused.focus({ preventScroll: true });
  }

  render() {
    if (!this.root.isConnected) return;
    const drawn = guarded(() => this.draw());
    setShown(this.fault, !drawn || this.store.faulty);
  }

  draw() {
    const { ended, output, title } = this.store.header;
    setAttribute(this.root, "aria-label", `Run ${title}`);
    if (this.wasEnded && !ended) this.outline.following = true;
    this.wasEnded = ended;
    this.tree.render(); // first, because it reads the layout, which the others change
    this.header.render();
    this.toolbar.render();
    this.details.render();
    this.body.classList.toggle("tnb-split", !this.details.element.hidden);
    this.body.classList.toggle("tnb-scrolls", this.tree.scrolls);
    setText(this.output, output);
    setShown(this.outputBox, output !== "");
  }

  tick() {
    if (!this.root.isConnected) return;
    guarded(() => {
      this.header.tick();
      this.tree.tick();
    });
  }

  /** @param {boolean} timed */
  setTimed(timed) {
    setShown(this.axis, timed);
    this.removeAxis?.();
    this.removeAxis = timed ? mountTimelineAxis(this.axis, this.store) : null;
    this.tree.setTimed(timed);
  }

  closeDetails() {
    this.outline.detailed = false;
    this.tree.element.focus({ preventScroll: true });
    this.store.notify();
  }
}
