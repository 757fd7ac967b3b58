// The progress of runs in the title of the browser's tab, and what became of them, until the tab is looked at.

/** @typedef {{ name: string, share: number | null }} Shown  `share`: what is done, from 0 to 1; null if it is not known */

const KEY = Symbol.for("trigger_nb.title");

/** The title of the page. A page has one, also for several notebooks and versions of this file. */
class PageTitle {
  constructor() {
    /** The runs under way, by whoever shows them. @type {Map<object, Shown>} */
    this.runs = new Map();
    /** How runs have ended while the tab was hidden: a sign. */
    this.ended = "";
    /** The title without our part, and as we have written it. */
    this.own = document.title;
    this.written = "";
    /** @type {MutationObserver | null} */
    this.observer = null;
    document.addEventListener("visibilitychange", () => this.seen());
  }

  /**
   * @param {object} whose
   * @param {Shown | null} shown  null: it is not under way any more
   */
  set(whose, shown) {
    const before = this.runs.get(whose);
    if (shown === null ? !before : before && before.name === shown.name && before.share === shown.share) return;
    if (shown === null) this.runs.delete(whose);
    else this.runs.set(whose, shown);
    this.write();
  }

  /**
   * A run has ended: its sign stays in the title until the tab is looked at.
   * @param {string} sign
   */
  tell(sign) {
    if (!document.hidden) return;
    this.ended = this.ended === "✖" ? "✖" : sign;
    this.write();
  }

  seen() {
    if (document.hidden || this.ended === "") return;
    this.ended = "";
    this.write();
  }

  write() {
    const part = titlePart([...this.runs.values()], this.ended);
    if (part === "" && this.written === "") return;
    if (this.written === "" || document.title !== this.written) this.own = document.title;
    document.title = part === "" ? this.own : `${part} · ${this.own}`;
    // Read back: a title has no double spaces, and one that never equals what was written would be written for ever.
    this.written = part === "" ? "" : document.title;
    if (part === "") {
      this.observer?.disconnect();
      this.observer = null;
    } else {
      this.observe();
    }
  }

  /** The page sets another title, as when another notebook is chosen: that is its own from now on. */
  observe() {
    if (this.observer || !document.head) return;
    this.observer = new MutationObserver(() => {
      if (document.title !== this.written) this.write();
    });
    this.observer.observe(document.head, { childList: true, subtree: true, characterData: true });
  }
}

/**
 * What stands before the title: `42% Import orders`, or `3 runs 42%`.
 * @param {Shown[]} runs
 * @param {string} ended
 */
export function titlePart(runs, ended) {
  if (runs.length === 0) return ended;
  const known = runs.map(({ share }) => share).filter((share) => share !== null);
  const percent = known.length ? `${Math.floor((100 * known.reduce((sum, share) => sum + share, 0)) / known.length)}%` : "";
  const name = runs.length === 1 ? runs[0].name : `${runs.length} runs`;
  return [ended, percent || "▶", name].filter(Boolean).join(" ");
}

/** The title of this page; null in a frame, whose title nobody sees. @returns {PageTitle | null} */
export function pageTitle() {
  if (window !== window.top) return null;
  const page = /** @type {any} */ (window);
  return (page[KEY] ??= new PageTitle());
}
