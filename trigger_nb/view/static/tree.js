// The tree of rows as a list of which only the visible part is in the page, however many rows there are.

import { h, setAttribute, setChildren, setShown, setText } from "./dom.js";
import { TreeKeys } from "./keys.js";
import { RowElement } from "./row.js";
import { guarded } from "./store.js";
import { hideBar } from "./timeline.js";

const ROW_HEIGHT = 24; // as .tnb-row in widget.css
const OVERSCAN = 6; // rows above and below what is seen
const TICK = 500; // ms
const PRINTED = 500; // rows, at most
const FOLLOW_PAUSE = 600; // ms between two jumps to a row that is far off

let treeCount = 0;

/** Draws an Outline, and turns what a person does to it into changes of the Outline. */
export class Tree {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./outline.js").Outline} outline
   */
  constructor(store, outline) {
    this.store = store;
    this.outline = outline;
    this.prefix = `tnb-${(treeCount += 1)}-`;
    this.timed = false;
    /** @type {Map<number, RowElement>} */
    this.shown = new Map();
    this.lastJump = 0;
    /** Whether a jump was put off, as the last one was a moment ago. */
    this.jumpIsDue = false;
    /** How far the list is scrolled: kept here, as a browser forgets it when it is taken out of the page. */
    this.top = 0;
    /** Whether there are more rows than fit. */
    this.scrolls = false;
    this.printing = false;
    this.filterVersion = 0;
    /** To be brought into view by the next frame. @type {number | null} */
    this.wanted = null;
    /** Where the row that the keyboard is on stood when it was drawn last. */
    this.activePlace = -1;

    this.window = h("div", { class: "tnb-window", role: "presentation" });
    this.sizer = h("div", { class: "tnb-sizer", role: "presentation" }, this.window);
    this.element = h("div", { class: "tnb-tree", role: "tree", tabindex: "0", "aria-label": "Tasks" }, this.sizer);
    this.empty = h("div", { class: "tnb-empty", role: "status", hidden: true });
    this.keys = new TreeKeys(this);
    this.listen();
  }

  listen() {
    const element = this.element;
    element.addEventListener("scroll", () => this.scrolled(), { passive: true });
    for (const moved of ["wheel", "touchmove", "pointerdown"]) {
      element.addEventListener(moved, () => this.leaveFollowing(), { passive: true });
    }
    for (const moved of ["wheel", "pointermove", "pointerdown"]) {
      element.addEventListener(moved, () => this.outline.items.hold(true), { passive: true });
    }
    element.addEventListener("pointerleave", () => this.outline.items.hold(false));
    element.addEventListener("click", (event) => this.clicked(event));
    element.addEventListener("dblclick", (event) => {
      const row = this.rowAt(event);
      if (row?.kind !== "rest") this.toggle(row);
    });
  }

  // --- what a person does ---

  scrolled() {
    if (!this.element.clientHeight || this.element.scrollTop === this.top) return;
    this.top = this.element.scrollTop;
    guarded(() => this.render());
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const target = /** @type {Element} */ (event.target);
    const row = this.rowAt(event);
    if (!row || target.closest("a")) return;
    if (row.kind === "rest" || (target.closest(".tnb-chev") && row.isScope)) this.toggle(row);
    else this.outline.detailed = true;
    this.choose(row);
  }

  /** @param {Event} event */
  rowAt(event) {
    const line = /** @type {Element} */ (event.target).closest("[data-row]");
    return line && this.outline.row(Number(line.getAttribute("data-row")));
  }

  /** @param {import("./store.js").Row | null} row */
  toggle(row) {
    if (row) this.outline.setOpen(row, !this.outline.isOpen(row));
  }

  /**
   * Puts the keyboard on a row and brings it into view.
   * @param {import("./store.js").Row} row
   */
  choose(row) {
    this.leaveFollowing();
    this.outline.reveal(row);
    this.outline.active = row.index;
    this.wanted = row.index;
    this.store.notify();
  }

  leaveFollowing() {
    if (!this.outline.following) return;
    this.outline.following = false;
    this.store.notify();
  }

  /** How many rows a page of them has. */
  get pageSize() {
    return Math.max(1, Math.floor(this.element.clientHeight / ROW_HEIGHT) - 1);
  }

  // --- drawing ---

  /** @param {boolean} timed  whether bars over time stand in the rows */
  setTimed(timed) {
    this.timed = timed;
    this.element.classList.toggle("tnb-timed", timed);
    if (!timed) for (const drawn of this.shown.values()) hideBar(drawn.cell);
    this.store.notify();
  }

  render() {
    const { element, outline, store } = this;
    const lines = outline.lines();
    setText(this.empty, this.emptyText(lines.length));
    setShown(this.empty, lines.length === 0);
    setShown(element, lines.length > 0);
    element.classList.toggle("tnb-ics", store.rows.hasIcons);
    setAttribute(element, "aria-label", `Tasks of ${store.header.title}`);
    if (this.filterVersion !== outline.filterVersion) this.showFromTop();
    const height = Math.min(lines.length, this.printing ? PRINTED : Infinity) * ROW_HEIGHT;
    this.sizer.style.height = `${height}px`;
    const viewHeight = this.printing ? height : element.clientHeight;
    this.scrolls = height > viewHeight;
    this.top = Math.max(0, Math.min(this.scrollTarget(this.top, viewHeight), height - viewHeight));
    if (isElsewhere(element, this.top)) element.scrollTop = this.top;
    this.renderWindow(lines, this.top, viewHeight);
  }

