// The sections of the details, as elements.

import { displayElements, displayText } from "./displays.js";
import { h, shape } from "./dom.js";
import { duration, grouped, localTime } from "./format.js";
import { momentElement, timeOfDay } from "./moments.js";
import { propertyElement } from "./row.js";

const DEEPEST_CAUSE = 6;

/** @typedef {import("./store.js").Section} Section */
/** @typedef {import("./store.js").ErrorData} ErrorData */

/**
 * @param {Section} section
 * @param {import("./copying.js").Copier} copier
 */
export function sectionElement(section, copier) {
  const label = h("b", {}, section.label);
  const isText = section.error || section.prints || section.pre || section.code || (section.display && displayText(section.display));
  const text = isText ? () => sectionText(section) : null;
  const copy = text && copier.button(section.label.toLowerCase(), text);
  return h("li", { class: copy ? "tnb-copies" : null }, label, h("div", {}, ...sectionContent(section)), copy);
}

/**
 * @param {Section} section
 * @returns {Node[]}
 */
function sectionContent(section) {
  const { at, attempts, code, display, error, pre, prints, properties, text = "" } = section;
  if (error) return errorElements(error, 0);
  if (attempts) return [h("ul", { class: "tnb-ats" }, ...attempts.map(attemptElement))];
  if (properties) return properties.map((property) => propertyElement(property, false));
  if (prints) return [printsElement(prints)];
  if (display) return displayElements(display);
  if (pre !== undefined) return [h("pre", {}, pre)];
  if (code !== undefined) return [h("code", {}, code)];
  if (at) return [momentElement(at), document.createTextNode(text && ` · ${text}`)];
  return [document.createTextNode(text)];
}

/** The text of a section, to be copied. @param {Section} section */
function sectionText({ code, display, error, pre, prints }) {
  if (display) return displayText(display);
  if (error) return errorText(error);
  if (prints) return prints.map(([, text]) => text).join("");
  return pre ?? code ?? "";
}

// --- attempts ------------------------------------------------------------------------------------------------------

/** @param {import("./store.js").Attempt} attempt */
function attemptElement({ n, state, at, took, error, next }) {
  const parts = [
    at && momentElement(at),
    took !== undefined && document.createTextNode(`took ${duration(took)}`),
    error && h("span", { class: "tnb-bad" }, error),
    next && momentElement(next, "next attempt "),
  ];
  const told = parts.filter((part) => part instanceof Node);
  return h("li", {}, shape(state), h("span", { class: "tnb-away" }, state), h("span", {}, `${n}`, ...told.flatMap((part) => [" · ", part])));
}

// --- printed text --------------------------------------------------------------------------------------------------

/** The classes of streams; that of a log record is its level. @type {Record<string, string>} */
const STREAM_CLASSES = {
  err: "tnb-warn",
  warning: "tnb-warn",
  error: "tnb-bad",
  critical: "tnb-bad",
  debug: "tnb-faint",
  note: "tnb-faint",
};

/**
 * The time stands where a line begins that was printed in another second. It is not part of the text, which can be
 * copied without it.
 * @param {[stream: string, text: string, second?: number][]} prints
 */
function printsElement(prints) {
  let shown = 0;
  let isNewLine = true;
  /** @type {Node[]} */
  const pieces = [];
  for (const [stream, text, second] of prints) {
    if (second && second !== shown && isNewLine) {
      shown = second;
      pieces.push(h("span", { class: "tnb-stamp", "data-time": timeOfDay(second), title: localTime(second) }));
    }
    pieces.push(STREAM_CLASSES[stream] ? h("span", { class: STREAM_CLASSES[stream] }, text) : document.createTextNode(text));
    isNewLine = text.endsWith("\n");
  }
  return h("pre", { class: shown ? "tnb-stamped" : null }, ...pieces);
}

// --- errors --------------------------------------------------------------------------------------------------------

/**
 * An error with its notes, traceback, causes and members.
 * @param {ErrorData} error
 * @param {number} depth
 * @returns {HTMLElement[]}
 */
export function errorElements(error, depth) {
  const parts = [h("span", { class: "tnb-bad tnb-lines" }, error.line)];
  for (const note of error.notes ?? []) parts.push(h("div", { class: "tnb-lines" }, note));
  if (error.traceback) {
    parts.push(h("details", { open: error.open }, h("summary", {}, "Traceback"), h("pre", {}, error.traceback)));
  }
  if (depth >= DEEPEST_CAUSE) return parts;
  for (const [label, cause] of error.causes ?? []) {
    parts.push(h("div", { class: "tnb-cause" }, h("b", {}, label), " ", ...errorElements(cause, depth + 1)));
  }
  for (const member of error.members ?? []) {
    parts.push(h("div", { class: "tnb-cause" }, ...errorElements(member, depth + 1)));
  }
  if (error.more) parts.push(h("div", {}, `… ${grouped(error.more)} more`));
  return parts;
}

/**
 * An error as text, its traceback first, as Python prints it.
 * @param {ErrorData} error
 * @returns {string}
 */
function errorText(error) {
  const parts = [error.traceback && `Traceback (most recent call last):\n${error.traceback}`, error.line, ...(error.notes ?? [])];
  for (const [label, cause] of error.causes ?? []) parts.push(`\n${label}\n${errorText(cause)}`);
  for (const member of error.members ?? []) parts.push(`\n${errorText(member)}`);
  if (error.more) parts.push(`… ${grouped(error.more)} more`);
  return parts.filter(Boolean).join("\n");
}
