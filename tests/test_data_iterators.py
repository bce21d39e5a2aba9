import copy
import pickle
import threading

import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm.data_iterators import Minibatches
from brainstorm.utils import IteratorValidationError

X = np.arange(4 * 5 * 2.).reshape(4, 5, 2)
LENGTHS = [2, 4, 1, 0, 3]
MASK = (np.arange(4)[:, None] < np.array(LENGTHS)[None, :])[:, :, None]


def batches(iterator):
    return list(iterator(handler=None))


def test_undivided_yields_everything_once_and_never_cuts():
    iterator = bs.Undivided(default=X, mask=MASK)
    (batch,) = batches(iterator)
    assert list(batch) == ['default', 'mask']
    assert np.array_equal(batch['default'], X)
    assert iterator.length == 1
    assert iterator.data_shapes == {'default': (4, 5, 2), 'mask': (4, 5, 1)}


def test_each_batch_is_a_dict_of_its_own():
    iterator = bs.Undivided(default=X)
    batches(iterator)[0].clear()
    assert list(batches(iterator)[0]) == ['default']


def test_minibatches_in_order_with_a_smaller_last_one():
    iterator = bs.Minibatches(2, shuffle=False, default=X, targets=X[:, :, :1])
    assert iterator.length == 3
    assert iterator.data_shapes == {'default': (4, 5, 2), 'targets': (4, 5, 1)}
    for batch, start in zip(batches(iterator), (0, 2, 4)):
        assert list(batch) == ['default', 'targets']
        assert np.array_equal(batch['default'], X[:, start:start + 2])
        assert np.shares_memory(batch['default'], X)


def test_shuffling_is_numpys_and_changes_every_time():
    iterator = bs.Minibatches(2, default=X)
    twin = np.random.RandomState(iterator.rnd.get_seed())
    for _ in range(3):
        order = np.arange(3)
        twin.shuffle(order)
        firsts = [batch['default'][0, 0, 0] for batch in batches(iterator)]
        assert firsts == [X[0, 2 * i, 0] for i in order]


@pytest.mark.parametrize('cut, steps', [
    ('mask', [4, 1, 3]),
    ('default', [4, 4, 4]),
    ([1, 2, 3, 4, 0], [2, 4, 1]),
    (np.array([0, 0, 0, 0, 0]), [1, 1, 1]),
    (None, [4, 4, 4]),
    ('absent', [4, 4, 4]),
])
def test_cutting(cut, steps):
    iterator = bs.Minibatches(2, shuffle=False, cut_according_to=cut, default=X, mask=MASK)
    result = batches(iterator)
    assert [batch['default'].shape[0] for batch in result] == steps
    assert [batch['mask'].shape[0] for batch in result] == steps
    assert iterator.data_shapes['default'] == (4, 5, 2)


def test_gaps_and_any_feature_count_for_the_length():
    data = np.zeros((5, 2, 3))
    data[3, 1, 2] = 0.5
    (batch,) = batches(bs.Minibatches(2, cut_according_to='default', default=data))
    assert batch['default'].shape == (4, 2, 3)


def test_static_items_are_never_cut():
    static = np.ones((1, 5, 3))
    iterator = bs.Minibatches(2, shuffle=False, default=X, mask=MASK, static_data=static)
    assert [(b['default'].shape[0], b['static_data'].shape) for b in batches(iterator)] == \
        [(4, (1, 2, 3)), (1, (1, 2, 3)), (3, (1, 1, 3))]


def test_a_static_mask_cuts_nothing():
    iterator = bs.Minibatches(5, default=X, mask=np.ones((1, 5, 1)))
    assert batches(iterator)[0]['default'].shape[0] == 4


def test_online_yields_single_sequences_cut_to_their_length():
    iterator = bs.Online(shuffle=False, default=X, mask=MASK)
    result = batches(iterator)
    assert [b['default'].shape for b in result] == [(max(n, 1), 1, 2) for n in LENGTHS]
    assert iterator.length == 5


def test_h5py_datasets_are_read_batch_by_batch(tmp_path):
    with h5py.File(tmp_path / 'data.hdf5', 'w') as file:
        file['train/default'] = X
        file['train/mask'] = MASK.astype(np.uint8)
        from_file = bs.Minibatches(2, shuffle=False, **file['train'])
        from_memory = bs.Minibatches(2, shuffle=False, default=X, mask=MASK)
        for got, want in zip(batches(from_file), batches(from_memory)):
            assert isinstance(got['default'], np.ndarray)
            assert np.array_equal(got['default'], want['default'])
            assert np.array_equal(got['mask'], want['mask'])
        whole = bs.Undivided(**file['train'])
        assert np.array_equal(batches(whole)[0]['default'], X)
    for iterator in from_file, whole:
        with pytest.raises(IteratorValidationError, match="'default' is a dataset in an HDF5 file"
                           ' that has been closed'):
            batches(iterator)


