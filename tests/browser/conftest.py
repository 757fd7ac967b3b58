"""Fixtures of the browser tests: a server and a browser that they share, a notebook for each."""

from __future__ import annotations

import pytest

from .lab import Lab, chromium_context
from .server import jupyter_server


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


@pytest.fixture
def lab(server, context, request):
    """A notebook in JupyterLab."""
    lab = Lab(server, context, request.node.originalname)
    yield lab
    lab.close()


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
    if report.failed and report.when != "teardown":
        for lab in {fixture for fixture in item.funcargs.values() if isinstance(fixture, Lab)}:
            report.sections.append(("Browser", lab.evidence()))
    return report
