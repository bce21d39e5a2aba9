"""Networks: a graph of layers with its memory, thin over the engine."""

import copy
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from brainstorm import _core
from brainstorm.checks import check_type
from brainstorm.describable import Describable, create_from_description, get_description
from brainstorm.handlers import default_handler
from brainstorm.handlers.base_handler import Handler
from brainstorm.initializers import initializer_from_description
from brainstorm.layers.base_layer import (
    find_layer_type, is_builtin, layer_from_info, python_layer_factory)
from brainstorm.randomness import RandomState, Seedable
from brainstorm.structure.architecture import (
    generate_architecture, get_connections, get_layer_kwargs)
from brainstorm.structure.buffer_views import BufferView
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.structure.context import collect_context, find_states
from brainstorm.structure.extraction import predict
from brainstorm.structure.network_file import load_network, save_network
from brainstorm.structure.network_summary import html_summary, text_summary
from brainstorm.structure.parameters import (
    apply_modifiers, as_initializers, evaluate_initializers, resolve_initializers,
    resolve_modifiers)
from brainstorm.structure.view_references import join_references
from brainstorm.utils import FileName, NetworkValidationError, list_names
from brainstorm.value_modifiers import GradientModifier, ValueModifier

__all__ = ['Network']


class Network(Seedable, Describable):
    """A network of layers: parameters, buffers, and the passes over them.

    `from_layer`, `from_architecture`, `from_hdf5` and `tools.create_net_from_spec` make networks.

    Args:
        architecture (dict): see `brainstorm.structure.architecture`.
        seed (int | None): seed of `rnd`; None draws one from `global_rnd`.
        handler: what computes; default: `default_handler`, float32 on the CPU.

    Attributes:
        architecture (dict): as given.
        layers (OrderedDict): the layers by name, in the order of execution.
        loss_layers (list[str]): names of the layers of type Loss.
        buffer (BufferView): all memory; see `get` for the paths.
        initializers (dict): what `initialize` was called with last.
        weight_modifiers, gradient_modifiers (OrderedDict): lists of modifiers by layer and
            parameter.
        output_name (str | None): path of the output that scorers compare with the targets.

    Raises:
        NetworkValidationError: the wires make no network.
        LayerValidationError: a layer cannot work with its arguments or inputs.
    """

    def __init__(self, architecture: dict[str, Any], seed: int | None = None,
                 handler: Handler = default_handler):
        super().__init__(seed)
        _require_handler(handler)
        self.architecture = copy.deepcopy(architecture)
        self.output_name: str | None = None
        self.initializers: dict[str, Any] = {}
        self.weight_modifiers: dict[str, Any] = OrderedDict()
        self.gradient_modifiers: dict[str, Any] = OrderedDict()
        self._handler = handler
        self._build()

    def _build(self):
        connections = get_connections(self.architecture)
        wires = {name: ({c for c in connections if c.end_layer == name},
                        {c for c in connections if c.start_layer == name})
                 for name in self.architecture}
        network = weakref.ref(self)
        layers = []
        for name, description in self.architecture.items():
            kwargs = get_layer_kwargs(description)
            layer_class = find_layer_type(name, description['@type'])
            if is_builtin(layer_class):
                made_by = layer_class.type
            else:
                made_by = python_layer_factory(
                    layer_class, name, kwargs, *wires[name], self._handler,
                    lambda name=name: network().buffer[name])
            layers.append((name, made_by, kwargs))
        self._core = _core.Network(layers, connections, self._handler, self.rnd.stream)
        self.buffer = BufferView(self._core.tree, _leaf_reader(self._core))
        self.layers = OrderedDict()
        for info in self._core.layer_infos():
            name = info['name']
            self.layers[name] = info['object'] or layer_from_info(info, *wires[name])
            self.layers[name].set_handler(self._handler)
        self.loss_layers = [name for name, layer in self.layers.items()
                            if is_builtin(type(layer)) and layer.type == 'Loss']

    # ---- making ----

    @classmethod
    def from_layer(cls, some_layer: ConstructionWrapper) -> 'Network':
        """The network of all layers that are wired to `some_layer`, directly or not."""
        return cls(generate_architecture(some_layer))

    @classmethod
    def from_architecture(cls, architecture: dict[str, Any]) -> 'Network':
        """The network of an architecture dict."""
        return cls(architecture)

    @classmethod
    def from_hdf5(cls, filename: FileName) -> 'Network':
        """Load a network from a file that `save_as_hdf5` wrote.

        If its handler cannot be opened here, a NumpyHandler of the same dtype takes its place,
        with a warning.

        Raises:
            OSError: the file cannot be read.
            ValidationError: it holds no network; the message names the file and what is wrong.
        """
        return load_network(cls, filename)

    def save_as_hdf5(self, filename: FileName, comment: str = '') -> None:
        """Save description and parameters to an HDF5 file.

        The file is complete or not there: an old file of that name stays until the new one is
        written.

        Args:
            filename (str | bytes | PathLike): its folder must exist.
            comment (str): kept in the file; without NUL characters.

        Raises:
            OSError: it cannot be written; the message names the file.
            TypeError, ValueError: the comment is no such text.
        """
        save_network(self, filename, comment)

    def __describe__(self):
        return {
            '@type': type(self).__name__,
            'architecture': get_description(self.architecture),
            'handler': get_description(self.handler),
            'initializers': get_description(self.initializers),
            'weight_modifiers': get_description(self.weight_modifiers),
            'gradient_modifiers': get_description(self.gradient_modifiers),
            'output_name': self.output_name,
        }

    @classmethod
    def __new_from_description__(cls, description):
        missing = {'architecture', 'handler'} - set(description)
        if missing:
            raise NetworkValidationError(f"the description lacks {', '.join(sorted(missing))}")
        net = cls.from_architecture(description['architecture'])
        net.set_handler(_open_handler(description['handler']))
        net.output_name = description.get('output_name')
        initializers = initializer_from_description(description.get('initializers', {}))
        if initializers:
            net.initialize(initializers)
        net.set_weight_modifiers(create_from_description(description.get('weight_modifiers', {})))
        net.set_gradient_modifiers(
            create_from_description(description.get('gradient_modifiers', {})))
        return net

    def __getstate__(self):
        state = {name: value for name, value in vars(self).items()
                 if name not in ('_core', 'buffer', 'layers', 'loss_layers')}
        state['parameters'] = self.get('parameters')
        return state

    def __setstate__(self, state):
        parameters = state.pop('parameters')
        vars(self).update(state)
        self._build()
        self._watch_gradients(self.gradient_modifiers)
        self.handler.set_from_numpy(self.buffer['parameters'], parameters)

    # ---- properties ----

    @property
    def handler(self) -> Handler:
        """What computes; changed by `set_handler`."""
        return self._handler

    @property
    def rnd(self) -> RandomState:
        """The RandomState of this network. Its seed is the key of the masks of Dropout."""
        return self._rnd

    @rnd.setter
    def rnd(self, rnd: RandomState) -> None:
        check_type('Network', 'rnd', rnd, RandomState)
        if hasattr(self, '_core'):
            self._core.stream = rnd.stream
        self._rnd = rnd

    @property
    def batch_size(self) -> int:
        """Number of sequences in the data that was provided last."""
        return self._core.batch_size

    @property
    def time_steps(self) -> int:
        """Number of time steps in the data that was provided last."""
        return self._core.time_steps

    def set_handler(self, new_handler: Handler) -> None:
        """Compute with another handler from now on.

        Only parameters and gradients move along. All other buffers are zero afterwards, so the
        data must be provided again before the next pass.

        Raises TypeError for a handler that is not one of the engine.
        """
        _require_handler(new_handler)
        self._core.set_handler(new_handler)
        self._handler = new_handler
        for layer in self.layers.values():
            layer.set_handler(new_handler)

    # ---- parameters ----

    def initialize(self, default_or_init_dict: Any = None, seed: int | None = None,
                   **kwargs: Any) -> None:
        """Fill all parameters.

        Args:
            default_or_init_dict: one value for all parameters, or a dict
                {LAYER_PATTERN: value or {PARAMETER_PATTERN: value}}, where a pattern may contain
                `*`. `default` on either level serves the parameters that no pattern matches, and
                `fallback` those for whose shape the initializer is unfit. A value is a number, an
                array of the parameter's shape or an Initializer.
            seed (int | None): makes the result reproducible; None draws one from `rnd`.
            kwargs: more patterns.

        Raises:
            NetworkValidationError: a pattern matches nothing, or a parameter does not have exactly
                one initializer.
            InitializationError: neither the initializer nor a fallback fits a parameter.

        Example:
            >>> net.initialize({'Hid*': {'W': Gaussian(0.1), 'bias': 0}, 'default': Uniform()})
        """
        references = as_initializers(join_references(default_or_init_dict, kwargs))
        resolved = resolve_initializers(self._parameter_names(), references)
        shapes = {name: layer.parameter_shapes for name, layer in self.layers.items()}
        values = evaluate_initializers(resolved, shapes, self.rnd.create_random_state(seed))
        for (layer, parameter), value in values.items():
            self.handler.set_from_numpy(self.buffer[layer]['parameters'][parameter],
                                        value.astype(self.handler.dtype))
        self.initializers = references

    def set_weight_modifiers(self, default_or_mod_dict: Any = None, **kwargs: Any) -> None:
        """Choose modifiers that a Trainer applies to the parameters after every update.

        Args:
            default_or_mod_dict: one value for all parameters, or a dict
                {LAYER_PATTERN: value or {PARAMETER_PATTERN: value}} as for `initialize`, without
                `fallback`. A value is a ValueModifier or a list of them. All patterns that match a
                parameter apply, in order; each parameter gets its own copies. Without any value
                no modifiers are left.
            kwargs: more patterns.

        Raises:
            NetworkValidationError: a pattern matches nothing, or is `fallback`.
            TypeError: a value is no ValueModifier.
        """
        self.weight_modifiers = resolve_modifiers(
            self._parameter_names(), join_references(default_or_mod_dict, kwargs), ValueModifier)

    set_constraints = set_weight_modifiers

    def set_gradient_modifiers(self, default_or_mod_dict: Any = None, **kwargs: Any) -> None:
        """Choose modifiers that every backward pass ends with.

        As `set_weight_modifiers`; a value may also be a GradientModifier.
        """
        modifiers = resolve_modifiers(
            self._parameter_names(), join_references(default_or_mod_dict, kwargs),
            (ValueModifier, GradientModifier))
        self._watch_gradients(modifiers)
        self.gradient_modifiers = modifiers

    def apply_weight_modifiers(self) -> None:
        """Apply the weight modifiers once."""
        self._apply(self.weight_modifiers, 'parameters')

    def apply_gradient_modifiers(self) -> None:
        """Apply the gradient modifiers once."""
        self._apply(self.gradient_modifiers, 'gradients')

    def _parameter_names(self):
        return {name: list(layer.parameter_shapes) for name, layer in self.layers.items()}

    def _apply(self, modifiers, kind):
        """Have modifiers change the buffers of a kind: 'parameters' or 'gradients'."""
        for layer, parameters in modifiers.items():
            views = self.buffer[layer]
            for parameter, chosen in parameters.items():
                apply_modifiers(f'{layer}.{parameter}', chosen, self.rnd, self.handler,
                                views['parameters'][parameter], views[kind][parameter])

    def _watch_gradients(self, modifiers):
        """Have the engine call back after each backward pass if there are any modifiers."""
        apply = weakref.WeakMethod(self.apply_gradient_modifiers)
        self._core.gradient_hook = (lambda: apply()()) if modifiers else None

    # ---- running ----

    def provide_external_data(self, data: Mapping[str, Any], all_inputs: bool = True) -> None:
        """Copy data into the outputs of the Input layer.

        Args:
            data (dict): arrays (T, B, ...) by name. One time step beside longer items stands for
                every step. Names that are no inputs are ignored.
            all_inputs (bool): raise if an input is missing; otherwise it keeps what it holds, or
                is zero if the number of time steps or sequences has changed.
        """
        self._core.provide_external_data(data, all_inputs)

    def forward_pass(self, training_pass: bool = False,
                     context: dict[str, Any] | None = None) -> None:
        """Compute all outputs from the provided data.

        Args:
            training_pass (bool): some layers, like Dropout, act in training only.
            context (dict | None): what `get_context` gave after the previous part of the
                sequences, to go on from there; None: they start here.

        Raises:
            TypeError: the context is not made of such dicts.
            NetworkValidationError: it names a layer or state that is not there.
        """
        states = None if context is None \
            else find_states(context, self._core.context_leaves(), self.layers)
        self._core.forward_pass(training_pass, states)

    def backward_pass(self) -> None:
        """Compute all deltas and gradients of the last forward pass, then modify the gradients."""
        self._core.backward_pass()

    def get_loss_values(self) -> dict[str, float]:
        """Dict of the losses of the last forward pass.

        A single Loss is called `total_loss`; several have their own names, and `total_loss` is
        their sum.
        """
        return self._core.get_loss_values()

    def get_context(self) -> dict[str, Any]:
        """The state after the last step of the last forward pass.

        Returns {layer: {'outputs' or 'internals': {name: numpy array (1, B, ...)}}} for
        `forward_pass(context=...)`.
        """
        paths = [path for *path, _ in self._core.context_leaves()]
        return collect_context(
            self.handler, self._core.time_steps,
            ((path, self.buffer['.'.join(path)]) for path in paths))

    def get(self, buffer_path: str) -> np.ndarray:
        """A numpy copy of a buffer.

        Args:
            buffer_path (str): 'parameters', 'gradients' or 'LAYER.VIEW.NAME', where VIEW is one of
                inputs, outputs, parameters, internals, input_deltas, output_deltas, gradients.

        Raises:
            KeyError: there is no such buffer; names those that are there.
        """
        leaf = self.buffer[buffer_path]
        if isinstance(leaf, BufferView):
            raise KeyError(f"{buffer_path!r} is no single buffer; "
                           + list_names('it holds', '', leaf.keys()))
        return self.handler.get_numpy_copy(leaf)

    def get_input(self, input_name: str) -> np.ndarray:
        """A numpy copy of the data that was provided last under this name."""
        return self.get(f'Input.outputs.{input_name}')

    get_inputs = get_input

    def predict(self, x: Any, batch_size: int | None = None, out_name: str = '',
                data_name: str = 'default') -> np.ndarray:
        """The output of the network for data of any length.

        The data runs through the network in batches, so that its memory never grows beyond one.

        Args:
            x: array or h5py dataset (T, N, ...), or a dict of such by name of the input; or a
                DataIterator, whose batches are joined in the order in which it yields them.
                Inputs that are not among them, like targets, are zero.
            batch_size (int | None): sequences per batch. None: as many as the network ran with
                last, but at least 100. A DataIterator has its own.
            out_name (str): path of the output; empty: `output_name`, or the only output called
                `predictions`.
            data_name (str): name of the input that an array is for.

        Returns:
            numpy.ndarray: (T, N, ...), in the dtype of the handler; (1, N, ...) of an output
            without time. Batches that were cut shorter than others are filled up with zeros.

        Raises:
            KeyError, ValueError: there is no such output or input, or the data does not fit.
        """
        return predict(self, x, batch_size, out_name, data_name)

    def summary(self) -> str:
        """A table as text: name, type, shapes of the outputs, parameters and bytes of each layer.

        The bytes are those of parameters, outputs and internals at the present size; deltas and
        gradients come to about the same again.
        """
        return text_summary(self)

    def _repr_html_(self):
        return html_summary(self)

    def __repr__(self):
        return f"<Network of {len(self.architecture)} layers: {', '.join(self.architecture)}>"


def _leaf_reader(core):
    """A function that gives the array of a leaf as the handler in use shows it."""
    return lambda leaf: core.handler.wrap_leaf(core.leaf(leaf))


def _open_handler(description):
    """The described handler, or a NumpyHandler of the same dtype if it cannot be opened here."""
    try:
        return create_from_description(description)
    except (ImportError, RuntimeError) as error:
        warnings.warn(f"{description.get('@type')} cannot be opened ({error}); "
                      "a NumpyHandler of the same dtype takes its place")
        while 'handler' in description:  # a DebugHandler has the dtype of what it wraps
            description = description['handler']
        return create_from_description(
            {'@type': 'NumpyHandler', 'dtype': description.get('dtype', 'float32')})


def _require_handler(handler):
    if not isinstance(handler, _core.Handler):
        raise TypeError("a network runs on a handler of the engine, like NumpyHandler(), not on "
                        f"{handler!r}: handlers written in Python cannot run its layers")
