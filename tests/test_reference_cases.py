"""The numbers of brainstorm 0.5, recorded in float64 with fixed seeds.

`data/cases` holds what 0.5 computed in the networks and trainings below, `data/files05` networks
that it saved with inputs and outputs.
"""

import json
import pathlib

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.training import schedules
from networks import classifier, random_batch

DATA = pathlib.Path(__file__).resolve().parent / 'data'


def recorded(name):
    return np.load(DATA / 'cases' / f'{name}.npz')


def assert_agree(got, want):
    assert np.shape(got) == want.shape
    assert np.allclose(got, want, rtol=1e-6, atol=1e-9)


# ---- layers: one training pass, then every buffer ----


def regression_batch(binary=False):
    rnd = np.random.RandomState(5)
    targets = rnd.randn(2, 4, 3)
    return {'default': rnd.randn(2, 4, 5), 'targets': targets > 0 if binary else targets}


def regression():
    inp, out = bs.tools.get_in_out_layers('regression', 5, 3)
    return bs.Network.from_layer(inp >> layers.FullyConnected(4) >> out)


def highway():
    inp, out = bs.tools.get_in_out_layers('classification', 5, 3)
    gate = layers.FullyConnected(5, activation='sigmoid', name='T')
    hidden = layers.FullyConnected(5, activation='tanh', name='H')
    joined = layers.Highway(name='HW')
    inp >> gate >> 'T' - joined
    inp >> hidden >> 'H' - joined
    inp >> 'x' - joined
    return bs.Network.from_layer(joined >> out)


def masked():
    inp, out = bs.tools.get_in_out_layers('classification', 5, 3, mask_name='mask')
    return bs.Network.from_layer(inp >> layers.Lstm(4, name='R') >> out)


def masked_batch():
    mask = np.ones((5, 4, 1))
    mask[3:, 1] = mask[1:, 2] = 0
    return {**random_batch((5,), time_steps=5), 'mask': mask}


def binomial_cross_entropy():
    inp = layers.Input({'default': ('T', 'B', 5), 'targets': ('T', 'B', 3)})
    entropy = layers.BinomialCrossEntropy(name='CE')
    inp >> layers.FullyConnected(3, activation='sigmoid', name='F') >> entropy
    inp - 'targets' >> 'targets' - entropy
    return bs.Network.from_layer(entropy >> layers.Loss())


PASSES = {
    'fully_connected_rel': (
        lambda: classifier(layers.FullyConnected(5, activation='rel', name='H')),
        lambda: random_batch()),
    'fully_connected_nd': (
        lambda: classifier(layers.FullyConnected((3, 2, 2), name='H'), shape=(2, 3), classes=4),
        lambda: random_batch((2, 3), 4, time_steps=2)),
    'recurrent': (
        lambda: classifier(layers.Recurrent(4, name='R'), shape=(5,)),
        lambda: random_batch((5,), time_steps=6)),
    'lstm_internals': (
        lambda: classifier(layers.Lstm(4, name='R'), shape=(2, 2)),
        lambda: random_batch((2, 2), time_steps=6)),
    'clockwork': (
        lambda: classifier(layers.Clockwork(4, name='R'), shape=(5,)),
        lambda: random_batch((5,), time_steps=9)),
    'mask': (masked, masked_batch),
    'convolution': (
        lambda: classifier(
            layers.Convolution2D(5, kernel_size=(3, 3), padding=1, stride=(2, 1), name='C'),
            layers.Convolution2D(2, kernel_size=(2, 3), activation='tanh', name='D'),
            shape=(7, 6, 3), classes=4),
        lambda: random_batch((7, 6, 3), 4)),
    'pooling': (
        lambda: classifier(
            layers.Convolution2D(4, kernel_size=(3, 3), padding=1, name='C'),
            layers.Pooling2D((3, 3), type='max', stride=(2, 2), padding=1, name='P'),
            layers.Pooling2D((2, 2), type='avg', stride=(1, 1), name='Q'),
            shape=(8, 7, 3), classes=4),
        lambda: random_batch((8, 7, 3), 4)),
    'batch_norm_training': (
        lambda: classifier(
            layers.Convolution2D(4, kernel_size=(3, 3), padding=1, activation='linear', name='C'),
            layers.BatchNorm(name='BN'), layers.Elementwise('rel', name='E'), shape=(4, 4, 3)),
        lambda: random_batch((4, 4, 3))),
    'highway_and_fork': (highway, lambda: random_batch((5,))),
    'squared_error': (regression, regression_batch),
    'binomial_cross_entropy': (binomial_cross_entropy, lambda: regression_batch(binary=True)),
}


