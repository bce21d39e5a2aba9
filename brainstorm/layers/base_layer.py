"""Layers as Python sees them: the base class for layers of your own, and the built-in ones."""

from collections.abc import Iterable, Mapping

from brainstorm import _core
from brainstorm.structure.buffer_structure import BufferStructure, StructureTemplate
from brainstorm.utils import LayerValidationError, list_names

__all__ = ['BuiltinLayer', 'Layer', 'find_layer_type', 'get_layer_class_from_typename']

_layer_classes = {}
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

    expected_kwargs = {}
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

    def __init__(self, name, in_shapes, incoming_connections, outgoing_connections, **kwargs):
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

    def setup(self, kwargs, in_shapes):
        """Declare the buffers: OrderedDicts of BufferStructure (outputs, parameters, internals).

        `kwargs` are the arguments of the layer, `in_shapes` the BufferStructures of its inputs.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define "
                                  "setup(kwargs, in_shapes)")

    def set_handler(self, new_handler):
        """Compute with this handler from now on."""
        self.handler = new_handler

    def forward_pass(self, buffers, training_pass=True):
        """Set the outputs (and internals) from the inputs and parameters.

        `buffers` has the views inputs, outputs, parameters and internals.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward_pass")

    def backward_pass(self, buffers):
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
            raise LayerValidationError(f"{self.name}: setup must return three mappings of names "
                                       f"to BufferStructure, got {mapping!r}")

    def _check_names(self, attribute, kind, choices):
        names = getattr(self, attribute)
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise LayerValidationError(f"{self.name}: {attribute} must be a list of names of "
                                       f"{kind}, got {names!r}")
        for name in names:
            if name not in choices:
                raise LayerValidationError(f"{self.name}: {attribute} has {name!r}; "
                                           + list_names(f'the {kind} are', name, choices))


class BuiltinLayer:
    """A built-in layer of a network: what it is and how it is wired. The engine computes it.

    Attributes:
        name (str), type (str): what it is called and the name of its type.
        kwargs (dict): all arguments, also those left at their defaults.
        in_shapes, out_shapes, parameter_shapes, internal_shapes (dict[str, BufferStructure]):
            shapes of its buffers.
        incoming, outgoing (set[Connection]): wires that end and that start here.
        handler: what computes.
    """

    def __init__(self, info, incoming, outgoing, handler):
        self.name = info['name']
        self.type = info['type']
        self.kwargs = info['kwargs']
        self.in_shapes = structures_from_specs(info['in_shapes'])
        self.out_shapes = structures_from_specs(info['out_shapes'])
        self.parameter_shapes = structures_from_specs(info['parameter_shapes'])
        self.internal_shapes = structures_from_specs(info['internal_shapes'])
        self.incoming = incoming
        self.outgoing = outgoing
        self.handler = handler

    def set_handler(self, new_handler):
        """Told by the network that it computes with this handler from now on."""
        self.handler = new_handler

    def __repr__(self):
        return f"<{self.type} layer {self.name!r}>"


def structures_from_specs(specs):
    """BufferStructures from the tuples (shape, context_size, is_backward_only) of the engine."""
    return {name: BufferStructure(*shape, context_size=context_size,
                                  is_backward_only=is_backward_only)
            for name, (shape, context_size, is_backward_only) in specs.items()}


def get_layer_class_from_typename(typename):
    """The layer class that was defined last under this name, for example 'SquareLayerImpl'.

    Raises TypeError naming the classes that exist.
    """
    if typename not in _layer_classes:
        raise TypeError(f"there is no layer class {typename!r}; "
                        + list_names('there are', typename, sorted(_layer_classes)))
    return _layer_classes[typename]


def find_layer_type(name, type_name):
    """The layer class or the name of the built-in that an architecture's '@type' stands for.

    Raises LayerValidationError naming the layer and the types that exist.
    """
    type_name = _OLD_TYPE_NAMES.get(type_name, type_name)
    if type_name + 'LayerImpl' in _layer_classes:
        return _layer_classes[type_name + 'LayerImpl']
    if type_name in _core.layer_types:
        return type_name
    types = sorted(set(_core.layer_types)
                   | {class_name[:-len('LayerImpl')] for class_name in _layer_classes})
    raise LayerValidationError(f"{name}: there is no layer type {type_name!r}; "
                               + list_names('there are', type_name, types))


def python_layer_factory(layer_class, name, kwargs, incoming, outgoing, handler, get_buffers):
    """What `_core.Network` makes a layer from that is written in Python.

    Args:
        get_buffers (Callable): gives the BufferView of the layer; called during passes only.
    """
    def make(in_specs):
        layer = layer_class(name, structures_from_specs(in_specs), incoming, outgoing, **kwargs)
        layer.set_handler(handler)

        def forward(training_pass):
            layer.forward_pass(get_buffers(), training_pass)

        def backward():
            layer.backward_pass(get_buffers())

        specs = [{key: structure.spec for key, structure in shapes.items()}
                 for shapes in (layer.out_shapes, layer.parameter_shapes, layer.internal_shapes)]
        return (layer, tuple(layer.computes_no_input_deltas_for),
                tuple(layer.computes_no_gradients_for), *specs, forward, backward)
    return make
