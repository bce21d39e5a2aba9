"""Does the suite notice a wrong derivative? `make mutants` finds out.

For every layer one sign in its backward function is turned round; then the layer's cases of
`test_layer_laws.py` must fail. The mutants are built in a copy of the sources.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = Path('csrc', 'layers')


def negated_after(statement, array):
    """The replacement that turns the sign of what `statement` wrote into `array`."""
    return statement, f'{statement} bs_mult_st(h, -1.0, {array}, {array});'


# name of a layer's file: (text that stands once in its file, what replaces it)
MUTANTS = {
    'fully_connected': negated_after(
        'bs_activate_deriv(h, self->activation, &y, &dy, &dy);', '&dy'),
    'recurrent': negated_after('bs_recurrent_backward(h, state, io, NULL);', '&io->d_param[0]'),
    'recurrent_passes': negated_after(
        'bs_dot_mm(h, &dha, &r, &dhb_before, BS_NO_TRANS, BS_NO_TRANS);', '&dhb_before'),
    'clockwork': negated_after('bs_recurrent_backward(h, state, io, &io->param[TIMING]);',
                               '&io->d_param[R]'),
    'lstm': negated_after('bs_lstm_backward_gates(h, state, io, NULL);', '&io->d_param[0]'),
    'lstm_passes': negated_after(
        'bs_put_column_sums(h, back->write_b, &dga, &back->d_param.b);', '&back->d_param.b'),
    'lstm_opt': negated_after(
        'bs_lstm_backward_pass(h, self->activation, io, &param, &cells, NULL, &back);',
        '&io->d_param[P]'),
    'clockwork_lstm': negated_after(
        'bs_lstm_backward_gates(h, state, io, &io->param[TIMING]);', '&io->d_param[4]'),
    'gru': negated_after('bs_dot_add_mm(h, &back, &r, dy_before, BS_NO_TRANS, BS_NO_TRANS);',
                         'dy_before'),
    'reverse': negated_after('bs_reverse_steps(h, &io->d_out[Y], &mask, &part);', '&part'),
    'convolution2d': negated_after(
        '&part_bias,\n                           self->activation, &win);', '&part_w'),
    'pooling2d': negated_after(
        'bs_put_maxpool_backward(h, io->d_in_write[X], &x, &y, &argmax, &dy, &dx, &win);', '&dx'),
    'global_pooling2d': negated_after(
        'bs_avgpool2d_backward_batch(h, &x, &y, &dx, &dy, &win);', '&dx'),
    'batch_norm': ('bs_mult_st(h, -1 / n, &sum_dy, &sum_dy);',
                   'bs_mult_st(h, 1 / n, &sum_dy, &sum_dy);'),
    'layer_norm': ('scaled_row_means(h, -1.0, &part, &mean);',
                   'scaled_row_means(h, 1.0, &part, &mean);'),
    'dropout': ('bs_mult_st(h, 1 / (1 - self->drop_prob), &part, &part);',
                'bs_mult_st(h, -1 / (1 - self->drop_prob), &part, &part);'),
    'elementwise': negated_after('&io->d_in[X]);', '&io->d_in[X]'),
    'embedding': negated_after('bs_embed_add(h, &ids, &dy, &dw);', '&dw'),
    'highway': ('bs_subtract_tt(h, &io->in[H], &io->in[X], &part);',
                'bs_subtract_tt(h, &io->in[X], &io->in[H], &part);'),
    'merge': negated_after('bs_split_add_tt(h, &io->d_out[Y], &d_a, &d_b);', '&d_b'),
    'mask': negated_after('bs_put_mult_mv(h, io->d_in_write[X], &dy, &m, &dx);', '&dx'),
    'no_op': negated_after('bs_put(h, io->d_in_write[X], &io->d_out[Y], &io->d_in[X]);',
                           '&io->d_in[X]'),
    'deltas_scaling': ('bs_mult_st(h, self->factor,', 'bs_mult_st(h, -self->factor,'),
    'softmax_ce': negated_after('bs_softmax_ce_deriv(h, &p, &targets, &dloss, &t_bin);', '&t_bin'),
    'sigmoid_ce': ('bs_subtract_tt(h, &io->out[PREDICTIONS], &io->in[TARGETS], dcee);',
                   'bs_subtract_tt(h, &io->in[TARGETS], &io->out[PREDICTIONS], dcee);'),
    'squared_error': negated_after('&io->d_in[X]);', '&io->d_in[X]'),
    'squared_difference': ('bs_mult_st(h, -1.0, &part, &part);',
                           'bs_mult_st(h, 1.0, &part, &part);'),
    'binomial_cross_entropy': ('bs_subtract_tt(h, y, &io->in[TARGETS], ceed);',
                               'bs_subtract_tt(h, &io->in[TARGETS], y, ceed);'),
    'l1_decay': negated_after('bs_sign_t(h, &io->in[X], &io->inner[TMP]);', '&io->inner[TMP]'),
    'l2_decay': negated_after('bs_mult_mv(h, &x, &dloss, &tmp);', '&tmp'),
    'loss': ('const double value = weight(self, &io->in[X]);',
             'const double value = -weight(self, &io->in[X]);'),
}
SHARED = {'recurrent_passes': 'recurrent', 'lstm_passes': 'lstm'}  # and a layer that lives on it
EXEMPT = {'input': 'nothing flows back out of the data'}


def layer_names():
    """Names of the layers' files, from layers.def."""
    rows = (ROOT / LAYERS / 'layers.def').read_text()
    return re.findall(r'^BS_LAYER_TYPE\(bs_layer_(\w+)\)', rows, re.M)


