// The actions that the user requests from the kernel, and their results.

import { toClipboard } from "./copying.js";

export const BUSY_AFTER = 2000; // ms
const TOLD_FOR = 10_000; // ms that a message is shown
export const BUSY = "The kernel is busy. The action will be performed when it is free.";
export const UNCONNECTED = "Not connected to a kernel.";

/** @typedef {{ text: string, bad: boolean, index: number | null }} Note */
/** @typedef {{ index: number, text: string, count: number }} Question */

/** The requests of one view. Each is sent once; a note is shown when the kernel takes long or refuses. */
export class Actions {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    /** Requests without an answer yet, by `key`. @type {Set<string>} */
    this.waiting = new Set();
    /** @type {Note | null} */
    this.note = null;
    /** The action to be confirmed before it is performed. @type {Question | null} */
    this.question = null;
    /** @type {number | undefined} */
    this.noteTimer = undefined;
  }

  /**
   * The reason why an action is not possible now; "" if it is possible.
   * @param {string} why  the kernel's reason
   */
  reason(why) {
    return this.store.channel.live() ? why : UNCONNECTED;
  }

  /**
   * @param {string} op
   * @param {number | null} [index]  of a row; null for the run
   */
  isWaiting(op, index = null) {
    return this.waiting.has(key(op, index));
  }

  /**
   * @param {string} op
   * @param {number | null} [index]
   */
  async order(op, index = null) {
    await this.exchange("do", op, index);
  }

  /**
   * Asks for confirmation first, with the number of tasks that would run again.
   * @param {number} index
   */
  async askRerun(index) {
    const answer = await this.exchange("ask", "rerun_from", index);
    if (!answer?.ok) return;
    this.question = { index, text: answer.text ?? "", count: answer.count ?? 0 };
    this.store.notify();
  }

  /**
   * Answers a question. A fault of a field is shown beside it.
   * @param {number} index
   * @param {string | null} choice
   * @param {unknown} data
   */
  async answer(index, choice, data) {
    return await this.exchange("answer", "answer", index, { choice, data });
  }

  async confirmRerun() {
    const question = this.question;
    this.question = null;
    if (question) await this.order("rerun_from", question.index);
  }

  /**
   * Takes a task into a new cell below; where the page has no cells that we know, to the clipboard.
   * @param {number} index
   * @param {HTMLElement} button
   */
  async openInCell(index, button) {
    const answer = await this.exchange("ask", "open", index);
    if (!answer?.ok) return;
    const lines = answer.text ?? "";
    const { channel } = this.store;
    if (channel.insertCell?.(button, lines)) this.tell("A new cell below has the task.", index);
    else if (await toClipboard(lines, button)) this.tell("Copied. Paste it into a cell.", index);
    else this.say({ text: `Copy this into a cell:\n${lines}`, bad: false, index });
  }

  dismiss() {
    this.question = null;
    this.store.notify();
  }

  /**
   * @param {"do" | "ask" | "answer" | "run_with"} type
   * @param {string} op
   * @param {number | null} index
   * @param {Record<string, unknown>} [more]
   */
  async exchange(type, op, index, more = {}) {
    const name = key(op, index);
    if (this.waiting.has(name)) return null;
    this.waiting.add(name);
    this.say(null);
    const busy = setTimeout(() => this.say({ text: BUSY, bad: false, index }), BUSY_AFTER);
    const answer = await this.store.request({ t: type, op, ...(index === null ? {} : { i: index }), ...more });
    clearTimeout(busy);
    this.waiting.delete(name);
    this.say(answer.ok || answer.fields?.length ? null : { text: answer.text || "The action failed.", bad: true, index });
    return answer;
  }

  /** @param {Note | null} note */
  say(note) {
    clearTimeout(this.noteTimer);
    this.note = note;
    if (note?.bad) this.noteTimer = setTimeout(() => this.say(null), TOLD_FOR);
    this.store.notify();
  }

  /**
   * Says for a while what was done.
   * @param {string} text
   * @param {number} index
   */
  tell(text, index) {
    this.say({ text, bad: false, index });
    this.noteTimer = setTimeout(() => this.say(null), TOLD_FOR);
  }
}

/**
 * @param {string} op
 * @param {number | null} index
 */
function key(op, index) {
  return index === null ? op : `${op} ${index}`;
}
