"""What initializers and modifiers make of the parameters of a network."""

import copy
from collections import OrderedDict
from contextlib import contextmanager

from brainstorm.initializers import as_initializer, evaluate_initializer
from brainstorm.structure.view_references import resolve_references
from brainstorm.utils import NetworkValidationError
from brainstorm.value_modifiers import GradientModifier

__all__ = ['apply_modifiers', 'as_initializers', 'evaluate_initializers', 'resolve_initializers',
           'resolve_modifiers']


def as_initializers(references, prefix='initialize: '):
    """A copy of the references with numbers and Initializers for values."""
    return {pattern: as_initializers(value, f'{prefix}{pattern}.') if isinstance(value, dict)
            else as_initializer(f'{prefix}{pattern}', value)
            for pattern, value in references.items()}


def resolve_initializers(names, references):
    """(matches, fallbacks) by (layer, parameter), one match each.

    Args:
        names (dict[str, list[str]]): names of the parameters of every layer.
        references (dict): see `view_references`.

    Raises:
        NetworkValidationError: a pattern matches nothing, or a parameter does not have exactly one
            initializer.
    """
    resolved = resolve_references(names, references)
    for path, (matches, fallbacks) in resolved.items():
        _require_one_initializer(path, matches, fallbacks)
    return resolved


def evaluate_initializers(resolved, shapes, rnd):
    """Initial values by (layer, parameter); `rnd` gives each its seed, in the order of the names.

    Args:
        resolved (dict): see `resolve_initializers`.
        shapes (dict[str, dict[str, BufferStructure]]): of the parameters of every layer.
        rnd (RandomState): draws the seeds.
    """
    values = {}
    for layer, parameter in sorted(resolved):
        matches, fallbacks = resolved[layer, parameter]
        with _naming(f'{layer}.{parameter}'):
            values[layer, parameter] = evaluate_initializer(
                matches[0].value, shapes[layer][parameter].shape,
                fallbacks[0].value if fallbacks else None, seed=rnd.generate_seed())
    return values


def resolve_modifiers(names, references, types):
    """Lists of modifiers of the types, a copy for each parameter, by layer and parameter.

    For `names` and `references` see `resolve_initializers`.

    Raises:
        NetworkValidationError: a pattern matches nothing, or is `fallback`.
        TypeError: a value is no such modifier.
    """
    modifiers: OrderedDict = OrderedDict()
    resolved = resolve_references(names, references)
    if 'fallback' in references or any(fallbacks for _, fallbacks in resolved.values()):
        raise NetworkValidationError("'fallback' has no meaning for modifiers")
    for (layer, parameter), (matches, _) in resolved.items():
        if matches:
            modifiers.setdefault(layer, OrderedDict())[parameter] = [
                copy.deepcopy(modifier) for reference in matches
                for modifier in _list_modifiers(reference, types)]
    return modifiers


def apply_modifiers(path, modifiers, rnd, handler, parameter, view):
    """Have the modifiers of the parameter at `path` change `view`, its values or its gradient.

    Each is seeded anew by `rnd`. A GradientModifier sees the parameter as well.
    """
    for modifier in modifiers:
        modifier.rnd.set_seed(rnd.generate_seed())
        seen = (parameter, view) if isinstance(modifier, GradientModifier) else (view,)
        with _naming(path):
            modifier(handler, *seen)


@contextmanager
def _naming(path):
    """An exception from inside begins with the path."""
    try:
        yield
    except Exception as error:
        error.args = (f"{path}: {error}",)
        raise


def _require_one_initializer(path, matches, fallbacks):
    if not matches:
        raise NetworkValidationError(f"there is no initializer for {'.'.join(path)}")
    for kind, found in ('initializers', matches), ('fallbacks', fallbacks):
        if len(found) > 1:
            patterns = ', '.join(repr(reference.pattern) for reference in found)
            raise NetworkValidationError(
                f"{'.'.join(path)} has several {kind}, by the patterns {patterns}")


def _list_modifiers(reference, types):
    modifiers = reference.value if isinstance(reference.value, (list, tuple)) \
        else [reference.value]
    for modifier in modifiers:
        if not isinstance(modifier, types):
            names = getattr(types, '__name__', 'ValueModifier or GradientModifier')
            raise TypeError(f"{reference.pattern!r}: expected a {names} or a list of them, "
                            f"got {modifier!r}")
    return modifiers
