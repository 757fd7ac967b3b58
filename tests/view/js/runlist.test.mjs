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
      return kernel.answer(message, { page: { rows, total, offset: message.offset, jobs: ["job"], statuses: [] } });
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

test("an order is sent once, and the page read again after it", async () => {
  const kernel = kernelOf();
  const list = new RunList(kernel);
  await kernel.page(kernel.last("page"));
  list.order("retry", "run_1");
  list.order("retry", "run_1");
  assert.equal(kernel.sent.filter((message) => message.t === "do").length, 1);
  const pages = kernel.sent.filter((message) => message.t === "page").length;
  await kernel.answer(kernel.last("do"));
  assert.equal(kernel.sent.filter((message) => message.t === "page").length, pages + 1);
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

test("runs under way are read again soon, others seldom, a busy kernel not twice, a lost one never", async (context) => {
  context.mock.timers.enable({ apis: ["Date"] });
  for (const { state, pause } of [{ state: "running", pause: 2000 }, { state: "completed", pause: 10_000 }]) {
    const kernel = kernelOf(3, state);
    const list = new RunList(kernel);
    await kernel.page(kernel.last("page"));
    const asked = kernel.sent.length;
    const since = (time) => {
      list.loadedAt = Date.now() - time;
      list.refresh();
      return kernel.sent.length - asked;
    };
    assert.equal(since(pause - 100), 0);
    kernel.isLive = false;
    assert.equal(since(60_000), 0);
    kernel.isLive = true;
    assert.equal(since(pause), 1);
    assert.equal(since(9000), 1);
  }
});

test("a kernel that takes long for a page is asked less often", async (context) => {
  context.mock.timers.enable({ apis: ["Date"] });
  const kernel = kernelOf(3, "running");
  const list = new RunList(kernel);
  list.loadedAt -= 500; // when it was asked
  await kernel.page(kernel.last("page"));
  const asked = kernel.sent.length;
  list.loadedAt = Date.now() - 9000;
  list.refresh();
  assert.equal(kernel.sent.length, asked);
  list.loadedAt = Date.now() - 12_000;
  list.refresh();
  assert.equal(kernel.sent.length, asked + 1);
});
