"""Checks of layers, built-in ones and those of your own: `run_layer_tests`.

The loss of the finite differences is the sum of all outputs, each entry times a random weight;
these weights are the output deltas. The state before the first step is random as well.
"""

from typing import Any

import numpy as np

from brainstorm.handlers import NumpyHandler
from brainstorm.layers.base_layer import Layer
from brainstorm.structure.buffers import BufferManager
from brainstorm.structure.layout import create_layout
from brainstorm.utils import list_names

__all__ = ['get_test_configurations', 'run_layer_tests']

_CONFIGURATIONS = ((1, 1, 'tanh'), (4, 1, 'sigmoid'), (2, 3, 'rel'), (1, 3, 'linear'))
_KEYS = ('time_steps', 'batch_size', 'activation', 'inputs', 'parameters', 'output_deltas',
         'skip_inputs')
_SEED = 42
_STEP = 1e-6
_TOLERANCE = {'rtol': 1e-4, 'atol': 1e-6}


def get_test_configurations():
    """The four configurations that layers are tested in.

    Returns a list of new dicts with the keys `time_steps` and `batch_size` (int) and `activation`
    (str, for layers that have one).
    """
    return [dict(zip(_KEYS, configuration)) for configuration in _CONFIGURATIONS]


def run_layer_tests(layer: Layer, spec: dict[str, Any]) -> None:
    """Check that a layer obeys the laws of all layers.

    The laws, in float64 and for a training pass:

    * Input deltas and gradients equal finite differences. Where `computes_no_input_deltas_for` or
      `computes_no_gradients_for` says that there are none, nothing is written; deltas of
      `takes_no_output_deltas_from` play no part.
    * The backward pass adds to input deltas and gradients.
    * Nothing depends on what outputs and internals held before. (Context slots hold the state
      before the first step, or nothing if they are backward only; a backward-only internal `dNAME`,
      the partner of `NAME`, is zero.)
    * The passes leave inputs and parameters alone, but for parameters without a gradient.

    Inputs, parameters, states and output deltas are normally distributed, always the same.

    Args:
        layer (Layer): constructed by itself, with empty sets of connections. It gets another
            handler.
        spec (dict): `time_steps` and `batch_size`; and for layers that need it
            `inputs` and `parameters` ({name: numbers}, in place of random ones),
            `output_deltas` ({name: numbers}, likewise; these outputs count in any case),
            `skip_inputs` (names of inputs whose deltas are not meant to be derivatives).
            `activation` is for the caller.

    Raises:
        AssertionError: a law is broken; names layer, law and buffer, and the worst entry.
        ValueError: the spec has unknown keys or names, or numbers of a wrong shape.

    Example:
        >>> for spec in get_test_configurations():
        ...     layer = FullyConnectedLayerImpl(
        ...         'Hidden', {'default': BufferStructure('T', 'B', 5)}, set(), set(),
        ...         size=4, activation=spec['activation'])
        ...     run_layer_tests(layer, spec)
    """
    bench = _Bench(layer, spec)
    _check_derivatives(bench)
    _check_adding(bench)
    _check_stale_content(bench)
    _check_what_is_left_alone(bench)


# ---- the laws ----

def _check_derivatives(bench):
    results = bench.run()
    for source, partner in bench.partners.items():
        if source in bench.without_derivative:
            bench.compare('nothing is written where there is no derivative', partner,
                          results[partner], np.zeros_like(results[partner]))
        elif source not in bench.skipped:
            bench.compare('deltas and gradients equal finite differences', partner,
                          results[partner], bench.slopes(source))


def _check_adding(bench):
    alone = bench.run()
    before = {path: bench.draw(alone[path].shape) for path in bench.partners.values()}
    together = bench.run(before=before)
    for path in before:
        bench.compare('the backward pass adds to input deltas and gradients', path,
                      together[path], before[path] + alone[path])


def _check_stale_content(bench):
    expected, actual = bench.run(), bench.run(stale=np.nan)
    for path in (*bench.paths('outputs'), *bench.partners.values()):
        bench.compare('nothing depends on what outputs and internals held before', path,
                      actual[path], expected[path])


def _check_what_is_left_alone(bench):
    results = bench.run()
    changing = bench.name_paths('parameters', bench.layer.computes_no_gradients_for)
    for path in bench.partners:
        if path not in changing:
            bench.compare('the passes leave inputs and parameters alone', path,
                          results[path], bench.values[path])


# ---- the bench ----

