// What the front end knows of a run: messages in order or not, rows as a tree, folding and filters.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { STATES } from "../../../trigger_nb/_view/live/frontend/dom.js";
import { ago, duration, localTime, remaining, ticking } from "../../../trigger_nb/_view/live/frontend/format.js";
import { Outline } from "../../../trigger_nb/_view/live/frontend/outline.js";
import { piecesOf } from "../../../trigger_nb/_view/live/frontend/dom.js";
import { Store } from "../../../trigger_nb/_view/live/frontend/store.js";

/** An update as the kernel sends it, of one with plain rows. @returns {any} */
const sent = ({ rows, ...update }) => ({ ...update, rows: rows?.map(packed) });
const packed = (row) => {
  if (!row) return row;
  const wire = "s" in row ? { ...row, s: STATES.indexOf(row.s) } : row;
  return [Object.keys(wire), Object.values(wire)];
};

/** A channel whose kernel is the test. */
class Kernel {
  constructor(first = null) {
    this.first = first && sent(first);
    this.sent = [];
    this.isLive = true;
    this.n = first?.n ?? 0;
  }
  send(message) {
    this.sent.push(message);
  }
  listen(onUpdate, onLive) {
    this.post = (update) => onUpdate(sent({ n: ++this.n, ...update }));
    this.setLive = (live) => {
      this.isLive = live;
      onLive();
    };
    return () => {};
  }
  live() {
    return this.isLive;
  }
  taken() {
    return this.sent.splice(0);
  }
}

const frames = [];
globalThis.requestAnimationFrame = (callback) => frames.push(callback);
globalThis.cancelAnimationFrame = () => {};

beforeEach(() => {
  frames.length = 0;
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
});

function started(rows = [], run = {}) {
  const kernel = new Kernel({ n: 1, now: 1000, run: { base: 1000, ...run }, rows });
  const store = new Store(kernel);
  kernel.taken();
  return { kernel, store, outline: new Outline(store) };
}

const named = (store, name) => [...store.rows.byIndex.values()].find((row) => row.name === name);
const names = (store, scope = store.rows.root) => store.rows.sorted(scope).map((row) => row.name).join(" ");
const shown = (outline) => outline.lines().map(({ row, depth }) => "-".repeat(depth) + row.name).join(" ");

// --- messages ------------------------------------------------------------------------------------------------------

test("it says hello once as a new page, with the number of the picture that it began with", () => {
  const kernel = new Kernel({ n: 7, now: 1, rows: [] });
  new Store(kernel);
  assert.deepEqual(kernel.taken(), [{ t: "hello", n: 7, new: true }]);
  mock.timers.tick(1000);
  kernel.setLive(true);
  assert.deepEqual(kernel.taken(), [{ t: "hello", n: 7 }]);
});

test("D1: a lost message is told of, what comes after it is shown, and a snapshot heals it", () => {
  const { kernel, store } = started([{ i: 0, n: "a", s: "running" }]);
  mock.timers.tick(1000);
  kernel.n += 1; // one is lost
  kernel.post({ rows: [{ i: 1, n: "b" }] });
  assert.deepEqual(kernel.taken(), [{ t: "hello", n: 1 }]);
  assert.equal(names(store), "a b");
  kernel.post({ reset: true, rows: [{ i: 0, n: "a" }, { i: 1, n: "b" }, { i: 2, n: "c" }] });
  assert.equal(names(store), "a b c");
  kernel.post({ rows: [{ i: 3, n: "d" }] });
  mock.timers.tick(5000);
  assert.deepEqual(kernel.taken(), [], "nothing is missing any more");
});

test("D1: it asks again as long as nothing comes, at most once a second", () => {
  const { kernel } = started();
  mock.timers.tick(1000);
  kernel.n += 1;
  for (let at = 0; at < 10; at++) kernel.post({ rows: [] });
  assert.equal(kernel.taken().length, 1);
  mock.timers.tick(1000);
  kernel.post({ rows: [] });
  assert.equal(kernel.taken().length, 1);
});

test("what was sent again for another front end is not taken twice", () => {
  const { kernel, store } = started([{ i: 0, n: "a" }]);
  kernel.post({ rows: [{ i: 0, s: "failed" }] });
  kernel.n -= 1;
  kernel.post({ rows: [{ i: 0, s: "running" }] });
  assert.equal(named(store, "a").state, "failed");
});

