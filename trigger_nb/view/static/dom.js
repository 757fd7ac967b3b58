// Making and changing elements. Text from outside only ever becomes a text node or an attribute's value.

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * An element: `h("button", { class: "x", title: "t", onclick: act }, "Label")`. A property that is null, undefined or
 * false is left out, true is an attribute without value.
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
 * Writes only what differs: an untouched node costs no layout and keeps a selection in it.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null} value  null and false take the attribute away
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
 * @param {boolean} shown
 */
export function setShown(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/**
 * Makes the element's children these, moving as few as possible: one that stays keeps focus and hover.
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
 * The address if a page may go there; the kernel has judged it too.
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
 * A link that opens beside the notebook; text alone where the address is refused.
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
 * A state's shape. Its name is beside it in words, or in the row's label: readers skip it.
 * @param {string} state
 */
export function shape(state) {
  return h("span", { class: `tnb-s tnb-s-${stateName(state)}`, title: state, "aria-hidden": "true" });
}

/**
 * An icon by name, or a lettered badge; null for none.
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
 * JupyterLab's shortcuts are single letters ("b" makes a cell), and most of them ask for nothing but an element that
 * has the focus: each that gets it must say itself that it takes none.
 * @param {HTMLElement} root
 */
export function keepShortcutsAway(root) {
  root.addEventListener("focusin", ({ target }) => {
    if (target instanceof Element) setAttribute(target, "data-lm-suppress-shortcuts", "true");
  });
}

/**
 * A sentence with what stands between backticks as code.
 * @param {string} text
 * @returns {Node[]}
 */
export function withCode(text) {
  return text
    .split("`")
    .map((part, at) => (at % 2 ? h("code", {}, part) : document.createTextNode(part)));
}
