"""Buffers and predictions over all data of an iterator."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.tools import extract, extract_and_save
from networks import classifier, mlp, mlp_predictions, random_batch

PREDICTIONS = 'Output.outputs.predictions'


def recurrent_net():
    net = classifier(layers.Recurrent(4, name='R'))
    net.initialize(bs.Gaussian(0.5), seed=2)
    return net


class Batches(bs.DataIterator):
    """Batches of different sizes and lengths."""

    def __init__(self, sizes):
        super().__init__({}, len(sizes))
        self.batches = [random_batch(time_steps=T, batch_size=B, seed=T) for T, B in sizes]

    def __call__(self, handler=None):
        return iter(self.batches)


def from_numpy(net, batch):
    """Outputs (T+1, B, 4) of the Recurrent layer of `recurrent_net`."""
    W, R, bias = (net.get(f'R.parameters.{name}') for name in ('W', 'R', 'bias'))
    outputs = np.zeros((len(batch) + 1, batch.shape[1], 4))
    for t, x in enumerate(batch):
        outputs[t] = np.tanh(x @ W.T + outputs[t - 1] @ R.T + bias)
    return outputs


def join_from_numpy(batches):
    """Zero-padded to the longest with the context row last."""
    longest = max(map(len, batches))
    return np.concatenate([np.concatenate([
        batch[:-1], np.zeros((longest - len(batch), *batch.shape[1:])), batch[-1:]])
        for batch in batches], axis=1)


@pytest.fixture(params=['extract', 'extract_and_save'])
def extracted(request, tmp_path):
    """Both tools as one function that returns what they give."""
    def run(net, iterator, names):
        if request.param == 'extract':
            return extract(net, iterator, names)
        extract_and_save(net, iterator, names, tmp_path / 'features.hdf5')
        assert os.listdir(tmp_path) == ['features.hdf5']
        with h5py.File(tmp_path / 'features.hdf5') as file:
            assert file.attrs['format'] == 'Buffers file v1.0'
            assert file.attrs['info'] == f'Created with brainstorm {bs.__version__}'
            return {name: file[name][...] for name in file}
    return run


def test_predictions_and_targets_of_all_batches(extracted):
    net, data = mlp(), random_batch(batch_size=10)
    found = extracted(net, bs.Minibatches(4, shuffle=False, **data),
                      [PREDICTIONS, 'H.inputs.default', 'Input.outputs.targets'])
    assert set(found) == {PREDICTIONS, 'H.inputs.default', 'Input.outputs.targets'}
    np.testing.assert_allclose(found[PREDICTIONS], mlp_predictions(net, data['default']))
    np.testing.assert_array_equal(found['H.inputs.default'], data['default'])
    np.testing.assert_array_equal(found['Input.outputs.targets'], data['targets'])


@pytest.mark.parametrize('sizes', [[(2, 3), (5, 2), (3, 3)], [(5, 2), (1, 1)], [(1, 4)]])
def test_shorter_batches_are_padded_and_the_context_row_stays_last(extracted, sizes):
    net, batches = recurrent_net(), Batches(sizes)
    outputs = [from_numpy(net, batch['default']) for batch in batches.batches]
    found = extracted(net, batches, ['R.outputs.default', 'R.internals.Ha',
                                     'Output_projection.inputs.default'])
    np.testing.assert_allclose(found['R.outputs.default'], join_from_numpy(outputs), atol=1e-12)
    assert found['R.internals.Ha'].shape == found['R.outputs.default'].shape
    np.testing.assert_allclose(found['Output_projection.inputs.default'],
                               found['R.outputs.default'][:-1])


def test_the_last_row_is_the_context_also_after_growth(extracted):
    net = recurrent_net()
    context = {'R': {'outputs': {'default': np.full((1, 2, 4), 0.5)}}}
    forward = net.forward_pass
    net.forward_pass = lambda: forward(context=context)
    found = extracted(net, Batches([(2, 2), (4, 2)]), ['R.outputs.default'])['R.outputs.default']
    assert found.shape == (5, 4, 4)
    assert (found[-1] == 0.5).all() and not found[2:4, :2].any()


def test_data_without_targets_and_old_names(extracted):
    net, data = mlp(np.float32), random_batch(batch_size=5)
    found = extracted(net, bs.Minibatches(3, shuffle=False, default=data['default']),
                      'Output.outputs.probabilities')
    np.testing.assert_allclose(found['Output.outputs.probabilities'],
                               mlp_predictions(net, data['default']), rtol=1e-5)
    assert found['Output.outputs.probabilities'].dtype == np.float32


def test_inputs_of_every_scale_may_be_missing():
    inp = layers.Input({'a': ('T', 'B', 2), 'b': ('B', 3), 'c': (4,)})
    merge = layers.Merge()
    inp - 'a' >> 'inputs_1' - merge
    inp - 'a' >> 'inputs_2' - merge
    for name in 'bc':
        inp - name >> layers.Loss()
    net = bs.Network.from_layer(merge >> layers.Loss())
    x = random_batch((2,), batch_size=3)['default']
    found = extract(net, bs.Minibatches(2, shuffle=False, a=x), ['Input.outputs.b'])
    np.testing.assert_array_equal(found['Input.outputs.b'], np.zeros((1, 3, 3)))


@pytest.mark.parametrize('name, error, text', [
    ('H.outputs.nothing', KeyError, 'nothing.*default'),
    ('Nobody.outputs.default', KeyError, 'Nobody'),
    ('H', KeyError, 'no single buffer'), ('H.outputs', KeyError, 'no single buffer'),
    ('parameters', ValueError, "'parameters' cannot be extracted"),
    ('H.parameters.W', ValueError, 'a forward pass fills inputs, outputs and internals'),
    ('H.output_deltas.default', ValueError, 'cannot be extracted'),
    ('Output.internals.t_bin', ValueError, 'cannot be extracted'),
    ('Loss.outputs.loss', ValueError, "only those whose shape has 'B'")])
def test_buffers_that_cannot_be_extracted(name, error, text, tmp_path):
    for run in (lambda: extract(mlp(), Batches([(1, 1)]), [name]),
                lambda: extract_and_save(mlp(), Batches([(1, 1)]), [name], tmp_path / 'x.hdf5')):
        with pytest.raises(error, match=text):
            run()
    assert os.listdir(tmp_path) == []


def test_other_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match='iter must be a DataIterator.*got 5'):
        extract(mlp(), 5, [PREDICTIONS])
    with pytest.raises(TypeError, match='extract_and_save: filename.*got 5'):
        extract_and_save(mlp(), Batches([(1, 1)]), [PREDICTIONS], 5)
    with pytest.raises(ValueError, match='no batch came'):
        extract(mlp(), Batches([]), [PREDICTIONS])
    with pytest.raises(OSError, match='cannot save the buffers to .*absent'):
        extract_and_save(mlp(), Batches([(1, 1)]), [PREDICTIONS], tmp_path / 'absent' / 'x')


def test_an_old_file_stays_where_the_data_fails(tmp_path):
    path = tmp_path / 'x.hdf5'
    path.write_text('old')
    with pytest.raises(ValueError, match='no batch came'):
        extract_and_save(mlp(), Batches([]), [PREDICTIONS], path)
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['x.hdf5']


FULL_DISK = """
import resource, signal, sys
import numpy as np
import brainstorm as bs
net = bs.tools.create_net_from_spec('classification', 300, 300, 'F300')
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    bs.tools.extract_and_save(net, bs.Minibatches(50, default=np.zeros((1, 1000, 300))),
                              ['FullyConnected.outputs.default'], sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize('limit', [100, 3000, 100000, 1000000])
def test_a_full_disk_is_a_clear_error_and_no_crash(tmp_path, limit):
    path = tmp_path / 'x.hdf5'
    path.write_text('old')
    result = subprocess.run([sys.executable, '-c', FULL_DISK, str(path), str(limit)],
                            capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, '')
    assert 'cannot save the buffers to' in result.stdout and 'x.hdf5' in result.stdout
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['x.hdf5']


# ---- Network.predict ----


@pytest.mark.parametrize('batch_size', [None, 1, 7, 1000])
def test_predict_equals_numpy(batch_size):
    net, x = mlp(), random_batch(batch_size=230)['default']
    np.testing.assert_allclose(net.predict(x, batch_size), mlp_predictions(net, x))
    np.testing.assert_allclose(net.predict({'default': x}, batch_size), mlp_predictions(net, x))


def test_predict_takes_datasets_and_iterators(tmp_path):
    net, data = mlp(), random_batch(batch_size=10)
    expected = mlp_predictions(net, data['default'])
    with h5py.File(tmp_path / 'x.hdf5', 'w') as file:
        file['x'] = data['default']
        np.testing.assert_allclose(net.predict(file['x'], 3), expected)
    np.testing.assert_allclose(net.predict(bs.Minibatches(3, shuffle=False, **data)), expected)


def test_predict_finds_the_output_as_scorers_do():
    net, x = recurrent_net(), random_batch(time_steps=3)['default']
    assert net.predict(x).shape == (3, 4, 3)
    np.testing.assert_allclose(net.predict(x, out_name='R.outputs.default'),
                               from_numpy(net, x)[:-1])
    net.output_name = 'R.outputs.default'
    np.testing.assert_allclose(net.predict(x), from_numpy(net, x)[:-1])


def test_the_memory_of_a_network_does_not_grow_beyond_a_batch():
    net = mlp()
    net.provide_external_data(random_batch(batch_size=60))
    net.forward_pass()
    net.predict(random_batch(batch_size=500)['default'], batch_size=50)
    before = bs._core.allocation_count()
    net.predict(random_batch(batch_size=1000)['default'], batch_size=50)
    assert bs._core.allocation_count() == before
    assert net.batch_size == 50


def test_predict_does_not_train_and_leaves_the_seeds_alone():
    net = classifier(layers.Dropout(), layers.BatchNorm())
    net.initialize(1.0)
    bs.global_rnd.set_seed(1)
    before = net.get('parameters')
    x = random_batch()['default']
    np.testing.assert_array_equal(net.predict(x), net.predict(x))
    np.testing.assert_array_equal(net.get('parameters'), before)
    assert bs.global_rnd.randint(1000) == np.random.RandomState(1).randint(1000)


@pytest.mark.parametrize('x, kwargs, error, text', [
    (np.zeros((1, 4, 5)), {}, ValueError, 'default'),
    (np.zeros(4), {}, ValueError, r'shape \(T, N, ...\).*\(4,\)'),
    ({'default': np.zeros((1, 4, 6)), 'targets': np.zeros((1, 3, 1))}, {}, ValueError,
     'one number N'),
    ({'deflt': np.zeros((1, 4, 6))}, {}, ValueError, "no input 'deflt'; there are default"),
    ({}, {}, ValueError, 'predict'),
    (np.zeros((1, 4, 6)), {'batch_size': 0}, ValueError, 'predict: batch_size'),
    (np.zeros((1, 4, 6)), {'batch_size': 1.5}, TypeError, 'predict: batch_size'),
    (np.zeros((1, 4, 6)), {'out_name': 'H.outputs.x'}, KeyError, 'H.outputs.x'),
    (np.zeros((1, 4, 6)), {'data_name': 'x'}, ValueError, "no input 'x'"),
    (np.zeros((1, 0, 6)), {}, ValueError, 'no batch came')])
def test_what_predict_refuses(x, kwargs, error, text):
    with pytest.raises(error, match=text):
        mlp().predict(x, **kwargs)


def test_predict_on_another_handler():
    net, x = mlp(), random_batch()['default']
    expected = net.predict(x)
    net.set_handler(NumpyHandler(np.float32))
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-5)
