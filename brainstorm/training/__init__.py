"""Training: the Trainer, steppers that update parameters, and schedules for their attributes."""

from brainstorm.training.schedules import DecreaseAfterEpoch, Exponential, Linear, MultiStep
from brainstorm.training.steppers import (
    MomentumStepper, NesterovStepper, SgdStepper, TrainingStepper)
from brainstorm.training.trainer import Trainer

__all__ = [
    'DecreaseAfterEpoch', 'Exponential', 'Linear', 'MomentumStepper', 'MultiStep',
    'NesterovStepper', 'SgdStepper', 'Trainer', 'TrainingStepper',
]
