"""The whole public surface: every documented name stands where it should, with its signature.

The data below is written down from the documentation and not from the code. A line is a signature
as it is printed there; a name with a dot is a method; a line without parentheses is an object or an
attribute whose arguments are not documented.
"""

import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import handlers

MODIFIERS = """
    ClipValues(low=-1., high=1.)
    ConstrainL2Norm(limit)
    FreezeValues(weights=None)
    MaskValues(mask)
"""

ITERATORS = """
    DataIterator(data_shapes, length)
    Undivided(**named_data)
    Minibatches(batch_size=1, shuffle=True, cut_according_to='mask', **named_data)
    Online(shuffle=True, cut_according_to='mask', **named_data)
"""

INITIALIZERS = """
    ArrayInitializer(array)
    DenseSqrtFanIn(scale='rel')
    DenseSqrtFanInOut(scale='rel')
    EchoState(spectral_radius=1.0)
    Gaussian(std=0.1, mean=0.0)
    Identity(scale=1.0, std=0.01, enforce_square=True)
    LstmOptInit(input_block=0.0, input_gate=0.0, forget_gate=0.0, output_gate=0.0)
    Orthogonal(scale=1.0)
    RandomWalk(act_func='linear', scale=None)
    SparseInputs(sub_initializer, connections=15)
    SparseOutputs(sub_initializer, connections=15)
    Uniform(low=0.1, high=None)
"""

HOOK = """
    Hook(name=None, timescale='epoch', interval=1, verbose=None)
    Hook.start(net, stepper, verbose, named_data_iters)
    Hook.__call__(epoch_nr, update_nr, net, stepper, logs)
    Hook.message(text)
"""

TRAINER = """
    Trainer(stepper, verbose=True)
    Trainer.add_hook(hook)
    Trainer.train(net, training_data_iter, **named_data_iters)
    Trainer.evaluate(net, **iters)
"""

STEPPERS = """
    TrainingStepper()
    TrainingStepper.start(net)
    TrainingStepper.run()
    SgdStepper(learning_rate=0.1)
    MomentumStepper(learning_rate=0.1, momentum=0.0, scale_learning_rate=True)
    NesterovStepper(learning_rate=0.1, momentum=0.0, scale_learning_rate=True)
    RmsPropStepper(learning_rate=0.001, decay=0.9, epsilon=1e-8, momentum=0.0)
    AdamStepper(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0)
    AdagradStepper
    AdadeltaStepper
    ForwardStepper(use_training_pass=False)
"""

SCHEDULES = """
    Linear(initial_value, final_value, num_changes)
    Exponential(initial_value, factor, minimum=-np.inf, maximum=np.inf)
    MultiStep(initial_value, steps, values)
    DecreaseAfterEpoch(initial_value, T)
    Linear.__call__(epoch_nr, update_nr, timescale, interval, net, stepper, logs)
    Exponential.__call__(epoch_nr, update_nr, timescale, interval, net, stepper, logs)
    MultiStep.__call__(epoch_nr, update_nr, timescale, interval, net, stepper, logs)
    DecreaseAfterEpoch.__call__(epoch_nr, update_nr, timescale, interval, net, stepper, logs)
"""

NETWORK = """
    Network.from_layer(some_layer)
    Network.from_architecture(architecture)
    Network.from_hdf5(filename)
    Network.save_as_hdf5(filename, comment='')
    Network.initialize(default_or_init_dict=None, seed=None, **kwargs)
    Network.set_weight_modifiers(default_or_mod_dict=None, **kwargs)
    Network.set_gradient_modifiers(default_or_mod_dict=None, **kwargs)
    Network.apply_weight_modifiers()
    Network.apply_gradient_modifiers()
    Network.set_handler(new_handler)
    Network.provide_external_data(data, all_inputs=True)
    Network.forward_pass(training_pass=False, context=None)
    Network.backward_pass()
    Network.get_loss_values()
    Network.get_context()
    Network.get(buffer_path)
    Network.get_input(input_name)
    Network.get_inputs(input_name)
    Network.set_constraints(default_or_mod_dict=None, **kwargs)
    Network.summary
    Network.predict
"""

DESCRIBABLE = """
    get_description(this)
    create_from_description(description)
"""

NUMPY_HANDLER = 'NumpyHandler(dtype=np.float32, seed=None)'
PYCUDA_HANDLER = 'PyCudaHandler(dtype=np.float32, seed=None, device=0, tf32=False)'
DEBUG_HANDLER = 'DebugHandler(handler)'

