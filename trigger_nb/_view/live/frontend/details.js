// The details of the selected row, and the actions on it.

import { Button } from "./button.js";
import { Copier } from "./copying.js";
import { h, markIn, setAttribute, setChildren, setShown, setText, shape, stateName } from "./dom.js";
import { plural } from "./format.js";
import { tellMoments } from "./moments.js";
import { AnswerForm } from "./questions.js";
import { sectionElement } from "./sections.js";
import { Splitter } from "./splitter.js";

const BUSY_REST = "The kernel is busy. More details will appear when it is free.";
const UNCONNECTED_REST = "Not connected to a kernel, which has more details.";
const PATIENCE = 400; // ms without an answer before the fields of the row are shown instead

/** @typedef {import("./store.js").Section} Section */
/** A section that is drawn: what it was painted from, and the text that is marked in it. @typedef {{ painted: string, marked: string, element: HTMLElement }} Drawn */

/** The pane beside or below the tree. */
export class DetailsPane {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./outline.js").Outline} outline
   * @param {import("./actions.js").Actions} actions
   * @param {() => void} close
   */
  constructor(store, outline, actions, close) {
    this.store = store;
    this.outline = outline;
    this.actions = actions;
    /** The row whose details the kernel sends. @type {number | null} */
    this.watched = null;
    /** The row that is drawn. @type {number | null} */
    this.drawn = null;
    this.drawnAt = 0;
    /** The row whose form gets the focus. @type {number | null} */
    this.toFocus = null;
    /** @type {Drawn[]} */
    this.sections = [];
    this.copier = new Copier();
    /** The forms of questions, with what was filled in, by the index of the row. @type {Map<number, { painted: string, form: AnswerForm, element: HTMLElement }>} */
    this.forms = new Map();

    this.shape = shape("pending");
    this.name = h("b", { class: "tnb-t" });
    this.skip = new Button("Skip wait", () => this.onRow((index) => void actions.order("skip_wait", index)));
    this.rerun = new Button("Rerun from here", () => this.onRow((index) => void actions.askRerun(index)));
    this.goOn = new Button("Continue", () => this.onRow((index) => void actions.order("go_on", index)), { class: "tnb-main" });
    this.accept = new Button("Accept", () => this.onRow((index) => void actions.order("accept", index)));
    this.open = new Button("Open in a cell", () => this.onRow((index) => void actions.openInCell(index, this.open.element)));
    const offered = [this.goOn, this.skip, this.accept, this.open, this.rerun];
    this.buttons = h("span", { class: "tnb-buttons" }, ...offered.map(({ element }) => element));
    this.expander = new Button("Expand details", () => this.expand(!this.isExpanded), { icon: "expand", class: "tnb-plain" });
    const closer = new Button("Close details", close, { icon: "close", class: "tnb-plain" });
    const ends = h("span", { class: "tnb-dh-end" }, this.expander.element, closer.element);
    this.head = h("div", { class: "tnb-dh" }, this.shape, this.name, this.buttons, ends);
    this.confirm = new Confirmation(actions, this.rerun.element);
    this.note = h("div", { class: "tnb-note", role: "status", hidden: true });
    this.list = h("ul", { class: "tnb-f" });
    this.element = h(
      "section",
      { class: "tnb-details", hidden: true, tabindex: "-1", "aria-label": "Details" },
      this.head,
      this.confirm.element,
      this.note,
      this.list,
      this.copier.said,
    );
    this.splitter = new Splitter(this.element);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      if (actions.question) actions.dismiss();
      else if (this.isExpanded) this.expand(false);
      else close();
    });
  }

  render() {
    const row = this.outline.detailedRow();
    const appears = row !== null && this.element.hidden;
    setShown(this.element, row !== null);
    setShown(this.splitter.element, row !== null && !this.isExpanded);
    if (!row) this.expand(false);
    else this.splitter.render();
    this.watch(row ? row.index : null);
    if (!row) return;
    if (this.drawn !== row.index) {
      this.drawn = row.index;
      this.drawnAt = Date.now();
      setTimeout(() => this.store.notify(), PATIENCE);
      this.sections = [];
      this.element.scrollTop = 0;
    }
    setAttribute(this.element, "aria-label", `Details of ${row.name}`);
    setAttribute(this.shape, "class", `tnb-s tnb-s-${stateName(row.state)}`);
    setAttribute(this.shape, "title", row.state);
    setText(this.name, row.name);
    setAttribute(this.name, "title", row.name);
    this.renderButtons(row);
    this.confirm.render(row.index);
    const note = this.actions.note?.index === row.index ? this.actions.note : null;
    setText(this.note, note?.text ?? "");
    this.note.classList.toggle("tnb-bad", note?.bad ?? false);
    setShown(this.note, note !== null);
    this.renderSections(this.store.details.get(row.index)?.sections ?? this.known(row));
    if (this.toFocus === row.index && this.sections.length && this.forms.has(row.index)) {
      this.toFocus = null;
      this.forms.get(row.index)?.form.focus();
    }
    this.markFound(this.outline.text);
    this.tick();
    if (appears) this.bringIntoView();
  }

  get isExpanded() {
    return this.element.classList.contains("tnb-expanded");
  }

  /** @param {boolean} expanded  whether the details take the place of the tree */
  expand(expanded) {
    if (expanded === this.isExpanded) return;
    this.element.classList.toggle("tnb-expanded", expanded);
    this.expander.setPressed(expanded);
    this.store.notify();
  }

  /** Updates the times between two messages. */
  tick() {
    if (!this.element.hidden) tellMoments(this.list, this.store.now());
  }

  /** @param {import("./store.js").Row} row */
  renderButtons(row) {
    const offered = this.store.header.row_actions;
    const isRunOnce = row.kind !== "log" && row.state !== "pending" && row.state !== "not reached";
    const isWait = (row.state === "waiting" && !row.asks) || row.state === "retrying";
    this.renderButton(this.skip, "skip_wait", row, isWait ? offered["skip_wait"] : undefined);
    const isStopped = row.isMap && row.marks.some((mark) => mark.startsWith("stopped after"));
    const isChanged = row.replayed && row.hot.some((mark) => mark.startsWith("changed"));
    const hasFailed = row.state === "failed" && (row.kind === "task" || row.kind === "own");
    this.renderButton(this.goOn, "go_on", row, isStopped ? offered["go_on"] : undefined);
    this.renderButton(this.accept, "accept", row, isChanged ? offered["accept"] : undefined);
    const cell = this.store.channel.hasCells?.(this.element) ? "Open in a cell" : "Copy for a cell";
    this.renderButton(this.open, "open", row, hasFailed ? { label: cell, why: "" } : undefined);
    this.renderButton(this.rerun, "rerun_from", row, isRunOnce ? offered["rerun_from"] : undefined);
    const shown = this.buttons.querySelectorAll("button:not([hidden])").length;
    this.head.classList.toggle("tnb-dh-two", shown > 1);
  }

  /**
   * @param {Button} button
   * @param {string} op
   * @param {import("./store.js").Row} row
   * @param {import("./store.js").RowAction | undefined} offered
   */
  renderButton(button, op, row, offered) {
    setShown(button.element, offered !== undefined);
    if (!offered) return;
    button.setLabel(offered.label);
    button.setWhy(this.actions.reason(offered.why));
    setAttribute(button.element, "aria-busy", this.actions.isWaiting(op, row.index) ? "true" : null);
  }

  /**
   * Replaces only sections that have changed, so that a selection in another section stays.
   * @param {Section[]} sections
   */
  renderSections(sections) {
    const focused = this.sections.findIndex(({ element }) => element.contains(document.activeElement));
    this.sections = sections.map((section, at) => {
      const painted = JSON.stringify(section);
      const before = this.sections[at];
      if (section.form) return { painted, marked: "", element: this.formElement(section, painted) };
      return before?.painted === painted ? before : { painted, marked: "", element: sectionElement(section, this.copier) };
    });
    setChildren(this.list, this.sections.map(({ element }) => element));
    const copy = this.sections[focused]?.element.querySelector("button");
    if (focused >= 0 && !this.list.contains(document.activeElement)) copy?.focus({ preventScroll: true });
  }

  /**
   * The form of the question that is drawn.
   * @param {Section} section
   * @param {string} painted
   */
  formElement({ label, form, code = "" }, painted) {
    const index = this.drawn ?? -1;
    let known = this.forms.get(index);
    if (form && known?.painted !== painted) {
      const made = new AnswerForm(form, code, this.actions, index);
      known = { painted, form: made, element: h("li", { class: "tnb-answer" }, h("b", {}, label), h("div", {}, made.element)) };
      this.forms.set(index, known);
    }
    known?.form.render();
    return known?.element ?? h("li", {});
  }

  /** Moves the focus into the form of a row, as soon as it is there. @param {number} index */
  focusForm(index) {
    this.toFocus = index;
    this.store.notify();
  }

  /** Marks the text that the filter looks for; what hides it is opened. @param {string} query */
  markFound(query) {
    for (const section of this.sections) {
      if (section.marked === query) continue;
      section.marked = query;
      markIn(section.element, query);
      for (const folded of section.element.querySelectorAll("details")) folded.open ||= folded.querySelector("mark") !== null;
    }
  }

  /**
   * Sections made from the fields of the row, for the time before the kernel answers.
   * @param {import("./store.js").Row} row
   * @returns {Section[]}
   */
  known(row) {
    const isLive = this.store.channel.live();
    if (isLive && Date.now() - this.drawnAt < PATIENCE) return [];
    const status = [row.state, ...row.marks, ...row.hot];
    const sections = [
      { label: "Error", text: row.error },
      { label: "Properties", properties: row.properties },
      { label: "Status", text: [...new Set(status)].filter(Boolean).join(" · ") },
      { label: "Key", code: row.key },
      { label: "", text: isLive ? BUSY_REST : UNCONNECTED_REST },
    ];
    return sections.filter(({ text, code, properties }) => text || code || properties?.length);
  }

  /** Scrolls the pane into view: below the tree it may open outside the visible part of the page. */
  bringIntoView() {
    const list = this.splitter.element.previousElementSibling;
    const isBelow = list && this.element.getBoundingClientRect().top >= list.getBoundingClientRect().bottom - 1;
    if (isBelow) this.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {(index: number) => void} act */
  onRow(act) {
    if (this.drawn !== null) act(this.drawn);
  }

  /** @param {number | null} index */
  watch(index) {
    if (index === this.watched) return;
    if (this.watched !== null) this.store.unwatch(this.watched);
    this.watched = index;
    if (index !== null) this.store.watch(index);
  }
}

