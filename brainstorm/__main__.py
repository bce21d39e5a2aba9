"""`python -m brainstorm`: what this installation has found on this machine."""

import brainstorm
from brainstorm import _core
from brainstorm.handlers import cuda_libraries


def main():
    """Print version, handlers, instruction set, threads, BLAS, GPUs and NVIDIA's libraries."""
    info = _core.info()
    print(f"brainstorm {brainstorm.__version__}")
    print(f"handlers: {', '.join(info['handlers'])}")
    print(f"instruction set: {info['instruction_set']} "
          f"(this machine has {', '.join(info['instruction_sets'])})")
    print(f"threads: {info['threads']}")
    print(f"BLAS: {info['blas']}")
    print(f"GPUs: {', '.join(_core.gpus()) or 'none that can be used'}")
    for library, place in cuda_libraries.report().items():
        print(f"lib{library}: {place}")


if __name__ == '__main__':
    main()
