"""A JupyterLab whose server has no widgets, as when kernels live in another environment: what the page says."""

from __future__ import annotations

import pytest

from .lab import Lab, expect
from .letter import AWAIT, JOB
from .server import jupyter_server


@pytest.fixture
def plain_lab(tmp_path, context):
    """A notebook in a JupyterLab that cannot show widgets."""
    with jupyter_server(tmp_path, without=["@jupyter-widgets/jupyterlab-manager", "anywidget"]) as server:
        lab = Lab(server, context)
        yield lab
        lab.close()


def test_a_page_without_widgets_says_what_to_install_where(plain_lab):
    """D4: it shows the snapshot, and nothing in place of the widget."""
    plain_lab.open([JOB, "print('before');" + AWAIT]).run_all()
    tree = plain_lab.tree(1)
    expect(tree).to_contain_text(
        "For the live tree, install its widget where Jupyter's server runs, pip install anywidget"
    )
    expect(tree).to_contain_text("Last seen running at")
    expect(tree).to_contain_text("run = letter.client.run('run_")
    expect(plain_lab.output(1).locator("visible=true").first).to_have_text("before")
    plain_lab.signal("address").signal("write").signal("post").wait_idle()
    expect(tree).to_contain_text("COMPLETED")
    expect(tree).not_to_contain_text("pip install")
