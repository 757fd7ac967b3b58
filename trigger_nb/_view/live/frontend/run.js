// The view of one run, which survives changes of the page by the notebook.

import { Actions } from "./actions.js";
import { Alerts } from "./alerts.js";
import { keepTime, wake } from "./clock.js";
import { Copier } from "./copying.js";
import { DetailsPane } from "./details.js";
import { h, keepShortcutsAway, setAttribute, setChildren, setShown, setText } from "./dom.js";
import { RunHeader } from "./header.js";
import { Holder } from "./holding.js";
import { Outline } from "./outline.js";
import { QuestionBar } from "./questions.js";
import { RunWith, StartedRuns } from "./runwith.js";
import { sectionElement } from "./sections.js";
import { Store, guarded } from "./store.js";
import { Table } from "./table.js";
import { Timeline } from "./timeline.js";
import { Toolbar } from "./toolbar.js";
import { Tree } from "./tree.js";

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
    /** Whether the kernel knows that somebody uses a view. */
    this.used = false;
    this.alerts = new Alerts(this.store, () => this.reveal());
  }

  close() {
    this.alerts.close();
    this.store.close();
    for (const view of this.places.values()) view.close();
    this.spare?.close();
  }

  /** @param {HTMLElement} element */
  show(element) {
    this.place(element, this.spareView() ?? this.newView());
    return () => this.leave(element);
  }

  /**
   * @param {HTMLElement} element
   * @param {RunView} view
   */
  place(element, view) {
    this.places.set(element, view);
    element.append(view.root);
  }

  /** A view that is no longer in the page, removed from its element. */
  spareView() {
    const spare = this.spare;
    this.spare = null;
    if (spare) return spare;
    for (const [element, view] of this.places) {
      if (element.isConnected) continue;
      this.places.delete(element);
      this.refill(element);
      return view;
    }
    return null;
  }

  /** Brings the run into view. */
  reveal() {
    const place = [...this.places.keys()].find((element) => element.isConnected);
    place?.scrollIntoView({ block: "nearest" });
  }

  /** @param {HTMLElement} element */
  leave(element) {
    const view = this.places.get(element);
    if (!view) return;
    this.places.delete(element);
    this.spare?.close();
    this.spare = view;
  }

  /**
   * Puts a view into an element again whose view has moved to another one: a notebook removes an element that is
   * scrolled out of view, and may insert it again.
   * @param {HTMLElement} element
   */
  refill(element) {
    const appear = () => {
      stop();
      if (!element.childNodes.length) this.place(element, this.newView());
    };
    const stop = keepTime(element, { isTicking: () => false, tick() {}, appear });
  }

  newView() {
    return new RunView(this.store, () => this.reportUse());
  }

  /** The kernel closes widgets of older runs, but none that is used. */
  reportUse() {
    const used = [...this.places.values()].some((view) => view.isUsed);
    if (used !== this.used) this.store.send({ t: "use", on: used });
    this.used = used;
  }
}

/** Tells whenever it is put into the page or taken out of it, with the element that it is in. */
class Sentinel extends HTMLElement {
  onconnected = () => {};
  ondisconnected = () => {};

  connectedCallback() {
    this.onconnected();
  }

  disconnectedCallback() {
    this.ondisconnected();
  }
}
// A page can have several versions of this file, and a name only one class.
customElements.define(`tnb-sentinel-${Math.random().toString(36).slice(2)}`, Sentinel);

/** One view: header, tools, tree and details. */
class RunView {
  /**
   * @param {Store} store
   * @param {() => void} reportUse  to be called when `isUsed` may have changed
   */
  constructor(store, reportUse) {
    this.store = store;
    this.reportUse = reportUse;
    this.outline = new Outline(store);
    this.actions = new Actions(store);
    this.tree = new Tree(store, this.outline);
    this.table = new Table(store, this.outline);
    this.toolbar = new Toolbar(store, this.outline, this.tree, this.table, (view) => this.setView(view));
    this.runWith = new RunWith(store, this.actions);
    this.header = new RunHeader(store, this.actions, this.toolbar.chipBox, this.runWith);
    this.started = new StartedRuns(store, mountRun);
    this.details = new DetailsPane(store, this.outline, this.actions, () => this.closeDetails());
    this.questions = new QuestionBar(store, (row) => this.openQuestion(row));
    this.timeline = new Timeline(store, this.outline, this.tree);
    this.wasEnded = store.header.ended;
    this.wasLive = store.channel.live();
    this.closing = new AbortController();
    this.holder = new Holder();
    /** The element with the focus, for when the notebook moves the view. @type {HTMLElement | null} */
    this.focused = null;

    const { head, lanes } = this.timeline;
    const views = [head.element, this.tree.element, lanes.element, this.tree.empty, this.table.element];
    this.list = h("div", { class: "tnb-list" }, ...views);
    this.body = h("div", { class: "tnb-body" }, this.list, this.details.splitter.element, this.details.element);
    this.output = h("pre", {});
    this.outputBox = h("ul", { class: "tnb-f", hidden: true });
    /** What the output was painted from. */
    this.painted = "";
    this.copier = new Copier();
    this.fault = h("div", { class: "tnb-y tnb-y-bad", role: "status", hidden: true }, FAULT);
    const sentinel = new Sentinel();
    sentinel.hidden = true;
    sentinel.onconnected = () => this.appeared();
    sentinel.ondisconnected = () => this.holder.leave();
    this.root = h(
      "div",
      { class: "tnb-live", role: "region" },
      this.header.element,
      this.runWith.element,
      this.questions.element,
      this.toolbar.element,
      this.body,
      this.outputBox,
      this.copier.said,
      this.fault,
      this.started.element,
      sentinel,
    );
    this.listen();
    guarded(() => this.draw()); // before it is in the page, so that it appears with its height
  }

