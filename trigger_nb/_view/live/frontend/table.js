// The items of a map as a table. The kernel sorts and filters, and sends the part that is in view; only rows in view have
// elements, however many items there are.

import { Button } from "./button.js";
import { STATES, h, setAttribute, setChildren, setShown, setText } from "./dom.js";
import { grouped, plural } from "./format.js";
import { TableRow, widths } from "./tablerow.js";
import { guarded } from "./store.js";

/** @typedef {import("./store.js").Row} Row */
/** A column: its name, title and kind. @typedef {[name: string, title: string, kind: string]} Column */
/** What the kernel sends of an item; the outputs follow. @typedef {[index: number, state: number, name: string, replayed: boolean, attempts: number, seconds: number | null, error: string, ...outputs: (string | null)[]]} Item */
/** @typedef {{ total: number, all: number, from: number, columns: Column[], more: boolean, rows: Item[], share: number }} Part */

const ROW_HEIGHT = 24; // the same as .tnb-gr in table.css
const OVERSCAN = 8; // rows drawn above and below the visible part
const PAGE = 100; // items that are asked for together
const REFRESH_EVERY = 1000; // ms, while items come and go
const READ_ON = 40; // ms between two requests while the kernel reads outputs
const OFFLINE = "Not connected to the kernel, which has the items.";

/** @type {Column[]} */
const FIRST_COLUMNS = [["name", "Item", "name"]];

let tableCount = 0;

/** The table of one view. */
export class Table {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./outline.js").Outline} outline
   */
  constructor(store, outline) {
    this.store = store;
    this.outline = outline;
    this.prefix = `tnb-t${(tableCount += 1)}-`;
    this.isOpen = false;
    /** The number of the map that is shown. @type {number | null} */
    this.map = null;
    this.sort = "";
    this.down = false;
    /** Only items with the error of this number. @type {number | null} */
    this.group = null;
    /** The latest part. @type {Part} */
    this.part = { total: 0, all: 0, from: 0, columns: [], more: false, rows: [], share: 1 };
    /** Items by place. @type {Map<number, Item>} */
    this.items = new Map();
    /** What the items were asked for with. */
    this.itemsFor = "";
    /** Pages that are to be asked for again. @type {Set<number>} */
    this.stale = new Set();
    this.seen = -1; // version of the map's row when the items were asked for
    this.askedAt = -Infinity;
    this.asking = false;
    this.problem = "";
    /** The place and the column of the active cell. */
    this.active = { place: -1, column: 0 };
    /** The row whose details the table keeps open. @type {number | null} */
    this.watched = null;
    /** @type {Map<number, TableRow>} */
    this.shown = new Map();
    this.top = 0;
    this.columnsPainted = "";
    this.groupsPainted = "";

    this.maps = h("select", { class: "tnb-tb-maps", "aria-label": "Map", hidden: true });
    this.maps.addEventListener("change", () => this.chooseMap(Number(this.maps.value)));
    this.count = h("span", { class: "tnb-tb-count", role: "status" });
    this.groups = h("span", { class: "tnb-tb-groups", role: "group", "aria-label": "Filter by error" });
    const bar = h("div", { class: "tnb-tb-bar" }, this.maps, this.count, this.groups);
    this.head = h("div", { class: "tnb-gh", role: "row", "aria-rowindex": 1 });
    this.window = h("div", { class: "tnb-gw", role: "presentation" });
    this.sizer = h("div", { class: "tnb-gs", role: "presentation" }, this.window);
    this.wide = h("div", { class: "tnb-wide2", role: "presentation" }, this.head, this.sizer);
    this.grid = h("div", { class: "tnb-grid", role: "grid", tabindex: "0" }, this.wide);
    this.element = h("div", { class: "tnb-tb", hidden: true }, bar, this.grid);
    this.grid.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.grid.addEventListener("click", (event) => this.clicked(event));
    this.grid.addEventListener("keydown", (event) => this.pressed(event));
  }

