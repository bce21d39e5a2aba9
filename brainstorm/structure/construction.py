"""Wiring of layers with `>>` and `-`.

`a >> b` connects the output `default` of a with the input `default` of b and gives b back.
`a - 'out'` picks another output, `'in' - b` another input, so that
`'targets' - out - 'loss' >> loss` reads from left to right.
"""

import copy
import itertools
import re
from typing import Any

import numpy as np

from brainstorm.utils import LayerValidationError

__all__ = ['ConstructionWrapper', 'check_layer_name']

_creation_order = itertools.count()
_WIRED_BUFFER = re.compile(r'\.\.(parameters|internals)\.\w+')


class LayerDetails:
    """A layer as it was written down: type, name, arguments and what it is wired to.

    Attributes:
        index (int): position in the order of creation.
        outgoing (dict): from (output name, other LayerDetails, input name) to True, in the order
            of wiring.
        neighbours (dict): from all LayerDetails that are wired to or from it to True.
    """

    def __init__(self, layer_type, name, kwargs):
        self.index = next(_creation_order)
        self.layer_type = layer_type
        self.name = name
        self.kwargs = kwargs
        self.outgoing = {}
        self.neighbours = {}

    def connect(self, output_name, other, input_name):
        self.outgoing[output_name, other, input_name] = True
        self.neighbours[other] = True
        other.neighbours[self] = True


class ConstructionWrapper:
    """A layer together with the input and the output that the next wiring uses.

    Attributes:
        layer (LayerDetails): the layer itself, shared by all wrappers of it.
        input_name (str): the input that `>>` from the left reaches.
        output_name (str): the output that `>>` to the right leaves from.
    """

    def __init__(self, layer: LayerDetails, input_name: str = 'default',
                 output_name: str = 'default'):
        self.layer = layer
        self.input_name = input_name
        self.output_name = output_name

    @classmethod
    def create(cls, layer_type: str | type, name: str | None = None,
               **kwargs: Any) -> 'ConstructionWrapper':
        """A new layer that is not wired yet.

        Args:
            layer_type (str | type): name of a layer type ('FullyConnected') or a subclass of
                `Layer` whose name ends in 'LayerImpl'.
            name (str | None): name of the layer; None: the name of its type.
            kwargs: arguments of the layer, anything that JSON can hold.

        Raises:
            LayerValidationError: the name is taken by a meaning of its own or no identifier.
            TypeError: an argument cannot be described.
        """
        if isinstance(layer_type, type):
            if not layer_type.__name__.endswith('LayerImpl'):
                raise TypeError(f"the class {layer_type.__name__} is no layer: "
                                "its name must end in 'LayerImpl'")
            layer_type = layer_type.__name__[:-len('LayerImpl')]
        elif not isinstance(layer_type, str):
            raise TypeError(f"a layer type is a name or a class, not {layer_type!r}")
        if name is not None:
            check_layer_name(name, layer_type)
        kwargs = {key: _plain(value, f"{name or layer_type}: {key}")
                  for key, value in kwargs.items()}
        return cls(LayerDetails(layer_type, name or layer_type, kwargs))

    def __rshift__(self, other: 'ConstructionWrapper') -> 'ConstructionWrapper':
        if not isinstance(other, ConstructionWrapper):
            raise TypeError(f"{self!r} can be wired to a layer only, not to {other!r}")
        for start, output_name in self._exits():
            for end, input_name in other._entries():
                start.connect(output_name, end, input_name)
        return other

    def __sub__(self, output_name: str) -> 'ConstructionWrapper':
        if not isinstance(output_name, str):
            raise TypeError(f"an output of {self!r} is chosen by name, not by {output_name!r}")
        if not output_name.isidentifier() and not _WIRED_BUFFER.fullmatch(output_name):
            raise ValueError(f"{output_name!r} is no name of an output of {self!r}: it is neither "
                             "an identifier nor '..parameters.NAME' or '..internals.NAME'")
        return ConstructionWrapper(self.layer, self.input_name, output_name)

    def __rsub__(self, input_name: str) -> 'ConstructionWrapper':
        if not isinstance(input_name, str):
            raise TypeError(f"an input of {self!r} is chosen by name, not by {input_name!r}")
        if not input_name.isidentifier():
            raise ValueError(f"{input_name!r} is no name of an input of {self!r}: "
                             "it is no identifier")
        return ConstructionWrapper(self.layer, input_name, self.output_name)

    def _entries(self):
        """(LayerDetails, input name) of everything that wiring from the left reaches."""
        return [(self.layer, self.input_name)]

    def _exits(self):
        """(LayerDetails, output name) of everything that wiring to the right leaves from."""
        return [(self.layer, self.output_name)]

    def __repr__(self):
        return f"<Layer {self.layer.name!r} of type {self.layer.layer_type}>"


