// Copying to the clipboard.

import { Button } from "./button.js";
import { h, setAttribute, setText } from "./dom.js";

const TOLD = 2000; // ms

/** Makes buttons that copy a text, and tells screen readers what was copied. */
export class Copier {
  constructor() {
    this.said = h("span", { class: "tnb-away", role: "status" });
  }

  /**
   * @param {string} what  `params`
   * @param {() => string} text
   */
  button(what, text) {
    const label = `Copy ${what}`;
    const button = new Button(label, () => void this.copy(button.element, label, text()), { icon: "copy", class: "tnb-plain tnb-copy" });
    return button.element;
  }

  /**
   * @param {HTMLElement} button
   * @param {string} label
   * @param {string} text
   */
  async copy(button, label, text) {
    const copied = await toClipboard(text, button);
    this.tell(button, copied ? "Copied" : "Could not copy: select the text and copy it by keyboard");
    button.classList.toggle("tnb-copied", copied);
    setTimeout(() => {
      button.classList.remove("tnb-copied");
      setAttribute(button, "title", label);
      setText(this.said, "");
    }, TOLD);
  }

  /**
   * @param {HTMLElement} button
   * @param {string} text
   */
  tell(button, text) {
    setAttribute(button, "title", text);
    setText(this.said, text);
  }
}

/**
 * Browsers offer their clipboard only to pages that come by https or from this machine. Elsewhere a selected text is copied.
 * @param {string} text
 * @param {HTMLElement} button
 */
export async function toClipboard(text, button) {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // The page may not use it.
  }
  const field = h("textarea", { class: "tnb-away", readonly: true, "aria-hidden": "true", tabindex: "-1", style: "white-space: pre" });
  field.value = text;
  button.after(field); // in the widget, so that the notebook does not lose the focus
  field.select();
  try {
    return document.execCommand("copy");
  } finally {
    button.focus({ preventScroll: true });
    field.remove();
  }
}
