import copy
import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.scorers import Accuracy
from brainstorm.training import MomentumStepper, SgdStepper, TrainingStepper
from networks import mlp, random_batch


class Record(bs.Hook):
    """Writes down when it is called and returns what it is told to."""

    def __init__(self, calls, result=None, stop_at=None, **kwargs):
        super().__init__(**kwargs)
        self.calls, self.result, self.stop_at = calls, result, stop_at

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        self.calls.append((self.__name__, epoch_nr, update_nr))
        if (epoch_nr, update_nr) == self.stop_at:
            raise StopIteration if self.result is None else StopIteration(self.result)
        return self.result


def make_trainer(*hooks, stepper=None, epochs=2):
    trainer = bs.Trainer(stepper or SgdStepper(0.1), verbose=False)
    for hook in hooks:
        trainer.add_hook(hook)
    if epochs is not None:
        trainer.add_hook(bs.hooks.StopAfterEpoch(epochs))
    return trainer


def batches(n=6, size=2, **kwargs):
    return bs.Minibatches(size, **random_batch(batch_size=n), **kwargs)


# ---- rounds ----


def test_order_of_the_rounds():
    calls = []
    trainer = make_trainer(Record(calls, name='e'), Record(calls, name='u', timescale='update'),
                           epochs=1)
    trainer.train(mlp(), batches())
    assert calls == [('u', 0, 0), ('e', 0, 0), ('u', 1, 1), ('u', 1, 2), ('u', 1, 3),
                     ('e', 1, 3)]


def test_intervals_divide_the_counters():
    calls = []
    trainer = make_trainer(Record(calls, name='e', interval=2),
                           Record(calls, name='u', timescale='update', interval=4), epochs=4)
    trainer.train(mlp(), batches())
    assert [c for c in calls if c[0] == 'e'] == [('e', 0, 0), ('e', 2, 6), ('e', 4, 12)]
    assert [c for c in calls if c[0] == 'u'] == [('u', 0, 0), ('u', 2, 4), ('u', 3, 8),
                                                 ('u', 4, 12)]


def test_a_stop_in_an_update_ends_the_epoch_with_its_hooks():
    calls = []
    trainer = make_trainer(Record(calls, name='u', timescale='update', stop_at=(1, 2)),
                           Record(calls, name='u2', timescale='update'),
                           Record(calls, name='e'))
    trainer.train(mlp(), batches())
    assert calls[-3:] == [('u', 1, 2), ('u2', 1, 2), ('e', 1, 2)]
    assert (trainer.current_epoch_nr, trainer.current_update_nr) == (1, 2)
    assert len(trainer.logs['rolling_training']['total_loss']) == 1


def test_stops_in_the_opening_round():
    calls = []
    trainer = make_trainer(Record(calls, name='u', timescale='update', stop_at=(0, 0)),
                           Record(calls, name='e'))
    trainer.train(mlp(), batches())
    assert calls == [('u', 0, 0)]
    calls.clear()
    make_trainer(Record(calls, name='e', stop_at=(0, 0))).train(mlp(), batches())
    assert calls == [('e', 0, 0)]


def test_training_again_continues():
    calls = []
    trainer = make_trainer(Record(calls, name='e'), epochs=2, stepper=MomentumStepper(0.1, 0.9))
    net = mlp()
    trainer.train(net, batches())
    trainer.hooks['StopAfterEpoch'].max_epochs = 3
    velocities = []
    start = trainer.stepper.start
    trainer.stepper.start = lambda net: (start(net),
                                         velocities.append(np.abs(trainer.stepper.velocity).max()))
    trainer.train(net, batches())
    assert velocities == [0]
    assert [c[1] for c in calls] == [0, 1, 2, 2, 3]
    assert len(trainer.logs['rolling_training']['total_loss']) == 3


# ---- logs ----


@pytest.mark.parametrize('result, expected', [
    (1.5, [1.5, 1.5]), ({'a': {'b': 1}, 'c': None}, {'a': {'b': [1, 1]}}), ({}, {}),
    ([1, 2], [[1, 2], [1, 2]])])
def test_what_hooks_return_is_logged(result, expected):
    trainer = make_trainer(Record([], result, name='my log'), epochs=1)
    trainer.train(mlp(), batches())
    assert trainer.logs['my log'] == expected


def test_none_is_not_logged_and_the_value_of_a_stop_is():
    trainer = make_trainer(Record([], name='n'), Record([], 7, stop_at=(1, 3), name='s'))
    trainer.train(mlp(), batches())
    assert trainer.logs.keys() == {'s', 'rolling_training'}
    assert trainer.logs['s'] == [7, 7]


