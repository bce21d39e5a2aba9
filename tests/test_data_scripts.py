"""The data scripts, on raw files of the official layout but random content."""

import gzip
import hashlib
import io
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

import brainstorm as bs

DATA = pathlib.Path(__file__).resolve().parent.parent / 'data'
IDX = {'train-images-idx3-ubyte.gz': (60000, 28, 28), 'train-labels-idx1-ubyte.gz': (60000,),
       't10k-images-idx3-ubyte.gz': (10000, 28, 28), 't10k-labels-idx1-ubyte.gz': (10000,)}
BATCHES = [f'data_batch_{i}.bin' for i in range(1, 6)] + ['test_batch.bin']


@pytest.fixture
def dataset_tools(monkeypatch):
    monkeypatch.syspath_prepend(str(DATA))
    import dataset_tools
    return dataset_tools


def run(name, *arguments):
    return subprocess.run([sys.executable, DATA / name, *map(str, arguments)],
                          capture_output=True, text=True)


def idx_bytes(values):
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, '>u4').tobytes()
    return header + values.tobytes()


@pytest.fixture(scope='module')
def mnist(tmp_path_factory):
    """A folder of idx files and their arrays, mostly 0 so that compressing is quick."""
    folder, arrays = tmp_path_factory.mktemp('mnist'), {}
    rnd = np.random.RandomState(0)
    for name, shape in IDX.items():
        values = np.zeros(shape, np.uint8)
        values[::97] = rnd.randint(0, 10 if len(shape) == 1 else 256, values[::97].shape)
        (folder / name).write_bytes(gzip.compress(idx_bytes(values), 1))
        arrays[name] = values
    return folder, arrays


@pytest.fixture(scope='module')
def cifar(tmp_path_factory):
    """An archive of records of which only a few pixels vary, and the records."""
    path = tmp_path_factory.mktemp('cifar') / 'cifar-10-binary.tar.gz'
    rnd = np.random.RandomState(0)
    records = {}
    with tarfile.open(path, 'w:gz', compresslevel=1) as archive:
        for name in BATCHES:
            values = np.zeros((10000, 3073), np.uint8)
            values[:, 0] = rnd.randint(0, 10, 10000)
            values[:100, 1:] = rnd.randint(0, 256, (100, 3072))
            member = tarfile.TarInfo('cifar-10-batches-bin/' + name)
            member.size = values.size
            archive.addfile(member, io.BytesIO(values.tobytes()))
            records[name] = values
    return path, records


def test_mnist(mnist, tmp_path):
    folder, arrays = mnist
    result = run('create_mnist.py', '--from', folder, '--out', tmp_path)
    assert result.returncode == 0, result.stderr
    images = arrays['train-images-idx3-ubyte.gz'].astype(np.float32)[None, ..., None] / 255
    with h5py.File(tmp_path / 'MNIST.hdf5', 'r') as file:
        assert isinstance(file.attrs['description'], str)
        split, full = file['normalized_split'], file['normalized_full']
        assert split['training/default'].dtype == np.float32
        assert split['training/targets'].dtype == np.int64
        assert split['training/default'].compression == 'gzip'
        assert np.allclose(split['training/default'], images[:, :50000])
        assert np.allclose(split['validation/default'], images[:, 50000:])
        assert full['training/default'].shape == (1, 60000, 28, 28, 1)
        for group in (split, full):
            assert np.array_equal(group['test/targets'][0, :, 0],
                                  arrays['t10k-labels-idx1-ubyte.gz'])
        assert np.array_equal(full['training/targets'][0, :, 0],
                              arrays['train-labels-idx1-ubyte.gz'])


def test_cifar10(cifar, tmp_path):
    path, records = cifar
    result = run('create_cifar10.py', '--from', path.parent, '--out', tmp_path)
    assert result.returncode == 0, result.stderr
    training = np.concatenate([records[name] for name in BATCHES[:5]])
    with h5py.File(tmp_path / 'CIFAR-10.hdf5', 'r') as file:
        mean, std = file.attrs['mean'], file.attrs['std']
        assert mean.shape == std.shape == (32, 32, 3)
        green = training[:40000, 1 + 1024 + 5 * 32 + 7].astype(np.float64)
        assert mean[5, 7, 1] == pytest.approx(green.mean())
        assert std[5, 7, 1] == pytest.approx(green.std())
        split, full = file['normalized_split'], file['normalized_full']
        sizes = [split[part]['default'].shape for part in ('training', 'validation', 'test')]
        assert sizes == [(1, n, 32, 32, 3) for n in (40000, 10000, 10000)]
        assert split['training/default'].dtype == np.float64
        assert split['training/targets'].dtype == np.uint8
        assert np.array_equal(full['training/targets'][0, :, 0], training[:, 0])
        image = records['test_batch.bin'][3, 1:].reshape(3, 32, 32).transpose(1, 2, 0)
        for group in (split, full):
            assert np.allclose(group['test/default'][0, 3], (image - mean) / std)


