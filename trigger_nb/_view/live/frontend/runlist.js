// The state of a list of runs: the current page, the open run and the requests to the kernel.

import { BUSY, BUSY_AFTER } from "./actions.js";

/** @typedef {import("./store.js").Channel} Channel */
/** @typedef {import("./store.js").Update} Update */
/**
 * A run in a list, as texts to display.
 * @typedef {object} RunLine
 * @property {string} id
 * @property {string} job
 * @property {string} payload
 * @property {string} state
 * @property {string} status
 * @property {string} started
 * @property {string} duration
 * @property {string} counts
 * @property {import("./store.js").Action[]} actions
 */
/** @typedef {{ rows: RunLine[], total: number, offset: number, jobs: string[], statuses: string[] }} RunPage */
/** @typedef {{ id: string, ok: boolean, text?: string, page?: RunPage }} ListAnswer */
/**
 * A message of the kernel: answers, and updates of the open run.
 * @typedef {{ answers?: ListAnswer[], open?: string, update?: Update }} ListMessage
 */

export const PAGE_SIZE = SHARED.runsPerPage;
const REFRESH_MOVING = 2000; // ms, while a run of the page is active
const REFRESH_RESTING = 10_000;
const REFRESH_SHARE = 20; // the minimum pause after an answer is the time that it took, times this
const UNDER_WAY = new Set(["running", "retrying", "waiting", "pending"]);

/** A list of runs, shared by all its views. */
export class RunList {
  /** @param {Channel} channel */
  constructor(channel) {
    this.channel = channel;
    /** Null before the first answer. @type {RunPage | null} */
    this.page = null;
    this.job = "";
    this.status = "";
    this.offset = 0;
    /** The channel of the open run. @type {RunChannel | null} */
    this.opened = null;
    /** The action on a run that waits for confirmation. @type {{ op: string, run: string } | null} */
    this.asking = null;
    /** Requested actions without an answer yet: `op run`. @type {Set<string>} */
    this.ordered = new Set();
    /** The result of an action, if there is something to tell. */
    this.note = "";

    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** @type {Map<string, (answer: ListAnswer) => void>} */
    this.asked = new Map();
    this.count = 0;
    this.loadedAt = 0;
    /** The time that the kernel took for the last page, in milliseconds. */
    this.took = 0;
    /** The last request for a page while it has no answer. @type {Promise<ListAnswer> | null} */
    this.loading = null;
    this.stopListening = channel.listen(
      (message) => this.heard(/** @type {ListMessage} */ (/** @type {unknown} */ (message))),
      () => this.liveChanged(),
    );
    this.load();
  }

  close() {
    this.stopListening();
    this.listeners.clear();
  }

  /**
   * @param {() => void} callback
   * @returns {() => void} ends it
   */
  subscribe(callback) {
    this.listeners.add(callback);
    return () => void this.listeners.delete(callback);
  }

  notify() {
    for (const callback of this.listeners) callback();
  }

  // --- to and from the kernel ---

  /** @param {ListMessage} message */
  heard(message) {
    for (const answer of message.answers ?? []) {
      this.asked.get(answer.id)?.(answer);
      this.asked.delete(answer.id);
    }
    const { opened } = this;
    if (message.update && opened && opened.run === message.open) opened.receive(message.update);
  }

