"""Everything at once: `from brainstorm.all import *`.

`L1Decay` and `L2Decay` are the value modifiers here.
"""

import brainstorm
from brainstorm import data_iterators, handlers, hooks, initializers, layers, scorers, tools
from brainstorm import training, value_modifiers
from brainstorm import *  # noqa: F403
from brainstorm.data_iterators import *  # noqa: F403
from brainstorm.handlers import *  # noqa: F403
from brainstorm.hooks import *  # noqa: F403
from brainstorm.initializers import *  # noqa: F403
from brainstorm.layers import *  # noqa: F403
from brainstorm.scorers import *  # noqa: F403
from brainstorm.tools import *  # noqa: F403
from brainstorm.training import *  # noqa: F403
from brainstorm.value_modifiers import *  # type: ignore[assignment]  # noqa: F403

__all__ = sorted({name for module in (
    brainstorm, data_iterators, handlers, hooks, initializers, layers, scorers, tools, training,
    value_modifiers) for name in module.__all__})
