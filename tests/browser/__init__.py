"""Tests in a real JupyterLab, in a real Chromium.

`lab.py` has the verbs that they are written in, `conftest.py` the fixtures. `make test` sees to it that
there is a Chromium (`chromium.py`).
"""
