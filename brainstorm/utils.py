"""Exceptions of the package and small helpers that several modules and custom layers share."""

import importlib
import os
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from brainstorm._core import LayerValidationError, NetworkValidationError, ValidationError

__all__ = [
    'FileName', 'InitializationError', 'IteratorValidationError', 'LayerValidationError',
    'NetworkValidationError', 'StructureValidationError', 'ValidationError',
    'check_filename', 'check_interface', 'check_number', 'check_type', 'flatten_all_but_last',
    'flatten_time', 'flatten_time_and_features', 'get_by_path', 'import_optional', 'list_names',
]


FileName = str | bytes | os.PathLike[str]
"""What names a file."""


class IteratorValidationError(ValidationError):
    """Data that a data iterator cannot serve."""


class StructureValidationError(ValidationError):
    """A shape or shape template that makes no sense."""


class InitializationError(Exception):
    """An initializer cannot fill a parameter of this shape; the `fallback` may."""


def flatten_time(array):
    """View an array (T, B, ...) as (T * B, ...)."""
    return array.reshape((array.shape[0] * array.shape[1],) + tuple(array.shape[2:]))


def flatten_all_but_last(array):
    """View an array (..., F) as the matrix (rows, F)."""
    return array.reshape((_product(array.shape[:-1]), array.shape[-1]))


def flatten_time_and_features(array):
    """View an array (T, B, ...) as the matrix (T * B, F)."""
    return array.reshape((array.shape[0] * array.shape[1], _product(array.shape[2:])))


def get_by_path(tree: Mapping[str, Any], path: str) -> Any:
    """The entry of nested mappings that a dotted path names.

    Raises KeyError naming the missing part and the keys that exist in its place.
    """
    node = tree
    for part in path.split('.'):
        if not isinstance(node, Mapping) or part not in node:
            choices = node if isinstance(node, Mapping) else ()
            raise KeyError(f"no {part!r} in {path!r}; {list_names('there is', part, choices)}")
        node = node[part]
    return node


def list_names(lead: str, wanted: str, names: Iterable[str]) -> str:
    """'LEAD a, b, c', the names nearest to the wanted one first; for error messages."""
    import difflib  # at its first use: importing brainstorm is to be quick
    names = [str(name) for name in names]
    near = difflib.get_close_matches(str(wanted), names, n=3)
    names = near + [name for name in names if name not in near]
    return f"{lead} {', '.join(names) if names else 'nothing'}"


def check_number(owner: str, name: str, value: Any, low: float = -float('inf'),
                 high: float = float('inf'), integer: bool = False) -> Any:
    """Return the number, as Python's int or float, if it lies in [low, high].

    Raises TypeError for what is no number (bool and, if `integer`, fractions included) and
    ValueError for one out of range or NaN; both name owner, argument and value.
    """
    kind = 'an integer' if integer else 'a number'
    if isinstance(value, bool) or not hasattr(value, '__index__' if integer else '__float__') \
            or getattr(value, 'ndim', 0) != 0:
        raise TypeError(f"{owner}: {name} must be {kind}, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{owner}: {name} must be {kind} from {low} to {high}, got {value!r}")
    if integer:
        return int(value)
    return value if isinstance(value, (int, float)) else float(value)


def check_type(owner: str, name: str, value: Any, kind: type) -> Any:
    """Return the value if it is an instance of the class `kind`.

    Raises TypeError that names owner, argument, class and value.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{owner}: {name} must be a {kind.__name__}, got {value!r}")
    return value


def check_interface(owner: str, name: str, value: Any, kind: type, *attributes: str) -> Any:
    """Return the value if it has the attributes, whatever its class.

    Raises TypeError that names owner, argument, the class that stands for them, and value.
    """
    if isinstance(value, type) or not all(hasattr(value, attribute) for attribute in attributes):
        raise TypeError(f"{owner}: {name} must be a {kind.__name__} or have its "
                        f"{' and '.join(attributes)}, got {value!r}")
    return value


def check_filename(owner: str, filename: Any) -> str:
    """Return the str of a file name that is a str, bytes or PathLike; else TypeError, naming it.

    An empty one is a ValueError.
    """
    try:
        name = os.fsdecode(filename)
    except TypeError:
        raise TypeError(f"{owner}: filename must be a str or a path, got {filename!r}") from None
    if not name:
        raise ValueError(f"{owner}: filename is empty")
    return name


def import_optional(module: str, extra: str) -> ModuleType:
    """Import a library that not everybody needs.

    Raises ImportError that tells how to install it, as the extra of brainstorm that it is in.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} cannot be imported ({error}); it comes with "
                          f"pip install brainstorm[{extra}]") from error


def _product(dimensions):
    result = 1
    for dimension in dimensions:
        result *= dimension
    return result