/** The question whether to run tasks again. */
class Confirmation {
  /**
   * @param {import("./actions.js").Actions} actions
   * @param {HTMLElement} opener  the element that gets the focus back
   */
  constructor(actions, opener) {
    this.actions = actions;
    this.opener = opener;
    this.text = h("span", {});
    this.yes = new Button("", () => void actions.confirmRerun(), { class: "tnb-main" });
    const no = new Button("Cancel", () => actions.dismiss());
    const buttons = h("span", { class: "tnb-buttons" }, this.yes.element, no.element);
    this.element = h("div", { class: "tnb-confirm", role: "alertdialog", hidden: true }, this.text, buttons);
  }

  /** @param {number} index */
  render(index) {
    const question = this.actions.question?.index === index ? this.actions.question : null;
    const appears = question !== null && this.element.hidden;
    if (!question && this.element.contains(document.activeElement)) this.opener.focus({ preventScroll: true });
    setShown(this.element, question !== null);
    if (!question) return;
    setText(this.text, question.text);
    setAttribute(this.element, "aria-label", question.text);
    this.yes.setLabel(`Run ${plural(question.count, "task")} again`);
    this.yes.setWhy(this.actions.reason(""));
    if (appears) this.yes.element.focus({ preventScroll: true });
  }
}