OPERATIONS = """
    abs_t(a, out)
    add_into_if(a, out, cond)
    add_mv(m, v, out)
    add_st(s, t, out)
    add_tt(a, b, out)
    avgpool2d_backward_batch(inputs, window, outputs, padding, stride, in_deltas, out_deltas)
    avgpool2d_forward_batch(inputs, window, outputs, padding, stride)
    binarize_v(v, out)
    broadcast_t(a, axis, out)
    clip_t(a, a_min, a_max, out)
    conv2d_backward_batch(inputs, weights, padding, stride, in_deltas, out_deltas, weight_deltas, \
        bias_deltas)
    conv2d_forward_batch(inputs, weights, bias, outputs, padding, stride)
    copy_to(src, dest)
    copy_to_if(src, dest, cond)
    divide_mv(m, v, out)
    divide_tt(a, b, out)
    dot_add_mm(a, b, out, transa=False, transb=False)
    dot_mm(a, b, out, transa=False, transb=False)
    el(x, y)
    el_deriv(x, y, dy, dx)
    fill(mem, val)
    fill_gaussian(mean, std, out)
    fill_if(mem, val, cond)
    generate_probability_mask(mask, probability)
    index_m_by_v(m, v, out)
    log_t(a, out)
    maxpool2d_backward_batch(inputs, window, outputs, padding, stride, argmax, in_deltas, \
        out_deltas)
    maxpool2d_forward_batch(inputs, window, outputs, padding, stride, argmax)
    merge_tt(a, b, out)
    modulo_tt(a, b, out)
    mult_add_mv(m, v, out)
    mult_add_st(s, t, out)
    mult_add_tt(a, b, out)
    mult_mv(m, v, out)
    mult_st(s, t, out)
    mult_tt(a, b, out)
    rel(x, y)
    rel_deriv(x, y, dy, dx)
    sigmoid(x, y)
    sigmoid_deriv(x, y, dy, dx)
    sign_t(a, out)
    softmax_m(m, out)
    split_add_tt(x, out_a, out_b)
    sqrt_t(a, out)
    subtract_mv(m, v, out)
    subtract_tt(a, b, out)
    sum_t(a, axis, out)
    tanh(x, y)
    tanh_deriv(x, y, dy, dx)
"""

MEMORY = """
    allocate(shape)
    create_from_numpy(arr)
    get_numpy_copy(mem)
    is_fully_finite(a)
    ones(shape)
    set_from_numpy(mem, arr)
    zeros(shape)
"""

LAYERS = """
    Input(out_shapes)
    FullyConnected(size=None, activation='rel', name=None)
    Recurrent(size, activation='tanh', name=None)
    Lstm(size, activation='tanh', name=None)
    LstmOpt(size, activation='tanh', name=None)
    Clockwork(size, activation='tanh', name=None)
    ClockworkLstm(size, activation='tanh', name=None)
    Convolution2D(num_filters, kernel_size, stride=(1, 1), padding=0, activation='rel', name=None)
    Pooling2D(kernel_size, type='max', stride=(1, 1), padding=0, name=None)
    BatchNorm(name=None, decay=0.9, epsilon=1e-5)
    Dropout(drop_prob=0.5, name=None)
    Elementwise(activation='rel', name=None)
    Highway(name=None)
    Merge(name=None)
    Mask(name=None)
    NoOp(name=None)
    DeltasScaling(factor, name=None)
    SoftmaxCE(name=None)
    SigmoidCE(name=None)
    SquaredError(name=None)
    SquaredLoss(name=None)
    SquaredDifference(name=None)
    BinomialCrossEntropy(name=None)
    L1Decay(name=None)
    L2Decay(name=None)
    Loss(importance=1.0, name=None)
"""


def lines(text):
    return [' '.join(line.split()) for line in text.replace('\\\n', ' ').splitlines()
            if line.strip()]


def methods_of(owner, text):
    return '\n'.join(f'{owner}.{line}' for line in lines(text))


LAYER_TYPES = [line.partition('(')[0] for line in lines(LAYERS)]

