// What a person asks of the kernel, and what has become of it.

export const BUSY_AFTER = 2000; // ms
const TOLD_FOR = 10_000; // ms that a refusal is shown
export const BUSY = "The kernel is busy; this is done as soon as it is free.";
export const UNCONNECTED = "Not connected to a kernel.";

/** @typedef {{ text: string, bad: boolean, index: number | null }} Note */
/** @typedef {{ index: number, text: string, count: number }} Question */

/** The orders of one view: sent once each, told of when the kernel takes its time or refuses. */
export class Actions {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    /** Orders without an answer yet, by `key`. @type {Set<string>} */
    this.waiting = new Set();
    /** @type {Note | null} */
    this.note = null;
    /** What is to be confirmed before it is done. @type {Question | null} */
    this.question = null;
    /** @type {number | undefined} */
    this.noteTimer = undefined;
  }

  /**
   * Why this cannot be done now; "" when it can.
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
   * Says first how many tasks it runs again.
   * @param {number} index
   */
  async askRerun(index) {
    const answer = await this.exchange("ask", "rerun_from", index);
    if (!answer?.ok) return;
    this.question = { index, text: answer.text ?? "", count: answer.count ?? 0 };
    this.store.notify();
  }

  async confirmRerun() {
    const question = this.question;
    this.question = null;
    if (question) await this.order("rerun_from", question.index);
  }

  dismiss() {
    this.question = null;
    this.store.notify();
  }

  /**
   * @param {"do" | "ask"} type
   * @param {string} op
   * @param {number | null} index
   */
  async exchange(type, op, index) {
    const name = key(op, index);
    if (this.waiting.has(name)) return null;
    this.waiting.add(name);
    this.say(null);
    const busy = setTimeout(() => this.say({ text: BUSY, bad: false, index }), BUSY_AFTER);
    const answer = await this.store.request({ t: type, op, ...(index === null ? {} : { i: index }) });
    clearTimeout(busy);
    this.waiting.delete(name);
    this.say(answer.ok ? null : { text: answer.text || "That could not be done.", bad: true, index });
    return answer;
  }

  /** @param {Note | null} note */
  say(note) {
    clearTimeout(this.noteTimer);
    this.note = note;
    if (note?.bad) this.noteTimer = setTimeout(() => this.say(null), TOLD_FOR);
    this.store.notify();
  }
}

/**
 * @param {string} op
 * @param {number | null} index
 */
function key(op, index) {
  return index === null ? op : `${op} ${index}`;
}
