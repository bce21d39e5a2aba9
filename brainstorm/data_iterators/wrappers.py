"""Iterators that change what another iterator yields. They work on numpy arrays.

Each takes dicts from names of items to settings; items without a setting are yielded as they are.
The arrays of the other iterator are never changed.
"""

import numpy as np

from brainstorm.checks import check_interface, check_number
from brainstorm.data_iterators.sources import DataIterator
from brainstorm.randomness import Seedable
from brainstorm.utils import IteratorValidationError, list_names

__all__ = ['AddGaussianNoise', 'AddSaltNPepper', 'Flip', 'MultiHot', 'OneHot', 'Pad', 'RandomCrop']


class _Wrapper(DataIterator):
    """Base class: yields the batches of `iter` with some items changed.

    Args:
        iter: the other iterator.
        settings (dict[str, tuple]): settings of each item that is to be changed, by name.
    """

    def __init__(self, iter, settings):
        check_interface(type(self).__name__, 'iter', iter, DataIterator, '__call__',
                        'data_shapes', 'length')
        for name in settings:
            if name not in iter.data_shapes:
                raise IteratorValidationError(
                    f"{type(self).__name__}: there is no item {name!r}; "
                    + list_names('there are', name, iter.data_shapes))
        shapes = {name: self._changed_shape(name, shape, *settings[name])
                  if name in settings else shape for name, shape in iter.data_shapes.items()}
        super().__init__(shapes, iter.length)
        self.iter = iter
        self._settings = settings

    def __call__(self, handler=None):
        for batch in self.iter(handler):
            batch = dict(batch)
            for name, settings in self._settings.items():
                batch[name] = self._change(name, np.asarray(batch[name]), *settings)
            yield batch

    def _changed_shape(self, name, shape, *settings):
        """Shape of what `_change` makes of an item; IteratorValidationError if it cannot."""
        return shape

    def _change(self, name, values, *settings):
        """The item of one batch, changed; a new array."""
        raise NotImplementedError


class AddGaussianNoise(_Wrapper):
    """Adds noise: (x + std N) + mean with N from the standard normal distribution, as float64.

    Args:
        iter: the iterator that yields the data.
        std_dict (dict[str, float]): standard deviations by name of item.
        mean_dict (dict[str, float] | None): means, of the same names; None: 0.

    Raises:
        IteratorValidationError: a name that is not there, different names, a negative std.
    """

    def __init__(self, iter: DataIterator, std_dict: dict[str, float],
                 mean_dict: dict[str, float] | None = None):
        settings = _pair('AddGaussianNoise', 'std_dict', std_dict, 'mean_dict', mean_dict, 0.0)
        for name, (std, mean) in settings.items():
            _check('AddGaussianNoise', f'std_dict[{name!r}]', std, 0)
            _check('AddGaussianNoise', f'mean_dict[{name!r}]', mean)
        super().__init__(iter, settings)

    def _change(self, name, values, std, mean):
        return (values + std * self.rnd.standard_normal(values.shape)) + mean


class AddSaltNPepper(_Wrapper):
    """Sets numbers to 1 (salt) or 0 (pepper) at random.

    Args:
        iter: the iterator that yields the data.
        prob_dict (dict[str, float]): probabilities in [0, 1] of a number to be replaced.
        ratio_dict (dict[str, float] | None): share in [0, 1] of salt, of the same names; None: 0.5.

    Raises:
        IteratorValidationError: a name that is not there, different names, a number out of range.
    """

    def __init__(self, iter: DataIterator, prob_dict: dict[str, float],
                 ratio_dict: dict[str, float] | None = None):
        settings = _pair('AddSaltNPepper', 'prob_dict', prob_dict, 'ratio_dict', ratio_dict, 0.5)
        for name, (probability, ratio) in settings.items():
            _check('AddSaltNPepper', f'prob_dict[{name!r}]', probability, 0, 1)
            _check('AddSaltNPepper', f'ratio_dict[{name!r}]', ratio, 0, 1)
        super().__init__(iter, settings)

    def _change(self, name, values, probability, ratio):
        drawn = self.rnd.rand(*values.shape)
        values = values.copy()
        values[drawn >= 1 - probability * ratio] = 1
        values[drawn <= probability * (1 - ratio)] = 0
        return values


