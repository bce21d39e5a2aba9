"""How NVIDIA's libraries are found, and what is said where they, the driver or the GPU are missing.

Wheels, conda and toolkits are folders with small libraries of the same names; each case is a
process of its own, since a library that is once loaded is found again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import brainstorm
from brainstorm.handlers import PyCudaHandler

ROOT = Path(brainstorm.__file__).parents[1]

FILES = {
    'nvidia/cu13/lib': ['libfake_nvrtc-builtins.so.13.0', 'libfake_nvrtc.so.13',
                        'libfake_cublasLt.so.13', 'libfake_cublas.so.13'],
    'nvidia/cuda_nvrtc/lib': ['libfake_nvrtc-builtins.so.12.4', 'libfake_nvrtc.so.12'],
    'nvidia/cublas/lib': ['libfake_cublasLt.so.12', 'libfake_cublas.so.12'],
    'nvidia/cudnn/lib': ['libfake_cudnn_graph.so.9'],
}
CUDA_12 = ['nvidia/cuda_nvrtc/lib', 'nvidia/cublas/lib']
CUDA_13 = ['nvidia/cu13/lib']
BOTH = 'print(find_library("nvrtc"), find_library("cublas"))'


# The names of files, changed to such as no machine has.
OTHER_NAMES = '''
from brainstorm.handlers import cuda_libraries
for name, (folders, files, needs) in cuda_libraries.LIBRARIES.items():
    other = [tuple(f'libfake_{file[3:]}' for file in names) for names in (files, needs)]
    cuda_libraries.LIBRARIES[name] = (folders, *other)
from brainstorm.handlers.cuda_libraries import find_library, report
'''


def build(cc, path, code='', *flags):
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([cc, '-shared', '-fPIC', '-x', 'c', '-', f'-Wl,-soname,{path.name}', '-o', path,
                    *flags], input=code, text=True, check=True)
    return path


@pytest.fixture(scope='module')
def driver(cc, tmp_path_factory):
    """Path of a libcuda that knows its version and nothing else."""
    def make(version):
        folder = tmp_path_factory.mktemp('driver')
        return build(cc, folder / 'libfake_cuda.so.1',
                     'int cuDriverGetVersion(int *v) { return *v = %d, 0; }' % version)
    return make


@pytest.fixture(scope='module')
def wheels(cc, tmp_path_factory):
    """Folder like site-packages. As in NVIDIA's wheels, a library there needs others of its folder,
    without telling the loader where they are."""
    def make(folders, root=None):
        root = root or tmp_path_factory.mktemp('site')
        for folder in folders:
            for file in FILES[folder]:
                needed = 'builtins' in file or 'Lt' in file or 'cudnn' in file
                build(cc, root / folder / file, 'int needed;' if needed
                      else 'extern int needed; int *address(void) { return &needed; }')
        return root
    return make


def run(code, *paths, **variables):
    """(exit status, output) of Python code in a process that sees these folders."""
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(('BRAINSTORM_', 'CUDA_', 'LD_'))}
    env['PYTHONPATH'] = os.pathsep.join(map(str, [*paths, ROOT]))
    env.update({key: str(value) for key, value in variables.items()})
    done = subprocess.run([sys.executable, '-c', OTHER_NAMES + code], env=env, timeout=60,
                          capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def played_by(double):
    """Variables that make one library play all of NVIDIA's."""
    return {f'BRAINSTORM_LIB_{name}': double for name in ('CUDA', 'NVRTC', 'CUBLAS', 'CUDNN')}


def open_handler(*paths, arguments='', **variables):
    return run('from brainstorm.handlers import PyCudaHandler, NumpyHandler\n'
               f'try: print(PyCudaHandler({arguments}).zeros((2,)))\n'
               'except Exception as error: print(type(error).__name__, error)\n'
               'NumpyHandler().zeros((2,))', *paths, **variables)


# ---- where libraries are ----

@pytest.mark.parametrize('version, folders, expected', [
    (13000, CUDA_13, CUDA_13 * 2), (13010, CUDA_12, CUDA_12),
    (13000, CUDA_12 + CUDA_13, CUDA_13 * 2), (12040, CUDA_12, CUDA_12),
    (12080, CUDA_12 + CUDA_13, CUDA_12)])
def test_wheels(driver, wheels, version, folders, expected):
    """The newest that the driver can run."""
    site = wheels(folders)
    number = 13 if expected[0] in CUDA_13 else 12
    assert run(BOTH, site, BRAINSTORM_LIB_CUDA=driver(version)) == (0, ' '.join(
        str(site / folder / f'libfake_{name}.so.{number}')
        for folder, name in zip(expected, ('nvrtc', 'cublas'))))


def test_nothing_is_there(driver):
    status, text = run(BOTH, BRAINSTORM_LIB_CUDA=driver(13000))
    assert status == 1 and text.splitlines()[-1].startswith(
        'ImportError: libnvrtc was not found: pip install brainstorm[pycuda] (looked for ')
    assert 'libfake_nvrtc.so.13, libfake_nvrtc.so.12)' in text


