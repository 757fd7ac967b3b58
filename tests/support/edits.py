"""Edits of notebook cells, and whether the body they define is still the same code (rule R6).

Each is two versions of some cells; a line `# %%` parts cells, and `body` is what a task is given. The
same table is run by `test_fingerprint.py` and, in a real kernel, by `kernel/test_changes.py`.
"""

from __future__ import annotations

from textwrap import dedent
from typing import Literal, NamedTuple


class Edit(NamedTuple):
    name: str
    before: str
    after: str
    verdict: Literal["same", "changed"]
    why: str

    def cells(self) -> tuple[list[str], list[str]]:
        return split(self.before), split(self.after)


def split(source: str) -> list[str]:
    return dedent(source).strip("\n").split("# %%\n")


def same(name: str, before: str, after: str, why: str) -> Edit:
    return Edit(name, before, after, "same", why)


def changed(name: str, before: str, after: str, why: str) -> Edit:
    return Edit(name, before, after, "changed", why)


LAYOUT = [
    same(
        "nothing",
        "def body(x): return x + 1",
        "def body(x): return x + 1",
        "running a cell again is no edit",
    ),
    same(
        "comment",
        "def body(x):\n    return x + 1",
        "# Adds one.\ndef body(x):  # to x\n    # as asked\n    return x + 1",
        "comments do not count",
    ),
    same(
        "docstring added",
        "def body(x):\n    return [x, 'text']",
        "def body(x):\n    '''Adds.'''\n    return [x, 'text']",
        "docstrings do not count",
    ),
    same(
        "docstring edited",
        "def body(x):\n    'One.'\n    return x",
        "def body(x):\n    '''Two,\n    longer.'''\n    return x",
        "docstrings do not count",
    ),
    changed(
        "text that looks like a docstring",
        "def body():\n    text = 'one'\n    return text",
        "def body():\n    text = 'two'\n    return text",
        "the first constant is a value here",
    ),
    changed(
        "lambda that returns a text",
        "body = lambda: 'one'",
        "body = lambda: 'two'",
        "a lambda has no docstring, so its first constant is a value",
    ),
    same(
        "docstring of an inner class",
        "def body():\n    class Row:\n        'One.'\n        size = 1\n    return Row",
        "def body():\n    class Row:\n        '''Two.'''\n        size = 1\n    return Row",
        "docstrings do not count, wherever they are",
    ),
    same(
        "reformatted",
        "def body(a, b, c):\n    x, y = a, b\n    return (a and b or c) if x else {'k': [1, 2], 'l': y}",
        """
        def body(
            a,
            b,
            c,
        ):
            x, y = (
                a,
                b,
            )
            return (
                (
                    a
                    and b
                    or c
                )
                if x
                else {
                    "k": [1, 2],
                    "l": y,
                }
            )
        """,
        "layout does not count, though the compiler's output differs with it",
    ),
    same(
        "loops and errors reformatted",
        """
        def body(rows):
            found = []
            for row in rows:
                if row and row[0] or not row: continue
                try: found.append(row[1])
                except (KeyError, IndexError): found.append(None)
                finally: pass
            return found
        """,
        """
        def body(rows):

            found = []

            for row in rows:
                if (
                    row
                    and row[0]
                    or not row
                ):

                    continue

                try:
                    found.append(
                        row[1]
                    )

                except (
                    KeyError,
                    IndexError,
                ):
                    found.append(
                        None
                    )

                finally:

                    pass

            return found
        """,
        "layout does not count",
    ),
    same(
        "moved to another cell and down in it",
        "import math\ndef body(x): return math.pi * x",
        "import math\n# %%\nother = 1\n\n\ndef body(x): return math.pi * x",
        "names of cells and line numbers do not count",
    ),
    same(
        "quotes and underscores in literals",
        "def body(): return ['a', 1000]",
        'def body(): return ["a", 1_000]',
        "the same constants",
    ),
    same(
        "dead code",
        "def body(x):\n    return x",
        "def body(x):\n    if False:\n        x = 2\n    return x",
        "the compiler leaves out what can never run",
    ),
]

