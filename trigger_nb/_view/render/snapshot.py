"""The snapshot of a run: the output right after the live widget, which is what a notebook file keeps of the run.

A page shows one of the two. While the widget lives, a rule in the snapshot hides the snapshot. Where the widget is
only an error or waits for a kernel, another rule hides the widget. A page that strips styles, as JupyterLab
does in a notebook that is not trusted, draws no widgets either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ..model.hints import last_seen
from ..model.run_model import RunModel
from . import html, text
from .drawing import Drawing, result_of

Bundle: TypeAlias = Mapping[str, object]  # data by MIME type

# One output of a cell: in JupyterLab, Notebook 7 and nbconvert; in older notebooks; in VS Code.
_OUTPUT = ":is(.jp-OutputArea-child,.output_area,.output_container)"
_LIVE, _SNAPSHOT = ":has(.tnb-live)", ":has(.tnb-fallback)"
# What was printed between the two, by another thread, is no widget.
_NEITHER = ':not(:has(.tnb-live,.tnb-fallback,[data-mime-type*=".std"]))'
_ONE_OF_TWO = (
    f"{_OUTPUT}{_LIVE}+{_OUTPUT}{_SNAPSHOT},{_OUTPUT}{_NEITHER}:has(+{_OUTPUT} .tnb-fallback){{display:none}}"
)
# The first snapshot waits for its widget, which takes a moment to appear.
_LATE = "@keyframes tnb-late{from,to{max-height:0;overflow:hidden;opacity:0}}.tnb-late{animation:tnb-late 1s}"


def drawing(model: RunModel, *, advice: bool = False, styled: bool = True) -> Drawing[Bundle]:
    """Draw a run as HTML and text, in steps of a few ms. The model must not change meanwhile.

    `advice`: no live widget was seen. `styled`: with styles while the run is under way; at its end it always has them.
    """
    if not model.ended:
        seen = last_seen(model).replace("`", "")
        return {
            "text/html": html.live(model, advice=advice, styled=styled),
            "text/plain": f"{text.excerpt(model)}\n{seen}",
        }
    drawn = yield from html.final_drawing(model)
    yield
    return {"text/html": drawn, "text/plain": text.tree(model)}


def bundle(model: RunModel, *, advice: bool = False, styled: bool = True) -> Bundle:
    """The same at once."""
    return result_of(drawing(model, advice=advice, styled=styled))


def beside_widget(drawn: Bundle, *, late: bool = False) -> Bundle:
    """What was drawn, for the output right after a widget. `late`: the widget is only about to appear."""
    frame = f'<div class="tnb-fallback{" tnb-late" if late else ""}"><style>{_ONE_OF_TWO}{_LATE if late else ""}</style>'
    return {**drawn, "text/html": f"{frame}{drawn['text/html']}</div>"}
