import json
from collections import OrderedDict

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.describable import Describable, create_from_description, get_description
from brainstorm.training import schedules


class Point(Describable):
    __undescribed__ = {'cache': 7}
    __default_values__ = {'y': 0}

    def __init__(self, x, y=0):
        self.x = x
        self.y = y
        self.cache = 'used'


class Labelled(Point):
    __undescribed__ = {'secret'}

    def __init__(self, x):
        super().__init__(x)
        self.secret = 1

    def __init_from_description__(self, description):
        self.members = sorted(description)


def test_basic_values_describe_themselves():
    for value in (1, 2.5, True, None, 'text', [1, [2]], {'a': {'b': [1]}}):
        assert get_description(value) == value
        assert create_from_description(value) == value


def test_tuples_arrays_and_numpy_floats_become_json():
    value = {'a': (1, 2), 'b': np.array([[1, 2]]), 'c': np.float64(0.5)}
    assert get_description(value) == {'a': [1, 2], 'b': [[1, 2]], 'c': 0.5}
    json.dumps(get_description(value))


@pytest.mark.parametrize('value', [{1, 2}, b'bytes', np.float32(1), np.int64(1), object(),
                                   {1: 'a'}, [object()]])
def test_what_cannot_be_described_is_refused(value):
    with pytest.raises(TypeError, match='cannot describe'):
        get_description(value)


def test_members_defaults_and_undescribed():
    assert get_description(Point(1)) == {'@type': 'Point', 'x': 1}
    assert get_description(Point(1, y=3)) == {'@type': 'Point', 'x': 1, 'y': 3}


def test_created_objects_get_members_defaults_and_initial_values():
    point = create_from_description({'@type': 'Point', 'x': [1, 2]})
    assert (point.x, point.y, point.cache) == ([1, 2], 0, 7)


def test_subclasses_inherit_and_are_told_the_description():
    labelled = create_from_description(get_description(Labelled(5)))
    assert type(labelled) is Labelled
    assert (labelled.x, labelled.y, labelled.cache) == (5, 0, 7)
    assert not hasattr(labelled, 'secret')
    assert labelled.members == ['@type', 'x']


def test_a_description_cannot_hide_a_method():
    with pytest.raises(TypeError, match='__describe__ is a method'):
        create_from_description({'@type': 'Point', 'x': 1, '__describe__': 3})


@pytest.mark.parametrize('type_name', ['Pointt', 5, None, ['Point']])
def test_unknown_types_are_named(type_name):
    with pytest.raises(TypeError, match='no describable class is called'):
        create_from_description({'@type': type_name})


def test_the_error_for_an_unknown_type_proposes_the_nearest():
    with pytest.raises(TypeError, match="'Gausian'; there are Gaussian,"):
        create_from_description({'@type': 'Gausian'})


