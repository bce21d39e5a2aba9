"""Brainstorm: fast, flexible and fun neural networks."""

__version__ = '1.0.dev0'

from brainstorm import (
    data_iterators, handlers, hooks, initializers, layers, scorers, tools, training,
    value_modifiers)
from brainstorm._core import set_num_threads
from brainstorm.data_iterators import DataIterator, Minibatches, Online, Undivided
from brainstorm.describable import create_from_description, get_description
from brainstorm.hooks import Hook
from brainstorm.initializers import (
    ArrayInitializer, DenseSqrtFanIn, DenseSqrtFanInOut, EchoState, Gaussian, Identity,
    LstmOptInit, Orthogonal, RandomWalk, SparseInputs, SparseOutputs, Uniform)
from brainstorm.randomness import global_rnd
from brainstorm.structure.architecture import generate_architecture
from brainstorm.structure.network import Network
from brainstorm.training.trainer import Trainer
from brainstorm.value_modifiers import ClipValues, ConstrainL2Norm, FreezeValues, MaskValues

__all__ = [
    'ArrayInitializer', 'ClipValues', 'ConstrainL2Norm', 'DataIterator', 'DenseSqrtFanIn',
    'DenseSqrtFanInOut', 'EchoState', 'FreezeValues', 'Gaussian', 'Hook', 'Identity',
    'LstmOptInit', 'MaskValues', 'Minibatches', 'Network', 'Online', 'Orthogonal', 'RandomWalk',
    'SparseInputs', 'SparseOutputs', 'Trainer', 'Undivided', 'Uniform', '__version__',
    'create_from_description', 'data_iterators', 'generate_architecture', 'get_description',
    'global_rnd', 'handlers', 'hooks', 'initializers', 'layers', 'scorers', 'set_num_threads',
    'tools', 'training', 'value_modifiers',
]
