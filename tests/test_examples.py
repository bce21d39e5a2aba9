"""The examples run, on data of the right shape where the real data sets are not at hand."""

import os
import pathlib
import re
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / 'examples'


def run(name, folder, *arguments):
    environment = {**os.environ, 'BRAINSTORM_DATA_DIR': str(folder),
                   'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run([sys.executable, EXAMPLES / name, *arguments], cwd=folder,
                            capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def make_data(path, shape, n):
    """Images whose class shows as a bright row."""
    rnd = np.random.RandomState(0)
    with h5py.File(path, 'w') as file:
        for part in ('training', 'validation', 'test'):
            targets = rnd.randint(0, 10, n)
            images = rnd.rand(1, n, *shape).astype(np.float32)
            images[0, np.arange(n), targets] += 2
            file[f'normalized_split/{part}/default'] = images
            file[f'normalized_split/{part}/targets'] = targets.reshape(1, n, 1)


def test_the_code_in_the_readme_runs(tmp_path):
    text = (EXAMPLES.parent / 'README.rst').read_text()
    block = re.search(r'.. code-block:: python\n\n((?: {4}.*\n|\n)+)', text)[1]
    script = tmp_path / 'readme.py'
    script.write_text(textwrap.dedent(block))
    assert 'Epoch 10' in run(script, tmp_path)


def test_digits(tmp_path):
    out = run('digits.py', tmp_path)
    accuracy = float(re.search(r'Test accuracy: ([\d.]+) %\n$', out)[1])
    assert accuracy >= 97
    assert 'Epoch 1' in out


def test_digits_data():
    path = EXAMPLES / 'digits.hdf5'
    assert path.stat().st_size < 100 * 1024
    with h5py.File(path, 'r') as file:
        assert 'doi 10.24432/C50P49' in file.attrs['description']
        split = file['normalized_split']
        assert [split[part]['default'].shape for part in ('training', 'validation', 'test')] == \
            [(1, n, 8, 8, 1) for n in (1200, 297, 300)]
        assert split['test/default'].dtype == np.float32
        assert split['test/targets'].shape == (1, 300, 1)
        assert 0 <= split['test/default'][:].min() < split['test/default'][:].max() <= 1


@pytest.mark.parametrize('name, data, shape, best', [
    ('mnist_pi.py', 'MNIST.hdf5', (28, 28, 1), 'mnist_pi_best.hdf5'),
    ('cifar10_cnn.py', 'CIFAR-10.hdf5', (32, 32, 3), 'cifar10_cnn_best.hdf5')])
def test_large_examples_on_small_data(tmp_path, name, data, shape, best):
    make_data(tmp_path / data, shape, n=200)
    out = run(name, tmp_path, '--epochs', '2')
    assert re.search(r'accuracy: [\d.]+', out.splitlines()[-1])
    assert (tmp_path / best).exists()


def test_custom_layer(tmp_path):
    out = run('custom_layer.py', tmp_path)
    low, high = re.search(r'Slopes of PRelu_1: from ([-\d.]+) to ([-\d.]+)', out).groups()
    assert float(low) != float(high)
    assert float(re.search(r'Test accuracy: ([\d.]+) %\n$', out)[1]) >= 97


def test_regression(tmp_path):
    out = run('regression.py', tmp_path)
    assert float(re.search(r'without noise: ([\d.]+)\n$', out)[1]) < 0.05


def test_training_loop(tmp_path):
    out = run('training_loop.py', tmp_path)
    losses = [float(loss) for loss in re.findall(r'Epoch \d+: loss ([\d.]+)', out)]
    assert len(losses) == 10 and losses[-1] < losses[0] / 10
    assert float(re.search(r'Test error: ([\d.]+) %\n$', out)[1]) < 4


def test_feature_extraction(tmp_path):
    out = run('feature_extraction.py', tmp_path)
    pixels, features = map(float, re.findall(r'of \w+: +([\d.]+) %', out))
    assert features > pixels + 2


def test_mnist_lstm_on_small_data(tmp_path):
    make_data(tmp_path / 'MNIST.hdf5', (28, 28, 1), n=500)
    out = run('mnist_lstm.py', tmp_path, '--epochs', '6')
    losses = re.findall(r'rolling_training\n\s+total_loss\s+([\d.]+)', out)
    assert len(losses) == 6 and float(losses[-1]) < float(losses[0])
    assert re.search(r'Test accuracy: [\d.]+ %\n$', out)


def test_the_notebook_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip('nbclient', reason='notebooks need nbclient and ipykernel')
    nbformat = pytest.importorskip('nbformat')
    pytest.importorskip('ipykernel', reason='notebooks need nbclient and ipykernel')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, sys.path)))
    notebook = nbformat.read(EXAMPLES / 'one_update.ipynb', as_version=4)
    assert not any(cell.get('outputs') for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name='python3',
                            resources={'metadata': {'path': str(tmp_path)}}).execute()
    assert "'total_loss'" in notebook.cells[-1].outputs[0]['data']['text/plain']