test("a snapshot in parts takes the place of what is shown when it holds as much", () => {
  const { kernel, store } = started([{ i: 0, n: "a" }, { i: 1, n: "b" }, { i: 2, n: "c" }]);
  kernel.post({ reset: true, more: true, rows: [{ i: 0, n: "a" }] });
  assert.equal(names(store), "a b c");
  kernel.post({ more: true, rows: [{ i: 1, n: "b" }, { i: 2, n: "c2" }] });
  assert.equal(names(store), "a b c2");
  kernel.post({ rows: [{ i: 3, n: "d" }] });
  assert.equal(names(store), "a b c2 d");
});

test("a message that cannot be taken in does not end the channel, and the next snapshot mends it", () => {
  const { kernel, store } = started([{ i: 0, n: "a" }]);
  const told = mock.method(console, "error", () => {});
  kernel.post({ rows: [null] });
  kernel.post({ rows: [null] });
  assert.equal(store.faulty, true);
  assert.equal(told.mock.callCount(), 1, "a fault that comes back is told once");
  kernel.post({ reset: true, rows: [{ i: 0, n: "a" }, { i: 1, n: "b" }] });
  assert.equal(store.faulty, false);
  assert.equal(names(store), "a b");
});

test("however many messages come, views draw once a frame", () => {
  const { kernel, store } = started();
  frames.splice(0).forEach((frame) => frame());
  let drawn = 0;
  store.subscribe(() => (drawn += 1));
  for (let at = 0; at < 20; at++) kernel.post({ rows: [] });
  frames.splice(0).forEach((frame) => frame());
  assert.equal(drawn, 1);
});

test("an answer reaches who asked", async () => {
  const { kernel, store } = started();
  const answer = store.request({ t: "do", op: "pause" });
  const [{ id, op }] = kernel.taken();
  assert.equal(op, "pause");
  kernel.post({ answers: [{ id: "of another", ok: false }, { id, ok: true }] });
  assert.deepEqual(await answer, { id, ok: true });
});

test("details are asked for once for all views, and again after a snapshot", () => {
  const { kernel, store } = started([{ i: 0, n: "a" }]);
  store.watch(0);
  store.watch(0);
  kernel.post({ reset: true, rows: [{ i: 0, n: "a" }] });
  store.unwatch(0);
  store.unwatch(0);
  assert.deepEqual(kernel.taken(), [
    { t: "details", i: 0, on: true },
    { t: "details", i: 0, on: true },
    { t: "details", i: 0, on: false },
  ]);
});

test("clocks go by the kernel's, do not go back for a late message, and stand still without one", () => {
  const { kernel, store } = started([{ i: 0, n: "a", s: "running", t: 2 }], { ticking: true, elapsed: 0, at: 1000 });
  mock.timers.tick(5000);
  assert.equal(store.took(named(store, "a")), 3);
  assert.equal(store.elapsed(), 5);
  kernel.post({ now: 1001 });
  assert.equal(store.elapsed(), 5, "a message that was four seconds on its way");
  kernel.setLive(false);
  mock.timers.tick(60_000);
  assert.equal(store.now(), 1001);
  kernel.setLive(true);
  kernel.post({ rows: [{ i: 0, s: "completed", d: 4.5 }] });
  assert.equal(store.took(named(store, "a")), 4.5);
});

// --- rows ----------------------------------------------------------------------------------------------------------

test("siblings stand in the order they are given, those without one last, by their number", () => {
  const { kernel, store } = started([{ i: 0, n: "late" }, { i: 1, n: "second", o: 2 }, { i: 2, n: "later" }, { i: 3, n: "first", o: 1 }]);
  assert.equal(names(store), "first second late later");
  kernel.post({ rows: [{ i: 2, o: 0 }] });
  assert.equal(names(store), "later first second late");
});

test("only what is told changes; a default is told when it comes back", () => {
  const { kernel, store } = started([{ i: 0, n: "a", s: "running", e: "boom", a: 2 }]);
  kernel.post({ rows: [{ i: 0, s: "completed", e: "" }] });
  const row = named(store, "a");
  assert.deepEqual([row.state, row.error, row.attempt], ["completed", "", 2]);
});

test("a scope counts all that is below it, by state", () => {
  const { kernel, store } = started([{ i: 0, n: "a", s: "running" }, { i: 1, p: 0, n: "b", s: "running" }, { i: 2, p: 1, n: "c", s: "failed" }]);
  assert.deepEqual(counts(store.rows.root), { running: 2, failed: 1 });
  kernel.post({ rows: [{ i: 2, s: "completed" }, { i: 1, s: "failed" }] });
  assert.deepEqual(counts(named(store, "a")), { failed: 1, completed: 1 });
});

