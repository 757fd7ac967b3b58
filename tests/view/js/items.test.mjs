// The items of a map: their order, which keeps still under the pointer, and the lines for those that are kept back.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { probablyLeft } from "../../../trigger_nb/_view/live/frontend/format.js";
import { barsPath, linePath, rateText, spreadText, upTo } from "../../../trigger_nb/_view/live/frontend/mapstats.js";
import { Outline } from "../../../trigger_nb/_view/live/frontend/outline.js";
import { RowSet } from "../../../trigger_nb/_view/live/frontend/rows.js";

globalThis.requestAnimationFrame = () => 0;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
});

/**
 * A map with some items, of which others are kept back.
 * @param {Record<string, number>} rest
 */
function started(rest = { completed: 900 }) {
  const rows = new RowSet();
  const asked = [];
  /** @type {any} */
  const store = {
    rows, version: 0, header: {}, found: new Map(), foundVersion: 0, lookFor: () => {}, notify: () => {},
    askForItems: (map, state) => asked.push([map.index, state]),
  };
  const put = (...wires) => {
    for (const wire of wires) rows.put({ p: 0, n: `item ${wire.i}`, o: wire.i, ...wire });
    store.version += 1;
  };
  const remove = (...indices) => {
    for (const index of indices) rows.remove(index);
    store.version += 1;
  };
  rows.put({ i: 0, n: "embed", z: "map", s: "running", f: rest });
  const outline = new Outline(store);
  outline.setOpen(rows.byIndex.get(0), true);
  const shown = () => outline.lines().slice(1).map(({ row }) => row.name.replace("item ", "")).join(" ");
  return { rows, store, outline, put, remove, shown, asked };
}

test("failures come first, then what runs, then the line for the rest", () => {
  const { put, shown, rows } = started();
  put({ i: 1, s: "running" }, { i: 2, s: "failed" }, { i: 3, s: "running" });
  assert.equal(shown(), "2 1 3 900 completed");
  assert.equal(rows.root.below["completed"], 900);
  assert.equal(rows.total, 904);
});

test("the next item takes the place of one that is done", () => {
  const { put, remove, shown } = started();
  put({ i: 1, s: "running" }, { i: 2, s: "running" }, { i: 3, s: "running" });
  assert.equal(shown(), "1 2 3 900 completed");
  put({ i: 4, s: "running" });
  remove(2);
  assert.equal(shown(), "1 4 3 900 completed");
  put({ i: 3, s: "failed" });
  assert.equal(shown(), "3 1 4 900 completed");
});

test("while somebody points at the list no row moves, and afterwards all do", () => {
  const { put, remove, shown, outline } = started();
  put({ i: 1, s: "running" }, { i: 2, s: "running" }, { i: 3, s: "running" });
  shown();
  outline.items.hold(true);
  put({ i: 3, s: "failed" });
  remove(1);
  assert.equal(shown(), "1 2 3 900 completed");
  assert.equal(outline.row(1)?.name, "item 1", "it can still be chosen");
  put({ i: 4, s: "running" });
  assert.equal(shown(), "4 2 3 900 completed");
  mock.timers.tick(5000);
  assert.equal(outline.items.isOverdue, true);
  outline.changed();
  assert.equal(shown(), "3 4 2 900 completed");
});

test("a line has the kernel send more, and the keyboard goes on with the first of them", () => {
  const { put, rows, shown, outline, asked } = started();
  put({ i: 1, s: "failed" });
  const line = outline.lines()[2].row;
  outline.active = line.index;
  outline.setOpen(line, true);
  assert.deepEqual(asked, [[0, "completed"]]);
  put({ i: 5 }, { i: 6 });
  rows.put({ i: 0, f: { completed: 898 } });
  assert.equal(shown(), "1 5 6 898 more completed");
  assert.equal(outline.active, 5);
  outline.setOpen(rows.byIndex.get(0), false);
  assert.deepEqual(asked.at(-1), [0, undefined], "folded, the map lets go of them");
});

test("a filter counts what is kept back, and hides what does not pass", () => {
  const { put, shown, outline } = started({ completed: 900, failed: 40 });
  put({ i: 1, s: "failed" }, { i: 2, s: "running" });
  assert.equal(shown(), "1 40 more failed 2 900 completed");
  outline.toggleState("failed");
  assert.equal(shown(), "1 40 more failed");
  assert.equal(outline.hits, 41);
  outline.toggleState("failed");
  outline.setText("item 2");
  assert.equal(shown(), "2");
});

test("what is taken out is not counted any more, with all that is in it", () => {
  const { put, remove, rows } = started({});
  put({ i: 1, s: "running" }, { i: 2, p: 1, s: "running" });
  remove(1);
  assert.equal(rows.size, 1);
  assert.equal(rows.root.below["running"], 1, "the map itself");
});

test("what is left is said as roughly as it is known", () => {
  const left = [-1, 2.2, 90, 200, 4000, 9000].map(probablyLeft);
  assert.deepEqual(left.slice(0, 4), ["nearly done", "about 3 s left", "about 1 min 30 s left", "about 3 min left"]);
  assert.deepEqual(left.slice(4), ["about 67 min left", "about 3 h left"]);
});

