// What a page does for a run beside showing it: a notification of the browser at its end, and its progress in the title.

import { pageTitle } from "./pagetitle.js";

const FINISHED = ["completed", "failed", "canceled"];
const DONE = ["completed", "replayed", "reused", "failed", "canceled"]; // parts of the bar
/** @type {Record<string, string>} */
const SIGNS = { completed: "✔", failed: "✖" };

/** Whether the browser can be asked: it was neither allowed nor forbidden yet. */
export function canAsk() {
  return "Notification" in window && Notification.permission === "default";
}

/** Asks for permission. Browsers want a click of the user for it. */
export async function askPermission() {
  try {
    await Notification.requestPermission();
  } catch {
    // not in this page, as in a frame of another site
  }
}

/** Follows one run of this page. */
export class Alerts {
  /**
   * @param {import("./store.js").Store} store
   * @param {() => void} show  brings the run into view
   */
  constructor(store, show) {
    this.store = store;
    this.show = show;
    this.title = pageTitle();
    /** Whether it was under way when it was last looked at: what had ended before the page was loaded is no news. */
    this.wasActive = false;
    /** The rows whose questions were told. @type {Set<number> | null} */
    this.asked = null;
    this.stop = store.attend(() => this.look());
    this.look();
  }

  close() {
    this.stop();
    this.title?.set(this, null);
  }

  look() {
    const { header, channel, rows } = this.store;
    if (header.id === "" || this.store.incoming) return;
    const isActive = channel.live() && !header.ended && header.started !== null;
    const isShown = isActive && header.titled && header.status.startsWith("RUNNING");
    this.title?.set(this, isShown ? { name: header.title, share: share(header.bar) } : null);
    if (this.wasActive && header.ended && FINISHED.includes(header.state)) this.ended();
    const asking = new Set([...rows.asking].map((row) => row.index));
    if (isActive && this.asked) for (const row of rows.asking) if (!this.asked.has(row.index)) this.tell(`${row.name}: ${row.asks}`, "asks");
    this.asked = asking;
    this.wasActive = isActive;
  }

  ended() {
    const { header } = this.store;
    if (header.titled && header.state in SIGNS) this.title?.tell(SIGNS[header.state]);
    this.tell(header.error ? `${header.status}: ${header.error.line}` : header.status, `${header.status} ${header.started}`);
  }

  /**
   * @param {string} text
   * @param {string} what  the same notification of two pages is one
   */
  tell(text, what) {
    const { header } = this.store;
    if (!header.notifies || !("Notification" in window) || Notification.permission !== "granted") return;
    if (document.hasFocus()) return; // somebody sees it
    try {
      const told = new Notification(header.title, { body: text.slice(0, 300), tag: `trigger_nb ${header.id} ${what}` });
      told.onclick = () => {
        window.focus();
        this.show();
        told.close();
      };
    } catch {
      // on phones only service workers may do so
    }
  }
}

/**
 * What is done, from 0 to 1; null before the first task.
 * @param {[name: string, percent: number][]} bar
 */
function share(bar) {
  if (bar.length === 0) return null;
  const done = bar.reduce((sum, [name, percent]) => sum + (DONE.includes(name) ? percent : 0), 0);
  return Math.min(1, done / 100);
}
