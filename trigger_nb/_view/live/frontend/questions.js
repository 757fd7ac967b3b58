// Questions of a run that people answer: the lines that tell of them, and the form of one.

import { Button } from "./button.js";
import { h, setAttribute, setChildren, setShown, setText, shape } from "./dom.js";
import { grouped } from "./format.js";

const TOLD = 3; // questions that have a line each
let forms = 0; // made in this page, for ids of their fields

/**
 * A field of a form; see `_io/forms.py`.
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {string} kind  "text", "integer", "number", "checkbox", "date", "choice", "written" or "json"
 * @property {boolean} [required]
 * @property {boolean} [nullable]
 * @property {unknown[]} [choices]
 * @property {unknown} [default]
 * @property {string} [about]
 * @property {Record<string, any>} [limits]
 */
/** @typedef {{ asks: string, choices: string[], fields: Field[], named: boolean }} Form */
/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */

/** The open questions, above the tree, each with a button that leads to its form. */
export class QuestionBar {
  /**
   * @param {import("./store.js").Store} store
   * @param {(row: import("./store.js").Row) => void} open  shows the form of a question
   */
  constructor(store, open) {
    this.store = store;
    this.open = open;
    /** By the index of the row. @type {Map<number, { text: HTMLElement, element: HTMLElement }>} */
    this.lines = new Map();
    this.more = h("div", { class: "tnb-y", hidden: true });
    this.element = h("div", { class: "tnb-asks", role: "group", "aria-label": "Open questions", hidden: true });
  }

  render() {
    const asking = [...this.store.rows.asking].sort((a, b) => (a.order ?? 0) - (b.order ?? 0));
    const isOver = this.store.header.ended || asking.length === 0;
    const told = isOver ? [] : asking.slice(0, TOLD);
    for (const index of this.lines.keys()) if (!told.some((row) => row.index === index)) this.lines.delete(index);
    const lines = told.map((row) => {
      const line = this.lines.get(row.index) ?? this.line(row);
      setText(line.text, row.asks);
      return line.element;
    });
    setText(this.more, `… and ${grouped(asking.length - TOLD)} more questions`);
    setShown(this.more, !isOver && asking.length > TOLD);
    setChildren(this.element, [...lines, this.more]);
    setShown(this.element, !isOver);
  }

  /** @param {import("./store.js").Row} row */
  line(row) {
    const button = new Button("Answer", () => this.open(row), { class: "tnb-main" });
    setAttribute(button.element, "aria-label", `Answer ${row.name}`);
    const text = h("span", { class: "tnb-ask-text" });
    const told = h("span", { class: "tnb-ask-line", role: "status" }, shape("waiting"), h("b", {}, row.name), " ", text);
    const line = { text, element: h("div", { class: "tnb-ask" }, told, button.element) };
    this.lines.set(row.index, line);
    return line;
  }
}

/** The form of one question. It keeps what was filled in as long as the question is the same. */
export class AnswerForm {
  /**
   * @param {Form} form
   * @param {string} code  what to type instead
   * @param {import("./actions.js").Actions} actions
   * @param {number} index  of the row
   */
  constructor(form, code, actions, index) {
    this.form = form;
    this.actions = actions;
    this.index = index;
    this.fields = new Fields(form.fields, form.named);
    const isInput = form.asks === "input";
    this.buttons = (isInput ? ["Answer"] : form.choices).map((choice, at) => {
      const label = isInput ? choice : choice.slice(0, 1).toUpperCase() + choice.slice(1);
      return new Button(label, () => void this.submit(isInput ? null : choice), { class: at === 0 ? "tnb-main" : "" });
    });
    const buttons = h("div", { class: "tnb-buttons" }, ...this.buttons.map(({ element }) => element));
    this.element = h(
      "form",
      { class: "tnb-form", novalidate: true, "aria-label": "Answer", autocomplete: "off" },
      ...this.fields.elements,
      buttons,
      h("div", { class: "tnb-form-code" }, "Or type ", h("code", {}, code)),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      if (isInput) void this.submit(null); // of a choice, Enter would take the first one by mistake
    });
    this.element.addEventListener("keydown", (event) => {
      const isLine = event.target instanceof HTMLInputElement;
      if (event.key === "Enter" && isLine && isInput) {
        event.preventDefault();
        void this.submit(null);
      }
    });
  }

  /** Updates what depends on the connection to the kernel. */
  render() {
    const isWaiting = this.actions.isWaiting("answer", this.index);
    for (const button of this.buttons) {
      button.setWhy(this.actions.reason(""));
      setAttribute(button.element, "aria-busy", isWaiting ? "true" : null);
    }
  }

  focus() {
    (this.fields.first ?? this.buttons[0]?.element)?.focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {string | null} choice */
  async submit(choice) {
    const { fields } = this;
    const needsData = fields.all.length > 0 && !(choice === "reject" && !fields.isTouched);
    const data = needsData ? fields.read() : null;
    if (data === WRONG) return fields.focusWrong();
    const answer = await this.actions.answer(this.index, choice, data);
    fields.complain(answer?.fields ?? []);
  }
}

export const WRONG = Symbol("wrong");
const MISSING = Symbol("missing");

/** The fields of a form. */
export class Fields {
  /**
   * @param {Field[]} fields
   * @param {boolean} named  whether the value is an object with these fields, and not that of the only one
   */
  constructor(fields, named) {
    this.named = named;
    const prefix = `tnb-form-${++forms}-`;
    this.all = fields.map((field, at) => new FieldElement(field, `${prefix}${at}`));
  }

  get elements() {
    return this.all.map(({ element }) => element);
  }

  /** The control of the first field. */
  get first() {
    return this.all[0]?.control;
  }

