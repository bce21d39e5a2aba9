"""The language of `tools.create_net_from_spec`: 'C32:3p1s2 P2s2 D.2 F100'."""

import re
from collections import namedtuple

__all__ = ['parse_spec']

ACTIVATIONS = {'l': 'linear', 'r': 'rel', 's': 'sigmoid', 't': 'tanh', 'e': 'el'}
POOLING_TYPES = {'m': 'max', 'a': 'avg'}

_Kind = namedtuple('_Kind', 'type_name modes default_mode numbers options')
"""What a capital letter stands for: modes are the lower case letters that may follow it, numbers
the names of its arguments, options whether `p` and `s` may follow."""

_KINDS = {
    'F': _Kind('FullyConnected', ACTIVATIONS, 'r', ('size',), False),
    'R': _Kind('Recurrent', ACTIVATIONS, 't', ('size',), False),
    'L': _Kind('Lstm', ACTIVATIONS, 't', ('size',), False),
    'B': _Kind('BatchNorm', {}, None, (), False),
    'D': _Kind('Dropout', {}, None, ('drop_prob',), False),
    'C': _Kind('Convolution2D', ACTIVATIONS, 'r', ('num_filters', 'kernel_size'), True),
    'P': _Kind('Pooling2D', POOLING_TYPES, 'm', ('kernel_size',), True),
}

_NUMBER = r'(?:\d+\.\d*|\.\d+|\d+)'
_LAYER = re.compile(rf'''
    (?P<letter> [A-Z]) \s*
    (?P<mode> [a-z])?
    (?P<numbers> (?: \s* [:/|]? \s* {_NUMBER})*)
    (?P<options> (?: \s* [ps] \s* \d+)*)''', re.VERBOSE)
_BETWEEN = re.compile(r'[\s,\->;]*')


def parse_spec(spec):
    """A list of (type name, arguments) of the layers that a spec names.

    Raises ValueError quoting the part that is wrong.
    """
    if not isinstance(spec, str):
        raise TypeError(f"a spec is a string, got {spec!r}")
    layers = []
    position = _BETWEEN.match(spec).end()
    while position < len(spec):
        match = _LAYER.match(spec, position)
        if match is None:
            raise ValueError(f"the spec {spec!r} has no layer at {spec[position:]!r}: "
                             f"a layer starts with one of {', '.join(_KINDS)}")
        layers.append(_parse_layer(match))
        position = _BETWEEN.match(spec, match.end()).end()
    return layers


def _parse_layer(match):
    text = match.group().strip()
    kind = _KINDS.get(match['letter'])
    if kind is None:
        raise ValueError(f"{text!r}: a layer starts with one of {', '.join(_KINDS)}")
    kwargs = {}
    mode = match['mode'] or kind.default_mode
    if mode is not None:
        if mode not in kind.modes:
            choices = ', '.join(kind.modes) or 'nothing'
            raise ValueError(f"{text!r}: {match['letter']} is followed by {choices} or numbers, "
                             f"not by {mode!r}")
        argument = 'type' if kind.modes is POOLING_TYPES else 'activation'
        kwargs[argument] = kind.modes[mode]
    kwargs.update(_parse_numbers(text, kind, re.findall(_NUMBER, match['numbers'])))
    kwargs.update(_parse_options(text, kind, re.findall(r'([ps])\s*(\d+)', match['options'])))
    return kind.type_name, kwargs


def _parse_numbers(text, kind, numbers):
    if kind.type_name == 'Dropout' and not numbers:
        return {}
    if len(numbers) != len(kind.numbers):
        raise ValueError(f"{text!r}: {kind.type_name} takes {len(kind.numbers)} number(s) "
                         f"({', '.join(kind.numbers) or 'none'}), got {len(numbers)}")
    return {argument: _convert(text, argument, number)
            for argument, number in zip(kind.numbers, numbers)}


def _convert(text, argument, number):
    if argument == 'drop_prob':
        if not float(number) < 1:
            raise ValueError(f"{text!r}: drop_prob must be below 1, got {number}")
        return float(number)
    if not number.isdigit() or int(number) == 0:
        raise ValueError(f"{text!r}: {argument} must be a positive integer, got {number}")
    return (int(number), int(number)) if argument == 'kernel_size' else int(number)


def _parse_options(text, kind, options):
    if options and not kind.options:
        raise ValueError(f"{text!r}: {kind.type_name} takes neither p nor s")
    values = dict(options)
    if len(values) < len(options):
        raise ValueError(f"{text!r}: p or s is given twice")
    kwargs = {}
    if 'p' in values:
        kwargs['padding'] = int(values['p'])
    if 's' in values:
        if int(values['s']) == 0:
            raise ValueError(f"{text!r}: the stride s must be positive")
        kwargs['stride'] = (int(values['s']),) * 2
    return kwargs
