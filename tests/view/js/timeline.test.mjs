// The timeline's arithmetic: the critical path, the scale with its gaps, the zoom, the ticks, the lanes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { RowSet } from "../../../trigger_nb/_view/live/frontend/rows.js";
import { criticalPath } from "../../../trigger_nb/_view/live/frontend/criticalpath.js";
import { firstAfter, lanesOf, pathsOf } from "../../../trigger_nb/_view/live/frontend/lanes.js";
import {
  fitted, isShortest, isShown, partOf, placeOf, spansOf, ticksOf, timeAt, timeScale,
} from "../../../trigger_nb/_view/live/frontend/timescale.js";

const DAY = 86400;

/** Rows as they come from the kernel: `{ n: "a", t: 0, d: 1, in: [...] }`. */
function rowsOf(tree) {
  const rows = new RowSet();
  let count = 0;
  const put = (wire, parent) => {
    const { in: inside = [], ...fields } = wire;
    const index = count++;
    rows.put({ i: index, p: parent, ...fields });
    for (const child of inside) put(child, index);
  };
  for (const wire of tree) put(wire, -1);
  return [...rows.byIndex.values()];
}

/** @returns {any} */
const task = (n, t, d, more = {}) => ({ n, t, d, ...more });
const names = (path) => path.leaves.map((leaf) => leaf.row.name).join(" ");
const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-6, `${actual}, not ${expected}`);

function pathOf(tree, now = 1000) {
  return criticalPath(rowsOf(tree), now);
}

// --- the critical path -----------------------------------------------------------------------------------------------

test("a sequence: all of it, and what lies between is nobody's", () => {
  const path = pathOf([task("a", 0, 2), task("b", 2, 3), task("c", 6, 4)]);
  assert.equal(names(path), "a b c");
  near(path.seconds, 9);
  near(path.to - path.from, 10);
});

test("tasks side by side: the one that ended last", () => {
  const path = pathOf([task("a", 0, 2), task("slow", 0, 9), task("c", 0, 5), task("after", 9, 1)]);
  assert.equal(names(path), "slow after");
});

test("from each one back to the one that ended last before it began", () => {
  const path = pathOf([task("a", 0, 4), task("b", 0, 3), task("c", 3, 4), task("d", 4, 6)]);
  assert.equal(names(path), "a d");
  near(path.seconds, 10);
});

test("inside a task its subtasks, and the task itself where it has none", () => {
  const rows = rowsOf([
    task("first", 0, 1),
    task("parent", 1, 9, { in: [task("x", 1, 3), task("y", 1, 5), task("z", 6, 3.5, { in: [task("deep", 6.5, 2)] })] }),
    task("beside", 1, 2),
  ]);
  const path = criticalPath(rows, 1000);
  assert.equal(names(path), "first y deep");
  const marked = rows.filter((row) => path.rows.has(row.index)).map((row) => row.name);
  assert.deepEqual(marked, ["first", "parent", "y", "z", "deep"]);
  near(path.seconds, 8);
});

test("a parallel scope is left by its slowest item", () => {
  const items = [task("i1", 0, 3), task("i2", 0, 7), task("i3", 3, 2)];
  assert.equal(names(pathOf([task("all", 0, 7, { z: "parallel", in: items }), task("end", 7, 1)])), "i2 end");
});

test("a wait is on it as a task is", () => {
  const path = pathOf([task("a", 0, 1), task("pause", 1, 60, { z: "wait" }), task("meanwhile", 1, 2), task("b", 61, 1)]);
  assert.equal(names(path), "a pause b");
  near(path.seconds, 62);
});

test("attempts and the pauses between them are one stretch of their task", () => {
  const path = pathOf([task("a", 0, 1), task("flaky", 1, 31, { a: 4 }), task("other", 1, 20)]);
  assert.equal(names(path), "a flaky");
});

