// The data of one run: rows and header, updated by the messages of the kernel. Shared by all views of the run.

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
 * @property {boolean} [open]  whether the traceback is open at first
 * @property {[label: string, error: ErrorData][]} [causes]
 * @property {ErrorData[]} [members]
 * @property {number} [more]  number of members left out
 */
/** An attempt; times are in epoch seconds. @typedef {{ n: number, state: string, at?: number, took?: number, error?: string, next?: number }} Attempt */
/**
 * @typedef {object} Section
 * @property {string} label
 * @property {string} [text]
 * @property {number} [at]  an instant, in epoch seconds
 * @property {Attempt[]} [attempts]
 * @property {string} [code]
 * @property {string} [pre]
 * @property {ErrorData} [error]
 * @property {Property[]} [properties]
 * @property {[stream: string, text: string, second?: number][]} [prints]
 * @property {Display} [display]
 * @property {import("./questions.js").Form} [form]
 */
/** The first rows of a table; the first `labels` columns name the rows. @typedef {{ columns: string[], types: string[], numbers: boolean[], labels?: number, rows: string[][], more: string }} Table */
/** A piece of a value: what it is, and what is shown of it. @typedef {{ about?: string, text?: string, table?: Table, picture?: [url: string, width: number, height: number] }} Display */
/** @typedef {{ sections: Section[] }} Details */
/**
 * @typedef {object} Header
 * @property {string} title
 * @property {string} job
 * @property {string} id
 * @property {string} status
 * @property {string} state
 * @property {boolean} test
 * @property {number} base       origin of the times of rows, in epoch seconds
 * @property {number | null} started
 * @property {number | null} elapsed  seconds, as of `at`
 * @property {number} at
 * @property {boolean} ticking
 * @property {boolean} ended
 * @property {number | null} ends  expected end, in epoch seconds
 * @property {Status[]} statuses
 * @property {number} more_statuses  number of statuses left out
 * @property {string} total  number of tasks, as text
 * @property {[name: string, count: string, word: string][]} chips  counts by state, of replayed and reused tasks and of log lines
 * @property {[name: string, percent: number][]} bar  parts of the bar, from left to right
 * @property {[text: string, since: number] | null} standing  where the job's function is, while no task is under way
 * @property {boolean} look  whether to ask the kernel for that
 * @property {[words: string, until: number] | null} waits  what the run waits for, and until when
 * @property {string} store  where the records are, relative to the notebook
 * @property {string} store_at  the same as an absolute path
 * @property {number} rows  number of rows to expect; 0 if it is not known
 * @property {string[]} hints
 * @property {string} again What to do without a kernel.
 * @property {ErrorData | null} error
 * @property {string} output
 * @property {Section[]} [displays]  what is shown of the output
 * @property {Action[]} actions
 * @property {Record<string, RowAction>} row_actions
 * @property {boolean} notifies  whether the browser tells the end of the run
 * @property {string | null} run_with  why no run can be started with another payload; null without a button for it
 * @property {[run: string, widget: string][]} others  the runs that were started so
 * @property {boolean} titled  whether the title of the tab tells its progress
 */
/** A status of the run; `share` is the filled part of its bar, from 0 to 1. @typedef {{ state: string, label: string, share: number | null, percent: string, text: string }} Status */
/** @typedef {{ id: string, ok: boolean, text?: string, count?: number, fields?: [name: string, fault: string][], run?: string, choices?: import("./runwith.js").Choice[] }} Answer */
/**
 * @typedef {object} Update
 * @property {number} n
 * @property {boolean} [reset]
 * @property {boolean} [more]
 * @property {number} [now]
 * @property {Partial<Header>} [run]
 * @property {PackedRows[]} [rows]
 * @property {number[]} [gone]  rows to remove: map items that are only counted from now on
 * @property {Record<string, Details>} [details]
 * @property {Answer[]} [answers]
 * @property {{ text: string, rows: [index: number, where: string][] }} [found]  where the searched text is in the details of rows
 */
/**
 * The connection to the kernel. The second callback of `listen` is called when `live()` may have changed.
 * @typedef {object} Channel
 * @property {Update | null} first
 * @property {(message: Record<string, unknown>) => void} send
 * @property {(onUpdate: (update: Update) => void, onLive?: () => void) => (() => void)} listen
 * @property {() => boolean} live
 * @property {(element: Element) => boolean} [hasCells]  whether code can be put into a new cell below an element
 * @property {(element: Element, source: string) => boolean} [insertCell]  does that; returns whether it could
 * @property {(widget: string) => Promise<Channel | null>} [open]  the channel of another run, by the id of its widget
 * @property {(run: string) => void} [started]  shows a run that was started here, in place of `open`
 */