  // --- what is shown ---

  /** @param {boolean} open */
  setOpen(open) {
    if (open === this.isOpen) return;
    this.isOpen = open;
    if (open) {
      this.chooseMap(this.mapToShow()?.index ?? null);
    } else {
      this.watch(null);
    }
    setShown(this.element, open);
    this.store.notify();
  }

  /** The map around the active row, or the one that was shown, or the largest. */
  mapToShow() {
    for (let row = this.outline.activeRow(); row; row = row.parent) if (row.isMap) return row;
    const maps = this.store.rows.maps;
    const before = this.map === null ? undefined : this.store.rows.byIndex.get(this.map);
    return before ?? [...maps].sort((a, b) => sizeOf(b) - sizeOf(a) || a.index - b.index)[0] ?? null;
  }

  /** @param {number | null} index */
  chooseMap(index) {
    if (index === this.map) return;
    this.map = index;
    [this.sort, this.down, this.group] = ["", false, null];
    this.active = { place: -1, column: 0 };
    this.clear();
  }

  clear() {
    this.items.clear();
    this.stale.clear();
    this.itemsFor = "";
    this.part = { total: 0, all: 0, from: 0, columns: [], more: false, rows: [], share: 1 };
    this.grid.scrollTop = this.top = 0;
    this.store.notify();
  }

  /** @param {string} column */
  sortBy(column) {
    if (this.sort !== column) [this.sort, this.down] = [column, false];
    else if (!this.down) this.down = true;
    else [this.sort, this.down] = ["", false];
    this.store.notify();
  }

  /** @param {number} group */
  toggleGroup(group) {
    this.group = this.group === group ? null : group;
    this.store.notify();
  }

  get mapRow() {
    return this.map === null ? null : (this.store.rows.byIndex.get(this.map) ?? null);
  }

  /** What is asked for, but for the part. */
  get wish() {
    const { text, states, origins } = this.outline;
    const wish = { i: this.map, sort: this.sort, down: this.down, group: this.group };
    return { ...wish, text, states: [...states], origins: [...origins] };
  }

  // --- asking the kernel ---

  /** Asks for what is in view and is not there, or is out of date. */
  ask() {
    const { store } = this;
    const map = this.mapRow;
    if (!map || this.asking || !store.channel.live()) return;
    const wish = JSON.stringify(this.wish);
    const now = Date.now();
    if (map.version !== this.seen && now - this.askedAt >= REFRESH_EVERY) {
      for (const place of this.items.keys()) this.stale.add(pageOf(place));
      if (!this.items.size) this.stale.add(0);
    }
    const isNew = wish !== this.itemsFor;
    const [from, to] = isNew ? [0, PAGE] : this.missing();
    if (from === to) return;
    this.asking = true;
    this.askedAt = now;
    this.seen = map.version;
    void store.request({ t: "table", ...this.wish, from, to }).then((answer) => {
      this.asking = false;
      guarded(() => this.answered(wish, from, to, answer));
    });
  }

  /** The pages in view that are missing or stale, from the first to the last. */
  missing() {
    const [first, last] = this.inView();
    const most = this.itemsFor ? Math.min(last, this.part.total) : last;
    let [from, to] = [Infinity, 0];
    for (let page = pageOf(first); page * PAGE < Math.max(most, 1); page += 1) {
      const isThere = this.items.has(page * PAGE) || (this.itemsFor !== "" && page * PAGE >= this.part.total && page > 0);
      if (isThere && !this.stale.has(page)) continue;
      if (this.itemsFor && !this.part.total && !this.stale.has(page)) continue;
      from = Math.min(from, page * PAGE);
      to = (page + 1) * PAGE;
    }
    return from === Infinity ? [0, 0] : [from, Math.min(to, from + 3 * PAGE)];
  }

