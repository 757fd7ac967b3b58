// A table of runs; selecting a run opens its tree below.

import { UNCONNECTED } from "./actions.js";
import { Button } from "./button.js";
import { keepTime, wake } from "./clock.js";
import { h, keepShortcutsAway, setAttribute, setChildren, setShown, setText, shape, stateName } from "./dom.js";
import { ago, grouped, localTime, plural, ticking } from "./format.js";
import { closeRun, mountRun } from "./run.js";
import { PAGE_SIZE, RunList } from "./runlist.js";

/** @typedef {import("./runlist.js").RunLine} RunLine */
/** @typedef {import("./runlist.js").RunPage} RunPage */
/** @typedef {import("./runlist.js").RunChannel} RunChannel */

const COLUMNS = ["State", "Job", "Payload", "Status", "Started", "Duration", "Tasks", "Run", "Actions"];
const TEXTS = /** @type {const} */ (["job", "payload", "status", "counts"]);
const OPS = ["retry", "again", "delete"]; // actions with an icon

/** @type {WeakMap<import("./store.js").Channel, RunList>} */
const runLists = new WeakMap();

/**
 * Shows a channel's list of runs in an element.
 * @param {import("./store.js").Channel} channel
 * @param {HTMLElement} element
 * @returns {() => void}  removes the list
 */
export function mountRuns(channel, element) {
  let list = runLists.get(channel);
  if (!list) runLists.set(channel, (list = new RunList(channel)));
  const view = new RunsView(list);
  element.append(view.root);
  view.render();
  return () => view.close();
}

/** Closes all views of the list of a channel. @param {import("./store.js").Channel} channel */
export function closeRuns(channel) {
  const list = runLists.get(channel);
  if (list?.opened) closeRun(list.opened);
  list?.close();
  runLists.delete(channel);
}

/** One view of a list. */
class RunsView {
  /** @param {RunList} list */
  constructor(list) {
    this.list = list;
    /** @type {Map<string, RunRow>} */
    this.rows = new Map();
    /** The active run, which the keyboard controls. @type {string | null} */
    this.active = null;
    /** Its place, for when it is removed. */
    this.activePlace = 0;
    /** The run whose tree is shown below. @type {RunChannel | null} */
    this.shown = null;
    this.leaveShown = () => {};

    const changed = () => list.filter(this.jobs.value, this.statuses.value);
    this.jobs = h("select", { "aria-label": "Job", onchange: changed });
    this.statuses = h("select", { "aria-label": "Status", onchange: changed });
    this.range = h("span", { class: "tnb-runs-range", role: "status" });
    this.newer = new Button("Newer", () => list.turn(-1));
    this.older = new Button("Older", () => list.turn(1));
    this.pager = h("span", { class: "tnb-buttons" }, this.newer.element, this.older.element);
    const pages = h("span", { class: "tnb-tools" }, this.range, this.pager);
    this.tools = h("div", { class: "tnb-bar2" }, this.jobs, this.statuses, pages);
    this.note = h("div", { class: "tnb-note", role: "status", hidden: true });
    this.empty = h("div", { class: "tnb-empty", role: "status", hidden: true });
    this.body = h("tbody");
    const titles = COLUMNS.map((title, at) => h("th", { role: "columnheader", scope: "col", class: `tnb-runs-${at}` }, title));
    const head = h("thead", {}, h("tr", { role: "row" }, ...titles));
    this.table = h("table", { role: "grid", "aria-label": "Runs", class: "tnb-runs-table" }, head, this.body);
    this.scroller = h("div", { class: "tnb-runs-list" }, this.table);
    this.closer = new Button("Close this run", () => this.shut(), { icon: "close", class: "tnb-plain" });
    this.place = h("div", { class: "tnb-runs-run" });
    this.below = h("section", { class: "tnb-runs-below", hidden: true }, this.closer.element, this.place);
    this.root = h(
      "div",
      { class: "tnb-live tnb-runs", role: "region", "aria-label": "List of runs" },
      this.tools,
      this.note,
      this.scroller,
      this.empty,
      this.below,
    );
    keepShortcutsAway(this.root);
    this.body.addEventListener("click", (event) => this.clicked(event));
    this.body.addEventListener("keydown", (event) => this.pressed(event));
    this.body.addEventListener("focusin", (event) => this.focused(event));
    this.stopListening = list.subscribe(() => this.render());
    this.stopTime = keepTime(this.root, this);
  }

