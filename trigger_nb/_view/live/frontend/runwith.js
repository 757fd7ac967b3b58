// *Run with …*: another run of the job, with an example, a recent payload or an edited one; and the runs that were started so.

import { Button } from "./button.js";
import { h, setAttribute, setChildren, setShown, setText } from "./dom.js";
import { Fields, WRONG } from "./questions.js";

/** @typedef {{ id: string, label: string, fixed?: string, fields: import("./questions.js").Field[], named: boolean }} Choice */

/** The form, below the header of a run. */
export class RunWith {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./actions.js").Actions} actions
   */
  constructor(store, actions) {
    this.store = store;
    this.actions = actions;
    /** @type {Choice[]} */
    this.choices = [];
    /** What was filled in, by the id of the choice: to look at another one loses nothing. @type {Map<string, Fields>} */
    this.forms = new Map();
    this.isOpen = false;
    this.opener = new Button("Run with …", () => void (this.isOpen ? this.close() : this.open()));
    setAttribute(this.opener.element, "aria-expanded", "false");
    this.sources = h("select", { "aria-label": "Payload", onchange: () => this.renderForm() });
    this.fixed = h("div", { class: "tnb-field-about", hidden: true });
    this.place = h("div", { class: "tnb-form" });
    this.test = h("input", { type: "checkbox" });
    this.start = new Button("Start the run", () => void this.submit(), { class: "tnb-main" });
    const close = new Button("Close", () => this.close());
    const test = h("label", { class: "tnb-field-box", title: "ctx.run.is_test tells it to the job" }, this.test, "Test run");
    this.element = h(
      "form",
      { class: "tnb-with", novalidate: true, "aria-label": "Run with another payload", autocomplete: "off", hidden: true },
      h("div", { class: "tnb-field" }, h("b", {}, "Run with"), this.sources),
      this.fixed,
      this.place,
      h("div", { class: "tnb-buttons" }, this.start.element, close.element, test),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
      else if (event.key === "Enter" && event.target instanceof HTMLInputElement) void this.submit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** Updates what depends on the kernel. */
  render() {
    const why = this.store.header.run_with;
    setShown(this.opener.element, why !== null);
    this.opener.setWhy(this.isOpen ? "" : this.actions.reason(why ?? ""));
    this.start.setWhy(this.actions.reason(why ?? ""));
    setAttribute(this.start.element, "aria-busy", this.actions.isWaiting("run_with") ? "true" : null);
  }

  async open() {
    const answer = await this.actions.exchange("ask", "run_with", null);
    if (!answer?.ok) return;
    this.choices = answer.choices ?? [];
    this.forms.clear();
    setChildren(this.sources, this.choices.map(({ label }) => h("option", {}, label)));
    this.sources.selectedIndex = 0;
    this.renderForm();
    this.setOpen(true);
    this.sources.focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.setOpen(false);
    this.opener.element.focus({ preventScroll: true });
  }

  /** @param {boolean} isOpen */
  setOpen(isOpen) {
    this.isOpen = isOpen;
    setShown(this.element, isOpen);
    setAttribute(this.opener.element, "aria-expanded", String(isOpen));
  }

  get choice() {
    return this.choices[this.sources.selectedIndex];
  }

  get fields() {
    const { id, fields, named } = this.choice;
    const made = this.forms.get(id) ?? new Fields(fields, named);
    this.forms.set(id, made);
    return made;
  }

  renderForm() {
    const { fixed = "" } = this.choice;
    setText(this.fixed, fixed);
    setShown(this.fixed, fixed !== "");
    setChildren(this.place, this.fields.elements);
    setShown(this.place, this.fields.all.length > 0);
  }

  async submit() {
    const { choice, fields } = this;
    if (this.start.why) return;
    const isEdited = fields.isTouched || choice.id === "new";
    const data = isEdited ? fields.read() : null;
    if (data === WRONG) return fields.focusWrong();
    const more = { source: choice.id, data, edited: isEdited, test: this.test.checked };
    const answer = await this.actions.exchange("run_with", "run_with", null, more);
    if (!answer) return;
    fields.complain(answer.fields ?? []);
    if (!answer.ok || !answer.run) return;
    this.close();
    this.store.channel.started?.(answer.run); // elsewhere its tree appears below, or a hint tells of it
  }
}

/** The trees of the runs that were started from this one, below it. */
export class StartedRuns {
  /**
   * @param {import("./store.js").Store} store
   * @param {(channel: import("./store.js").Channel, element: HTMLElement) => () => void} mount
   */
  constructor(store, mount) {
    this.store = store;
    this.mount = mount;
    /** By run id. @type {Set<string>} */
    this.shown = new Set();
    /** @type {(() => void)[]} */
    this.leave = [];
    this.element = h("div", { class: "tnb-started", hidden: true });
  }

  render() {
    const { open } = this.store.channel;
    for (const [run, widget] of open ? this.store.header.others : []) {
      if (this.shown.has(run)) continue;
      this.shown.add(run);
      const place = h("div", { class: "tnb-started-run" });
      this.element.append(place);
      setShown(this.element, true);
      void open?.(widget).then((channel) => {
        if (channel) this.leave.push(this.mount(channel, place));
        place.scrollIntoView({ block: "nearest" });
      });
    }
  }

  close() {
    for (const leave of this.leave) leave();
  }
}