class BidirectionalWrapper(ConstructionWrapper):
    """Two copies of a layer that is not wired yet, one of which sees time reversed.

    The input `default` leads to the layer NAME_forward and, by way of the `Reverse` layer
    NAME_reversed_input, to NAME_backward, whose output the `Reverse` layer NAME_reverse turns back.
    The output joins NAME_forward and NAME_reverse, in this order. An input `mask` leads to both
    Reverse layers.
    """

    def __init__(self, layer):
        if type(layer) is not ConstructionWrapper:
            raise TypeError(f"Bidirectional takes a single layer, like Lstm(100), not {layer!r}")
        pattern = layer.layer
        name, kwargs = pattern.name, pattern.kwargs
        if pattern.neighbours:
            raise LayerValidationError(f"{name}: a layer that is wired already cannot be made "
                                       "bidirectional")
        forward = LayerDetails(pattern.layer_type, name + '_forward', kwargs)
        backward = LayerDetails(pattern.layer_type, name + '_backward', kwargs)
        reversed_input = LayerDetails('Reverse', name + '_reversed_input', {})
        reverse = LayerDetails('Reverse', name + '_reverse', {})
        reversed_input.connect('default', backward, 'default')
        backward.connect('default', reverse, 'default')
        super().__init__(forward)
        self._ends = [forward, reverse]
        self._inputs = {'default': [forward, reversed_input], 'mask': [reversed_input, reverse]}

    def __sub__(self, output_name):
        if output_name != 'default':
            raise ValueError(f"{self!r} has only the output 'default', not {output_name!r}")
        return self

    def __rsub__(self, input_name):
        if input_name not in self._inputs:
            raise ValueError(f"{self!r} has the inputs 'default' and 'mask', not {input_name!r}")
        other = copy.copy(self)
        other.input_name = input_name
        return other

    def _entries(self):
        return [(layer, self.input_name) for layer in self._inputs[self.input_name]]

    def _exits(self):
        return [(layer, 'default') for layer in self._ends]

    def __repr__(self):
        name = self.layer.name.removesuffix('_forward')
        return f"<Bidirectional {name!r} of type {self.layer.layer_type}>"


def check_layer_name(name, layer_type):
    """Raise LayerValidationError unless a layer of that type may be called so."""
    if not isinstance(name, str) or not name.isidentifier():
        raise LayerValidationError(f"the name of a layer must be a Python identifier, got {name!r}")
    if name in ('default', 'fallback') or (name == 'total_loss' and layer_type == 'Loss'):
        raise LayerValidationError(f"a layer of type {layer_type} must not be called {name!r}: "
                                   "the name has a meaning of its own")


def _plain(value, owner):
    """The value with numpy's types replaced by Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(entry, owner) for entry in value)
    if isinstance(value, dict):
        return {key: _plain(entry, owner) for key, entry in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{owner} cannot be part of an architecture: {value!r} of type "
                    f"{type(value).__name__}")
