// The header of a run: title, status, hints and actions.

import { askPermission, canAsk } from "./alerts.js";
import { Button } from "./button.js";
import { errorElements } from "./sections.js";
import { h, setAttribute, setChildren, setShown, setText, shape, stateName, withCode } from "./dom.js";
import { duration, grouped, localTime, probablyLeft, remaining, ticking } from "./format.js";

const OFFLINE = "Not connected to the kernel that drove this run.";

/** The header: title, status and clock; progress bar; hints; buttons. */
export class RunHeader {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./actions.js").Actions} actions
   * @param {HTMLElement} chips
   * @param {import("./runwith.js").RunWith} runWith
   */
  constructor(store, actions, chips, runWith) {
    this.store = store;
    this.runWith = runWith;
    this.actions = actions;
    /** By op. @type {Map<string, Button>} */
    this.buttons = new Map();
    /** @type {string | null} */
    this.offlinePainted = null;
    this.hintsPainted = "";
    this.statusesPainted = "";
    this.errorPainted = "";

    this.shape = shape("pending");
    this.title = h("b", { class: "tnb-t" });
    this.job = h("code", { class: "tnb-k" });
    this.test = h("span", { class: "tnb-m", hidden: true }, "test run");
    this.status = h("span", { class: "tnb-w", role: "status" });
    this.elapsed = h("span", { class: "tnb-elapsed" });
    this.left = h("span", { class: "tnb-eta", title: "Estimated from earlier runs of the job", hidden: true });
    this.statuses = h("div", { class: "tnb-sts", role: "group", "aria-label": "Statuses", hidden: true });
    this.buttonBox = h("span", { class: "tnb-buttons", role: "group", "aria-label": "Actions on the run" });
    this.bell = new Button("Notify me", () => void askPermission().then(() => this.store.notify()));
    setAttribute(this.bell.element, "title", "Let the browser tell you when the run has ended");
    this.bar = h("div", { class: "tnb-bar", "aria-hidden": "true" });
    this.note = h("div", { class: "tnb-note", role: "status", hidden: true });
    this.offline = h("div", { class: "tnb-y tnb-warn", role: "status", hidden: true });
    this.waits = h("div", { class: "tnb-y", hidden: true });
    this.hints = h("div", {});
    this.error = h("div", { class: "tnb-y tnb-y-bad", hidden: true });
    this.head = h(
      "div",
      { class: "tnb-h" },
      this.shape,
      this.title,
      this.job,
      this.test,
      this.status,
      h("span", { class: "tnb-times" }, this.elapsed, this.left),
      this.buttonBox,
    );
    const below = [this.note, this.offline, this.waits, this.hints, this.error];
    this.element = h("div", {}, this.head, this.bar, this.statuses, chips, ...below);
  }

  render() {
    const { header, channel } = this.store;
    const isLastSeen = !channel.live() && !header.ended;
    const state = isLastSeen ? "pending" : stateName(header.state);
    setAttribute(this.shape, "class", `tnb-s tnb-s-${state}`);
    setText(this.title, header.title);
    setAttribute(this.title, "title", header.title);
    setText(this.job, header.job);
    setShown(this.test, header.test);
    setText(this.status, isLastSeen ? `LAST SEEN ${header.status}` : header.status);
    setAttribute(this.status, "class", `tnb-w tnb-w-${state}`);
    this.renderButtons(header.actions);
    this.renderBar(header.bar);
    this.renderStatuses(header.statuses, header.more_statuses);
    this.renderNote();
    this.renderOffline(channel.live() ? null : `${OFFLINE} ${header.again}`);
    this.renderHints(header.hints);
    this.renderError(header.error);
    this.tick();
  }

  tick() {
    const elapsed = this.store.elapsed();
    setText(this.elapsed, elapsed === null ? "" : this.store.header.ticking ? ticking(elapsed) : duration(elapsed));
    const { ends } = this.store.header;
    const left = ends === null ? 0 : ends - this.store.now();
    setText(this.left, left > 0 ? probablyLeft(left) : "");
    setShown(this.left, left > 0);
    this.tickWait();
  }

