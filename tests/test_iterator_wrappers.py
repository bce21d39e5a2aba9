"""Iterators that change what other iterators yield, against NumPy's own generator."""

import copy
import pickle

import numpy as np
import pytest

import brainstorm as bs
from brainstorm.data_iterators import (
    AddGaussianNoise, AddSaltNPepper, Flip, Minibatches, MultiHot, OneHot, Pad, RandomCrop,
    Undivided)
from brainstorm.utils import IteratorValidationError


def images(n=3, T=2, dtype=np.float64):
    values = np.random.RandomState(0).randint(0, 256, (T, n, 4, 5, 2))
    return values.astype(dtype)


def only(iterator):
    """The one batch of an iterator."""
    batch, = list(iterator(None))
    return batch


def seeds(n):
    """The next n seeds that objects without a seed will draw."""
    state = copy.deepcopy(bs.global_rnd)
    return [state.generate_seed() for _ in range(n)]


def test_gaussian_noise():
    x = images()
    source = Undivided(default=x, other=x)
    seed, = seeds(1)
    noisy = AddGaussianNoise(source, {'default': 0.5}, {'default': 1.0})
    batch = only(noisy)
    drawn = np.random.RandomState(seed).standard_normal(x.shape)
    np.testing.assert_array_equal(batch['default'], (x + 0.5 * drawn) + 1.0)
    assert batch['default'].dtype == np.float64
    np.testing.assert_array_equal(batch['other'], x)


def test_salt_and_pepper():
    x = images()
    source = Undivided(default=x)
    seed, = seeds(1)
    batch = only(AddSaltNPepper(source, {'default': 0.4}, {'default': 0.25}))
    drawn = np.random.RandomState(seed).rand(*x.shape)
    expected = np.where(drawn <= 0.4 * 0.75, 0, np.where(drawn >= 1 - 0.4 * 0.25, 1, x))
    np.testing.assert_array_equal(batch['default'], expected)


def test_flip_draws_two_seeds_and_flips_whole_sequences():
    x = images(n=8)
    source = Undivided(default=x)
    _, second = seeds(2)
    batch = only(Flip(source))
    rnd = np.random.RandomState(second)
    flipped = np.array([rnd.random_sample() < 0.5 for _ in range(8)])
    assert 0 < flipped.sum() < 8
    expected = np.where(flipped[None, :, None, None, None], x[:, :, :, ::-1], x)
    np.testing.assert_array_equal(batch['default'], expected)
    np.testing.assert_array_equal(source.data['default'], images(n=8))


@pytest.mark.parametrize('dtype, value, result', [
    (np.uint8, 0, np.uint8), (np.uint8, 0.5, np.float64), (np.float32, 2, np.float32),
    (np.uint8, 300, np.uint16), (np.uint8, -1, np.int16)])
def test_pad(dtype, value, result):
    x = images(dtype=dtype)
    padded = Pad(Undivided(default=x), {'default': 2}, {'default': value})
    y = only(padded)['default']
    assert y.shape == padded.data_shapes['default'] == (2, 3, 8, 9, 2) and y.dtype == result
    expected = np.pad(x.astype(result), ((0, 0), (0, 0), (2, 2), (2, 2), (0, 0)),
                      constant_values=value)
    np.testing.assert_array_equal(y, expected)


def test_random_crop():
    x = images(n=6)
    source = Undivided(default=x)
    seed, = seeds(1)
    cropped = RandomCrop(source, {'default': (2, 3)})
    y = only(cropped)['default']
    rnd = np.random.RandomState(seed)
    rows, columns = rnd.randint(0, 3, 6), rnd.randint(0, 3, 6)
    assert y.shape == cropped.data_shapes['default'] == (2, 6, 2, 3, 2)
    for i, (row, column) in enumerate(zip(rows, columns)):
        np.testing.assert_array_equal(y[:, i], x[:, i, row:row + 2, column:column + 3])


