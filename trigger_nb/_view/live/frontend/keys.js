// The keys of the tree, as the ARIA practices define them.

const TYPE_AHEAD = 700; // maximum ms between two letters of a word

/** Handles the keys of a Tree. */
export class TreeKeys {
  /** @param {import("./tree.js").Tree} tree */
  constructor(tree) {
    this.tree = tree;
    this.typed = "";
    this.typedAt = 0;
    /** The time stamp of the last key event, which a busy page handles late. */
    this.pressedAt = 0;
    tree.element.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.pressedAt = event.timeStamp;
    const { outline } = this.tree;
    const row = outline.activeRow();
    const handled = this.move(event.key) || (row && this.act(event.key, row)) || this.typeAhead(event.key);
    if (!handled) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} key */
  move(key) {
    const { outline } = this.tree;
    const place = outline.place(outline.active);
    const last = outline.lines().length - 1;
    const page = this.tree.pageSize;
    /** @type {Record<string, number>} */
    const places = {
      ArrowDown: place + 1,
      ArrowUp: place < 0 ? last : place - 1,
      Home: 0,
      End: last,
      PageDown: place + page,
      PageUp: place - page,
    };
    if (!(key in places)) return false;
    this.typed = "";
    const line = outline.lines()[Math.max(0, Math.min(last, places[key]))];
    if (line) this.tree.choose(line.row);
    return true;
  }

  /**
   * @param {string} key
   * @param {import("./store.js").Row} row
   */
  act(key, row) {
    const { tree } = this;
    const { outline, store } = tree;
    switch (key) {
      case "ArrowRight":
        if (row.isScope && !outline.isOpen(row)) outline.setOpen(row, true);
        else if (row.isScope) this.move("ArrowDown");
        return true;
      case "ArrowLeft":
        if (outline.isOpen(row)) outline.setOpen(row, false);
        else if (row.parent && row.parent !== store.rows.root) tree.choose(row.parent);
        return true;
      case "Enter":
      case " ":
        if (key === " " && this.typing()) return false;
        if (row.isLine) {
          tree.toggle(row);
          return true;
        }
        if (outline.detailed) this.readDetails();
        outline.detailed = true;
        tree.choose(row);
        return true;
      case "Escape":
        if (!outline.detailed) return false;
        outline.detailed = false;
        store.notify();
        return true;
      case "*":
        outline.setAllOpen(true, row.parent?.children ?? []);
        return true;
      default:
        return false;
    }
  }

  /** To the open details, which the Escape key leaves again. */
  readDetails() {
    const details = this.tree.element.closest(".tnb-body")?.querySelector(".tnb-details");
    if (details instanceof HTMLElement) details.focus({ preventScroll: true });
  }

  typing() {
    return this.typed !== "" && this.pressedAt - this.typedAt < TYPE_AHEAD;
  }

  /**
   * Selects the next row whose name begins with the typed text; repeating one letter cycles through the rows.
   * @param {string} key
   */
  typeAhead(key) {
    const { tree } = this;
    const { outline } = tree;
    if (key === "!") {
      const failure = outline.nextFailure();
      if (failure) tree.choose(failure);
      return true;
    }
    if (key.length !== 1) return false;
    this.typed = this.typing() ? this.typed + key.toLowerCase() : key.toLowerCase();
    this.typedAt = this.pressedAt;
    const isOneLetter = new Set(this.typed).size === 1;
    const wanted = isOneLetter ? this.typed[0] : this.typed;
    const lines = outline.lines();
    const from = outline.place(outline.active) + (isOneLetter ? 1 : 0);
    for (let step = 0; step < lines.length; step += 1) {
      const { row } = lines[(Math.max(0, from) + step) % lines.length];
      if (row.name.toLowerCase().startsWith(wanted)) {
        tree.choose(row);
        break;
      }
    }
    return true;
  }
}
