// What is known of one run: its rows and header, kept up to date by the kernel's messages. Shared by all views of it.

import { RowSet, unpacked } from "./rows.js";

// --- types ---------------------------------------------------------------------------------------------------------

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./rows.js").Icon} Icon */
/** @typedef {import("./rows.js").Property} Property */
/** @typedef {import("./rows.js").WireRow} WireRow */
/** @typedef {import("./rows.js").PackedRows} PackedRows */
/** @typedef {{ op: string, label: string, why: string, main?: boolean }} Action */
/** @typedef {{ label: string, why: string }} RowAction */
/**
 * @typedef {object} ErrorData
 * @property {string} line
 * @property {string[]} [notes]
 * @property {string} [traceback]
 * @property {[label: string, error: ErrorData][]} [causes]
 * @property {ErrorData[]} [members]
 * @property {number} [more]  members that are not told
 */
/**
 * @typedef {object} Section
 * @property {string} label
 * @property {string} [text]
 * @property {string} [code]
 * @property {string} [pre]
 * @property {ErrorData} [error]
 * @property {Property[]} [properties]
 * @property {[stream: string, text: string][]} [prints]
 */
/** @typedef {{ sections: Section[] }} Details */
/**
 * @typedef {object} Header
 * @property {string} title
 * @property {string} job
 * @property {string} id
 * @property {string} status
 * @property {string} state
 * @property {boolean} test
 * @property {number} base       epoch seconds that the rows' times are relative to
 * @property {number | null} started
 * @property {number | null} elapsed  seconds, as of `at`
 * @property {number} at
 * @property {boolean} ticking
 * @property {boolean} ended
 * @property {string} began      date of the start, as text
 * @property {number | null} ends  when it will probably be done, epoch seconds
 * @property {Status[]} statuses
 * @property {number} more_statuses  that are left out
 * @property {Record<string, number>} tally  all rows by state, how many were replayed, how many items of maps are to come
 * @property {string} store
 * @property {string[]} hints
 * @property {ErrorData | null} error
 * @property {string} output
 * @property {Action[]} actions
 * @property {Record<string, RowAction>} row_actions
 */
/** A status of the run: its shape, its bar from 0 to 1. @typedef {{ state: string, label: string, share: number | null, percent: string, text: string }} Status */
/** @typedef {{ id: string, ok: boolean, text?: string, count?: number }} Answer */
/**
 * @typedef {object} Update
 * @property {number} n
 * @property {boolean} [reset]
 * @property {boolean} [more]
 * @property {number} [now]
 * @property {Partial<Header>} [run]
 * @property {PackedRows[]} [rows]
 * @property {number[]} [gone]  items of maps that are only counted from now on
 * @property {Record<string, Details>} [details]
 * @property {Answer[]} [answers]
 */
/**
 * The way to the kernel. `listen`'s second callback is called when `live()` may have changed.
 * @typedef {object} Channel
 * @property {Update | null} first
 * @property {(message: Record<string, unknown>) => void} send
 * @property {(onUpdate: (update: Update) => void, onLive?: () => void) => (() => void)} listen
 * @property {() => boolean} live
 */

// --- store ---------------------------------------------------------------------------------------------------------

/** @param {() => void} work */
export function guarded(work) {
  try {
    work();
    return true;
  } catch (error) {
    // Once: a fault comes back with every message.
    if (!faultTold) console.error("trigger_nb: a fault of the display; the run is not affected", error);
    faultTold = true;
    return false;
  }
}

let faultTold = false;

const HELLO_EVERY = 1000; // ms
const LOST = "The kernel's answer was lost on its way. If it was not done, try again.";

/** @type {Header} */
const EMPTY_HEADER = {
  title: "",
  job: "",
  id: "",
  status: "",
  state: "pending",
  test: false,
  base: 0,
  started: null,
  elapsed: null,
  at: 0,
  ticking: false,
  ended: false,
  began: "",
  ends: null,
  statuses: [],
  more_statuses: 0,
  tally: {},
  store: "",
  hints: [],
  error: null,
  output: "",
  actions: [],
  row_actions: {},
};

