"""Objects that can be turned into JSON and back.

A *description* holds all static information of an object: basic values, lists and dicts stand for
themselves, any other object is a dict whose `'@type'` names its class. It never holds dynamic
state: what is created from a description is as good as new.
"""

import copy
import reprlib
from typing import Any

import numpy as np

from brainstorm.utils import list_names

__all__ = ['Describable', 'DescribedByArguments', 'create_from_description', 'get_description']


class Describable:
    """Base class of everything that has a description.

    By default all attributes of the instance are described, and a new object gets them back
    without its constructor being called.
    """

    __undescribed__: set[str] | dict[str, Any] = {}
    """Set of attributes to leave out, or dict from them to the values that a new object gets."""

    __default_values__: dict[str, Any] = {}
    """Dict of attributes that are left out while they have the given value."""

    def __describe__(self) -> Any:
        """The description of this object: a dict of its class name as `'@type'` and its members."""
        omitted, _, defaults = _collect(type(self))
        description = {'@type': type(self).__name__}
        for name, value in vars(self).items():
            if name in omitted or (name in defaults and _same(value, defaults[name])):
                continue
            description[name] = get_description(value)
        return description

    @classmethod
    def __new_from_description__(cls, description):
        """A new object with the described members.

        Raises TypeError for a member that would hide a method.
        """
        _, initial, defaults = _collect(cls)
        members = {name: create_from_description(value) for name, value in description.items()
                   if name != '@type'}
        this = cls.__new__(cls)
        for name, value in {**initial, **defaults, **members}.items():
            if callable(getattr(cls, name, None)):
                raise TypeError(f"{cls.__name__}.{name} is a method, not a member to describe")
            setattr(this, name, copy.copy(value))
        this.__init_from_description__(description)
        return this

    def __init_from_description__(self, description):
        """Called after the object has been created from the description, for what is left to do."""


class DescribedByArguments(Describable):
    """Describable whose described members are arguments of its constructor.

    It is created from a description by calling the constructor, so that a description out of a
    file is checked like any call.
    """

    @classmethod
    def __new_from_description__(cls, description):
        arguments = {name: create_from_description(value) for name, value in description.items()
                     if name != '@type'}
        return cls(**arguments)

    def __repr__(self):
        omitted, _, _ = _collect(type(self))
        members = ', '.join(f'{name}={reprlib.repr(value)}' for name, value in vars(self).items()
                            if name not in omitted and not name.startswith('_'))
        return f'{type(self).__name__}({members})'


def get_description(this: Any) -> Any:
    """A JSON-serializable description of an object; `create_from_description` is the way back.

    Basic types stand for themselves (a np.float64 is a float), tuples and numpy arrays become
    lists. Raises TypeError for anything else that is no `Describable`.
    """
    if isinstance(this, Describable):
        return this.__describe__()
    if this is None or isinstance(this, (bool, int, str)):
        return this
    if isinstance(this, float):
        return float(this)
    if isinstance(this, (list, tuple)):
        return [get_description(value) for value in this]
    if isinstance(this, np.ndarray):
        return this.tolist()
    if isinstance(this, dict):
        for key in this:
            if not isinstance(key, str):
                raise TypeError(f"cannot describe a dict with the key {key!r}: "
                                "keys must be strings")
        return {key: get_description(value) for key, value in this.items()}
    raise TypeError(f"cannot describe {this!r} of type {type(this).__name__}: it is neither a "
                    "basic type, list, tuple, dict or numpy array nor Describable")


def create_from_description(description: Any) -> Any:
    """Create the object that a description describes.

    A dict with an `'@type'` becomes an instance of the `Describable` of that name, lists and
    dicts are created member by member. Raises TypeError for an unknown `'@type'`.
    """
    if isinstance(description, (list, tuple)):
        return [create_from_description(value) for value in description]
    if not isinstance(description, dict):
        return description
    if '@type' not in description:
        return {key: create_from_description(value) for key, value in description.items()}
    return _find_class(description['@type']).__new_from_description__(description)


def _find_class(type_name):
    classes = {}
    to_visit = [Describable]
    while to_visit:
        # Later definitions come last and win: classes are defined again in notebooks.
        for subclass in to_visit.pop().__subclasses__():
            classes[subclass.__name__] = subclass
            to_visit.append(subclass)
    if not isinstance(type_name, str) or type_name not in classes:
        raise TypeError(f"no describable class is called {type_name!r}; "
                        + list_names('there are', type_name, sorted(classes)))
    return classes[type_name]


def _collect(cls):
    """The members to leave out, the values of those that a new object gets, and the defaults."""
    omitted, initial, defaults = set(), {}, {}
    for base in reversed(cls.__mro__):
        own = vars(base).get('__undescribed__', {})
        omitted.update(own)
        initial.update(own if isinstance(own, dict) else {})
        defaults.update(vars(base).get('__default_values__', {}))
    return omitted, initial, defaults


def _same(value, default):
    return not isinstance(value, np.ndarray) and value == default
