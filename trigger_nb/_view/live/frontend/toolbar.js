// Counts by state, and the tools for large runs. A tool appears once it is useful, and then stays.

import { Button } from "./button.js";
import { h, setAttribute, setChildren, setShown, setText, shape } from "./dom.js";
import { STATE_ORDER, grouped } from "./format.js";

const TOOLS_FROM = 13; // minimum number of rows for the tools

/** The counts under the bar (`chipBox`), and the line above the tree. */
export class Toolbar {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./outline.js").Outline} outline
   * @param {import("./tree.js").Tree} tree
   * @param {(timed: boolean) => void} setTimed
   */
  constructor(store, outline, tree, setTimed) {
    this.store = store;
    this.outline = outline;
    this.tree = tree;
    /** @type {Map<string, Chip>} */
    this.chips = new Map();
    this.isLarge = false;

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
    this.asTree = new Button("Tree", () => setTimed(false));
    this.asTimeline = new Button("Timeline", () => setTimed(true));
    this.views = h(
      "span",
      { class: "tnb-views", role: "group", "aria-label": "View" },
      this.asTree.element,
      this.asTimeline.element,
    );
    this.about = h("div", { class: "tnb-a" }, h("code", {}), h("span", {}), h("code", {}));
    const tools = [this.fold, this.unfold, this.follow].map((button) => button.element);
    const end = h("span", { class: "tnb-tools" }, this.hits, this.failure.element, this.input, ...tools, this.views);
    this.element = h("div", { class: "tnb-bar2" }, this.about, end);
  }

  render() {
    const { outline, store, tree } = this;
    const rows = store.rows;
    this.isLarge ||= rows.size >= TOOLS_FROM;
    this.renderChips(store.header);
    this.renderAbout(store.header);
    setShown(this.chipBox, rows.size > 0);
    setShown(this.views, rows.size > 0);
    const hasScopes = rows.root.children.some((row) => row.isScope);
    setShown(this.failure.element, this.isLarge && (rows.root.below["failed"] ?? 0) > 0);
    setShown(this.input, this.isLarge);
    if (document.activeElement !== this.input && !outline.text) this.input.value = "";
    setShown(this.fold.element, this.isLarge && hasScopes);
    setShown(this.unfold.element, this.isLarge && hasScopes);
    setShown(this.follow.element, tree.scrolls && !store.header.ended);
    this.follow.setPressed(outline.following);
    setText(this.hits, outline.filtered ? `${grouped(outline.hits)} of ${grouped(rows.total)}` : "");
    this.asTree.setPressed(!tree.timed);
    this.asTimeline.setPressed(tree.timed);
  }

  /** @param {import("./store.js").Header} header */
  renderChips(header) {
    const counts = header.tally;
    const isShown = (/** @type {string} */ state) =>
      counts[state] > 0 || this.isChosen(state) || (state === "running" && header.state === state);
    const chips = [...STATE_ORDER, "replayed"].filter(isShown).map((state) => {
      const chip = this.chips.get(state) ?? new Chip(state, () => this.outline.toggleState(state));
      this.chips.set(state, chip);
      chip.render(counts[state] ?? 0, this.isChosen(state));
      return chip.element;
    });
    setChildren(this.chipBox, chips);
  }

  /** @param {import("./store.js").Header} header */
  renderAbout({ id, began, store }) {
    [id, began, store].forEach((text, at) => {
      const element = /** @type {HTMLElement} */ (this.about.children[at]);
      setText(element, text);
      setAttribute(element, "title", text);
      setShown(element, text !== "");
    });
  }

  /** @param {string} state */
  isChosen(state) {
    return state === "replayed" ? this.outline.replayedOnly : this.outline.states.has(state);
  }

  showNextFailure() {
    const failure = this.outline.nextFailure();
    if (!failure) return;
    this.outline.detailed = true;
    this.tree.choose(failure);
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
    } else if (event.key === "ArrowDown") {
      this.tree.element.focus();
      const [first] = this.outline.lines();
      if (first) this.tree.choose(first.row);
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
    this.element = h(
      "button",
      { type: "button", class: state === "replayed" ? "tnb-chip tnb-chip-old" : "tnb-chip", onclick: toggle },
      shape(state === "replayed" ? "completed" : state),
      this.count,
      h("span", { class: "tnb-chip-w" }, state),
    );
  }

  /**
   * @param {number} count
   * @param {boolean} chosen
   */
  render(count, chosen) {
    setText(this.count, grouped(count));
    setAttribute(this.element, "aria-pressed", String(chosen));
    setAttribute(this.element, "title", `Show only ${this.state} tasks`);
  }
}
