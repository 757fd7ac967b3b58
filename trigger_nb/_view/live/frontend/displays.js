// What is shown of a value: a table, a picture or a text.

import { h } from "./dom.js";

/** @typedef {import("./store.js").Display} Display */
/** @typedef {import("./store.js").Table} Table */

const PICTURE = /^data:image\/(png|jpeg);base64,[A-Za-z0-9+/=]*$/;

/**
 * @param {Display} display
 * @returns {Node[]}
 */
export function displayElements({ about, picture, table, text }) {
  /** @type {Node[]} */
  const parts = about ? [h("div", { class: "tnb-about" }, about)] : [];
  if (table) parts.push(...tableElements(table, about ?? ""));
  if (picture && PICTURE.test(picture[0])) {
    const [src, width, height] = picture;
    parts.push(h("img", { class: "tnb-pic", src, width: `${width}`, height: `${height}`, alt: about ?? "" }));
  }
  if (text && table) parts.push(h("details", {}, h("summary", {}, "as JSON"), h("pre", {}, text)));
  else if (text) parts.push(h("pre", {}, text));
  return parts;
}

/**
 * The text to copy: cells with tabs between them, as spreadsheets take them.
 * @param {Display} display
 */
export function displayText({ table, text }) {
  if (text || !table) return text ?? "";
  return [table.columns, ...table.rows].map((cells) => cells.join("\t")).join("\n");
}

/**
 * @param {Table} table
 * @param {string} name
 * @returns {Node[]}
 */
function tableElements({ columns, labels = 0, more, numbers, rows, types }, name) {
  /** @param {number} place */
  const side = (place) => (numbers[place] ? "tnb-j" : null);
  const titles = columns.map((column, place) => {
    const type = types[place] ? [h("br", {}), h("small", {}, types[place])] : [];
    return h("th", { class: side(place), scope: "col" }, column, ...type);
  });
  const lines = rows.map((cells) => h("tr", {}, ...cells.map((cell, place) => h(place < labels ? "th" : "td", { class: side(place), title: cell }, cell))));
  const drawn = h("table", {}, h("thead", {}, h("tr", {}, ...titles)), h("tbody", {}, ...lines));
  const box = h("div", { class: "tnb-tb", tabindex: "0", role: "region", "aria-label": name || "table" }, drawn);
  return more ? [box, h("div", { class: "tnb-faint" }, `… ${more}`)] : [box];
}
