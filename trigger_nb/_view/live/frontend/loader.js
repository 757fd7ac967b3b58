// The `_esm` of each widget: fetches the front end, which a page gets once, and hands over to it.

/** @typedef {import("./widget.js").Model & { widget_manager: { get_model(id: string): Promise<Model> } }} Model */
/** What the kernel's widgets share: a module, the styles, and a name for both. @typedef {{ script: string, css: string, version: string }} Frontend */
/** @typedef {{ initialize(context: { model: Model }): () => void, render(context: { model: Model, el: HTMLElement }): () => void }} Entry */
/** @typedef {{ default: () => Entry }} Module */

// By version, because a page can have kernels with different ones.
const KEY = Symbol.for("trigger_nb front ends");
const page = /** @type {{ [KEY]?: Map<string, Promise<Module>> }} */ (globalThis);
const loaded = (page[KEY] ??= new Map());

/** @param {Model} model */
async function frontendOf(model) {
  const version = model.get("version");
  if (!loaded.has(version)) loaded.set(version, fetched(model).then(load));
  try {
    return await loaded.get(version);
  } catch (error) {
    loaded.delete(version); // the next widget may succeed
    throw error;
  }
}

/**
 * @param {Model} model
 * @returns {Promise<Frontend>}
 */
async function fetched(model) {
  if (typeof FRONTEND !== "undefined") return FRONTEND;
  const shared = await model.widget_manager.get_model(model.get("shared").replace("IPY_MODEL_", ""));
  const bytes = Uint8Array.from(atob(shared.get("packed")), (character) => character.charCodeAt(0));
  const unpacking = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacking).json();
}

/**
 * @param {Frontend} frontend
 * @returns {Promise<Module>}
 */
function load({ script, css, version }) {
  const style = document.createElement("style");
  style.textContent = `@scope (.tnb-${version}) {${css}}`;
  document.head.append(style);
  return import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
}

// A widget must be ready at once: anywidget gives it two seconds, or loses its messages.
export default () => {
  /** @type {Promise<Entry>} */
  let entry;
  return {
    /** @param {{ model: Model }} context */
    initialize({ model }) {
      /** @type {(() => void) | undefined} */
      let close;
      entry = frontendOf(model).then((module) => {
        const made = module.default();
        close = made.initialize({ model });
        return made;
      });
      entry.catch(() => {}); // reported by `render`
      return () => void entry.then(() => close?.());
    },
    /** @param {{ model: Model, el: HTMLElement }} context */
    async render({ model, el }) {
      el.classList.add(`tnb-${model.get("version")}`);
      return (await entry).render({ model, el });
    },
  };
};
