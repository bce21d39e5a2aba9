"""The rules of the house (csrc/README.md), checked and not trusted."""

import re
import subprocess
from pathlib import Path

import pytest

import mutants

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / 'csrc'
ROOMS = ['base', 'array', 'handlers', 'layers', 'network', 'training', 'python']
SOURCES = sorted(p for p in CSRC.rglob('*') if p.suffix in ('.c', '.h', '.def'))
HEADERS = [p for p in SOURCES if p.suffix == '.h']
PYTHON = sorted(p for folder in ('brainstorm', 'tests', 'examples', 'data', 'benchmarks', 'docs')
                for p in (ROOT / folder).rglob('*.py'))
TEXTS = [p for pattern in ('*.rst', 'docs/**/*.rst', 'csrc/*.md', 'brainstorm/*.pyi')
         for p in sorted(ROOT.glob(pattern))]


def relative(path):
    return str(path.relative_to(ROOT))


def room(path):
    """The room of a file in csrc; the public header stands above all of them."""
    parts = path.relative_to(CSRC).parts
    return parts[0] if len(parts) > 1 else None


def includes(path):
    """(form, name) of every #include: form is '<' or '"'."""
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', path.read_text(), re.M)


def rows(definition, macro):
    """First argument of every row of a .def list."""
    text = re.sub(r'/\*.*?\*/', '', (CSRC / definition).read_text(), flags=re.S)
    return re.findall(r'^%s\(\s*(\w+)' % macro, text, re.M)


@pytest.mark.parametrize('path', SOURCES, ids=relative)
def test_includes_point_to_the_left_and_stand_in_order(path):
    own_room = room(path)
    kinds = []
    for form, name in includes(path):
        if form == '"':
            assert (CSRC / name).exists(), f'{name} is not written from csrc/'
            other = Path(name).parts[0] if '/' in name else None
            if own_room == 'python':
                assert other == 'python' or name == 'brainstorm.h' or name.endswith('.def')
            elif own_room:
                assert other is not None, 'the engine itself does not use its public header'
                assert ROOMS.index(other) <= ROOMS.index(own_room), f'{name} is to the right'
        own = form == '"' and Path(name).name.split('.')[0] == path.name.split('.')[0]
        kinds.append('own' if own and not kinds else 'system' if form == '<' else 'ours')
    order = ['own', 'system', 'ours']
    if room(path) != 'python' and path.suffix != '.def' and not any(
            name.endswith('.def') for _, name in includes(path)):
        assert kinds == sorted(kinds, key=order.index), 'own header, then system, then ours'


@pytest.mark.parametrize('path', [p for p in SOURCES if room(p) not in ('handlers', None)],
                         ids=relative)
def test_nothing_outside_handlers_sees_the_inside_of_one(path):
    for _, name in includes(path):
        assert not name.startswith(('handlers/cpu', 'handlers/cuda'))


@pytest.mark.parametrize('path', [p for p in SOURCES if room(p) != 'python'], ids=relative)
def test_python_and_numpy_stay_in_their_room(path):
    for _, name in includes(path):
        assert 'Python.h' not in name and not name.startswith('numpy')


LAYER_FILES = [p for p in SOURCES if room(p) == 'layers' and p.suffix == '.c'
               and p.name != 'layer.c']


@pytest.mark.parametrize('path', LAYER_FILES, ids=relative)
def test_layers_are_blind_to_data_memory_dtype_and_device(path):
    text = re.sub(r'/\*.*?\*/', '', path.read_text(), flags=re.S)
    assert not re.search(r'->data\b(?!\s*=\s*NULL)|\bmalloc|\bbs_alloc|\bdtype\b|->device\b', text)
    data = re.findall(r'\.data\b[^;]*;', text)
    assert all(use.replace(' ', '').startswith('.data=NULL') for use in data)


@pytest.mark.parametrize('path', [p for p in SOURCES if room(p) == 'network'], ids=relative)
def test_the_network_names_no_layer(path):
    text = path.read_text()
    for constant in rows('layers/layers.def', 'BS_LAYER_TYPE'):
        assert constant not in text


@pytest.mark.parametrize('header', [p for p in HEADERS if room(p) != 'python'], ids=relative)
def test_each_header_compiles_alone(header, cc):
    flags = ['-DBS_REAL_BITS=32', '-DBS_ISA=base'] if 'cpu' in header.parts else []
    subprocess.run([cc, '-std=c11', '-D_GNU_SOURCE', '-fsyntax-only', '-Wall', '-Wextra',
                    '-Werror', '-Wno-unused-function', '-I', CSRC, *flags, '-x', 'c', header],
                   check=True)


@pytest.mark.parametrize('definition, macro', [('layers/layers.def', 'BS_LAYER_TYPE'),
                                               ('training/steppers.def', 'BS_STEPPER')])
def test_every_row_has_its_file_and_its_constant(definition, macro):
    folder = (CSRC / definition).parent
    for constant in rows(definition, macro):
        name = constant.split('_', 2)[2]
        text = (folder / (name + '.c')).read_text()
        assert re.search(r'^const \w+ %s = \{' % constant, text, re.M), name


def test_every_layer_has_its_case_and_its_function():
    import brainstorm as bs
    from brainstorm import _core
    from layer_cases import CASES
    types = {case['type'] for case in CASES.values()}
    for constant, type_name in zip(rows('layers/layers.def', 'BS_LAYER_TYPE'), _core.layer_types):
        assert constant.split('_', 2)[2] in CASES
        assert type_name in types
        assert callable(getattr(bs.layers, type_name))


def test_every_layer_and_every_kernel_of_derivatives_has_its_mutant():
    assert {name for name, *_ in mutants.everything()} == {*mutants.MUTANTS, *mutants.KERNELS}
    for name, path, changes, *_ in mutants.everything():
        assert mutants.mutate(path, changes, name)


def test_every_operation_has_its_case():
    from brainstorm import _core
    from op_cases import CASES
    names = [operation['name'] for operation in _core.operations]
    assert names == rows('handlers/ops.def', 'BS_OP')
    assert not set(names) - {getattr(case, 'op', case) for case in CASES}


@pytest.mark.parametrize('path', SOURCES + PYTHON + TEXTS, ids=relative)
def test_style(path):
    text = path.read_text()
    assert text.endswith('\n') and not text.endswith('\n\n')
    assert '\t' not in text and '\r' not in text
    for number, line in enumerate(text.splitlines(), 1):
        assert line == line.rstrip(), f'line {number}: blanks at the end'
        is_table = path.suffix == '.md' and line.startswith('|')
        assert len(line) <= 100 or is_table, f'line {number}: {len(line)} columns'
    if path in SOURCES:
        assert text.startswith('/*'), 'a file begins with what it is'