  /**
   * @param {Record<string, unknown>} message
   * @returns {Promise<ListAnswer>}
   */
  request(message) {
    const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}-${(this.count += 1)}`;
    return new Promise((resolve) => {
      this.asked.set(id, resolve);
      this.channel.send({ ...message, id });
    });
  }

  liveChanged() {
    this.opened?.liveChanged();
    this.notify();
  }

  // --- pages ---

  /** Requests the page. If it was requested again meanwhile, only the last answer counts. */
  async load() {
    const { job, status, offset } = this;
    const loading = (this.loading = this.request({ t: "page", job, status, offset }));
    this.loadedAt = Date.now();
    const answer = await loading;
    if (loading !== this.loading) return;
    this.loading = null;
    this.took = Date.now() - this.loadedAt;
    const { page } = answer;
    if (!page) {
      this.say(answer.text || "The runs could not be read.");
    } else if (!page.rows.length && page.total && offset) {
      // The runs of this page have been deleted.
      this.offset = Math.floor((page.total - 1) / PAGE_SIZE) * PAGE_SIZE;
      void this.load();
    } else {
      this.page = page;
      this.notify();
    }
  }

  /** Requests the page again if it may be out of date. A slow kernel is asked less often. */
  refresh() {
    const isMoving = !this.loading && this.page?.rows.some((run) => UNDER_WAY.has(run.state));
    const pause = Math.max(isMoving ? REFRESH_MOVING : REFRESH_RESTING, REFRESH_SHARE * this.took);
    if (this.channel.live() && Date.now() - this.loadedAt >= pause) this.load();
  }

  /**
   * @param {string} job  "" for all
   * @param {string} status
   */
  filter(job, status) {
    this.job = job;
    this.status = status;
    this.offset = 0;
    this.load();
    this.notify();
  }

  /** @param {1 | -1} pages  1: to older runs */
  turn(pages) {
    const offset = Math.max(0, this.offset + pages * PAGE_SIZE);
    if (offset === this.offset || offset >= (this.page?.total ?? 0)) return;
    this.offset = offset;
    this.load();
  }

  // --- one run ---

  /** @param {string} run */
  open(run) {
    if (this.opened?.run === run) return;
    this.opened = new RunChannel(this.channel, run);
    this.channel.send({ t: "open", run });
    this.notify();
  }

  /** Closes the open run. */
  shut() {
    if (!this.opened) return;
    this.opened = null;
    this.channel.send({ t: "close" });
    this.notify();
  }

  /**
   * Asks the user to confirm an action.
   * @param {string} op
   * @param {string} run
   */
  ask(op, run) {
    this.asking = { op, run };
    this.notify();
  }

  /** Withdraws the question. */
  dismiss() {
    this.asking = null;
    this.notify();
  }

  /**
   * @param {string} op
   * @param {string} run
   */
  async order(op, run) {
    const name = `${op} ${run}`;
    if (this.ordered.has(name)) return;
    this.ordered.add(name);
    this.asking = null;
    this.say("");
    const busy = setTimeout(() => this.say(BUSY), BUSY_AFTER);
    const answer = await this.request({ t: "do", op, run });
    clearTimeout(busy);
    this.ordered.delete(name);
    this.say(answer.text || (answer.ok ? "" : "The action failed."));
    if (answer.ok && op === "delete" && this.opened?.run === run) this.shut();
    // A new run is on the first page.
    if (answer.ok && op === "again") this.offset = 0;
    this.load();
  }

  /** @param {string} note */
  say(note) {
    this.note = note;
    this.notify();
  }
}

/**
 * The channel of one run of the list, which uses the channel of the list.
 * @implements {Channel}
 */
export class RunChannel {
  /**
   * @param {Channel} channel
   * @param {string} run
   */
  constructor(channel, run) {
    this.channel = channel;
    this.run = run;
    /** @type {Update | null} */
    this.first = null;
    /** @type {Map<(update: Update) => void, (() => void) | undefined>} */
    this.listeners = new Map();
  }

  /** @param {Record<string, unknown>} message */
  send(message) {
    this.channel.send({ t: "in", run: this.run, message });
  }

  /**
   * @param {(update: Update) => void} onUpdate
   * @param {() => void} [onLive]
   */
  listen(onUpdate, onLive) {
    this.listeners.set(onUpdate, onLive);
    return () => void this.listeners.delete(onUpdate);
  }

  live() {
    return this.channel.live();
  }

  /** @param {Update} update */
  receive(update) {
    for (const onUpdate of this.listeners.keys()) onUpdate(update);
  }

  liveChanged() {
    for (const onLive of this.listeners.values()) onLive?.();
  }
}