INITIAL = {
    'batch_norm_training': {'BN': {'gamma': 1.2, 'beta': 0.1, 'mu': 0.05, 'sigma': 0.9}},
    'clockwork': {'R': {'timing': [1, 1, 2, 4]}},
}


@pytest.mark.parametrize('name', PASSES)
def test_passes(name):
    make_net, make_data = PASSES[name]
    net = make_net()
    net.set_handler(NumpyHandler(np.float64))
    net.initialize({**INITIAL.get(name, {}), 'default': bs.Gaussian(0.3)}, seed=7)
    net.provide_external_data(make_data())
    net.forward_pass(training_pass=True)
    net.backward_pass()
    for path, want in recorded(name).items():
        got = sorted(net.get_loss_values().values()) if path == 'loss' else net.get(path)
        if '.internals.' in path:
            got = got[:len(want)]  # recorded without the context slot
        assert_agree(got, want)


# ---- parameters ----


@pytest.mark.parametrize('name, initializer', [
    ('gaussian', lambda: bs.Gaussian(0.2, 0.5)),
    ('faninout', lambda: bs.DenseSqrtFanInOut('sigmoid')),
    ('orthogonal', lambda: bs.Orthogonal())])
def test_initializers(name, initializer):
    net = classifier(layers.FullyConnected(6, name='H'))
    net.initialize({'H': {'W': initializer(), 'bias': 0}, 'default': 0}, seed=11)
    assert_agree(net.get('H.parameters.W'), recorded(f'init_{name}')['W'])


def test_patterns_of_initializers():
    net = classifier(*(layers.FullyConnected(size, name=name)
                       for name, size in (('Hid1', 5), ('Hid2', 5), ('Other', 4))))
    net.initialize({'Hid*': {'W': bs.Gaussian(0.1), 'b*': 0.5}, 'Other': bs.Uniform(0.2),
                    'default': 1, 'fallback': 0.25}, seed=3)
    assert_agree(net.get('parameters'), recorded('init_patterns')['p'])


# ---- training ----


def train(stepper, steps, **modifiers):
    net = classifier(layers.FullyConnected(8, activation='tanh', name='H'))
    net.initialize(bs.Gaussian(0.5), seed=7)
    net.set_weight_modifiers(**modifiers)
    stepper.start(net)
    losses = []
    for i in range(steps):
        net.provide_external_data(random_batch(batch_size=8, seed=100 + i))
        stepper.run()
        losses.append(net.get_loss_values()['total_loss'])
        net.apply_weight_modifiers()
    return {'losses': losses, 'p': net.get('parameters')}


def test_nesterov():
    result = train(bs.training.NesterovStepper(0.1, 0.9), steps=15)
    for name, want in recorded('stepper_nesterov').items():
        assert_agree(result[name], want)


def test_weight_modifiers():
    mask = np.ones((8, 6))
    mask[::2, 1::2] = 0
    result = train(bs.training.SgdStepper(0.5), steps=6,
                   H={'W': [bs.ClipValues(-0.4, 0.4), bs.MaskValues(mask)],
                      'bias': bs.FreezeValues()},
                   Output_projection=bs.ConstrainL2Norm(0.7))
    for name, want in recorded('modifiers_weights').items():
        assert_agree(result[name], want)


def test_trainer(tmp_path):
    bs.global_rnd.set_seed(3)
    rnd = np.random.RandomState(4)
    x = rnd.randn(1, 60, 6)
    y = (x[:, :, :1] > 0).astype(float) + (x[:, :, 1:2] > 0)
    net = classifier(layers.FullyConnected(8, activation='tanh', name='H'))
    net.initialize(bs.Gaussian(0.5), seed=1)
    scorers = [bs.scorers.Accuracy(out_name='Output.outputs.predictions')]
    trainer = bs.Trainer(bs.training.MomentumStepper(0.2, 0.5), verbose=False)
    trainer.train_scorers = scorers
    for hook in (
            bs.hooks.MonitorScores('valid', scorers, name='validation'),
            bs.hooks.MonitorLoss('valid', name='vloss'),
            bs.hooks.MonitorLayerParameters('H', name='mp'),
            bs.hooks.ModifyStepperAttribute(schedules.Linear(0.2, 0.05, 5), name='lr'),
            bs.hooks.SaveBestNetwork('validation.Accuracy', str(tmp_path / 'b.hdf5'), name='best'),
            bs.hooks.StopOnNan(), bs.hooks.StopAfterEpoch(6)):
        trainer.add_hook(hook)
    trainer.train(net, bs.Minibatches(10, default=x[:, :40], targets=y[:, :40]),
                  valid=bs.Minibatches(20, default=x[:, 40:], targets=y[:, 40:], shuffle=False))
    compared = 0
    for path, want in recorded('trainer_logs').items():
        # 0.5 read the gradients after the validation from memory that its resize had reused
        if path.startswith('logs/') and not path.startswith('logs/mg'):
            log = trainer.logs
            for part in path.split('/')[1:]:
                log = log[part]
            assert_agree(log, want)
            compared += 1
    assert compared == 14
    assert set(trainer.logs) == {'validation', 'vloss', 'mp', 'rolling_training'}
    reference = recorded('trainer_logs')
    assert (trainer.current_epoch_nr, trainer.current_update_nr) == \
        (reference['epochs'], reference['updates'])
    assert_agree(net.get('parameters'), reference['p'])
    best = bs.Network.from_hdf5(tmp_path / 'b.hdf5')
    assert_agree(best.get('parameters'), reference['best'])


