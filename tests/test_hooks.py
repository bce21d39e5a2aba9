import copy
import math
import pickle
import sys
from collections import OrderedDict

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import hooks
from brainstorm.handlers import NumpyHandler
from networks import mlp, random_batch


def call(hook, logs=(), epoch_nr=1, update_nr=1, net=None, stepper=None):
    return hook(epoch_nr=epoch_nr, update_nr=update_nr, net=net, stepper=stepper,
                logs=dict(logs))


def stops(hook, *args, **kwargs):
    try:
        call(hook, *args, **kwargs)
    except StopIteration as stop:
        assert stop.value is None
        return True
    return False


# ---- base ----


def test_names_and_verbosity(capsys):
    class Mine(bs.Hook):
        pass
    hook = Mine()
    assert hook.__name__ == 'Mine'
    assert (hook.timescale, hook.interval, hook.verbose, hook.priority) == ('epoch', 1, None, 0)
    hook = Mine(name='my hook', verbose=True)
    hook.start(None, None, False, {})
    hook.message('hello')
    assert capsys.readouterr().out == 'my hook >> hello\n'
    hook = Mine()
    hook.start(None, None, False, {})
    hook.message('hello')
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize('make, error, text', [
    (lambda: bs.Hook(timescale='batch'), ValueError, "must be one of epoch, update, got 'batch'"),
    (lambda: bs.Hook(interval=0), ValueError, 'interval'),
    (lambda: bs.Hook(interval=1.5), TypeError, 'interval'),
    (lambda: hooks.EarlyStopper('a', criterion='best'), ValueError, "one of min, max, got 'best'"),
    (lambda: hooks.SaveBestNetwork('a', criterion='avg'), ValueError, "'avg'"),
    (lambda: hooks.StopAfterThresholdReached('a', 1, 'x'), ValueError, "'x'"),
    (lambda: hooks.StopAfterThresholdReached('a', 'b'), TypeError, 'threshold'),
    (lambda: hooks.StopAfterEpoch('ten'), TypeError, 'max_epochs'),
    (lambda: hooks.EarlyStopper('a', patience=-1), ValueError, 'patience'),
    (lambda: hooks.MonitorScores('a', None), TypeError, 'expected a list of Scorers, got None'),
    (lambda: hooks.MonitorScores('a', bs.scorers.Accuracy()), TypeError, 'a list of Scorers'),
    (lambda: hooks.MonitorScores('a', [5]), TypeError, 'scorer 0 must be a Scorer, got 5'),
])
def test_wrong_arguments_fail_at_construction(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_documented_orders_of_arguments():
    hook = hooks.MonitorScores('it', [], 'name', 'update', 3, False)
    assert (hook.__name__, hook.timescale, hook.interval, hook.verbose) == \
        ('name', 'update', 3, False)
    hook = hooks.ModifyStepperAttribute(print, 'momentum', 'update', 2, 'name', True)
    assert (hook.attr_name, hook.timescale, hook.interval, hook.__name__, hook.verbose) == \
        ('momentum', 'update', 2, 'name', True)
    hook = hooks.SaveBestNetwork('log', 'file', 'min', 'name')
    assert (hook.log_name, hook.filename, hook.criterion, hook.__name__) == \
        ('log', 'file', 'min', 'name')


# ---- stoppers ----


@pytest.mark.parametrize('log, patience, criterion, expected', [
    ([3], 1, 'min', False), ([3, 2], 1, 'min', False), ([3, 3], 1, 'min', True),
    ([3, 4], 2, 'min', False), ([3, 4, 5], 2, 'min', True), ([3, 4, 2], 1, 'min', False),
    ([3, 4], 1, 'max', False), ([3, 2], 1, 'max', True), ([1, 3, 2], 2, 'max', False),
    ([math.nan, 3], 1, 'min', False), ([3, math.nan], 1, 'min', True),
])
def test_early_stopper(log, patience, criterion, expected):
    hook = hooks.EarlyStopper('v.x', patience=patience, criterion=criterion)
    assert stops(hook, {'v': {'x': log}}) == expected


@pytest.mark.parametrize('hook', [
    hooks.EarlyStopper('v.x'), hooks.SaveBestNetwork('v.x'),
    hooks.StopAfterThresholdReached('v.x', 1)], ids=lambda hook: hook.__name__)
def test_logs_of_numbers_are_wanted(hook):
    with pytest.raises(TypeError, match=rf"{hook.__name__}: 'v.x' holds \[1, 2\], which is no"):
        call(hook, {'v': {'x': [3.0, [1, 2]]}})


def test_stop_after_epoch():
    assert [stops(hooks.StopAfterEpoch(2), epoch_nr=n) for n in range(4)] == \
        [False, False, True, True]


@pytest.mark.parametrize('criterion, log, expected', [
    ('min', [3, 2.5], False), ('min', [3, 2, 5], True), ('max', [1, 1.5], False),
    ('max', [1, 2, 1], True)])
def test_stop_after_threshold(criterion, log, expected):
    hook = hooks.StopAfterThresholdReached('x', 2, criterion)
    assert stops(hook, {'x': log}) == expected


def test_stop_on_nan_checks_logs_parameters_and_loss():
    net = mlp()
    hook = hooks.StopOnNan(['v.x'])
    fine = {'v': {'x': [1.0]}, 'rolling_training': {'total_loss': [1.0]}}
    assert not stops(hook, fine, net=net)
    assert stops(hook, {**fine, 'v': {'x': [math.inf, 1.0]}}, net=net)
    bad_loss = {**fine, 'rolling_training': {'total_loss': [math.nan, 1.0]}}
    assert stops(hook, bad_loss, net=net)
    assert not stops(hooks.StopOnNan(check_training_loss=False), bad_loss, net=net)
    net.buffer.H.parameters.bias[2] = math.nan
    assert stops(hook, fine, net=net)
    assert not stops(hooks.StopOnNan(check_parameters=False), fine, net=net)


@pytest.mark.parametrize('hook', [
    hooks.EarlyStopper('v.x'), hooks.SaveBestNetwork('v.x'), hooks.StopOnNan('v.x'),
    hooks.StopAfterThresholdReached('v.x', 1)])
def test_missing_logs_are_forgiven_before_the_first_epoch_only(hook):
    assert not stops(hook, {}, epoch_nr=0, net=mlp())
    with pytest.raises(KeyError, match=f"{hook.__name__}: there is no log 'v.x'.*there is y"):
        call(hook, {'v': {'y': [1]}}, net=mlp())
    with pytest.raises(KeyError, match="'v.x' is a group of logs; it holds a"):
        call(hook, {'v': {'x': {'a': [1]}}}, net=mlp())


# ---- savers ----


def test_save_best_network_keeps_the_parameters_of_the_best():
    net = mlp()
    hook = hooks.SaveBestNetwork('x')
    kept = []
    for value, log in ((1, [0.1]), (2, [0.1, 0.1]), (3, [0.1, 0.1, 0.2]), (4, [0.2, math.nan])):
        net.initialize(value)
        call(hook, {'x': log}, net=net)
        kept.append(hook.load_best_network()[0])
    assert kept == [1, 1, 3, 3]


def test_save_best_network_to_a_file(tmp_path):
    net = mlp()
    hook = hooks.SaveBestNetwork('x', filename=str(tmp_path / 'best.hdf5'), criterion='min')
    for value, log in ((1, [0.3]), (2, [0.2]), (3, [0.4])):
        net.initialize(value)
        call(hook, {'x': log}, net=net)
    assert (hook.load_best_network().get('parameters') == 2).all()


@pytest.mark.parametrize('log', [[], [math.nan]])
def test_nothing_was_saved_yet(log):
    hook = hooks.SaveBestNetwork('x', name='best weights')
    call(hook, {'x': log})
    with pytest.raises(ValueError, match='best weights has saved nothing: x never improved'):
        hook.load_best_network()


# ---- monitors ----


def test_monitors_want_their_iterator():
    hook = hooks.MonitorLoss('valid', name='v')
    with pytest.raises(KeyError, match="v: there is no data iterator 'valid'; there are validd"):
        hook.start(mlp(), None, False, {'test': 1, 'validd': 2})


def test_monitor_loss_and_scores():
    net, data = mlp(), random_batch(batch_size=9)
    iterator = bs.Minibatches(4, **data)
    scorers = [bs.scorers.Accuracy()]
    expected = bs.tools.evaluate(net, iterator, scorers)
    loss, scores = hooks.MonitorLoss('v'), hooks.MonitorScores('v', scorers)
    for hook in (loss, scores):
        hook.start(net, None, False, {'v': iterator})
    assert call(loss, net=net) == {'total_loss': pytest.approx(expected['total_loss'])}
    assert call(scores, net=net) == pytest.approx(expected)


@pytest.fixture
def used_net():
    net = mlp()
    net.provide_external_data(random_batch())
    net.forward_pass()
    net.backward_pass()
    return net


def statistics(values):
    return {'min': values.min(), 'avg': pytest.approx(values.mean()), 'max': values.max()}


def test_monitor_layer_parameters(used_net):
    log = call(hooks.MonitorLayerParameters('H'), net=used_net)
    W, bias = used_net.get('H.parameters.W'), used_net.get('H.parameters.bias')
    norms = np.sqrt((W ** 2).sum(axis=1))
    assert log == {'bias': statistics(bias),
                   'W': {**statistics(W), 'min_L2_norm': pytest.approx(norms.min()),
                         'avg_L2_norm': pytest.approx(norms.mean()),
                         'max_L2_norm': pytest.approx(norms.max())}}
    assert list(log) == ['W', 'bias']


def test_monitor_layer_gradients(used_net):
    log = call(hooks.MonitorLayerGradients('H'), net=used_net)
    assert log == {name: statistics(used_net.get(f'H.gradients.{name}'))
                   for name in ('W', 'bias')}
    untouched = call(hooks.MonitorLayerGradients('H'), net=mlp(), update_nr=0)
    assert untouched['W'] == {'min': 0, 'avg': 0, 'max': 0}


def test_monitor_layer_deltas(used_net):
    log = call(hooks.MonitorLayerDeltas('Output'), net=used_net)
    assert log['t_bin'] == statistics(used_net.get('Output.internals.t_bin'))
    assert log['input_deltas']['default'] == \
        statistics(used_net.get('Output.input_deltas.default'))
    assert log['output_deltas']['loss'] == statistics(used_net.get('Output.output_deltas.loss'))
    assert call(hooks.MonitorLayerDeltas('Output'), net=mlp(), update_nr=0) is None


def test_monitor_layer_in_outs(used_net):
    log = call(hooks.MonitorLayerInOuts('H'), net=used_net)
    assert log == {'inputs': {'default': statistics(used_net.get('H.inputs.default'))},
                   'outputs': {'default': statistics(used_net.get('H.outputs.default'))}}
    assert call(hooks.MonitorLayerInOuts('H'), net=mlp(), update_nr=0) is None


def test_layer_monitors_ask_the_network_whether_it_has_run():
    in_outs, deltas = hooks.MonitorLayerInOuts('H'), hooks.MonitorLayerDeltas('H')
    net = mlp()
    assert call(in_outs, net=net) is call(deltas, net=net) is None
    net.provide_external_data({'default': np.zeros((1, 4, 6)), 'targets': np.zeros((1, 4, 1))})
    assert call(in_outs, net=net) is None
    net.forward_pass()
    assert call(in_outs, net=net, update_nr=0)['inputs']['default']['max'] == 0
    assert call(deltas, net=net) is None
    net.backward_pass()
    assert call(deltas, net=net, update_nr=0)['output_deltas']
    net.set_handler(NumpyHandler(np.float32))
    assert call(in_outs, net=net) is call(deltas, net=net) is None


@pytest.mark.parametrize('kind', ['Parameters', 'Gradients', 'Deltas', 'InOuts'])
def test_layer_monitors_are_named_by_their_layer(kind):
    hook = getattr(hooks, f'MonitorLayer{kind}')('H')
    assert hook.__name__ == f'Monitor{kind}_H'
    hook.start(mlp(), None, False, {})
    wrong = getattr(hooks, f'MonitorLayer{kind}')('Hid', name='m')
    with pytest.raises(KeyError, match="m: there is no layer 'Hid'; there are"):
        wrong.start(mlp(), None, False, {})


# ---- changes ----


def test_modify_stepper_attribute_passes_everything_on():
    seen = []

    def schedule(*args):
        seen.append(args)
        return 0.25
    stepper = bs.training.MomentumStepper(0.1, 0.9)
    hook = hooks.ModifyStepperAttribute(schedule, 'momentum', timescale='update', interval=3)
    hook.start('net', stepper, False, {})
    assert call(hook, {'a': [1]}, epoch_nr=2, update_nr=6, net='net', stepper=stepper) is None
    assert seen == [(2, 6, 'update', 3, 'net', stepper, {'a': [1]})]
    assert stepper.momentum == 0.25


def test_modify_stepper_attribute_wants_an_attribute_that_exists():
    hook = hooks.ModifyStepperAttribute(print, 'lerning_rate')
    with pytest.raises(AttributeError, match="no attribute 'lerning_rate'; there are learning_"
                                             'rate, net, update'):
        hook.start(None, bs.training.SgdStepper(), False, {})


def test_a_progress_bar_counts_the_batches_of_an_epoch(capsys):
    trainer = bs.Trainer(bs.training.SgdStepper(0.1))
    trainer.add_hook(hooks.ProgressBar())
    trainer.add_hook(hooks.StopAfterEpoch(2))
    net = mlp()
    data = random_batch(batch_size=9)
    trainer.train(net, bs.Minibatches(3, **data))
    shown = capsys.readouterr().err
    assert 'Epoch 1: 100%' in shown and 'Epoch 2: 100%' in shown and '3/3' in shown
    trainer.evaluate(net, training_data_iter=bs.Minibatches(3, **data))
    trainer.verbose = False
    trainer.hooks['StopAfterEpoch'].max_epochs = 3
    trainer.train(net, bs.Minibatches(3, **data))
    assert capsys.readouterr().err == ''


def test_without_tqdm_there_is_a_line_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'tqdm', None)
    with pytest.raises(ImportError, match='tqdm.*pip install tqdm'):
        hooks.ProgressBar()


def test_a_progress_bar_is_closed_by_a_stop_within_the_epoch(capsys):
    trainer = bs.Trainer(bs.training.SgdStepper(0.1))
    bar = hooks.ProgressBar()
    trainer.add_hook(bar)
    trainer.add_hook(hooks.StopAfterEpoch(1, timescale='update'))
    trainer.train(mlp(), bs.Minibatches(3, **random_batch(batch_size=9)))
    assert bar._bar is None
    assert '1/3' in capsys.readouterr().err


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_hooks_copy_without_data(duplicate):
    hook = hooks.MonitorLoss('v', name='n')
    hook.start(mlp(), None, True, {'v': lambda handler: iter(())})
    other = duplicate(hook)
    assert (other.__name__, other.iter_name) == ('n', 'v')
    assert 'iter' not in vars(other)
    best = hooks.SaveBestNetwork('x')
    call(best, OrderedDict(x=[1.0]), net=mlp())
    assert np.array_equal(duplicate(best).load_best_network(), best.load_best_network())
