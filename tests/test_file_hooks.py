"""Hooks that write files or talk to other programs."""

import copy
import inspect
import os
import pickle
import signal
import sys
import threading

import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm import hooks
from networks import mlp, random_batch


def train(*extra_hooks, epochs=2, net=None):
    trainer = bs.Trainer(bs.training.SgdStepper(0.1), verbose=False)
    trainer.add_hook(hooks.MonitorLoss('training_data_iter', name='v'))
    for hook in extra_hooks:
        trainer.add_hook(hook)
    trainer.add_hook(hooks.StopAfterEpoch(epochs))
    trainer.train(net or mlp(), bs.Minibatches(2, shuffle=False, **random_batch()))
    return trainer


def call(hook, logs=(), net=None):
    return hook(epoch_nr=1, update_nr=7, net=net, stepper=None, logs=dict(logs))


def test_only_a_monitor_of_deltas_reads_deltas():
    built_in = {getattr(hooks, name) for name in hooks.__all__}
    assert built_in - hooks.READS_NO_DELTAS == {hooks.Hook, hooks.MonitorLayerDeltas}


@pytest.mark.parametrize('hook, arguments', [
    (hooks.SaveNetwork, 'filename'), (hooks.SaveLogs, 'filename'), (hooks.InfoUpdater, 'run'),
    (hooks.StopOnSigQuit, ''), (hooks.BokehVisualizer, 'log_names, filename=None')])
def test_documented_signatures(hook, arguments):
    verbose = hook in (hooks.StopOnSigQuit, hooks.BokehVisualizer)
    plain = [str(parameter.replace(annotation=parameter.empty))
             for parameter in inspect.signature(hook).parameters.values()]
    assert ', '.join(plain) == ', '.join(filter(None, [
        arguments, "name=None, timescale='epoch', interval=1", verbose and 'verbose=None']))


