"""Reproducible random numbers: one global source from which every object draws its own seed."""

import numpy as np

from brainstorm._core import RandomStream
from brainstorm.checks import check_number

__all__ = ['RandomState', 'Seedable', 'global_rnd']

SEED_LIMIT = 1000000000


class RandomState(np.random.RandomState):
    """numpy's legacy generator that knows its seed.

    `stream` is a counter-based stream with the seed as its key. The random operations of networks
    and handlers draw from it; every seeding restarts it.

    Args:
        seed (int | None): 0 to 2**32 - 1; None draws one from numpy's global generator.
    """

    def __init__(self, seed: int | None = None):
        super().__init__(0)
        self.stream = RandomStream()
        self.seed(seed)

    def seed(self, seed=None):
        """Start again from `seed`; None draws a new one from numpy's global generator."""
        if seed is None:
            seed = np.random.randint(0, SEED_LIMIT)
        self._seed = check_number('RandomState', 'seed', seed, 0, 2**32 - 1, integer=True)
        super().seed(self._seed)
        self.stream.restart(self._seed)

    def set_seed(self, seed: int) -> None:
        """Start again from `seed`."""
        self.seed(seed)

    def get_seed(self) -> int:
        """The seed that was set last."""
        return self._seed

    def reset(self) -> None:
        """Start again from the present seed."""
        self.seed(self._seed)

    def generate_seed(self) -> int:
        """Draw a seed for another random state."""
        return int(self.randint(0, SEED_LIMIT))

    def create_random_state(self, seed: int | None = None) -> 'RandomState':
        """A new RandomState with the given seed, or one drawn from this state."""
        return RandomState(self.generate_seed() if seed is None else seed)

    def __reduce__(self):
        return type(self), (self._seed,), (self.get_state(legacy=False), self.stream.draw)

    def __setstate__(self, state):
        numpy_state, self.stream.draw = state
        self.set_state(numpy_state)


class Seedable:
    """Base class of objects with a random state of their own, `rnd`.

    Args:
        seed (int | None): seed of `rnd`; None draws one from `global_rnd`.
    """

    def __init__(self, seed: int | None = None):
        self.rnd = global_rnd.create_random_state(seed)


global_rnd = RandomState()
"""What every object that is made without a seed draws its seed from."""
