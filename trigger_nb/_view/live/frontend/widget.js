// The entry point for anywidget: a run, or a list of runs.

import { hasCells, insertCell } from "./cells.js";
import { closeRun, mountRun } from "./run.js";
import { closeRuns, mountRuns } from "./runs.js";

/**
 * The used part of the model of anywidget.
 * @typedef {object} Model
 * @property {(name: string) => any} get
 * @property {(message: unknown) => void} send
 * @property {(event: string, callback: (...values: any[]) => void) => void} on
 * @property {(event: string, callback: (...values: any[]) => void) => void} off
 * @property {any} [widget_manager]
 */

/**
 * The channel of a widget's model.
 * @param {Model} model
 * @returns {import("./store.js").Channel}
 */
function modelChannel(model) {
  const first = model.get("first");
  return {
    first: first && "n" in first ? first : null,
    send: (message) => model.send(message),
    listen(onUpdate, onLive = () => {}) {
      model.on("msg:custom", onUpdate);
      model.on("comm_live_update", onLive);
      return () => {
        model.off("msg:custom", onUpdate);
        model.off("comm_live_update", onLive);
      };
    },
    live: () => isLive(model),
    hasCells: (element) => hasCells(model.widget_manager, element),
    insertCell: (element, source) => insertCell(model.widget_manager, element, source),
    ...(model.widget_manager && { open: (/** @type {string} */ widget) => openOther(model, widget) }),
  };
}

/**
 * The channel of another widget of the kernel, which no cell shows.
 * @param {Model} model
 * @param {string} id
 * @returns {Promise<import("./store.js").Channel | null>}
 */
async function openOther(model, id) {
  try {
    const other = await model.widget_manager.get_model(id);
    return other ? modelChannel(other) : null;
  } catch {
    return null; // it was closed meanwhile
  }
}

/**
 * Whether the kernel is connected. Front ends tell their models, but anywidget passes on only a part of the model. The
 * layout is a complete model with the same lifetime.
 * @param {Model} model
 */
function isLive(model) {
  const layout = model.get("layout");
  if (typeof layout !== "object" || layout === null) return true;
  // Of a kernel that was shut down nothing is told: only its connection is disposed of.
  return layout.comm_live !== false && layout.comm?.jsServicesComm?.isDisposed !== true;
}

// A function, so that each widget has its own channel, from its first view to its last.
export default () => {
  /** @type {import("./store.js").Channel} */
  let channel;
  let isOfKernel = true;
  return {
    /** @param {{ model: Model }} context */
    initialize({ model }) {
      channel = modelChannel(model);
      // A model from the state in a notebook file is older than the snapshot beside it, which appears if this shows nothing.
      isOfKernel = isLive(model);
      return () => {
        closeRun(channel);
        closeRuns(channel);
      };
    },
    /** @param {{ model: Model, el: HTMLElement }} context */
    render({ model, el }) {
      if (!isOfKernel) return undefined;
      return (model.get("kind") === "runs" ? mountRuns : mountRun)(channel, el);
    },
  };
};
