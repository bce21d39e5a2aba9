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
    'flatten_all_but_last', 'flatten_time', 'flatten_time_and_features', 'get_by_path',
    'import_optional', 'list_names',
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


def import_optional(module: str, requirement: str) -> ModuleType:
    """Import a library that not everybody needs.

    Raises ImportError that tells how to install it: `requirement` is what pip is asked for.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} cannot be imported ({error}); it comes with "
                          f"pip install {requirement}") from error


def _product(dimensions):
    result = 1
    for dimension in dimensions:
        result *= dimension
    return result
