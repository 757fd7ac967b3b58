// The list of runs: pages, filters, what is asked of the kernel, the way to the run that is open.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PAGE_SIZE, RunList } from "../../../trigger_nb/_view/live/frontend/runlist.js";

const run = (id, state = "completed") => ({
  id, job: "job", payload: "", state, status: state.toUpperCase(), started: "", duration: "", counts: "", actions: [],
});

/** A kernel that answers only when it is told to. */
function kernelOf(total = 3, state = "completed") {
  const kernel = {
    sent: [],
    number: 0,
    isLive: true,
    first: null,
    send: (message) => kernel.sent.push(message),
    listen(onMessage, onLive) {
      kernel.say = onMessage;
      kernel.liveChanged = onLive;
      return () => (kernel.isLeft = true);
    },
    live: () => kernel.isLive,
    last: (type) => kernel.sent.filter((message) => message.t === type).at(-1),
    async answer(message, fields = {}) {
      kernel.say({ answers: [{ id: message.id, ok: true, ...fields }] });
      await new Promise((resolve) => setTimeout(resolve));
    },
    page(message) {
      const count = Math.max(0, Math.min(PAGE_SIZE, total - message.offset));
      const rows = Array.from({ length: count }, (_, k) => run(`run_${message.offset + k}`, state));
      const page = { rows, total, offset: message.offset, jobs: ["job"], statuses: [] };
      return kernel.answer(message, { page, n: (kernel.number += 1), now: 1000 });
    },
    /** Tells what has changed of the page that is shown. */
    tell(page, of = ["", "", 0]) {
      kernel.say({ of, n: (kernel.number += 1), now: 1000, page });
    },
  };
  return kernel;
}

test("the first page is asked for at once, and shown when it comes", async () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  assert.equal(list.page, null);
  const { id, ...asked } = kernel.last("page");
  assert.deepEqual(asked, { t: "page", job: "", status: "", offset: 0 });
  let told = 0;
  list.subscribe(() => told++);
  await kernel.page(kernel.last("page"));
  assert.deepEqual(list.page.rows.map((row) => row.id), ["run_0", "run_1", "run_2"]);
  assert.equal(told, 1);
});

test("pages turn to older and newer runs, and end where the runs do", async () => {
  const kernel = kernelOf(120);
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  const seen = [];
  for (const by of /** @type {const} */ ([-1, 1, 1, 1, -1])) {
    list.turn(by);
    await kernel.page(kernel.last("page"));
    seen.push(list.page.offset);
  }
  assert.deepEqual(seen, [0, 50, 100, 100, 50]);
});

test("another filter begins at the newest run", async () => {
  const kernel = kernelOf(120);
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  list.turn(1);
  list.filter("job", "FAILED");
  const { id, ...asked } = kernel.last("page");
  assert.deepEqual(asked, { t: "page", job: "job", status: "FAILED", offset: 0 });
});

test("an answer that comes after the filter has changed is not shown", async () => {
  const kernel = kernelOf(120);
  const list = new RunList(kernel);
  const slow = kernel.last("page");
  list.filter("job", "");
  await kernel.page(slow);
  assert.equal(list.page, null);
  await kernel.page(kernel.last("page"));
  assert.equal(list.page.total, 120);
});

test("a page whose last run was deleted gives way to the one before", async () => {
  const kernel = kernelOf(101);
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  list.offset = 150;
  list.load();
  await kernel.page(kernel.last("page"));
  await kernel.page(kernel.last("page"));
  assert.equal(list.page.offset, 100);
});

test("only the updates of the open run come through to it, and its messages go as its own", async () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  list.open("run_1");
  assert.deepEqual(kernel.sent.at(-1), { t: "open", run: "run_1" });
  const got = [];
  list.opened.listen((update) => got.push(update.n));
  list.opened.send({ t: "hello", n: 0 });
  assert.deepEqual(kernel.sent.at(-1), { t: "in", run: "run_1", message: { t: "hello", n: 0 } });
  kernel.say({ open: "run_1", update: { n: 1 } });
  kernel.say({ open: "run_2", update: { n: 2 } });
  list.open("run_2");
  kernel.say({ open: "run_1", update: { n: 3 } });
  assert.deepEqual(got, [1]);
  list.shut();
  assert.deepEqual(kernel.sent.at(-1), { t: "close" });
  kernel.say({ open: "run_2", update: { n: 4 } });
  assert.equal(list.opened, null);
});