/** Applies a channel's messages in order, and tells its views once a frame that something changed. */
export class Store {
  /** @param {Channel} channel */
  constructor(channel) {
    this.channel = channel;
    this.rows = new RowSet();
    /** @type {Header} */
    this.header = { ...EMPTY_HEADER };
    /** @type {Map<number, Details>} */
    this.details = new Map();
    /** Goes up with each change of any row. */
    this.version = 0;
    /** Whether a message could not be taken in: what is shown may be wrong, until the next snapshot. */
    this.faulty = false;

    /** The number of the last message that came in order. */
    this.applied = 0;
    /** A snapshot that is still coming in: shown when it is whole. @type {RowSet | null} */
    this.incoming = null;
    this.missed = false;
    this.lastHello = -Infinity;
    /** @type {number | undefined} */
    this.helloTimer = undefined;

    /** The kernel's clock minus ours: the largest seen, as a late message makes it smaller. */
    this.offset = -Infinity;
    this.lastNow = 0;

    /** @type {Set<() => void>} */
    this.listeners = new Set();
    this.frame = 0;
    /** How many views show a row's details. @type {Map<number, number>} */
    this.watched = new Map();
    /** @type {Map<string, (answer: Answer) => void>} */
    this.asked = new Map();
    /** What the kernel looks for in the items that it keeps back. */
    this.lookedFor = "";
    /** Those that had no answer when a snapshot was asked for. @type {string[]} */
    this.askedBefore = [];

    if (channel.first) this.receive({ ...channel.first, reset: true });
    this.stopListening = channel.listen(
      (update) => this.receive(update),
      () => this.liveChanged(),
    );
    this.hello();
  }

  close() {
    this.stopListening();
    clearTimeout(this.helloTimer);
    cancelAnimationFrame(this.frame);
    this.listeners.clear();
  }

  /**
   * The kernel's clock, epoch seconds. It stands still where no kernel is connected.
   * @returns {number}
   */
  now() {
    if (!this.channel.live() || this.offset === -Infinity) return this.lastNow;
    return Date.now() / 1000 + this.offset;
  }

  /** How long the run has lasted; null before it began. */
  elapsed() {
    const { elapsed, at, ticking } = this.header;
    if (elapsed === null || !ticking) return elapsed;
    return elapsed + Math.max(0, this.now() - at);
  }

  /** Now, on the scale of the rows' times. */
  sinceBase() {
    return this.now() - this.header.base;
  }

  /**
   * How long a row has taken, up to now if it still runs; null for one that has not begun.
   * @param {Row} row
   */
  took(row) {
    if (row.ticking && row.start !== null) return Math.max(0, this.sinceBase() - row.start);
    return row.duration;
  }

  /**
   * The callback runs once a frame when something changed.
   * @param {() => void} callback
   * @returns {() => void} ends it
   */
  subscribe(callback) {
    this.listeners.add(callback);
    return () => void this.listeners.delete(callback);
  }

  // --- from the kernel ---

  /**
   * A message that cannot be taken in must not end the channel.
   * @param {Update} update
   */
  receive(update) {
    const applied = guarded(() => this.apply(update));
    if (!applied || update.reset) this.faulty = !applied;
    if (!applied && !update.reset) {
      // As good as lost. Not so a snapshot: the next one would hardly be better.
      this.applied = 0;
      this.missed = true;
      this.hello();
    }
    this.notify();
  }

  /** @param {Update} update */
  apply(update) {
    if (!this.inOrder(update)) return;
    if (update.now) this.clock(update.now);
    if (update.reset) this.incoming = new RowSet();
    if (update.run) Object.assign(this.header, update.run);
    const rows = this.incoming ?? this.rows;
    for (const row of unpacked(update.rows ?? [])) rows.put(row);
    for (const index of update.gone ?? []) rows.remove(index);
    // Later snapshots come in behind what is shown, and replace it when they hold as much: nothing jumps.
    if (this.incoming && (!update.more || rows.size >= this.rows.size)) this.rows = this.incoming;
    if (!update.more) this.incoming = null;
    for (const [index, details] of Object.entries(update.details ?? {})) this.details.set(Number(index), details);
    for (const answer of update.answers ?? []) this.answered(answer);
    if (update.reset) this.giveUpAnswers();
    if (update.reset) this.watchAgain();
    this.version += 1;
  }

