"""brainstorm.tests.tools: every built-in layer passes, and layers with a fault are caught."""

import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.layers.base_layer import Layer
from brainstorm.structure.buffer_structure import BufferStructure
from brainstorm.tests.tools import get_test_configurations, run_layer_tests
from layer_cases import CASES, random_data

COMPUTING = [name for name in CASES if name != 'input']  # whose outputs come from outside
CONFIGURATIONS = get_test_configurations()
every_configuration = pytest.mark.parametrize(
    'spec', CONFIGURATIONS, ids=lambda spec: 'T{time_steps}B{batch_size}'.format(**spec))


def test_the_four_configurations():
    assert [tuple(spec.items()) for spec in CONFIGURATIONS] == [
        (('time_steps', T), ('batch_size', B), ('activation', name))
        for T, B, name in [(1, 1, 'tanh'), (4, 1, 'sigmoid'), (2, 3, 'rel'), (1, 3, 'linear')]]
    get_test_configurations()[0]['time_steps'] = 7
    assert get_test_configurations() == CONFIGURATIONS


def test_pytest_is_not_needed():
    subprocess.run([sys.executable, '-c', "import sys, brainstorm.tests.tools; "
                    "assert not {'pytest', '_pytest'} & set(sys.modules)"], check=True)


def alone(case, **kwargs):
    """The built-in layer of a case, by itself."""
    in_shapes = {port: BufferStructure('T', 'B', *shape) for port, shape in case['inputs'].items()}
    return getattr(layers, case['type'] + 'LayerImpl')(
        'L', in_shapes, set(), set(), **{**case['kwargs'], **kwargs})


def spec_for(case, spec):
    """The spec with the numbers that the layer of a case cannot do without."""
    rnd, size = np.random.RandomState(1), (spec['time_steps'], spec['batch_size'])
    special = {**case['ids'], **case.get('between', {})}
    spec = {**spec, 'inputs': {port: random_data(case, port, size + case['inputs'][port], rnd)
                               for port in special}}
    if case['type'] == 'DeltasScaling':
        spec['skip_inputs'] = ['default']
    if case['type'] == 'Loss':
        spec['output_deltas'] = {'loss': 1}
    return spec


@every_configuration
@pytest.mark.parametrize('name', COMPUTING)
def test_built_in_layers_obey_the_laws(name, spec):
    case = CASES[name]
    activation = {'activation': spec['activation']} if 'activation' in case['kwargs'] else {}
    run_layer_tests(alone(case, **activation), spec_for(case, spec))


class ScaleLayerImpl(Layer):
    """y = s * x + y', with a parameter s for every feature and y' the step before."""

    def setup(self, kwargs, in_shapes):
        size = in_shapes['default'].feature_size
        return (OrderedDict(y=BufferStructure('T', 'B', size, context_size=1)),
                OrderedDict(s=BufferStructure(size)),
                OrderedDict(x_seen=BufferStructure('T', 'B', size),
                            dy=BufferStructure('B', size, is_backward_only=True)))

    def forward_pass(self, buffers, training_pass=True):
        x, y, s = buffers.inputs.default, buffers.outputs.y, buffers.parameters.s
        self.handler.copy_to(x, buffers.internals.x_seen)
        for t in range(len(x)):
            y[t] = y[t - 1] + s * x[t]

    def backward_pass(self, buffers):
        total = buffers.internals.dy
        total[...] = 0
        for t in reversed(range(len(buffers.inputs.default))):
            total += buffers.output_deltas.y[t]
            buffers.input_deltas.default[t] += total * buffers.parameters.s
            buffers.gradients.s += (total * buffers.internals.x_seen[t]).sum(axis=0)


def custom(cls):
    return cls('Mine', {'default': BufferStructure('T', 'B', 3)}, set(), set())


@every_configuration
def test_a_right_layer_of_your_own_passes(spec):
    run_layer_tests(custom(ScaleLayerImpl), spec)


class WrongSignLayerImpl(ScaleLayerImpl):
    def backward_pass(self, buffers):
        super().backward_pass(buffers)
        buffers.input_deltas.default[...] *= -1


class SetsLayerImpl(ScaleLayerImpl):
    def backward_pass(self, buffers):
        buffers.gradients.s[...] = 0
        super().backward_pass(buffers)


class ForgetsLayerImpl(ScaleLayerImpl):
    def backward_pass(self, buffers):
        before = buffers.gradients.s.copy()
        super().backward_pass(buffers)
        buffers.gradients.s[...] = before


class ForgetsTheStateLayerImpl(Layer):
    """y = x * y'; the backward pass takes the state before the first step for zero."""

    def setup(self, kwargs, in_shapes):
        return {'y': BufferStructure('T', 'B', 3, context_size=1)}, {}, {}

    def forward_pass(self, buffers, training_pass=True):
        x, y = buffers.inputs.default, buffers.outputs.y
        for t in range(len(x)):
            y[t] = x[t] * y[t - 1]

    def backward_pass(self, buffers):
        x, y = buffers.inputs.default, buffers.outputs.y
        total = 0
        for t in reversed(range(1, len(x))):
            total = buffers.output_deltas.y[t] + total
            buffers.input_deltas.default[t] += total * y[t - 1]
            total = total * x[t]