test("an open run hears that the kernel has gone", () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  list.open("run_1");
  let heard = 0;
  list.opened.listen(() => {}, () => heard++);
  kernel.isLive = false;
  kernel.liveChanged();
  assert.equal(heard, 1);
  assert.equal(list.opened.live(), false);
});

test("an order is sent once until it is answered", async () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  list.order("retry", "run_1");
  list.order("retry", "run_1");
  assert.equal(kernel.sent.filter((message) => message.t === "do").length, 1);
  await kernel.answer(kernel.last("do"));
  assert.equal(list.note, "");
  list.order("retry", "run_1");
  assert.equal(kernel.sent.filter((message) => message.t === "do").length, 2);
  await kernel.answer(kernel.last("do"));
});

test("a refusal is told in the kernel's words", async () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  list.order("retry", "run_1");
  await kernel.answer(kernel.last("do"), { ok: false, text: "Another kernel drives it." });
  assert.equal(list.note, "Another kernel drives it.");
});

test("a busy kernel is waited for, and that is said", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const list = new RunList(kernelOf());
  list.order("again", "run_1");
  context.mock.timers.tick(1999);
  assert.equal(list.note, "");
  context.mock.timers.tick(1);
  assert.match(list.note, /kernel is busy/);
});

test("deleting the open run closes it; keeping it changes nothing", async () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  list.open("run_1");
  list.ask("delete", "run_1");
  list.dismiss();
  assert.equal(kernel.last("do"), undefined);
  list.ask("delete", "run_1");
  list.order("delete", "run_1");
  assert.equal(list.asking, null);
  assert.equal(list.opened.run, "run_1");
  await kernel.answer(kernel.last("do"));
  assert.equal(list.opened, null);
});

test("what has changed is told, and no page is asked for again", async () => {
  const kernel = kernelOf(3, "running");
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  const asked = kernel.sent.length;
  const kept = list.page.rows[2];
  kernel.tell({ rows: [run("run_new"), run("run_1", "failed")], order: ["run_new", "run_1", "run_2"], total: 4 });
  assert.deepEqual(list.page.rows.map((line) => [line.id, line.state]), [
    ["run_new", "completed"],
    ["run_1", "failed"],
    ["run_2", "running"],
  ]);
  assert.equal(list.page.rows[2], kept);
  assert.equal(list.page.total, 4);
  kernel.tell({ total: 5 });
  assert.equal(list.page.total, 5);
  assert.equal(kernel.sent.length, asked);
});

test("what is told of another filter or offset is not for this page", async () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  kernel.tell({ total: 7 }, ["job", "", 0]);
  kernel.tell({ total: 8 }, ["", "", 50]);
  assert.equal(list.page.total, 3);
});

test("after a message that was missed the whole page comes", async () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  kernel.number += 1;
  kernel.tell({ total: 9 });
  assert.equal(list.page.total, 3);
  assert.deepEqual(kernel.last("look"), { t: "look", job: "", status: "", offset: 0, n: 1 });
  kernel.tell({ rows: [run("run_x")], total: 1, offset: 0, jobs: [], statuses: [] });
  assert.deepEqual(list.page.rows.map((line) => line.id), ["run_x"]);
});

test("a list in view asks for changes of other kernels from time to time, but not a kernel that is lost", async (context) => {
  context.mock.timers.enable({ apis: ["Date"] });
  const kernel = kernelOf();
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  const looks = () => kernel.sent.filter((message) => message.t === "look").length;
  list.look();
  assert.equal(looks(), 0);
  context.mock.timers.tick(10_000);
  kernel.isLive = false;
  list.look();
  assert.equal(looks(), 0);
  kernel.isLive = true;
  list.look();
  list.look();
  assert.equal(looks(), 1);
});

test("a duration goes on by the kernel's clock", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: 5_000_000 });
  const kernel = kernelOf();
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page")); // whose clock says 1000
  context.mock.timers.tick(2000);
  assert.equal(list.now(), 1002);
});
