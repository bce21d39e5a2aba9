"""Does the suite notice a wrong derivative? `make mutants` finds out.

For every layer one sign in its backward function is turned round; then the layer's cases of
`test_layer_laws.py` must fail. The same is done to the GPU's kernels for derivatives and updates;
then their operation's cases of `test_cuda_operations.py` must fail. The mutants are built in a copy
of the sources.
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
CUDA = Path('csrc', 'handlers', 'cuda')


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
    'dropout': ('const double scale = 1 / (1 - self->drop_prob);',
                'const double scale = -1 / (1 - self->drop_prob);'),
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

# name of a kernel: (text that stands once in its file, what replaces it, operation that needs it)
KERNELS = {
    'rel_deriv': ('D = B > 0 ? C :', 'D = B > 0 ? -C :', 'rel_deriv'),
    'tanh_deriv': ('D = C * slope(TANH', 'D = -C * slope(TANH', 'tanh_deriv'),
    'sigmoid_deriv': ('D = C * B', 'D = -C * B', 'sigmoid_deriv'),
    'el_deriv': ('D = C * slope(EL', 'D = -C * slope(EL', 'el_deriv'),
    'split_add_tt': ('col - left) += AT(2', 'col - left) -= AT(2', 'split_add_tt'),
    'embed_add': ('AT(0, id, col) +=', 'AT(0, id, col) -=', 'embed_add'),
    'softmax_ce_deriv': ('- (id == col', '+ (id == col', 'softmax_ce_deriv'),
    'maxpool2d_backward': ('AT(2, row, col) += sum;', 'AT(2, row, col) -= sum;',
                           'maxpool2d_backward_batch'),
    'avgpool2d_backward': ('sum += AT(0, from, col) /', 'sum -= AT(0, from, col) /',
                           'avgpool2d_backward_batch'),
    'add_windows': ('sum += AT(0, (k.n * OUT_H + y) * OUT_W + x, place',
                    'sum -= AT(0, (k.n * OUT_H + y) * OUT_W + x, place', 'conv2d_backward_batch'),
    'lstm_backward': ('+ dc * f +', '- dc * f +', 'lstm_backward'),
    'gru_backward': ('const real dzb = WAS(GATE(DGB, 2)) + dy',
                     'const real dzb = WAS(GATE(DGB, 2)) - dy', 'gru_backward'),
    'sgd_step': ('update = -NUMBER(0)', 'update = NUMBER(0)', 'sgd_step'),
    'momentum_step': ('VECTOR(1) - NUMBER(0)', 'VECTOR(1) + NUMBER(0)', 'momentum_step'),
    'rmsprop_step': ('VECTOR(2) - rate * g', 'VECTOR(2) + rate * g', 'rmsprop_step'),
    'adam_step': ('VECTOR(3) -= rate * (m', 'VECTOR(3) += rate * (m', 'adam_step'),
    'adagrad_step': ('VECTOR(2) -= NUMBER(0)', 'VECTOR(2) += NUMBER(0)', 'adagrad_step'),
    'adadelta_step': ('VECTOR(3) -= rate * u', 'VECTOR(3) += rate * u', 'adadelta_step'),
}


def layer_names():
    """Names of the layers' files, from layers.def."""
    rows = (ROOT / LAYERS / 'layers.def').read_text()
    return re.findall(r'^BS_LAYER_TYPE\(bs_layer_(\w+)\)', rows, re.M)


def kernels_of_derivatives():
    """{name: file} of the kernels for derivatives and updates, from kernels.def."""
    rows = re.findall(r'^BS_KERNEL\((\w+), \w+, (\w+)\)', (ROOT / CUDA / 'kernels.def').read_text(),
                      re.M)
    return {name: CUDA / 'kernels' / f'{module}.cu' for module, name in rows
            if name in KERNELS or re.search('_(deriv|backward|step)$', name)}


def mutate(path, mutants, name):
    """The source with its sign turned; ValueError if the mutant does not apply."""
    if name not in mutants:
        raise ValueError('there is no mutant')
    text, (old, new, *_) = (ROOT / path).read_text(), mutants[name]
    if text.count(old) != 1:
        raise ValueError(f'its text occurs {text.count(old)} times, not once')
    return text.replace(old, new)


class Copy:
    """The sources in a folder of their own, built there with the module beside the package."""

    def __init__(self, folder):
        self.folder, self.build = Path(folder, 'sources'), Path(folder, 'build')
        for part in ('csrc', 'brainstorm', 'tests', 'tools', 'examples'):
            shutil.copytree(ROOT / part, self.folder / part, ignore=shutil.ignore_patterns('*.so'))
        shutil.copy(ROOT / 'CMakeLists.txt', self.folder)
        self.path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
        self._cmake('-S', self.folder, '-B', self.build, '-DBS_PYTHON=ON', '-DBS_TESTS=ON',
                    f'-DPython_EXECUTABLE={sys.executable}')
        self.make()

    def _cmake(self, *arguments):
        subprocess.run([shutil.which('cmake', path=self.path), *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def make(self):
        self._cmake('--build', self.build, '-j', '2', '--target', '_core', 'cuda_double')
        self._cmake('--install', self.build, '--prefix', self.folder)

    def passes(self, file, words):
        """Whether the tests of a file pass that have these words in their names."""
        environment = {f'BRAINSTORM_LIB_{name}': str(self.build / 'libcuda_double.so')
                       for name in ('CUDA', 'NVRTC', 'CUBLAS', 'CUDNN')}
        result = subprocess.run(
            [sys.executable, '-m', 'pytest', '-q', '-x', '-k', words, file],
            cwd=self.folder / 'tests', capture_output=True, text=True,
            env={**os.environ, **environment, 'PYTHONPATH': str(self.folder)})
        if result.returncode not in (0, 1):  # neither passed nor failed: they did not run
            sys.exit(result.stdout + result.stderr)
        return result.returncode == 0

    def is_caught(self, path, mutant, file, words):
        """Whether these tests fail with the mutant in place of the source at `path`."""
        source = self.folder / path
        original = source.read_text()
        source.write_text(mutant)
        try:
            self.make()
            return not self.passes(file, words)
        finally:
            source.write_text(original)


LAWS, OPERATIONS = 'test_layer_laws.py', 'test_cuda_operations.py'


def everything():
    """(name, path of the source, its mutants, file of tests, words in the names of those)"""
    for name in [*layer_names(), *SHARED]:
        if name not in EXEMPT:
            yield name, LAYERS / f'{name}.c', MUTANTS, LAWS, SHARED.get(name, name)
    for name, path in kernels_of_derivatives().items():
        operation = KERNELS.get(name, (None, None, name))[2]
        yield name, path, KERNELS, OPERATIONS, f'test_operation and {operation}'


def main():
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(folder)
        for tests in (LAWS, 'finite_differences'), (OPERATIONS, 'test_operation and step'):
            if not copy.passes(*tests):
                sys.exit(f'{" ".join(tests)}: they do not pass without any mutant')
        for name in layer_names():
            if name in EXEMPT:
                print(f'{name}: exempt, {EXEMPT[name]}')
        for name, path, mutants, file, words in everything():
            try:
                caught = copy.is_caught(path, mutate(path, mutants, name), file, words)
                print(f'{name}: {"caught" if caught else "SURVIVED"}', flush=True)
            except ValueError as error:
                caught = False
                print(f'{name}: NO MUTANT, {error}', flush=True)
            survivors += not caught
    sys.exit(f'{survivors} survived' if survivors else None)


if __name__ == '__main__':
    main()
