/** The constants that `widget.py` puts at the top of the joined module; `wire.py` explains them. */
declare const SHARED: {
  states: string[];
  active: string[];
  folded: string[];
  listed: number;
  fields: Record<string, [name: string, value: unknown]>;
  runsPerPage: number;
};
