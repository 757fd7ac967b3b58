"""What is bound to a body: defaults, closures, partials, decorators."""

from __future__ import annotations

from .edit import changed, same

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
        ("body = Api('a').get", "body = Api('b').get"),
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
        ("def get(self): return 1", "def get(self): return 2"),
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
        ("body = Adder(1)", "body = Adder(2)"),
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
        ("def wrapper(*args): return f(*args) * 2", "def wrapper(*args): return f(*args) * 3"),
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
        ("def body(x): return x", "def body(x): return -x"),
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
        ("def body(x): return x", "def body(x): return -x"),
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
        ("@times(2)", "@times(3)"),
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
