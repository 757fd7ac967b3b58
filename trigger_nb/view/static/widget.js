// The entry for anywidget: a run, or a list of runs.

import { closeRun, mountRun } from "./run.js";
import { closeRuns, mountRuns } from "./runs.js";

/**
 * What is used of anywidget's model.
 * @typedef {object} Model
 * @property {(name: string) => any} get
 * @property {(message: unknown) => void} send
 * @property {(event: string, callback: (...values: any[]) => void) => void} on
 * @property {(event: string, callback: (...values: any[]) => void) => void} off
 */

/**
 * The way to the kernel through a widget's model.
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
  };
}

/**
 * A front end tells its models whether their kernel is there, but anywidget hands on only part of the model. The
 * layout is one whole, and lives and dies with ours.
 * @param {Model} model
 */
function isLive(model) {
  const layout = model.get("layout");
  return typeof layout !== "object" || layout === null || layout.comm_live !== false;
}

// A function: each widget has a channel of its own, from its first view to its last.
export default () => {
  /** @type {import("./store.js").Channel} */
  let channel;
  return {
    /** @param {{ model: Model }} context */
    initialize({ model }) {
      channel = modelChannel(model);
      return () => {
        closeRun(channel);
        closeRuns(channel);
      };
    },
    /** @param {{ model: Model, el: HTMLElement }} context */
    render({ model, el }) {
      return (model.get("kind") === "runs" ? mountRuns : mountRun)(channel, el);
    },
  };
};
