"""The display of runs: as text, as static HTML and as a live widget."""