  close() {
    this.stopTime();
    this.stopListening();
    this.leaveShown();
    this.root.remove();
  }

  // --- time ---

  isTicking() {
    return this.list.channel.live();
  }

  tick() {
    this.list.look();
    for (const line of this.list.page?.rows ?? []) this.rows.get(line.id)?.paintTimes(line);
  }

  appear() {
    this.tick();
  }

  // --- drawing ---

  render() {
    const { list } = this;
    const { page } = list;
    this.renderTools(page);
    setText(this.note, list.channel.live() ? list.note : UNCONNECTED);
    setShown(this.note, this.note.textContent !== "");
    setShown(this.scroller, Boolean(page?.rows.length));
    setText(this.empty, page ? (list.job || list.status ? "No run matches the filter" : "No runs yet") : "Loading runs …");
    setShown(this.empty, !page?.rows.length);
    if (page) this.renderRows(page);
    this.renderShown();
    wake();
  }

  /** @param {RunPage | null} page */
  renderTools(page) {
    const { list } = this;
    const { rows, total, offset, jobs, statuses } = page ?? { rows: [], total: 0, offset: 0, jobs: [], statuses: [] };
    fillSelect(this.jobs, "All jobs", jobs, list.job);
    fillSelect(this.statuses, "Any status", statuses, list.status);
    const isPaged = total > rows.length;
    setText(this.range, isPaged ? `${grouped(offset + 1)}-${grouped(offset + rows.length)} of ${grouped(total)}` : plural(total, "run"));
    setShown(this.pager, isPaged);
    this.newer.setWhy(offset > 0 ? "" : "These are the newest runs.");
    this.older.setWhy(offset + PAGE_SIZE < total ? "" : "These are the oldest runs.");
    setShown(this.tools, total > 0 || list.job !== "" || list.status !== "");
  }

  /** @param {RunPage} page */
  renderRows({ rows, total, offset }) {
    const hadFocus = this.body.contains(document.activeElement);
    const found = rows.findIndex((run) => run.id === this.active);
    this.activePlace = found >= 0 ? found : Math.max(0, Math.min(this.activePlace, rows.length - 1));
    this.active = rows[this.activePlace]?.id ?? null;
    /** @type {Map<string, RunRow>} */
    const shown = new Map();
    rows.forEach((run, at) => {
      const row = this.rows.get(run.id) ?? new RunRow(run.id, this.list);
      row.paint(run, offset + at, run.id === this.active);
      shown.set(run.id, row);
    });
    this.rows = shown;
    setAttribute(this.table, "aria-rowcount", total + 1);
    setChildren(this.body, [...shown.values()].flatMap((row) => row.elements()));
    // The element with the focus is gone: a deleted run, or a question.
    if (hadFocus && !this.body.contains(document.activeElement)) this.focusActive();
  }

  /** Shows the tree of the open run. */
  renderShown() {
    const { opened } = this.list;
    if (opened === this.shown) return;
    this.leaveShown();
    this.leaveShown = () => {};
    if (this.shown) closeRun(this.shown);
    this.shown = opened;
    setChildren(this.place, []);
    setShown(this.below, opened !== null);
    this.scroller.classList.toggle("tnb-runs-short", opened !== null);
    if (!opened) return;
    this.rows.get(opened.run)?.element.scrollIntoView({ block: "nearest" });
    setAttribute(this.below, "aria-label", `Run ${opened.run}`);
    this.leaveShown = mountRun(opened, this.place);
  }

  // --- actions of the user ---

  /** @param {Event} event */
  runOf(event) {
    const row = /** @type {Element} */ (event.target).closest("tr[data-run]");
    return row?.getAttribute("data-run") ?? null;
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const run = this.runOf(event);
    if (run === null || /** @type {Element} */ (event.target).closest("button")) return;
    this.active = run;
    this.list.open(run);
    this.focusActive();
  }