  get isTouched() {
    return this.all.some((field) => field.isTouched);
  }

  /** What was filled in; `WRONG` if a field cannot be read. */
  read() {
    /** @type {Record<string, unknown>} */
    const data = {};
    for (const field of this.all) {
      const value = field.read();
      field.complain(value === WRONG ? "This is not JSON." : "");
      if (value !== MISSING) data[field.field.name] = value;
    }
    if (Object.values(data).includes(WRONG)) return WRONG;
    return this.named ? data : (data[""] ?? null);
  }

  /**
   * Shows faults beside their fields; those of no field beside the first one.
   * @param {[name: string, fault: string][]} told
   */
  complain(told) {
    const faults = new Map(told);
    for (const field of this.all) field.complain(faults.get(field.field.name) ?? "");
    const names = this.all.map((field) => field.field.name);
    const others = told.filter(([name]) => !names.includes(name)).map(([name, fault]) => (name ? `${name}: ${fault}` : fault));
    if (others.length && !this.all.some((field) => field.isWrong)) this.all[0]?.complain(others.join(" · "));
    if (faults.size) this.focusWrong();
  }

  focusWrong() {
    const wrong = this.all.find((field) => field.isWrong);
    wrong?.control.focus({ preventScroll: true });
    wrong?.element.scrollIntoView({ block: "nearest" });
  }
}

/** One field with its label, its help and its fault. */
class FieldElement {
  /**
   * @param {Field} field
   * @param {string} id
   */
  constructor(field, id) {
    this.field = field;
    this.isTouched = false;
    this.isWrong = false;
    this.control = controlOf(field);
    const label = field.label || "Value";
    const isBox = field.kind === "checkbox" && !field.nullable;
    this.fault = h("div", { class: "tnb-field-fault", id: `${id}-fault`, role: "alert", hidden: true });
    this.help = field.about ? h("div", { class: "tnb-field-about", id: `${id}-about` }, field.about) : null;
    setAttribute(this.control, "id", id);
    setAttribute(this.control, "aria-describedby", this.help ? `${id}-about` : null);
    if (field.required && !isBox) setAttribute(this.control, "aria-required", "true");
    const isOptional = !field.required && field.default === undefined;
    const name = h("label", { for: id }, label, isOptional && h("span", { class: "tnb-faint" }, " (optional)"));
    const parts = isBox ? [h("div", { class: "tnb-field-box" }, this.control, name)] : [name, this.control];
    this.element = h("div", { class: "tnb-field" }, ...parts, this.help, this.fault);
    this.control.addEventListener("input", () => {
      this.isTouched = true;
      this.complain("");
    });
  }

  /** @param {string} fault */
  complain(fault) {
    this.isWrong = fault !== "";
    setText(this.fault, fault);
    setShown(this.fault, this.isWrong);
    setAttribute(this.control, "aria-invalid", this.isWrong ? "true" : null);
    const described = [this.help?.id, this.isWrong && this.fault.id].filter(Boolean).join(" ");
    setAttribute(this.control, "aria-describedby", described || null);
  }

  /** The value as JSON has it; `MISSING` for none, `WRONG` for what is not JSON. */
  read() {
    const { field, control } = this;
    if (control instanceof HTMLSelectElement) {
      const chosen = valuesOf(field)[control.selectedIndex];
      return chosen === MISSING && field.nullable ? null : chosen;
    }
    if (control instanceof HTMLInputElement && control.type === "checkbox") return control.checked;
    const text = control.value;
    if (field.kind === "text") return text === "" && field.required ? MISSING : text === "" && field.nullable ? null : text;
    if (text.trim() === "") return field.nullable ? null : MISSING;
    if (field.kind === "json") return parsed(text);
    if (!isNumber(field)) return text.trim();
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  }
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return WRONG;
  }
}

/** @param {Field} field */
function isNumber({ kind }) {
  return kind === "integer" || kind === "number";
}

/**
 * The values of the entries of a list.
 * @param {Field} field
 * @returns {unknown[]}
 */
function valuesOf(field) {
  const choices = field.kind === "checkbox" ? [true, false] : (field.choices ?? []);
  const isFilled = field.default !== undefined && field.default !== null;
  return isFilled && !field.nullable ? choices : [MISSING, ...choices];
}

/**
 * @param {Field} field
 * @returns {Control}
 */
function controlOf(field) {
  const { kind, limits = {} } = field;
  const given = field.default;
  if (kind === "choice" || (kind === "checkbox" && field.nullable)) {
    const told = (/** @type {unknown} */ value) => (value === MISSING ? "–" : value === true ? "Yes" : value === false ? "No" : String(value));
    const entries = valuesOf(field).map((value) => {
      const isGiven = value === (given ?? MISSING);
      return h("option", { selected: isGiven }, told(value));
    });
    return h("select", {}, ...entries);
  }
  if (kind === "checkbox") {
    const box = h("input", { type: "checkbox" });
    box.checked = given === true;
    return box;
  }
  if (kind === "json") {
    const area = h("textarea", { rows: "3", spellcheck: "false", placeholder: "JSON" });
    area.value = given === undefined ? "" : JSON.stringify(given, null, 1);
    return area;
  }
  const numeric = isNumber(field);
  const input = h("input", {
    type: numeric ? "number" : kind === "date" ? "date" : "text",
    step: numeric ? (kind === "integer" ? "1" : "any") : null,
    min: numeric ? (limits["ge"] ?? null) : null,
    max: numeric ? (limits["le"] ?? null) : null,
    maxlength: kind === "text" ? (limits["max_length"] ?? null) : null,
  });
  input.value = given === undefined || given === null ? "" : String(given);
  return input;
}
