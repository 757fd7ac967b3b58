// Cells of the notebook around a widget, in JupyterLab and Notebook 7: their widget manager knows the notebook. Other front
// ends tell their widgets nothing of it.

/** A notebook's model, as far as it is used. @typedef {{ cells: { length: number, get(at: number): any }, readOnly?: boolean, sharedModel: { insertCell(at: number, cell: object): unknown } }} Notebook */

/**
 * @param {any} manager  of a widget's model
 * @returns {Notebook | null}
 */
function notebookOf(manager) {
  const notebook = manager?.context?.model;
  return typeof notebook?.sharedModel?.insertCell === "function" && !notebook.readOnly ? notebook : null;
}

/**
 * The place of the cell whose output an element is in; -1 if it is in none, as in a view of its own.
 * @param {Notebook} notebook
 * @param {Element} element
 */
function placeOf(notebook, element) {
  const cell = /** @type {HTMLElement | null} */ (element.closest(".jp-Cell"));
  if (!cell) return -1;
  // A long notebook has only the visible cells in the page, which then have a number.
  const siblings = [...(cell.parentElement?.children ?? [])].filter((each) => each.classList.contains("jp-Cell"));
  const places = [Number.parseInt(cell.dataset["windowedListIndex"] ?? "", 10), siblings.indexOf(cell)];
  return places.find((at) => at >= 0 && at < notebook.cells.length && showsWidget(notebook.cells.get(at))) ?? -1;
}

/** @param {any} cell */
function showsWidget({ outputs }) {
  for (let at = 0; at < (outputs?.length ?? 0); at++) {
    if ("application/vnd.jupyter.widget-view+json" in (outputs.get(at)?.data ?? {})) return true;
  }
  return false;
}

/**
 * Whether code can be put into a new cell below an element.
 * @param {any} manager
 * @param {Element} element
 */
export function hasCells(manager, element) {
  const notebook = notebookOf(manager);
  return notebook !== null && placeOf(notebook, element) >= 0;
}

/**
 * Puts code into a new cell below that of an element; returns whether it could.
 * @param {any} manager
 * @param {Element} element
 * @param {string} source
 */
export function insertCell(manager, element, source) {
  const notebook = notebookOf(manager);
  const at = notebook ? placeOf(notebook, element) : -1;
  if (!notebook || at < 0) return false;
  notebook.sharedModel.insertCell(at + 1, { cell_type: "code", source, metadata: {} });
  return true;
}
