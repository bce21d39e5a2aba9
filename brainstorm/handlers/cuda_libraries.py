"""Where NVIDIA's libraries are: in wheels of pip, in conda, in a CUDA toolkit, or where the
system's loader finds them."""

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


def find_library(name: str) -> str:
    """The path or file name by which the system's loader opens a library.

    The environment variable BRAINSTORM_LIB_<NAME> names another one. A library that is loaded
    already, by PyTorch for instance, is used again.

    Args:
        name: 'cuda', 'nvrtc', 'cublas' or 'cudnn'.

    Raises:
        ImportError: it is nowhere; the message says how to install it and where it was looked for.
    """
    found, tried = _find(name)
    if not found:
        raise ImportError(f"lib{name} was not found: {_hint(name)} "
                          f"(looked for {', '.join(tried) or 'nothing'})")
    return found


def report() -> dict[str, str]:
    """{library: where it is, or how to install it}."""
    return {name: _find(name)[0] or f'not found: {_hint(name)}' for name in LIBRARIES}


def _find(name):
    """(what find_library returns, or None; where it has looked in vain)."""
    chosen = os.environ.get('BRAINSTORM_LIB_' + name.upper())
    if chosen:
        return chosen, []
    files = _file_names(name)
    for file in files:
        if _opens(file, os.RTLD_NOLOAD):
            return file, []
    tried = []
    for folder in _folders(name):
        for file in files:
            path = os.path.join(folder, file)
            if os.path.exists(path) and _open_with_needs(name, folder, path):
                return path, tried
            tried.append(path)
    for file in files:
        if _opens(file, 0):
            return file, tried
        tried.append(file)
    return None, tried


def _file_names(name):
    """Those of versions of CUDA that the driver can run; cuDNN has versions of its own."""
    files = LIBRARIES[name][1]
    if name in ('cuda', 'cudnn'):
        return files
    version = _driver_version()
    return [file for file in files if 1000 * int(file.rpartition('.')[2]) <= version]


def _hint(name):
    version = _driver_version()
    if name == 'cuda':
        return "the NVIDIA driver is not installed, or there is no GPU"
    if version >= 13000:
        return "pip install brainstorm[pycuda]"
    driver = f"the NVIDIA driver here is for CUDA {version // 1000}.{version % 1000 // 10}"
    if version >= 12000:
        return (f"{driver}, which needs pip install brainstorm[pycuda12] "
                "or an update to 580 or later")
    return f"{driver}, which is too old: update it to 525 or later"


def _folders(name):
    roots = [path for path in sys.path if os.path.isdir(os.path.join(path, 'nvidia'))]
    for folder in LIBRARIES[name][0]:
        yield from (os.path.join(root, folder) for root in roots)
    if name == 'cuda':
        return
    if os.path.isdir(os.path.join(sys.prefix, 'conda-meta')):
        yield os.path.join(sys.prefix, 'lib')
    for variable in ('CUDA_HOME', 'CUDA_PATH'):
        if os.environ.get(variable):
            yield from (os.path.join(os.environ[variable], lib) for lib in ('lib64', 'lib'))


def _opens(file, flags):
    import ctypes
    try:
        ctypes.CDLL(file, mode=os.RTLD_NOW | os.RTLD_LOCAL | flags)  # it stays open
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
    """13000 for a driver of CUDA 13.0; the newest that we know if it does not say."""
    import ctypes
    version = ctypes.c_int(13000)
    try:
        library = os.environ.get('BRAINSTORM_LIB_CUDA') or LIBRARIES['cuda'][1][0]
        ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        pass
    return version.value