class StaleInternalLayerImpl(ScaleLayerImpl):
    def backward_pass(self, buffers):
        kept = buffers.internals.dy.copy()
        super().backward_pass(buffers)
        buffers.input_deltas.default[0] += 0 * kept


class StaleOutputLayerImpl(ScaleLayerImpl):
    def forward_pass(self, buffers, training_pass=True):
        y = buffers.outputs.y[:1] * 0
        super().forward_pass(buffers, training_pass)
        buffers.outputs.y[:1] += y


class ChangesItsInputLayerImpl(ScaleLayerImpl):
    def forward_pass(self, buffers, training_pass=True):
        super().forward_pass(buffers, training_pass)
        buffers.inputs.default[...] *= 2


class ChangesAParameterLayerImpl(ScaleLayerImpl):
    def backward_pass(self, buffers):
        super().backward_pass(buffers)
        buffers.parameters.s[...] += 1


class WritesWhereNothingFlowsLayerImpl(ScaleLayerImpl):
    computes_no_input_deltas_for = ['default']


class ReadsWhatItSaysItDoesNotLayerImpl(ScaleLayerImpl):
    takes_no_output_deltas_from = ['y']


class NanLayerImpl(ScaleLayerImpl):
    def backward_pass(self, buffers):
        super().backward_pass(buffers)
        buffers.gradients.s[1] = np.nan


DERIVATIVES = 'deltas and gradients equal finite differences'
STALE = 'nothing depends on what outputs and internals held before'
ALONE = 'the passes leave inputs and parameters alone'


@every_configuration
@pytest.mark.parametrize('cls, law, path', [
    (WrongSignLayerImpl, DERIVATIVES, 'input_deltas.default'),
    (ForgetsLayerImpl, DERIVATIVES, 'gradients.s'),
    (ForgetsTheStateLayerImpl, DERIVATIVES, 'input_deltas.default'),
    (ReadsWhatItSaysItDoesNotLayerImpl, DERIVATIVES, 'input_deltas.default'),
    (NanLayerImpl, DERIVATIVES, 'gradients.s'),
    (SetsLayerImpl, 'the backward pass adds to input deltas and gradients', 'gradients.s'),
    (StaleInternalLayerImpl, STALE, 'input_deltas.default'),
    (StaleOutputLayerImpl, STALE, 'outputs.y'),
    (ChangesItsInputLayerImpl, ALONE, 'inputs.default'),
    (ChangesAParameterLayerImpl, ALONE, 'parameters.s'),
    (WritesWhereNothingFlowsLayerImpl, 'nothing is written where there is no derivative',
     'input_deltas.default'),
], ids=lambda value: getattr(value, '__name__', None))
def test_a_layer_with_a_fault_is_caught(cls, law, path, spec):
    with pytest.raises(AssertionError) as failure:
        run_layer_tests(custom(cls), spec)
    text = str(failure.value)
    assert text.startswith(f'Mine ({cls.__name__}): {law}, but {path}['), text


def test_the_worst_entry_is_told_with_both_numbers():
    spec = {'time_steps': 1, 'batch_size': 1, 'inputs': {'default': [1, 10, 2]},
            'parameters': {'s': 3}, 'output_deltas': {'y': [1, 4, 1]}}
    with pytest.raises(AssertionError, match=r'input_deltas.default\[0, 0, 1\] is -12, expected 12'
                       r'(\.0+\d*|) \(3 of 3 entries are wrong\)'):
        run_layer_tests(custom(WrongSignLayerImpl), spec)


@pytest.mark.parametrize('more, text', [
    ({'input': {}}, "Mine: spec has 'input'; there are inputs"),
    ({'inputs': {'x': 1}}, "Mine: inputs has 'x'; there are default"),
    ({'parameters': {'W': 1}}, "Mine: parameters has 'W'; there are s"),
    ({'output_deltas': {'default': 1}}, "Mine: output_deltas has 'default'; there are y"),
    ({'skip_inputs': ['y']}, "Mine: skip_inputs has 'y'; there are default"),
    ({'inputs': {'default': [1, 2]}}, r"Mine: inputs\['default'\] has the shape \(2,\), "
                                      r"expected \(2, 3, 3\)"),
])
def test_specs_are_checked(more, text):
    with pytest.raises(ValueError, match=text):
        run_layer_tests(custom(ScaleLayerImpl), {**CONFIGURATIONS[2], **more})


def test_the_layer_computes_in_float64_afterwards():
    layer = custom(ScaleLayerImpl)
    layer.set_handler(NumpyHandler(np.float32))
    run_layer_tests(layer, CONFIGURATIONS[0])
    assert layer.handler.dtype == np.float64