@pytest.mark.parametrize('version, text', [
    (12040, 'libnvrtc was not found: the NVIDIA driver here is for CUDA 12.4, which needs '
            'pip install brainstorm[pycuda12] or an update to 580 or later (looked '),
    (11080, 'libnvrtc was not found: the NVIDIA driver here is for CUDA 11.8, which is too old: '
            'update it to 525 or later (looked for nothing)')])
def test_the_driver_is_too_old_for_the_wheels(driver, wheels, version, text):
    status, output = run(BOTH, wheels(CUDA_13), BRAINSTORM_LIB_CUDA=driver(version))
    assert status == 1 and output.splitlines()[-1].startswith('ImportError: ' + text)


@pytest.mark.parametrize('variable, lib', [('CUDA_HOME', 'lib64'), ('CUDA_PATH', 'lib')])
def test_a_toolkit(driver, wheels, variable, lib):
    root = wheels(CUDA_13)
    (root / 'nvidia/cu13/lib').rename(root / lib)
    variables = {variable: root, 'BRAINSTORM_LIB_CUDA': driver(13000)}
    assert run(BOTH, **variables) == (
        0, f'{root / lib / "libfake_nvrtc.so.13"} {root / lib / "libfake_cublas.so.13"}')


def test_conda(driver, wheels):
    root = wheels(CUDA_13)
    (root / 'nvidia/cu13/lib').rename(root / 'lib')
    (root / 'conda-meta').mkdir()
    assert run(f'import sys; sys.prefix = {str(root)!r}\n{BOTH}',
               BRAINSTORM_LIB_CUDA=driver(13000)) == (
        0, f'{root / "lib/libfake_nvrtc.so.13"} {root / "lib/libfake_cublas.so.13"}')


def test_the_loader_of_the_system(driver, wheels):
    folder = wheels(CUDA_13) / 'nvidia/cu13/lib'
    for file in 'libfake_nvrtc.so.13', 'libfake_cublas.so.13':
        (folder / file).unlink()
        build('cc', folder / file)
    assert run(BOTH, LD_LIBRARY_PATH=folder, BRAINSTORM_LIB_CUDA=driver(13000)) == (
        0, 'libfake_nvrtc.so.13 libfake_cublas.so.13')


def test_what_is_loaded_already_is_used_again(driver, wheels):
    site, other = wheels(CUDA_13), wheels(CUDA_12)
    for file in FILES['nvidia/cuda_nvrtc/lib']:
        assert (other / 'nvidia/cuda_nvrtc/lib' / file).exists()
    load = '; '.join(f'ctypes.CDLL({str(other / "nvidia/cuda_nvrtc/lib" / file)!r}, '
                     'mode=ctypes.RTLD_GLOBAL)' for file in FILES['nvidia/cuda_nvrtc/lib'])
    assert run(f'import ctypes; {load}\n{BOTH}', site, BRAINSTORM_LIB_CUDA=driver(13000)) == (
        0, f'libfake_nvrtc.so.12 {site / "nvidia/cu13/lib/libfake_cublas.so.13"}')


def test_a_spoilt_library_is_passed_over(driver, wheels):
    site = wheels(CUDA_12 + CUDA_13)
    (site / 'nvidia/cu13/lib/libfake_nvrtc.so.13').write_text('not a library')
    assert run('print(find_library("nvrtc"))', site, BRAINSTORM_LIB_CUDA=driver(13000)) == (
        0, str(site / 'nvidia/cuda_nvrtc/lib/libfake_nvrtc.so.12'))


@pytest.mark.parametrize('version', [12040, 13000])
def test_cudnn_has_versions_of_its_own(driver, wheels, version):
    site = wheels(['nvidia/cudnn/lib'])
    assert run('print(find_library("cudnn"))', site, BRAINSTORM_LIB_CUDA=driver(version)) == (
        0, str(site / 'nvidia/cudnn/lib/libfake_cudnn_graph.so.9'))


def test_the_environment_comes_first(driver, wheels):
    assert run('print(find_library("nvrtc"), find_library("cuda"))', wheels(CUDA_13),
               BRAINSTORM_LIB_NVRTC='/some/where.so', BRAINSTORM_LIB_CUDA=driver(13000))[1] \
        .startswith('/some/where.so ')


def test_report(wheels):
    site = wheels(CUDA_13)
    assert run('for name, where in report().items(): print(name, where)', site)[1].splitlines() == [
        'cuda not found: the NVIDIA driver is not installed, or there is no GPU',
        f'nvrtc {site}/nvidia/cu13/lib/libfake_nvrtc.so.13',
        f'cublas {site}/nvidia/cu13/lib/libfake_cublas.so.13',
        'cudnn not found: pip install brainstorm[pycuda]']


def test_the_package_tells_what_it_has_found(cuda_double):
    told = 'import brainstorm.__main__\nbrainstorm.__main__.main()'
    status, text = run(told)
    assert status == 0 and text.splitlines()[-5:] == [
        'GPUs: none that can be used',
        'libcuda: not found: the NVIDIA driver is not installed, or there is no GPU',
        *(f'lib{name}: not found: pip install brainstorm[pycuda]'
          for name in ('nvrtc', 'cublas', 'cudnn'))]
    status, text = run(told, **played_by(cuda_double))
    assert status == 0 and text.splitlines()[-5:] == [
        'GPUs: CPU playing a GPU',
        *(f'lib{name}: {cuda_double}' for name in ('cuda', 'nvrtc', 'cublas', 'cudnn'))]


