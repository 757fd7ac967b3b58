"""Globals and helpers that a body refers to."""

from __future__ import annotations

from .edit import changed, same

GLOBALS = [
    changed(
        "helper",
        "def helper(x): return x + 1\n# %%\ndef body(x): return helper(x)",
        "def helper(x): return x + 2\n# %%\ndef body(x): return helper(x)",
        "helpers of the notebook count",
    ),
    changed(
        "helper of a helper",
        "def deep(x): return x + 1\n# %%\ndef helper(x): return deep(x)\n# %%\ndef body(x): return helper(x)",
        "def deep(x): return x + 2\n# %%\ndef helper(x): return deep(x)\n# %%\ndef body(x): return helper(x)",
        "helpers count to any depth",
    ),
    same(
        "comment in a helper",
        "def helper(x): return x\n# %%\ndef body(x): return helper(x)",
        "def helper(x):\n    'Gives x.'\n    return x  # as it is\n# %%\ndef body(x): return helper(x)",
        "what does not count in a body does not in a helper",
    ),
    same(
        "helper renamed",
        "def helper(x): return x + 1\n# %%\ndef body(x): return helper(x)",
        "def assist(x): return x + 1\n# %%\ndef body(x): return assist(x)",
        "a global name counts as what it denotes",
    ),
    changed(
        "helper of an inner function",
        "def helper(x): return x + 1\ndef body(xs): return [helper(x) for x in xs]",
        "def helper(x): return x + 2\ndef body(xs): return [helper(x) for x in xs]",
        "nested code refers to helpers too",
    ),
    changed(
        "helper in a table of helpers",
        "def one(): return 1\nHANDLERS = {'one': one}\ndef body(k): return HANDLERS[k]()",
        "def one(): return 2\nHANDLERS = {'one': one}\ndef body(k): return HANDLERS[k]()",
        "functions in a global's value count",
    ),
    same(
        "helper that is not used",
        "def helper(x): return x + 1\ndef body(x): return x",
        "def helper(x): return x + 2\ndef body(x): return x",
        "the body does not refer to it",
    ),
    changed(
        "recursion",
        "def body(n): return body(n - 1) if n else 0",
        "def body(n): return body(n - 1) if n else 1",
        "a function that calls itself is still looked into",
    ),
    changed(
        "mutual recursion",
        """
        def even(n): return odd(n - 1) if n else True
        def odd(n): return even(n - 1) if n else False
        body = odd
        """,
        ("def even(n): return odd(n - 1) if n else True", "def even(n): return odd(n - 1) if n else 1"),
        "a circle of helpers counts, all round",
    ),
    changed(
        "global value",
        "LIMIT = 1\ndef body(): return LIMIT",
        "LIMIT = 2\ndef body(): return LIMIT",
        "plain globals count",
    ),
    changed(
        "type of a global",
        "LIMIT = 1\ndef body(): return LIMIT",
        "LIMIT = True\ndef body(): return LIMIT",
        "1 and True differ",
    ),
    same(
        "global renamed",
        "LIMIT = 1\ndef body(): return LIMIT",
        "MOST = 1\ndef body(): return MOST",
        "a global name counts as what it denotes",
    ),
    same(
        "unrelated global",
        "OTHER = 1\ndef body(): return 5",
        "OTHER = 2\ndef body(): return 5",
        "the body does not refer to it",
    ),
    changed(
        "global dictionary",
        "RATES = {'eur': [1, 2]}\ndef body(k): return RATES[k]",
        "RATES = {'eur': [1, 3]}\ndef body(k): return RATES[k]",
        "plain data counts by value to any depth",
    ),
    same(
        "global set",
        "KINDS = {'a', 'b', 'c'}\ndef body(k): return k in KINDS",
        "KINDS = {'c', 'a', 'b'}\ndef body(k): return k in KINDS",
        "equal sets",
    ),
    changed(
        "global date",
        "from datetime import date\nSINCE = date(2024, 1, 1)\ndef body(): return SINCE",
        "from datetime import date\nSINCE = date(2024, 1, 2)\ndef body(): return SINCE",
        "a date is plain data",
    ),
    changed(
        "global pattern",
        "import re\nWORD = re.compile('a+')\ndef body(s): return WORD.match(s)",
        "import re\nWORD = re.compile('a*')\ndef body(s): return WORD.match(s)",
        "a pattern is plain data",
    ),
    changed(
        "frozen dataclass as a global",
        """
        from dataclasses import dataclass
        @dataclass(frozen=True)
        class Config: n: int
        C = Config(1)
        def body(): return C.n
        """,
        ("C = Config(1)", "C = Config(2)"),
        "what cannot change is a value",
    ),
    same(
        "live object as a global",
        "import io\nclient = io.StringIO('a')\ndef body(): return client.read()",
        "import io\nclient = io.StringIO('b')\ndef body(): return client.read()",
        "live objects count by type only",
    ),
    changed(
        "type of a live object",
        "import io\nclient = io.StringIO()\ndef body(): return client.read()",
        "import io\nclient = io.BytesIO()\ndef body(): return client.read()",
        "live objects count by type",
    ),
    changed(
        "class of a live object",
        "class Api:\n    def get(self): return 1\napi = Api()\ndef body(): return api.get()",
        "class Api:\n    def get(self): return 2\napi = Api()\ndef body(): return api.get()",
        "its type is code of the notebook",
    ),
    same(
        "list that the body appends to",
        "seen = []\ndef body(x): seen.append(x)",
        "seen = [1, 2]\ndef body(x): seen.append(x)",
        "what the code writes to is its state, not its input",
    ),
    same(
        "counter that the body raises",
        """
        calls = 0
        counts = {}
        def body(k):
            global calls
            calls += 1
            counts[k] = counts.get(k, 0) + calls
        """,
        """
        calls = 7
        counts = {'a': 7}
        def body(k):
            global calls
            calls += 1
            counts[k] = counts.get(k, 0) + calls
        """,
        "what the code writes to is its state, not its input",
    ),
    same(
        "dictionary that the body fills under keys that it computes",
        "seen = {}\ndef body(x): seen[str(x)] = x",
        "seen = {'a': 1}\ndef body(x): seen[str(x)] = x",
        "what the code writes to is its state, not its input",
    ),
    changed(
        "list that the body only reads",
        "seen = [1]\ndef body(x): return x in seen",
        "seen = [1, 2]\ndef body(x): return x in seen",
        "plain data counts by value",
    ),
    changed(
        "method of a live object, named like one that changes a list",
        """
        class Api:
            def update(self): return 1
        api = Api()
        def body(): return api.update()
        """,
        ("def update(self): return 1", "def update(self): return 2"),
        "only lists, dictionaries and sets are state because of it",
    ),
    same(
        "import alias",
        "import math as m\ndef body(x): return m.sqrt(x)",
        "import math as mathematics\ndef body(x): return mathematics.sqrt(x)",
        "a global name counts as what it denotes",
    ),
    changed(
        "function of a module",
        "import math\ndef body(x): return math.sqrt(x)",
        "import math\ndef body(x): return math.exp(x)",
        "names of attributes count",
    ),
    changed(
        "another module under the same name",
        "import math as m\ndef body(x): return m.sqrt(x)",
        "import cmath as m\ndef body(x): return m.sqrt(x)",
        "a module counts by its own name",
    ),
    changed(
        "another library function under the same name",
        "from json import dumps as f\ndef body(x): return f(x)",
        "from json import loads as f\ndef body(x): return f(x)",
        "a library's function counts by its own name",
    ),
    changed(
        "built-in hidden by a helper",
        "def body(x): return len(x)",
        "def len(x): return 1\n# %%\ndef body(x): return len(x)",
        "the name denotes something else now",
    ),
    changed(
        "function of the notebook's own module",
        """
        import types
        tools = types.ModuleType("notebook_tools")
        exec("def f(x): return x + 1", vars(tools))
        def body(x): return tools.f(x)
        """,
        ('exec("def f(x): return x + 1", vars(tools))', 'exec("def f(x): return x + 2", vars(tools))'),
        "a module that is not installed is part of the notebook",
    ),
    changed(
        "function of the notebook's own module, named like one that changes a set",
        """
        import types
        tools = types.ModuleType("notebook_tools")
        exec("def add(x): return x + 1", vars(tools))
        def body(x): return tools.add(x)
        """,
        ('exec("def add(x): return x + 1", vars(tools))', 'exec("def add(x): return x + 2", vars(tools))'),
        "only lists, dictionaries and sets are state because of it",
    ),
    changed(
        "constant of the notebook's own module",
        'import types\ntools = types.ModuleType("notebook_tools")\ntools.N = 1\ndef body(x): return tools.N',
        'import types\ntools = types.ModuleType("notebook_tools")\ntools.N = 2\ndef body(x): return tools.N',
        "a module that is not installed is part of the notebook",
    ),
    same(
        "what the body does not use of the notebook's own module",
        """
        import types
        tools = types.ModuleType("notebook_tools")
        tools.N = 1
        def body(x): return tools.__name__
        """,
        ("tools.N = 1", "tools.N = 2"),
        "the body does not refer to it",
    ),
    changed(
        "name that is missing",
        "def body(): return missing_one",
        "def body(): return missing_two",
        "a name that denotes nothing counts as a name",
    ),
]