  /**
   * Whether to apply it: a gap is told to the kernel, and what comes after it is shown meanwhile.
   * @param {Update} update
   */
  inOrder(update) {
    if (update.reset || update.n === this.applied + 1) {
      this.applied = update.n;
      this.missed = false;
    } else if (update.n <= this.applied) {
      return false; // sent again for another front end of the same kernel
    } else {
      this.missed = true;
      this.hello();
    }
    return true;
  }

  /** @param {number} now */
  clock(now) {
    this.lastNow = now;
    this.offset = Math.max(this.offset, now - Date.now() / 1000);
  }

  /** @param {Answer} answer */
  answered(answer) {
    this.asked.get(answer.id)?.(answer);
    this.asked.delete(answer.id);
  }

  /** The kernel takes messages in order: what was asked before the snapshot was has no answer to come. */
  giveUpAnswers() {
    for (const id of this.askedBefore) this.answered({ id, ok: false, text: LOST });
    this.askedBefore = [];
  }

  liveChanged() {
    if (this.channel.live()) this.hello();
    this.notify();
  }

  notify() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      for (const callback of this.listeners) guarded(callback);
    });
  }

  // --- to the kernel ---

  /** @param {Record<string, unknown>} message */
  send(message) {
    try {
      this.channel.send(message);
    } catch (error) {
      console.warn("trigger_nb: the kernel cannot be reached", error);
    }
  }

  /** Says what has been applied, at most once a second, until nothing is missing. */
  hello() {
    if (this.helloTimer !== undefined) return;
    const wait = this.lastHello + HELLO_EVERY - Date.now();
    if (wait > 0) {
      this.helloTimer = setTimeout(() => {
        this.helloTimer = undefined;
        if (this.missed) this.hello();
      }, wait);
      return;
    }
    // The kernel counts the pages: one that was loaded again cannot be reached by replacing outputs.
    const isNew = this.lastHello === -Infinity;
    this.askedBefore = [...this.asked.keys()];
    this.lastHello = Date.now();
    this.send({ t: "hello", n: this.applied, ...(isNew && { new: true }) });
  }

  /**
   * A question or an order; the answer may take as long as the kernel is busy.
   * @param {Record<string, unknown>} message
   * @returns {Promise<Answer>}
   */
  request(message) {
    const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
    return new Promise((resolve) => {
      this.asked.set(id, resolve);
      this.send({ ...message, id });
    });
  }

  /**
   * A view shows this row's details from now on.
   * @param {number} index
   */
  watch(index) {
    const views = this.watched.get(index) ?? 0;
    this.watched.set(index, views + 1);
    if (!views) this.send({ t: "details", i: index, on: true });
  }

  /** @param {number} index */
  unwatch(index) {
    const views = this.watched.get(index) ?? 0;
    if (views > 1) {
      this.watched.set(index, views - 1);
    } else if (views) {
      this.watched.delete(index);
      this.send({ t: "details", i: index, on: false });
    }
  }

  /**
   * The next items of a map that are in a state; without one, those no more that were asked for.
   * @param {Row} map
   * @param {string} [state]
   */
  askForItems(map, state) {
    this.send({ t: "items", i: map.index, ...(state && { s: state }) });
  }

  /** Items of maps with this text in their names. @param {string} text */
  lookFor(text) {
    if (text !== this.lookedFor) this.send({ t: "find", text });
    this.lookedFor = text;
  }

  /** After a new snapshot the kernel may have forgotten what is open here. */
  watchAgain() {
    for (const index of this.watched.keys()) this.send({ t: "details", i: index, on: true });
  }
}