SURFACE = {
    'brainstorm': '\n'.join([
        NETWORK, TRAINER, DESCRIBABLE, HOOK, ITERATORS, INITIALIZERS, MODIFIERS, """
        generate_architecture(some_layer)
        global_rnd
        set_num_threads
        __version__
        layers
        initializers
        data_iterators
        hooks
        scorers
        handlers
        training
        tools
        value_modifiers
    """]),
    'brainstorm.layers': LAYERS,
    'brainstorm.initializers': INITIALIZERS + """
        Initializer
        Initializer.__call__(shape)
        evaluate_initializer(initializer, shape, fallback=None, seed=None)
    """,
    'brainstorm.data_iterators': ITERATORS + """
        AddGaussianNoise(iter, std_dict, mean_dict=None)
        AddSaltNPepper(iter, prob_dict, ratio_dict=None)
        Flip(iter, prob_dict=None)
        MultiHot(iter, vocab_size_dict)
        OneHot(iter, vocab_size_dict)
        Pad(iter, size_dict, value_dict=None)
        RandomCrop(iter, shape_dict)
    """,
    'brainstorm.hooks': HOOK + """
        EarlyStopper(log_name, patience=1, criterion='min', name=None, timescale='epoch', \
            interval=1, verbose=None)
        InfoUpdater(run, name=None, timescale='epoch', interval=1)
        ModifyStepperAttribute(schedule, attr_name='learning_rate', timescale='epoch', interval=1, \
            name=None, verbose=None)
        MonitorLayerDeltas(layer_name, name=None, timescale='epoch', interval=1, verbose=None)
        MonitorLayerGradients(layer_name, name=None, timescale='epoch', interval=1, verbose=None)
        MonitorLayerInOuts(layer_name, name=None, timescale='epoch', interval=1, verbose=None)
        MonitorLayerParameters(layer_name, name=None, timescale='epoch', interval=1, verbose=None)
        MonitorLoss(iter_name, name=None, timescale='epoch', interval=1, verbose=None)
        MonitorScores(iter_name, scorers, name=None, timescale='epoch', interval=1, verbose=None)
        ProgressBar()
        SaveBestNetwork(log_name, filename=None, criterion='max', name=None, timescale='epoch', \
            interval=1, verbose=None)
        SaveBestNetwork.load_best_network()
        SaveLogs(filename, name=None, timescale='epoch', interval=1)
        SaveNetwork(filename, name=None, timescale='epoch', interval=1)
        SaveNetwork.load_network()
        StopAfterEpoch(max_epochs, name=None, timescale='epoch', interval=1, verbose=None)
        StopAfterThresholdReached(log_name, threshold, criterion='min', name=None, \
            timescale='epoch', interval=1, verbose=None)
        StopOnNan(logs_to_check=(), check_parameters=True, check_training_loss=True, name=None, \
            timescale='epoch', interval=1, verbose=None)
        StopOnSigQuit(name=None, timescale='epoch', interval=1, verbose=None)
        BokehVisualizer(log_names, filename=None, name=None, timescale='epoch', interval=1, \
            verbose=None)
    """,
    'brainstorm.scorers': """
        Scorer(out_name='', targets_name='targets', mask_name='', name=None)
        Scorer.__call__(true_labels, predicted, mask=None)
        Scorer.aggregate
        Accuracy(out_name='', targets_name='targets', mask_name='', name=None)
        Hamming(threshold=0.5, out_name='', targets_name='targets', mask_name='', name=None)
        MeanSquaredError(out_name='', targets_name='targets', mask_name='', name=None)
    """,
    'brainstorm.value_modifiers': MODIFIERS + """
        ValueModifier
        ValueModifier.__call__(handler, view)
        GradientModifier
        GradientModifier.__call__(handler, parameters, gradients)
        L1Decay(factor)
        L2Decay(factor)
    """,
    'brainstorm.tools': """
        draw_network(network, file_name='network.png')
        evaluate(network, iter, scorers=(), out_name='', targets_name='targets', mask_name=None)
        extract(network, iter, buffer_names)
        extract_and_save(network, iter, buffer_names, file_name)
        get_network_info(network)
        print_network_info(network)
        get_in_out_layers(task_type, in_shape, out_shape, data_name='default', \
            targets_name='targets', projection_name=None, outlayer_name=None, mask_name=None, \
            use_conv=None)
        create_net_from_spec(task_type, in_shape, out_shape, spec, data_name='default', \
            targets_name='targets', mask_name=None, use_conv=None)
        create_network_from_spec(task_type, in_shape, out_shape, spec, data_name='default', \
            targets_name='targets', mask_name=None, use_conv=None)
        shuffle_data(*arrays, seed=None)
        split(*arrays, ratios=(9, 1))
        plot_logs
    """,
    'brainstorm.training': TRAINER + STEPPERS + SCHEDULES,
    'brainstorm.training.trainer': TRAINER,
    'brainstorm.training.steppers': STEPPERS,
    'brainstorm.training.schedules': SCHEDULES,
    'brainstorm.handlers': f"""
        {NUMPY_HANDLER}
        {PYCUDA_HANDLER}
        {DEBUG_HANDLER}
        default_handler
    """,
    'brainstorm.handlers.base_handler':
        'Handler\n' + methods_of('Handler', OPERATIONS) + '\n' + methods_of('Handler', MEMORY),
    'brainstorm.handlers.numpy_handler':
        f'{NUMPY_HANDLER}\n' + methods_of('NumpyHandler', MEMORY),
    'brainstorm.handlers.pycuda_handler': PYCUDA_HANDLER,
    'brainstorm.handlers.debug_handler': f'DebugArray\n{DEBUG_HANDLER}',
    'brainstorm.describable': DESCRIBABLE + """
        Describable()
        Describable.__undescribed__
        Describable.__default_values__
        Describable.__describe__()
        Describable.__new_from_description__(description)
        Describable.__init_from_description__(description)
    """,
    'brainstorm.randomness': """
        global_rnd
        RandomState(seed=None)
        RandomState.get_seed()
        RandomState.set_seed(seed)
        RandomState.reset()
        RandomState.generate_seed()
        RandomState.create_random_state(seed=None)
        Seedable(seed=None)
    """,
    'brainstorm.utils': """
        ValidationError
        NetworkValidationError
        LayerValidationError
        IteratorValidationError
        StructureValidationError
        InitializationError
        flatten_time
        flatten_all_but_last
        flatten_time_and_features
        get_by_path
    """,
    'brainstorm.layers.base_layer': """
        Layer(name, in_shapes, incoming_connections, outgoing_connections, **kwargs)
        Layer.expected_inputs
        Layer.expected_kwargs
        Layer.computes_no_input_deltas_for
        Layer.computes_no_gradients_for
        Layer.takes_no_output_deltas_from
        Layer.setup(kwargs, in_shapes)
        Layer.set_handler(new_handler)
        Layer.forward_pass(buffers, training_pass=True)
        Layer.backward_pass(buffers)
        get_layer_class_from_typename(typename)
    """,
    'brainstorm.structure.network': NETWORK,
    'brainstorm.structure.architecture': """
        generate_architecture(some_layer)
        Connection(start_layer, output_name, end_layer, input_name)
    """,
    'brainstorm.structure.construction': """
        ConstructionWrapper
        ConstructionWrapper.create(layer_type, name=None, **kwargs)
    """,
    'brainstorm.structure.buffer_structure': """
        BufferStructure(*shape, context_size=0, is_backward_only=False)
        BufferStructure.from_layout
        BufferStructure.to_json(i)
        StructureTemplate(*shape, context_size=0, is_backward_only=False)
        StructureTemplate.matches(structure)
    """,
    'brainstorm.structure.buffer_views': """
        BufferView
        BufferView.keys()
        BufferView.items()
        BufferView.values()
    """,
    'brainstorm.structure.layout': 'create_layout(layers)',
    'brainstorm.structure.buffers': """
        BufferManager(layout, hubs, handler=handlers.default_handler)
        BufferManager.resize(time_size, batch_size)
        BufferManager.set_handler(new_handler)
        BufferManager.get_context()
        BufferManager.apply_context(context)
        BufferManager.clear_context()
        BufferManager.clear_backward_buffers()
    """,
    'brainstorm.structure.view_references': '',
    'brainstorm.tests.tools': """
        get_test_configurations()
        run_layer_tests(layer, spec)
    """,
}

