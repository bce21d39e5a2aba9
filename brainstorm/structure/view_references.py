"""Which initializer or modifier belongs to which parameter.

References are written {LAYER_PATTERN: value or {PARAMETER_PATTERN: value}}. In a pattern `*` stands
for any characters. On both levels `default` stands for what no other pattern matches, and
`fallback` for what replaces a value that fails; the inner ones come before the outer ones.
"""

import re
from collections import namedtuple

from brainstorm.utils import NetworkValidationError, list_names

__all__ = ['Reference', 'join_references', 'resolve_references']

SPECIAL = ('default', 'fallback')

Reference = namedtuple('Reference', 'pattern value')


def join_references(default_or_dict, kwargs):
    """One dict of references from what a method was called with, the caller's dict unchanged.

    Raises TypeError for a pattern that is given twice.
    """
    if default_or_dict is None:
        return dict(kwargs)
    if not isinstance(default_or_dict, dict):
        default_or_dict = {'default': default_or_dict}
    doubled = sorted(set(default_or_dict) & set(kwargs))
    if doubled:
        raise TypeError(f"given twice, in the dict and as keyword arguments: {', '.join(doubled)}")
    return {**default_or_dict, **kwargs}


def resolve_references(parameters, references):
    """Find what belongs to each parameter.

    Args:
        parameters (dict[str, list[str]]): names of the parameters of every layer.
        references (dict): as described above.

    Returns:
        dict: {(layer, parameter): (matches, fallbacks)}, both lists of Reference in the order of
        the references. The matches are those of `default` where there is no other.

    Raises:
        NetworkValidationError: a pattern matches nothing.
    """
    _check_patterns(parameters, references)
    return {(layer, parameter): _resolve(layer, parameter, references)
            for layer, names in parameters.items() for parameter in names}


def _resolve(layer, parameter, references):
    matched = {pattern: value for pattern, value in references.items()
               if pattern not in SPECIAL and _matches(pattern, layer)}
    found, fallbacks = _collect(parameter, matched)
    if not found and 'default' in references:
        found, inner_fallbacks = _collect(parameter, {'default': references['default']})
        fallbacks = fallbacks or inner_fallbacks
    if not fallbacks and 'fallback' in references:
        fallbacks = [Reference('fallback', references['fallback'])]
    return found, fallbacks


def _collect(parameter, references):
    """What references to the layer of a parameter hold for it: (matches or defaults, fallbacks)."""
    matches, special = [], {'default': [], 'fallback': []}
    for pattern, value in references.items():
        if not isinstance(value, dict):
            matches.append(Reference(pattern, value))
            continue
        for inner, inner_value in value.items():
            reference = Reference(f'{pattern}.{inner}', inner_value)
            if inner in SPECIAL:
                special[inner].append(reference)
            elif _matches(inner, parameter):
                matches.append(reference)
    return matches or special['default'], special['fallback']


def _check_patterns(parameters, references):
    for pattern, value in references.items():
        _require_string(pattern)
        layers = [layer for layer in parameters
                  if pattern in SPECIAL or _matches(pattern, layer)]
        if not layers and pattern not in SPECIAL:
            raise NetworkValidationError(f"{pattern!r} matches no layer; "
                                         + list_names('there are', pattern, parameters))
        if not isinstance(value, dict):
            continue
        if pattern == 'fallback':
            raise NetworkValidationError("'fallback' takes a value, not a dict of patterns")
        names = list(dict.fromkeys(name for layer in layers for name in parameters[layer]))
        for inner in value:
            _require_string(inner)
            if inner not in SPECIAL and not any(_matches(inner, name) for name in names):
                raise NetworkValidationError(f"'{pattern}.{inner}' matches no parameter; "
                                             + list_names('there are', inner, names))


def _require_string(pattern):
    if not isinstance(pattern, str):
        raise TypeError(f"a pattern must be a string, got {pattern!r}")


def _matches(pattern, name):
    return re.fullmatch('.*'.join(map(re.escape, pattern.split('*'))), name) is not None
