"""The test of the docs' code blocks is itself one that can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.doc_types import module_of

ROOT = Path(__file__).parents[2]


def run_page(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "tests.support.doc_blocks", str(page)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_blocks_run_in_order_in_one_namespace_and_one_loop(tmp_path):
    done = run_page(
        tmp_path,
        """
# A page

<!--
```python
import asyncio
greeting = "hello"
```
-->

```python
started = asyncio.ensure_future(asyncio.sleep(0, greeting))
class Mine: ...
```

1. in a list:

   ```python title="x"
   if True:
       print(await started)
   ```

````python
import sys
print(sys.modules["__main__"].Mine is Mine, Mine.__module__)
````

```text
no Python
```

```sh
exit 1
```
""",
    )
    assert (done.stdout.split("\n"), done.stderr) == (["hello", "True __main__", ""], "")
    assert done.returncode == 0


def test_a_block_that_fails_names_the_line_of_the_page(tmp_path):
    done = run_page(tmp_path, "one\n\n```python\nx = 1\nassert x == 2\n```\n")
    assert done.returncode != 0
    assert 'page.md", line 5' in done.stderr
    assert "assert x == 2" in done.stderr


def test_a_block_that_is_no_python_names_the_line_of_the_page(tmp_path):
    done = run_page(tmp_path, "```python\nx = 1\n```\n\n```py\nawait = 2\n```\n")
    assert done.returncode != 0
    assert 'page.md", line 6' in done.stderr


def test_the_types_of_blocks_are_checked_at_the_lines_of_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n```python\nx = 1\nif x:\n    await f(x)\n```\n\n1. in a list:\n\n   ```python\n   y = 2\n   ```\n",
        encoding="utf-8",
    )
    module = module_of(page)
    compile(module, "module", "exec")
    lines = module.splitlines()
    assert lines[3:6] == ["    x = 1", "    if x:", "        await f(x)"]
    assert lines[11] == "    y = 2"