// --- equal errors ----------------------------------------------------------------------------------------------------

/** A map of which these items have failed, by the number of their error; of each error there are so many in all. */
function withErrors(numbers, counts, rest = { completed: 900 }) {
  const view = started(rest);
  view.put({ i: 0, p: -1, n: "embed", o: 0, E: Object.entries(counts).map(([number, count]) => [Number(number), count, `E${number}`]) });
  view.put(...numbers.map((x, at) => ({ i: at + 1, s: "failed", x })));
  return view;
}

test("equal errors are one line, with the first items below it and a line for the others", () => {
  const { shown } = withErrors([0, 1, 0, 2, 0, 0, 0], { 0: 5 });
  assert.equal(shown(), "5 items: E0 1 3 5 2 more with this error 2 4 900 completed");
});

test("the others are shown when their line is used, and all are folded with the group", () => {
  const { outline, shown } = withErrors([0, 0, 0, 0, 0], { 0: 5 });
  const line = (name) => outline.lines().find(({ row }) => row.name.includes(name)).row;
  outline.setOpen(line("more with"), true);
  assert.equal(shown(), "5 items: E0 1 2 3 4 5 900 completed");
  outline.setOpen(line("E0"), false);
  assert.equal(shown(), "5 items: E0 900 completed");
  outline.setOpen(line("E0"), true);
  assert.equal(shown(), "5 items: E0 1 2 3 4 5 900 completed");
});

test("the line keeps its number, so that it stays chosen, and changes with the count", () => {
  const { outline, put, shown } = withErrors([0, 0, 0], { 0: 3 });
  const [, group] = outline.lines();
  put({ i: 0, p: -1, n: "embed", E: [[0, 4, "E0"]] }, { i: 4, s: "failed", x: 0 });
  assert.equal(shown(), "4 items: E0 1 2 3 1 more with this error 900 completed");
  assert.equal(outline.lines()[1].row, group.row);
  assert.equal(outline.row(group.row.index), group.row);
  outline.active = group.row.index;
  outline.detailed = true;
  assert.equal(outline.detailedRow(), null, "it has no details");
});

test("an item that runs again leaves the group", () => {
  const { put, shown } = withErrors([0, 0, 0], { 0: 3 });
  put({ i: 0, p: -1, n: "embed", E: [] }, { i: 2, s: "running", x: null });
  assert.equal(shown(), "1 3 2 900 completed");
});

test("the next failure is found among the others, and is shown", () => {
  const { outline, shown } = withErrors([0, 0, 0, 0, 0], { 0: 5 });
  outline.active = 3;
  const next = outline.nextFailure();
  assert.equal(next.index, 4);
  outline.reveal(next);
  assert.equal(shown(), "5 items: E0 1 2 3 4 5 900 completed");
});

test("what is filtered is grouped too, and what is in the order of duration is not", () => {
  const { outline, put, shown } = withErrors([0, 0, 0, 0], { 0: 4 }, { completed: 900 });
  outline.toggleState("failed");
  assert.equal(shown(), "4 items: E0 1 2 3 1 more with this error");
  outline.toggleState("failed");
  put(...[3, 1, 2, 9].map((d, at) => ({ i: at + 1, t: 0, d })));
  outline.store.took = (row) => row.duration;
  outline.setLongestFirst(true);
  assert.equal(shown(), "4 1 3 2 900 completed");
});

test("errors that the kernel has not told to be frequent stand alone", () => {
  assert.equal(withErrors([0, 0, 1], {}).shown(), "1 2 3 900 completed");
});

// --- charts ----------------------------------------------------------------------------------------------------------

test("the title of the histogram tells p50, p95, the longest and whose it is", () => {
  /** @type {import("../../../trigger_nb/_view/live/frontend/rows.js").Spread} */
  const spread = [[1, 2], 0.009, 8, 0.041, 0.06, 7.3, "Text 17"];
  assert.equal(spreadText(spread), "p50 41 ms · p95 60 ms · max 7.3 s (Text 17); the chart goes from 9 ms to 8.0 s");
});

test("each bar of the histogram is seen if it is not empty", () => {
  const path = barsPath([100_000, 0, 1]);
  assert.equal(path.split("M").length - 1, 2);
  assert.ok(path.includes("v-16.0"));
  assert.ok(path.includes("v-1.0"));
});

test("the rate goes on without messages while nothing ends", () => {
  /** @type {import("../../../trigger_nb/_view/live/frontend/rows.js").Ended} */
  const ended = [2, 100, [4, 6]];
  assert.deepEqual(upTo(ended, null), [4, 6]);
  assert.deepEqual(upTo(ended, 99), [4, 6]);
  assert.deepEqual(upTo(ended, 103), [4, 6, 0, 0]);
  assert.equal(upTo(ended, 1e9).length, 40);
  assert.equal(rateText([4, 6, 0, 0], 2), "Items over the last 8.0 s: none now, at most 3/s");
});

test("the line of the rate is finite whatever the counts", () => {
  for (const counts of [[], [0], [5], [0, 0], [1, 2, 3]]) assert.ok(!/NaN|Infinity/.test(linePath(counts)), `${counts}`);
});
