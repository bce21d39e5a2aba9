"""Diagrams of networks and charts of logs."""

import os
import sys

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.tools import draw_network, plot_logs
from brainstorm.tools.drawing import _arrange, _find_depths, _find_way, _label_wires
from networks import mlp

LOGS = {'v': {'loss': [3, 2.5], 'Accuracy': [0.5, np.float32(0.75)], 'text': ['a']},
        'rolling_training': {'loss': [4]}, 'nested': {'v': {'loss': [7]}}}


def with_shortcut():
    """Input -> A -> B -> Highway, with a shortcut from A and one from the Input."""
    inp = layers.Input({'default': ('T', 'B', 3)})
    a, b = (layers.FullyConnected(3, name=name) for name in 'AB')
    inp >> a >> b
    highway = layers.Highway()
    b >> 'H' - highway
    a >> 'T' - highway
    inp >> 'x' - highway
    return bs.Network.from_layer(highway >> layers.Loss())


# ---- diagrams ----


def test_every_layer_and_passage_has_a_place_of_its_own():
    wires = _label_wires(with_shortcut())
    assert wires == {('Input', 'A'): '', ('A', 'B'): '', ('B', 'Highway'): 'H',
                     ('A', 'Highway'): 'T', ('Input', 'Highway'): 'x', ('Highway', 'Loss'): ''}
    depths = _find_depths(with_shortcut(), wires)
    assert depths == {'Input': 0, 'A': 1, 'B': 2, 'Highway': 3, 'Loss': 4}
    ways = {wire: _find_way(*wire, depths) for wire in wires}
    passages = [('Input', 'Highway', 1), ('Input', 'Highway', 2)]
    assert ways['Input', 'Highway'] == ['Input', *passages, 'Highway']
    places = _arrange(depths, ways)
    assert set(places) == {*depths, *passages, ('A', 'Highway', 2)}
    assert len(set(places.values())) == len(places)
    assert all(places[name][1] == depth for name, depth in depths.items())
    assert sum(x for x, y in places.values() if y == 2) == 0, 'rows are centred'


def test_wires_between_the_same_layers_share_a_label():
    inp = layers.Input({'default': ('T', 'B', 3), 'targets': ('T', 'B', 3)})
    error = layers.SquaredError()
    inp >> error
    inp - 'targets' >> 'targets' - error
    error - 'predictions' >> layers.Loss()
    wires = _label_wires(bs.Network.from_layer(error))
    assert wires == {('Input', 'SquaredError'): 'targets', ('SquaredError', 'Loss'): 'predictions'}


@pytest.mark.parametrize('ending, start', [('png', b'\x89PNG'), ('svg', b'<?xml'),
                                           ('pdf', b'%PDF'), ('PNG', b'\x89PNG')])
def test_pictures_of_all_formats(tmp_path, ending, start):
    pytest.importorskip('matplotlib', reason='needs matplotlib')
    path = tmp_path / f'picture.{ending}'
    draw_network(with_shortcut(), path)
    assert path.read_bytes().startswith(start)
    plot_logs(LOGS, file_name=path)
    assert path.read_bytes().startswith(start)
    assert os.listdir(tmp_path) == [f'picture.{ending}']


def test_the_texts_of_a_diagram(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip('matplotlib', reason='needs matplotlib')
    monkeypatch.setitem(matplotlib.rcParams, 'svg.fonttype', 'none')
    monkeypatch.chdir(tmp_path)
    draw_network(with_shortcut(), 'picture.svg')
    picture = (tmp_path / 'picture.svg').read_text(encoding='utf-8')
    for text in ('A', 'B', 'FullyConnected', 'Highway', 'Input', 'Loss', 'H', 'T', 'x'):
        assert f'>{text}</' in picture, text
    draw_network(mlp())
    assert (tmp_path / 'network.png').exists()


@pytest.mark.parametrize('name, error', [('a.jpg', ValueError), ('absent/a.png', OSError),
                                         ('a', ValueError), (5, TypeError), ('', ValueError)])
def test_file_names_of_pictures(name, error):
    pytest.importorskip('matplotlib', reason='needs matplotlib')
    for tool in (lambda: draw_network(mlp(), name), lambda: plot_logs(LOGS, file_name=name)):
        with pytest.raises(error, match='.png, .svg or .pdf|filename|absent'):
            tool()


# ---- charts ----


def test_logs_that_end_alike_share_a_chart():
    pytest.importorskip('matplotlib', reason='needs matplotlib')
    figure = plot_logs(LOGS)
    assert [axes.get_title() for axes in figure.axes] == ['loss', 'Accuracy']
    lines = {line.get_label(): list(line.get_ydata()) for axes in figure.axes
             for line in axes.lines}
    assert lines == {'v.loss': [3, 2.5], 'rolling_training.loss': [4], 'nested.v.loss': [7],
                     'v.Accuracy': [0.5, 0.75]}


def test_chosen_logs_and_trainers():
    pytest.importorskip('matplotlib', reason='needs matplotlib')
    trainer = bs.Trainer(bs.training.SgdStepper())
    trainer.logs = LOGS
    for names in ('v.loss', ['v.loss']):
        (axes,) = plot_logs(trainer, names).axes
        assert [line.get_label() for line in axes.lines] == ['v.loss']


@pytest.mark.parametrize('logs, names, error, text', [
    (LOGS, 'v.lss', KeyError, "'lss' in 'v.lss'; there is loss"),
    (LOGS, 'v', ValueError, "'v' is no list of numbers"),
    (LOGS, ['v.text'], ValueError, "'v.text' is no list of numbers"),
    ({}, None, ValueError, 'no log of numbers'), (LOGS, [], ValueError, 'no log of numbers'),
    (5, None, TypeError, 'logs must be a Trainer or a dict, got 5')])
def test_logs_that_cannot_be_drawn(logs, names, error, text):
    pytest.importorskip('matplotlib', reason='needs matplotlib')
    with pytest.raises(error, match=text):
        plot_logs(logs, names)


@pytest.mark.parametrize('tool', [lambda: draw_network(mlp()), lambda: plot_logs(LOGS)])
def test_without_matplotlib_there_is_a_line_to_install_it(monkeypatch, tool):
    for name in [*sys.modules]:
        if name.partition('.')[0] == 'matplotlib':
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    with pytest.raises(ImportError, match=r'matplotlib.*pip install brainstorm\[draw-net\]'):
        tool()