# ---- what a handler says ----

def test_without_a_driver():
    assert open_handler() == (0, 'RuntimeError libcuda was not found: the NVIDIA driver is not '
                                 'installed, or there is no GPU (looked for libfake_cuda.so.1)')


def test_without_libraries(cuda_double):
    status, text = open_handler(BRAINSTORM_LIB_CUDA=cuda_double)
    assert status == 0 and text.startswith(
        'RuntimeError libnvrtc was not found: pip install brainstorm[pycuda] (looked for ')


def test_with_wheels(cuda_double, tmp_path):
    folder = tmp_path / 'nvidia/cu13/lib'
    folder.mkdir(parents=True)
    for file in 'libfake_nvrtc.so.13', 'libfake_cublas.so.13':
        (folder / file).symlink_to(cuda_double)
    assert open_handler(tmp_path, BRAINSTORM_LIB_CUDA=cuda_double,
                        BRAINSTORM_CACHE_DIR=tmp_path / 'kernels') == (
        0, 'GpuArray(array([0., 0.], dtype=float32))')


@pytest.mark.parametrize('name', ['CUDA', 'NVRTC', 'CUBLAS'])
def test_a_chosen_library_that_is_none(cuda_double, driver, name, tmp_path):
    double = played_by(cuda_double)
    variable = f'BRAINSTORM_LIB_{name}'
    no_library = tmp_path / 'text.so'
    no_library.write_text('not a library')
    for path in '/no/such.so', no_library:
        status, text = open_handler(**{**double, variable: path})
        assert status == 0 and text.startswith(
            f'RuntimeError the library {name.lower()} cannot be loaded: {path}: ')
    status, text = open_handler(**{**double, variable: driver(13000)})
    assert status == 0 and text.startswith("RuntimeError NVIDIA's library here has no ")


@pytest.mark.parametrize('code', [34, 100, 999])  # a stub library, no device, an unknown error
def test_a_driver_without_a_gpu(cuda_double, code):
    double = played_by(cuda_double)
    fail = f'import ctypes; ctypes.CDLL({str(cuda_double)!r}).double_fail_at(1, {code})\n'
    status, text = run(fail + 'from brainstorm.handlers import PyCudaHandler\nPyCudaHandler()',
                       **double)
    assert status == 1 and 'RuntimeError: cuInit failed: ' in text and text.endswith(f'({code})')


@pytest.mark.usefixtures('double')
@pytest.mark.parametrize('arguments, error, text', [
    ({'device': 1}, ValueError, 'device is 1, but this machine has 1 GPU$'),
    ({'device': -1}, ValueError, 'device.*-1'),
    ({'device': 2**40}, ValueError, f'device.*{2**40}'),
    ({'device': '0'}, TypeError, "device must be.*'0'"),
    ({'device': 0.0}, TypeError, 'device must be.*0.0'),
    ({'device': None}, TypeError, 'device must be.*None'),
    ({'tf32': 1}, TypeError, 'tf32 must be.*1'),
    ({'dtype': 'float16'}, TypeError, "float32 or float64, not 'float16'"),
    ({'dtype': None}, TypeError, 'float32 or float64, not None'),
    ({'seed': 'x'}, (TypeError, ValueError), 'seed'),
])
def test_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        PyCudaHandler(**arguments)


# ---- when ----

def test_importing_opens_nothing(cuda_double):
    double = played_by(cuda_double)
    opened = '''
import os, re
names = {os.path.basename(line.strip()) for line in open('/proc/self/maps')}
print(sorted(name for name in names if re.search('cuda|nvrtc|cublas', name)))'''
    assert run(f'import brainstorm.all{opened}', **double) == (0, '[]')
    assert run(f'import brainstorm\nbrainstorm.handlers.PyCudaHandler(){opened}', **double) == (
        0, f'[{cuda_double.name!r}]')


def test_threads_that_open_at_the_same_time(cuda_double, tmp_path):
    """While one thread is in Python to look for libraries and kernels, others may have the GIL."""
    double = played_by(cuda_double)
    assert run('''
import threading, time
import numpy as np
from brainstorm import _core
from brainstorm.handlers import PyCudaHandler

def slowly(result):
    def answer(*arguments):
        time.sleep(0.05)  # lets others have the GIL
        return result(*arguments)
    return answer
_core.set_host(slowly(find_library), slowly(lambda key: None), slowly(lambda key, data: None))
handlers = []

def work():
    handlers.append(PyCudaHandler())
    a = handlers[0].ones((3, 3))
    handlers[0].dot_mm(a, a, a + a)
    assert float((a * a)[0, 0]) == 1
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(handlers))
''', **double, BRAINSTORM_CACHE_DIR=tmp_path) == (0, '4')
