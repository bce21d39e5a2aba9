"""Wrong arguments are refused where they are given: a walk over all names of the package.

What an argument takes is read from its type hint. Everything else must be refused with a message
that names owner and argument.
"""

import inspect
import types
import typing

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import (
    data_iterators, hooks, initializers, scorers, tools, training, value_modifiers)

from networks import mlp, random_batch

IMAGES = bs.Minibatches(2, default=np.zeros((3, 4, 5, 6, 2)))

NEEDED = {
    'array': [1.0], 'factor': 0.5, 'filename': 'file', 'final_value': 0.0, 'initial_value': 1.0,
    'iter': IMAGES, 'iter_name': 'valid', 'layer_name': 'H', 'limit': 1.0, 'log_name': 'a.b',
    'log_names': ['a.b'], 'mask': [1.0], 'max_epochs': 3, 'num_changes': 2,
    'prob_dict': {'default': 0.5}, 'run': type('Run', (), {'info': {}})(), 'schedule': print,
    'scorers': [scorers.Accuracy()], 'shape_dict': {}, 'size_dict': {'default': 1},
    'std_dict': {'default': 1.0}, 'stepper': training.SgdStepper(), 'steps': [1, 2],
    'sub_initializer': 1.0, 'T': 2, 'threshold': 0.5, 'values': [1.0, 2.0], 'vocab_size_dict': {},
}
"""Values for the arguments without a default."""

NAN = float('nan')
ODD = [None, 5, 1.5, True, NAN, 'abc', b'1', ['a'], {}, 1j, float, np.zeros(2), object()]
BASIC = {bool, int, float, str, type(None)}


def takes(kind, value):
    if kind is bool or not isinstance(value, bool):
        return isinstance(value, (int, float) if kind is float else kind) and value is not NAN
    return False


def public_classes():
    for module in (data_iterators, hooks, initializers, scorers, training, value_modifiers):
        for name in module.__all__:
            owner = getattr(module, name)
            if inspect.isclass(owner) and name not in ('ScoreKeeper', 'DataIterator'):
                yield owner


def arguments_of_basic_types():
    """(class, argument, types that it takes)"""
    for owner in public_classes():
        for argument, hint in typing.get_type_hints(owner.__init__).items():
            kinds = set(typing.get_args(hint)) if isinstance(hint, types.UnionType) else {hint}
            if argument != 'return' and kinds <= BASIC:
                yield owner, argument, kinds


def make(owner, **arguments):
    """An object of the class, of good arguments but for those that are given."""
    if owner is hooks.BokehVisualizer:
        pytest.importorskip('bokeh', reason='needs bokeh')
    needed = {name: NEEDED[name] for name, parameter in inspect.signature(owner).parameters.items()
              if parameter.default is parameter.empty and parameter.kind != parameter.VAR_KEYWORD}
    data = {'default': np.zeros((3, 4, 2))} if issubclass(owner, bs.DataIterator) \
        and 'iter' not in needed else {}
    return owner(**{**needed, **data, **arguments})


@pytest.mark.parametrize('owner', list(public_classes()))
def test_good_arguments_are_taken(owner):
    make(owner)


@pytest.mark.parametrize('owner, argument, kinds', list(arguments_of_basic_types()))
def test_constructors(owner, argument, kinds):
    for value in ODD:
        if not any(takes(kind, value) for kind in kinds):
            with pytest.raises((TypeError, ValueError),
                               match=rf'({owner.__name__}|RandomState): {argument}\b'):
                make(owner, **{argument: value})
                pytest.fail(f'{value!r} was taken')


DATA = np.zeros((1, 4, 6))


