import json
import os
import stat
import subprocess
import sys

import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm.handlers import NumpyHandler
from brainstorm.utils import ValidationError
from brainstorm.value_modifiers import L2Decay
from networks import classifier, mlp


def saved(tmp_path, **attributes):
    net = mlp()
    net.save_as_hdf5(tmp_path / 'net.hdf5', **attributes)
    return net, tmp_path / 'net.hdf5'


def test_what_is_in_a_file(tmp_path):
    net, path = saved(tmp_path, comment='hello')
    with h5py.File(path, 'r') as file:
        assert file.attrs['format'] == 'Network file v1.0'
        assert file.attrs['info'] == f'Created with brainstorm {bs.__version__}'
        assert file.attrs['comment'] == 'hello'
        assert file['parameters'].compression == 'gzip'
        assert np.array_equal(file['parameters'], net.get('parameters'))
        text = file['description'][()]
        assert isinstance(text, bytes)
        assert json.loads(text) == bs.get_description(net)
    assert os.listdir(tmp_path) == ['net.hdf5']


def test_everything_comes_back(tmp_path):
    net = mlp(np.float32)
    net.initialize({'H': {'W': bs.Uniform(0.3), 'bias': [1, 2, 3, 4, 5]}, 'default': 0.5,
                    'fallback': bs.Gaussian()})
    net.set_weight_modifiers(H={'W': [bs.MaskValues(np.eye(5, 6)), bs.FreezeValues()]})
    net.set_gradient_modifiers(L2Decay(0.1))
    net.apply_weight_modifiers()
    net.output_name = 'H.outputs.default'
    net.save_as_hdf5(tmp_path / 'net.hdf5')
    other = bs.Network.from_hdf5(tmp_path / 'net.hdf5')
    assert bs.get_description(other) == bs.get_description(net)
    assert np.array_equal(other.get('parameters'), net.get('parameters'))
    assert other.handler.dtype == np.float32


def test_a_network_that_was_never_initialized(tmp_path):
    net = classifier()
    net.save_as_hdf5(tmp_path / 'net.hdf5')
    assert not bs.Network.from_hdf5(tmp_path / 'net.hdf5').get('parameters').any()


def test_a_handler_that_cannot_be_opened_is_replaced(tmp_path):
    net, path = saved(tmp_path)
    description = dict(bs.get_description(net),
                       handler={'@type': 'PyCudaHandler', 'dtype': 'float64'})
    rewrite(path, description)
    with pytest.warns(UserWarning, match='PyCudaHandler cannot be opened.*NumpyHandler'):
        other = bs.Network.from_hdf5(path)
    assert isinstance(other.handler, NumpyHandler)
    assert other.handler.dtype == np.float64


def rewrite(path, description):
    with h5py.File(path, 'a') as file:
        del file['description']
        file['description'] = description if isinstance(description, str) \
            else json.dumps(description)


@pytest.mark.parametrize('description', [
    'no json', '[1]', '{}', '{"@type": "Network"}', '{"@type": "Gaussian"}', '[' * 100000,
    {'architecture': {'Input': {'@type': 'os.system'}}},
    {'architecture': 5},
    {'handler': {'@type': 'Network'}}, {'handler': 5}, {'handler': {'@type': 'Unknown'}},
    {'initializers': {'H': {'@type': 'ClipValues'}}}, {'initializers': {'Nobody': 1}},
    {'initializers': {'default': {'@type': 'Gaussian', '__init__': 1}}},
    {'weight_modifiers': {'H': {'W': [1]}}}, {'weight_modifiers': 5},
    {'gradient_modifiers': {'H': {'W': [{'@type': 'SaveBestNetwork', 'log_name': 'x'}]}}},
])
def test_hostile_descriptions_are_refused(tmp_path, description):
    net, path = saved(tmp_path)
    if isinstance(description, dict):
        description = {**bs.get_description(net), **description}
    rewrite(path, description)
    with pytest.raises(ValidationError, match='net.hdf5'):
        bs.Network.from_hdf5(path)


def test_a_huge_layer_in_a_file_is_no_crash(tmp_path):
    net, path = saved(tmp_path)
    description = bs.get_description(net)
    description['architecture']['H']['size'] = 10 ** 13
    rewrite(path, description)
    with pytest.raises(ValidationError, match='net.hdf5'):
        bs.Network.from_hdf5(path)


@pytest.mark.parametrize('parameters', [None, np.zeros(3), np.zeros((48, 1)), np.zeros(53, int),
                                        np.full(53, b'x')])
def test_wrong_parameters_in_a_file(tmp_path, parameters):
    _, path = saved(tmp_path)
    with h5py.File(path, 'a') as file:
        del file['parameters']
        if parameters is not None:
            file['parameters'] = parameters
    with pytest.raises(ValidationError, match="net.hdf5.*parameters"):
        bs.Network.from_hdf5(path)


def test_other_formats_are_named(tmp_path):
    _, path = saved(tmp_path)
    with h5py.File(path, 'a') as file:
        file.attrs['format'] = np.bytes_(b'Network file v1.0')
    bs.Network.from_hdf5(path)
    with h5py.File(path, 'a') as file:
        file.attrs['format'] = 'Logs file v1.0'
    with pytest.raises(ValidationError, match="'Logs file v1.0', expected 'Network file v1.0'"):
        bs.Network.from_hdf5(path)


