"""A diagram of a network: layers as boxes, wires as arrows.

Every layer stands in the row of its depth, the length of the longest way from the Input layer. A
wire that skips rows takes a place of its own in each of them, so that it crosses no box.
"""

from brainstorm.checks import check_filename, check_type
from brainstorm.structure.architecture import get_connections
from brainstorm.structure.network import Network
from brainstorm.structure.safe_files import replacing
from brainstorm.utils import FileName, import_optional

__all__ = ['check_picture', 'draw_network', 'save_figure']

_FORMATS = ('png', 'svg', 'pdf')
_HALF_HEIGHT = 0.22  # of a box; rows are 1 apart
_ROW_INCHES, _LETTER_INCHES = 1.0, 0.085


def draw_network(network: Network, file_name: FileName = 'network.png') -> None:
    """Draw the layers of a network and their wires. Needs the package matplotlib.

    Args:
        network (Network): what to draw.
        file_name (str | PathLike): a .png, .svg or .pdf file; an old one is replaced.

    Raises:
        ImportError: there is no matplotlib; `pip install brainstorm[draw-net]`.
        ValueError: the file name has another ending.
        OSError: the file cannot be written.
    """
    check_type('draw_network', 'network', network, Network)
    check_picture('draw_network', file_name)
    figure_module = import_optional('matplotlib.figure', 'brainstorm[draw-net]')
    wires = _label_wires(network)
    depths = _find_depths(network, wires)
    ways = {(start, end): _find_way(start, end, depths) for start, end in wires}
    places = _arrange(depths, ways)
    texts = {name: '\n'.join(dict.fromkeys([name, description['@type']]))
             for name, description in network.architecture.items()}
    column_inches = _LETTER_INCHES * max(map(len, [*texts, *wires.values()])) + 0.8
    xs, ys = zip(*places.values())
    figure = figure_module.Figure(figsize=((max(xs) - min(xs) + 1) * column_inches,
                                           (max(ys) - min(ys) + 1) * _ROW_INCHES))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(min(xs) - .5, max(xs) + .5),
                           ylim=(max(ys) + .5, min(ys) - .5))
    axes.set_axis_off()
    for wire, label in wires.items():
        _draw_wire(axes, [places[node] for node in ways[wire]], label)
    for name, text in texts.items():
        axes.text(*places[name], text, ha='center', va='center', size=9,
                  bbox={'boxstyle': 'round', 'facecolor': 'aliceblue', 'edgecolor': 'steelblue'})
    save_figure(figure, file_name, 'the diagram')


def check_picture(owner, file_name):
    """Return the format that a file name ends with; ValueError if it is none we can write."""
    ending = check_filename(owner, file_name).rpartition('.')[2].lower()
    if ending not in _FORMATS:
        raise ValueError(f"{owner}: a file name must end with .png, .svg or .pdf, "
                         f"got {file_name!r}")
    return ending


def save_figure(figure, file_name, what):
    """Save a figure of matplotlib in the format that the file name ends with."""
    ending = check_picture(what, file_name)
    with replacing(file_name, what) as partial:
        figure.savefig(partial, format=ending)


def _label_wires(network):
    """{(start, end): label}: the names of the ports that are not `default`."""
    labels = {}
    for wire in sorted(get_connections(network.architecture)):
        ports = dict.fromkeys(port for port in (wire.output_name, wire.input_name)
                              if port != 'default')
        labels.setdefault((wire.start_layer, wire.end_layer), []).append(' → '.join(ports))
    return {ends: ', '.join(filter(None, parts)) for ends, parts in labels.items()}


def _find_depths(network, wires):
    """{layer: depth}, in the order of execution."""
    depths = {}
    for name in network.layers:
        depths[name] = 1 + max((depths[start] for start, end in wires if end == name), default=-1)
    return depths


def _find_way(start, end, depths):
    """The nodes from start to end, one in each row: a passage (start, end, depth) or a layer."""
    passages = [(start, end, depth) for depth in range(depths[start] + 1, depths[end])]
    return [start, *passages, end]


def _arrange(depths, ways):
    """{node: (x, y)}: rows by depth, each centred, its nodes ordered by where their wires start."""
    sources = {}
    for way in ways.values():
        for before, node in zip(way, way[1:]):
            sources.setdefault(node, []).append(before)
    rows = {}
    for node in dict.fromkeys([*depths, *(node for way in ways.values() for node in way)]):
        rows.setdefault(depths[node] if node in depths else node[2], []).append(node)
    places = {}
    for y in sorted(rows):
        row = sorted(rows[y], key=lambda node: _mean(places[n][0] for n in sources.get(node, ())))
        places.update((node, (i - (len(row) - 1) / 2, y)) for i, node in enumerate(row))
    return places


def _mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0


def _draw_wire(axes, points, label):
    (x, y), (end_x, end_y) = points[0], points[-1]
    points = [(x, y + _HALF_HEIGHT), *points[1:-1], (end_x, end_y - _HALF_HEIGHT)]
    for i, (start, stop) in enumerate(zip(points, points[1:])):
        axes.annotate('', xy=stop, xytext=start,
                      arrowprops={'arrowstyle': '->' if i == len(points) - 2 else '-',
                                  'shrinkA': 0, 'shrinkB': 0, 'color': 'gray'})
    (x, y), (end_x, end_y) = points[-2:]
    axes.text((x + end_x) / 2, (y + end_y) / 2, label, ha='center', va='center', size=7,
              bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1} if label else None)