@pytest.mark.parametrize('call, text', [
    (lambda: bs.Hook(timescale='updates'), 'Hook: timescale must be one of update, epoch, got'),
    (lambda: bs.initializers.DenseSqrtFanIn('relu'), 'scale must be one of rel, tanh, .*relu'),
    (lambda: initializers.RandomWalk('tanh'), 'act_func must be one of linear, rel, got .tanh'),
    (lambda: initializers.LstmOptInit(forget_gate='big'), 'LstmOptInit: forget_gate .* got .big'),
    (lambda: initializers.SparseInputs({}), 'SparseInputs: sub_initializer must be a number'),
    (lambda: initializers.ArrayInitializer(['a']), 'ArrayInitializer: array .* real numbers'),
    (lambda: initializers.ArrayInitializer([[1], [1, 2]]), 'ArrayInitializer: array is no array'),
    (lambda: value_modifiers.MaskValues('5'), 'MaskValues: mask .* real numbers, got .*<U1'),
    (lambda: value_modifiers.FreezeValues([1j]), 'FreezeValues: weights .* real numbers'),
    (lambda: training.MultiStep(1.0, [1, 'b'], [1, 2]), r'MultiStep: steps\[1\] must be an int'),
    (lambda: training.MultiStep(1.0, [1], [None]), r'MultiStep: values\[0\] must be a number'),
    (lambda: training.MultiStep(1.0, 5, 6), 'MultiStep: steps must be a list of numbers, got 5'),
    (lambda: hooks.ModifyStepperAttribute('linear'), 'schedule must be callable .* got .linear'),
    (lambda: hooks.ModifyStepperAttribute(print, ''), 'attr_name is empty'),
    (lambda: hooks.StopOnNan(['a', 5]), r'StopOnNan: logs_to_check\[1\] must be a str, got 5'),
    (lambda: hooks.StopOnNan(5), 'logs_to_check must be a str or a list of them, got 5'),
    (lambda: bs.handlers.NumpyHandler(None), 'dtype must be float32 or float64, not None'),
])
def test_other_arguments_of_constructors(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call()


@pytest.mark.parametrize('call, text', [
    (lambda net: tools.evaluate(5, IMAGES), 'evaluate: network must be a Network, got 5'),
    (lambda net: tools.evaluate(net, IMAGES, out_name=5), 'evaluate: out_name must be a str'),
    (lambda net: tools.evaluate(net, IMAGES, mask_name=5), 'evaluate: mask_name must be a str'),
    (lambda net: tools.extract(5, IMAGES, []), 'extract: network must be a Network, got 5'),
    (lambda net: tools.extract(net, IMAGES, [5]), r'extract: buffer_names\[0\] must be a str'),
    (lambda net: tools.extract(net, IMAGES, 5), 'extract: buffer_names must be a str or a list'),
    (lambda net: tools.get_network_info('net'), 'get_network_info: network must be a Network'),
    (lambda net: tools.draw_network('net'), 'draw_network: network must be a Network'),
    (lambda net: tools.plot_logs({'a': [1]}, [5]), r'plot_logs: names\[0\] must be a str'),
    (lambda net: tools.shuffle_data(DATA, seed='one'), 'shuffle_data: seed must be an integer'),
    (lambda net: tools.split(DATA, ratios=('a', 'b')), 'split: ratios must be an array of real'),
    (lambda net: net.predict(DATA, out_name=5), 'predict: out_name must be a str, got 5'),
    (lambda net: net.save_as_hdf5(5), 'save_as_hdf5: filename must be a str or a path, got 5'),
    (lambda net: net.from_hdf5(5), 'from_hdf5: filename must be a str or a path, got 5'),
    (lambda net: net.initialize({'H': {'W': 'big'}}), "initialize: H.W must be a number.*'big'"),
    (lambda net: net.initialize('big'), "initialize: default must be a number.*got 'big'"),
    (lambda net: net.provide_external_data(DATA), 'data must be a dict of name: array'),
    (lambda net: initializers.evaluate_initializer('big', (2,)), 'evaluate_initializer: .*numbers'),
    (lambda net: bs.Trainer(training.SgdStepper()).evaluate(net.buffer), 'net must be a Network'),
    (lambda net: setattr(net, 'rnd', 5), 'Network: rnd must be a RandomState, got 5'),
    (lambda net: setattr(net.handler, 'rnd', 5), 'NumpyHandler: rnd must be a RandomState, got 5'),
])
def test_functions(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call(mlp())


@pytest.mark.parametrize('arguments, text', [
    ({'task_type': 'classify'}, "task_type must be one of classification, .*, got 'classify'"),
    ({'in_shape': 0}, 'in_shape must be an integer from 1, got 0'),
    ({'in_shape': 2.5}, 'in_shape must be an integer, got 2.5'),
    ({'out_shape': ()}, 'out_shape is empty'),
    ({'data_name': 5}, 'data_name must be a str, got 5'),
    ({'data_name': 'targets'}, "targets_name is 'targets', as another one is"),
    ({'mask_name': 'default'}, "mask_name is 'default', as another one is"),
    ({'mask_name': 5}, 'mask_name must be a str, got 5'),
    ({'use_conv': 'yes'}, "use_conv must be True or False, got 'yes'"),
])
def test_in_and_out_layers(arguments, text):
    good = {'task_type': 'classification', 'in_shape': 4, 'out_shape': 3}
    with pytest.raises((TypeError, ValueError), match=text):
        tools.get_in_out_layers(**{**good, **arguments})


def test_train_scorers_are_looked_at_before_the_first_update():
    trainer = bs.Trainer(training.SgdStepper(), verbose=False)
    trainer.train_scorers = [5]
    net, data = mlp(), bs.Minibatches(**random_batch())
    before = net.get('parameters')
    with pytest.raises(TypeError, match='train_scorers: scorer 0 must be a Scorer, got 5'):
        trainer.train(net, data)
    assert np.array_equal(net.get('parameters'), before)


def test_infinite_numbers_are_for_limits_only():
    for make_it in (lambda: bs.Gaussian(np.inf), lambda: training.SgdStepper(np.inf),
                    lambda: training.Linear(1, -np.inf, 3), lambda: bs.Orthogonal(np.inf)):
        with pytest.raises(ValueError, match='must be a number.*, got -?inf'):
            make_it()
    assert bs.ClipValues(-np.inf, np.inf).high == hooks.StopAfterEpoch(np.inf).max_epochs == np.inf
    assert training.Exponential(1, 2).maximum == hooks.EarlyStopper('a', np.inf).patience == np.inf


def test_numpy_scalars_are_numbers():
    assert bs.Minibatches(np.int32(2), np.bool_(False), default=DATA).batch_size == 2
    assert bs.Gaussian(np.float32(0.5)).std == 0.5
    assert training.SgdStepper(np.array(0.5)).learning_rate == 0.5
