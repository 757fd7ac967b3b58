"""Takes the pictures of README and docs in a real JupyterLab: `python -m tests.browser.screenshots`.

With `--every FOLDER`, each scene is also taken in each of `WIDTHS` and `LOOKS`, to be looked at one by one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from playwright.sync_api import BrowserContext

from .lab import Lab, chromium_context
from .scenes import SCENES, Scene
from .server import ROOT, Server, jupyter_server

IMAGES = ROOT / "docs" / "images"
HEIGHT = 1400
WIDTHS = (420, 700, 1000, 1400)
LOOKS = ("light", "dark", "forced")  # forced: the colours of a contrast theme of Windows
FRAME = 100  # what JupyterLab needs beside the output
# Where it was taken is of no interest, and belongs to whoever took it. The widget goes on writing it.
MOVE_HOME = """(cell, [from, to]) => {
  const move = () => {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      if (text.data.includes(from)) text.data = text.data.replaceAll(from, to);
    }
  };
  move();
  new MutationObserver(move).observe(cell, { childList: true, characterData: true, subtree: true });
}"""
HOME = "/home/ana/notebooks"


def take(
    scene: Scene, server: Server, context: BrowserContext, images: Path, every: Path | None
) -> Iterator[Path]:
    """The pictures of a scene, in its looks for the docs and perhaps in every look and width."""
    lab = Lab(server, context, scene.name)
    try:
        _resize(lab, scene.wide)
        lab.open(scene.cells)
        lab.command("application:toggle-left-area").wait_idle()
        lab.run_cell(0).wait_idle()
        lab.run_cell(1)
        scene.prepare(lab)
        lab.cell(1).evaluate(MOVE_HOME, [str(lab.folder), HOME])
        lab.select(0)
        for look in scene.looks:
            _look(lab, look)
            name = scene.name if look == "light" else f"{scene.name}-{look}"
            yield _picture(lab, scene, images / f"{name}.png")
        for wide, look in product(WIDTHS, LOOKS) if every else ():
            _resize(lab, wide)
            _look(lab, look)
            yield _picture(lab, scene, every / f"{scene.name}-{wide}-{look}.png")
    except Exception as error:
        error.add_note(lab.evidence())
        raise
    finally:
        lab.close()


def _resize(lab: Lab, wide: int) -> None:
    lab.page.set_viewport_size({"width": wide + FRAME, "height": HEIGHT})


def _look(lab: Lab, look: str) -> None:
    lab.page.emulate_media(forced_colors="active" if look == "forced" else "none")
    (lab.light if look == "light" else lab.dark)()


def _picture(lab: Lab, scene: Scene, file: Path) -> Path:
    output = lab.output(1).first
    first = lab.cell(1) if scene.source else output
    first.scroll_into_view_if_needed()
    above, below = first.bounding_box(), output.bounding_box()
    assert above is not None
    assert below is not None
    clip = {**above, "height": below["y"] + below["height"] - above["y"]}
    lab.page.screenshot(path=file, clip=clip, animations="disabled")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--to", type=Path, default=IMAGES, metavar="FOLDER", help="default: docs/images")
    parser.add_argument(
        "--every", type=Path, metavar="FOLDER", help="also every look and width, into this folder"
    )
    parser.add_argument("scenes", nargs="*", help="default: all")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        jupyter_server(Path(directory)) as server,
        chromium_context(device_scale_factor=1.5) as context,
    ):
        for scene in SCENES:
            if not given.scenes or scene.name in given.scenes:
                for file in take(scene, server, context, given.to, given.every):
                    print(f"{file}  {file.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