@pytest.mark.parametrize('make, error, text', [
    (lambda: hooks.SaveNetwork(None), TypeError, 'SaveNetwork: filename must be a str.*got None'),
    (lambda: hooks.SaveLogs(5), TypeError, 'SaveLogs: filename must be a str.*got 5'),
    (lambda: hooks.SaveLogs(''), ValueError, 'SaveLogs: filename is empty'),
    (lambda: hooks.SaveBestNetwork('x', 5), TypeError, 'SaveBestNetwork: filename'),
    (lambda: hooks.InfoUpdater(5), TypeError, 'InfoUpdater: run must have a dict `info`.*got 5'),
    (lambda: hooks.SaveNetwork('a', verbose=True), TypeError, 'verbose'),
    (lambda: hooks.SaveLogs('a', verbose=True), TypeError, 'verbose'),
    (lambda: hooks.InfoUpdater(5, verbose=True), TypeError, 'verbose'),
])
def test_wrong_arguments_fail_at_construction(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize('make', [hooks.SaveNetwork, hooks.SaveLogs,
                                  lambda filename: hooks.SaveBestNetwork('x', filename)])
def test_a_missing_folder_is_noticed_before_the_training(make, tmp_path):
    hook = make(tmp_path / 'absent' / 'file')
    with pytest.raises(FileNotFoundError, match=f'{hook.__name__}: there is no folder .*absent'):
        hook.start(None, None, False, {})


# ---- SaveNetwork ----


def test_save_network_saves_every_epoch(tmp_path):
    net, hook = mlp(), hooks.SaveNetwork(tmp_path / 'net.hdf5', 'saver', 'epoch', 2)
    train(hook, net=net, epochs=3)
    assert hook.__name__ == 'saver'
    saved_after_2 = mlp()
    train(net=saved_after_2, epochs=2)
    loaded = hook.load_network()
    np.testing.assert_array_equal(loaded.get('parameters'), saved_after_2.get('parameters'))
    assert not np.array_equal(loaded.get('parameters'), net.get('parameters'))


# ---- SaveLogs ----


def test_save_logs_keeps_all_logs(tmp_path):
    trainer = train(hooks.SaveLogs(str(tmp_path / 'logs.hdf5'), name='s'), epochs=3)
    with h5py.File(tmp_path / 'logs.hdf5') as file:
        assert file.attrs['format'] == 'Logs file v1.0'
        assert file.attrs['info'] == f'Created with brainstorm {bs.__version__}'
        assert sorted(file) == ['rolling_training', 'v']
        for name in file:
            assert list(file[name]['total_loss']) == trainer.logs[name]['total_loss']
    assert os.listdir(tmp_path) == ['logs.hdf5']


def test_what_lists_become(tmp_path):
    hook = hooks.SaveLogs(tmp_path / 'logs.hdf5')
    call(hook, {'text': ['a', 'ä'], 'numbers': [1, 2], 'flags': [True, False], 'mixed': [1, 'b'],
                'arrays': [[1, 2], [3, 4]], 'ragged': [[1], [2, 3]], 'deep': {'er': {'est': [.5]}},
                'empty': {}, 3: [1]})
    with h5py.File(tmp_path / 'logs.hdf5') as file:
        read = {name: file[name].asstr()[...].tolist() for name in ('text', 'mixed', 'ragged')}
        assert read == {'text': ['a', 'ä'], 'mixed': ['1', 'b'], 'ragged': ['[1]', '[2, 3]']}
        assert file['numbers'].dtype.kind == 'i' and list(file['numbers']) == [1, 2]
        assert file['flags'][...].tolist() == [True, False]
        assert file['arrays'][...].tolist() == [[1, 2], [3, 4]]
        assert file['deep/er/est'][...] == [0.5]
        assert len(file['empty']) == 0 and list(file['3']) == [1]


def test_logs_are_written_completely_or_not_at_all(tmp_path, monkeypatch):
    hook = hooks.SaveLogs(tmp_path / 'logs.hdf5')
    call(hook, {'x': [1]})
    before = (tmp_path / 'logs.hdf5').read_bytes()

    def fail(descriptor):
        raise OSError(28, 'No space')
    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError, match='cannot save the logs to .*logs.hdf5.*No space'):
        call(hook, {'x': [1, 2]})
    assert (tmp_path / 'logs.hdf5').read_bytes() == before
    assert os.listdir(tmp_path) == ['logs.hdf5']


# ---- InfoUpdater ----


class Run:
    def __init__(self):
        self.info = {'mine': 1}


def test_info_updater_fills_the_info_of_a_run():
    run = Run()
    trainer = train(hooks.InfoUpdater(run), epochs=2)
    logs = run.info.pop('logs')
    assert run.info == {'mine': 1, 'epoch_nr': 2, 'update_nr': 4, 'nr_parameters': 53}
    assert logs == trainer.logs and logs is not trainer.logs


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)),
                                       lambda x: bs.create_from_description(bs.get_description(x))])
def test_a_copied_info_updater_wants_its_run_again(duplicate):
    hook = duplicate(hooks.InfoUpdater(Run(), interval=3))
    assert hook.interval == 3
    with pytest.raises(ValueError, match='InfoUpdater: it has no run'):
        hook.start(None, None, False, {})
    hook.run = Run()
    hook.start(None, None, False, {})
    call(hook, net=mlp())
    assert hook.run.info['update_nr'] == 7


# ---- StopOnSigQuit ----


class Kill(bs.Hook):
    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        if epoch_nr == 2:
            os.kill(os.getpid(), signal.SIGQUIT)


def ignore(signum, frame):
    pass


@pytest.fixture
def previous_handler():
    before = signal.signal(signal.SIGQUIT, ignore)
    yield ignore
    signal.signal(signal.SIGQUIT, before)


def test_sigquit_stops_the_training(previous_handler, capsys):
    trainer = train(Kill(), hooks.StopOnSigQuit(verbose=True), epochs=5)
    assert trainer.current_epoch_nr == 2
    assert signal.getsignal(signal.SIGQUIT) is previous_handler
    assert 'StopOnSigQuit >> received SIGQUIT: stopping' in capsys.readouterr().out
    trainer.hooks.pop('Kill')
    trainer.train(mlp(), bs.Minibatches(2, **random_batch()))
    assert trainer.current_epoch_nr == 5, 'an earlier signal stops no later training'