class Flip(_Wrapper):
    """Mirrors images (T, N, H, W, C) left to right at random, all images of a sequence together.

    Args:
        iter: the iterator that yields the data.
        prob_dict (dict[str, float] | None): probabilities in [0, 1]; None: {'default': 0.5}.

    Raises:
        IteratorValidationError: a name that is not there, no images, a number out of range.
    """

    def __init__(self, iter: DataIterator, prob_dict: dict[str, float] | None = None):
        prob_dict = {'default': 0.5} if prob_dict is None else _check_dict(
            'Flip', 'prob_dict', prob_dict)
        for name, probability in prob_dict.items():
            _check('Flip', f'prob_dict[{name!r}]', probability, 0, 1)
        super().__init__(iter, {name: (value,) for name, value in prob_dict.items()})
        Seedable.__init__(self)  # the seed flow of 0.5: two draws, of which the second counts

    def _changed_shape(self, name, shape, probability):
        _check_images('Flip', name, shape)
        return shape

    def _change(self, name, values, probability):
        values = values.copy()
        for i in range(values.shape[1]):
            if self.rnd.random_sample() < probability:
                values[:, i] = values[:, i, :, ::-1].copy()
        return values


class Pad(_Wrapper):
    """Puts a border around images (T, N, H, W, C), of the same width on all sides.

    Args:
        iter: the iterator that yields the data.
        size_dict (dict[str, int]): widths in pixels by name of item.
        value_dict (dict[str, float] | None): what the border is filled with, of the same names;
            None: 0.

    Raises:
        IteratorValidationError: a name that is not there, different names, no images, a negative
            width.
    """

    def __init__(self, iter: DataIterator, size_dict: dict[str, int],
                 value_dict: dict[str, float] | None = None):
        settings = _pair('Pad', 'size_dict', size_dict, 'value_dict', value_dict, 0)
        for name, (size, value) in settings.items():
            _check('Pad', f'size_dict[{name!r}]', size, 0, integer=True)
            _check('Pad', f'value_dict[{name!r}]', value)
        super().__init__(iter, settings)

    def _changed_shape(self, name, shape, size, value):
        T, N, height, width, channels = _check_images('Pad', name, shape)
        return T, N, height + 2 * size, width + 2 * size, channels

    def _change(self, name, values, size, value):
        shape = self._changed_shape(name, values.shape, size, value)
        # numpy takes an int for one of the data's dtype, whether it has room for it or not.
        like_value = np.min_scalar_type(value) if isinstance(value, (int, np.integer)) else value
        out = np.full(shape, value, np.result_type(values, like_value))
        out[:, :, size:shape[2] - size, size:shape[3] - size] = values
        return out


class RandomCrop(_Wrapper):
    """Cuts a piece out of images (T, N, H, W, C), at a random place for each sequence.

    Args:
        iter: the iterator that yields the data.
        shape_dict (dict[str, tuple[int]]): (height, width) of the pieces by name of item.

    Raises:
        IteratorValidationError: a name that is not there, no images, a piece larger than them.
    """

    def __init__(self, iter: DataIterator, shape_dict: dict[str, tuple[int, int]]):
        shape_dict = _check_dict('RandomCrop', 'shape_dict', shape_dict)
        for name, shape in shape_dict.items():
            if not isinstance(shape, (tuple, list)) or len(shape) != 2:
                raise IteratorValidationError(f"RandomCrop: shape_dict[{name!r}] must be (height, "
                                              f"width), got {shape!r}")
            for size in shape:
                _check('RandomCrop', f'shape_dict[{name!r}]', size, 1, integer=True)
        super().__init__(iter, {name: tuple(shape) for name, shape in shape_dict.items()})

    def _changed_shape(self, name, shape, height, width):
        T, N, full_height, full_width, channels = _check_images('RandomCrop', name, shape)
        if height > full_height or width > full_width:
            raise IteratorValidationError(
                f"RandomCrop: pieces of {(height, width)} do not fit into images of "
                f"{(full_height, full_width)} in {name!r}")
        return T, N, height, width, channels

    def _change(self, name, values, height, width):
        out = np.empty(self._changed_shape(name, values.shape, height, width), values.dtype)
        n = values.shape[1]
        rows = self.rnd.randint(0, values.shape[2] - height + 1, n)
        columns = self.rnd.randint(0, values.shape[3] - width + 1, n)
        for i, (row, column) in enumerate(zip(rows, columns)):
            out[:, i] = values[:, i, row:row + height, column:column + width]
        return out


