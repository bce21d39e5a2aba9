"""Modifiers change parameters after every update, or gradients after every backward pass.

`Network.set_weight_modifiers` and `Network.set_gradient_modifiers` say which one acts on what.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from brainstorm.checks import check_array, check_number
from brainstorm.describable import Describable, DescribedByArguments
from brainstorm.handlers.base_handler import Handler
from brainstorm.randomness import Seedable

__all__ = [
    'ClipValues', 'ConstrainL2Norm', 'FreezeValues', 'GradientModifier', 'L1Decay', 'L2Decay',
    'MaskValues', 'ValueModifier',
]


class ValueModifier(Seedable, Describable):
    """Base class of modifiers of one parameter or one gradient.

    `self.rnd` is seeded anew before each application.
    """

    __undescribed__ = {'rnd'}

    def __init_from_description__(self, description):
        Seedable.__init__(self)

    def __call__(self, handler: Handler, view: Any) -> None:
        """Change `view`, an array of the handler, in place."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(handler, view)")


class GradientModifier(Seedable, Describable):
    """Base class of modifiers of a gradient that depend on the parameter as well.

    `self.rnd` is seeded anew before each application.
    """

    __undescribed__ = {'rnd'}

    def __init_from_description__(self, description):
        Seedable.__init__(self)

    def __call__(self, handler: Handler, parameters: Any, gradients: Any) -> None:
        """Change `gradients` in place; both are arrays of the handler, of one shape."""
        raise NotImplementedError(f"{type(self).__name__} does not define "
                                  "__call__(handler, parameters, gradients)")


class ClipValues(DescribedByArguments, ValueModifier):
    """Limits every value to [low, high]."""

    def __init__(self, low: float = -1., high: float = 1.):
        super().__init__()
        self.low = check_number('ClipValues', 'low', low, -np.inf)
        self.high = check_number('ClipValues', 'high', high, low, np.inf)

    def __call__(self, handler, view):
        handler.clip_t(view, self.low, self.high, view)


class ConstrainL2Norm(DescribedByArguments, ValueModifier):
    """Scales the incoming weights of a unit down to an L2 norm of `limit` where it is larger.

    The incoming weights of a unit are a row of the matrix (first dimension, rest). Values with
    fewer than 2 dimensions, such as biases, are left alone.
    """

    def __init__(self, limit: float):
        super().__init__()
        self.limit = check_number('ConstrainL2Norm', 'limit', limit, 0, np.inf)

    def __call__(self, handler, view):
        if len(view.shape) < 2:
            return
        rows = view.reshape((view.shape[0], -1))
        squares = handler.allocate(rows.shape)
        scale = handler.allocate((rows.shape[0], 1))
        limits = handler.allocate(scale.shape)
        handler.mult_tt(rows, rows, squares)
        handler.sum_t(squares, 1, scale)
        handler.sqrt_t(scale, scale)
        # A smallest norm keeps 0 / 0 away where a limit of 0 meets a row of zeros.
        handler.clip_t(scale, np.finfo(handler.dtype).tiny, np.inf, scale)
        handler.fill(limits, self.limit)
        handler.divide_tt(limits, scale, scale)
        handler.clip_t(scale, 0.0, 1.0, scale)
        handler.mult_mv(rows, scale, rows)


class FreezeValues(DescribedByArguments, ValueModifier):
    """Keeps the values as they are.

    Args:
        weights (array | None): the values to keep; None remembers those of the first application.
    """

    def __init__(self, weights: ArrayLike | None = None):
        super().__init__()
        self.weights = None if weights is None \
            else check_array('FreezeValues', 'weights', weights)

    def __call__(self, handler, view):
        if self.weights is None:
            self.weights = handler.get_numpy_copy(view)
        _check_shape(self, self.weights, view)
        handler.set_from_numpy(view, self.weights.astype(handler.dtype))


class MaskValues(DescribedByArguments, ValueModifier):
    """Multiplies the values by a mask of the same shape, for example to keep some of them at 0."""

    def __init__(self, mask: ArrayLike):
        super().__init__()
        self.mask = check_array('MaskValues', 'mask', mask)

    def __call__(self, handler, view):
        _check_shape(self, self.mask, view)
        mask = handler.create_from_numpy(self.mask.astype(handler.dtype))
        handler.mult_tt(view, mask, view)


class L1Decay(DescribedByArguments, GradientModifier):
    """Adds factor * sign(parameter) to the gradient."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = check_number('L1Decay', 'factor', factor)

    def __call__(self, handler, parameters, gradients):
        signs = handler.allocate(parameters.shape)
        handler.sign_t(parameters, signs)
        handler.mult_add_st(self.factor, signs, gradients)


class L2Decay(DescribedByArguments, GradientModifier):
    """Adds factor * parameter to the gradient."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = check_number('L2Decay', 'factor', factor)

    def __call__(self, handler, parameters, gradients):
        handler.mult_add_st(self.factor, parameters, gradients)


def _check_shape(modifier, values, view):
    if tuple(values.shape) != tuple(view.shape):
        raise ValueError(f"{type(modifier).__name__} has values of the shape {values.shape}, "
                         f"but the parameter has {tuple(view.shape)}")