def test_schedules():
    made = {'lin': schedules.Linear(1.0, 0.1, 5),
            'exp': schedules.Exponential(1.0, 0.8, minimum=0.3),
            'multi': schedules.MultiStep(1.0, [3, 6], [0.5, 0.1])}
    for name, want in recorded('schedules').items():
        schedule = made[name.removesuffix('u')]
        timescale, interval = ('update', 3) if name.endswith('u') else ('epoch', 1)
        assert_agree([schedule(epoch, 3 * epoch, timescale, interval, None, None, None)
                      for epoch in range(10)], want)


# ---- data and architecture ----


def test_minibatches_cut_by_a_mask():
    data = np.random.RandomState(1).randn(6, 5, 4)
    mask = np.ones((6, 5, 1))
    mask[4:, 0] = mask[2:, 1] = mask[1:, 2:] = 0
    iterator = bs.Minibatches(2, default=data, mask=mask, shuffle=False)
    yielded = [batch for _ in range(2) for batch in iterator(None)]
    reference = recorded('iter_minibatches_mask')
    assert len(yielded) == reference['count']
    for i, batch in enumerate(yielded):
        for name in ('default', 'mask'):
            assert_agree(batch[name], reference[f'{i:03}_{name}'])


def test_one_hot_vectors_of_shuffled_minibatches():
    bs.global_rnd.set_seed(99)
    data = np.random.RandomState(1).randint(0, 7, (4, 6, 1))
    iterator = bs.data_iterators.OneHot(bs.Minibatches(3, default=data), {'default': 7})
    yielded = [batch for _ in range(2) for batch in iterator(None)]
    reference = recorded('iter_onehot')
    assert len(yielded) == reference['count']
    for i, batch in enumerate(yielded):
        assert_agree(batch['default'], reference[f'{i:03}_default'])


def test_noise():
    bs.global_rnd.set_seed(99)
    data = np.random.RandomState(1).randn(2, 4, 4)
    iterator = bs.data_iterators.AddGaussianNoise(
        bs.Undivided(default=data), {'default': 0.5}, {'default': 1.0})
    first, second = (next(iterator(None))['default'] for _ in range(2))
    reference = recorded('iter_noise')
    assert_agree(first, reference['000_default'])
    # 0.5 added the noise of each epoch to its own data, so there both are in the second one.
    assert_agree(second - data + first, reference['001_default'])


def test_data_tools():
    rnd = np.random.RandomState(3)
    a, b = rnd.randn(2, 10, 3), rnd.randn(2, 10, 1)
    reference = recorded('data_tools')
    shuffled = bs.tools.shuffle_data(a, b, seed=4)
    (x1, _), (_, y2) = bs.tools.split(a, b, ratios=(7, 3))
    for name, got in (('sa', shuffled[0]), ('sb', shuffled[1]), ('x1', x1), ('y2', y2)):
        assert_agree(got, reference[name])


def test_architecture_of_a_spec():
    net = bs.tools.create_net_from_spec('classification', (8, 8, 3), 10,
                                        'C4:3p1 Pm3s2 B D.3 Ct6:2 Pa2 F16 Fs8')
    reference = recorded('architecture_json')
    assert json.loads(json.dumps(net.architecture)) == \
        full_connections(json.loads(str(reference['arch'])))
    assert list(net.layers) == json.loads(str(reference['order']))
    assert net.output_name == str(reference['output_name'])


def full_connections(architecture):
    """Connections of 0.5 sometimes leave out what goes without saying."""
    for layer in architecture.values():
        outgoing = layer['@outgoing_connections']
        layer['@outgoing_connections'] = {
            output: [target if '.' in target else target + '.default' for target in targets]
            for output, targets in outgoing.items() if targets}
    return architecture


# ---- files ----


@pytest.mark.parametrize('name, dtype',
                         [('mlp', np.float32), ('conv', np.float64), ('lstm', np.float32)])
