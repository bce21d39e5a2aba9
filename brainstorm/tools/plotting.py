"""Logs as charts."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from brainstorm.checks import check_names
from brainstorm.tools.drawing import check_picture, save_figure
from brainstorm.utils import FileName, get_by_path, import_optional

__all__ = ['plot_logs']


def plot_logs(logs: Any, names: str | Sequence[str] | None = None,
              file_name: FileName | None = None) -> Any:
    """Draw logs as lines, entry 0 at the left. Needs the package matplotlib.

    Logs that end alike, like 'rolling_training.total_loss' and 'validation.total_loss', share a
    chart.

    Args:
        logs (Trainer | dict): a trainer, or its logs.
        names (str | list[str] | None): dotted names of the logs; None: all that hold numbers.
        file_name (str | PathLike | None): a .png, .svg or .pdf file to save to as well.

    Returns:
        matplotlib.figure.Figure: which a notebook shows.

    Raises:
        ImportError: there is no matplotlib; `pip install brainstorm[draw-net]`.
        KeyError: there is no such log.
        ValueError: it holds no numbers, or there is nothing to draw.
    """
    figure_module = import_optional('matplotlib.figure', 'brainstorm[draw-net]')
    if file_name is not None:
        check_picture('plot_logs', file_name)
    charts = _group(_choose(getattr(logs, 'logs', logs), names))
    figure = figure_module.Figure(figsize=(8, 3 * len(charts)), layout='constrained')
    all_axes = figure.subplots(len(charts), squeeze=False)[:, 0]
    for axes, (title, named_logs) in zip(all_axes, charts.items()):
        for name, log in named_logs.items():
            axes.plot(log, marker='.', label=name)
        axes.set(title=title, xlabel='entry')
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    if file_name is not None:
        save_figure(figure, file_name, 'the charts')
    return figure


def _choose(logs, names):
    """The chosen logs by dotted name."""
    if not isinstance(logs, Mapping):
        raise TypeError(f"plot_logs: logs must be a Trainer or a dict, got {logs!r}")
    if names is None:
        chosen = {name: log for name, log in _flatten(logs) if _is_numeric(log)}
    else:
        chosen = {name: get_by_path(logs, name)
                  for name in check_names('plot_logs', 'names', names)}
    for name, log in chosen.items():
        if not _is_numeric(log):
            raise ValueError(f"plot_logs: {name!r} is no list of numbers: {log!r}")
    if not chosen:
        raise ValueError("plot_logs: there is no log of numbers to draw")
    return chosen


def _flatten(logs, prefix=''):
    for name, log in logs.items():
        if isinstance(log, Mapping):
            yield from _flatten(log, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', log


def _is_numeric(log):
    return isinstance(log, list) and all(isinstance(entry, numbers.Real) for entry in log)


def _group(chosen):
    """{last part of the names: {name: log}}"""
    charts = {}
    for name, log in chosen.items():
        charts.setdefault(name.rpartition('.')[2], {})[name] = log
    return charts
