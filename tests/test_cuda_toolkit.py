"""What a machine with parts of NVIDIA's toolkit can check, without a GPU: that NVRTC compiles every
kernel for every GPU, that cuDNN has a plan for every convolution, and that our declarations are
those of the headers."""

import ctypes
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cuda_double import CUDA, ROOT
from op_cases import CONVS, SPARSE_CONVS, places

MODULES = sorted(p.stem for p in (CUDA / 'kernels').glob('*.cu') if p.stem != 'common')
ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120]


def toolkit_folders():
    """Where a toolkit may be: installed as a whole, or by pip."""
    folders = [Path(folder) for folder in (os.environ.get('CUDA_HOME'), '/usr/local/cuda')
               if folder]
    packages = importlib.util.find_spec('nvidia')
    for place in packages.submodule_search_locations if packages else ():
        folders += [Path(place, name) for name in ('cu13', 'cuda_nvrtc', 'cudnn')]
    return folders


# ---- NVRTC ----

class Compiler:
    """NVRTC."""

    def __init__(self, path):
        self.path = path
        for builtins in sorted(path.parent.glob('libnvrtc-builtins.so.*')):
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)  # it finds them only if loaded
        self.library = ctypes.CDLL(str(path))
        count = ctypes.c_int()
        self.library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        known = (ctypes.c_int * count.value)()
        self.library.nvrtcGetSupportedArchs(known)
        self.architectures = [arch for arch in ARCHITECTURES if arch in known]

    def _text(self, program, what):
        size = ctypes.c_size_t()
        assert getattr(self.library, f'nvrtcGet{what}Size')(program, ctypes.byref(size)) == 0
        buffer = ctypes.create_string_buffer(size.value)
        assert getattr(self.library, f'nvrtcGet{what}')(program, buffer) == 0
        return buffer.value.decode()

    def compile(self, module, architecture, *options):
        """(log, PTX) of a module, as tools/embed.cmake puts it together. PTX is there for a
        virtual architecture."""
        files = [CUDA / 'kernel_args.h', CUDA / 'kernels' / 'common.cu',
                 CUDA / 'kernels' / f'{module}.cu']
        source = ''.join(f'#line 1 "{path.name}"\n{path.read_text()}' for path in files).encode()
        options = ['--std=c++17', f'--gpu-architecture={architecture}', *options]
        program = ctypes.c_void_p()
        assert self.library.nvrtcCreateProgram(ctypes.byref(program), source,
                                               f'{module}.cu'.encode(), 0, None, None) == 0
        code = self.library.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options)))
        log = self._text(program, 'ProgramLog')
        assert code == 0, log
        ptx = self._text(program, 'PTX') if architecture.startswith('compute') else ''
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return log, ptx


@pytest.fixture(scope='module')
def nvrtc():
    named = os.environ.get('BRAINSTORM_LIB_NVRTC')
    found = [Path(named)] if named and 'nvrtc' in Path(named).name else []
    for folder in toolkit_folders():
        for lib in ('lib64', 'lib'):
            found += sorted((folder / lib).glob('libnvrtc.so.[0-9]*'))
    return Compiler(found[0]) if found else pytest.skip('needs NVRTC')


def assert_clean(log):
    """No warnings, and all numbers stay in registers."""
    for line in log.splitlines():
        if 'bytes spill' in line:
            assert '0 bytes spill stores, 0 bytes spill loads' in line, log
        else:
            assert not line.strip() or line.startswith('ptxas info') or 'properties' in line, log


@pytest.mark.parametrize('module', MODULES)
def test_every_gpu_gets_its_kernels(nvrtc, module):
    report = '--ptxas-options=-v'
    for architecture in nvrtc.architectures:
        assert_clean(nvrtc.compile(module, f'sm_{architecture}', report)[0])
    for architecture in nvrtc.architectures[0], nvrtc.architectures[-1]:
        for options in (['-DREAL_IS_DOUBLE'], ['-DINDEX_IS_LONG'],
                        ['-DREAL_IS_DOUBLE', '-DINDEX_IS_LONG']):
            assert_clean(nvrtc.compile(module, f'sm_{architecture}', report, *options)[0])


@pytest.mark.parametrize('module', MODULES)
def test_kernels_for_float32_compute_nothing_in_float64(nvrtc, module):
    for options in [], ['-DINDEX_IS_LONG']:
        _, ptx = nvrtc.compile(module, f'compute_{nvrtc.architectures[-1]}', *options)
        assert '.entry bs_' in ptx and '.f64' not in ptx