def test_files_of_05_load_and_compute(name, dtype):
    net = bs.Network.from_hdf5(DATA / 'files05' / f'{name}.hdf5')
    reference = np.load(DATA / 'files05' / f'{name}.npz')
    assert net.handler.dtype == dtype
    net.provide_external_data({name: reference[name] for name in net.layers['Input'].out_shapes})
    net.forward_pass()
    assert np.allclose(net.get('Output.outputs.predictions'), reference['predictions'], rtol=1e-5)
    assert net.get_loss_values()['total_loss'] == pytest.approx(reference['loss'][0], rel=1e-6)


def test_modifiers_of_a_file_of_05():
    net = bs.Network.from_hdf5(DATA / 'files05' / 'mlp.hdf5')
    assert isinstance(net.weight_modifiers['Zeta']['W'][0], bs.ConstrainL2Norm)
    assert [type(modifier).__name__ for modifier in net.gradient_modifiers['BN']['mu']] == \
        ['ClipValues', 'L2Decay']
    assert net.output_name == 'Output.outputs.predictions'


def test_a_network_file():
    net = bs.Network.from_hdf5(DATA / 'cases' / 'network.hdf5')
    net.set_handler(NumpyHandler(np.float64))
    net.provide_external_data(random_batch((6, 6, 2), 3))
    net.forward_pass()
    assert np.allclose(net.get('Output.outputs.predictions'),
                       recorded('network_forward')['predictions'], rtol=1e-5)


# ---- operations ----


def test_operations():
    rnd = np.random.RandomState(6)
    a, b = rnd.randn(4, 5), rnd.randn(4, 5)
    row, column = rnd.randn(1, 5), rnd.randn(4, 1)
    h, reference, zeros = NumpyHandler(np.float64), recorded('handler_operations'), np.zeros((4, 5))
    ids = np.array([[1.], [0.], [4.], [2.]])
    calls = [(name, (a, zeros), {}) for name in ('abs_t', 'sign_t', 'tanh', 'sigmoid', 'rel', 'el')]
    calls += [('sqrt_t', (abs(a), zeros), {}), ('log_t', (abs(a), zeros), {})]
    calls += [(name, (a, b, zeros), {})
              for name in ('add_tt', 'subtract_tt', 'mult_tt', 'divide_tt')]
    calls += [('mult_add_tt', (a, b, b), {}), ('modulo_tt', (a, b, zeros), {}),
              ('add_st', (2.5, a, zeros), {}), ('mult_st', (2.5, a, zeros), {}),
              ('mult_add_st', (2.5, a, b), {})]
    calls += [(name, (a, vector, zeros), {}) for vector in (row, column)
              for name in ('add_mv', 'mult_mv', 'divide_mv', 'subtract_mv')]
    calls += [('mult_mv', (a, b, zeros), {}),
              ('dot_mm', (a, b, np.zeros((4, 4))), {'transb': True}),
              ('dot_mm', (a, b, np.zeros((5, 5))), {'transa': True}),
              ('dot_add_mm', (a, b.T, np.ones((4, 4))), {}),
              ('sum_t', (a, 0, np.zeros((1, 5))), {}), ('sum_t', (a, 1, np.zeros((4, 1))), {}),
              ('sum_t', (a, 0, np.zeros(5)), {}), ('sum_t', (a, None, np.zeros(())), {}),
              ('clip_t', (a, -0.3, 0.4, zeros), {}), ('softmax_m', (a, zeros), {}),
              ('binarize_v', (ids, zeros), {}), ('index_m_by_v', (a, ids, np.zeros((4, 1))), {}),
              ('broadcast_t', (column, 1, zeros), {}),
              ('merge_tt', (a, b[:, :2], np.zeros((4, 7))), {})]
    for number, (name, arguments, options) in enumerate(calls):
        out = arguments[-1].copy()
        getattr(h, name)(*arguments[:-1], out, **options)
        assert_agree(out, reference[f'{name}{number}'])
    condition = (rnd.rand(4, 5) > 0.5) * 1.0
    for name in ('copy_to_if', 'add_into_if'):
        out = b.copy()
        getattr(h, name)(a, out, condition)
        assert_agree(out, reference[name])
    out = b.copy()
    h.fill_if(out, 3.0, condition)
    assert_agree(out, reference['fill_if'])
    left, right = np.ones((4, 3)), np.ones((4, 2))
    h.split_add_tt(a, left, right)
    assert_agree(left, reference['split_a'])
    assert_agree(right, reference['split_b'])
    for name in ('tanh', 'sigmoid', 'rel', 'el'):
        y, dx = np.zeros((4, 5)), np.zeros((4, 5))
        h.act_func[name](a, y)
        h.act_func_deriv[name](a, y, b, dx)
        assert_agree(dx, reference[name + '_deriv'])
