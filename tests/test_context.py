"""The state of recurrent layers, carried from one pass to the next."""

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.utils import NetworkValidationError
from layer_cases import RECURRENT
from networks import classifier, random_batch

CLOCKED = {'Clockwork', 'ClockworkLstm'}
TIMING = [1, 2, 3, 6]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def recurrent_net(kind, dtype=np.float64):
    """Two layers of a kind, R and S, one on top of the other."""
    layer = getattr(layers, kind)
    net = classifier(layer(4, name='R'), layer(4, name='S'), dtype=dtype)
    timing = {'timing': TIMING} if kind in CLOCKED else {}
    net.initialize({'default': bs.Gaussian(0.5), **{name: timing for name in 'RS' if timing}},
                   seed=1)
    return net


def run(net, data, start, stop, context=None):
    """One pass over some steps; what came out in each of them, by path."""
    net.provide_external_data({name: values[start:stop] for name, values in data.items()})
    net.forward_pass(context=context)
    paths = ['Output.outputs.predictions']
    paths += ['.'.join(path) for *path, _ in net._core.context_leaves()]
    return {path: net.get(path)[:stop - start] for path in paths}


def run_in_pieces(net, data, cuts):
    pieces, context = [], None
    for start, stop in zip(cuts, cuts[1:]):
        pieces.append(run(net, data, start, stop, context))
        context = net.get_context()
    return {path: np.concatenate([piece[path] for piece in pieces]) for path in pieces[0]}


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('kind', RECURRENT)
def test_sequences_in_pieces(kind, dtype):
    unit = 6 if kind in CLOCKED else 1  # clocks begin anew with each piece
    units, rnd = 8, np.random.RandomState(4)
    net, data = recurrent_net(kind, dtype), random_batch(time_steps=units * unit, batch_size=3)
    whole = run(net, data, 0, units * unit)
    ways = [np.arange(units + 1)]
    for n_cuts in (1, 2, 4):
        inside = rnd.choice(np.arange(1, units), n_cuts, replace=False)
        ways.append(np.sort([0, units, *inside]))
    for cuts in ways:
        for path, values in run_in_pieces(net, data, unit * cuts).items():
            np.testing.assert_allclose(values, whole[path], rtol=TOLERANCE[dtype],
                                       atol=TOLERANCE[dtype], err_msg=path)


@pytest.mark.parametrize('kind', RECURRENT)
def test_the_state_matters(kind):
    net, data = recurrent_net(kind), random_batch(time_steps=12, batch_size=3)
    whole = run(net, data, 0, 12)['S.outputs.default']
    assert not np.allclose(run(net, data, 6, 12)['S.outputs.default'], whole[6:])


@pytest.mark.parametrize('before, after', [(np.float32, np.float64), (np.float64, np.float32)])
@pytest.mark.parametrize('kind', RECURRENT)
def test_states_move_to_another_dtype(kind, before, after):
    net, data = recurrent_net(kind, before), random_batch(time_steps=12, batch_size=3)
    whole = run(net, data, 0, 12)
    run(net, data, 0, 6)
    context = net.get_context()
    net.set_handler(NumpyHandler(after))
    for path, values in run(net, data, 6, 12, context).items():
        assert values.dtype == after
        np.testing.assert_allclose(values, whole[path][6:], rtol=1e-5, atol=1e-5, err_msg=path)


def test_what_a_context_holds():
    net, data = recurrent_net('Lstm'), random_batch(time_steps=5, batch_size=3)
    last = run(net, data, 0, 5)
    context = net.get_context()
    assert set(context) == {'R', 'S'}
    assert set(context['R']) == {'outputs', 'internals'}
    states = {f'{layer}.{kind}.{name}': state for layer, kinds in context.items()
              for kind, states in kinds.items() for name, state in states.items()}
    assert set(states) == set(last) - {'Output.outputs.predictions'}
    for path, state in states.items():
        assert state.shape == (1, 3, 4)
        assert np.array_equal(state, last[path][4:])
    net.forward_pass()
    assert np.array_equal(states['R.outputs.default'], last['R.outputs.default'][4:])


# ---- contexts that do not fit ----


def context_of(kind='Lstm', **batch):
    net = recurrent_net(kind)
    net.provide_external_data(random_batch(**batch))
    net.forward_pass()
    return net.get_context()


def test_contexts_of_another_batch_size():
    net = recurrent_net('Lstm')
    net.provide_external_data(random_batch(batch_size=2))
    with pytest.raises(ValueError, match=r'R\.outputs\.default has shape \(1, 3, 4\), '
                                         r'expected \(1, 2, 4\)'):
        net.forward_pass(context=context_of(batch_size=3))


@pytest.mark.parametrize('shape', [(3, 4), (2, 3, 4), (1, 1, 4), (1, 3, 5), (1, 12), ()])
def test_states_of_a_wrong_shape(shape):
    net, context = recurrent_net('Lstm'), context_of(batch_size=3)
    net.provide_external_data(random_batch(batch_size=3))
    context['S']['internals']['Ca'] = np.zeros(shape)
    with pytest.raises(ValueError, match=r'S\.internals\.Ca has shape .*, '
                                         r'expected \(1, 3, 4\)'):
        net.forward_pass(context=context)


def test_contexts_of_another_network():
    net = recurrent_net('Lstm')
    net.provide_external_data(random_batch())
    with pytest.raises(NetworkValidationError, match=r'R\.internals\.Ha keeps no state; '
                                                     r'there are R\.'):
        net.forward_pass(context=context_of('Recurrent'))
    other = classifier(layers.Lstm(4, name='Q'))
    other.provide_external_data(random_batch())
    with pytest.raises(NetworkValidationError, match="no layer 'R'; there are"):
        other.forward_pass(context=context_of())
    with pytest.raises(NetworkValidationError, match=r'R\.internals\.dCa keeps no state'):
        net.forward_pass(context={'R': {'internals': {'dCa': np.zeros((1, 4, 4))}}})


@pytest.mark.parametrize('wrong, name', [
    (5, 'context'), ([], 'context'), ({'R': 1}, 'context of R'),
    ({'R': {'outputs': []}}, r'context of R\.outputs')])
def test_contexts_that_are_no_dicts(wrong, name):
    net = recurrent_net('Recurrent')
    with pytest.raises(TypeError, match=f'{name} must be a dict, got'):
        net.forward_pass(context=wrong)


@pytest.mark.parametrize('state', [None, 'abc', np.ones((1, 4, 4), complex),
                                   np.full((1, 4, 4), None)])
def test_states_that_are_no_real_numbers(state):
    net = recurrent_net('Recurrent')
    net.provide_external_data(random_batch())
    with pytest.raises(TypeError, match=r'context of R\.outputs\.default .* real numbers, got'):
        net.forward_pass(context={'R': {'outputs': {'default': state}}})