def test_one_hot_and_multi_hot():
    ids = np.array([[[0], [2]], [[1], [2]]])
    hot = OneHot(Minibatches(1, shuffle=False, default=ids), {'default': 3})
    assert hot.data_shapes == {'default': (2, 2, 3)} and hot.length == 2
    first, second = [batch['default'] for batch in hot(None)]
    assert first.dtype == bool and first.tolist() == [[[1, 0, 0]], [[0, 1, 0]]]
    assert second.tolist() == [[[0, 0, 1]], [[0, 0, 1]]]
    many = only(MultiHot(Undivided(default=np.array([[[0, 2], [1, 1]]])), {'default': 4}))
    assert many['default'].tolist() == [[[1, 0, 1, 0], [0, 1, 0, 0]]]


@pytest.mark.parametrize('wrong', [-1, 3, 0.5, np.nan])
def test_ids_out_of_range(wrong):
    hot = OneHot(Undivided(default=np.array([[[0.0], [wrong]]])), {'default': 3})
    with pytest.raises(IteratorValidationError, match=r"OneHot: 'default' holds \S+, expected "
                       r"whole numbers in \[0, 3\)"):
        list(hot(None))


def test_wrappers_of_wrappers_train_a_network():
    inp, out = bs.tools.get_in_out_layers('classification', (4, 3, 2), 3)
    net = bs.Network.from_layer(inp >> bs.layers.FullyConnected(5) >> out)
    net.initialize(bs.Gaussian(0.1), seed=1)
    source = Minibatches(2, default=images(6, 1), targets=np.zeros((1, 6, 1)))
    data = AddGaussianNoise(Flip(RandomCrop(Pad(source, {'default': 1}), {'default': (4, 3)})),
                            {'default': 0.1})
    assert data.length == 3
    trainer = bs.Trainer(bs.training.SgdStepper(0.0001), verbose=False)
    trainer.add_hook(bs.hooks.StopAfterEpoch(2))
    trainer.train(net, data)
    assert trainer.current_update_nr == 6


def test_wrappers_pickle_with_their_random_state():
    data = AddGaussianNoise(Undivided(default=images()), {'default': 1.0})
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(only(again)['default'], only(data)['default'])


SOURCE = Undivided(default=images(), flat=np.zeros((1, 3, 4)), ids=np.zeros((1, 3, 1)))


@pytest.mark.parametrize('make, message', [
    (lambda: AddGaussianNoise(SOURCE, {'defualt': 1}), "there is no item 'defualt'; there are def"),
    (lambda: AddGaussianNoise(SOURCE, {'flat': -1}), r"std_dict\['flat'\] must be a number from 0"),
    (lambda: AddGaussianNoise(SOURCE, {'flat': 1}, {'ids': 1}), 'must have the same names'),
    (lambda: AddGaussianNoise(SOURCE, 0.5), 'std_dict must be a dict'),
    (lambda: AddSaltNPepper(SOURCE, {'flat': 1.5}), 'must be a number from 0 to 1, got 1.5'),
    (lambda: Flip(SOURCE, {'flat': 0.5}), r"Flip: 'flat' must be images \(T, N, H, W, C\)"),
    (lambda: Pad(SOURCE, {'default': -1}), r"size_dict\['default'\] must be an integer from 0"),
    (lambda: Pad(SOURCE, {'default': 1.5}), r"size_dict\['default'\] must be an integer"),
    (lambda: RandomCrop(SOURCE, {'default': (5, 5)}), 'do not fit into images of'),
    (lambda: RandomCrop(SOURCE, {'default': 3}), r'must be \(height, width\)'),
    (lambda: OneHot(SOURCE, {'flat': 3}), r"OneHot: 'flat' must have the shape \(T, N, 1\)"),
    (lambda: MultiHot(SOURCE, {'default': 3}), r"MultiHot: 'default' must have the shape \(T, N,"),
    (lambda: OneHot(SOURCE, {'ids': 0}), r"vocab_size_dict\['ids'\] must be an integer from 1"),
])
def test_what_they_refuse(make, message):
    with pytest.raises(IteratorValidationError, match=message):
        make()


def test_what_is_no_iterator():
    with pytest.raises(TypeError, match='Flip: iter must be a DataIterator'):
        Flip(np.zeros((1, 3, 4, 4, 1)))