# Opens a handler on the double with the real NVRTC, and asks for a kernel.
OPEN = '''
import ctypes, sys
capability, *builtins = sys.argv[1:]
for path in builtins:
    ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
import os
ctypes.CDLL(os.environ['BRAINSTORM_LIB_CUDA']).double_set_capability(int(capability))
from brainstorm.handlers import PyCudaHandler
handler = PyCudaHandler()
try:
    handler.ones((3, 3))
except RuntimeError as error:
    print(error)
'''


@pytest.mark.parametrize('capability, image', [
    (90, r'\x7fELF'), (150, r'//\n// Generated by NVIDIA NVVM Compiler')],
    ids=['machine code', 'PTX for a GPU of the future'])
def test_what_the_driver_is_given(nvrtc, cuda_double, tmp_path, capability, image):
    """The double refuses it, and says how it begins."""
    environment = {f'BRAINSTORM_LIB_{name}': str(cuda_double)
                   for name in ('CUDA', 'CUBLAS', 'CUDNN')}
    environment.update(BRAINSTORM_LIB_NVRTC=str(nvrtc.path), BRAINSTORM_CACHE_DIR=str(tmp_path),
                       PYTHONPATH=os.pathsep.join(sys.path))
    result = subprocess.run(
        [sys.executable, '-c', OPEN, str(capability),
         *sorted(nvrtc.path.parent.glob('libnvrtc-builtins.so.*'))],
        env={**os.environ, **environment}, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert re.search('cuModuleLoadData failed: no image of the double.*: ' + image,
                     result.stdout.decode(errors='replace'))


# ---- cuDNN ----

# What cuDNN wants to know about a GPU, by names that NVIDIA has not written down.
ANY_GPU = {
    'maxGridSize': [2147483647, 65535, 65535], 'maxBlockSize': [1024, 1024, 64],
    'regsPerBlock': 65536, 'warpSize': 32, 'maxSharedMemoryPerBlock': 49152,
    'maxRegistersPerSM': 65536, 'maxThreadsPerBlock': 1024, 'pciDeviceId': 0, 'isTccDriver': 0,
    'supportCoopLaunch': 1, 'cudaDeviceId': 0, 'driverVer': 13000}
GPUS = {
    'T4': {'deviceName': 'Tesla T4', 'deviceVer': 750, 'multiProcessorCount': 40,
           'maxSharedMemoryPerBlockOptin': 65536, 'reservedSharedMemoryPerBlock': 0,
           'maxCtasPerSM': 16, 'maxThreadsPerSM': 1024, 'totalGlobalMem': 15000000000,
           'smClockRateKHz': 1590000, 'memClockRateKHz': 5001000, 'l2CacheSize': 4194304},
    'A100': {'deviceName': 'NVIDIA A100-SXM4-40GB', 'deviceVer': 800, 'multiProcessorCount': 108,
             'maxSharedMemoryPerBlockOptin': 166912, 'reservedSharedMemoryPerBlock': 1024,
             'maxCtasPerSM': 32, 'maxThreadsPerSM': 2048, 'totalGlobalMem': 42000000000,
             'smClockRateKHz': 1410000, 'memClockRateKHz': 1215000, 'l2CacheSize': 41943040},
    'H200': {'deviceName': 'NVIDIA H200', 'deviceVer': 900, 'multiProcessorCount': 132,
             'maxSharedMemoryPerBlockOptin': 232448, 'reservedSharedMemoryPerBlock': 1024,
             'maxCtasPerSM': 32, 'maxThreadsPerSM': 2048, 'totalGlobalMem': 150000000000,
             'smClockRateKHz': 1980000, 'memClockRateKHz': 3201000, 'l2CacheSize': 62914560}}


def convolutions():
    """Lines for tests/cuda/plans, of all convolutions of the tests and of some larger ones."""
    larger = [((64, 28, 28, 1), 32, (5, 5), (1, 1), 2), ((64, 14, 14, 32), 64, (3, 3), (1, 1), 1),
              ((100, 32, 32, 3), 32, (5, 5), (2, 2), 2)]
    for (n, h, w, c), filters, window, stride, padding in CONVS + SPARSE_CONVS + larger:
        out = [places(size, *of) for size, *of in zip((h, w), window, stride, 2 * [padding])]
        if min(out) > 0:
            numbers = (n, h, w, c, filters, *window, c, n, *out, filters, *stride, padding)
            yield ' '.join(map(str, numbers))


@pytest.fixture(scope='module')
def plans(c_build, cuda_double, tmp_path_factory):
    """The program tests/cuda/plans with the real cuDNN: lines of workspaces for a GPU."""
    found = [path for folder in toolkit_folders() for lib in ('lib64', 'lib')
             for path in sorted((folder / lib).glob('libcudnn_graph.so.9'))]
    if not found:
        pytest.skip('needs cuDNN')
    environment = dict(os.environ, BRAINSTORM_LIB_CUDNN=str(found[0]))
    for library in ('CUDA', 'NVRTC', 'CUBLAS'):
        environment[f'BRAINSTORM_LIB_{library}'] = str(cuda_double)
    folder = tmp_path_factory.mktemp('gpus')

    def run(gpu, tf32, alignment):
        description = folder / gpu
        description.write_text(json.dumps({**ANY_GPU, **GPUS[gpu]}))
        result = subprocess.run(
            [c_build / 'cuda_plans', description, str(tf32), str(alignment)], env=environment,
            input='\n'.join(convolutions()), capture_output=True, text=True)
        if 'no description' in result.stderr:
            pytest.skip('this cuDNN makes plans only where the GPU is: ' + result.stderr)
        assert result.returncode == 0, result.stderr
        return [[int(size) for size in line.split()] for line in result.stdout.splitlines()]
    return run


@pytest.mark.parametrize('gpu', GPUS)
@pytest.mark.parametrize('alignment', [4, 16])
def test_every_convolution_has_an_exact_plan(plans, gpu, alignment):
    found = plans(gpu, 0, alignment)
    assert len(found) == len(list(convolutions()))
    assert all(len(line) == 3 and min(line) >= 0 for line in found)


@pytest.mark.parametrize('gpu', ['A100', 'H200'])
def test_tf32_leads_to_other_plans(plans, gpu):
    exact, tf32 = plans(gpu, 0, 16), plans(gpu, 1, 16)
    assert all(min(line) >= 0 for line in tf32) and tf32 != exact


# ---- headers ----

ABI = ROOT / 'tests' / 'cuda' / 'abi'
# file that compiles if we are right: headers that it needs
CHECKS = {'abi_check.c': ('cuda.h', 'nvrtc.h', 'cublas_v2.h'),
          'cudnn_check.c': ('cuda_runtime_api.h', 'cudnn_graph.h')}
# check, file, text that stands once in it, what replaces it
WRONG = [
    ('abi_check.c', 'driver.def', '(CUdeviceptr *, size_t)', '(CUdeviceptr *, unsigned int)'),
    ('abi_check.c', 'driver.h', 'BS_CU_CAPABILITY_MAJOR = 75', 'BS_CU_CAPABILITY_MAJOR = 74'),
    ('cudnn_check.c', 'driver.def', '(cudnnHandle_t, CUstream)', '(cudnnHandle_t, CUmodule)'),
    ('cudnn_check.c', 'driver.h', 'BS_CUDNN_OF_INT64 = 3', 'BS_CUDNN_OF_INT64 = 4'),
]


def compare(cc, check, *folders):
    """What the compiler says if our declarations, of the first folder that has them, are wrong."""
    headers = [folder / 'include' for folder in toolkit_folders()]
    if not all(any((include / name).exists() for include in headers) for name in CHECKS[check]):
        pytest.skip('needs the headers ' + ', '.join(CHECKS[check]))
    ours = [option for folder in [*folders, ROOT / 'csrc'] for option in ('-I', folder)]
    theirs = [option for include in headers for option in ('-isystem', include)]
    result = subprocess.run([cc, '-std=gnu11', '-fsyntax-only', '-Wno-deprecated-declarations',
                             *ours, *theirs, ABI / check], capture_output=True, text=True)
    assert (result.returncode == 0) == (result.stderr == '')
    return result.stderr


@pytest.mark.parametrize('check', CHECKS)
def test_declarations_are_those_of_the_headers(cc, check):
    assert compare(cc, check) == ''


@pytest.mark.parametrize('check, name, old, new', WRONG)
def test_a_wrong_declaration_is_noticed(cc, tmp_path, check, name, old, new):
    text = (CUDA / name).read_text()
    assert text.count(old) == 1
    folder = tmp_path / 'handlers' / 'cuda'
    folder.mkdir(parents=True)
    (folder / name).write_text(text.replace(old, new))
    message = compare(cc, check, tmp_path)
    assert 'static assertion failed' in message.replace('_', ' ').lower()


def test_every_constant_is_compared():
    constants = re.findall(r'\b(BS_CU\w*) = \d', (CUDA / 'driver.h').read_text())
    text = ''.join((ABI / check).read_text() for check in CHECKS)
    assert constants and all(f'EQUAL({name},' in text for name in constants)
