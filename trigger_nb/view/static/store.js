// What is known of one run: its rows and header, kept up to date by the kernel's messages. Shared by all views of it.

// --- types ---------------------------------------------------------------------------------------------------------

/** @typedef {"" | string | [letter: string, colour: string]} Icon */
/** @typedef {[label: string, text: string, url?: string, image?: string]} Property */
/** @typedef {[done: number, total: number | null, text: string]} Progress */
/**
 * A row as it travels: short names, and only what differs (see FIELDS).
 * @typedef {{ i: number, p?: number, [field: string]: unknown }} WireRow
 */
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
 * @property {number} passes
 * @property {Record<string, number>} tally  all rows by state
 * @property {number} replayed
 * @property {string} store
 * @property {string[]} hints
 * @property {ErrorData | null} error
 * @property {string} output
 * @property {boolean} moved
 * @property {Action[]} actions
 * @property {Record<string, RowAction>} row_actions
 */
/** @typedef {{ id: string, ok: boolean, text?: string, count?: number }} Answer */
/**
 * @typedef {object} Update
 * @property {number} n
 * @property {boolean} [reset]
 * @property {boolean} [more]
 * @property {number} [now]
 * @property {Partial<Header>} [run]
 * @property {(WireRow | [names: string[], ...rows: unknown[][]])[]} [rows]
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

// --- rows ----------------------------------------------------------------------------------------------------------

/** One task, wait, log line or scope. Times are seconds since `header.base`. */
export class Row {
  /** @param {number} index */
  constructor(index) {
    this.index = index;
    /** @type {Row | null} */
    this.parent = null;
    /** In the order of display once `RowSet.sorted` has been asked. @type {Row[]} */
    this.children = [];
    this.unsorted = false;
    /** How many of the rows below are in which state. @type {Record<string, number>} */
    this.below = {};
    /** Goes up with each change of the row or of a count below it. */
    this.version = 0;

    this.name = "";
    this.key = "";
    this.state = "completed";
    /** @type {number | null} */
    this.order = null;
    /** @type {number | null} */
    this.start = null;
    /** @type {number | null} */
    this.duration = null;
    /** End of the wait, or the next attempt. @type {number | null} */
    this.until = null;
    this.attempt = 1;
    /** @type {string[]} */
    this.marks = [];
    this.hot = false;
    this.replayed = false;
    /** @type {Icon} */
    this.icon = "";
    /** @type {Property[]} */
    this.properties = [];
    /** @type {Progress | null} */
    this.progress = null;
    this.error = "";
    this.quiet = false;
    this.level = "";
    this.kind = "task";
  }

  /** 0 for a row of the run itself. */
  get depth() {
    let depth = 0;
    for (let row = this.parent; row && row.parent; row = row.parent) depth += 1;
    return depth;
  }

  /** Whether its clock goes on. */
  get ticking() {
    return this.duration === null && this.start !== null && ACTIVE.has(this.state);
  }
}

const ACTIVE = new Set(["running", "retrying", "waiting"]);

/** @type {Record<string, Exclude<keyof Row, "depth" | "ticking">>} */
const FIELDS = {
  n: "name",
  k: "key",
  s: "state",
  o: "order",
  t: "start",
  d: "duration",
  w: "until",
  a: "attempt",
  m: "marks",
  h: "hot",
  r: "replayed",
  g: "icon",
  P: "properties",
  b: "progress",
  e: "error",
  q: "quiet",
  l: "level",
  z: "kind",
};

/**
 * Rows travel in groups of the same fields: the fields' names, then the values of each row.
 * @param {(WireRow | [names: string[], ...rows: unknown[][]])[]} groups
 * @returns {Generator<WireRow>}
 */
function* unpacked(groups) {
  for (const group of groups) {
    if (!Array.isArray(group)) {
      yield group;
      continue;
    }
    const [names, ...rows] = group;
    for (const values of rows) {
      yield /** @type {WireRow} */ (Object.fromEntries(names.map((name, at) => [name, values[at]])));
    }
  }
}