def test_truncated_and_foreign_files(tmp_path):
    _, path = saved(tmp_path)
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises((OSError, ValidationError), match='net.hdf5'):
            bs.Network.from_hdf5(path)
    with pytest.raises(FileNotFoundError, match='nothing.hdf5'):
        bs.Network.from_hdf5(tmp_path / 'nothing.hdf5')
    with pytest.raises(OSError, match='folder'):
        (tmp_path / 'folder').mkdir()
        bs.Network.from_hdf5(tmp_path / 'folder')


def test_a_subclass_loads_its_own_files_and_those_of_network(tmp_path):
    class MyNetwork(bs.Network):
        pass
    _, path = saved(tmp_path)
    net = MyNetwork.from_hdf5(path)
    assert type(net) is MyNetwork
    net.save_as_hdf5(path)
    assert type(MyNetwork.from_hdf5(path)) is MyNetwork
    with pytest.raises(ValidationError, match='not that of a Network'):
        bs.Network.from_hdf5(path)


def test_numpy_numbers_can_be_saved(tmp_path):
    net = mlp()
    net.initialize(bs.Gaussian(np.float32(0.5), np.int64(1)))
    net.set_weight_modifiers(bs.ClipValues(np.int8(-1), np.float16(1)))
    net.save_as_hdf5(tmp_path / 'net.hdf5')
    other = bs.Network.from_hdf5(tmp_path / 'net.hdf5')
    assert other.initializers['default'].std == 0.5


FULL_DISK = """
import resource, signal, sys
import brainstorm as bs
net = bs.tools.create_net_from_spec('classification', 300, 300, 'F300')
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
try:
    net.save_as_hdf5(sys.argv[1])
except OSError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file_intact(tmp_path):
    _, path = saved(tmp_path)
    before = path.read_bytes()
    result = subprocess.run([sys.executable, '-c', FULL_DISK, str(path)], capture_output=True,
                            text=True)
    assert 'cannot save the network to' in result.stdout and 'net.hdf5' in result.stdout
    assert result.returncode == 0, result.stderr
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['net.hdf5']


def test_nothing_is_left_where_saving_fails(tmp_path, monkeypatch):
    net, path = saved(tmp_path)
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError, match='net.hdf5.*No space left'):
        net.save_as_hdf5(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['net.hdf5']
    with pytest.raises(OSError, match='absent'):
        net.save_as_hdf5(tmp_path / 'absent' / 'net.hdf5')


@pytest.mark.parametrize('name', ['x' * 250 + '.hdf5', b'net.hdf5'])
def test_file_names_of_any_length_and_type(tmp_path, name):
    net = mlp()
    path = os.path.join(os.fsencode(tmp_path) if isinstance(name, bytes) else tmp_path, name)
    net.save_as_hdf5(path)
    assert os.listdir(tmp_path) == [os.fsdecode(name)]
    other = bs.Network.from_hdf5(path)
    assert np.array_equal(other.get('parameters'), net.get('parameters'))


@pytest.mark.parametrize('comment, error, text', [
    (5, TypeError, 'comment must be a str, got 5'),
    (b'a', TypeError, "comment must be a str, got b'a'"),
    ('a\0b', ValueError, r"comment must not contain NUL, got 'a\\x00b'")])
def test_comments_are_text(tmp_path, comment, error, text):
    with pytest.raises(error, match=text):
        mlp().save_as_hdf5(tmp_path / 'net.hdf5', comment=comment)
    assert os.listdir(tmp_path) == []


def test_what_is_no_regular_file_is_never_replaced(tmp_path):
    (tmp_path / 'folder').mkdir()
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'link').symlink_to(tmp_path / 'pipe')
    for name in ('folder', 'pipe', 'link'):
        with pytest.raises(OSError, match='no regular file'):
            mlp().save_as_hdf5(tmp_path / name)
    assert stat.S_ISFIFO(os.stat(tmp_path / 'pipe').st_mode)
    assert sorted(os.listdir(tmp_path)) == ['folder', 'link', 'pipe']


def test_every_damaged_byte_is_noticed(tmp_path):
    path = tmp_path / 'net.hdf5'
    net = mlp()
    net.save_as_hdf5(path)
    good = path.read_bytes()
    rnd = np.random.RandomState(0)
    for position in rnd.choice(len(good), 300, replace=False):
        damaged = bytearray(good)
        damaged[position] ^= 1 << rnd.randint(8)
        path.write_bytes(damaged)
        try:
            loaded = bs.Network.from_hdf5(path)
        except ValidationError as error:
            assert 'damaged' in str(error) and str(path) in str(error)
        else:  # the mark of the checksum itself was hit: the content is as it was
            assert position >= len(good) - 60
            np.testing.assert_array_equal(loaded.get('parameters'), net.get('parameters'))


def test_other_programs_read_the_file(tmp_path):
    path = tmp_path / 'net.hdf5'
    net = mlp()
    net.save_as_hdf5(path, comment='for all')
    with h5py.File(path, 'r') as file:
        assert file.attrs['format'] == 'Network file v1.0' and file.attrs['comment'] == 'for all'
        assert isinstance(file['description'][()], bytes)
        np.testing.assert_array_equal(file['parameters'][...], net.get('parameters'))
