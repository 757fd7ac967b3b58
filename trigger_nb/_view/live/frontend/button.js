// A button that tells why it is disabled.

import { h, setAttribute, setText } from "./dom.js";

/** A button that stays focusable when disabled, so that the reason can be read by keyboard and pointer. */
export class Button {
  /**
   * @param {string} label
   * @param {() => void} act
   * @param {{ class?: string, icon?: string }} [looks]  with an icon, the label is only for screen readers
   */
  constructor(label, act, looks = {}) {
    const icon = looks.icon && h("span", { class: `tnb-ic tnb-ic-${looks.icon}`, "aria-hidden": "true" });
    this.text = h("span", {}, label);
    this.element = h(
      "button",
      { type: "button", class: `tnb-btn ${looks.class ?? ""}`.trim(), onclick: () => this.why || act() },
      icon ?? this.text,
    );
    this.why = "";
    this.title = "";
    if (icon) {
      this.title = label;
      setAttribute(this.element, "aria-label", label);
      setAttribute(this.element, "title", label);
    }
  }

  /** @param {string} label */
  setLabel(label) {
    setText(this.text, label);
  }

  /** @param {string} why  the reason why the button is disabled; "" enables it */
  setWhy(why) {
    this.why = why;
    setAttribute(this.element, "aria-disabled", why ? "true" : null);
    setAttribute(this.element, "aria-description", why || null);
    setAttribute(this.element, "title", [this.title, why].filter(Boolean).join(": ") || null);
  }

  /** @param {boolean} pressed */
  setPressed(pressed) {
    setAttribute(this.element, "aria-pressed", String(pressed));
  }
}
