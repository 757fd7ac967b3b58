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
 * @property {number | null} at  its start, in epoch seconds
 * @property {string} duration  "" while it increases
 * @property {number} [since]  in epoch seconds: when the duration would have been zero, while it increases
 * @property {string} counts
 * @property {import("./store.js").Action[]} actions
 */
/** @typedef {{ rows: RunLine[], total: number, offset: number, jobs: string[], statuses: string[] }} RunPage */
/** @typedef {{ id: string, ok: boolean, text?: string, page?: RunPage, n?: number, now?: number }} ListAnswer */
/**
 * What has changed of a page: all of it, or the changed lines and the ids of all lines in their `order`.
 * @typedef {Partial<RunPage> & { order?: string[] }} PageChange
 */
/**
 * A message of the kernel: answers, changes of the page of one filter and offset, and updates of the open run.
 * @typedef {object} ListMessage
 * @property {ListAnswer[]} [answers]
 * @property {[job: string, status: string, offset: number]} [of]
 * @property {number} [n]
 * @property {number} [now]
 * @property {PageChange} [page]
 * @property {string} [open]
 * @property {Update} [update]
 */

export const PAGE_SIZE = SHARED.runsPerPage;
const LOOK_EVERY = 10_000; // ms; the kernel tells of changes, but for those that other kernels make

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
    /** The number of the last message about the page; 0 if one was missed. */
    this.number = 0;
    this.lookedAt = Date.now();
    /** The kernel's clock minus the local clock: the largest difference seen, because a delayed message makes it smaller. */
    this.offsetOfClock = -Infinity;
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
    if (message.page) this.changed(message);
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
    this.look(true);
    this.notify();
  }

  // --- pages ---

  /** Requests the page. If it was requested again meanwhile, only the last answer counts. */
  async load() {
    const { job, status, offset } = this;
    const loading = (this.loading = this.request({ t: "page", job, status, offset }));
    this.lookedAt = Date.now();
    const { text, page, n = 0, now } = await loading;
    if (loading !== this.loading) return;
    this.loading = null;
    if (page) this.show(page, n, now);
    else this.say(text || "The runs could not be read.");
  }

  /** Applies what has changed. @param {ListMessage} message */
  changed({ of = ["", "", 0], n = 0, now, page = {} }) {
    const isOurs = of[0] === this.job && of[1] === this.status && of[2] === this.offset && !this.loading;
    if (!isOurs || n <= this.number) return;
    const { order, ...rest } = page;
    if (page.rows && !order) return this.show(/** @type {RunPage} */ (page), n, now);
    if (!this.page || n !== this.number + 1) return this.look(true);
    const lines = new Map([...this.page.rows, ...(page.rows ?? [])].map((line) => [line.id, line]));
    const rows = order ? order.map((id) => /** @type {RunLine} */ (lines.get(id))) : this.page.rows;
    this.show({ ...this.page, ...rest, rows }, n, now);
  }

  /**
   * @param {RunPage} page
   * @param {number} number
   * @param {number} [now]
   */
  show(page, number, now = 0) {
    this.number = number;
    this.offsetOfClock = Math.max(this.offsetOfClock, now - Date.now() / 1000);
    if (!page.rows.length && page.total && this.offset) {
      // The runs of this page have been deleted.
      this.offset = Math.floor((page.total - 1) / PAGE_SIZE) * PAGE_SIZE;
      void this.load();
    } else {
      this.page = page;
      this.notify();
    }
  }

  /**
   * Reports to the kernel that the list is in view, and lets it look for changes of other kernels.
   * @param {boolean} [atOnce]
   */
  look(atOnce = false) {
    if (!this.channel.live() || this.loading) return;
    if (!atOnce && Date.now() - this.lookedAt < LOOK_EVERY) return;
    const { job, status, offset, number } = this;
    this.lookedAt = Date.now();
    this.channel.send({ t: "look", job, status, offset, n: number });
  }

  /** The kernel's clock, in epoch seconds. */
  now() {
    return Date.now() / 1000 + this.offsetOfClock;
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
    this.opened = new RunChannel(this.channel, run, (started) => this.open(started));
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
    // A new run is on the first page. Everything else is told.
    if (!answer.ok || op !== "again" || !this.offset) return;
    this.offset = 0;
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
   * @param {(run: string) => void} [started]  called with a run that was started from it
   */
  constructor(channel, run, started = () => {}) {
    this.channel = channel;
    this.run = run;
    this.started = started;
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