def mutate(name):
    """The source of a layer with its sign turned; ValueError if the mutant does not apply."""
    if name not in MUTANTS:
        raise ValueError('there is no mutant')
    text, (old, new) = (ROOT / LAYERS / f'{name}.c').read_text(), MUTANTS[name]
    if text.count(old) != 1:
        raise ValueError(f'its text occurs {text.count(old)} times, not once')
    return text.replace(old, new)


class Copy:
    """The sources in a folder of their own, built there with the module beside the package."""

    def __init__(self, folder):
        self.folder, self.build = Path(folder, 'sources'), Path(folder, 'build')
        for part in ('csrc', 'brainstorm', 'tests'):
            shutil.copytree(ROOT / part, self.folder / part, ignore=shutil.ignore_patterns('*.so'))
        shutil.copy(ROOT / 'CMakeLists.txt', self.folder)
        self.path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
        self._cmake('-S', self.folder, '-B', self.build, '-DBS_PYTHON=ON',
                    f'-DPython_EXECUTABLE={sys.executable}')
        self.make()

    def _cmake(self, *arguments):
        subprocess.run([shutil.which('cmake', path=self.path), *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def make(self):
        self._cmake('--build', self.build, '-j', '2')
        self._cmake('--install', self.build, '--prefix', self.folder)

    def laws_hold(self, name):
        """Whether the laws pass whose test or case has this in its name."""
        result = subprocess.run(
            [sys.executable, '-m', 'pytest', '-q', '-x', '-k', name, 'test_layer_laws.py'],
            cwd=self.folder / 'tests', env={**os.environ, 'PYTHONPATH': str(self.folder)},
            capture_output=True, text=True)
        if result.returncode not in (0, 1):  # neither passed nor failed: they did not run
            sys.exit(result.stdout + result.stderr)
        return result.returncode == 0

    def mutant_is_caught(self, name):
        source = self.folder / LAYERS / f'{name}.c'
        original, mutant = source.read_text(), mutate(name)
        source.write_text(mutant)
        try:
            self.make()
            return not self.laws_hold(SHARED.get(name, name))
        finally:
            source.write_text(original)


def main():
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(folder)
        if not copy.laws_hold('finite_differences'):
            sys.exit('the laws do not hold without any mutant')
        for name in [*layer_names(), *SHARED]:
            if name in EXEMPT:
                print(f'{name}: exempt, {EXEMPT[name]}')
                continue
            try:
                caught = copy.mutant_is_caught(name)
                print(f'{name}: {"caught" if caught else "SURVIVED"}', flush=True)
            except ValueError as error:
                caught = False
                print(f'{name}: NO MUTANT, {error}', flush=True)
            survivors += not caught
    sys.exit(f'{survivors} survived' if survivors else None)


if __name__ == '__main__':
    main()
