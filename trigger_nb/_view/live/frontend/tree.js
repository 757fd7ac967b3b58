// The tree of rows as a list. Only the visible rows have elements, however many rows there are.

import { wake } from "./clock.js";
import { h, setAttribute, setChildren, setShown, setText } from "./dom.js";
import { TreeKeys } from "./keys.js";
import { RowElement } from "./row.js";
import { guarded } from "./store.js";

const ROW_HEIGHT = 24; // the same as .tnb-row in widget.css
const OVERSCAN = 6; // rows drawn above and below the visible part
const STEP = 2; // rows by which the list grows, so that the page below it moves seldom
const PRINTED = 500; // maximum number of rows on paper
const FOLLOW_PAUSE = 600; // minimum ms between two jumps to a distant row

let treeCount = 0;

/** Draws an Outline, and translates actions of the user into changes of it. */
export class Tree {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./outline.js").Outline} outline
   */
  constructor(store, outline) {
    this.store = store;
    this.outline = outline;
    this.prefix = `tnb-${(treeCount += 1)}-`;
    /** Draws bars into the rows; null if they have none. @type {import("./timeline.js").Timeline | null} */
    this.timeline = null;
    /** @type {Map<number, RowElement>} */
    this.shown = new Map();
    this.lastJump = 0;
    /** Whether a jump was postponed because the last one was a moment ago. */
    this.jumpIsDue = false;
    /** The scroll position, which a browser forgets when the list is removed from the page. */
    this.top = 0;
    /** Whether there are more rows than fit in the list. */
    this.scrolls = false;
    this.printing = false;
    this.filterVersion = 0;
    /** The row to scroll into view in the next frame. @type {number | null} */
    this.wanted = null;
    /** The number of rows that the list has room for, even if it has fewer. */
    this.room = 0;
    /** The place of the active row when it was last drawn. */
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
    element.addEventListener("pointerleave", () => {
      this.outline.items.hold(false);
      wake();
    });
    element.addEventListener("click", (event) => this.clicked(event));
    element.addEventListener("dblclick", (event) => {
      const row = this.rowAt(event);
      if (!row?.isLine) this.toggle(row);
    });
  }

  // --- actions of the user ---

  scrolled() {
    if (!this.element.clientHeight || this.element.scrollTop === this.top) return;
    this.top = this.element.scrollTop;
    guarded(() => this.render());
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const target = /** @type {Element} */ (event.target);
    const row = this.rowAt(event);
    if (!row || target.closest("a") || this.hasSelection()) return;
    if (row.isLine || (target.closest(".tnb-chev") && row.isScope)) this.toggle(row);
    else this.outline.detailed = true;
    this.choose(row);
  }

  /** Whether text of the tree is selected, as after dragging over it: the click that ends that is not meant for a row. */
  hasSelection() {
    const selection = getSelection();
    return Boolean(selection && !selection.isCollapsed && this.element.contains(selection.anchorNode));
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
   * Makes a row active and scrolls it into view.
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

  /** The number of rows in one page. */
  get pageSize() {
    return Math.max(1, Math.floor(this.element.clientHeight / ROW_HEIGHT) - 1);
  }

  // --- drawing ---

  get timed() {
    return this.timeline !== null;
  }

  /** @param {import("./timeline.js").Timeline | null} timeline */
  setTimeline(timeline) {
    this.timeline = timeline;
    this.element.classList.toggle("tnb-timed", this.timed);
    if (!timeline) for (const { cell } of this.shown.values()) cell.replaceChildren();
    this.store.notify();
  }

  render() {
    const { element, outline, store, top: stood } = this;
    const { active } = outline;
    const lines = outline.lines();
    if (this.wanted === active) this.wanted = outline.active; // requested items came before the line was drawn as active
    this.makeRoom(lines.length);
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
    // The event of a scroll by the reader may be still to come. A list that was moved within the page is at 0, without one.
    if (this.top === stood && element.scrollTop > 0) this.top = element.scrollTop;
    else if (isElsewhere(element, this.top)) element.scrollTop = this.top;
    this.renderWindow(lines, this.top, viewHeight);
  }

  /**
   * While the run is under way, the list grows in steps. It begins with as many rows as an earlier run of the job had,
   * and does not shrink at the end.
   * @param {number} lines
   */
  makeRoom(lines) {
    const { ended, rows } = this.store.header;
    if (!ended) this.room = Math.max(this.room, lines <= rows ? rows : STEP * Math.ceil(lines / STEP), STEP);
    for (const each of [this.element, this.empty]) each.style.setProperty("--room", `${this.room * ROW_HEIGHT}px`);
  }

  /** After a change of the filter, scrolls to the top or to the active row. */
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
    for (const drawn of free) drawn.element.remove(); // else all rows that stay would be moved before them
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
   * The scroll position that brings the wanted row, or the followed one, into view.
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
   * The scroll position that keeps the active row at its place on the screen when rows before it appear or vanish.
   * @param {number} stood  the previous place of the active row
   * @param {number} top
   * @param {number} viewHeight
   */
  heldInView(stood, top, viewHeight) {
    const wasSeen = stood >= 0 && inView(stood, top, viewHeight) === top;
    return wasSeen && this.activePlace >= 0 ? top + (this.activePlace - stood) * ROW_HEIGHT : top;
  }

  /** The place of the row that last became active, or of the folded scope that contains it. */
  followedPlace() {
    for (let row = this.store.rows.lastActive; row; row = row.parent) {
      const place = this.outline.place(row.index);
      if (place >= 0) return place;
    }
    return -1;
  }

  /** Draws more rows for printing, because paper does not scroll. @param {boolean} printing */
  setPrinting(printing) {
    this.printing = printing;
    this.render();
  }

  /** Whether there is something to do at the next tick, even when no time passes. */
  get isDue() {
    return this.jumpIsDue || this.outline.items.isOverdue;
  }

  /** Updates the clocks between two messages. */
  tick() {
    if (this.outline.items.isOverdue) this.outline.changed();
    // When the list is moved within the page, its scroll position is reset without an event.
    if (isElsewhere(this.element, this.top) || this.jumpIsDue) this.render();
    for (const drawn of this.shown.values()) drawn.paintClock(this.store);
  }
}

/**
 * Whether the element is scrolled to another position; browsers round to pixels of the screen.
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
 * Like `inView`, with one more row on each side; a distant row is placed in the middle.
 * @param {number} place
 * @param {number} top
 * @param {number} viewHeight
 */
function towards(place, top, viewHeight) {
  const near = inView(place + 1, inView(Math.max(0, place - 1), top, viewHeight), viewHeight);
  if (Math.abs(near - top) <= viewHeight / 2) return near;
  return place * ROW_HEIGHT - (viewHeight - ROW_HEIGHT) / 2;
}
