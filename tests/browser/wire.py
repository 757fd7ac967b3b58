"""A count of what comes on the wire into a page, for the page's own JavaScript to ask: `wire.widgets` and `wire.rest`."""

# Before the page's own code: the bytes of messages of widgets, and of all others.
COUNT = """
window.wire = { widgets: 0, rest: 0 };
const Native = window.WebSocket;
window.WebSocket = class extends Native {
  constructor(...args) {
    super(...args);
    this.addEventListener('message', ({ data }) => {
      const text = typeof data === 'string' ? data : new TextDecoder().decode(data);
      const [, type] = /"msg_type": ?"(\\w+)"/.exec(text) ?? [];  // the parent's comes later
      wire[type?.startsWith('comm_') ? 'widgets' : 'rest'] += data.byteLength ?? text.length;
    });
  }
};
"""