// --- store ---------------------------------------------------------------------------------------------------------

/** @param {() => void} work */
export function guarded(work) {
  try {
    work();
    return true;
  } catch (error) {
    // Only once: the same error may return with every message.
    if (!faultReported) console.error("trigger_nb: the display has failed; the run is not affected", error);
    faultReported = true;
    return false;
  }
}

let faultReported = false;

const HELLO_EVERY = 1000; // ms
const UNANSWERED = 3000; // ms until a report is sent again, and then twice as long each time, ...
const LAST_PATIENCE = 100_000; // ... until then, because a busy kernel reads all of them later
const LOOK_EVERY = 1000 * SHARED.standsAfter;
const LOST = "The answer of the kernel was lost. Check whether the action was performed, else try again.";

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
  ends: null,
  statuses: [],
  more_statuses: 0,
  total: "",
  chips: [],
  bar: [],
  standing: null,
  look: false,
  waits: null,
  rows: 0,
  store: "",
  store_at: "",
  hints: [],
  again: "",
  error: null,
  output: "",
  actions: [],
  row_actions: {},
  notifies: false,
  titled: false,
  run_with: null,
  others: [],
};

/** Applies the messages of a channel in order, and notifies the views at most once per frame. */
export class Store {
  /** @param {Channel} channel */
  constructor(channel) {
    this.channel = channel;
    this.rows = new RowSet();
    /** @type {Header} */
    this.header = { ...EMPTY_HEADER };
    /** @type {Map<number, Details>} */
    this.details = new Map();
    /** Incremented by each change of any row. */
    this.version = 0;
    /** Whether applying a message has failed: the data may be wrong until the next snapshot. */
    this.faulty = false;

    /** The number of the last message that arrived in order. */
    this.applied = 0;
    /** An incomplete snapshot, which is shown when it is complete. @type {RowSet | null} */
    this.incoming = null;
    this.missed = false;
    this.lastHello = -Infinity;
    /** @type {number | undefined} */
    this.helloTimer = undefined;
    /** How long the kernel may take for an answer to the last report. */
    this.patience = UNANSWERED;
    /** @type {number | undefined} */
    this.answerTimer = undefined;

    /** The kernel's clock minus the local clock: the largest difference seen, because a delayed message makes it smaller. */
    this.offset = -Infinity;
    this.lastNow = 0;

    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** Called at once, also in a tab that is hidden, which draws no frames. @type {Set<() => void>} */
    this.attendants = new Set();
    this.frame = 0;
    /** The number of views that show the details of a row. @type {Map<number, number>} */
    this.watched = new Map();
    /** @type {Map<string, (answer: Answer) => void>} */
    this.asked = new Map();
    /** The text that the kernel searches in unsent items and in details. */
    this.lookedFor = "";
    /** Where it has found it, by row. @type {Map<number, string>} */
    this.found = new Map();
    /** Incremented by each change of `found`. */
    this.foundVersion = 0;
    this.lookedAt = 0;
    /** Requests that had no answer when a snapshot was requested. @type {string[]} */
    this.askedBefore = [];

    if (channel.first) this.receive({ ...channel.first, reset: true });
    this.stopListening = channel.listen(
      (update) => this.heard(update),
      () => this.liveChanged(),
    );
    this.hello();
  }

  close() {
    this.stopListening();
    clearTimeout(this.helloTimer);
    clearTimeout(this.answerTimer);
    cancelAnimationFrame(this.frame);
    this.listeners.clear();
  }

  /**
   * The kernel's clock, in epoch seconds. It does not advance while no kernel is connected.
   * @returns {number}
   */
  now() {
    if (!this.channel.live() || this.offset === -Infinity) return this.lastNow;
    return Date.now() / 1000 + this.offset;
  }

  /** The duration of the run; null before its start. */
  elapsed() {
    const { elapsed, at, ticking } = this.header;
    if (elapsed === null || !ticking) return elapsed;
    return elapsed + Math.max(0, this.now() - at);
  }

  /** The current time, relative to the origin of the times of rows. */
  sinceBase() {
    return this.now() - this.header.base;
  }

  /**
   * The duration of a row, up to now while it runs; null before its start.
   * @param {Row} row
   */
  took(row) {
    if (row.ticking && row.start !== null) return Math.max(0, this.sinceBase() - row.start);
    return row.duration;
  }

  /**
   * Calls the callback at most once per frame after changes.
   * @param {() => void} callback
   * @returns {() => void} ends it
   */
  subscribe(callback) {
    this.listeners.add(callback);
    return () => void this.listeners.delete(callback);
  }

