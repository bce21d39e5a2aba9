"""Shortcuts for building networks."""

from typing import Any

from brainstorm import layers
from brainstorm.checks import check_choice, check_flag, check_name, check_number
from brainstorm.initializers import DenseSqrtFanInOut, Gaussian
from brainstorm.structure.construction import ConstructionWrapper
from brainstorm.structure.network import Network
from brainstorm.structure.network_spec import parse_spec

__all__ = ['create_net_from_spec', 'create_network_from_spec', 'get_in_out_layers']

_OUTPUT_LAYERS = {'classification': 'SoftmaxCE', 'regression': 'SquaredError',
                  'multi-label': 'SigmoidCE'}


def get_in_out_layers(task_type: str, in_shape: int | tuple[int, ...],
                      out_shape: int | tuple[int, ...], data_name: str = 'default',
                      targets_name: str = 'targets', projection_name: str | None = None,
                      outlayer_name: str | None = None, mask_name: str | None = None,
                      use_conv: bool | None = None
                      ) -> tuple[ConstructionWrapper, ConstructionWrapper]:
    """The first and the last layers of a network, ready to have layers put between.

    The output side is a projection to the shape of the output, the output layer that suits the
    task, and a Loss: SoftmaxCE for 'classification', SquaredError for 'regression', SigmoidCE for
    'multi-label'. With a mask the loss is masked.

    Args:
        task_type (str): 'classification', 'regression' or 'multi-label'.
        in_shape (int | tuple[int]): feature shape of the data.
        out_shape (int | tuple[int]): feature shape of the output, for classification the number of
            classes last.
        data_name, targets_name (str): names of the data.
        projection_name (str | None): default: name of the output layer + '_projection'.
        outlayer_name (str | None): default: 'Output'.
        mask_name (str | None): name of a mask of shape (T, B, 1) in the data.
        use_conv (bool | None): make the projection a convolution of size 1; default: for an
            output shape of 3 dimensions.

    Returns:
        tuple: (Input layer, continuing from its output `data_name`; projection layer).

    Example:
        >>> inp, out = get_in_out_layers('classification', 784, 10)
        >>> net = Network.from_layer(inp >> layers.FullyConnected(1000) >> out)
    """
    check_choice('get_in_out_layers', 'task_type', task_type, _OUTPUT_LAYERS)
    in_shape, out_shape = _as_shape('in_shape', in_shape), _as_shape('out_shape', out_shape)
    outlayer_name = outlayer_name or 'Output'
    projection = _make_projection(out_shape, use_conv,
                                  projection_name or f'{outlayer_name}_projection')
    targets_shape = out_shape[:-1] + (1,) if task_type == 'classification' else out_shape
    shapes: dict[str, Any] = {}
    _add_input(shapes, 'data_name', data_name, in_shape)
    _add_input(shapes, 'targets_name', targets_name, targets_shape)
    if mask_name:
        _add_input(shapes, 'mask_name', mask_name, (1,))
    inp = layers.Input(shapes)
    out = getattr(layers, _OUTPUT_LAYERS[task_type])(name=outlayer_name)
    projection >> out
    inp - targets_name >> 'targets' - out
    if mask_name:
        mask = layers.Mask()
        out - 'loss' >> mask >> layers.Loss()
        inp - mask_name >> 'mask' - mask
    else:
        out - 'loss' >> layers.Loss()
    return inp - data_name, projection


def create_net_from_spec(task_type: str, in_shape: int | tuple[int, ...],
                         out_shape: int | tuple[int, ...], spec: str, data_name: str = 'default',
                         targets_name: str = 'targets', mask_name: str | None = None,
                         use_conv: bool | None = None) -> Network:
    """A complete, initialized network from a line like 'F50 F20 F50'.

    Each layer is a capital letter and its arguments::

        F10   FullyConnected(10)         R10  Recurrent(10)        L10  Lstm(10)
        D.2   Dropout(.2), or just D     B    BatchNorm()
        C32:3 Convolution2D of 32 filters, kernel size 3
        P3    Pooling2D of window size 3, by maximum; Pa3 by average

    After the letter F, R, L and C take an activation: l(inear), r(el), s(igmoid), t(anh), e(l).
    Convolution2D and Pooling2D end with padding and stride: 'C32:3p1s2'. Arguments are separated
    by nothing, blanks, ':', '/' or '|', layers by nothing, blanks, ',', '-', '>' or ';'.

    Args:
        spec (str): as above; empty for the projection alone.
        others: see `get_in_out_layers`.

    Returns:
        Network: with `output_name` set, initialized with DenseSqrtFanInOut where there is an
        activation and Gaussian elsewhere.

    Raises:
        ValueError: the spec is wrong; the message quotes the part.

    Example:
        >>> net = create_net_from_spec('classification', (32, 32, 3), 10,
        ...                            'C32:5p2 P3s2 C32:5p2 P3s2 C64:5p2 P3s2 F64')
    """
    current, projection = get_in_out_layers(task_type, in_shape, out_shape, data_name,
                                            targets_name, mask_name=mask_name, use_conv=use_conv)
    for type_name, kwargs in parse_spec(spec):
        current = current >> getattr(layers, type_name)(**kwargs)
    net = Network.from_layer(current >> projection)
    net.output_name = 'Output.outputs.predictions'
    initializers = {name: DenseSqrtFanInOut(_nearest_scale(layer.kwargs['activation']))
                    for name, layer in net.layers.items() if 'activation' in layer.kwargs}
    net.initialize({**initializers, 'default': Gaussian(), 'fallback': Gaussian()})
    return net


create_network_from_spec = create_net_from_spec


def _as_shape(argument: str, shape: Any) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes:
        raise ValueError(f"get_in_out_layers: {argument} is empty")
    return tuple(check_number('get_in_out_layers', argument, size, 1, integer=True)
                 for size in sizes)


def _add_input(shapes, argument, name, shape):
    if check_name('get_in_out_layers', argument, name) in shapes:
        raise ValueError(f"get_in_out_layers: {argument} is {name!r}, as another one is")
    shapes[name] = ('T', 'B', *shape)


def _make_projection(out_shape, use_conv, name):
    if use_conv is not None:
        use_conv = check_flag('get_in_out_layers', 'use_conv', use_conv)
    else:
        use_conv = {1: False, 3: True}.get(len(out_shape))
    if use_conv is None:
        raise ValueError("an output shape has 1 or 3 dimensions unless use_conv is given, "
                         f"got {out_shape}")
    if use_conv:
        return layers.Convolution2D(out_shape[-1], (1, 1), activation='linear', name=name)
    return layers.FullyConnected(out_shape, activation='linear', name=name)


def _nearest_scale(activation):
    """DenseSqrtFanInOut knows no scale for exponential linear units; rel comes nearest."""
    return 'rel' if activation == 'el' else activation