class _Bench:
    """A layer on memory of its own, and all that it reads. Paths are like 'inputs.default'.

    Attributes:
        values: {path: numbers} of inputs, parameters and output deltas.
        partners: {path of an input or a parameter: path of what flows back into it}.
        without_derivative, skipped: paths of inputs and parameters.
    """

    def __init__(self, layer, spec):
        _check_names(layer, 'spec', spec, _KEYS)
        self.layer, self.rnd = layer, np.random.RandomState(_SEED)
        self.handler = NumpyHandler(np.float64, seed=_SEED)
        layer.set_handler(self.handler)
        hubs, layout = create_layout({layer.name: layer})
        self.memory = BufferManager(layout, hubs, self.handler)
        self.memory.resize(spec['time_steps'], spec['batch_size'])
        self.views = self.memory.views[layer.name]
        self.values = {}
        for category in ('inputs', 'parameters', 'output_deltas'):
            self._choose_values(category, spec.get(category, {}))
        self.context = self._draw_context()
        self.partners = {**dict(zip(self.paths('inputs'), self.paths('input_deltas'))),
                         **dict(zip(self.paths('parameters'), self.paths('gradients')))}
        self.without_derivative = {
            *self.name_paths('inputs', layer.computes_no_input_deltas_for),
            *self.name_paths('parameters', layer.computes_no_gradients_for)}
        self.skipped = self.name_paths('inputs', spec.get('skip_inputs', ()))
        _check_names(layer, 'skip_inputs', spec.get('skip_inputs', ()), self.views.inputs.keys())
        self.counting = set(self.views.outputs.keys()) - set(layer.takes_no_output_deltas_from)
        self.counting |= set(spec.get('output_deltas', {}))

    def draw(self, shape):
        return self.rnd.standard_normal(shape)

    def paths(self, category):
        return self.name_paths(category, self.views[category].keys())

    @staticmethod
    def name_paths(category, names):
        return [f'{category}.{name}' for name in names]

    def _choose_values(self, category, given):
        """The numbers of a category: those that are given, random ones for the rest."""
        _check_names(self.layer, category, given, self.views[category].keys())
        for name, view in self.views[category].items():
            numbers = np.array(given[name] if name in given else self.draw(view.shape), float)
            try:
                numbers = np.array(np.broadcast_to(numbers, view.shape))
            except ValueError:
                raise ValueError(f"{self.layer.name}: {category}[{name!r}] has the shape "
                                 f"{numbers.shape}, expected {view.shape}") from None
            if category == 'output_deltas':
                self._clear_slot(numbers, self.layer.out_shapes[name])
            self.values[f'{category}.{name}'] = numbers

    def _draw_context(self):
        return {layer: {category: {name: self.draw(state.shape) for name, state in states.items()}
                        for category, states in categories.items()}
                for layer, categories in self.memory.get_context().items()}

    def _clear_slot(self, numbers, structure):
        """There is nothing in the future of the last step."""
        if structure.context_size:
            numbers[self.memory.time_steps:] = 0

    # ---- passes ----

    def loss(self, values):
        """What the output deltas are the derivatives of, after a forward pass on these values."""
        self._fill(values, {}, None)
        self._forward()
        return sum(np.sum(values['output_deltas.' + name] * self._read('outputs.' + name))
                   for name in self.counting)

    def run(self, before={}, stale=None):
        """Numbers of all buffers by path after a forward and a backward pass.

        `before` is what stands in some input deltas and gradients, zero in the others; `stale` what
        stands in outputs and internals, by default random numbers.
        """
        self._fill(self.values, before, stale)
        self._forward()
        self.layer.backward_pass(self.views)
        return {path: self._read(path) for category in self.views.keys()
                for path in self.paths(category)}

    def slopes(self, path):
        """Finite differences of the loss by the entries of an input or a parameter."""
        slopes = np.empty_like(self.values[path])
        for i in np.ndindex(slopes.shape):
            losses = []
            for step in (_STEP, -_STEP):
                moved = self.values[path].copy()
                moved[i] += step
                losses.append(self.loss({**self.values, path: moved}))
            slopes[i] = (losses[0] - losses[1]) / (2 * _STEP)
        return slopes

    def _forward(self):
        self.handler.rnd.set_seed(_SEED)
        self.layer.forward_pass(self.views)

    def _fill(self, values, before, stale):
        for category in ('outputs', 'internals'):
            for path in self.paths(category):
                self._write(path, self._stale_numbers(path, stale))
        self.memory.apply_context(self.context)
        for path in self.partners.values():
            self._write(path, before.get(path, np.zeros(self.views[path].shape)))
        for path, numbers in values.items():
            self._write(path, numbers)

    def _stale_numbers(self, path, stale):
        shape = self.views[path].shape
        numbers = self.draw(shape) if stale is None else np.full(shape, stale)
        category, name = path.split('.')
        structure = self.layer.internal_shapes.get(name) if category == 'internals' else None
        if structure is not None and structure.is_backward_only:
            self._clear_slot(numbers, structure)
            if name[0] == 'd' and name[1:] in self.layer.internal_shapes:
                numbers[...] = 0
        return numbers

    def _read(self, path):
        return self.handler.get_numpy_copy(self.views[path])

    def _write(self, path, numbers):
        self.handler.set_from_numpy(self.views[path], numbers)

    def compare(self, law, path, actual, expected):
        """Raise the AssertionError unless all numbers are near; NaN is near to nothing."""
        near = np.isclose(actual, expected, **_TOLERANCE)
        if near.all():
            return
        error = np.where(near, 0, np.nan_to_num(np.abs(actual - expected), nan=np.inf))
        worst = np.unravel_index(np.argmax(error), error.shape)
        where = ', '.join(map(str, worst))
        raise AssertionError(
            f"{self.layer.name} ({type(self.layer).__name__}): {law}, but {path}[{where}] is "
            f"{actual[worst]:.8g}, expected {expected[worst]:.8g} "
            f"({np.sum(~near)} of {near.size} entries are wrong)")


def _check_names(layer, what, given, known):
    for name in given:
        if name not in known:
            raise ValueError(f"{layer.name}: {what} has {name!r}; "
                             + list_names('there are', name, known))
