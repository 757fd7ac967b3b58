"""Layout, comments, code and the names in it."""

from __future__ import annotations

from .edit import changed, same

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