  /** What the run waits for, with the reader's time and a countdown. */
  tickWait() {
    const { waits } = this.store.header;
    setText(this.waits, waits ? `${waits[0]} ${localTime(waits[1])} (${remaining(waits[1] - this.store.now())}).` : "");
    setShown(this.waits, waits !== null);
  }

  /** @param {import("./store.js").Action[]} offered */
  renderButtons(offered) {
    const elements = offered.map(({ op, label, why, main }) => {
      const button = this.buttons.get(op) ?? new Button(label, () => void this.actions.order(op));
      this.buttons.set(op, button);
      button.setLabel(label);
      button.setWhy(this.actions.reason(why));
      button.element.classList.toggle("tnb-main", Boolean(main));
      setAttribute(button.element, "aria-busy", this.actions.isWaiting(op) ? "true" : null);
      return button.element;
    });
    const { ended, notifies, run_with } = this.store.header;
    if (run_with !== null) elements.push(this.runWith.opener.element);
    if (notifies && !ended && this.store.channel.live() && canAsk()) elements.push(this.bell.element);
    setChildren(this.buttonBox, elements);
    setShown(this.buttonBox, elements.length > 0);
  }

  /** @param {[name: string, percent: number][]} parts */
  renderBar(parts) {
    const shares = parts.map(([name, percent], at) => {
      const share = /** @type {HTMLElement} */ (this.bar.children[at] ?? h("i"));
      setAttribute(share, "class", `tnb-b-${name}`);
      share.style.width = `${percent.toFixed(2)}%`;
      return share;
    });
    setChildren(this.bar, shares);
  }

  /**
   * @param {import("./store.js").Status[]} statuses
   * @param {number} more
   */
  renderStatuses(statuses, more) {
    const painted = JSON.stringify([statuses, more]);
    if (painted === this.statusesPainted) return;
    this.statusesPainted = painted;
    const rest = more > 0 && h("div", { class: "tnb-u" }, `… and ${grouped(more)} more statuses`);
    setChildren(this.statuses, [...statuses.map(statusElement), ...(rest ? [rest] : [])]);
    setShown(this.statuses, statuses.length > 0);
  }

  renderNote() {
    const note = this.actions.note?.index === null ? this.actions.note : null;
    setText(this.note, note?.text ?? "");
    this.note.classList.toggle("tnb-bad", note?.bad ?? false);
    setShown(this.note, note !== null);
  }

  /** @param {string | null} text */
  renderOffline(text) {
    if (text !== this.offlinePainted) this.offline.replaceChildren(...withCode(text ?? ""));
    this.offlinePainted = text;
    setShown(this.offline, text !== null);
  }

  /** @param {string[]} hints */
  renderHints(hints) {
    const painted = JSON.stringify(hints);
    if (painted === this.hintsPainted) return;
    this.hintsPainted = painted;
    setChildren(this.hints, hints.map((hint) => h("div", { class: hint.startsWith("⚠ ") ? "tnb-y tnb-warn" : "tnb-y" }, ...withCode(hint))));
  }

  /** @param {import("./store.js").ErrorData | null} error */
  renderError(error) {
    const painted = JSON.stringify(error);
    if (painted === this.errorPainted) return;
    this.errorPainted = painted;
    setChildren(this.error, error ? errorElements(error, 0) : []);
    setShown(this.error, error !== null);
  }
}

/** @param {import("./store.js").Status} status */
function statusElement({ state, label, share, percent, text }) {
  const content = h("span", { class: "tnb-sd" });
  if (share !== null) {
    const filled = h("i");
    filled.style.width = `${(100 * share).toFixed(1)}%`;
    const bar = { class: "tnb-pb", role: "progressbar", "aria-label": label, "aria-valuenow": Math.round(100 * share) };
    content.append(h("span", bar, filled), h("span", { class: "tnb-m" }, percent));
  }
  if (text) content.append(h("span", { class: "tnb-m", title: text }, text));
  const name = h("span", { class: "tnb-n", title: label }, label);
  return h("div", { class: `tnb-st tnb-st-${stateName(state)}` }, shape(state), name, content);
}
