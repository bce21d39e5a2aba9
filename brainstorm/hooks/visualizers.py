"""Hooks that draw."""

import itertools
from collections.abc import Sequence

from brainstorm.checks import check_names
from brainstorm.hooks.base import FileHook, find_numbers
from brainstorm.structure.safe_files import replacing
from brainstorm.utils import FileName, import_optional

__all__ = ['BokehVisualizer']

# What is put into Bokeh's own template.
_RELOADING = '{% block preamble %}<meta http-equiv="refresh" content="5">{% endblock %}'
_STILL = ''


class BokehVisualizer(FileHook):
    """Draws logs into an HTML page, a line for each, and writes it anew at every call.

    The page holds everything it needs: no server, no network. During the training it loads itself
    again every 5 seconds where it is open in a browser. Needs the package bokeh.

    Args:
        log_names (str | list[str]): logs of numbers; entry 0 stands at the left.
        filename (str | PathLike | None): the page; None: the hook's name + '.html' in the current
            folder.

    Raises:
        ImportError: there is no bokeh; `pip install brainstorm[live-viz]`.
    """

    __undescribed__ = {'_named_logs'}
    __default_values__ = {'filename': None}
    _not_pickled = ('_named_logs',)
    _named_logs = None
    filename_is_optional = True

    def __init__(self, log_names: str | Sequence[str], filename: FileName | None = None,
                 name: str | None = None, timescale: str = 'epoch', interval: int = 1,
                 verbose: bool | None = None):
        super().__init__(filename, name, timescale, interval, verbose)
        self.log_names = check_names('BokehVisualizer', 'log_names', log_names)
        if not self.log_names:
            raise ValueError("BokehVisualizer: log_names is empty")
        import_optional('bokeh', 'brainstorm[live-viz]')

    def __call__(self, epoch_nr, update_nr, net, stepper, logs):
        self._named_logs = {name: find_numbers(self, logs, name, epoch_nr)
                            for name in self.log_names}
        self._write(_RELOADING)

    def finish(self):
        if self._named_logs is not None:
            self._write(_STILL)
            self._named_logs = None

    def _write(self, template):
        page = self._draw(template)
        with replacing(self.filename or f'{self.__name__}.html', 'the charts') as partial, \
                open(partial, 'w', encoding='utf-8') as file:
            file.write(page)

    def _draw(self, template):
        """The HTML text of the page."""
        embed, palettes, plotting, resources = (
            import_optional(f'bokeh.{module}', 'brainstorm[live-viz]')
            for module in ('embed', 'palettes', 'plotting', 'resources'))
        figure = plotting.figure(title=self.__name__, x_axis_label='entry', width=900, height=500)
        colors = itertools.cycle(palettes.Category10_10)
        for (name, log), color in zip(self._named_logs.items(), colors):
            figure.line(list(range(len(log))), [float(entry) for entry in log],
                        legend_label=name, line_width=2, color=color)
        figure.legend.click_policy = 'hide'
        return embed.file_html(figure, resources.INLINE, title=self.__name__, template=template)
