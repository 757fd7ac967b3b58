// The items of a map: their order, which keeps still under the pointer, and the lines for those that are kept back.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { probablyLeft, rate } from "../../../trigger_nb/_view/live/frontend/format.js";
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
    rows, version: 0, header: {}, lookFor: () => {}, notify: () => {},
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

test("rates and what is left are said as roughly as they are known", () => {
  assert.deepEqual([412.3, 2.5, 0.4, 0.002].map(rate), ["412/s", "2.5/s", "24/min", "7.2/h"]);
  const left = [-1, 2.2, 90, 200, 4000, 9000].map(probablyLeft);
  assert.deepEqual(left.slice(0, 4), ["nearly done", "about 3 s left", "about 1 min 30 s left", "about 3 min left"]);
  assert.deepEqual(left.slice(4), ["about 67 min left", "about 3 h left"]);
});
