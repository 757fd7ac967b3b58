// Counts by state, and the tools for large runs. A tool appears once it is useful, and then stays.

import { Button } from "./button.js";
import { h, setAttribute, setChildren, setShown, setText, shape } from "./dom.js";
import { ago, grouped, localTime, ticking } from "./format.js";
import { isOrigin } from "./rows.js";

const TOOLS_FROM = 13; // minimum number of rows for the tools

/** The counts under the bar (`chipBox`), and the line above the tree. */
export class Toolbar {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./outline.js").Outline} outline
   * @param {import("./tree.js").Tree} tree
   * @param {import("./table.js").Table} table
   * @param {(view: "tree" | "timeline" | "table") => void} setView
   */
  constructor(store, outline, tree, table, setView) {
    this.store = store;
    this.outline = outline;
    this.tree = tree;
    this.table = table;
    /** @type {Map<string, Chip>} */
    this.chips = new Map();
    this.isLarge = false;

    this.total = h("span", { class: "tnb-total" });
    /** Where the job's function is, while no task is under way. */
    this.standing = h("span", { class: "tnb-standing", hidden: true });
    this.chipBox = h("span", { class: "tnb-chips", role: "group", "aria-label": "Filter by status" });
    this.input = h("input", { type: "search", class: "tnb-filter", placeholder: "Filter", "aria-label": "Filter tasks" });
    this.input.addEventListener("input", () => outline.setText(this.input.value));
    this.input.addEventListener("keydown", (event) => this.inputKey(event));
    this.hits = h("span", { class: "tnb-hits", role: "status" });
    this.failure = new Button("Next failure", () => this.showNextFailure());
    this.failure.element.title = "Next failure (press ! in the tree)";
    this.fold = new Button("Fold all", () => outline.setAllOpen(false), { icon: "fold", class: "tnb-plain" });
    this.unfold = new Button("Unfold all", () => outline.setAllOpen(true), { icon: "unfold", class: "tnb-plain" });
    this.follow = new Button("Follow running tasks", () => this.toggleFollowing(), { icon: "follow", class: "tnb-plain" });
    this.asTree = new Button("Tree", () => setView("tree"));
    this.asTimeline = new Button("Timeline", () => setView("timeline"));
    this.asTable = new Button("Table", () => setView("table"));
    this.asTable.element.title = "The items of a map as a table";
    this.views = h(
      "span",
      { class: "tnb-views", role: "group", "aria-label": "View" },
      this.asTree.element,
      this.asTimeline.element,
      this.asTable.element,
    );
    this.tell = new Button("About this run", () => this.toggleAbout(), { icon: "about", class: "tnb-plain tnb-tell" });
    this.tell.setPressed(false);
    this.about = h("div", { class: "tnb-a" }, h("code", {}), h("span", {}), h("code", {}));
    const tools = [this.fold, this.unfold, this.follow, this.tell].map((button) => button.element);
    const end = h("span", { class: "tnb-tools" }, this.hits, this.failure.element, this.input, ...tools, this.views);
    this.element = h("div", { class: "tnb-bar2" }, this.about, end);
  }

  render() {
    const { outline, store, table, tree } = this;
    const rows = store.rows;
    this.isLarge ||= rows.size >= TOOLS_FROM;
    this.renderChips(store.header);
    this.renderAbout(store.header);
    this.tick();
    setShown(this.chipBox, rows.size > 0 || !store.header.ended); // its height is there before the first row
    setShown(this.views, rows.size > 0);
    setShown(this.asTable.element, rows.maps.size > 0 || table.isOpen);
    const hasScopes = rows.root.children.some((row) => row.isScope);
    setShown(this.failure.element, this.isLarge && !table.isOpen && (rows.root.below["failed"] ?? 0) > 0);
    setShown(this.input, this.isLarge || table.isOpen);
    if (document.activeElement !== this.input && !outline.text) this.input.value = "";
    setShown(this.fold.element, this.isLarge && hasScopes && !table.isOpen);
    setShown(this.unfold.element, this.isLarge && hasScopes && !table.isOpen);
    setShown(this.follow.element, tree.scrolls && !store.header.ended && !table.isOpen);
    this.follow.setPressed(outline.following);
    setText(this.hits, outline.filtered && !table.isOpen ? `${grouped(outline.hits)} of ${grouped(rows.total)}` : "");
    this.asTree.setPressed(!tree.timed && !table.isOpen);
    this.asTimeline.setPressed(tree.timed);
    this.asTable.setPressed(table.isOpen);
  }