test("what runs, waits or is to be tried again ends now", () => {
  const path = pathOf([task("done", 0, 5), { n: "runs", t: 1, s: "running" }], 8);
  assert.equal(names(path), "runs");
  near(path.seconds, 7);
  assert.equal(names(pathOf([task("a", 0, 1), { n: "again", t: 1, s: "retrying", a: 2 }], 8)), "a again");
  assert.equal(names(pathOf([task("a", 0, 1), { n: "pause", t: 1, s: "waiting", z: "wait" }], 8)), "a pause");
});

test("of tasks that ended together the longest, and one of no length after it", () => {
  assert.equal(names(pathOf([task("short", 5, 5), task("long", 0, 10)])), "long");
  assert.equal(names(pathOf([task("long", 0, 10), task("instant", 10, 0)])), "long instant");
  assert.equal(names(pathOf([task("one", 0, 4), task("same", 0, 4)])), "one");
});

test("only tasks of no length", () => {
  const path = pathOf([task("a", 0, 0), task("b", 0, 0), task("c", 0, 0)]);
  assert.equal(path.seconds, 0);
  assert.ok(path.leaves.length >= 1);
});

test("times are rounded to milliseconds: one may seem to begin before another ended", () => {
  const path = pathOf([task("a", 0, 1.001), task("b", 1, 1)]);
  assert.equal(names(path), "a b");
  near(path.seconds, 2);
});

test("nothing, and what has not begun, log lines and what this pass did not reach", () => {
  assert.equal(pathOf([]).leaves.length, 0);
  const idle = [
    { n: "later", s: "pending" },
    { n: "said", t: 3, z: "log", s: "log", q: true },
    task("old", 0, 9, { s: "not reached" }),
  ];
  assert.equal(pathOf(idle).leaves.length, 0);
  assert.equal(names(pathOf([task("a", 0, 2), ...idle])), "a");
});

test("a log line inside a task takes nothing of it", () => {
  const path = pathOf([task("a", 0, 2, { in: [{ n: "said", t: 1, z: "log", s: "log" }] })]);
  assert.equal(names(path), "a");
  near(path.seconds, 2);
});

test("what was replayed counts only where all was", () => {
  const old = [task("a", 0, 5, { r: true }), task("b", 5, 5, { r: true })];
  assert.equal(names(pathOf([...old, task("new", DAY, 2)])), "new");
  assert.equal(names(pathOf(old)), "a b");
  // A scope whose items are walked in each pass is not replayed itself.
  const walked = task("map", DAY, 0.01, { z: "parallel", in: [task("i", 10, 5, { r: true })] });
  assert.equal(names(pathOf([...old, walked])), "a b i");
});

test("a subtask that outlives its failed parent counts as long as the parent lasted", () => {
  const path = pathOf([task("parent", 0, 5, { s: "failed", in: [task("late", 1, 9)] })]);
  near(path.seconds, 4);
});

test("subtasks of a parent that is not counted belong to what is above it", () => {
  assert.equal(names(pathOf([{ n: "unknown", s: "running", in: [task("x", 0, 3)] }, task("y", 3, 1)])), "x y");
});

