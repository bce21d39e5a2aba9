"""Tables of networks, and what the package tells about itself."""

import subprocess
import sys

import numpy as np

import brainstorm as bs
from brainstorm import layers
from networks import classifier, mlp, random_batch

TABLE = """\
Layer              Type            Outputs                                Parameters  Bytes
-------------------------------------------------------------------------------------------
Input              Input           (T, B, 6), targets (T, B, 1)                    0     28
H                  FullyConnected  (T, B, 5)                                      35    160
Output_projection  FullyConnected  (T, B, 3)                                      18     84
Output             SoftmaxCE       predictions (T, B, 3), loss (T, B, 1)           0     16
Loss               Loss            loss (1)                                        0      4
-------------------------------------------------------------------------------------------
Total                                                                             53    292
Bytes of parameters, outputs and internals at T=1, B=1, float32"""


def rows(net):
    """{layer: (type, outputs, parameters, bytes)} from the text."""
    _, _, *lines = net.summary().splitlines()
    cells = [[cell.strip() for cell in line.split('  ') if cell] for line in lines if '  ' in line]
    return {name: tuple(rest) for name, *rest in cells}


def forward_bytes(net, name):
    """Bytes of the arrays that a layer has for itself in a forward pass."""
    shapes = net.layers[name].internal_shapes
    return sum(leaf.nbytes for view in ('parameters', 'outputs', 'internals')
               for key, leaf in net.buffer[name][view].items()
               if not (view == 'internals' and shapes[key].is_backward_only))


def test_the_table_of_an_mlp():
    assert mlp(np.float32).summary() == TABLE


def test_parameters_and_bytes_are_those_of_the_buffers():
    net = classifier(layers.Lstm(4), layers.BatchNorm(), layers.Dropout())
    net.provide_external_data(random_batch(time_steps=5, batch_size=300))
    table = rows(net)
    assert int(table['Total'][0].replace(',', '')) == net.buffer.parameters.size
    for name in net.layers:
        parameters = sum(leaf.size for leaf in net.buffer[name].parameters.values())
        assert int(table[name][-2].replace(',', '')) == parameters
        assert int(table[name][-1].replace(',', '')) == forward_bytes(net, name)
    assert net.summary().endswith('at T=5, B=300, float64')


def test_layers_written_in_python_are_listed():
    class TwiceLayerImpl(bs.layers.base_layer.Layer):
        def setup(self, kwargs, in_shapes):
            return in_shapes, {}, {}

    inp = layers.Input({'default': ('T', 'B', 3)})
    twice = bs.structure.construction.ConstructionWrapper.create(TwiceLayerImpl)
    net = bs.Network.from_layer(inp >> twice)
    assert rows(net)['Twice'] == ('Twice', '(T, B, 3)', '0', '12')


def test_the_table_of_a_notebook():
    page = mlp()._repr_html_()
    assert page.count('<tr>') == 7 and page.count('<table>') == page.count('</table>') == 1
    for text in ('FullyConnected', 'predictions (T, B, 3), loss (T, B, 1)', '>53<', 'float64'):
        assert text in page


def test_the_package_tells_what_it_has_found():
    result = subprocess.run([sys.executable, '-m', 'brainstorm'], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    info = bs._core.info()
    lines = result.stdout.splitlines()
    assert lines[0] == f'brainstorm {bs.__version__}'
    assert lines[1] == 'handlers: ' + ', '.join(info['handlers'])
    assert lines[2].startswith(f"instruction set: {info['instruction_set']} (")
    assert lines[3:5] == [f"threads: {info['threads']}", f"BLAS: {info['blas']}"]
    assert [line.partition(': ')[0] for line in lines[5:]] == [
        'GPUs', 'libcuda', 'libnvrtc', 'libcublas', 'libcudnn']
