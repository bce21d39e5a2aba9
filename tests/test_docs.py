"""Every block of Python in the documentation runs: the blocks of a page in order, in one namespace.

A block that must not run stands behind a comment `.. not run: REASON`.
"""

import re
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.rst', *sorted((ROOT / 'docs').glob('*.rst'))]
BLOCK = re.compile(r'(?P<reason>^\.\. not run: .+\n\n)?^\.\. code-block:: (?P<language>\w+)\n\n'
                   r'(?P<code>(?:(?:    .*)?\n)+)', re.M)


def python_blocks(text):
    """(Number of the line before it, code) of every block of Python that is to run."""
    return [(text.count('\n', 0, match.start('code')), textwrap.dedent(match['code']))
            for match in BLOCK.finditer(text)
            if match['language'] == 'python' and not match['reason']]


def write_cifar10(path):
    rnd = np.random.RandomState(1)
    with h5py.File(path, 'w') as file:
        for part in ('training', 'validation'):
            group = file.create_group(f'normalized_split/{part}')
            group['default'] = rnd.randn(1, 20, 32, 32, 3).astype(np.float32)
            group['targets'] = rnd.randint(0, 10, (1, 20, 1))


@pytest.mark.parametrize('page', [page for page in PAGES if python_blocks(page.read_text())],
                         ids=lambda page: page.name)
def test_page(page, tmp_path, monkeypatch, request):
    if page.name == 'gpu.rst':
        request.getfixturevalue('gpu')
    write_cifar10(tmp_path / 'CIFAR-10.hdf5')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('BRAINSTORM_DATA_DIR', str(tmp_path))
    names = {'__name__': page.stem}
    for line, code in python_blocks(page.read_text()):  # errors tell the line of the page
        exec(compile('\n' * line + code, str(page), 'exec'), names)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_no_code_is_overlooked(page):
    text = page.read_text()
    assert text.count('code-block::') == len(BLOCK.findall(text))
    assert {match['language'] for match in BLOCK.finditer(text)} <= {'python', 'console', 'text'}
    assert '>>> ' not in text