def test_rolling_training_weighs_by_batch_size():
    losses, hits = [], []

    class Spy(bs.Hook):
        def __call__(self, epoch_nr, update_nr, net, stepper, logs):
            if update_nr:
                losses.append(net.get_loss_values()['total_loss'])
                p = net.get('Output.outputs.predictions').argmax(-1)
                hits.append((p == net.get_input('targets')[..., 0]).sum())
    trainer = make_trainer(Spy(timescale='update'), epochs=1)
    trainer.train_scorers = [Accuracy()]
    trainer.train(mlp(), batches(n=7, size=4, shuffle=False))
    log = trainer.logs['rolling_training']
    assert log['total_loss'] == [pytest.approx((4 * losses[0] + 3 * losses[1]) / 7)]
    assert log['Accuracy'] == [pytest.approx(sum(hits) / 7)]


def test_monitors_have_one_entry_more_than_epochs():
    trainer = make_trainer(bs.hooks.MonitorScores('valid', [Accuracy()], name='v'),
                           bs.hooks.MonitorLayerGradients('H', name='g'), epochs=3)
    trainer.train(mlp(), batches(), valid=batches())
    assert len(trainer.logs['v']['Accuracy']) == 4
    assert len(trainer.logs['g']['W']['max']) == 4
    assert len(trainer.logs['rolling_training']['total_loss']) == 3


def test_logs_are_printed_when_verbose(capsys):
    trainer = make_trainer(Record([], {'a': 1.25}, name='note'), epochs=1)
    trainer.verbose = True
    trainer.train(mlp(), batches())
    out = capsys.readouterr().out
    assert 'Epoch 1' in out and 'rolling_training' in out and '1.25' in out
    trainer.verbose = False
    trainer.train(mlp(), batches())
    assert capsys.readouterr().out == ''


# ---- the rest of the trainer ----


def test_the_names_of_the_data_must_be_those_of_the_network():
    data = random_batch()
    for wrong in ({'default': data['default']}, {**data, 'extra': data['default']}):
        with pytest.raises(AssertionError, match="network needs .'default', 'targets'."):
            make_trainer().train(mlp(), bs.Undivided(**wrong))


def test_two_hooks_of_one_name():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="a hook named 'StopAfterEpoch' already"):
        trainer.add_hook(bs.hooks.StopAfterEpoch(3))


def test_a_hook_added_during_a_training_waits_for_the_next_one():
    calls = []

    class Adder(bs.Hook):
        def __call__(self, epoch_nr, update_nr, net, stepper, logs):
            if epoch_nr == 1:
                trainer.add_hook(Record(calls, name='added'))

    trainer = make_trainer(Adder(), epochs=2)
    net = mlp()
    trainer.train(net, batches())
    assert calls == []
    trainer.hooks['StopAfterEpoch'].max_epochs = 3
    trainer.train(net, batches())
    assert calls == [('added', 2, 6), ('added', 3, 9)]


def test_evaluate_runs_epoch_hooks_then_update_hooks_without_training():
    calls = []
    trainer = make_trainer(Record(calls, 2, name='u', timescale='update', stop_at=(0, 0)),
                           Record(calls, 1, name='e'),
                           bs.hooks.MonitorLoss('test'), epochs=0)
    net = mlp()
    before = net.get('parameters')
    results = trainer.evaluate(net, test=batches())
    assert [c[0] for c in calls] == ['e', 'u']
    assert results is trainer.results
    assert (results['e'], results['u']) == ([1], [2])
    assert list(results['MonitorLoss']) == ['total_loss']
    assert trainer.logs == {}
    assert np.array_equal(net.get('parameters'), before)


def test_weight_modifiers_apply_after_every_update():
    net = mlp()
    net.set_weight_modifiers(bs.ClipValues(-0.01, 0.01))
    sizes = []

    class Spy(bs.Hook):
        def __call__(self, epoch_nr, update_nr, net, stepper, logs):
            sizes.append(np.abs(net.get('parameters')).max())
    make_trainer(Spy(timescale='update')).train(net, batches())
    assert sizes[0] > 0.01
    assert max(sizes[1:]) == 0.01


def test_deltas_into_the_input_are_left_out_only_while_nobody_can_look():
    net = mlp()
    make_trainer(bs.hooks.MonitorLoss('training_data_iter')).train(net, batches())
    with pytest.raises(RuntimeError, match=r'net.backward_pass\(\)'):
        net.get('H.input_deltas.default')
    net.backward_pass()
    assert net.get('H.input_deltas.default').any()
    for hook in (bs.hooks.MonitorLayerDeltas('H'), Record([])):
        net = mlp()
        make_trainer(hook).train(net, batches())
        assert net.get('H.input_deltas.default').any()


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_train_on_alike(duplicate):
    trainer = make_trainer(bs.hooks.MonitorLoss('training_data_iter'), epochs=1,
                           stepper=MomentumStepper(0.2, 0.9))
    net = mlp()
    trainer.train(net, batches(shuffle=False))
    other = duplicate(trainer)
    assert other.logs == trainer.logs
    assert np.array_equal(other.stepper.velocity, trainer.stepper.velocity)
    for one in (trainer, other):
        one.hooks['StopAfterEpoch'].max_epochs = 2
        one.train(one.stepper.net, batches(shuffle=False))
    assert np.array_equal(other.stepper.net.get('parameters'), net.get('parameters'))