CODE = [
    changed("constant", "body = lambda: 1", "body = lambda: 2", "constants count"),
    changed("type of a constant", "body = lambda: 1", "body = lambda: True", "1 and True differ"),
    changed("float for int", "body = lambda: 1", "body = lambda: 1.0", "1 and 1.0 differ"),
    changed("sign of zero", "body = lambda: 0.0", "body = lambda: -0.0", "0.0 and -0.0 differ"),
    changed(
        "constant in a set",
        "body = lambda x: x in {'a', 'b'}",
        "body = lambda x: x in {'a', 'c'}",
        "constants count, also in a frozen set",
    ),
    same(
        "order in a constant set",
        "body = lambda x: x in {'a', 'b', 'c'}",
        "body = lambda x: x in {'c', 'b', 'a'}",
        "equal sets",
    ),
    changed("operator", "body = lambda x: x + 1", "body = lambda x: x - 1", "instructions count"),
    changed(
        "comparison",
        "def body(x):\n    if x < 1: return 2\n    return 3",
        "def body(x):\n    if x <= 1: return 2\n    return 3",
        "instructions count",
    ),
    changed(
        "condition turned round",
        "def body(x):\n    if x: return 2\n    return 3",
        "def body(x):\n    if not x: return 2\n    return 3",
        "where a jump leads counts",
    ),
    changed(
        "order of statements",
        "def body(log):\n    log('a')\n    log('b')",
        "def body(log):\n    log('b')\n    log('a')",
        "the order of effects counts",
    ),
    changed(
        "statement moved out of a try",
        "def body(f, g):\n    try:\n        f()\n        g()\n    except OSError:\n        pass",
        "def body(f, g):\n    f()\n    try:\n        g()\n    except OSError:\n        pass",
        "which errors are caught counts",
    ),
    changed(
        "f-string",
        "def body(x): return f'<{x}>'",
        "def body(x): return f'<{x!r}>'",
        "conversions count",
    ),
    changed(
        "format of an f-string",
        "def body(x): return f'{x:.1f}'",
        "def body(x): return f'{x:.2f}'",
        "constants count",
    ),
    changed("attribute", "body = lambda x: x.first", "body = lambda x: x.last", "names of attributes count"),
    changed(
        "keyword of a call",
        "body = lambda f: f(a=1)",
        "body = lambda f: f(b=1)",
        "names of keyword arguments count",
    ),
    changed(
        "def becomes async",
        "def body(): return 1",
        "async def body(): return 1",
        "it is called in another way",
    ),
    changed(
        "return becomes yield", "def body(): return 1", "def body(): yield 1", "it is called in another way"
    ),
    same(
        "lambda becomes def", "body = lambda x: x + 1", "def body(x): return x + 1", "the same instructions"
    ),
    same(
        "body renamed",
        "def fetch(x): return x + 1\nbody = fetch",
        "def load(x): return x + 1\nbody = load",
        "a name is no code",
    ),
    same(
        "local variable renamed",
        "def body(x):\n    total = x + 1\n    return total",
        "def body(x):\n    result = x + 1\n    return result",
        "names of local variables are not seen from outside",
    ),
    same(
        "captured variable renamed",
        "def body(x):\n    a = x\n    b = 2\n    def inner(): return a - b\n    return inner()",
        "def body(x):\n    z = x\n    b = 2\n    def inner(): return z - b\n    return inner()",
        "the same, where the compiler sorts variables by name",
    ),
    changed(
        "captured variables swapped",
        "def body(x):\n    a = x\n    b = 2\n    def inner(): return a - b\n    return inner()",
        "def body(x):\n    a = x\n    b = 2\n    def inner(): return b - a\n    return inner()",
        "another variable is read",
    ),
    changed(
        "parameter renamed",
        "def body(x): return x",
        "def body(task): return task",
        "parameters are filled by name",
    ),
    same(
        "annotation of the function",
        "def body(x): return x",
        "def body(x: int) -> int: return x",
        "annotations of a function do not change what it does",
    ),
    same(
        "annotation of a local variable",
        "def body(x):\n    y = x\n    return y",
        "def body(x):\n    y: int = x\n    return y",
        "it is not even evaluated",
    ),
    changed(
        "inner function",
        "def body(x):\n    def inner(y): return y + 1\n    return inner(x)",
        "def body(x):\n    def inner(y): return y + 2\n    return inner(x)",
        "nested code counts",
    ),
    changed(
        "annotation of an inner function",
        "def body():\n    def inner(x: int): return x\n    return inner",
        "def body():\n    def inner(x: float): return x\n    return inner",
        "it is part of the code that makes the inner function",
    ),
    changed(
        "comprehension",
        "body = lambda xs: [x * 2 for x in xs]",
        "body = lambda xs: [x * 3 for x in xs]",
        "nested code counts",
    ),
    changed(
        "comprehension of another kind",
        "body = lambda xs: [x for x in xs]",
        "body = lambda xs: {x for x in xs}",
        "instructions count",
    ),
    changed(
        "lambda in an expression",
        "body = lambda xs: sorted(xs, key=lambda x: x[0])",
        "body = lambda xs: sorted(xs, key=lambda x: x[1])",
        "nested code counts",
    ),
    changed(
        "one of two lambdas on a line",
        "one, body = lambda x: x + 1, lambda x: x + 2",
        "one, body = lambda x: x + 1, lambda x: x + 3",
        "what stands beside it does not hide it",
    ),
    same(
        "the other of two lambdas on a line",
        "one, body = lambda x: x + 1, lambda x: x + 2",
        "one, body = lambda x: x + 7, lambda x: x + 2",
        "a line is not code",
    ),
    changed(
        "which of two lambdas on a line",
        "one, body = lambda x: x + 1, lambda x: x + 2",
        "body, one = lambda x: x + 1, lambda x: x + 2",
        "two lambdas on a line differ by their code",
    ),
]