  /** What another filter leaves is read from its first row, or from the chosen one. */
  showFromTop() {
    this.filterVersion = this.outline.filterVersion;
    this.top = 0;
    this.wanted ??= this.outline.active;
  }

  /**
   * @param {import("./outline.js").Line[]} lines
   * @param {number} top
   * @param {number} viewHeight
   */
  renderWindow(lines, top, viewHeight) {
    const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - OVERSCAN);
    const last = Math.min(lines.length, Math.ceil((top + viewHeight) / ROW_HEIGHT) + OVERSCAN);
    /** @type {Map<number, RowElement>} */
    const shown = new Map();
    const visible = lines.slice(first, last);
    const stay = new Set(visible.map(({ row }) => row.index));
    const free = [...this.shown].filter(([index]) => !stay.has(index)).map(([, drawn]) => drawn);
    for (const line of visible) {
      const index = line.row.index;
      const drawn = this.shown.get(index) ?? free.pop() ?? new RowElement();
      drawn.paint(line, this);
      shown.set(index, drawn);
    }
    this.shown = shown;
    setChildren(this.window, [...shown.values()].map((drawn) => drawn.element));
    this.window.style.transform = `translateY(${first * ROW_HEIGHT}px)`;
    const active = this.outline.active;
    const isShown = active !== null && shown.has(active);
    setAttribute(this.element, "aria-activedescendant", isShown ? this.prefix + active : null);
  }

  /** @param {number} lines */
  emptyText(lines) {
    if (lines) return "";
    if (this.store.rows.size) return "No task matches the filter";
    return this.store.header.ended ? "No tasks" : "No tasks yet";
  }

  /**
   * Where to scroll to, so that the row that was asked for, or the one that is followed, is in view.
   * @param {number} top
   * @param {number} viewHeight
   */
  scrollTarget(top, viewHeight) {
    const wanted = this.outline.place(this.wanted);
    const stood = this.activePlace;
    this.activePlace = this.outline.place(this.outline.active);
    this.wanted = null;
    this.jumpIsDue = false;
    if (wanted >= 0) return towards(wanted, top, viewHeight);
    if (!this.outline.following) return this.heldInView(stood, top, viewHeight);
    const place = this.followedPlace();
    if (place < 0) return top;
    const target = inView(place, top, viewHeight);
    const isFar = Math.abs(target - top) > 4 * ROW_HEIGHT;
    this.jumpIsDue = isFar && Date.now() - this.lastJump < FOLLOW_PAUSE;
    if (this.jumpIsDue) return top;
    if (isFar) this.lastJump = Date.now();
    return target;
  }

  /**
   * Where to scroll to, so that the row that the keyboard is on stays where it is seen, whatever comes before it.
   * @param {number} stood
   * @param {number} top
   * @param {number} viewHeight
   */
  heldInView(stood, top, viewHeight) {
    const wasSeen = stood >= 0 && inView(stood, top, viewHeight) === top;
    return wasSeen && this.activePlace >= 0 ? top + (this.activePlace - stood) * ROW_HEIGHT : top;
  }

  /** The place of the row that last became active, or of the scope that it is folded into. */
  followedPlace() {
    for (let row = this.store.rows.lastActive; row; row = row.parent) {
      const place = this.outline.place(row.index);
      if (place >= 0) return place;
    }
    return -1;
  }

  /** Paper does not scroll. @param {boolean} printing */
  setPrinting(printing) {
    this.printing = printing;
    this.render();
  }

  /** Clocks go on by themselves between two messages. */
  tick() {
    if (this.outline.items.isOverdue) this.outline.changed();
    // Moved within the page, it stands at its top again, and nothing has told so.
    if (isElsewhere(this.element, this.top) || this.jumpIsDue) this.render();
    for (const drawn of this.shown.values()) drawn.paintClock(this.store);
  }
}

/**
 * Whether it is scrolled to another place; browsers round to the screen's pixels.
 * @param {Element} element
 * @param {number} top
 */
function isElsewhere(element, top) {
  return Math.abs(element.scrollTop - top) > 1;
}

/**
 * @param {number} place
 * @param {number} top
 * @param {number} viewHeight
 */
function inView(place, top, viewHeight) {
  const start = place * ROW_HEIGHT;
  if (start < top) return start;
  return Math.max(top, start + ROW_HEIGHT - viewHeight);
}

/**
 * Like `inView`, with a row to spare; a row from far off comes to stand in the middle.
 * @param {number} place
 * @param {number} top
 * @param {number} viewHeight
 */
function towards(place, top, viewHeight) {
  const near = inView(place + 1, inView(Math.max(0, place - 1), top, viewHeight), viewHeight);
  if (Math.abs(near - top) <= viewHeight / 2) return near;
  return place * ROW_HEIGHT - (viewHeight - ROW_HEIGHT) / 2;
}

/** Calls back twice a second while the page is looked at. @param {() => void} callback */
export function everyTick(callback) {
  const timer = setInterval(() => {
    if (!document.hidden) callback();
  }, TICK);
  return () => clearInterval(timer);
}
