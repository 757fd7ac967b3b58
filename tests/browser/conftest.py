"""Fixtures of the browser tests: a server and a browser that they share, a notebook for each."""

from __future__ import annotations

import pytest

from .lab import Lab, chromium_context
from .server import jupyter_server
from .tab import Tab

FAILED = pytest.StashKey[bool]()  # whether the test did, whose page nobody should use any more


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with jupyter_server(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


# Not for the session: Playwright keeps an event loop running in this thread, and other tests have their own. And a Chromium
# that has shown a hundred notebooks now and then stops drawing, so each file has a new one.
@pytest.fixture(scope="module")
def context():
    with chromium_context() as context:
        yield context


@pytest.fixture(scope="module")
def lab_tab(context):
    """Where `lab` is, of one test after the other."""
    tab = Tab(context)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def tab(context):
    """Where `page` is."""
    tab = Tab(context)
    yield tab
    tab.close()


@pytest.fixture
def lab(server, context, lab_tab, request):
    """A notebook in JupyterLab, which is loaded once for many tests."""
    lab = Lab(server, context, request.node.originalname, tab=lab_tab)
    yield lab
    lab.close(spoiled=request.node.stash.get(FAILED, False))


@pytest.fixture
def lab_of_its_own(server, context, request):
    """A notebook in a JupyterLab of its own: for a test that is about loading one, or changes the page itself."""
    lab = Lab(server, context, request.node.originalname)
    yield lab
    lab.close()


@pytest.fixture
def page(tab, request):
    """An empty page without JupyterLab, with nothing in it of the tests before."""
    yield tab.empty()
    if request.node.stash.get(FAILED, False):
        tab.close()


@pytest.fixture
def notebook7(server, context, request):
    """A notebook in Notebook 7."""
    notebook = Lab(server, context, request.node.originalname, app="notebook")
    yield notebook
    notebook.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """A test that failed leaves a picture, and what the browser's console said."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    if report.failed and report.when != "teardown":
        for lab in {fixture for fixture in item.funcargs.values() if isinstance(fixture, Lab)}:
            report.sections.append(("Browser", lab.evidence()))
    return report