  /**
   * @param {string} wish
   * @param {number} from
   * @param {number} to
   * @param {import("./store.js").Answer} answer
   */
  answered(wish, from, to, answer) {
    if (!this.isOpen) return;
    this.problem = answer.ok ? "" : (answer.text ?? "");
    if (!answer.ok) {
      setTimeout(() => this.store.notify(), REFRESH_EVERY);
      this.store.notify();
      return;
    }
    const part = /** @type {Part} */ (/** @type {unknown} */ (answer));
    if (wish === JSON.stringify(this.wish)) {
      if (wish !== this.itemsFor) this.startAnew(wish);
      if (JSON.stringify(part.columns) === JSON.stringify(this.part.columns)) part.columns = this.part.columns;
      this.part = part;
      for (const place of [...this.items.keys()]) if (place >= part.total) this.items.delete(place);
      part.rows.forEach((item, at) => this.items.set(part.from + at, item));
      for (let page = pageOf(from); page * PAGE < to; page += 1) this.stale.delete(page);
      if (part.share < 1) setTimeout(() => this.readOn(), READ_ON);
    }
    this.store.notify();
  }

  /** The first answer to another wish takes the place of what was shown. @param {string} wish */
  startAnew(wish) {
    const isSameMap = this.itemsFor !== "";
    this.items.clear();
    this.stale.clear();
    this.itemsFor = wish;
    this.active.place = -1;
    if (isSameMap) this.grid.scrollTop = this.top = 0;
  }

  readOn() {
    for (const place of this.items.keys()) this.stale.add(pageOf(place));
    if (!this.items.size) this.stale.add(0);
    this.store.notify();
  }

  // --- actions of the user ---

  scrolled() {
    if (!this.grid.clientHeight || this.grid.scrollTop === this.top) return;
    this.top = this.grid.scrollTop;
    guarded(() => this.renderWindow());
    this.ask();
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const target = /** @type {Element} */ (event.target);
    const line = target.closest("[data-place]");
    const selection = getSelection();
    const isSelecting = selection && !selection.isCollapsed && this.grid.contains(selection.anchorNode);
    if (!line || isSelecting) return;
    const column = Number(target.closest("[data-column]")?.getAttribute("data-column") ?? 0);
    this.choose(Number(line.getAttribute("data-place")), column);
    this.openDetails();
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.grid) return;
    const { place, column } = this.active;
    const last = this.part.total - 1;
    const page = Math.max(1, Math.floor(this.viewHeight / ROW_HEIGHT) - 1);
    /** @type {Record<string, [place: number, column: number]>} */
    const moves = {
      ArrowDown: [place + 1, column],
      ArrowUp: [place < 0 ? last : place - 1, column],
      PageDown: [place + page, column],
      PageUp: [place - page, column],
      Home: [0, 0],
      End: [last, column],
      ArrowRight: [Math.max(0, place), column + 1],
      ArrowLeft: [Math.max(0, place), column - 1],
    };
    if (event.key in moves) this.choose(...moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.openDetails();
    else if (event.key === "s") this.sortBy(this.part.columns[column]?.[0] ?? "");
    else if (event.key === "Escape" && this.outline.detailed) this.outline.detailed = false;
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.store.notify();
  }

  /**
   * Makes a cell active and scrolls it into view.
   * @param {number} place
   * @param {number} column
   */
  choose(place, column) {
    const { total, columns } = this.part;
    if (!total) return;
    this.active = { place: clamped(place, total), column: clamped(column, columns.length) };
    const start = this.active.place * ROW_HEIGHT;
    const height = this.viewHeight;
    if (start < this.top) this.top = start;
    else if (start + ROW_HEIGHT > this.top + height) this.top = start + ROW_HEIGHT - height;
    this.grid.scrollTop = this.top;
    if (this.outline.detailed) this.openDetails();
    this.store.notify();
    guarded(() => this.renderWindow());
    this.scrollToColumn();
  }