class MultiHot(_Wrapper):
    """Replaces ids (T, N, F) by bool vectors (T, N, vocabulary size) with True at all F ids.

    Args:
        iter: the iterator that yields the data.
        vocab_size_dict (dict[str, int]): numbers of ids by name of item.

    Raises:
        IteratorValidationError: a name that is not there, not three dimensions, a size below 1; at
            a batch: an id that is fractional or out of range.
    """

    def __init__(self, iter: DataIterator, vocab_size_dict: dict[str, int]):
        owner = type(self).__name__
        for name, size in _check_dict(owner, 'vocab_size_dict', vocab_size_dict).items():
            _check(owner, f'vocab_size_dict[{name!r}]', size, 1, integer=True)
        super().__init__(iter, {name: (size,) for name, size in vocab_size_dict.items()})

    def _changed_shape(self, name, shape, vocab_size):
        if len(shape) != 3:
            raise IteratorValidationError(f"{type(self).__name__}: {name!r} must have the shape "
                                          f"(T, N, features), got {tuple(shape)}")
        return (*shape[:2], vocab_size)

    def _change(self, name, values, vocab_size):
        good = (values >= 0) & (values < vocab_size) & (values == np.floor(values))
        if not good.all():
            raise IteratorValidationError(
                f"{type(self).__name__}: {name!r} holds {values[~good][0]}, expected whole numbers "
                f"in [0, {vocab_size})")
        out = np.zeros(self._changed_shape(name, values.shape, vocab_size), bool)
        np.put_along_axis(out, values.astype(np.intp), True, axis=2)
        return out


class OneHot(MultiHot):
    """Replaces ids (T, N, 1) by bool vectors (T, N, vocabulary size) with True at the id.

    Args:
        iter: the iterator that yields the data.
        vocab_size_dict (dict[str, int]): numbers of ids by name of item.

    Raises:
        IteratorValidationError: a name that is not there, a shape other than (T, N, 1), a size
            below 1; at a batch: an id that is fractional or out of range.
    """

    def _changed_shape(self, name, shape, vocab_size):
        if shape[2:] != (1,):
            raise IteratorValidationError(f"OneHot: {name!r} must have the shape (T, N, 1), "
                                          f"got {tuple(shape)}")
        return super()._changed_shape(name, shape, vocab_size)


def _check_dict(owner, argument, value):
    if not isinstance(value, dict):
        raise IteratorValidationError(f"{owner}: {argument} must be a dict by name of item, "
                                      f"got {value!r}")
    return value


def _pair(owner, first_name, first, second_name, second, standard):
    """{name: (value of the first dict, value of the second)}, which must have the same names."""
    _check_dict(owner, first_name, first)
    if second is None:
        return {name: (value, standard) for name, value in first.items()}
    _check_dict(owner, second_name, second)
    if set(first) != set(second):
        raise IteratorValidationError(
            f"{owner}: {first_name} and {second_name} must have the same names, "
            f"got {sorted(first)} and {sorted(second)}")
    return {name: (value, second[name]) for name, value in first.items()}


def _check(owner, name, value, *bounds, **more):
    try:
        check_number(owner, name, value, *bounds, **more)
    except (TypeError, ValueError) as error:
        raise IteratorValidationError(str(error)) from None


def _check_images(owner, name, shape):
    if len(shape) != 5:
        raise IteratorValidationError(f"{owner}: {name!r} must be images (T, N, H, W, C), "
                                      f"got the shape {tuple(shape)}")
    return shape
