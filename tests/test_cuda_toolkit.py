"""What a machine with parts of NVIDIA's toolkit can check, without a GPU: that NVRTC compiles every
kernel for every GPU, and that our declarations are those of the headers."""

import ctypes
import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

from cuda_double import CUDA, ROOT

MODULES = sorted(p.stem for p in (CUDA / 'kernels').glob('*.cu') if p.stem != 'common')
ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120]


def toolkit_folders():
    """Where a toolkit may be: installed as a whole, or by pip."""
    folders = [Path(folder) for folder in (os.environ.get('CUDA_HOME'), '/usr/local/cuda')
               if folder]
    packages = importlib.util.find_spec('nvidia')
    for place in packages.submodule_search_locations if packages else ():
        folders += [Path(place, 'cu13'), Path(place, 'cuda_nvrtc')]
    return folders


# ---- NVRTC ----

class Compiler:
    """NVRTC."""

    def __init__(self, path):
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


# ---- headers ----

# text that stands once in a file: what replaces it
WRONG = {
    'driver.def': ('(CUdeviceptr *, size_t)', '(CUdeviceptr *, unsigned int)'),
    'driver.h': ('BS_CU_CAPABILITY_MAJOR = 75', 'BS_CU_CAPABILITY_MAJOR = 74'),
}


@pytest.fixture(scope='module')
def headers():
    for folder in toolkit_folders():
        include = folder / 'include'
        if all((include / name).exists() for name in ('cuda.h', 'nvrtc.h', 'cublas_v2.h')):
            return include
    pytest.skip('needs the headers of CUDA')


def compare(cc, headers, *folders):
    """What the compiler says if our declarations, of the first folder that has them, are wrong."""
    ours = [option for folder in [*folders, ROOT / 'csrc'] for option in ('-I', folder)]
    result = subprocess.run([cc, '-std=gnu11', '-fsyntax-only', *ours, '-isystem', headers,
                             ROOT / 'tests' / 'cuda' / 'abi' / 'abi_check.c'],
                            capture_output=True, text=True)
    assert (result.returncode == 0) == (result.stderr == '')
    return result.stderr


def test_declarations_are_those_of_the_headers(cc, headers):
    assert compare(cc, headers) == ''


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_declaration_is_noticed(cc, headers, tmp_path, name):
    old, new = WRONG[name]
    text = (CUDA / name).read_text()
    assert text.count(old) == 1
    folder = tmp_path / 'handlers' / 'cuda'
    folder.mkdir(parents=True)
    (folder / name).write_text(text.replace(old, new))
    assert 'static assertion failed' in compare(cc, headers, tmp_path).replace('_', ' ').lower()


def test_every_constant_is_compared():
    constants = re.findall(r'\b(BS_CU\w*) = \d', (CUDA / 'driver.h').read_text())
    check = (ROOT / 'tests' / 'cuda' / 'abi' / 'abi_check.c').read_text()
    assert constants and all(f'EQUAL({name},' in check for name in constants)