def test_cifar100(tmp_path):
    rnd = np.random.RandomState(1)
    records = {name: np.zeros((n, 3074), np.uint8)
               for name, n in (('train.bin', 50000), ('test.bin', 10000))}
    with tarfile.open(tmp_path / 'cifar-100-binary.tar.gz', 'w:gz', compresslevel=1) as archive:
        for name, values in records.items():
            values[:, 0], values[:, 1] = 255, rnd.randint(0, 100, len(values))
            values[:50, 2:] = rnd.randint(0, 256, (50, 3072))
            member = tarfile.TarInfo('cifar-100-binary/' + name)
            member.size = values.size
            archive.addfile(member, io.BytesIO(values.tobytes()))
    result = run('create_cifar100.py', '--from', tmp_path, '--out', tmp_path)
    assert result.returncode == 0, result.stderr
    with h5py.File(tmp_path / 'CIFAR-100.hdf5', 'r') as file:
        full = file['normalized_full']
        assert np.array_equal(full['training/targets'][0, :, 0], records['train.bin'][:, 1])
        assert np.array_equal(full['test/targets'][0, :, 0], records['test.bin'][:, 1])
        image = records['test.bin'][3, 2:].reshape(3, 32, 32).transpose(1, 2, 0)
        expected = (image - file.attrs['mean']) / file.attrs['std']
        assert np.allclose(file['normalized_split/test/default'][0, 3], expected)


def write_zip(path, member, content):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)


def words(n):
    """n characters of random words."""
    rnd = np.random.RandomState(0)
    lexicon = [bytes(rnd.randint(97, 123, rnd.randint(1, 9)).astype(np.uint8)) for _ in range(50)]
    return b' '.join(lexicon[i] for i in rnd.randint(0, 50, n))[:n]


def test_hutter(tmp_path):
    text = words(430021)  # 5 % are 21501: two minibatches of 100 x 100
    write_zip(tmp_path / 'enwik8.zip', 'enwik8', text)
    result = run('create_hutter.py', '--from', tmp_path, '--out', tmp_path)
    assert result.returncode == 0, result.stderr
    parts = {'training': (text[:-43002], 38), 'validation': (text[-43002:-21501], 2),
             'test': (text[-21501:], 2)}
    with h5py.File(tmp_path / 'HutterPrize.hdf5', 'r') as file:
        unique = file.attrs['unique']
        assert unique.dtype == np.uint8 and bytes(unique) == bytes(sorted(set(text)))
        assert isinstance(file.attrs['description'], str)
        assert sorted(file['split']) == sorted(parts)
        for name, (part, n_batches) in parts.items():
            default, targets = file['split'][name]['default'], file['split'][name]['targets']
            for item in (default, targets):
                assert item.shape == (100, 100 * n_batches, 1)
                assert item.dtype == np.int64 and item.compression == 'gzip'
            stream = 100 * n_batches
            for s in range(100):
                for k in range(n_batches):
                    first = s * stream + k * 100
                    assert bytes(unique[default[:, k * 100 + s, 0]]) == part[first:first + 100]
                    assert bytes(unique[targets[:, k * 100 + s, 0]]) == \
                        part[first + 1:first + 101]


def test_minibatches_of_hutter_continue_each_other(tmp_path):
    write_zip(tmp_path / 'enwik8.zip', 'enwik8', words(430021))
    assert run('create_hutter.py', '--from', tmp_path, '--out', tmp_path).returncode == 0
    with h5py.File(tmp_path / 'HutterPrize.hdf5', 'r') as file:
        training = file['split/training']
        batches = list(bs.Minibatches(100, shuffle=False, default=training['default'],
                                      targets=training['targets'])(None))
    assert len(batches) == 38
    for before, after in zip(batches, batches[1:]):
        assert np.array_equal(before['targets'][-1], after['default'][0])


