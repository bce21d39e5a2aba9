"""One case per built-in layer: what `test_layer_laws.py` puts under every law.

A case is a dict: `type`, `kwargs`, `inputs` {port: feature shape}, `ids` {port: number of classes}
for ports that take class ids, `outputs` (those through which losses flow back), and where needed
`parameters` {name: value} that cannot be random.
"""


def _case(type, kwargs=None, inputs=None, ids=None, outputs=('default',), **more):
    return dict(type=type, kwargs=kwargs or {}, inputs=inputs or {'default': (5,)}, ids=ids or {},
                outputs=outputs, **more)


_IMAGE = {'default': (5, 4, 2)}

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
    'convolution2d': _case('Convolution2D',
                           {'num_filters': 3, 'kernel_size': (3, 2), 'padding': 1,
                            'stride': (2, 1), 'activation': 'tanh'}, _IMAGE),
    'convolution2d_plain': _case('Convolution2D', {'num_filters': 2, 'kernel_size': (2, 2)},
                                 _IMAGE),
    'pooling2d': _case('Pooling2D', {'kernel_size': (3, 3), 'stride': (2, 2), 'padding': 1},
                       _IMAGE),
    'pooling2d_avg': _case('Pooling2D', {'kernel_size': (3, 2), 'type': 'avg', 'padding': 1,
                                         'stride': (2, 1)}, _IMAGE),
    'batch_norm': _case('BatchNorm', {'decay': 0.8}, parameters={'sigma': 1.3}),
    'batch_norm_images': _case('BatchNorm', {}, {'default': (3, 2, 2)},
                               parameters={'sigma': 1.3}),
    'dropout': _case('Dropout', {'drop_prob': 0.4}),
    'elementwise': _case('Elementwise', {'activation': 'tanh'}),
    'elementwise_rel': _case('Elementwise', {}, {'default': (2, 3)}),
    'merge': _case('Merge', {}, {'inputs_1': (2, 3), 'inputs_2': (2, 2)}),
    'no_op': _case('NoOp'),
    'softmax_ce': _case('SoftmaxCE', {}, {'default': (4,), 'targets': (1,)}, {'targets': 4},
                        outputs=('loss',), no_delta=('targets',)),
    'softmax_ce_images': _case('SoftmaxCE', {}, {'default': (2, 2, 3), 'targets': (2, 2, 1)},
                               {'targets': 3}, outputs=('loss',), no_delta=('targets',)),
    'squared_error': _case('SquaredError', {}, {'default': (3,), 'targets': (3,)},
                           outputs=('loss',), no_delta=('targets',)),
    'loss': _case('Loss', {'importance': 0.7}, outputs=()),
}