  /** @param {FocusEvent} event */
  focused(event) {
    const run = this.runOf(event);
    if (run === null || run === this.active) return;
    this.active = run;
    this.list.notify();
  }

  focusActive() {
    if (this.active !== null) this.rows.get(this.active)?.element.focus({ preventScroll: true });
  }

  shut() {
    this.list.shut();
    this.focusActive();
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = /** @type {Element} */ (event.target).closest("button") !== null;
    if (!this.move(event.key) && !this.act(event.key, onButton)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} key */
  move(key) {
    const runs = [...this.rows.keys()];
    const place = this.active === null ? -1 : runs.indexOf(this.active);
    /** @type {Record<string, number>} */
    const places = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: runs.length - 1 };
    if (!(key in places)) return false;
    this.active = runs[Math.max(0, Math.min(runs.length - 1, places[key]))] ?? null;
    this.list.notify();
    this.focusActive();
    return true;
  }

  /**
   * @param {string} key
   * @param {boolean} onButton
   */
  act(key, onButton) {
    const { active, list } = this;
    const row = active === null ? undefined : this.rows.get(active);
    if (active === null || !row) return false;
    switch (key) {
      case "Enter":
      case " ":
        if (onButton) return false;
        list.open(active);
        return true;
      case "ArrowRight":
      case "ArrowLeft":
        row.moveFocus(key === "ArrowRight" ? 1 : -1);
        return true;
      case "Delete":
        row.press("delete");
        return true;
      case "Escape":
        if (!list.asking && !list.opened) return false;
        if (list.asking) list.dismiss();
        else list.shut();
        this.focusActive();
        return true;
      case "PageDown":
      case "PageUp":
        this.active = null;
        this.activePlace = 0;
        list.turn(key === "PageDown" ? 1 : -1);
        return true;
      default:
        return false;
    }
  }
}

// --- one row -------------------------------------------------------------------------------------------------------

/** The row of a run in the table, and below it a question to confirm an action. */
class RunRow {
  /**
   * @param {string} run
   * @param {RunList} list
   */
  constructor(run, list) {
    this.run = run;
    this.list = list;
    /** By op. @type {Map<string, Button>} */
    this.buttons = new Map();
    this.shape = shape("pending");
    this.job = h("b");
    this.payload = h("code");
    this.status = h("span");
    this.started = h("span");
    this.duration = h("span");
    this.counts = h("span");
    this.actions = h("span", { class: "tnb-buttons" });
    // The second click of a double click would act on the run that has moved to this place.
    this.actions.addEventListener("click", (event) => event.detail > 1 && event.stopPropagation(), true);
    const cells = [this.shape, this.job, this.payload, this.status, this.started, this.duration, this.counts, h("code", {}, run), this.actions];
    this.element = h(
      "tr",
      { role: "row", "data-run": run },
      ...cells.map((cell, at) => h("td", { role: "gridcell", class: `tnb-runs-${at}` }, cell)),
    );
    this.question = h("span");
    /** By op: the button that confirms. @type {Record<string, Button>} */
    this.yes = {
      delete: new Button("Delete", () => void list.order("delete", run), { class: "tnb-danger" }),
      again: new Button("Run again", () => void list.order("again", run), { class: "tnb-main" }),
    };
    this.no = new Button("Keep", () => list.dismiss());
    const answers = [this.yes.delete, this.yes.again, this.no].map((button) => button.element);
    const asked = h("div", { class: "tnb-confirm" }, this.question, h("span", { class: "tnb-buttons" }, ...answers));
    this.askingCell = h("td", { role: "gridcell" }, asked);
    this.asking = h("tr", { role: "row", "data-run": run, class: "tnb-runs-ask" }, this.askingCell);
    this.isAsking = false;
  }

  /** The elements in the table. */
  elements() {
    return this.isAsking ? [this.element, this.asking] : [this.element];
  }

