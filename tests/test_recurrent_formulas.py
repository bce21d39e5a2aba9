"""What recurrent layers show of themselves, step by step, against NumPy."""

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler

T, B, F, N = 5, 3, 4, 6
TIMING = np.array([1, 2, 3, 2, 1, 4])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def run(layer, timing=None):
    """The network after a forward and a backward pass; the loss is half of y**2, summed, over B."""
    inp, error = layers.Input({'default': ('T', 'B', F), 'targets': ('T', 'B', N)}), \
        layers.SquaredError()
    inp >> layer >> error
    inp - 'targets' >> 'targets' - error
    net = bs.Network.from_layer(error - 'loss' >> layers.Loss())
    net.set_handler(NumpyHandler(np.float64))
    net.initialize(bs.Gaussian(0.7), seed=5)
    if timing is not None:
        net.buffer['L.parameters.timing'][...] = timing
    rnd = np.random.RandomState(6)
    net.provide_external_data({'default': rnd.randn(T, B, F), 'targets': np.zeros((T, B, N))})
    net.forward_pass()
    net.backward_pass()
    return net


def values(net, kind):
    return {name: net.get(f'L.{kind}.{name}') for name in net.buffer.L[kind].keys()}


def lstm_forward(p, x, clock):
    """All internals of every step, and y; index -1 is the state before step 0."""
    names = ['Za', 'Zb', 'Ia', 'Ib', 'Fa', 'Fb', 'Oa', 'Ob', 'Ca', 'Cb', 'y']
    v = {name: np.zeros((T + 1, B, N)) for name in names}
    for t in range(T):
        keep = np.fmod(t, clock) != 0
        y, c = v['y'][t - 1], v['Ca'][t - 1]
        v['Za'][t] = x[t] @ p['Wz'].T + y @ p['Rz'].T + p['bz']
        v['Ia'][t] = x[t] @ p['Wi'].T + y @ p['Ri'].T + p['pi'] * c + p['bi']
        v['Fa'][t] = x[t] @ p['Wf'].T + y @ p['Rf'].T + p['pf'] * c + p['bf']
        v['Zb'][t] = np.tanh(v['Za'][t])
        v['Ib'][t], v['Fb'][t] = sigmoid(v['Ia'][t]), sigmoid(v['Fa'][t])
        new = v['Ib'][t] * v['Zb'][t] + v['Fb'][t] * c
        v['Oa'][t] = x[t] @ p['Wo'].T + y @ p['Ro'].T + p['po'] * new + p['bo']
        v['Ob'][t], v['Cb'][t] = sigmoid(v['Oa'][t]), np.tanh(new)
        v['Ca'][t] = np.where(keep, c, new)
        v['y'][t] = np.where(keep, y, v['Ob'][t] * v['Cb'][t])
    return v


@pytest.mark.parametrize('type, clock', [('Lstm', np.ones(N)), ('ClockworkLstm', TIMING)])
def test_every_gate_and_cell_of_an_lstm(type, clock):
    net = run(getattr(layers, type)(N, name='L'), None if type == 'Lstm' else clock)
    expected = lstm_forward(values(net, 'parameters'), net.get_input('default'), clock)
    np.testing.assert_allclose(net.get('L.outputs.default')[:T], expected.pop('y')[:T], rtol=1e-12)
    for name, value in expected.items():
        np.testing.assert_allclose(net.get('L.internals.' + name)[:T], value[:T], rtol=1e-11,
                                   err_msg=name)


@pytest.mark.parametrize('type, clock', [('Lstm', np.ones(N)), ('ClockworkLstm', TIMING)])
def test_every_delta_of_an_lstm(type, clock):
    net = run(getattr(layers, type)(N, name='L'), None if type == 'Lstm' else clock)
    p, v = values(net, 'parameters'), values(net, 'internals')
    y, dy_above = net.get('L.outputs.default'), net.get('L.output_deltas.default')
    np.testing.assert_allclose(dy_above[:T], y[:T] / B)
    dy, dc = np.zeros((B, N)), np.zeros((B, N))  # from later steps
    for t in reversed(range(T)):
        keep, c = np.fmod(t, clock) != 0, v['Ca'][t - 1]
        z, i, f, o, cb = (v[name][t] for name in ('Zb', 'Ib', 'Fb', 'Ob', 'Cb'))
        dy = dy + dy_above[t]
        fresh = np.where(keep, 0, dy)
        expected = {'dCb': fresh * o * (1 - cb ** 2), 'dOb': fresh * cb}
        expected['dOa'] = expected['dOb'] * o * (1 - o)
        expected['dCa'] = dc + expected['dCb'] + p['po'] * expected['dOa']
        expected.update(dZb=expected['dCa'] * i, dIb=expected['dCa'] * z, dFb=expected['dCa'] * c)
        expected['dZa'] = np.where(keep, 0, expected['dZb'] * (1 - z ** 2))
        expected['dIa'] = np.where(keep, 0, expected['dIb'] * i * (1 - i))
        expected['dFa'] = np.where(keep, 0, expected['dFb'] * f * (1 - f))
        for name, value in expected.items():
            np.testing.assert_allclose(v[name][t], value, rtol=1e-10, atol=1e-14,
                                       err_msg=f'{name} at step {t}')
        dc = np.where(keep, expected['dCa'],
                      expected['dCa'] * f + p['pi'] * expected['dIa'] + p['pf'] * expected['dFa'])
        dy = np.where(keep, dy, 0) + sum(
            expected[f'd{g}a'] @ p['R' + g.lower()] for g in 'ZIFO')


