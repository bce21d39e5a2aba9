"""Layers as Python sees them: the base class for layers of your own, and the built-in ones."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from brainstorm import _core
from brainstorm.structure.architecture import Connection
from brainstorm.structure.buffer_structure import BufferStructure, StructureTemplate
from brainstorm.structure.buffer_views import BufferView
from brainstorm.structure.layout import CATEGORIES
from brainstorm.utils import LayerValidationError, list_names

__all__ = ['BuiltinLayer', 'Layer', 'find_layer_type', 'get_layer_class_from_typename']

Shapes = Mapping[str, BufferStructure]

_layer_classes: dict[str, type['Layer']] = {}
_OLD_TYPE_NAMES = {'SquaredLoss': 'SquaredError'}


class Layer:
    """Base class of layers that are written in Python.

    A subclass whose name ends in 'LayerImpl' can be used in architectures under the rest of its
    name. Defining it again under the same name replaces it.

    Args:
        name (str): name of the layer.
        in_shapes (dict[str, BufferStructure]): shapes of the inputs.
        incoming_connections (set[Connection]): wires that end here.
        outgoing_connections (set[Connection]): wires that start here.
        kwargs: arguments of the layer.

    Attributes:
        name, in_shapes, kwargs: as above.
        incoming, outgoing: the connections.
        out_shapes, parameter_shapes, internal_shapes (OrderedDict[str, BufferStructure]): what
            `setup` returned.
        handler: what computes; set before any pass.

    Raises:
        LayerValidationError: unknown arguments, inputs that do not match `expected_inputs`, or
            names in a class attribute that the layer does not have.
    """

    expected_inputs = {'default': StructureTemplate('...')}
    """Names and templates of all inputs."""

    expected_kwargs: Collection[str] = {}
    """Names of the arguments that `setup` understands."""

    computes_no_input_deltas_for = ()
    """List of the inputs into which no deltas flow."""

    computes_no_gradients_for = ()
    """List of the parameters that have no gradient."""

    takes_no_output_deltas_from = ()
    """List of the outputs whose deltas `backward_pass` does not read. This tells readers and checks
    of the layer that the inputs get no deltas by way of them; networks run the same without it."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.__name__.endswith('LayerImpl'):
            _layer_classes[cls.__name__] = cls

    def __init__(self, name: str, in_shapes: Shapes, incoming_connections: set[Connection],
                 outgoing_connections: set[Connection], **kwargs: Any):
        self.name = name
        self.in_shapes = in_shapes
        self.incoming = incoming_connections
        self.outgoing = outgoing_connections
        self.kwargs = kwargs
        self.handler = None
        self._check_kwargs()
        self._check_inputs()
        shapes = self.setup(kwargs, in_shapes)
        if not isinstance(shapes, tuple) or len(shapes) != 3:
            raise LayerValidationError(f"{name}: setup must return (outputs, parameters, "
                                       f"internals), got {shapes!r}")
        for mapping in shapes:
            self._check_structures(mapping)
        self.out_shapes, self.parameter_shapes, self.internal_shapes = shapes
        self._check_names('computes_no_input_deltas_for', 'inputs', self.in_shapes)
        self._check_names('computes_no_gradients_for', 'parameters', self.parameter_shapes)
        self._check_names('takes_no_output_deltas_from', 'outputs', self.out_shapes)

    def setup(self, kwargs: dict[str, Any], in_shapes: Shapes) -> tuple[Shapes, Shapes, Shapes]:
        """Declare the buffers: OrderedDicts of BufferStructure (outputs, parameters, internals).

        `kwargs` are the arguments of the layer, `in_shapes` the BufferStructures of its inputs.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define "
                                  "setup(kwargs, in_shapes)")

    def set_handler(self, new_handler: Any) -> None:
        """Compute with this handler from now on."""
        self.handler = new_handler

    def forward_pass(self, buffers: BufferView, training_pass: bool = True) -> None:
        """Set the outputs (and internals) from the inputs and parameters.

        `buffers` has the views inputs, outputs, parameters and internals.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward_pass")

    def backward_pass(self, buffers: BufferView) -> None:
        """Add to the input deltas and to the gradients, from the output deltas.

        `buffers` has the views of the forward pass and input_deltas, output_deltas and gradients.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward_pass")

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r}>"

    def _check_kwargs(self):
        for argument in self.kwargs:
            if argument not in self.expected_kwargs:
                raise LayerValidationError(f"{self.name}: unknown argument {argument!r}; "
                                           + list_names('there are', argument,
                                                        self.expected_kwargs))

    def _check_inputs(self):
        for port in self.in_shapes:
            if port not in self.expected_inputs:
                raise LayerValidationError(f"{self.name}: there is no input {port!r}; "
                                           + list_names('there are', port, self.expected_inputs))
        for port, template in self.expected_inputs.items():
            if port not in self.in_shapes:
                raise LayerValidationError(f"{self.name}: nothing is wired to the input {port!r}")
            if not template.matches(self.in_shapes[port]):
                raise LayerValidationError(
                    f"{self.name}: the input {port!r} takes shapes like {template.shape}, "
                    f"got {self.in_shapes[port].shape}")

    def _check_structures(self, mapping):
        if not isinstance(mapping, Mapping) or not all(
                isinstance(structure, BufferStructure) for structure in mapping.values()):
            raise LayerValidationError(f"{self.name}: shapes must be mappings of names to "
                                       f"BufferStructure, got {mapping!r}")
        for name in mapping:
            if not isinstance(name, str) or not name.isidentifier():
                raise LayerValidationError(f"{self.name}: the name of a buffer must be an "
                                           f"identifier, got {name!r}")

    def _check_names(self, attribute, kind, choices):
        names = getattr(self, attribute)
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise LayerValidationError(f"{self.name}: {attribute} must be a list of names of "
                                       f"{kind}, got {names!r}")
        for name in names:
            if name not in choices:
                raise LayerValidationError(f"{self.name}: {attribute} has {name!r}; "
                                           + list_names(f'the {kind} are', name, choices))


class BuiltinLayer(Layer):
    """Base class of the built-in layers, which the engine computes.

    In a network the engine runs them without a call into Python. By themselves they can be run on a
    view of buffers, as a network's `net.buffer[name]` or `BufferManager.views[name]`: everything is
    copied in and out.
    """

    type = None
    """Name of the layer type, the class name without 'LayerImpl'."""

    def __init__(self, name, in_shapes, incoming_connections, outgoing_connections, **kwargs):
        self.name = name
        self._check_structures(in_shapes)
        self.in_shapes = in_shapes
        self.kwargs = kwargs
        self._describe_as(self._core.info, incoming_connections, outgoing_connections)

    @classmethod
    def of_network(cls, info, incoming_connections, outgoing_connections):
        """The layer of a network that the engine describes by `info`."""
        layer = cls.__new__(cls)
        layer._describe_as(info, incoming_connections, outgoing_connections)
        return layer

    @cached_property
    def _core(self):
        """What runs this layer by itself. One of a network hardly ever needs it."""
        return _core.Layer(self.type, self.name, {
            port: structure.spec for port, structure in self.in_shapes.items()}, self.kwargs)

    def _describe_as(self, info, incoming_connections, outgoing_connections):
        self.name = info['name']
        self.incoming = incoming_connections
        self.outgoing = outgoing_connections
        self.handler = None
        self.kwargs = info['kwargs']
        self.in_shapes = structures_from_specs(info['in_shapes'])
        self.out_shapes = structures_from_specs(info['out_shapes'])
        self.parameter_shapes = structures_from_specs(info['parameter_shapes'])
        self.internal_shapes = structures_from_specs(info['internal_shapes'])
        self.computes_no_input_deltas_for = info['inputs_without_deltas']
        self.computes_no_gradients_for = info['without_gradient']
        self.takes_no_output_deltas_from = info['outputs_without_deltas']

    def forward_pass(self, buffers, training_pass=True):
        """Set outputs and internals (and BatchNorm its running statistics)."""
        self._run(buffers, ('inputs', 'outputs', 'parameters', 'internals'),
                  ('outputs', 'parameters', 'internals'), training_pass)

    def backward_pass(self, buffers):
        """Add to the input deltas and to the gradients."""
        self._run(buffers, CATEGORIES,
                  ('internals', 'input_deltas', 'output_deltas', 'gradients'))

    def _run(self, buffers, read, written, *training_pass):
        if self.handler is None:
            raise LayerValidationError(f"{self.name}: set_handler must come before a pass")
        leaves, sizes = {}, {'T': 1, 'B': 1}
        for leaf, category, name, (shape, context_size, is_backward_only) in self._core.leaves:
            if category not in read or (is_backward_only and training_pass):
                continue
            array = buffers[category][name]
            if len(array.shape) != len(shape):
                raise LayerValidationError(f"layer '{self.name}': {category}.{name} has shape "
                                           f"{array.shape}, expected {shape}")
            leaves[leaf] = category, array
            sizes.update(zip(shape, array.shape))
            if context_size:
                sizes['T'] -= context_size
        arrays = {leaf: self.handler.get_numpy_copy(array) for leaf, (_, array) in leaves.items()}
        run = self._core.forward if training_pass else self._core.backward
        results = run(self.handler, sizes['T'], sizes['B'], arrays, *training_pass)
        for leaf, (category, array) in leaves.items():
            if category in written:
                self.handler.set_from_numpy(array, results[leaf])

    def __repr__(self):
        return f"<{self.type} layer {self.name!r}>"


def _define_builtin(type_name, description):
    """The class of a built-in layer."""
    ports = {port: StructureTemplate(*(int(word) if word.isdigit() else word if word in 'TB' or
                                       word == '...' else 'F' for word in template.split()))
             for port, template in description['inputs']}
    return type(type_name + 'LayerImpl', (BuiltinLayer,), {
        '__doc__': f"The layer that `brainstorm.layers.{type_name}` describes, by itself.",
        '__module__': __name__, 'type': type_name, 'expected_inputs': ports,
        'expected_kwargs': tuple(description['options'])})


builtin_layers = {type_name + 'LayerImpl': _define_builtin(type_name, description)
                  for type_name, description in _core.layer_types.items()}
"""The classes of the built-in layers by name."""


def is_builtin(layer_class):
    """Whether the engine runs layers of this class itself; a subclass is run by its own methods."""
    return builtin_layers.get(layer_class.__name__) is layer_class


def layer_from_info(info, incoming, outgoing):
    """The object of a built-in layer that stands in a network."""
    return builtin_layers[info['type'] + 'LayerImpl'].of_network(info, incoming, outgoing)


def structures_from_specs(specs):
    """BufferStructures from the tuples (shape, context_size, is_backward_only) of the engine."""
    return {name: BufferStructure(*shape, context_size=context_size,
                                  is_backward_only=is_backward_only)
            for name, (shape, context_size, is_backward_only) in specs.items()}


def get_layer_class_from_typename(typename):
    """The layer class that was defined last under this name, for example 'LstmLayerImpl'.

    Raises TypeError naming the classes that exist.
    """
    if typename not in _layer_classes:
        raise TypeError(f"there is no layer class {typename!r}; "
                        + list_names('there are', typename, sorted(_layer_classes)))
    return _layer_classes[typename]


def find_layer_type(name, type_name):
    """The layer class that an architecture's '@type' stands for.

    Raises LayerValidationError naming the layer and the types that exist.
    """
    class_name = _OLD_TYPE_NAMES.get(type_name, type_name) + 'LayerImpl'
    if class_name in _layer_classes:
        return _layer_classes[class_name]
    types = sorted(known[:-len('LayerImpl')] for known in _layer_classes)
    raise LayerValidationError(f"{name}: there is no layer type {type_name!r}; "
                               + list_names('there are', type_name, types))


def python_layer_factory(layer_class, name, kwargs, incoming, outgoing, handler, get_buffers):
    """What `_core.Network` makes a layer from that is written in Python.

    Args:
        get_buffers (Callable): gives the BufferView of the layer; called during passes only.
    """
    def make(in_specs):
        with _telling_where(f"in the setup of layer '{name}'"):
            layer = layer_class(name, structures_from_specs(in_specs), incoming, outgoing,
                                **kwargs)
        layer.set_handler(handler)

        def forward(training_pass):
            with _telling_where(f"in the forward pass of layer '{name}'"):
                layer.forward_pass(get_buffers(), training_pass)

        def backward():
            with _telling_where(f"in the backward pass of layer '{name}'"):
                layer.backward_pass(get_buffers())

        specs = [{key: structure.spec for key, structure in shapes.items()}
                 for shapes in (layer.out_shapes, layer.parameter_shapes, layer.internal_shapes)]
        return (layer, tuple(layer.computes_no_input_deltas_for),
                tuple(layer.computes_no_gradients_for), *specs, forward, backward)
    return make


@contextmanager
def _telling_where(text):
    """An exception from inside is noted with the text and goes on its way."""
    try:
        yield
    except BaseException as error:
        if hasattr(error, 'add_note'):
            error.add_note(text)
        else:  # Python 3.10 has no notes: the exception that all others follow tells it
            first = error
            while first.__context__ is not None:
                first = first.__context__
            first.__context__ = RuntimeError(text)
        raise