test("a scope that does not count is counted nowhere, until it counts", () => {
  const { kernel, store, outline } = started([{ i: 0, n: "a", s: "failed", c: false }, { i: 1, p: 0, n: "b", s: "failed" }]);
  assert.deepEqual(counts(store.rows.root), { failed: 1 });
  assert.equal(store.rows.total, 2);
  outline.toggleState("failed");
  assert.equal(shown(outline), "a -b");
  assert.equal(outline.hits, 1);
  kernel.post({ rows: [{ i: 1, s: "completed" }, { i: 0, c: true }] });
  assert.deepEqual(counts(store.rows.root), { failed: 1, completed: 1 });
  kernel.post({ gone: [0] });
  assert.deepEqual(counts(store.rows.root), {});
});

test("what the kernel has found in details passes the filter, as long as it is looked for", () => {
  const { kernel, store, outline } = started([{ i: 0, n: "a" }, { i: 1, n: "b x1" }, { i: 2, n: "c" }]);
  outline.setText("x1");
  assert.deepEqual(kernel.taken().filter(({ t }) => t === "find"), [{ t: "find", text: "x1" }]);
  kernel.post({ found: { text: "x1", rows: [[0, "Output: x1"], [1, "Params: x1"]] } });
  outline.changed();
  assert.equal(shown(outline), "a b x1");
  assert.deepEqual([0, 1].map((index) => outline.foundIn(store.rows.byIndex.get(index))), ["Output: x1", ""]);
  outline.setText("x12");
  kernel.post({ found: { text: "x1", rows: [[2, "Output: x1"]] } });
  assert.equal(shown(outline), "", "an answer to an earlier question is not taken");
});

test("a row whose parent was lost moves to it when the parent comes", () => {
  const { kernel, store } = started([{ i: 0, n: "a" }]);
  kernel.post({ rows: [{ i: 2, p: 1, n: "c", s: "failed" }] });
  kernel.post({ rows: [{ i: 1, p: 0, n: "b" }] });
  const c = named(store, "c");
  assert.deepEqual([c.parent.name, c.parent.parent.name, c.depth], ["b", "a", 2]);
  assert.deepEqual(counts(named(store, "a")), { completed: 1, failed: 1 });
  assert.deepEqual(counts(store.rows.root), { completed: 2, failed: 1 });
});

const counts = (row) => Object.fromEntries(Object.entries(row.below).filter(([, count]) => count));

// --- folding and filters -------------------------------------------------------------------------------------------

const scope = (i, count, more = {}) => [
  { i, n: `s${i}`, ...more },
  ...Array.from({ length: count }, (_, at) => ({ i: i + 1 + at, p: i, n: `t${i + 1 + at}` })),
];

test("everything starts open, but for a scope of more than 50", () => {
  const { outline } = started([...scope(0, 2), ...scope(10, 51)]);
  assert.equal(shown(outline), "s0 -t1 -t2 s10");
});

test("in a run of more than 200 rows only the first level is open", () => {
  const wide = Array.from({ length: 200 }, (_, at) => ({ i: 10 + at, n: `x${at}` }));
  const { outline } = started([{ i: 0, n: "a" }, { i: 1, p: 0, n: "b" }, { i: 2, p: 1, n: "c" }, ...wide]);
  assert.match(shown(outline), /^a -b x0 /);
});

test("what a person folds or unfolds stays so over a snapshot", () => {
  const { kernel, store, outline } = started([...scope(0, 2), ...scope(10, 51)]);
  outline.setOpen(named(store, "s0"), false);
  outline.setOpen(named(store, "s10"), true);
  assert.equal(outline.lines().length, 53);
  kernel.post({ reset: true, rows: [...scope(0, 2), ...scope(10, 51)] });
  assert.equal(outline.lines().length, 53);
  outline.setAllOpen(false);
  assert.equal(shown(outline), "s0 s10");
});

test("a filter shows what passes and what it is in, folded or not", () => {
  const { store, outline } = started([...scope(0, 2), ...scope(10, 51), { i: 99, p: 20, n: "deep" }]);
  outline.setText("T20");
  assert.equal(shown(outline), "s10 -t20");
  assert.equal(outline.hits, 1);
  outline.setOpen(named(store, "t20"), true);
  assert.equal(shown(outline), "s10 -t20 --deep", "what was found can be opened");
  outline.setText("");
  assert.equal(shown(outline), "s0 -t1 -t2 s10");
});