  scrollToColumn() {
    const { place, column } = this.active;
    const cell = this.shown.get(place)?.cells[column];
    if (!cell || !column) {
      if (!column) this.grid.scrollLeft = 0;
      return;
    }
    const frozen = this.shown.get(place)?.cells[0].offsetWidth ?? 0;
    const [left, right] = [cell.offsetLeft, cell.offsetLeft + cell.offsetWidth];
    if (left - frozen < this.grid.scrollLeft) this.grid.scrollLeft = left - frozen;
    else if (right > this.grid.scrollLeft + this.grid.clientWidth) this.grid.scrollLeft = right - this.grid.clientWidth;
  }

  /** Opens the details of the active item, whose row the kernel may have to send first. */
  openDetails() {
    const item = this.items.get(this.active.place);
    if (!item) return;
    this.outline.following = false;
    this.outline.active = item[0];
    this.outline.detailed = true;
    this.watch(item[0]);
    this.store.notify();
  }

  /** Keeps the details of a row open in the kernel, which then sends the row. @param {number | null} index */
  watch(index) {
    if (index === this.watched) return;
    if (this.watched !== null) this.store.unwatch(this.watched);
    this.watched = index;
    if (index !== null) this.store.watch(index);
  }

  focus() {
    if (this.active.place < 0) this.choose(0, 0);
    this.grid.focus({ preventScroll: true });
  }

  close() {
    this.watch(null);
  }

  // --- drawing ---

  /** The height in which rows are seen. */
  get viewHeight() {
    return Math.max(0, this.grid.clientHeight - this.head.offsetHeight);
  }

  /** The places of the first row in view and of the one after the last. */
  inView() {
    const first = Math.max(0, Math.floor(this.top / ROW_HEIGHT) - OVERSCAN);
    return [first, Math.ceil((this.top + Math.max(this.viewHeight, ROW_HEIGHT)) / ROW_HEIGHT) + OVERSCAN];
  }

  /** The columns to draw; before the first answer those that there will be. @returns {Column[]} */
  get columns() {
    return this.part.columns.length ? this.part.columns : FIRST_COLUMNS;
  }

  render() {
    if (!this.isOpen) return;
    if (!this.mapRow) this.chooseMap(this.mapToShow()?.index ?? null);
    if (!this.outline.detailed) this.watch(null);
    this.renderBar();
    this.renderHead();
    this.sizer.style.height = `${this.part.total * ROW_HEIGHT}px`;
    // A browser forgets the scroll position of an element that is removed from the page.
    if (Math.abs(this.grid.scrollTop - this.top) > 1) this.grid.scrollTop = this.top;
    this.renderWindow();
    this.ask();
  }

  renderBar() {
    const { total, all, share, more } = this.part;
    const maps = [...this.store.rows.maps].sort((a, b) => a.index - b.index);
    setShown(this.maps, maps.length > 1);
    const options = maps.map((row) => row.name).join("\n");
    if (this.maps.dataset["of"] !== options) {
      this.maps.dataset["of"] = options;
      this.maps.replaceChildren(...maps.map((row) => h("option", { value: row.index }, row.name)));
    }
    this.maps.value = String(this.map);
    const count = total === all ? plural(all, "item") : `${grouped(total)} of ${plural(all, "item")}`;
    const reading = share < 1 ? ` · reading results, ${Math.round(100 * share)} %` : "";
    const fields = more ? " · the first 12 fields" : "";
    const isLive = this.store.channel.live();
    const text = this.problem || (isLive ? (this.itemsFor ? `${count}${reading}${fields}` : "Reading …") : OFFLINE);
    setText(this.count, text);
    this.renderGroups();
  }