  /**
   * Calls the callback after each message.
   * @param {() => void} callback
   * @returns {() => void} ends it
   */
  attend(callback) {
    this.attendants.add(callback);
    return () => void this.attendants.delete(callback);
  }

  // --- from the kernel ---

  /** @param {Update} update */
  heard(update) {
    clearTimeout(this.answerTimer);
    this.patience = UNANSWERED;
    this.receive(update);
  }

  /**
   * Applies a message; a failure must not end the connection.
   * @param {Update} update
   */
  receive(update) {
    const applied = guarded(() => this.apply(update));
    if (!applied || update.reset) this.faulty = !applied;
    if (!applied && !update.reset) {
      // Treat the message as lost. Except for a snapshot, because the next one would fail too.
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
    // A later snapshot replaces the shown rows only when it has as many, so that the view does not jump.
    if (this.incoming && (!update.more || rows.size >= this.rows.size)) this.rows = this.incoming;
    if (!update.more) this.incoming = null;
    for (const [index, details] of Object.entries(update.details ?? {})) this.details.set(Number(index), details);
    for (const answer of update.answers ?? []) this.answered(answer);
    if (update.found) this.noteFound(update.found);
    if (update.reset) this.giveUpAnswers();
    if (update.reset) this.watchAgain();
    this.version += 1;
  }

  /**
   * Whether to apply a message. A gap is reported to the kernel; messages after it are shown meanwhile.
   * @param {Update} update
   */
  inOrder(update) {
    if (update.reset || update.n === this.applied + 1) {
      this.applied = update.n;
      this.missed = false;
    } else if (update.n <= this.applied) {
      return false; // repeated for another front end of the same kernel
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

  /** @param {{ text: string, rows: [number, string][] }} found */
  noteFound({ text, rows }) {
    if (text !== this.lookedFor) return; // asked by another page, or out of date
    for (const [index, where] of rows) this.found.set(index, where);
    this.foundVersion += 1;
  }

  /** @param {Answer} answer */
  answered(answer) {
    this.asked.get(answer.id)?.(answer);
    this.asked.delete(answer.id);
  }

  /** Ends requests that were sent before the snapshot was requested: the kernel answers in order. */
  giveUpAnswers() {
    for (const id of this.askedBefore) this.answered({ id, ok: false, text: LOST });
    this.askedBefore = [];
  }

  liveChanged() {
    if (this.channel.live()) this.hello();
    this.notify();
  }

  notify() {
    for (const callback of this.attendants) guarded(callback);
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

  /** Reports the last applied message, at most once a second, until no message is missing. */
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
    // In a page that was loaded again, nothing is used yet (see `reportUse` in run.js).
    const isNew = this.lastHello === -Infinity;
    this.askedBefore = [...this.asked.keys()];
    this.lastHello = Date.now();
    this.send({ t: "hello", n: this.applied, ...(isNew && { new: true }) });
    this.expectAnswer();
  }

  /** Reports again if the kernel says nothing: of a run that has ended, nothing else would tell that the report was lost. */
  expectAnswer() {
    clearTimeout(this.answerTimer);
    if (this.patience > LAST_PATIENCE) return;
    this.answerTimer = setTimeout(() => this.channel.live() && this.hello(), this.patience);
    this.patience *= 2;
  }

  /**
   * Sends a request. The answer may come only when the kernel is no longer busy.
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
   * A view has opened the details of a row.
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
   * Requests the next items of a map in one state; without a state, withdraws requested items.
   * @param {Row} map
   * @param {string} [state]
   */
  askForItems(map, state) {
    this.send({ t: "items", i: map.index, ...(state && { s: state }) });
  }

  /** Searches a text in what only the kernel has: unsent map items, outputs, params, errors and printed text. @param {string} text */
  lookFor(text) {
    if (text === this.lookedFor) return;
    this.lookedFor = text;
    this.found.clear();
    this.foundVersion += 1;
    this.send({ t: "find", text });
  }

  /** Asks what the run waits for, as long as only the kernel can tell, at most once a second. */
  lookAround() {
    const now = Date.now();
    if (!this.header.look || !this.channel.live()) this.lookedAt = now;
    if (now - this.lookedAt < LOOK_EVERY) return;
    this.lookedAt = now;
    this.send({ t: "look" });
  }

  /** Repeats the requests for details, which the kernel may have forgotten after a new snapshot. */
  watchAgain() {
    for (const index of this.watched.keys()) this.send({ t: "details", i: index, on: true });
  }
}