  /**
   * @param {RunLine} line
   * @param {number} place  of the run among all runs
   * @param {boolean} isActive
   */
  paint(line, place, isActive) {
    const { list, run } = this;
    const isOpen = list.opened?.run === run;
    setAttribute(this.element, "aria-rowindex", place + 2);
    setAttribute(this.element, "aria-selected", String(isOpen));
    setAttribute(this.element, "tabindex", isActive ? 0 : -1);
    setAttribute(this.shape, "class", `tnb-s tnb-s-${stateName(line.state)}`);
    setAttribute(this.shape, "title", line.state);
    setAttribute(this.status, "class", `tnb-w-${stateName(line.state)}`);
    for (const name of TEXTS) {
      setText(this[name], line[name]);
      setAttribute(this[name], "title", line[name] || null);
    }
    this.paintTimes(line);
    this.paintActions(line.actions, isActive);
    const asked = list.asking?.run === run ? list.asking.op : "";
    this.isAsking = asked !== "";
    // A narrow list hides columns: span only the visible ones, because more would take space from them.
    if (this.isAsking) this.askingCell.colSpan = [...this.element.cells].filter((cell) => cell.getClientRects().length).length;
    const [tasks] = /^[\d,]+ tasks?/.exec(line.counts) ?? [""];
    const withTasks = tasks && ` with its ${tasks}`;
    for (const op in this.yes) setShown(this.yes[op].element, op === asked);
    this.no.setLabel(asked === "delete" ? "Keep" : "No");
    // Both actions cannot be undone: a new run repeats the side effects of its tasks.
    setText(this.question, asked === "delete" ? `Delete ${run}${withTasks}?` : `Run all tasks again, in a new run with the payload of ${run}?`);
  }

  /** @param {RunLine} line */
  paintTimes({ at, duration, since }) {
    setText(this.started, at === null ? "" : ago(this.list.now() - at));
    setAttribute(this.started, "title", at === null ? null : localTime(at));
    const text = since === undefined ? duration : ticking(this.list.now() - since);
    setText(this.duration, text);
    setAttribute(this.duration, "title", text || null);
  }

  /**
   * @param {import("./store.js").Action[]} offered
   * @param {boolean} isActive
   */
  paintActions(offered, isActive) {
    const { list, run } = this;
    const elements = offered.map(({ op, label, why }) => {
      const icon = OPS.includes(op) ? op : undefined;
      const button = this.buttons.get(op) ?? new Button(label, () => this.act(op), { icon, class: icon && "tnb-plain" });
      this.buttons.set(op, button);
      button.setWhy(list.channel.live() ? why : UNCONNECTED);
      setAttribute(button.element, "tabindex", isActive ? 0 : -1);
      setAttribute(button.element, "aria-busy", list.ordered.has(`${op} ${run}`) ? "true" : null);
      return button.element;
    });
    setChildren(this.actions, elements);
  }

  /** @param {string} op */
  act(op) {
    if (!(op in this.yes)) return void this.list.order(op, this.run);
    this.list.ask(op, this.run);
    this.no.element.focus();
  }

  /** @param {string} op */
  press(op) {
    this.buttons.get(op)?.element.click();
  }

  /**
   * Moves the focus between the row and its buttons.
   * @param {1 | -1} by
   */
  moveFocus(by) {
    const stops = [this.element, ...this.elements().flatMap((row) => [...row.querySelectorAll("button")])];
    const at = stops.findIndex((stop) => stop === document.activeElement);
    stops[Math.max(0, Math.min(stops.length - 1, at + by))].focus();
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {string} all  the text of the option without a filter
 * @param {string[]} choices
 * @param {string} chosen
 */
function fillSelect(select, all, choices, chosen) {
  const offered = chosen && !choices.includes(chosen) ? [...choices, chosen] : choices;
  const filled = [...select.options].slice(1).map((option) => option.value);
  if (!select.options.length || filled.join("\n") !== offered.join("\n")) {
    setChildren(select, [h("option", { value: "" }, all), ...offered.map((value) => h("option", { value }, value))]);
  }
  select.value = chosen;
  setShown(select, offered.length > 1 || chosen !== "");
}