CASES = [(module, line) for module, text in SURFACE.items() for line in lines(text)]


def find(module, path):
    """The object, and whether calls of it are given something before the documented arguments."""
    found, is_method = importlib.import_module(module), False
    for name in path.split('.'):
        plain = inspect.isclass(found) and inspect.getattr_static(found, name, None)
        is_method = inspect.isroutine(plain) and not isinstance(plain, (classmethod, staticmethod))
        found = getattr(found, name)
    return found, is_method


def arguments(signature):
    """Name, kind and default of every argument. No caller sees annotations and names behind `*`."""
    return [(p.name if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) else '*', p.kind, p.default)
            for p in signature.parameters.values()]


@pytest.mark.parametrize('module', SURFACE)
def test_module(module):
    importlib.import_module(module)


@pytest.mark.parametrize('module, line', CASES)
def test_name(module, line):
    path, parenthesis, rest = line.partition('(')
    found, is_method = find(module, path)
    public = getattr(importlib.import_module(module), '__all__', [path])
    assert path.split('.')[0] in public, f'not in {module}.__all__'
    if parenthesis:
        documented = eval(f'lambda {rest.removesuffix(")")}: 0', {'np': np, 'handlers': handlers})
        actual = arguments(inspect.signature(found))[is_method:]
        assert actual == arguments(inspect.signature(documented))
    if (inspect.isroutine(found) or inspect.isclass(found)) and '__' not in path:
        assert inspect.getdoc(found), 'a public name tells what it is'