NAMES = [
    changed(
        "lambda that a lambda on the same line makes",
        "make = lambda: lambda x: x + 1\nbody = make()",
        "make = lambda: lambda x: x + 2\nbody = make()",
        "of nested lambdas the inner one is the body",
    ),
    changed(
        "lambda around another on the same line",
        "body = lambda x: [x, lambda: 1]",
        "body = lambda x: [lambda: 1, x]",
        "of nested lambdas the outer one is the body",
    ),
    same(
        "variable of a comprehension renamed",
        "body = lambda rows: {k: [c for c in v if c] for k, v in rows}",
        "body = lambda rows: {a: [x for x in b if x] for a, b in rows}",
        "names of local variables are not seen from outside",
    ),
    changed(
        "another variable in a comprehension",
        "body = lambda rows, x: [x for row in rows]",
        "body = lambda rows, x: [row for row in rows]",
        "another variable is read",
    ),
    same(
        "local variables of all kinds renamed",
        """
        def body(rows, kind):
            import os.path as p
            from math import pi as k
            total = 0
            def add(n):
                nonlocal total
                total += n
            try:
                with p.open(rows) as f, k as g: print(f, g)
            except OSError as e:
                print(e)
            match kind:
                case {'a': [first, *rest], **others}: print(first, rest, others)
                case str() as s: print(s)
            if (n := len(rows)) > 1: add([m := n for r in rows if r][0])
            return [total, m, n]
        """,
        """
        def body(rows, kind):
            import os.path as path
            from math import pi as constant
            result = 0
            def more(n):
                nonlocal result
                result += n
            try:
                with path.open(rows) as one, constant as two: print(one, two)
            except OSError as error:
                print(error)
            match kind:
                case {'a': [head, *tail], **rows_left}: print(head, tail, rows_left)
                case str() as text: print(text)
            if (size := len(rows)) > 1: more([last := size for row in rows if row][0])
            return [result, last, size]
        """,
        "names of local variables are not seen from outside",
    ),
    changed(
        "local variable that becomes the global one",
        "n = 1\ndef body():\n    n = 2\n    return n",
        "n = 1\ndef body():\n    global n\n    n = 2\n    return n",
        "another variable is assigned",
    ),
    changed(
        "attribute in a class that the body makes",
        "def body():\n    class Row:\n        n = 1\n        m = n\n    return Row",
        "def body():\n    class Row:\n        n = 1\n        k = n\n    return Row",
        "what a class body assigns are attributes",
    ),
    changed(
        "field of a class that the body makes",
        "def body():\n    class Row:\n        n: int\n    return Row",
        "def body():\n    class Row:\n        n: float\n    return Row",
        "a class's annotations are its data",
    ),
    same(
        "f-string in other pieces",
        "def body(x): return f'a{x:>{x}}' 'b' f'{x!r}c'",
        'def body(x): return (f"a{ x :>{ x }}b"\n    f"{ x !r}" "c")',
        "the same text",
    ),
    changed(
        "order of keyword arguments",
        "body = lambda f: f(a=print(1), b=print(2))",
        "body = lambda f: f(b=print(2), a=print(1))",
        "the order of effects counts",
    ),
    same(
        "plain text as a statement",
        "def body(x):\n    return x",
        "def body(x):\n    'Not a docstring:'\n    pass\n    'a comment'\n    return x",
        "it does nothing",
    ),
]

