"""What a network consists of, as text."""

from brainstorm.checks import check_type
from brainstorm.structure.network import Network

__all__ = ['get_network_info', 'print_network_info']


def get_network_info(network: Network) -> str:
    """A text with the shapes of all parameters, inputs and outputs, layer by layer."""
    check_type('get_network_info', 'network', network, Network)
    total = network.get('parameters').size
    lines = [f'total number of parameters: {total}']
    for name, layer in network.layers.items():
        lines.append(name)
        count = 0
        for parameter, structure in layer.parameter_shapes.items():
            lines.append(f'\t{parameter}{structure.shape}')
            count += structure.feature_size
        lines += [f'number of parameters:{count}',
                  'input shapes:', _list_shapes(layer.in_shapes),
                  'output shapes:', _list_shapes(layer.out_shapes), '-' * 80]
    return '\n'.join(lines)


def print_network_info(network: Network) -> None:
    """Print what `get_network_info` tells."""
    print('=' * 30 + ' Network information ' + '=' * 30)
    print(get_network_info(network))


def _list_shapes(shapes):
    return '\t'.join(f'{port}{structure.feature_shape}' for port, structure in shapes.items())
