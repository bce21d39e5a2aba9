"""One case per built-in layer: what `test_layer_laws.py` puts under every law.

A case is a dict: `type`, `kwargs`, `inputs` {port: feature shape}, `ids` {port: number of classes}
for ports that take ids, `outputs` (those through which losses flow back) and, where they say
something, `no_delta` (ports into which nothing flows back), `between` {port: (low, high)} for ports
that take such numbers only, `delta_factor` (by which deltas differ from derivatives), `parameters`
{name: value} that cannot be random.
"""


def _case(type, kwargs=None, inputs=None, ids=None, outputs=('default',), **more):
    return dict(type=type, kwargs=kwargs or {}, inputs=inputs or {'default': (5,)}, ids=ids or {},
                outputs=outputs, **more)


def _loss(type, shape, output='loss', **more):
    """A layer that compares its input with targets of the same shape."""
    return _case(type, {}, {'default': shape, 'targets': shape}, outputs=(output,),
                 no_delta=('targets',), **more)


def random_data(case, port, shape, rnd):
    """Data that the port takes: ids, numbers between its bounds, or any."""
    if port in case['ids']:
        return rnd.randint(0, case['ids'][port], shape)
    if port in case.get('between', {}):
        return rnd.uniform(*case['between'][port], shape)
    return rnd.randn(*shape)


_PROBABILITIES = {'default': (0.05, 0.95), 'targets': (0, 1)}
_IMAGE = {'default': (5, 4, 2)}

RECURRENT = ['Clockwork', 'ClockworkLstm', 'Gru', 'Lstm', 'LstmOpt', 'Recurrent']
"""The layers that keep a state from step to step."""