@pytest.mark.parametrize('line', lines(OPERATIONS))
@pytest.mark.parametrize('handler', [bs.handlers.NumpyHandler(seed=1), bs.handlers.DebugHandler(
    bs.handlers.NumpyHandler(seed=1))], ids=lambda handler: type(handler).__name__)
def test_operations_have_the_documented_arguments(handler, line):
    name, _, rest = line.partition('(')
    documented = eval(f'lambda {rest.removesuffix(")")}: 0')
    assert arguments(inspect.signature(getattr(handler, name))) == \
        arguments(inspect.signature(documented))


def test_attributes_of_handlers():
    for name in ('dtype', 'context', 'array_type', 'EMPTY', 'rnd', 'act_func', 'act_func_deriv',
                 'inplace_act_func', 'inplace_act_func_deriv'):
        assert hasattr(bs.handlers.default_handler, name)


def test_attributes_of_networks_trainers_and_structures():
    from brainstorm.structure.buffer_structure import BufferStructure
    inp, out = bs.tools.get_in_out_layers('classification', 3, 2)
    documented = {
        bs.Network.from_layer(inp >> out): 'layers architecture handler buffer output_name '
        'initializers weight_modifiers gradient_modifiers loss_layers rnd',
        bs.Trainer(bs.training.SgdStepper()): 'train_scorers logs results hooks current_epoch_nr '
        'current_update_nr',
        BufferStructure('T', 'B', 10): 'shape buffer_type feature_shape feature_size '
        'scales_with_time scales_with_batch_size nr_dims context_size is_backward_only',
        bs.Minibatches(default=np.zeros((1, 1, 1))): 'data_shapes length',
    }
    for thing, names in documented.items():
        assert [name for name in names.split() if not hasattr(thing, name)] == []


@pytest.mark.parametrize('name', [name for name in LAYER_TYPES if name != 'SquaredLoss'])
def test_layer_class(name):
    from brainstorm.layers.base_layer import get_layer_class_from_typename
    found = getattr(bs.layers, name + 'LayerImpl')
    assert found is get_layer_class_from_typename(name + 'LayerImpl')
    assert str(inspect.signature(found)) == \
        '(name, in_shapes, incoming_connections, outgoing_connections, **kwargs)'


def test_old_names():
    assert bs.Network.set_constraints is bs.Network.set_weight_modifiers
    assert bs.Network.get_inputs is bs.Network.get_input
    assert bs.layers.SquaredLoss is bs.layers.SquaredError
    assert bs.tools.create_network_from_spec is bs.tools.create_net_from_spec
    inp, out = bs.tools.get_in_out_layers('classification', 3, 2)
    net = bs.Network.from_layer(inp >> out)
    assert net.get('Output.outputs.probabilities').shape == net.get(
        'Output.outputs.predictions').shape


def test_the_package_tells_its_version():
    result = subprocess.run([sys.executable, '-m', 'brainstorm'], capture_output=True, text=True)
    assert bs.__version__ in result.stdout


def test_ambiguous_names_are_not_at_top_level():
    assert not hasattr(bs, 'L1Decay') and not hasattr(bs, 'L2Decay')


def test_everything_in_brainstorm_all():
    names = {}
    exec('from brainstorm.all import *', names)
    assert names['L1Decay'] is bs.value_modifiers.L1Decay
    assert names['L2Decay'] is bs.value_modifiers.L2Decay
    for module in ('', '.layers', '.initializers', '.data_iterators', '.hooks', '.scorers',
                   '.value_modifiers', '.tools', '.training', '.handlers'):
        for line in lines(SURFACE['brainstorm' + module]):
            name = line.partition('(')[0]
            assert name in names or '.' in name or name.startswith('__'), name
