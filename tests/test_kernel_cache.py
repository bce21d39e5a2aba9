"""Compiled kernels on disk: whole or not at all, and never in the way."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import brainstorm
from brainstorm.handlers import kernel_cache
from cuda_double import CUDA

ROOT = Path(brainstorm.__file__).parents[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / 'some' / 'kernels'
    monkeypatch.setenv('BRAINSTORM_CACHE_DIR', str(folder))
    return folder


@pytest.fixture
def child(folder, cuda_double):
    """Runs code in a process that uses the double and the folder, and returns its words."""
    def run(code, wait=True):
        env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path])}
        env.update({f'BRAINSTORM_LIB_{name}': str(cuda_double)
                    for name in ('CUDA', 'NVRTC', 'CUBLAS', 'CUDNN')})
        process = subprocess.Popen([sys.executable, '-c', code], env=env, text=True,
                                   stdout=subprocess.PIPE)
        return process.communicate()[0].split() if wait else process
    return run


# ---- files ----

def test_what_is_kept_comes_back(folder):
    assert kernel_cache.recall('a') is None
    for data in b'\x00\xff' * 1000, b'', b'x':
        kernel_cache.keep('a', data)
        assert kernel_cache.recall('a') == data
    assert kernel_cache.recall('b') is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(os.listdir(folder)) == 1


@pytest.mark.parametrize('variables, place', [
    ({'BRAINSTORM_CACHE_DIR': '{}/mine', 'XDG_CACHE_HOME': '{}/xdg'}, 'mine'),
    ({'XDG_CACHE_HOME': '{}/xdg', 'HOME': '{}'}, 'xdg/brainstorm/kernels'),
    ({'HOME': '{}'}, '.cache/brainstorm/kernels')])
def test_places(monkeypatch, tmp_path, variables, place):
    for name in 'BRAINSTORM_CACHE_DIR', 'XDG_CACHE_HOME':
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    kernel_cache.keep('a', b'data')
    assert len(list((tmp_path / place).glob('*.cubin'))) == 1


def test_every_flipped_bit_and_every_truncation_is_noticed(folder):
    kernel_cache.keep('a', b'some data')
    file, = folder.iterdir()
    content = file.read_bytes()
    for bit in range(8 * len(content)):
        spoilt = bytearray(content)
        spoilt[bit // 8] ^= 1 << bit % 8
        file.write_bytes(spoilt)
        assert kernel_cache.recall('a') is None
    for length in range(len(content)):
        file.write_bytes(content[:length])
        assert kernel_cache.recall('a') is None
    file.write_bytes(content + b'x')
    assert kernel_cache.recall('a') is None
    file.write_bytes(content)
    assert kernel_cache.recall('a') == b'some data'


@pytest.mark.parametrize('make', [
    lambda folder: folder.parent.mkdir(),                      # nobody may make it in there
    lambda folder: folder.parent.write_text('not a folder'),
    lambda folder: (folder.parent.mkdir(), folder.write_text('not a folder'))])
def test_a_folder_that_cannot_be_made(folder, monkeypatch, make):
    make(folder)
    if folder.parent.is_dir() and not folder.exists():
        def refuse(*args, **kwargs):
            raise OSError(errno.EROFS, 'Read-only file system')
        monkeypatch.setattr(os, 'makedirs', refuse)
    kernel_cache.keep('a', b'data')
    assert kernel_cache.recall('a') is None


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_that_is_read_only(folder):
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    kernel_cache.keep('a', b'data')
    assert kernel_cache.recall('a') is None


@pytest.mark.parametrize('error, is_silent', [(OSError(errno.ENOSPC, 'No space left'), True),
                                              (KeyboardInterrupt(), False)])
@pytest.mark.parametrize('when', ['write', 'replace'])
def test_no_drafts_stay(folder, monkeypatch, error, is_silent, when):
    kernel_cache.keep('a', b'before')

    class Full:
        def __init__(self, handle, mode):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            os.close(self.handle)

        def write(self, data):
            raise error

    def replace(*paths):
        raise error
    monkeypatch.setattr(os, *('fdopen', Full) if when == 'write' else ('replace', replace))
    if is_silent:
        kernel_cache.keep('a', b'after')
    else:
        with pytest.raises(KeyboardInterrupt):
            kernel_cache.keep('a', b'after')
    assert kernel_cache.recall('a') == b'before' and len(os.listdir(folder)) == 1


def test_processes_write_at_the_same_time(folder, child):
    """Each reader sees what one of them has written."""
    writers = [child(f'''
from brainstorm.handlers import kernel_cache
for i in range(200):
    kernel_cache.keep('a', b'{letter}' * (10000 + {k}))
''', wait=False) for k, letter in enumerate('abcd')]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        data = kernel_cache.recall('a')
        if data is not None:
            assert len(set(data)) == 1 and len(data) == 10000 + 'abcd'.index(chr(data[0]))
        seen.add(data)
    assert [writer.communicate() and writer.returncode for writer in writers] == [0] * 4
    assert len(seen - {None}) > 1 and len(os.listdir(folder)) == 1


# ---- kernels ----

# Prints how many modules were compiled, for these numbers.
COUNT = '''
import numpy as np
from brainstorm import _core
from brainstorm.handlers import NumpyHandler, PyCudaHandler, cuda_libraries, kernel_cache
compiled, keys = [], []

def keep(key, data):
    compiled.append(key)
    kernel_cache.keep(key, data)

def recall(key):
    keys.append(key)
    return kernel_cache.recall(key)
_core.set_host(cuda_libraries.find_library, recall, keep)
for dtype in {dtypes}:
    handler = PyCudaHandler(dtype)
    a = handler.create_from_numpy(np.arange(12.0).reshape(3, 4))
    out = handler.zeros((1, 4))
    handler.sum_t(a + a, 0, out)
    assert out.get().tolist() == [[24, 30, 36, 42]]
print(len(compiled))
'''


def test_a_second_process_does_not_compile(folder, child):
    both = COUNT.format(dtypes="('float32', 'float64')")
    assert child(COUNT.format(dtypes="['float32']")) == ['2']
    assert child(both) == ['2'] and child(both) == ['0']
    assert len(os.listdir(folder)) == 4


def test_a_spoilt_kernel_is_compiled_again(folder, child):
    count = COUNT.format(dtypes="['float32']")
    assert child(count) == ['2']
    first, second = folder.iterdir()
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    assert child(count) == ['1']
    second.write_bytes(b'')
    assert child(count) == ['1'] and child(count) == ['0']


def test_a_kept_kernel_that_the_driver_refuses_is_compiled_again(folder, child):
    spoil = COUNT.format(dtypes="['float32']") + '''
for key in keys:
    kernel_cache.keep(key, b'from another world')
'''
    assert child(spoil) == ['2'] and child(spoil) == ['2']


def test_without_a_folder_every_process_compiles(folder, child):
    folder.parent.write_text('not a folder')
    count = COUNT.format(dtypes="['float32']")
    assert child(count) == ['2'] and child(count) == ['2']


def test_the_key_says_all_that_matters(folder, child):
    """Compiler, device, options and source: a change of any of them is another kernel."""
    keys = child(COUNT.format(dtypes="['float32', 'float64']") + 'print(repr(keys))')
    keys = eval(' '.join(keys[1:]))
    assert len(keys) == len(set(keys)) == 4
    for key in keys:
        assert key.startswith('NVRTC ') and '--gpu-architecture=sm_90' in key.partition('\n')[0]
    in_double = ['-DREAL_IS_DOUBLE' in key.partition('\n')[0] for key in keys]
    assert in_double == [False] * 2 + [True] * 2
    for file, key in zip(('elementwise.cu', 'sums.cu'), keys):
        words = (CUDA / 'kernels' / file).read_text().split()
        assert ' '.join(words[-200:]) in ' '.join(key.split())


CAPABILITY = """
import ctypes, os
ctypes.CDLL(os.environ['BRAINSTORM_LIB_CUDA']).double_set_capability({})
"""


@pytest.mark.parametrize('capability, architecture', [
    (75, 'sm_75'), (90, 'sm_90'), (100, 'sm_100'),
    # not among those that the double's NVRTC knows
    (87, 'compute_86'), (103, 'compute_100'), (150, 'compute_120'), (110, 'compute_100')])
def test_what_kernels_are_compiled_for(child, capability, architecture):
    keys = child(CAPABILITY.format(capability) + COUNT.format(dtypes="['float32']")
                 + 'print(*(key.split()[2] for key in keys))')[1:]
    assert keys == 2 * [f'--gpu-architecture={architecture}']


def test_ptx_is_kept_beside_machine_code(folder, child):
    count = COUNT.format(dtypes="['float32']")
    newer = CAPABILITY.format(150) + count
    assert child(count) == ['2']
    assert child(newer) == ['2'] and child(newer) == ['0'] and child(count) == ['0']
    assert len(os.listdir(folder)) == 4


def test_a_gpu_that_the_compiler_has_forgotten(child):
    text = ' '.join(child(CAPABILITY.format(70) + '''
from brainstorm.handlers import PyCudaHandler
try:
    PyCudaHandler()
except RuntimeError as error:
    print(error)
'''))
    assert text == (
        'this GPU has compute capability 7.0, for which the NVRTC here does not compile any more; '
        'an older version does: pip install brainstorm[pycuda12]')