BOUND = [
    changed("default", "def body(x, n=1): return x", "def body(x, n=2): return x", "defaults count by value"),
    changed(
        "type of a default", "def body(n=1): return n", "def body(n=True): return n", "1 and True differ"
    ),
    changed(
        "keyword default",
        "def body(*, n=1): return n",
        "def body(*, n=2): return n",
        "defaults count by value",
    ),
    same(
        "order of keyword parameters' defaults",
        "def body(*, a=1, b=2): return a\nbody.__kwdefaults__ = {'a': 1, 'b': 2}",
        "def body(*, a=1, b=2): return a\nbody.__kwdefaults__ = {'b': 2, 'a': 1}",
        "the same default for each",
    ),
    changed(
        "default that is a helper",
        "def helper(x): return x\ndef body(x, f=helper): return f(x)",
        "def helper(x): return -x\ndef body(x, f=helper): return f(x)",
        "code in a default is code",
    ),
    changed(
        "argument of a partial",
        "from functools import partial\nbody = partial(pow, 2)",
        "from functools import partial\nbody = partial(pow, 3)",
        "what is bound to a function counts",
    ),
    changed(
        "keyword argument of a partial",
        "from functools import partial\nbody = partial(sorted, reverse=True)",
        "from functools import partial\nbody = partial(sorted, reverse=False)",
        "what is bound to a function counts",
    ),
    changed(
        "function of a partial",
        "from functools import partial\ndef f(a, b): return a\nbody = partial(f, 2)",
        "from functools import partial\ndef f(a, b): return b\nbody = partial(f, 2)",
        "the function that a partial calls is the code",
    ),
    changed(
        "method",
        "class Api:\n    def get(self): return 1\nbody = Api().get",
        "class Api:\n    def get(self): return 2\nbody = Api().get",
        "the function of a bound method counts",
    ),
    same(
        "state of a method's instance",
        """
        class Api:
            def __init__(self, url): self.url = url
            def get(self): return self.url
        body = Api('a').get
        """,
        """
        class Api:
            def __init__(self, url): self.url = url
            def get(self): return self.url
        body = Api('b').get
        """,
        "an instance is a value, as what a closure holds",
    ),
    changed(
        "method that the method calls",
        "class Api:\n    def get(self): return self.send()\n    def send(self): return 1\nbody = Api().get",
        "class Api:\n    def get(self): return self.send()\n    def send(self): return 2\nbody = Api().get",
        "a member of the class that the code mentions is a helper",
    ),
    changed(
        "overridden method of the base",
        """
        class Base:
            def get(self): return 1
        class Api(Base):
            def get(self): return super().get()
        body = Api().get
        """,
        """
        class Base:
            def get(self): return 2
        class Api(Base):
            def get(self): return super().get()
        body = Api().get
        """,
        "a member of a base that the code mentions is a helper",
    ),
    changed(
        "private member that the method mentions",
        "class Api:\n    __n = 1\n    def get(self): return self.__n\nbody = Api().get",
        "class Api:\n    __n = 2\n    def get(self): return self.__n\nbody = Api().get",
        "a member of the class that the code mentions is a helper",
    ),
    same(
        "another method of the class",
        "class Api:\n    def get(self): return 1\n    def put(self): return 1\nbody = Api().get",
        "class Api:\n    def get(self): return 1\n    def put(self): return 2\nbody = Api().get",
        "the code does not mention it",
    ),
    changed(
        "class method",
        "class Api:\n    limit = 1\n    @classmethod\n    def get(cls): return cls.limit\nbody = Api.get",
        "class Api:\n    limit = 2\n    @classmethod\n    def get(cls): return cls.limit\nbody = Api.get",
        "a class attribute that the code mentions counts by value",
    ),
    changed(
        "callable object",
        "class Adder:\n    def __call__(self, x): return x + 1\nbody = Adder()",
        "class Adder:\n    def __call__(self, x): return x + 2\nbody = Adder()",
        "what is called is `__call__` of its class",
    ),
    same(
        "state of a callable object",
        """
        class Adder:
            def __init__(self, n): self.n = n
            def __call__(self, x): return x + self.n
        body = Adder(1)
        """,
        """
        class Adder:
            def __init__(self, n): self.n = n
            def __call__(self, x): return x + self.n
        body = Adder(2)
        """,
        "an instance is a value, as what a closure holds",
    ),
    changed(
        "class as a body",
        "class Row:\n    def __init__(self, x): self.x = x\nbody = Row",
        "class Row:\n    def __init__(self, x): self.x = x + 1\nbody = Row",
        "calling a class runs its methods",
    ),
    changed(
        "decorator edited",
        """
        from functools import wraps
        def twice(f):
            @wraps(f)
            def wrapper(*args): return f(*args) * 2
            return wrapper
        @twice
        def body(x): return x
        """,
        """
        from functools import wraps
        def twice(f):
            @wraps(f)
            def wrapper(*args): return f(*args) * 3
            return wrapper
        @twice
        def body(x): return x
        """,
        "the wrapper is what is called",
    ),
    changed(
        "decorated function edited",
        """
        from functools import wraps
        def twice(f):
            @wraps(f)
            def wrapper(*args): return f(*args) * 2
            return wrapper
        @twice
        def body(x): return x
        """,
        """
        from functools import wraps
        def twice(f):
            @wraps(f)
            def wrapper(*args): return f(*args) * 2
            return wrapper
        @twice
        def body(x): return -x
        """,
        "what is wrapped is called too",
    ),
    changed(
        "decorator added",
        "from functools import cache\ndef body(x): return x",
        "from functools import cache\n@cache\ndef body(x): return x",
        "another thing is called",
    ),
    changed(
        "function under a library's decorator",
        "from contextlib import contextmanager\n@contextmanager\ndef body(): yield 1",
        "from contextlib import contextmanager\n@contextmanager\ndef body(): yield 2",
        "what a library wraps is code of the notebook",
    ),
    changed(
        "function under functools.cache",
        "from functools import cache\n@cache\ndef body(x): return x",
        "from functools import cache\n@cache\ndef body(x): return -x",
        "what a library wraps is code of the notebook",
    ),
    changed(
        "function under a decorator that is a class",
        """
        class timed:
            def __init__(self, f): self.f = f
            def __call__(self, *args): return self.f(*args)
        @timed
        def body(x): return x
        """,
        """
        class timed:
            def __init__(self, f): self.f = f
            def __call__(self, *args): return self.f(*args)
        @timed
        def body(x): return -x
        """,
        "a function that a callable object holds is code, not a value",
    ),
    same(
        "argument of a decorator",
        """
        def times(n):
            def wrap(f):
                def wrapper(*args): return f(*args) * n
                return wrapper
            return wrap
        @times(2)
        def body(x): return x
        """,
        """
        def times(n):
            def wrap(f):
                def wrapper(*args): return f(*args) * n
                return wrapper
            return wrap
        @times(3)
        def body(x): return x
        """,
        "it is a closure's value, and those do not count",
    ),
    same(
        "closure value",
        "def make(n): return lambda: n\nbody = make(1)",
        "def make(n): return lambda: n\nbody = make(2)",
        "closure values do not count: that is what `args` and `params` are for",
    ),
    changed(
        "closure function",
        "def make():\n    def helper(): return 1\n    return lambda: helper()\nbody = make()",
        "def make():\n    def helper(): return 2\n    return lambda: helper()\nbody = make()",
        "a function that a closure holds is code, not a value",
    ),
]

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
        """
        def even(n): return odd(n - 1) if n else 1
        def odd(n): return even(n - 1) if n else False
        body = odd
        """,
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
        """
        from dataclasses import dataclass
        @dataclass(frozen=True)
        class Config: n: int
        C = Config(2)
        def body(): return C.n
        """,
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
        """
        class Api:
            def update(self): return 2
        api = Api()
        def body(): return api.update()
        """,
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
        """
        import types
        tools = types.ModuleType("notebook_tools")
        exec("def f(x): return x + 2", vars(tools))
        def body(x): return tools.f(x)
        """,
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
        """
        import types
        tools = types.ModuleType("notebook_tools")
        exec("def add(x): return x + 2", vars(tools))
        def body(x): return tools.add(x)
        """,
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
        """
        import types
        tools = types.ModuleType("notebook_tools")
        tools.N = 2
        def body(x): return tools.__name__
        """,
        "the body does not refer to it",
    ),
    changed(
        "name that is missing",
        "def body(): return missing_one",
        "def body(): return missing_two",
        "a name that denotes nothing counts as a name",
    ),
]

