import copy
import pickle

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.randomness import RandomState, Seedable, global_rnd


def draws(make):
    """How many seeds `make` draws from global_rnd."""
    global_rnd.set_seed(77)
    make()
    probe = global_rnd.randint(0, 2**31)
    global_rnd.set_seed(77)
    for count in range(20):
        state = copy.deepcopy(global_rnd)
        if state.randint(0, 2**31) == probe:
            return count
        global_rnd.generate_seed()
    raise AssertionError('more than 20 draws')


def test_the_numbers_are_those_of_numpy():
    assert np.array_equal(RandomState(5).randn(4), np.random.RandomState(5).randn(4))


def test_generated_seeds_are_below_a_thousand_million():
    expected = np.random.RandomState(5).randint(0, 1000000000, size=3)
    rnd = RandomState(5)
    assert [rnd.generate_seed() for _ in range(3)] == list(expected)


def test_every_seeding_restarts_numbers_and_stream():
    rnd = RandomState(5)
    first = rnd.rand()
    for restart in (lambda: rnd.set_seed(5), lambda: rnd.seed(5), rnd.reset):
        rnd.stream.draw = 3
        restart()
        assert rnd.rand() == first
        assert (rnd.stream.key, rnd.stream.draw) == (5, 0)
    rnd.set_seed(6)
    assert (rnd.get_seed(), rnd.stream.key) == (6, 6)


def test_children_take_their_seed_from_the_parent():
    parent, twin = RandomState(5), RandomState(5)
    assert parent.create_random_state().get_seed() == twin.generate_seed()
    assert parent.create_random_state(9).get_seed() == 9


def test_without_a_seed_one_comes_from_numpy():
    np.random.seed(4)
    expected = np.random.RandomState(4).randint(0, 1000000000)
    assert RandomState().get_seed() == expected


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alike(duplicate):
    rnd = RandomState(5)
    rnd.rand(3)
    rnd.randn()  # leaves a second number behind, which must travel too
    rnd.stream.draw = 4
    other = duplicate(rnd)
    assert type(other) is RandomState
    assert (other.get_seed(), other.stream.key, other.stream.draw) == (5, 5, 4)
    assert np.array_equal(other.randn(5), rnd.randn(5))
    other.stream.draw = 9
    assert rnd.stream.draw == 4


@pytest.mark.parametrize('seed, error', [(-1, ValueError), (2**32, ValueError), (1.5, TypeError),
                                         ('a', TypeError), ([1, 2], TypeError), (True, TypeError)])
def test_seeds_are_checked(seed, error):
    with pytest.raises(error, match='seed must be an integer'):
        RandomState(seed)


DATA = {'default': np.zeros((2, 4, 3))}


@pytest.mark.parametrize('make, expected', [
    (lambda: Seedable(), 1),
    (lambda: Seedable(4), 0),
    (lambda: bs.Gaussian(), 1),
    (lambda: bs.SparseInputs(bs.Gaussian(), 1), 2),
    (lambda: bs.ClipValues(), 1),
    (lambda: bs.value_modifiers.L1Decay(0.1), 1),
    (lambda: bs.Minibatches(2, **DATA), 1),
    (lambda: bs.Online(**DATA), 1),
    (lambda: bs.Undivided(**DATA), 1),
    (lambda: bs.handlers.NumpyHandler(), 1),
    (lambda: bs.handlers.NumpyHandler(seed=3), 0),
    (lambda: bs.tools.create_net_from_spec('classification', 4, 2, 'F3 D F2'), 1 + 3 + 2),
])
def test_who_draws_how_many_seeds(make, expected):
    assert draws(make) == expected


def test_setting_modifiers_and_lists_of_numbers():
    net = bs.tools.create_net_from_spec('classification', 4, 2, '')
    modifier = bs.ClipValues()
    assert draws(lambda: net.set_weight_modifiers(modifier)) == 0
    assert draws(lambda: net.initialize({'*': {'W': np.ones((2, 4)), 'bias': 0}})) == 1


def test_equal_seeds_make_equal_networks():
    def run():
        bs.global_rnd.set_seed(42)
        net = bs.tools.create_net_from_spec('classification', 4, 2, 'F5 D')
        net.provide_external_data({'default': np.ones((1, 3, 4)),
                                   'targets': np.zeros((1, 3, 1))})
        net.forward_pass(training_pass=True)
        return net.get('parameters'), net.get('Dropout.internals.mask')
    for first, second in zip(run(), run()):
        assert np.array_equal(first, second)