CASES = {
    'input': _case('Input'),
    'fully_connected': _case('FullyConnected', {'size': 4, 'activation': 'tanh'}),
    'fully_connected_rel': _case('FullyConnected', {'size': 4}),
    'fully_connected_el': _case('FullyConnected', {'size': 4, 'activation': 'el'}),
    'fully_connected_sigmoid': _case('FullyConnected', {'size': 4, 'activation': 'sigmoid'}),
    'fully_connected_shapes': _case('FullyConnected', {'size': (3, 2), 'activation': 'linear'},
                                    {'default': (2, 3)}),
    'fully_connected_same_size': _case('FullyConnected', {}, {'default': (2, 2)}),
    'recurrent': _case('Recurrent', {'size': 4}),
    'recurrent_sigmoid': _case('Recurrent', {'size': 3, 'activation': 'sigmoid'},
                               {'default': (2, 2)}),
    'lstm': _case('Lstm', {'size': 3}),
    'lstm_rel': _case('Lstm', {'size': 2, 'activation': 'rel'}, {'default': (2, 2)}),
    'lstm_opt': _case('LstmOpt', {'size': 3}),
    'lstm_opt_linear': _case('LstmOpt', {'size': 2, 'activation': 'linear'}, {'default': (2, 2)}),
    'gru': _case('Gru', {'size': 3}),
    'gru_el': _case('Gru', {'size': 2, 'activation': 'el'}, {'default': (2, 2)}),
    'clockwork': _case('Clockwork', {'size': 4}, parameters={'timing': [1, 2, 2.5, 3]}),
    'clockwork_sigmoid': _case('Clockwork', {'size': 3, 'activation': 'sigmoid'},
                               {'default': (2, 2)}, parameters={'timing': [3, 2, 1]}),
    'clockwork_lstm': _case('ClockworkLstm', {'size': 4}, parameters={'timing': [1, 2, 2.5, 3]}),
    'clockwork_lstm_linear': _case('ClockworkLstm', {'size': 2, 'activation': 'linear'},
                                   {'default': (2, 2)}, parameters={'timing': [2, 1]}),
    'reverse': _case('Reverse', {}, {'default': (2, 2)}),
    'reverse_mask': _case('Reverse', {}, {'default': (3,), 'mask': (1,)}, {'mask': 2},
                          no_delta=('mask',)),
    'convolution2d': _case('Convolution2D',
                           {'num_filters': 3, 'kernel_size': (3, 2), 'padding': 1,
                            'stride': (2, 1), 'activation': 'tanh'}, _IMAGE),
    'convolution2d_plain': _case('Convolution2D', {'num_filters': 2, 'kernel_size': (2, 2)},
                                 _IMAGE),
    'pooling2d': _case('Pooling2D', {'kernel_size': (3, 3), 'stride': (2, 2), 'padding': 1},
                       _IMAGE),
    'pooling2d_avg': _case('Pooling2D', {'kernel_size': (3, 2), 'type': 'avg', 'padding': 1,
                                         'stride': (2, 1)}, _IMAGE),
    'global_pooling2d': _case('GlobalPooling2D', {}, _IMAGE),
    'global_pooling2d_avg': _case('GlobalPooling2D', {'type': 'avg'}, _IMAGE),
    'batch_norm': _case('BatchNorm', {'decay': 0.8}, parameters={'sigma': 1.3}),
    'batch_norm_images': _case('BatchNorm', {}, {'default': (3, 2, 2)},
                               parameters={'sigma': 1.3}),
    'layer_norm': _case('LayerNorm', {'epsilon': 0.01}),
    'layer_norm_images': _case('LayerNorm', {}, {'default': (2, 2, 4)}),
    'dropout': _case('Dropout', {'drop_prob': 0.4}),
    'elementwise': _case('Elementwise', {'activation': 'tanh'}),
    'elementwise_rel': _case('Elementwise', {}, {'default': (2, 3)}),
    'embedding': _case('Embedding', {'vocab_size': 4, 'size': 3}, {'default': (1,)}, {'default': 4},
                       no_delta=('default',)),
    'embedding_images': _case('Embedding', {'vocab_size': 3, 'size': 2}, {'default': (2, 2, 1)},
                              {'default': 3}, no_delta=('default',)),
    'highway': _case('Highway', {}, {'H': (3,), 'T': (3,), 'x': (3,)}),
    'highway_images': _case('Highway', {}, {'H': (2, 1, 3), 'T': (2, 1, 3), 'x': (2, 1, 3)}),
    'merge': _case('Merge', {}, {'inputs_1': (2, 3), 'inputs_2': (2, 2)}),
    'mask': _case('Mask', {}, {'default': (3,), 'mask': (1,)}, no_delta=('mask',)),
    'mask_full': _case('Mask', {}, {'default': (3,), 'mask': (3,)}, no_delta=('mask',)),
    'mask_images': _case('Mask', {}, {'default': (2, 2, 3), 'mask': (1,)}, no_delta=('mask',)),
    'mask_images_rows': _case('Mask', {}, {'default': (2, 2, 3), 'mask': (2, 2, 1)},
                              no_delta=('mask',)),
    'mask_images_full': _case('Mask', {}, {'default': (2, 2, 3), 'mask': (2, 2, 3)},
                              no_delta=('mask',)),
    'no_op': _case('NoOp'),
    'deltas_scaling': _case('DeltasScaling', {'factor': -0.7}, delta_factor=-0.7),
    'deltas_scaling_nothing': _case('DeltasScaling', {'factor': 0}, {'default': (2, 3)},
                                    delta_factor=0),
    'softmax_ce': _case('SoftmaxCE', {}, {'default': (4,), 'targets': (1,)}, {'targets': 4},
                        outputs=('loss',), no_delta=('targets',)),
    'softmax_ce_images': _case('SoftmaxCE', {}, {'default': (2, 2, 3), 'targets': (2, 2, 1)},
                               {'targets': 3}, outputs=('loss',), no_delta=('targets',)),
    'sigmoid_ce': _loss('SigmoidCE', (3,)),
    'sigmoid_ce_images': _loss('SigmoidCE', (2, 2, 3)),
    'squared_error': _loss('SquaredError', (3,)),
    'squared_difference': _case('SquaredDifference', {}, {'inputs_1': (3,), 'inputs_2': (3,)}),
    'squared_difference_images': _case('SquaredDifference', {},
                                       {'inputs_1': (2, 1, 3), 'inputs_2': (2, 1, 3)}),
    'binomial_cross_entropy': _loss('BinomialCrossEntropy', (3,), 'default',
                                    between=_PROBABILITIES),
    'binomial_cross_entropy_images': _loss('BinomialCrossEntropy', (2, 2, 3), 'default',
                                           between=_PROBABILITIES),
    'l1_decay': _case('L1Decay', outputs=('loss',)),
    'l1_decay_images': _case('L1Decay', {}, _IMAGE, outputs=('loss',)),
    'l2_decay': _case('L2Decay', outputs=('loss',)),
    'l2_decay_images': _case('L2Decay', {}, _IMAGE, outputs=('loss',)),
    'loss': _case('Loss', {'importance': 0.7}, outputs=()),
}
