"""Advice for values that cannot be stored: what a task should return in place of each.

Types are found by their names, so that none of their modules is imported.
"""

from __future__ import annotations

from typing import Any, Final

from .names import type_name

_PLAIN_DICT, _PLAIN_LIST = "return dict(...) of it", "return list(...) of it"
_SERIES: Final = "return pandas.Series(...) of it"
_TEXT: Final = "return str(...) of it"
_RESPONSE: Final = "return what you need of it, such as .json() or .text"
_PICTURE: Final = "save it to a file and return File(path), or save it to io.BytesIO and return .getvalue()"
_INSTEAD: Final = {
    "re.Match": "return what you need of it: .group(), .groups() or .groupdict()",
    "array.array": "return numpy.array(...) or list(...) of it",
    "memoryview": "return bytes(...) of it",
    "mappingproxy": _PLAIN_DICT,
    "collections.ChainMap": _PLAIN_DICT,
    "collections.UserDict": _PLAIN_DICT,
    "collections.UserList": _PLAIN_LIST,
    "dict_keys": _PLAIN_LIST,
    "dict_values": _PLAIN_LIST,
    "dict_items": _PLAIN_LIST,
    "functools.partial": "a function with arguments is not data",
    "email.message.Message": "return .as_bytes() of it",
    "xml.etree.ElementTree.Element": "return xml.etree.ElementTree.tostring(...) of it",
    "time.struct_time": "return datetime(*value[:6]) of it",
    "sqlite3.Row": _PLAIN_DICT,
    "numpy.ma.MaskedArray": "return (value.data, value.mask)",
    "numpy.matrix": "return numpy.asarray(...) of it",
    "numpy.polynomial._polybase.ABCPolyBase": "return .coef of it",
    "numpy.random._generator.Generator": "return its state, .bit_generator.state",
    "pandas.Categorical": _SERIES,
    "pandas.api.extensions.ExtensionArray": _SERIES,
    "pandas.core.arrays.base.ExtensionArray": _SERIES,
    "pandas._libs.tslibs.offsets.BaseOffset": "return .freqstr of it",
    "pandas.core.groupby.groupby.GroupBy": "return what an aggregation of it gives, such as .sum()",
    "polars.lazyframe.frame.LazyFrame": "return .collect() of it",
    "pyarrow.lib.Scalar": "return .as_py() of it",
    "PIL.Image.Image": _PICTURE,
    "matplotlib.figure.Figure": _PICTURE.replace("save it to", "savefig it to"),
    "httpx.Response": _RESPONSE,
    "requests.models.Response": _RESPONSE,
    "httpx.URL": _TEXT,
    "httpx.Headers": _PLAIN_DICT,
    "yarl.URL": _TEXT,
    "packaging.version.Version": _TEXT,
    "bs4.BeautifulSoup": _TEXT,
    "bs4.element.Tag": _TEXT,
    "pydantic.networks.NameEmail": _TEXT,
    "sqlalchemy.engine.row.Row": "return tuple(...) or ._asdict() of it",
    "scipy.sparse._base._spbase": "return .toarray() of it, or scipy.sparse.save_npz(path, ...) and File(path)",
    "networkx.classes.graph.Graph": "return networkx.node_link_data(...) of it",
    "sklearn.base.BaseEstimator": 'give the task codec="pickle", or joblib.dump it to a file and return File(path)',
    "torch.Tensor": "return .numpy(force=True) of it",
    "xarray.core.dataarray.DataArray": "return .to_dict() of it",
    "xarray.core.dataset.Dataset": "return .to_dict() of it",
}


def why_instead(cls: type[Any]) -> str:
    """The advice for instances of a class; "" if there is none for it or its bases."""
    for base in cls.__mro__:
        if base.__module__ != "__main__" and (found := _INSTEAD.get(type_name(base))):
            return f"no plain data: {found}" if found.startswith(("return", "give", "save")) else found
    return ""
