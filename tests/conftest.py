"""Fixtures for the whole suite."""

import ctypes
import gc
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from brainstorm import _core
from cuda_double import Double

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_finish():
    """What all tests share is there now and stays. The garbage collector, which some of them call
    a thousand times, need not go through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def away_from_the_sources():
    """Child processes look for modules in the current folder first: it must not be that of the
    sources, which hide the package that is installed."""
    os.chdir(ROOT / 'tests')


@pytest.fixture
def threads():
    """Sets the number of threads for one test."""
    before = _core.num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(before)


@pytest.fixture(scope='session')
def cc():
    """The C compiler. An installed wheel can be tested without one."""
    return shutil.which('cc') or pytest.skip('needs a C compiler')


@pytest.fixture(scope='session')
def c_build(tmp_path_factory, cc):
    """Folder with the engine's C programs, built by CMake from this checkout."""
    cmake = shutil.which('cmake')
    assert cmake, 'the C tests need cmake: pip install cmake'
    build = tmp_path_factory.mktemp('build')
    subprocess.run([cmake, '-S', ROOT, '-B', build, '-DBS_TESTS=ON', '-DCMAKE_BUILD_TYPE=Release'],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([cmake, '--build', build, '-j', '2'], check=True, stdout=subprocess.DEVNULL)
    return build


@pytest.fixture(scope='session')
def cuda_double(request):
    """Path of the library that plays NVIDIA's libraries and a GPU (tests/cuda/double.h), which
    BRAINSTORM_LIB_CUDA names if it is built already."""
    chosen = os.environ.get('BRAINSTORM_LIB_CUDA')
    if chosen:
        return Path(chosen)
    path = request.getfixturevalue('c_build') / 'libcuda_double.so'
    return path if path.exists() else pytest.skip('the C library here has no makecontext')


@pytest.fixture(scope='session')
def kernel_folder(tmp_path_factory):
    """Where tests keep compiled kernels."""
    return tmp_path_factory.mktemp('kernels')


@pytest.fixture
def gpu(request, monkeypatch, kernel_folder):
    """A GPU for PyCudaHandler: the one that is there, if BRAINSTORM_TEST_GPU is set, else the
    double that the CPU plays. Other tests see no GPU: what is loaded
    stays in the process, but the double is pulled out."""
    if os.environ.get('BRAINSTORM_TEST_GPU'):
        yield
        return
    path = str(request.getfixturevalue('cuda_double'))
    for library in ('CUDA', 'NVRTC', 'CUBLAS', 'CUDNN'):
        monkeypatch.setenv(f'BRAINSTORM_LIB_{library}', path)
    monkeypatch.setenv('BRAINSTORM_CACHE_DIR', str(kernel_folder))
    library = ctypes.CDLL(path)
    library.double_plug(1)
    yield
    library.double_plug(0)


@pytest.fixture
def double(gpu):
    """What tests ask of the double beyond what a GPU can do; no failures stay behind."""
    path = os.environ.get('BRAINSTORM_LIB_CUDA')
    if not path or not hasattr(ctypes.CDLL(path), 'double_fail_at'):
        pytest.skip('needs the double of a GPU')
    double = Double(path)
    yield double
    double.library.double_fail_at(0, 0)
    double.close()