# ---- Ctrl-C ----

INTERRUPTED = """
import os, signal, sys
import numpy as np
import brainstorm as bs
net = bs.tools.create_net_from_spec('classification', 4, 2, 'F5')
data = bs.Minibatches(2, default=np.zeros((1, 20, 4)), targets=np.zeros((1, 20, 1)))

class Interrupt(bs.Hook):
    def __call__(self, epoch_nr, update_nr, **_):
        if update_nr == 13:
            for _ in range(int(sys.argv[1])):
                os.kill(os.getpid(), signal.SIGINT)
        return update_nr

trainer = bs.Trainer(bs.training.SgdStepper(0.1), verbose=False)
trainer.add_hook(Interrupt(timescale='update', name='u'))
trainer.add_hook(bs.hooks.MonitorLoss('training_data_iter', name='m'))
try:
    trainer.train(net, data)
except KeyboardInterrupt:
    print(trainer.current_epoch_nr, trainer.current_update_nr, trainer.logs['u'][-1],
          len(trainer.logs['m']['total_loss']),
          len(trainer.logs['rolling_training']['total_loss']))
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize('times, expected', [(1, '2 13 13 3 2\nTrue\n'),
                                             (2, '2 13 12 2 1\nTrue\n')])
def test_ctrl_c_ends_the_epoch_first_and_at_once_the_second_time(times, expected):
    result = subprocess.run([sys.executable, '-c', INTERRUPTED, str(times)], capture_output=True,
                            text=True, timeout=60)
    assert result.stdout == expected, result.stderr


def test_a_signal_handler_of_the_user_stays():
    received = []
    previous = signal.signal(signal.SIGINT, lambda *args: received.append(args))

    class Interrupt(bs.Hook):
        def __call__(self, epoch_nr, update_nr, net, stepper, logs):
            if update_nr == 1:
                os.kill(os.getpid(), signal.SIGINT)
    try:
        trainer = make_trainer(Interrupt(timescale='update'), epochs=2)
        trainer.train(mlp(), batches())
        assert len(received) == 1
        assert trainer.current_epoch_nr == 2
    finally:
        signal.signal(signal.SIGINT, previous)


def test_training_in_another_thread():
    trainer = make_trainer()
    thread = threading.Thread(target=trainer.train, args=(mlp(), batches()))
    thread.start()
    thread.join(60)
    assert trainer.current_epoch_nr == 2


def test_a_stepper_in_python():
    class SignStepper(TrainingStepper):
        def run(self):
            self.net.forward_pass(training_pass=True)
            self.net.backward_pass()
            self.net.buffer.parameters[...] -= 0.01 * np.sign(self.net.buffer.gradients)
    net = mlp()
    before = net.get('parameters')
    make_trainer(stepper=SignStepper(), epochs=1).train(net, bs.Undivided(**random_batch()))
    assert np.abs(net.get('parameters') - before).max() == pytest.approx(0.01)
    assert net.get('H.input_deltas.default').any()


@pytest.mark.parametrize('call, text', [
    (lambda trainer: bs.Trainer(5),
     'Trainer: stepper must be a TrainingStepper or have its start and run, got 5'),
    (lambda trainer: trainer.add_hook(5), 'add_hook: hook must be a Hook, got 5'),
    (lambda trainer: trainer.train(5, batches()), 'train: net must be a Network, got 5'),
    (lambda trainer: trainer.train(mlp(), 5),
     'training_data_iter must be a DataIterator or have its data_shapes and __call__, got 5'),
])
def test_wrong_arguments_are_named(call, text):
    with pytest.raises(TypeError, match=text):
        call(make_trainer())


def test_steppers_and_iterators_of_other_classes_will_do():
    class Stepper:
        runs = 0

        def start(self, net):
            self.net = net

        def run(self):
            self.runs += 1
            self.net.forward_pass(training_pass=True)

    class Iterator:
        data_shapes = {name: value.shape for name, value in random_batch().items()}

        def __call__(self, handler=None):
            yield random_batch()
            yield random_batch(seed=5)
    stepper = Stepper()
    trainer = bs.Trainer(stepper, verbose=False)
    trainer.add_hook(bs.hooks.StopAfterEpoch(3))
    trainer.train(mlp(), Iterator())
    assert stepper.runs == 6


def test_named_iterators_are_iterators():
    trainer = bs.Trainer(bs.training.SgdStepper(), verbose=False)
    data = bs.Minibatches(2, **random_batch())
    with pytest.raises(TypeError, match='Trainer: valid must be a DataIterator.*got 5'):
        trainer.train(mlp(), data, valid=5)
    with pytest.raises(TypeError, match='evaluate: iter must be a DataIterator.*got 5'):
        bs.tools.evaluate(mlp(), 5)