test("a filter looks into name, key, error, properties and marks, and follows what changes", () => {
  const { kernel, outline } = started([
    { i: 0, n: "by name x1" }, { i: 1, n: "b", k: "x1" }, { i: 2, n: "c", e: "X1!" },
    { i: 3, n: "d", P: [["label", "x1"]] }, { i: 4, n: "e", m: ["x1"] }, { i: 5, n: "f" },
  ]); // prettier-ignore
  outline.setText("x1");
  assert.equal(shown(outline), "by name x1 b c d e");
  assert.equal(outline.hits, 5);
  kernel.post({ rows: [{ i: 5, e: "x1" }, { i: 2, e: "" }] });
  assert.equal(shown(outline), "by name x1 b d e f");
});

test("states and text narrow each other down", () => {
  const { outline } = started([{ i: 0, n: "ab", s: "failed" }, { i: 1, n: "ac", s: "failed" }, { i: 2, n: "ad", r: true }]);
  outline.toggleState("failed");
  assert.equal(shown(outline), "ab ac");
  outline.setText("c");
  assert.equal(shown(outline), "ac");
  outline.clearFilter();
  outline.toggleState("replayed");
  assert.equal(shown(outline), "ad");
});

test("what was reused is filtered apart from what was replayed", () => {
  const { outline } = started([{ i: 0, n: "a" }, { i: 1, n: "b", r: true }, { i: 2, n: "c", r: true, R: true }]);
  outline.toggleState("reused");
  assert.equal(shown(outline), "c");
  outline.toggleState("replayed");
  assert.equal(shown(outline), "b c");
  outline.toggleState("reused");
  assert.equal(shown(outline), "b");
});

test("the next failure is the one that failed by itself, after the chosen row and around the end", () => {
  const { store, outline } = started([
    { i: 0, n: "a", s: "failed" }, { i: 1, p: 0, n: "b", s: "failed" }, { i: 2, p: 0, n: "c" }, { i: 3, n: "d", s: "failed" },
  ]); // prettier-ignore
  assert.equal(outline.nextFailure().name, "b");
  outline.active = 1;
  assert.equal(outline.nextFailure().name, "d");
  outline.active = 3;
  assert.equal(outline.nextFailure().name, "b");
  assert.equal(started([{ i: 0, n: "a" }]).outline.nextFailure(), null);
  assert.equal(store.rows.size, 4);
});

test("a row is revealed: its scopes open, a filter that hides it goes", () => {
  const { store, outline } = started(scope(0, 60));
  outline.reveal(named(store, "t60"));
  assert.ok(outline.place(60) > 0);
  outline.setText("t1");
  outline.reveal(named(store, "t60"));
  assert.equal(outline.filtered, false);
  assert.ok(outline.place(60) > 0);
});

// --- words ---------------------------------------------------------------------------------------------------------

test("times are written as in the static HTML", () => {
  assert.deepEqual([0.0001, 0.0042, 3.21, 9.96, 192, 97_000].map(duration), ["<1 ms", "4 ms", "3.2 s", "10 s", "3 min 12 s", "1 d 2 h"]);
  assert.deepEqual([90, 4.2, -1].map(remaining), ["in 1 min 30 s", "in 5 s", "now"]);
  assert.deepEqual([0.9, 9.96, 61].map(ticking), ["0 s", "9 s", "1 min 1 s"]);
  assert.deepEqual([-5, 3, 200, 7300, 200_000].map(ago), ["just now", "just now", "3 min ago", "2 h ago", "2 d ago"]);
  assert.match(localTime(1_700_000_000), /^2023-11-1[45] \d\d:\d\d:\d\d \S+$/);
  assert.equal(localTime(1e20), "100000000000000000000 s");
});

test("what was searched is found in a text, whatever its case", () => {
  assert.deepEqual(piecesOf("Lisbon, lisbon!", "lisbon"), ["", "Lisbon", ", ", "lisbon", "!"]);
  assert.deepEqual(piecesOf("Porto", "lisbon"), ["Porto"]);
  assert.deepEqual(piecesOf("aaa", "aa"), ["", "aa", "a"]);
  assert.deepEqual(piecesOf("İİ x", "x"), ["İİ ", "x", ""], "a letter that is longer in lower case shifts nothing");
  assert.deepEqual(piecesOf("a.b ab", "a.b"), ["", "a.b", " ab"], "a dot is a dot");
});