def test_lstm_opt_is_an_lstm_with_other_parameters():
    one, other = run(layers.Lstm(N, name='L')), run(layers.LstmOpt(N, name='L'))
    p = values(one, 'parameters')
    for name, parts in {'W': 'Wz Wi Wf Wo', 'R': 'Rz Ri Rf Ro', 'p': 'pi pf po',
                        'b': 'bz bi bf bo'}.items():
        other.buffer.L.parameters[name][...] = np.concatenate([p[part] for part in parts.split()])
    other.forward_pass()
    other.backward_pass()
    a, b = values(one, 'internals'), values(other, 'internals')
    np.testing.assert_array_equal(other.get('L.outputs.default'), one.get('L.outputs.default'))
    np.testing.assert_array_equal(other.get('Input.output_deltas.default'),
                                  one.get('Input.output_deltas.default'))
    for name, parts in {'Ga': 'Za Ia Fa Oa', 'Gb': 'Zb Ib Fb Ob', 'dGa': 'dZa dIa dFa dOa',
                        'dGb': 'dZb dIb dFb dOb', 'Ca': 'Ca', 'dCa': 'dCa'}.items():
        np.testing.assert_array_equal(
            b[name][:T], np.concatenate([a[part] for part in parts.split()], axis=2)[:T])
    np.testing.assert_array_equal(other.get('L.gradients.W'), np.concatenate(
        [one.get('L.gradients.' + name) for name in ('Wz', 'Wi', 'Wf', 'Wo')]))


def test_every_gate_of_a_gru():
    net = run(layers.Gru(N, name='L'))
    p, v, x = values(net, 'parameters'), values(net, 'internals'), net.get_input('default')
    y = np.zeros((B, N))
    for t in range(T):
        s = y @ p['Rh'].T + p['bs']
        ra, za = (x[t] @ p['W' + g].T + y @ p['R' + g].T + p['b' + g] for g in 'rz')
        ha = x[t] @ p['Wh'].T + p['bh'] + sigmoid(ra) * s
        expected = {'S': s, 'Ra': ra, 'Za': za, 'Ha': ha, 'Rb': sigmoid(ra), 'Zb': sigmoid(za),
                    'Hb': np.tanh(ha)}
        for name, value in expected.items():
            np.testing.assert_allclose(v[name][t], value, rtol=1e-11, err_msg=name)
        y = (1 - sigmoid(za)) * np.tanh(ha) + sigmoid(za) * y
        np.testing.assert_allclose(net.get('L.outputs.default')[t], y, rtol=1e-11)


def test_units_of_a_clockwork_keep_their_output_between_ticks():
    net = run(layers.Clockwork(N, name='L'), TIMING)
    y, p = net.get('L.outputs.default'), values(net, 'parameters')
    v, x = values(net, 'internals'), net.get_input('default')
    for t in range(T):
        ha = x[t] @ p['W'].T + y[t - 1] @ p['R'].T + p['bias']
        keep = t % TIMING != 0
        np.testing.assert_allclose(v['Ha'][t], ha, rtol=1e-11)
        np.testing.assert_allclose(y[t], np.where(keep, y[t - 1], np.tanh(ha)), rtol=1e-11)
        assert (v['dHa'][t][:, keep] == 0).all()
    assert (net.get('L.gradients.timing') == 0).all()


@pytest.mark.parametrize('make', [layers.Clockwork, layers.ClockworkLstm])
@pytest.mark.parametrize('wrong', [0, -1, np.nan, np.inf])
def test_a_timing_must_be_finite_and_above_zero(make, wrong):
    with pytest.raises(ValueError, match="layer 'L': .*'timing' must be finite and above 0"):
        run(make(N, name='L'), [1, 2, wrong, 1, 1, 1])


def test_views_of_a_pass_are_live_at_every_step():
    net = run(layers.Lstm(N, name='L'))
    cells = net.buffer.L.internals.Cb
    before = cells[2].copy()
    net.buffer['Input.outputs.default'][2] += 1
    net.forward_pass()
    assert not np.array_equal(cells[2], before)
    np.testing.assert_array_equal(cells, net.get('L.internals.Cb'))


def test_a_mask_of_zeros_is_no_error():
    inp, out = bs.tools.get_in_out_layers('classification', F, 3, mask_name='mask')
    net = bs.Network.from_layer(inp >> layers.Lstm(N) >> out)
    net.initialize(bs.Gaussian(0.5), seed=1)
    net.provide_external_data({'default': np.ones((T, B, F)), 'targets': np.zeros((T, B, 1)),
                               'mask': np.zeros((T, B, 1))})
    net.forward_pass()
    net.backward_pass()
    assert net.get_loss_values()['total_loss'] == 0
    assert (net.get('gradients') == 0).all()


def test_no_time_steps_are_an_error():
    inp = layers.Input({'default': ('T', 'B', F)})
    net = bs.Network.from_layer(inp >> layers.Lstm(N) >> layers.Loss())
    with pytest.raises(ValueError, match="'default' is empty: 0 time steps"):
        net.provide_external_data({'default': np.ones((0, B, F))})
