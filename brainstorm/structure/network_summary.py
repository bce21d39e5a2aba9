"""What a network consists of, as a table for terminals and for notebooks."""

import numpy as np

__all__ = ['html_summary', 'text_summary']

_HEAD = ('Layer', 'Type', 'Outputs', 'Parameters', 'Bytes')
_NUMBERS_FROM = 3  # the columns from here on are numbers and stand at the right


def text_summary(net):
    """The table as text."""
    rows = [_HEAD] + _rows(net)
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(cell.rjust(width) if i >= _NUMBERS_FROM else cell.ljust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
             for row in rows]
    rule = '-' * (sum(widths) + 2 * (len(widths) - 1))
    return '\n'.join([lines[0], rule, *lines[1:-1], rule, lines[-1], _caption(net)])


def html_summary(net):
    """The table as HTML."""
    *rows, totals = _rows(net)
    body = ''.join(_html_row('td', row) for row in rows)
    return (f'<table><caption>{_escape(_caption(net))}</caption>'
            f'<thead>{_html_row("th", _HEAD)}</thead><tbody>{body}</tbody>'
            f'<tfoot>{_html_row("th", totals)}</tfoot></table>')


def _html_row(tag, cells):
    return '<tr>' + ''.join(
        f'<{tag} style="text-align:{"right" if i >= _NUMBERS_FROM else "left"}">'
        f'{_escape(cell)}</{tag}>' for i, cell in enumerate(cells)) + '</tr>'


def _caption(net):
    return (f'Bytes of parameters, outputs and internals at T={net.time_steps}, '
            f'B={net.batch_size}, {np.dtype(net.handler.dtype).name}')


def _rows(net):
    """The cells of all layers and, last, of the totals."""
    rows, parameters, memory = [], 0, 0
    for name, layer in net.layers.items():
        count = sum(shape.feature_size for shape in layer.parameter_shapes.values())
        size = _count_bytes(net, layer)
        rows.append((name, net.architecture[name]['@type'], _list_outputs(layer),
                     f'{count:,}', f'{size:,}'))
        parameters += count
        memory += size
    return rows + [('Total', '', '', f'{parameters:,}', f'{memory:,}')]


def _list_outputs(layer):
    return ', '.join(f"{'' if name == 'default' else name + ' '}({', '.join(map(str, s.shape))})"
                     for name, s in layer.out_shapes.items())


def _count_bytes(net, layer):
    """Size of what a layer needs of its own for a forward pass."""
    buffers = [*layer.parameter_shapes.values(), *layer.out_shapes.values(),
               *layer.internal_shapes.values()]
    entries = sum(_count_entries(net, buffer) for buffer in buffers
                  if not buffer.is_backward_only)
    return entries * np.dtype(net.handler.dtype).itemsize


def _count_entries(net, buffer):
    steps = net.time_steps + buffer.context_size if buffer.scales_with_time else 1
    sequences = net.batch_size if buffer.scales_with_batch_size else 1
    return steps * sequences * buffer.feature_size


def _escape(text):
    """Text for HTML."""
    import html  # at its first use: importing brainstorm is to be quick
    return html.escape(text)