CLASSES = [
    changed(
        "class attribute",
        "class Config:\n    limit = 1\ndef body(): return Config.limit",
        "class Config:\n    limit = 2\ndef body(): return Config.limit",
        "a class of the notebook counts whole",
    ),
    changed(
        "method of a class that is used",
        "class Row:\n    def size(self): return 1\ndef body(): return Row().size()",
        "class Row:\n    def size(self): return 2\ndef body(): return Row().size()",
        "a class of the notebook counts whole",
    ),
    changed(
        "base of a class that is used",
        "class Base:\n    def size(self): return 1\nclass Row(Base): pass\ndef body(): return Row().size()",
        "class Base:\n    def size(self): return 2\nclass Row(Base): pass\ndef body(): return Row().size()",
        "bases of the notebook count too",
    ),
    changed(
        "options of a dataclass",
        "from dataclasses import dataclass\n@dataclass\nclass Row:\n    a: int\ndef body(): return Row(1)",
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass Row:\n    a: int\ndef body(): return Row(1)",
        "what `dataclass` makes follows from them",
    ),
    changed(
        "method of a dataclass that is written by hand",
        """
        from dataclasses import dataclass
        @dataclass
        class Row:
            a: int
            def __eq__(self, other): return True
        def body(): return Row(1)
        """,
        """
        from dataclasses import dataclass
        @dataclass
        class Row:
            a: int
            def __eq__(self, other): return False
        def body(): return Row(1)
        """,
        "a class of the notebook counts whole",
    ),
    same(
        "docstring and order of a class's methods",
        """
        class Row:
            def a(self): return 1
            def b(self): return 2
        def body(): return Row()
        """,
        """
        class Row:
            'A row.'
            def b(self): return 2
            def a(self): return 1
        def body(): return Row()
        """,
        "neither is code",
    ),
    same(
        "class renamed",
        "class Row:\n    def size(self): return 1\ndef body(): return Row().size()",
        "class Line:\n    def size(self): return 1\ndef body(): return Line().size()",
        "a global name counts as what it denotes",
    ),
    changed(
        "property",
        "class Row:\n    @property\n    def size(self): return 1\ndef body(r: Row): return Row().size",
        "class Row:\n    @property\n    def size(self): return 2\ndef body(r: Row): return Row().size",
        "a class of the notebook counts whole",
    ),
    changed(
        "dataclass field added",
        """
        from dataclasses import dataclass
        @dataclass
        class Row:
            a: int
        def body(x): return Row(x)
        """,
        """
        from dataclasses import dataclass
        @dataclass
        class Row:
            a: int
            b: int = 0
        def body(x): return Row(x)
        """,
        "fields are the class's data",
    ),
    changed(
        "dataclass default",
        "from dataclasses import dataclass\n@dataclass\nclass Row:\n    a: int = 1\ndef body(): return Row()",
        "from dataclasses import dataclass\n@dataclass\nclass Row:\n    a: int = 2\ndef body(): return Row()",
        "defaults of fields count",
    ),
    changed(
        "dataclass default factory",
        """
        from dataclasses import dataclass, field
        @dataclass
        class Row:
            a: object = field(default_factory=list)
        def body(): return Row()
        """,
        """
        from dataclasses import dataclass, field
        @dataclass
        class Row:
            a: object = field(default_factory=dict)
        def body(): return Row()
        """,
        "factories of fields count",
    ),
    changed(
        "type of a pydantic field",
        """
        from pydantic import BaseModel
        class User(BaseModel):
            age: int
        def body(x): return User(age=x)
        """,
        """
        from pydantic import BaseModel
        class User(BaseModel):
            age: float
        def body(x): return User(age=x)
        """,
        "a model's annotations are what it does",
    ),
    changed(
        "default of a pydantic field",
        "from pydantic import BaseModel\nclass User(BaseModel):\n    age: int = 1\ndef body(): return User()",
        "from pydantic import BaseModel\nclass User(BaseModel):\n    age: int = 2\ndef body(): return User()",
        "defaults of fields count",
    ),
    changed(
        "pydantic validator",
        """
        from pydantic import BaseModel, field_validator
        class User(BaseModel):
            age: int
            @field_validator("age")
            @classmethod
            def check(cls, v): return v + 1
        def body(x): return User(age=x)
        """,
        """
        from pydantic import BaseModel, field_validator
        class User(BaseModel):
            age: int
            @field_validator("age")
            @classmethod
            def check(cls, v): return v + 2
        def body(x): return User(age=x)
        """,
        "validators are methods",
    ),
    same(
        "docstring of a pydantic model",
        """
        from pydantic import BaseModel
        class User(BaseModel):
            age: int
        def body(x): return User(age=x)
        """,
        """
        from pydantic import BaseModel
        class User(BaseModel):
            '''A user.'''
            age: int
        def body(x): return User(age=x)
        """,
        "docstrings do not count",
    ),
    changed(
        "value of an enum's member",
        "from enum import Enum\nclass Color(Enum):\n    RED = 1\ndef body(): return Color.RED.value",
        "from enum import Enum\nclass Color(Enum):\n    RED = 2\ndef body(): return Color.RED.value",
        "members are the class's data",
    ),
    changed(
        "enum member as a global",
        """
        from enum import Enum
        class Color(Enum):
            RED = 1
            BLUE = 2
        INK = Color.RED
        def body(): return INK
        """,
        """
        from enum import Enum
        class Color(Enum):
            RED = 1
            BLUE = 2
        INK = Color.BLUE
        def body(): return INK
        """,
        "a member is plain data",
    ),
]

EDITS = [*LAYOUT, *CODE, *NAMES, *BOUND, *GLOBALS, *CLASSES]