  listen() {
    const { signal } = this.closing;
    keepShortcutsAway(this.root);
    signal.addEventListener("abort", this.store.subscribe(() => this.render()));
    signal.addEventListener("abort", keepTime(this.root, this));
    this.root.addEventListener("focusin", (event) => (this.focused = /** @type {HTMLElement} */ (event.target)));
    this.root.addEventListener("focusout", () => {
      // An element removed from the page loses the focus too, but not because of the user.
      setTimeout(() => {
        if (this.root.isConnected && !this.root.contains(document.activeElement)) this.focused = null;
      });
    });
    for (const each of ["pointerenter", "pointerleave", "focusin", "focusout"]) {
      this.root.addEventListener(each, () => setTimeout(this.reportUse)); // when the browser knows it
    }
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
    this.started.close();
    this.timeline.close();
    this.table.close();
    this.details.watch(null);
    this.root.remove();
  }

  /** The root has been inserted into the page, perhaps not for the first time, which resets the scroll position. */
  appeared() {
    this.holder.enter(this.root);
    this.render();
    if (this.focused && !this.root.contains(document.activeElement)) this.focused.focus({ preventScroll: true });
  }

  render() {
    if (!this.root.isConnected) return;
    const drawn = guarded(() => this.draw());
    setShown(this.fault, !drawn || this.store.faulty);
  }

  draw() {
    const { ended, title } = this.store.header;
    setAttribute(this.root, "aria-label", `Run ${title}`);
    if (this.wasEnded && !ended) this.outline.following = true;
    this.wasEnded = ended;
    this.wasLive = this.store.channel.live();
    if (this.table.isOpen) this.table.render(); // first, because it reads the layout, which the others change
    else this.tree.render();
    this.header.render();
    this.runWith.render();
    this.started.render();
    this.questions.render();
    this.toolbar.render();
    this.details.render();
    this.body.classList.toggle("tnb-split", !this.details.element.hidden);
    this.body.classList.toggle("tnb-scrolls", this.tree.scrolls);
    this.drawOutput();
    this.reportUse();
    wake();
  }

  /** The output of the run: as text, or as what is shown of it. */
  drawOutput() {
    const { displays = [], output } = this.store.header;
    const painted = JSON.stringify([output, displays]);
    if (painted === this.painted) return;
    this.painted = painted;
    setText(this.output, output);
    const hasWhole = displays.some(({ label }) => label === "Output");
    const plain = output && !hasWhole ? [h("li", {}, h("b", {}, "Output"), this.output)] : [];
    setChildren(this.outputBox, [...plain, ...displays.map((section) => sectionElement(section, this.copier))]);
    setShown(this.outputBox, output !== "" || displays.length > 0);
  }

  appear() {
    this.render();
  }

  isTicking() {
    return this.tree.isDue || (!this.store.header.ended && (this.store.channel.live() || this.wasLive));
  }

  /** Whether it has the focus or the pointer, or something in it is open or chosen. */
  get isUsed() {
    return this.root.matches(":hover, :focus-within") || this.outline.detailed || this.outline.filtered || this.tree.timed || this.table.isOpen || this.runWith.isOpen;
  }

  tick() {
    // Nothing tells that a kernel was shut down.
    if (this.wasLive !== this.store.channel.live()) this.render();
    this.header.tick();
    this.toolbar.tick();
    this.table.tick();
    if (!this.table.isOpen) this.tree.tick();
    this.details.tick();
  }

  /** @param {"tree" | "timeline" | "table"} view */
  setView(view) {
    if (view === "timeline") this.timeline.open();
    else this.timeline.close();
    this.list.classList.toggle("tnb-tabled", view === "table");
    this.table.setOpen(view === "table");
  }

  /** @param {import("./store.js").Row} row */
  openQuestion(row) {
    this.outline.detailed = true;
    this.tree.choose(row);
    this.details.focusForm(row.index);
  }

  closeDetails() {
    this.outline.detailed = false;
    (this.table.isOpen ? this.table.grid : this.timeline.list()).focus({ preventScroll: true });
    this.store.notify();
  }
}
