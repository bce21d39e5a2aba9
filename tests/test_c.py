"""The C tests, one case each, and the C example."""

import re
import subprocess
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parent / 'c').glob('test_*.c'))
NAMES = [name for source in SOURCES for name in re.findall(r'^BS_TEST\((\w+)\)', source.read_text(),
                                                           re.M)]


@pytest.mark.parametrize('name', NAMES)
def test_c(c_build, name):
    result = subprocess.run([c_build / 'bs_tests', name], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f'ok {name}' in result.stdout


def test_xor_example(c_build):
    result = subprocess.run([c_build / 'xor'], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout.split()[-1]) < 1e-3
