"""Checks of arguments, for constructors and functions: a wrong one is refused where it is given.

Each returns the value in the form to keep. The message names owner and argument, what was expected
and what came.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from brainstorm.utils import list_names

__all__ = ['check_array', 'check_choice', 'check_filename', 'check_flag', 'check_interface',
           'check_name', 'check_names', 'check_number', 'check_type']

LARGEST = sys.float_info.max


def check_number(owner: str, name: str, value: Any, low: float = -LARGEST, high: float = LARGEST,
                 integer: bool = False) -> Any:
    """Return the number, as Python's int or float, if it lies in [low, high].

    Raises TypeError for what is no number (bool and, if `integer`, fractions included) and
    ValueError for one out of range or NaN. An infinity needs a bound of inf.
    """
    kind = 'an integer' if integer else 'a number'
    if isinstance(value, (bool, np.bool_, type)) or getattr(value, 'ndim', 0) != 0 \
            or not hasattr(value, '__index__' if integer else '__float__'):
        raise TypeError(f"{owner}: {name} must be {kind}, got {value!r}")
    number = int(value) if integer else value if isinstance(value, (int, float)) else float(value)
    if not low <= number <= high:
        if abs(low) < LARGEST:
            kind += f' from {low}'
        if abs(high) < LARGEST:
            kind += f' to {high}'
        raise ValueError(f"{owner}: {name} must be {kind}, got {value!r}")
    return number


def check_flag(owner: str, name: str, value: Any) -> bool:
    """Return the bool that a bool or one of the numbers 0 and 1 stands for; else TypeError."""
    if not isinstance(value, (bool, int, np.bool_)) or value not in (0, 1):
        raise TypeError(f"{owner}: {name} must be True or False, got {value!r}")
    return bool(value)


def check_type(owner: str, name: str, value: Any, kind: type) -> Any:
    """Return the value if it is an instance of the class `kind`; else TypeError."""
    if not isinstance(value, kind):
        raise TypeError(f"{owner}: {name} must be a {kind.__name__}, got {value!r}")
    return value


def check_interface(owner: str, name: str, value: Any, kind: type, *attributes: str) -> Any:
    """Return the value if it has the attributes, whatever its class.

    Raises TypeError that also names the class that stands for them.
    """
    if isinstance(value, type) or not all(hasattr(value, attribute) for attribute in attributes):
        raise TypeError(f"{owner}: {name} must be a {kind.__name__} or have its "
                        f"{' and '.join(attributes)}, got {value!r}")
    return value


def check_name(owner: str, name: str, value: Any) -> str:
    """Return the str if there is something in it; else TypeError or ValueError."""
    if not check_type(owner, name, value, str):
        raise ValueError(f"{owner}: {name} is empty")
    return value


def check_names(owner: str, name: str, value: Any) -> list[str]:
    """Return a list of the names: those of an iterable, or the single one that a str is."""
    if not isinstance(value, Iterable):
        raise TypeError(f"{owner}: {name} must be a str or a list of them, got {value!r}")
    values = [value] if isinstance(value, str) else list(value)
    return [check_name(owner, f'{name}[{i}]', entry) for i, entry in enumerate(values)]


def check_choice(owner: str, name: str, value: Any, choices: Iterable[str]) -> str:
    """Return the str if it is one of the choices; else ValueError, with the nearest ones first."""
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(list_names(f"{owner}: {name} must be one of", value, choices)
                         + f", got {value!r}")
    return value


def check_array(owner: str, name: str, value: Any) -> np.ndarray:
    """Return a float64 copy of what makes an array of real numbers; else TypeError."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise TypeError(f"{owner}: {name} is no array: {error}") from None
    if array.dtype.kind not in 'biuf':
        raise TypeError(f"{owner}: {name} must be an array of real numbers, "
                        f"got the dtype {array.dtype}")
    return array.astype(np.float64)


def check_filename(owner: str, filename: Any) -> str:
    """Return the str of a file name that is a str, bytes or PathLike; else TypeError.

    An empty one is a ValueError.
    """
    try:
        name = os.fsdecode(filename)
    except TypeError:
        raise TypeError(f"{owner}: filename must be a str or a path, got {filename!r}") from None
    if not name:
        raise ValueError(f"{owner}: filename is empty")
    return name
