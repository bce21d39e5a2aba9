"""Training: the Trainer, steppers that update parameters, and schedules for their attributes."""

from brainstorm.training.schedules import DecreaseAfterEpoch, Exponential, Linear, MultiStep
from brainstorm.training.steppers import (
    AdadeltaStepper, AdagradStepper, AdamStepper, ForwardStepper, MomentumStepper, NesterovStepper,
    RmsPropStepper, SgdStepper, TrainingStepper)
from brainstorm.training.trainer import Trainer

__all__ = [
    'AdadeltaStepper', 'AdagradStepper', 'AdamStepper', 'DecreaseAfterEpoch', 'Exponential',
    'ForwardStepper', 'Linear', 'MomentumStepper', 'MultiStep', 'NesterovStepper',
    'RmsPropStepper', 'SgdStepper', 'Trainer', 'TrainingStepper',
]