  renderGroups() {
    const errors = this.mapRow?.errors ?? [];
    const painted = JSON.stringify([errors, this.group]);
    if (painted === this.groupsPainted) return;
    this.groupsPainted = painted;
    const buttons = errors.map(([group, count, text]) => {
      const button = new Button(`${grouped(count)} × ${text}`, () => this.toggleGroup(group), { class: "tnb-tb-group" });
      button.setPressed(group === this.group);
      setAttribute(button.element, "title", `Show only items with this error: ${text}`);
      return button.element;
    });
    const at = [...this.groups.children].findIndex((button) => button === document.activeElement);
    setChildren(this.groups, buttons);
    if (at >= 0) buttons[at]?.focus({ preventScroll: true });
  }

  renderHead() {
    const columns = this.columns;
    const room = this.grid.clientWidth;
    const [template, width] = widths(columns, room);
    this.wide.style.setProperty("--cols", template);
    this.wide.style.width = `${width}px`;
    // Each name that stays in view costs a layer: only if there is something to scroll sideways.
    this.grid.classList.toggle("tnb-frozen", width > room);
    setAttribute(this.grid, "aria-rowcount", this.part.total + 1);
    setAttribute(this.grid, "aria-colcount", columns.length);
    setAttribute(this.grid, "aria-label", `Items of ${this.mapRow?.name ?? "the map"}`);
    const painted = JSON.stringify([columns, this.sort, this.down]);
    if (painted === this.columnsPainted) return;
    this.columnsPainted = painted;
    const focused = [...this.head.children].findIndex((cell) => cell.contains(document.activeElement));
    this.head.replaceChildren(...columns.map((column, at) => this.headCell(column, at)));
    if (focused >= 0) this.head.children[focused]?.querySelector("button")?.focus({ preventScroll: true });
  }

  /**
   * @param {Column} column
   * @param {number} at
   */
  headCell([name, title, kind], at) {
    const isSorted = this.sort === name;
    const arrow = h("span", { class: "tnb-arrow", "aria-hidden": "true" }, isSorted ? (this.down ? "▼" : "▲") : "");
    const then = isSorted ? (this.down ? "in the order of their start" : "descending") : "ascending";
    const button = h(
      "button",
      { type: "button", class: "tnb-gb", title: `Sort by ${title}, ${then}`, onclick: () => this.sortBy(name) },
      h("span", {}, title),
      arrow,
    );
    const sorted = isSorted ? (this.down ? "descending" : "ascending") : null;
    const properties = { class: `tnb-gc tnb-gk-${kind}`, role: "columnheader", "aria-colindex": at + 1, "aria-sort": sorted };
    return h("div", properties, button);
  }

  /** Draws the rows in view; elements of rows that have left it are used again. */
  renderWindow() {
    const [first, end] = this.inView();
    const last = Math.min(end, this.part.total);
    /** @type {Map<number, TableRow>} */
    const shown = new Map();
    const free = [...this.shown].filter(([place]) => place < first || place >= last).map(([, row]) => row);
    for (const row of free) row.element.remove(); // else all rows that stay would be moved before them
    for (let place = first; place < last; place += 1) {
      const row = this.shown.get(place) ?? free.pop() ?? new TableRow(this.prefix);
      row.paint(place, this.items.get(place) ?? null, this.columns, this.active, this.outline);
      shown.set(place, row);
    }
    this.shown = shown;
    setChildren(this.window, [...shown.values()].map((row) => row.element));
    this.window.style.transform = `translateY(${first * ROW_HEIGHT}px)`;
    const { place, column } = this.active;
    setAttribute(this.grid, "aria-activedescendant", shown.has(place) ? `${this.prefix}${place}-${column}` : null);
  }

  /** While items come and go. */
  tick() {
    if (this.isOpen) this.ask();
  }
}

/** @param {number} place */
function pageOf(place) {
  return Math.floor(place / PAGE);
}

/** @param {Row} map */
function sizeOf(map) {
  return STATES.reduce((sum, state) => sum + (map.below[state] ?? 0), 0);
}

/**
 * A number from 0 up to `count`, without `count`.
 * @param {number} number
 * @param {number} count
 */
function clamped(number, count) {
  return Math.max(0, Math.min(count - 1, number));
}
