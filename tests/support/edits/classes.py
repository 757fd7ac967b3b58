"""Classes that a body refers to, and their methods."""

from __future__ import annotations

from .edit import changed, same

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
        ("def __eq__(self, other): return True", "def __eq__(self, other): return False"),
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
        ("a: object = field(default_factory=list)", "a: object = field(default_factory=dict)"),
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
        ("age: int", "age: float"),
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
        ("def check(cls, v): return v + 1", "def check(cls, v): return v + 2"),
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
        ("INK = Color.RED", "INK = Color.BLUE"),
        "a member is plain data",
    ),
]
