/** The constants that `loader.js` puts at the top of each file; `wire.py` explains them. */
declare const SHARED: {
  states: string[];
  active: string[];
  folded: string[];
  listed: number;
  alike: number;
  fields: Record<string, [name: string, value: unknown]>;
  parts: string[];
  countdowns: Record<string, string>;
  overdues: Record<string, string>;
  overdue: number;
  standsAfter: number;
  runsPerPage: number;
};
/** The front end, where `widget.py` puts it into the loader itself. */
declare const FRONTEND: import("./loader.js").Frontend | undefined;