@pytest.mark.parametrize('this, expected', [
    (bs.Gaussian(), {'@type': 'Gaussian', 'std': 0.1}),
    (bs.Gaussian(0.2, 1), {'@type': 'Gaussian', 'std': 0.2, 'mean': 1}),
    (bs.Uniform(0.3), {'@type': 'Uniform', 'low': -0.3, 'high': 0.3}),
    (bs.DenseSqrtFanIn(), {'@type': 'DenseSqrtFanIn'}),
    (bs.DenseSqrtFanInOut('tanh'), {'@type': 'DenseSqrtFanInOut', 'scale': 'tanh'}),
    (bs.EchoState(), {'@type': 'EchoState'}),
    (bs.Identity(), {'@type': 'Identity', 'scale': 1.0, 'std': 0.01, 'enforce_square': True}),
    (bs.Orthogonal(), {'@type': 'Orthogonal', 'scale': 1.0}),
    (bs.RandomWalk('rel'), {'@type': 'RandomWalk', 'act_func': 'rel'}),
    (bs.ArrayInitializer([[1, 2]]), [[1.0, 2.0]]),
    (bs.SparseInputs(bs.Gaussian(), 3),
     {'@type': 'SparseInputs', 'sub_initializer': {'@type': 'Gaussian', 'std': 0.1},
      'connections': 3}),
    (bs.LstmOptInit(1.0),
     {'@type': 'LstmOptInit', 'block_input': 1.0, 'input_gate': 0.0, 'forget_gate': 0.0,
      'output_gate': 0.0}),
    (bs.ClipValues(), {'@type': 'ClipValues', 'low': -1.0, 'high': 1.0}),
    (bs.ConstrainL2Norm(2), {'@type': 'ConstrainL2Norm', 'limit': 2}),
    (bs.MaskValues([[0, 1]]), {'@type': 'MaskValues', 'mask': [[0.0, 1.0]]}),
    (bs.FreezeValues(), {'@type': 'FreezeValues', 'weights': None}),
    (bs.value_modifiers.L2Decay(0.1), {'@type': 'L2Decay', 'factor': 0.1}),
    (bs.training.SgdStepper(0.5), {'@type': 'SgdStepper', 'learning_rate': 0.5}),
    (bs.training.MomentumStepper(0.5, 0.9),
     {'@type': 'MomentumStepper', 'learning_rate': 0.5, 'momentum': 0.9}),
    (bs.training.NesterovStepper(0.5, 0.9, False),
     {'@type': 'NesterovStepper', 'learning_rate': 0.5, 'momentum': 0.9,
      'scale_learning_rate': False}),
    (schedules.Linear(1, 0.5, 4),
     {'@type': 'Linear', 'initial_value': 1, 'final_value': 0.5, 'num_changes': 4}),
    (bs.scorers.Hamming(0.3, name='h'),
     {'@type': 'Hamming', 'threshold': 0.3, 'out_name': '', 'targets_name': 'targets',
      'mask_name': '', '__name__': 'h'}),
    (bs.hooks.EarlyStopper('v.A'),
     {'@type': 'EarlyStopper', 'log_name': 'v.A', 'criterion': 'min', 'priority': 0}),
    (bs.hooks.SaveBestNetwork('v.A', 'f', name='best', interval=2),
     {'@type': 'SaveBestNetwork', 'log_name': 'v.A', 'filename': 'f', 'criterion': 'max',
      'interval': 2, 'priority': 0}),
    (bs.handlers.NumpyHandler(np.float64), {'@type': 'NumpyHandler', 'dtype': 'float64'}),
], ids=lambda value: type(value).__name__)
def test_descriptions_of_the_package(this, expected):
    description = get_description(this)
    assert description == expected
    again = create_from_description(json.loads(json.dumps(description)))
    assert get_description(again) == expected


def test_a_trainer_keeps_its_hooks_in_order():
    trainer = bs.Trainer(bs.training.SgdStepper(0.2), verbose=False)
    trainer.train_scorers = [bs.scorers.Accuracy()]
    trainer.add_hook(bs.hooks.StopAfterEpoch(3, name='stop'))
    trainer.add_hook(bs.hooks.MonitorLoss('valid'))
    description = get_description(trainer)
    assert description['hooks']['stop']['priority'] == 1
    assert description['hooks']['MonitorLoss']['priority'] == 2
    reordered = dict(description, hooks=OrderedDict(reversed(description['hooks'].items())))
    again = create_from_description(json.loads(json.dumps(reordered)))
    assert list(again.hooks) == ['stop', 'MonitorLoss']
    assert [hook.__name__ for hook in again.hooks.values()] == ['stop', 'MonitorLoss']
    assert (again.logs, again.current_epoch_nr, again.verbose) == ({}, 0, False)


def test_wrong_members_fail_like_wrong_arguments():
    with pytest.raises(TypeError, match='unexpected keyword'):
        create_from_description({'@type': 'Gaussian', 'stdd': 1})
    with pytest.raises(TypeError, match='std must be a number'):
        create_from_description({'@type': 'Gaussian', 'std': 'big'})
    with pytest.raises(ValueError, match="'float32' or 'float64'"):
        create_from_description({'@type': 'NumpyHandler', 'dtype': 'int8'})