def test_hutter_lstm_on_small_data(tmp_path):
    alphabet = np.array([32, *range(97, 123)], np.uint8)
    text = np.searchsorted(alphabet, np.frombuffer(b'to be or not to be ' * 600, np.uint8))
    with h5py.File(tmp_path / 'HutterPrize.hdf5', 'w') as file:
        file.attrs['unique'] = alphabet
        for part in ('training', 'validation'):
            file[f'split/{part}/default'] = text[:10000].reshape(100, 100, 1).swapaxes(0, 1)
            file[f'split/{part}/targets'] = text[1:10001].reshape(100, 100, 1).swapaxes(0, 1)
    out = run('hutter_lstm.py', tmp_path, '--epochs', '8', '--characters', '40')
    bits, written = re.search(r'bits per character: ([\d. ]+)\n(.*)\n$', out).groups()
    first, *_, last = map(float, bits.split())
    assert first == pytest.approx(np.log2(27), rel=0.1) and last < first / 2
    assert re.fullmatch('[a-z ]{40}', written)


# ---- on the real data sets ----

def real_data(name):
    """Marks a test that needs a data set made by data/create_*.py."""
    folder = pathlib.Path(os.environ.get('BRAINSTORM_DATA_DIR', '.')).absolute()
    return pytest.mark.skipif(not (folder / name).exists(),
                              reason=f'{name} is not in BRAINSTORM_DATA_DIR')


@real_data('MNIST.hdf5')
def test_mnist_pi_on_mnist(tmp_path):
    (tmp_path / 'MNIST.hdf5').symlink_to(
        pathlib.Path(os.environ['BRAINSTORM_DATA_DIR'], 'MNIST.hdf5').absolute())
    out = run('mnist_pi.py', tmp_path, '--epochs', '1')
    assert float(re.search(r'Test accuracy: ([\d.]+) %\n$', out)[1]) > 95


@real_data('CIFAR-10.hdf5')
def test_cifar10_cnn_on_cifar10(tmp_path):
    (tmp_path / 'CIFAR-10.hdf5').symlink_to(
        pathlib.Path(os.environ['BRAINSTORM_DATA_DIR'], 'CIFAR-10.hdf5').absolute())
    out = run('cifar10_cnn.py', tmp_path, '--epochs', '2')
    assert float(re.search(r'Best validation accuracy: ([\d.]+)\n$', out)[1]) > 0.3


@real_data('HutterPrize.hdf5')
def test_hutter_lstm_on_text(tmp_path):
    (tmp_path / 'HutterPrize.hdf5').symlink_to(
        pathlib.Path(os.environ['BRAINSTORM_DATA_DIR'], 'HutterPrize.hdf5').absolute())
    out = run('hutter_lstm.py', tmp_path, '--epochs', '1')
    bits = re.search(r'bits per character: ([\d. ]+)\n', out)[1]
    assert float(bits.split()[-1]) < 3