def test_the_previous_handler_comes_back_whatever_happens(previous_handler):
    class Fail(bs.Hook):
        def __call__(self, **kwargs):
            assert signal.getsignal(signal.SIGQUIT) is not previous_handler
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        train(hooks.StopOnSigQuit(), Fail())
    assert signal.getsignal(signal.SIGQUIT) is previous_handler

    class FailAtStart(bs.Hook):
        def start(self, *args):
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        train(hooks.StopOnSigQuit(), FailAtStart())
    assert signal.getsignal(signal.SIGQUIT) is previous_handler


def test_sigquit_where_it_cannot_work(monkeypatch):
    failures = []

    def start():
        try:
            hooks.StopOnSigQuit().start(None, None, False, {})
        except RuntimeError as error:
            failures.append(str(error))
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert 'StopOnSigQuit: signals arrive in the main thread only' in failures[0]
    monkeypatch.delattr(signal, 'SIGQUIT')
    with pytest.raises(OSError, match='StopOnSigQuit: this system has no SIGQUIT'):
        hooks.StopOnSigQuit()


# ---- BokehVisualizer ----


def test_the_page_is_written_at_every_call(tmp_path):
    pytest.importorskip('bokeh', reason='needs bokeh')
    page = tmp_path / 'charts.html'
    hook = hooks.BokehVisualizer(['a.x', 'b'], page, name='My charts')
    call(hook, {'a': {'x': [1.25, 0.75]}, 'b': [3]})
    first = page.read_text(encoding='utf-8')
    assert '1.25' in first and 'a.x' in first and 'My charts' in first
    assert first.count('http-equiv="refresh"') == 1 and '"b"' in first
    assert '<script src' not in first.replace('\n', '') and 'BEGIN bokeh.min.js' in first
    call(hook, {'a': {'x': [1.25, 0.75, 0.4375]}, 'b': [3]})
    assert '0.4375' in page.read_text(encoding='utf-8')
    assert os.listdir(tmp_path) == ['charts.html']
    hook.finish()
    last = page.read_text(encoding='utf-8')
    assert '0.4375' in last and 'http-equiv="refresh"' not in last


def test_the_page_of_a_training(tmp_path, monkeypatch):
    pytest.importorskip('bokeh', reason='needs bokeh')
    monkeypatch.chdir(tmp_path)
    trainer = train(hooks.BokehVisualizer(['v.total_loss', 'rolling_training.total_loss']))
    page = (tmp_path / 'BokehVisualizer.html').read_text(encoding='utf-8')
    assert 'http-equiv="refresh"' not in page
    assert str(trainer.logs['v']['total_loss'][-1]) in page
    description = bs.get_description(trainer)['hooks']['BokehVisualizer']
    assert description == {'@type': 'BokehVisualizer', 'priority': 2,
                           'log_names': ['v.total_loss', 'rolling_training.total_loss']}
    assert bs.create_from_description(description).filename is None


def test_what_bokeh_visualizer_refuses():
    pytest.importorskip('bokeh', reason='needs bokeh')
    for names, error, text in (([], ValueError, 'log_names is empty'), ([5], TypeError, 'got 5')):
        with pytest.raises(error, match=text):
            hooks.BokehVisualizer(names)
    hook = hooks.BokehVisualizer('x')
    assert hook.log_names == ['x']
    with pytest.raises(KeyError, match="there is no log 'x'.*y"):
        call(hook, {'y': [1]})
    with pytest.raises(TypeError, match="BokehVisualizer: 'x' holds 'a', which is no number"):
        call(hook, {'x': ['a']})


def test_without_bokeh_there_is_a_line_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'bokeh', None)
    with pytest.raises(ImportError, match=r'bokeh.*pip install brainstorm\[live-viz\]'):
        hooks.BokehVisualizer(['x'])