  tick() {
    const { started, standing } = this.store.header;
    const now = this.store.now();
    setText(this.about.children[1], started === null ? "" : ago(now - started));
    const since = standing ? now - standing[1] : 0;
    const isLong = standing !== null && since >= SHARED.standsAfter;
    setText(this.standing, isLong ? `${standing[0]}, for ${ticking(since)}` : "");
    setShown(this.standing, isLong);
    this.store.lookAround();
  }

  /** @param {import("./store.js").Header} header */
  renderChips({ total, chips }) {
    setText(this.total, total && chips.length ? `${total}: ` : total);
    setShown(this.total, total !== "");
    const shown = new Map(chips.map(([name, count, word]) => [name, { count, word }]));
    for (const name of this.chips.keys()) {
      if (this.isChosen(name) && !shown.has(name)) shown.set(name, { count: "0", word: name });
    }
    const elements = [...shown].map(([name, { count, word }]) => {
      const chip = this.chips.get(name) ?? new Chip(name, () => this.outline.toggleState(name));
      this.chips.set(name, chip);
      chip.render(count, word, this.isChosen(name));
      return chip.element;
    });
    setChildren(this.chipBox, [this.total, ...elements, this.standing]);
  }

  /** @param {import("./store.js").Header} header */
  renderAbout({ id, started, store, store_at }) {
    const titles = [id, started === null ? "" : `Started ${localTime(started)}`, store_at || store];
    [id, null, store].forEach((text, at) => {
      const element = /** @type {HTMLElement} */ (this.about.children[at]);
      if (text !== null) setText(element, text);
      setAttribute(element, "title", titles[at]);
      setShown(element, titles[at] !== "");
    });
  }

  /** @param {string} state */
  isChosen(state) {
    return isOrigin(state) ? this.outline.origins.has(state) : this.outline.states.has(state);
  }

  showNextFailure() {
    const failure = this.outline.nextFailure();
    if (!failure) return;
    this.outline.detailed = true;
    this.tree.choose(failure);
  }

  /** In a narrow list, id, time and store of the run take a line of their own, which is shown on request. */
  toggleAbout() {
    this.tell.setPressed(this.element.classList.toggle("tnb-told"));
  }

  toggleFollowing() {
    this.outline.following = !this.outline.following;
    this.store.notify();
  }

  /** @param {KeyboardEvent} event */
  inputKey(event) {
    if (event.key === "Escape" && this.input.value) {
      this.input.value = "";
      this.outline.setText("");
    } else if (event.key === "ArrowDown" && this.table.isOpen) {
      this.table.focus();
    } else if (event.key === "ArrowDown") {
      const [first] = this.outline.lines();
      if (first) { // else the list is about to be hidden, and would take the focus with it
        this.tree.element.focus();
        this.tree.choose(first.row);
      }
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

/** The number of rows in a state; when pressed, only these rows are shown. */
class Chip {
  /**
   * @param {string} state
   * @param {() => void} toggle
   */
  constructor(state, toggle) {
    this.state = state;
    this.count = h("span", { class: "tnb-chip-n" });
    this.word = h("span", { class: "tnb-chip-w" });
    this.element = h(
      "button",
      { type: "button", class: isOrigin(state) ? "tnb-chip tnb-chip-old" : "tnb-chip", onclick: toggle },
      shape(isOrigin(state) ? "completed" : state),
      this.count,
      this.word,
    );
  }

  /**
   * @param {string} count
   * @param {string} word
   * @param {boolean} chosen
   */
  render(count, word, chosen) {
    setText(this.count, count);
    setText(this.word, word);
    setAttribute(this.element, "aria-pressed", String(chosen));
    const what = this.state === "log" ? "log lines" : this.state === "reused" ? "tasks whose result is another run's" : `${this.state} tasks`;
    setAttribute(this.element, "title", `Show only ${what}`);
  }
}