/** A small generator, so that a failure can be repeated. */
function randomOf(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function randomTree(random, from, to, depth) {
  const tree = [];
  const count = Math.floor(random() * 6);
  for (let k = 0; k < count; k++) {
    // Coarse times make ties and zero lengths common.
    const start = from + Math.floor(random() * (to - from + 1));
    const took = Math.floor(random() * (to - start + 1));
    const kinds = [{}, { z: "wait" }, { a: 3 }, { s: "failed" }, { r: random() < 0.5 }];
    const wire = task(`t${k}`, start, took, kinds[Math.floor(random() * kinds.length)]);
    if (random() < 0.15) Object.assign(wire, { s: "running", d: null });
    if (depth) wire.in = randomTree(random, start - 1, wire.d === null ? to : start + took + 1, depth - 1);
    tree.push(wire);
  }
  return tree;
}

test("in any run the marked leaves follow one another, and are no longer together than the run", () => {
  for (let seed = 0; seed < 2000; seed++) {
    const path = pathOf(randomTree(randomOf(seed), 0, 12, 3), 12);
    let sum = 0;
    for (const [k, { row, from, to }] of path.leaves.entries()) {
      assert.ok(from <= to, `seed ${seed}`);
      assert.ok(k === 0 || path.leaves[k - 1].to <= from, `seed ${seed}: ${names(path)}`);
      assert.ok(path.rows.has(row.index), `seed ${seed}`);
      sum += to - from;
    }
    near(path.seconds, sum);
    if (path.leaves.length) assert.ok(path.seconds <= path.to - path.from + 1e-9, `seed ${seed}`);
  }
});

test("10,000 tasks in one scope, and in 100, are no matter of seconds", () => {
  const flat = Array.from({ length: 10_000 }, (_, k) => task(`t${k}`, k * 0.01, (k % 7) * 0.01));
  const deep = Array.from({ length: 100 }, (_, k) => task(`p${k}`, k, 1, { in: flat.slice(0, 99) }));
  for (const tree of [flat, deep]) {
    const rows = rowsOf(tree);
    const before = performance.now();
    const path = criticalPath(rows, 1000);
    assert.ok(performance.now() - before < 2000);
    assert.ok(path.leaves.length > 10);
  }
});

// --- the scale -------------------------------------------------------------------------------------------------------

function scaleOf(tree, now = 1000, ticking = false, before = null) {
  return timeScale(spansOf(rowsOf(tree), now), 0, ticking, before);
}

test("time runs evenly from the run's start to the last end", () => {
  const scale = scaleOf([task("a", 1, 2), task("b", 3, 7)]);
  assert.deepEqual([0, 1, 5, 10].map((time) => placeOf(scale, time)), [0, 10, 50, 100]);
  assert.equal(scale.gaps.length, 0);
  assert.equal(placeOf(scale, 99), 100);
  assert.equal(placeOf(scale, -1), 0);
});

test("the days between two passes are squeezed to a mark", () => {
  const scale = scaleOf([task("a", 0, 4), task("b", 4, 6), task("later", 3 * DAY, 10)]);
  assert.deepEqual(scale.gaps, [{ from: 10, to: 3 * DAY, kind: "idle" }]);
  near(placeOf(scale, 10), 47);
  near(placeOf(scale, 3 * DAY), 53);
  near(placeOf(scale, 3 * DAY + 10), 100);
  const middle = placeOf(scale, 1.5 * DAY);
  assert.ok(47 < middle && middle < 53);
});

test("so is a long wait in which nothing else worked, also inside a task that holds it", () => {
  const wait = task("wait", 2, 3600, { z: "wait" });
  const alone = scaleOf([task("a", 0, 2), wait, task("b", 3602, 2)]);
  assert.deepEqual(alone.gaps, [{ from: 2, to: 3602, kind: "waited" }]);
  const held = scaleOf([task("parent", 0, 3604, { in: [task("a", 0, 2), wait, task("b", 3602, 2)] })]);
  assert.deepEqual(held.gaps, alone.gaps);
});

test("so is the pause before another attempt", () => {
  const scale = scaleOf([task("a", 0, 2), task("flaky", 2, 3600, { a: 2 }), task("b", 3602, 2)]);
  assert.deepEqual(scale.gaps, [{ from: 2, to: 3602, kind: "waited" }]);
});

test("what is at work is never squeezed, a short pause neither", () => {
  assert.equal(scaleOf([task("a", 0, 1), task("long", 1, 36000), task("b", 36001, 1)]).gaps.length, 0);
  assert.equal(scaleOf([task("a", 0, 0.1), task("b", 9, 0.1)]).gaps.length, 0);
  assert.equal(scaleOf([task("a", 0, 10), task("wait", 10, 30, { z: "wait" }), task("b", 40, 10)]).gaps.length, 0);
  const parent = task("parent", 0, 7200, { in: [task("a", 0, 1), task("b", 7199, 1)] });
  assert.equal(scaleOf([parent]).gaps.length, 0);
});

test("many gaps leave most of the width to what worked", () => {
  const tree = Array.from({ length: 20 }, (_, k) => task(`t${k}`, k * DAY, 5));
  const scale = scaleOf(tree);
  assert.equal(scale.gaps.length, 19);
  const worked = tree.reduce((sum, { t }) => sum + placeOf(scale, t + 5) - placeOf(scale, t), 0);
  near(worked, 70);
});

test("places never go back, and lie between 0 and 100", () => {
  for (let seed = 0; seed < 500; seed++) {
    const random = randomOf(seed);
    const tree = Array.from({ length: 8 }, (_, k) =>
      task(`t${k}`, random() * 10 ** Math.floor(random() * 7), random() * 10, random() < 0.3 ? { z: "wait" } : {}),
    );
    const scale = scaleOf(tree);
    const times = tree.flatMap(({ t, d }) => [t, t + d]).sort((a, b) => a - b);
    const places = times.map((time) => placeOf(scale, time));
    for (const [k, place] of places.entries()) {
      assert.ok(place >= 0 && place <= 100, `seed ${seed}`);
      assert.ok(k === 0 || places[k - 1] <= place + 1e-9, `seed ${seed}`);
    }
    near(places.at(-1), 100);
  }
});

test("while the run goes on there is room, which stays while it suffices", () => {
  const tree = [{ n: "runs", t: 0, s: "running" }];
  const scale = scaleOf(tree, 10, true);
  near(placeOf(scale, 10), 100 / 1.2);
  assert.equal(scaleOf(tree, 11, true, scale).full, scale.full);
  assert.ok(scaleOf(tree, 12.5, true, scale).full > 12.5);
  near(scaleOf(tree, 11, false, scale).full, 11);
});

test("no rows, and rows of no length, have a scale, too", () => {
  assert.equal(placeOf(scaleOf([]), 0), 0);
  assert.ok(Number.isFinite(placeOf(scaleOf([task("a", 0, 0)]), 0)));
});

test("in a run of many tasks, one that works for very long leaves most of the width to the others", () => {
  const quick = Array.from({ length: 60 }, (_, k) => task(`t${k}`, k * 0.1, 0.1));
  const scale = scaleOf([...quick, task("long", 6, 600)]);
  assert.deepEqual(scale.gaps, [{ from: 6, to: 606, kind: "worked" }]);
  near(placeOf(scale, 6), 60);
  assert.ok(placeOf(scale, 606) - placeOf(scale, 6) > placeOf(scale, 0.1) - placeOf(scale, 0), "it remains the longest");
  assert.equal(scaleOf([...quick, task("not so long", 6, 40)]).gaps.length, 0);
  // Two such tasks share what one would have.
  const two = scaleOf([...quick, task("long", 6, 600), task("longer", 606, 700)]);
  assert.deepEqual(two.gaps.map((gap) => gap.kind), ["worked", "worked"]);
  near(placeOf(two, 6), 60);
});

// --- the zoom --------------------------------------------------------------------------------------------------------

test("a part of the scale fills the width, and instants outside of it are at its edges", () => {
  const part = partOf(scaleOf([task("a", 0, 10)]), { from: 2, to: 4 });
  assert.deepEqual([1, 2, 3, 4, 9].map((time) => placeOf(part, time)), [0, 0, 50, 100, 100]);
  const isSeen = (t, d) => isShown(part, spansOf(rowsOf([task("x", t, d)]), 0)[0]);
  assert.deepEqual([isSeen(0, 1), isSeen(0, 3), isSeen(3, 0.1), isSeen(0, 10), isSeen(5, 1)], [false, true, true, true, false]);
  assert.equal(partOf(part, null), part);
});

test("place and instant are the inverse of each other, in gaps too, whatever part is shown", () => {
  for (let seed = 0; seed < 300; seed++) {
    const random = randomOf(seed);
    const tree = Array.from({ length: 12 }, (_, k) => task(`t${k}`, random() * 10 ** Math.floor(random() * 6), random() * 10));
    const whole = scaleOf(tree);
    const at = (share) => whole.full * share;
    const part = fitted(whole, at(random() * 0.9), at(0.05 + random() * 0.5));
    for (const scale of [whole, partOf(whole, part)]) {
      for (const place of [0, 12.5, 50, 99]) {
        const found = placeOf(scale, timeAt(scale, place));
        assert.ok(Math.abs(found - place) < 1e-3, `seed ${seed}: ${found}, not ${place}`);
      }
    }
  }
});

test("a part is moved and cut to fit; the whole is no part; nothing is shorter than times are exact", () => {
  const whole = scaleOf([task("a", 0, 10)]);
  assert.deepEqual(fitted(whole, -5, 2), { from: 0, to: 2 });
  assert.deepEqual(fitted(whole, 99, 2), { from: 8, to: 10 });
  assert.equal(fitted(whole, 3, 10), null);
  assert.equal(fitted(whole, -1, 99), null);
  const least = partOf(whole, fitted(whole, 5, 0));
  assert.ok(isShortest(least));
  assert.ok(!isShortest(whole));
});

test("a part keeps its time while the run goes on", () => {
  const tree = (now) => [task("a", 0, 4), { n: "runs", t: 4, s: "running", d: null, now }];
  const part = { from: 1, to: 3 };
  const early = partOf(scaleOf(tree(5), 5, true), part);
  const late = partOf(scaleOf(tree(50), 50, true), part);
  for (const time of [1, 2, 3]) near(placeOf(early, time), placeOf(late, time));
});

// --- the ticks -------------------------------------------------------------------------------------------------------

const texts = (scale, most) => ticksOf(scale, most).map((tick) => tick.text);

test("ticks have round steps and count from the run's start", () => {
  assert.deepEqual(texts(scaleOf([task("a", 0, 14)]), 8), ["0", "2 s", "4 s", "6 s", "8 s", "10 s", "12 s", "14 s"]);
  assert.deepEqual(texts(scaleOf([task("a", 0, 0.6)]), 4), ["0", "200 ms", "400 ms", "600 ms"]);
  assert.deepEqual(texts(scaleOf([task("a", 0, 240)]), 5), ["0", "1 min", "2 min", "3 min", "4 min"]);
  assert.deepEqual(texts(scaleOf([task("a", 0, 2 * DAY)]), 5), ["0", "12 h", "1 d", "1 d 12 h", "2 d"]);
});

test("a gap is marked with its length, and ticks count from its end", () => {
  const scale = scaleOf([task("a", 0, 10), task("b", 3 * DAY + 10, 10)]);
  assert.deepEqual(texts(scale, 5), ["0", "5 s", "10 s", "3 d", "+5 s", "+10 s"]);
});

test("no tick lies before the run's start where rows do", () => {
  const scale = scaleOf([task("early", -3, 1), task("a", 0, 7)]);
  const [first] = ticksOf(scale, 12);
  assert.equal(first.text, "0");
  near(first.at, 30);
});

test("ticks of a part have round places; milliseconds far from the start are told from the first tick on", () => {
  const whole = scaleOf([task("a", 0, 14)]);
  assert.deepEqual(texts(partOf(whole, { from: 3.1, to: 5.2 }), 5), ["3.5 s", "4 s", "4.5 s", "5 s"]);
  const long = scaleOf([task("a", 0, 9000)]);
  assert.deepEqual(texts(partOf(long, { from: 7200, to: 7200.045 }), 5), ["2 h", "+10 ms", "+20 ms", "+30 ms", "+40 ms"]);
  const gaps = scaleOf([task("a", 0, 10), task("b", 3 * DAY + 10, 10)]);
  assert.deepEqual(texts(partOf(gaps, { from: 0, to: 4 }), 5), ["0", "1 s", "2 s", "3 s", "4 s"]);
});

test("there are never more ticks than there is room for, whatever the length", () => {
  for (let length = 0.001; length < 400 * DAY; length *= 1.7) {
    const ticks = ticksOf(scaleOf([task("a", 0, length)]), 6);
    assert.ok(ticks.length >= 1 && ticks.length <= 7, `${length}: ${ticks.length}`);
  }
});

// --- the lanes -------------------------------------------------------------------------------------------------------

const lanesIn = (tree, now = 1000) => lanesOf(spansOf(rowsOf(tree), now));
const inLanes = (lanes) => lanes.map((lane) => lane.map(({ row }) => row.name).join(" "));

test("tasks that do not overlap share a lane, the first one that is free", () => {
  const tree = [task("a", 0, 2), task("b", 1, 2), task("c", 2, 2), task("d", 3, 1), task("e", 3.5, 1)];
  assert.deepEqual(inLanes(lanesIn(tree)), ["a c", "b d", "e"]);
  assert.deepEqual(inLanes(lanesIn([task("none", 0, 0), task("at once", 0, 1)])), ["none at once"]);
  assert.deepEqual(lanesIn([]), []);
});

test("200 tasks, 8 at a time, need 8 lanes, in which nothing overlaps", () => {
  for (let seed = 0; seed < 50; seed++) {
    const random = randomOf(seed);
    const ends = Array(8).fill(0);
    const tree = Array.from({ length: 200 }, (_, k) => {
      const lane = ends.indexOf(Math.min(...ends));
      const start = ends[lane];
      ends[lane] += Math.round(random() * 100) / 100;
      return task(`t${k}`, start, ends[lane] - start);
    });
    const lanes = lanesIn(tree);
    assert.ok(lanes.length <= 8, `seed ${seed}: ${lanes.length}`);
    assert.equal(lanes.flat().length, 200);
    for (const lane of lanes) {
      for (const [k, { from }] of lane.entries()) assert.ok(k === 0 || lane[k - 1].to <= from + 0.002, `seed ${seed}`);
    }
  }
});

test("what runs on keeps its lane, and the others theirs", () => {
  const tree = (more) => [task("a", 0, 2), { n: "runs", t: 1, s: "running" }, task("b", 2, 3), ...more];
  const early = inLanes(lanesIn(tree([]), 4));
  assert.deepEqual(early, ["a b", "runs"]);
  assert.deepEqual(inLanes(lanesIn(tree([task("c", 6, 1), task("d", 6.5, 1)]), 9)), ["a b c", "runs", "d"]);
});

test("the first task of a lane after an instant is found", () => {
  const [lane] = lanesIn([task("a", 0, 2), task("b", 3, 2), task("c", 6, 2)]);
  assert.deepEqual([0, 2, 2.5, 5, 5.5, 9].map((time) => firstAfter(lane, time)), [0, 0, 1, 1, 2, 3]);
});

test("a lane is drawn with as much as there are pixels, and names where there is room", () => {
  const many = lanesIn(Array.from({ length: 10_000 }, (_, k) => task(`t${k}`, k * 0.01, 0.01)));
  assert.equal(many.length, 1);
  const looks = () => ["completed"];
  const whole = scaleOf([task("a", 0, 100)]);
  const { data, labels } = pathsOf(many[0], whole, 600, looks);
  assert.deepEqual([...data.keys()], ["completed"]);
  assert.ok(data.get("completed").length < 600 * 30);
  assert.equal(labels.length, 0);
  const part = pathsOf(many[0], partOf(whole, { from: 50.001, to: 50.049 }), 600, looks);
  assert.deepEqual(part.labels.map(({ text }) => text), ["t5000", "t5001", "t5002", "t5003", "t5004"]);
  assert.equal(part.data.get("completed").split("M").length - 1, 5);
  const failed = pathsOf(many[0], whole, 600, (row) => (row.name === "t70" ? ["failed"] : ["completed"]));
  assert.ok(failed.data.get("failed").startsWith("M"), "one that failed among thousands is seen");
});
