"""Hooks are called by a Trainer during a training: they monitor, save, stop and change things.

Arguments that most hooks take:
    name (str): key of the hook in the trainer and in its logs; default: name of the class.
    timescale (str): 'epoch' (default) or 'update': after what the hook is called.
    interval (int): call it every `interval` epochs or updates, default 1.
    verbose (bool | None): whether it prints; None: as the trainer says.

Names of logs are dotted: 'validation.Accuracy' is what the hook `validation` logs as Accuracy.
"""

from brainstorm.hooks.base import Hook
from brainstorm.hooks.changes import ModifyStepperAttribute
from brainstorm.hooks.monitors import (
    MonitorLayerDeltas, MonitorLayerGradients, MonitorLayerInOuts, MonitorLayerParameters,
    MonitorLoss, MonitorScores, ProgressBar)
from brainstorm.hooks.savers import InfoUpdater, SaveBestNetwork, SaveLogs, SaveNetwork
from brainstorm.hooks.stoppers import (
    EarlyStopper, StopAfterEpoch, StopAfterThresholdReached, StopOnNan, StopOnSigQuit)
from brainstorm.hooks.visualizers import BokehVisualizer

__all__ = [
    'BokehVisualizer', 'EarlyStopper', 'Hook', 'InfoUpdater', 'ModifyStepperAttribute',
    'MonitorLayerDeltas', 'MonitorLayerGradients', 'MonitorLayerInOuts', 'MonitorLayerParameters',
    'MonitorLoss', 'MonitorScores', 'ProgressBar', 'SaveBestNetwork', 'SaveLogs', 'SaveNetwork',
    'StopAfterEpoch', 'StopAfterThresholdReached', 'StopOnNan', 'StopOnSigQuit',
]

READS_NO_DELTAS = {
    BokehVisualizer, EarlyStopper, InfoUpdater, ModifyStepperAttribute, MonitorLayerGradients,
    MonitorLayerInOuts, MonitorLayerParameters, MonitorLoss, MonitorScores, ProgressBar,
    SaveBestNetwork, SaveLogs, SaveNetwork, StopAfterEpoch, StopAfterThresholdReached, StopOnNan,
    StopOnSigQuit,
}
"""While only such hooks are in a trainer, deltas that no gradient depends on are not computed."""
