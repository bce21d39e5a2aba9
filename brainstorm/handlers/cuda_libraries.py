"""Where NVIDIA's libraries are: in wheels of pip, in conda, where the system's loader finds them,
or in a CUDA toolkit."""

import glob
import os
import sys

__all__ = ['LIBRARIES', 'find_library', 'report']

LIBRARIES = {
    # name: (folders in site-packages, file names, what must be loaded before it from its folder)
    'cuda': ((), ('libcuda.so.1',), ()),
    'nvrtc': (('nvidia/cu13/lib', 'nvidia/cuda_nvrtc/lib'), ('libnvrtc.so.13', 'libnvrtc.so.12'),
              ('libnvrtc-builtins.so.*[0-9]',)),
    'cublas': (('nvidia/cu13/lib', 'nvidia/cublas/lib'), ('libcublas.so.13', 'libcublas.so.12'),
               ('libcublasLt.so.*[0-9]',)),
    # without it, convolutions are products of copied windows
    'cudnn': (('nvidia/cudnn/lib',), ('libcudnn_graph.so.9', 'libcudnn.so.9'), ()),
}
_OLDEST_DRIVER = 13000  # of CUDA 13; version 12 works with all drivers that have what we need
_HINTS = {
    'cuda': "the NVIDIA driver is not installed, or there is no GPU",
    'nvrtc': "pip install brainstorm[pycuda], or brainstorm[pycuda12] for a driver before 580",
}
_HINTS['cublas'] = _HINTS['cudnn'] = _HINTS['nvrtc']

_kept = []  # libraries stay open


def find_library(name: str) -> str:
    """The path or file name by which the system's loader opens a library.

    The environment variable BRAINSTORM_LIB_<NAME> names another one. A library that is loaded
    already, by PyTorch for instance, is used again.

    Args:
        name: 'cuda', 'nvrtc', 'cublas' or 'cudnn'.

    Raises:
        ImportError: it is nowhere; the message says where it was looked for and how to install it.
    """
    chosen = os.environ.get('BRAINSTORM_LIB_' + name.upper())
    if chosen:
        return chosen
    for file in _file_names(name):
        if _opens(file, os.RTLD_NOLOAD):
            return file
    tried = []
    for folder in _folders(name):
        for file in _file_names(name):
            path = os.path.join(folder, file)
            if os.path.exists(path) and _open_with_needs(name, folder, path):
                return path
            tried.append(path)
    for file in _file_names(name):
        if _opens(file, 0):
            return file
        tried.append(file)
    raise ImportError(f"lib{name} was not found: {_HINTS[name]} (looked for {', '.join(tried)})")


def report() -> dict[str, str]:
    """{library: where it is, or why not}."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = find_library(name)
        except ImportError as error:
            found[name] = f'not found: {_HINTS[name]}' if 'looked for' in str(error) else str(error)
    return found


def _file_names(name):
    files = LIBRARIES[name][1]
    if name != 'cuda' and _driver_version() < _OLDEST_DRIVER:
        files = tuple(file for file in files if not file.endswith('.13'))
    return files


def _folders(name):
    roots = [path for path in sys.path if os.path.isdir(os.path.join(path, 'nvidia'))]
    for folder in LIBRARIES[name][0]:
        yield from (os.path.join(root, folder) for root in roots)
    if name == 'cuda':
        return
    if os.path.isdir(os.path.join(sys.prefix, 'conda-meta')):
        yield os.path.join(sys.prefix, 'lib')
    for variable in ('CUDA_HOME', 'CUDA_PATH'):
        if variable in os.environ:
            yield from (os.path.join(os.environ[variable], lib) for lib in ('lib64', 'lib'))


def _opens(file, flags):
    import ctypes
    try:
        _kept.append(ctypes.CDLL(file, mode=os.RTLD_NOW | os.RTLD_LOCAL | flags))
    except OSError:
        return False
    return True


def _open_with_needs(name, folder, path):
    """Wheels do not tell the loader where the other libraries of their folder are."""
    for pattern in LIBRARIES[name][2]:
        for needed in sorted(glob.glob(os.path.join(folder, pattern))):
            if '.alt.' not in needed:
                _opens(needed, os.RTLD_GLOBAL)
    return _opens(path, 0)


def _driver_version():
    """13000 for a driver of CUDA 13.0; the newest if it does not say."""
    import ctypes
    version = ctypes.c_int(_OLDEST_DRIVER)
    try:
        library = os.environ.get('BRAINSTORM_LIB_CUDA') or LIBRARIES['cuda'][1][0]
        ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        pass
    return version.value