def test_the_data_of_the_user_stays_as_it_is():
    data = X.copy()
    data.flags.writeable = False
    batches(bs.Minibatches(2, cut_according_to='default', default=data, other=data.tolist()))
    assert np.array_equal(data, X)


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alike(duplicate):
    iterator = bs.Minibatches(1, default=X)
    batches(iterator)
    other = duplicate(iterator)
    for got, want in zip(batches(other), batches(iterator)):
        assert np.array_equal(got['default'], want['default'])


@pytest.mark.parametrize('duplicate', [copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize('make', [bs.Undivided, bs.Minibatches, bs.Online])
def test_iterators_over_files_cannot_be_copied(tmp_path, make, duplicate):
    with h5py.File(tmp_path / 'data.hdf5', 'w') as file:
        file['default'] = X
        iterator = make(default=file['default'])
        with pytest.raises(TypeError, match=f"{make.__name__} .*'default' is a dataset.*arrays"):
            duplicate(iterator)


@pytest.mark.parametrize('data, text', [
    ({}, 'at least one item'),
    ({'default': X[0]}, r"'default' must have the shape .* got \(5, 2\)"),
    ({'default': X[:, :0]}, r'empty dimensions, got \(4, 0, 2\)'),
    ({'default': X[:0]}, r'\(0, 5, 2\)'),
    ({'default': X, 'targets': X[:, :3]}, 'same number of sequences'),
    ({'default': X, 'targets': X[:3]}, 'same number of time steps'),
    ({'default': [[['a']]]}, 'numbers or bools'),
    ({'default': X.astype(complex)}, 'numbers or bools'),
    ({'default': [[[1, 2], [3]]]}, "'default' is no array"),
    ({'default': None}, 'numbers or bools'),
])
@pytest.mark.parametrize('make', [bs.Undivided, bs.Minibatches, bs.Online])
def test_data_that_does_not_fit(make, data, text):
    with pytest.raises(IteratorValidationError, match=text):
        make(**data)


@pytest.mark.parametrize('cut', [5, [1, 2], [1, 2, 3, 4, 9], [1, 2, 3, 4, -1], [1., 2, 3, 4, 4]])
def test_wrong_lengths(cut):
    with pytest.raises(IteratorValidationError, match='cut_according_to'):
        bs.Minibatches(2, cut_according_to=cut, default=X)


@pytest.mark.parametrize('size, error', [(0, ValueError), (-1, ValueError), (1.5, TypeError),
                                         ('2', TypeError), (None, TypeError)])
def test_wrong_batch_sizes(size, error):
    with pytest.raises(error, match='batch_size must be an integer'):
        bs.Minibatches(size, default=X)


def test_the_next_batch_is_read_while_one_is_used(tmp_path, monkeypatch):
    values = np.arange(2 * 7 * 3).reshape(2, 7, 3)
    with h5py.File(tmp_path / 'data.hdf5', 'w') as file:
        iterator = Minibatches(2, shuffle=False, default=file.create_dataset('x', data=values))
        read, started = iterator._read, [threading.Event() for _ in range(4)]

        def watched(i):
            started[i].set()
            return read(i)
        monkeypatch.setattr(iterator, '_read', watched)
        for i, batch in enumerate(iterator(None)):
            np.testing.assert_array_equal(batch['default'], values[:, 2 * i:2 * i + 2])
            if i < 3:
                assert started[i + 1].wait(10)
            assert i > 1 or not started[i + 2].is_set()  # one ahead, not more
        assert i == 3


def test_a_failing_read_comes_out_at_its_batch(tmp_path):
    with h5py.File(tmp_path / 'data.hdf5', 'w') as file:
        iterator = Minibatches(1, shuffle=False, default=file.create_dataset('x', (1, 3, 1), 'f4'))
        batches = iterator(None)
        next(batches)
    with pytest.raises((ValueError, RuntimeError, OSError)):
        list(batches)
    assert not any(thread.name.startswith('reader') for thread in threading.enumerate())
