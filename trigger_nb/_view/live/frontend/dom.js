// Creates and changes elements. Text from outside only becomes a text node or an attribute value.

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * Creates an element: `h("button", { class: "x", title: "t", onclick: act }, "Label")`. Properties that are null,
 * undefined or false are left out; true makes an attribute without a value.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child || child === "") element.append(child);
  return element;
}

/**
 * Creates an SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Child} children
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * Sets the text if it differs: an unchanged node costs no layout and keeps the selection.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null} value  null and false remove the attribute
 */
export function setAttribute(element, name, value) {
  if (value === null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 * @param {string} value
 */
export function setStyle(element, name, value) {
  if (element.style.getPropertyValue(name) !== value) element.style.setProperty(name, value);
}

/**
 * @param {HTMLElement} element
 * @param {boolean} shown
 */
export function setShown(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/**
 * Sets the children of an element and moves as few as possible: a child that stays keeps focus and hover.
 * @param {Element} element
 * @param {ChildNode[]} children
 */
export function setChildren(element, children) {
  const kept = new Set(children);
  for (const child of [...element.childNodes]) if (!kept.has(child)) child.remove();
  let next = element.firstChild;
  for (const child of children) {
    if (child === next) next = next.nextSibling;
    else element.insertBefore(child, next);
  }
}

/**
 * The URL if it is safe to open, else null; the kernel has checked it too.
 * @param {unknown} url
 * @returns {string | null}
 */
export function safeUrl(url) {
  if (typeof url !== "string" || !/^(https?:\/\/|mailto:)/i.test(url)) return null;
  return url;
}

/**
 * @param {unknown} url
 * @returns {string | null}
 */
export function safeImageUrl(url) {
  const safe = safeUrl(url);
  return safe && /^http/i.test(safe) ? safe : null;
}

/**
 * A link that opens in a new tab; only the text if the URL is not safe.
 * @param {unknown} url
 * @param {string} text
 * @returns {HTMLElement}
 */
export function link(url, text) {
  const href = safeUrl(url);
  if (!href) return h("span", {}, text);
  return h("a", { href, target: "_blank", rel: "noopener noreferrer" }, text);
}

/** All states of a row. A state is sent as its place in this list. */
export const STATES = SHARED.states;

/**
 * A state as the end of a CSS class: `tnb-s-<this>`.
 * @param {string} state
 */
export function stateName(state) {
  return STATES.includes(state) ? state.replace(" ", "-") : "pending";
}

/**
 * The shape of a state. Screen readers skip it, because the state is also in the text or in the label of the row.
 * @param {string} state
 */
export function shape(state) {
  return h("span", { class: `tnb-s tnb-s-${stateName(state)}`, title: state, "aria-hidden": "true" });
}

/**
 * A named icon or a badge with a letter; null if there is neither.
 * @param {import("./store.js").Icon} icon
 */
export function iconElement(icon) {
  if (!icon) return null;
  if (typeof icon === "string") {
    return /^[a-z0-9-]+$/.test(icon) ? h("span", { class: `tnb-i tnb-i-${icon}`, "aria-hidden": "true" }) : null;
  }
  const [letter, colour] = icon;
  const badge = h("span", { class: "tnb-g", "aria-hidden": "true" }, letter);
  if (/^#[0-9a-f]{3,8}$/i.test(colour)) badge.style.background = colour;
  return badge;
}

/**
 * Disables JupyterLab's shortcuts, which are single letters ("b" adds a cell) and apply to most elements with the
 * focus. JupyterLab checks only the focused element itself, so each one gets the attribute.
 * @param {HTMLElement} root
 */
export function keepShortcutsAway(root) {
  root.addEventListener("focusin", ({ target }) => {
    if (target instanceof Element) setAttribute(target, "data-lm-suppress-shortcuts", "true");
  });
}

/**
 * A text as nodes; text between backticks becomes code.
 * @param {string} text
 * @returns {Node[]}
 */
export function withCode(text) {
  return text
    .split("`")
    .map((part, at) => (at % 2 ? h("code", {}, part) : document.createTextNode(part)));
}

const MARKED = 500; // places in one text that are marked at most

/**
 * A text in pieces: between the places that contain the query, and these places themselves. Upper and lower case are the same.
 * @param {string} text
 * @param {string} query  "" finds nothing
 */
export function piecesOf(text, query) {
  const pieces = [];
  let end = 0;
  for (const { index, 0: found } of query ? text.matchAll(literal(query)) : []) {
    if (pieces.length > 2 * MARKED) break;
    pieces.push(text.slice(end, index), found);
    end = index + found.length;
  }
  return [...pieces, text.slice(end)];
}

/**
 * A text as nodes, in which each place that contains the query is a `<mark>`.
 * @param {string} text
 * @param {string} query
 * @returns {Node[]}
 */
export function mark(text, query) {
  const nodes = piecesOf(text, query).map((piece, at) => (at % 2 ? h("mark", {}, piece) : document.createTextNode(piece)));
  return nodes.filter((node) => node.textContent);
}

/** @param {string} query */
function literal(query) {
  return new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
}

/**
 * Marks the query in all text of an element, in place of what was marked before. The elements stay, with what is open and
 * selected in them.
 * @param {Element} element
 * @param {string} query
 */
export function markIn(element, query) {
  for (const marked of element.querySelectorAll("mark")) {
    const around = /** @type {Node} */ (marked.parentNode);
    marked.replaceWith(...marked.childNodes);
    around.normalize();
  }
  if (!query) return;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  /** @type {Text[]} */
  const texts = [];
  while (walker.nextNode()) texts.push(/** @type {Text} */ (walker.currentNode));
  for (const text of texts) {
    const nodes = mark(text.data, query);
    if (nodes.length > 1 || nodes[0] instanceof Element) text.replaceWith(...nodes);
  }
}