/** The tree of rows. */
export class RowSet {
  constructor() {
    this.root = new Row(-1);
    /** @type {Map<number, Row>} */
    this.byIndex = new Map([[-1, this.root]]);
    /** The row that last began or became active. @type {Row | null} */
    this.lastActive = null;
    /** Whether any row has had an icon: then all keep room for one. */
    this.hasIcons = false;
  }

  /** How many rows there are. */
  get size() {
    return this.byIndex.size - 1;
  }

  /**
   * A row's children in the order of display.
   * @param {Row} scope
   */
  sorted(scope) {
    if (scope.unsorted) {
      scope.children.sort(beforeSibling);
      scope.unsorted = false;
    }
    return scope.children;
  }

  /**
   * Takes over what is told of a row.
   * @param {WireRow} wire
   */
  put(wire) {
    const known = this.byIndex.get(wire.i);
    const row = known ?? this.added(wire.i, wire.p ?? -1);
    // A row that was put in for a lost parent is told where it belongs only when it comes itself.
    if (known && wire.p !== undefined) this.moved(known, this.byIndex.get(wire.p) ?? this.added(wire.p, -1));
    const state = row.state;
    const order = row.order;
    for (const name in wire) {
      const field = FIELDS[name];
      if (field) /** @type {any} */ (row)[field] = wire[name];
    }
    if (row.icon) this.hasIcons = true;
    if (row.order !== order && row.parent) row.parent.unsorted = true;
    if (row.state !== state) {
      this.count(row, state, -1);
      this.count(row, row.state, 1);
    }
    if (!known || (row.state !== state && ACTIVE.has(row.state))) this.noteActive(row);
    row.version += 1;
  }

  /**
   * @param {number} index
   * @param {number} parentIndex
   * @returns {Row}
   */
  added(index, parentIndex) {
    const row = new Row(index);
    this.byIndex.set(index, row);
    const parent = this.byIndex.get(parentIndex) ?? this.added(parentIndex, -1);
    this.attach(row, parent);
    this.count(row, row.state, 1);
    return row;
  }

  /**
   * @param {Row} row
   * @param {Row} parent
   */
  moved(row, parent) {
    if (!row.parent || row.parent === parent || row === parent) return;
    const tally = { ...row.below };
    tally[row.state] = (tally[row.state] ?? 0) + 1;
    for (const state in tally) this.count(row, state, -tally[state]);
    row.parent.children.splice(row.parent.children.indexOf(row), 1);
    this.attach(row, parent);
    for (const state in tally) this.count(row, state, tally[state]);
  }

  /**
   * @param {Row} row
   * @param {Row} parent
   */
  attach(row, parent) {
    row.parent = parent;
    const last = parent.children.at(-1);
    if (last && beforeSibling(last, row) > 0) parent.unsorted = true;
    parent.children.push(row);
  }

  /**
   * @param {Row} row
   * @param {string} state
   * @param {number} by
   */
  count(row, state, by) {
    for (let scope = row.parent; scope; scope = scope.parent) {
      scope.below[state] = (scope.below[state] ?? 0) + by;
      scope.version += 1;
    }
  }

  /** @param {Row} row */
  noteActive(row) {
    if (row.state !== "pending" && row.state !== "not reached") this.lastActive = row;
  }
}

/**
 * @param {Row} a
 * @param {Row} b
 */
function beforeSibling(a, b) {
  if (a.order === b.order) return a.index - b.index;
  if (a.order === null) return 1;
  if (b.order === null) return -1;
  return a.order - b.order || a.index - b.index;
}

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
  passes: 1,
  tally: {},
  replayed: 0,
  store: "",
  hints: [],
  error: null,
  output: "",
  moved: false,
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
    // Later snapshots come in behind what is shown, and replace it when they hold as much: nothing jumps.
    if (this.incoming && (!update.more || rows.size >= this.rows.size)) this.rows = this.incoming;
    if (!update.more) this.incoming = null;
    for (const [index, details] of Object.entries(update.details ?? {})) this.details.set(Number(index), details);
    for (const answer of update.answers ?? []) this.answered(answer);
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
    this.lastHello = Date.now();
    this.send({ t: "hello", n: this.applied });
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

  /** After a new snapshot the kernel may have forgotten what is open here. */
  watchAgain() {
    for (const index of this.watched.keys()) this.send({ t: "details", i: index, on: true });
  }
}
