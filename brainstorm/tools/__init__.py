"""Shortcuts for building, running, describing and drawing networks, and for preparing data."""

from brainstorm.tools.building import (
    create_net_from_spec, create_network_from_spec, get_in_out_layers)
from brainstorm.tools.data import shuffle_data, split
from brainstorm.tools.drawing import draw_network
from brainstorm.tools.info import get_network_info, print_network_info
from brainstorm.tools.plotting import plot_logs
from brainstorm.tools.running import evaluate, extract, extract_and_save

__all__ = [
    'create_net_from_spec', 'create_network_from_spec', 'draw_network', 'evaluate', 'extract',
    'extract_and_save', 'get_in_out_layers', 'get_network_info', 'plot_logs',
    'print_network_info', 'shuffle_data', 'split',
]
