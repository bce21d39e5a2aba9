"""The stages of run.py, on the double, with tools that do as NVIDIA's would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import brainstorm
import run as stages

ROOT = Path(brainstorm.__file__).parents[1]
RUN = Path(__file__).with_name('run.py')

# Says how it was called and runs the program.
COMPUTE_SANITIZER = '''#!/bin/sh
echo "sanitizer $1 $2"
while [ "$1" != --error-exitcode ]; do shift; done
shift 2
"$@" && exit {code}
'''
NSYS = '''#!/bin/sh
if [ "$1" = stats ]; then
    echo 'Processing'
    echo 'Time (%),Total Time (ns),Instances,Name'
    echo '75.0,82500000,55,bs_momentum_step'
    echo '25.0,27500000,55,"void gemm<float, 4>(int, int)"'
else
    while [ "${1#--}" != "$1" ] || [ "$1" = profile ]; do shift; done
    "$@"
fi
'''


@pytest.fixture
def check(gpu, tmp_path):
    """(exit status, output) of stages of run.py in a process that finds these tools only."""
    def check(*names, **tools):
        folder = tmp_path / 'bin'
        folder.mkdir(exist_ok=True)
        for name, text in tools.items():
            (folder / name.replace('_', '-')).write_text(text)
            (folder / name.replace('_', '-')).chmod(0o755)
        done = subprocess.run(
            [sys.executable, RUN, '--quick', *names], capture_output=True, text=True, timeout=300,
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'CUDA_HOME': str(tmp_path),
                 'PATH': os.pathsep.join([str(folder), '/usr/bin', '/bin'])})
        return done.returncode, done.stdout + done.stderr
    return check


def test_two_processes_have_the_same_bits(check):
    status, text = check('determinism')
    assert status == 0 and re.search(r'^determinism  passed in \d+ s$', text, re.M)
    assert len(re.findall(r'^one layer, float(?:32|64), (?:graphs|kernels): \w{64}$', text,
                          re.M)) == 8


def test_other_bits_are_noticed():
    graphs, kernels = 'a, float32, graphs: 1\n', 'a, float32, kernels: 1\n'
    stages.require_equal_bits([graphs, kernels], [graphs, kernels])
    with pytest.raises(stages.Failed, match='two processes .*kernels: 2'):
        stages.require_equal_bits([graphs, kernels[:-2] + '2\n'], [graphs, kernels])
    with pytest.raises(stages.Failed, match='two processes'):
        stages.require_equal_bits([graphs, kernels], [graphs])
    with pytest.raises(stages.Failed, match='graphs and single kernels'):
        stages.require_equal_bits(*2 * [[graphs, kernels[:-2] + '2\n']])


def test_every_sanitizer_watches_the_trainings(check):
    status, text = check('sanitizer', compute_sanitizer=COMPUTE_SANITIZER.format(code=0))
    assert status == 0 and 'sanitizer    passed' in text
    assert re.findall('^sanitizer --tool (.*)$', text, re.M) == [
        'memcheck', 'racecheck', 'synccheck', 'initcheck']
    assert len(re.findall('^one layer', text, re.M)) == 16


def test_what_a_sanitizer_finds_is_a_failure(check):
    status, text = check('sanitizer', compute_sanitizer=COMPUTE_SANITIZER.format(code=9))
    assert status == 1
    assert re.search(r'^sanitizer    FAILED: compute-sanitizer --tool memcheck .* ended with 9$',
                     text, re.M)


def test_updates_and_kernels_are_timed(check):
    status, text = check('timing', nsys=NSYS)
    assert status == 0 and re.search(r'^tiny update, batch 1 +brainstorm gpu +[\d.]+ ', text, re.M)
    assert 'tiny update, batch 1: 2.0000 ms on the GPU in an update; our kernels 75%, ' \
        'those of libraries 25%\n    1.5000 ms  bs_momentum_step\n' in text


def test_how_a_stage_ends(monkeypatch):
    def missing(quick):
        stages.find('no-such-tool', "somebody's toolkit")

    def failing(quick):
        raise stages.Failed('this and that')
    monkeypatch.setattr(stages, 'STAGES', {'missing': missing, 'failing': failing})
    assert stages.run('missing', quick=True) == \
        "incomplete: no-such-tool is neither on PATH nor in CUDA_HOME; it comes with " \
        "somebody's toolkit"
    assert stages.run('failing', quick=True) == 'FAILED: this and that'


def test_the_files_of_the_suite_are_there():
    assert all((RUN.parents[1] / name).exists() for name in stages.SUITE)


def test_stages_that_are_none(check):
    status, text = check('sanitiser')
    assert status == 2 and "there is no stage 'sanitiser': suite, sanitizer, " in text