def test_texts_that_fill_their_last_minibatch(tmp_path):
    text = words(400000)  # 5 % are 20000, and nothing stands behind the test
    write_zip(tmp_path / 'enwik8.zip', 'enwik8', text)
    assert run('create_hutter.py', '--from', tmp_path, '--out', tmp_path).returncode == 0
    with h5py.File(tmp_path / 'HutterPrize.hdf5', 'r') as file:
        split, unique = file['split'], file.attrs['unique']
        sizes = [split[part]['default'].shape[1] for part in ('training', 'validation', 'test')]
        assert sizes == [3600, 200, 100]
        assert unique[split['validation/targets'][-1, -1, 0]] == text[380000]


@pytest.mark.parametrize('damage, text', [
    (lambda path: path.write_bytes(b'hello'), 'is damaged'),
    (lambda path: path.write_bytes(path.read_bytes()[:-20]), 'is damaged'),
    (lambda path: write_zip(path, 'other', b'hello'), 'has no member enwik8'),
    (lambda path: write_zip(path, 'enwik8', b''), 'a text of 0 characters'),
    (lambda path: write_zip(path, 'enwik8', words(200000)), '200000 .* less for test than'),
])
def test_damaged_texts_write_nothing(tmp_path, damage, text):
    path = tmp_path / 'archive.zip'
    write_zip(path, 'enwik8', words(300000))
    damage(path)
    result = run('create_hutter.py', '--from', path, '--out', tmp_path / 'out')
    assert result.returncode == 1
    assert re.search(text, result.stderr) and 'Traceback' not in result.stderr
    assert list((tmp_path / 'out').iterdir()) == []


def write_gzip(path, content):
    path.write_bytes(gzip.compress(content, 1))


@pytest.mark.parametrize('damage, text', [
    (lambda path: path.unlink(), 'there is no file'),
    (lambda path: path.write_bytes(b'hello'), 'is damaged'),
    (lambda path: path.write_bytes(path.read_bytes()[:-20]), 'is damaged'),
    (lambda path: write_gzip(path, b'hello'), 'is not the idx file'),
    (lambda path: write_gzip(path, idx_bytes(np.zeros(9, np.uint8))), 'is not the idx file'),
])
def test_damaged_mnist_files_write_nothing(mnist, tmp_path, damage, text):
    source, out = tmp_path / 'raw', tmp_path / 'out'
    source.mkdir()
    for name in IDX:
        (source / name).write_bytes((mnist[0] / name).read_bytes())
    damage(source / 'train-labels-idx1-ubyte.gz')
    result = run('create_mnist.py', '--from', source, '--out', out)
    assert result.returncode == 1
    assert text in result.stderr and 'train-labels-idx1-ubyte.gz' in result.stderr
    assert 'Traceback' not in result.stderr
    assert list(out.iterdir()) == []


def test_damaged_cifar_archives_write_nothing(cifar, tmp_path):
    path = tmp_path / 'archive.tar.gz'
    content = cifar[0].read_bytes()
    for damaged in (b'hello', content[:len(content) // 2], b''):
        path.write_bytes(damaged)
        result = run('create_cifar10.py', '--from', path, '--out', tmp_path / 'out')
        assert result.returncode == 1
        assert 'archive.tar.gz' in result.stderr and 'Traceback' not in result.stderr
    with tarfile.open(path, 'w:gz') as archive:
        member = tarfile.TarInfo('data_batch_1.bin')
        member.size = 3073
        archive.addfile(member, io.BytesIO(bytes(3073)))
    result = run('create_cifar10.py', '--from', path, '--out', tmp_path / 'out')
    assert result.returncode == 1
    assert list((tmp_path / 'out').iterdir()) == []


def test_an_old_data_set_stays_where_a_new_one_fails(tmp_path):
    (tmp_path / 'MNIST.hdf5').write_bytes(b'old')
    assert run('create_mnist.py', '--from', tmp_path, '--out', tmp_path).returncode == 1
    assert (tmp_path / 'MNIST.hdf5').read_bytes() == b'old'


def test_downloads_are_checked(dataset_tools, tmp_path):
    content = b'some content' * 1000
    (tmp_path / 'raw').write_bytes(content)
    url = (tmp_path / 'raw').as_uri()
    for checksum in ('md5:' + hashlib.md5(content).hexdigest(),
                     'sha256:' + hashlib.sha256(content).hexdigest()):
        with dataset_tools.raw_file('raw', url, checksum, None) as path:
            assert pathlib.Path(path).read_bytes() == content
    with pytest.raises(dataset_tools.DataError, match='checksum md5:.*, expected md5:123'):
        with dataset_tools.raw_file('raw', url, 'md5:123', None):
            pass
    with pytest.raises(dataset_tools.DataError, match='cannot download .*--from'):
        with dataset_tools.raw_file('raw', url + 'absent', 'md5:123', None):
            pass
