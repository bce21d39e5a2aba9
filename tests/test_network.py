import copy
import gc
import pickle
import weakref

import h5py
import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.handlers.base_handler import Handler
from brainstorm.utils import LayerValidationError, NetworkValidationError
from networks import classifier, finite_differences, mlp, mlp_predictions, random_batch

# ---- running ----


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_forward_pass_is_the_formula(dtype):
    net = mlp(dtype)
    data = random_batch(time_steps=2)
    net.provide_external_data(data)
    net.forward_pass()
    p = mlp_predictions(net, data['default'].astype(dtype))
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert np.allclose(net.get('Output.outputs.predictions'), p, rtol=tolerance)
    loss = -np.log(np.take_along_axis(p, data['targets'], axis=-1)).sum() / 4
    assert net.get_loss_values() == {'total_loss': pytest.approx(loss, rel=tolerance)}


def test_gradients_are_finite_differences():
    net = mlp()
    net.provide_external_data(random_batch(time_steps=2))
    net.forward_pass()
    net.backward_pass()
    np.testing.assert_allclose(net.get('gradients'), finite_differences(net), atol=1e-8)


@pytest.mark.parametrize('convert', [
    np.asfortranarray, lambda a: a[:, ::-1][:, ::-1], lambda a: a.astype('>f8'),
    lambda a: np.repeat(a, 2, axis=2)[:, :, ::2], lambda a: a.tolist()])
def test_arrays_of_any_make_are_taken(convert):
    net, data = mlp(), random_batch()
    net.provide_external_data({'default': convert(data['default']), 'targets': data['targets']})
    assert np.array_equal(net.get_input('default'), data['default'])


@pytest.mark.parametrize('features', [5, 100], ids=['packed', 'padded'])  # rows of the network
@pytest.mark.parametrize('code', '?bBhHiIlLqQefdg')
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_values_of_any_number_type_are_cast(dtype, code, features):
    net = bs.Network.from_layer(layers.Input({'default': ('T', 'B', features)}) >> layers.NoOp())
    net.set_handler(NumpyHandler(dtype))
    values = np.random.RandomState(0).randint(0, 256, (2, 3, features)).astype(code)
    if code in 'efdg':
        values.flat[:4] = np.array([0.1, -0.0, np.inf, np.nan], code)
    elif code != '?':
        values.flat[:2] = np.iinfo(code).min, np.iinfo(code).max
    values.flags.writeable = False
    net.provide_external_data({'default': values})
    assert np.array_equal(net.get_input('default'), values.astype(dtype), equal_nan=True)


def test_numbers_too_large_for_the_handler_are_infinite_with_a_warning():
    net = mlp(np.float32)
    data = random_batch()
    data['default'][0, 1, 2] = -1e300
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match='overflow'):
            net.provide_external_data(data)
    assert net.get_input('default')[0, 1, 2] == -np.inf
    halfway = 2.0**128 - 2.0**103  # between the largest float32 and the power of 2 behind it
    data['default'][0, 1, 2] = np.nextafter(halfway, 0)
    net.provide_external_data(data)  # without a warning, which would be an error
    assert net.get_input('default')[0, 1, 2] == np.finfo(np.float32).max
    data['default'][0, 1, 2] = halfway
    with pytest.warns(RuntimeWarning, match='overflow'):
        net.provide_external_data(data)
    assert net.get_input('default')[0, 1, 2] == np.inf


def test_h5py_datasets_are_taken(tmp_path):
    net, data = mlp(), random_batch()
    with h5py.File(tmp_path / 'x.hdf5', 'w') as file:
        for name, values in data.items():
            file[name] = values
        net.provide_external_data(file)
    assert np.array_equal(net.get_input('default'), data['default'])


def test_static_data_is_repeated_over_the_steps():
    inp = layers.Input({'default': ('T', 'B', 2), 'static': ('T', 'B', 1)})
    merge = layers.Merge()
    inp >> 'inputs_1' - merge
    inp - 'static' >> 'inputs_2' - merge >> layers.Loss()
    net = bs.Network.from_layer(merge)
    net.provide_external_data({'default': np.ones((3, 2, 2)), 'static': [[[1.], [2.]]]})
    net.forward_pass()
    assert net.get('Merge.outputs.default')[:, :, 2].tolist() == [[1, 2]] * 3


@pytest.mark.parametrize('change, text', [
    ({'default': None}, "default"),
    ({'default': np.zeros((1, 4, 5))}, r"\(1, 4, 5\)"),
    ({'default': np.zeros((1, 3, 6))}, "default|targets"),
    ({'default': np.zeros((2, 4, 6)), 'targets': np.zeros((3, 4, 1))}, "time steps"),
    ({'default': np.zeros((1, 0, 6)), 'targets': np.zeros((1, 0, 1))}, "empty"),
    ({'default': np.zeros((0, 4, 6)), 'targets': np.zeros((0, 4, 1))}, "empty"),
    ({'default': np.full((1, 4, 6), 'x')}, "dtype"),
    ({'default': np.zeros((1, 4, 6), complex)}, "dtype"),
    ({'default': [[[1, 2], [3]]]}, "default|inhomogeneous"),
])
def test_data_that_does_not_fit(change, text):
    net = mlp()
    data = {**random_batch(), **change}
    with pytest.raises((ValueError, TypeError), match=text):
        net.provide_external_data(data)


def test_missing_and_extra_data():
    net, data = mlp(), random_batch()
    net.provide_external_data({**data, 'extra': 'ignored'})
    with pytest.raises(ValueError, match="'targets' is missing"):
        net.provide_external_data({'default': data['default']})
    net.provide_external_data({'default': data['default'] * 2}, all_inputs=False)
    assert np.array_equal(net.get_input('default'), data['default'] * 2)
    assert np.array_equal(net.get_input('targets'), data['targets'])


def test_what_is_not_given_is_zero_at_another_size():
    net = mlp()
    net.provide_external_data(random_batch())
    x = random_batch(time_steps=2, batch_size=7)['default']
    net.provide_external_data({'default': x}, all_inputs=False)
    assert net.get_input('targets').shape == (2, 7, 1) and not net.get_input('targets').any()
    net.forward_pass()
    assert np.allclose(net.get('Output.outputs.predictions'), mlp_predictions(net, x))


def test_class_ids_out_of_range_are_an_error():
    net = mlp()
    for wrong in (3, -1, 0.5):
        net.provide_external_data({**random_batch(), 'targets': np.full((1, 4, 1), wrong)})
        with pytest.raises(IndexError, match='Output'):
            net.forward_pass()


def test_losses_by_name():
    inp = layers.Input({'default': ('T', 'B', 2)})
    first, second = layers.Loss(name='first'), layers.Loss(importance=0.5, name='second')
    inp >> first
    inp >> second
    net = bs.Network.from_layer(inp)
    net.provide_external_data({'default': [[[1., 2.], [3., 4.]]]})
    net.forward_pass()
    assert net.get_loss_values() == {'first': 5.0, 'second': 2.5, 'total_loss': 7.5}
    assert sorted(net.loss_layers) == ['first', 'second']


def test_dropout_follows_the_seed_of_the_network():
    net = classifier(layers.Dropout(name='D'))
    net.initialize(0.1)
    net.provide_external_data(random_batch(batch_size=50))

    def mask():
        net.forward_pass(training_pass=True)
        return net.get('D.internals.mask')
    net.rnd.set_seed(3)
    first, second = mask(), mask()
    assert set(np.unique(first)) == {0.0, 1.0}
    assert not np.array_equal(first, second)
    net.rnd.set_seed(3)
    assert np.array_equal(mask(), first)
    net.rnd = net.rnd.create_random_state(3)
    assert np.array_equal(mask(), first)


def test_handlers_written_in_python_are_refused():
    class Mine(Handler):
        pass
    net = mlp()
    for handler in (Mine(), None, NumpyHandler):
        with pytest.raises(TypeError, match='handler'):
            net.set_handler(handler)
    assert net.handler.dtype == np.float64


# ---- copies ----


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_a_network(duplicate):
    net = classifier(layers.FullyConnected(5, name='H'), layers.Dropout(name='D'))
    net.initialize({'*': {'W': bs.Gaussian(), 'bias': 0}}, seed=1)
    net.set_weight_modifiers(H=bs.ClipValues(-0.1, 0.1))
    net.set_gradient_modifiers(H=bs.ClipValues(0, 0))
    net.output_name = 'Output.outputs.predictions'
    net.provide_external_data(random_batch())
    net.forward_pass(training_pass=True)
    other = duplicate(net)
    assert bs.get_description(other) == bs.get_description(net)
    assert np.array_equal(other.get('parameters'), net.get('parameters'))
    for one in (net, other):
        one.provide_external_data(random_batch(batch_size=40))
        one.forward_pass(training_pass=True)
        one.backward_pass()
    assert np.array_equal(other.get('D.internals.mask'), net.get('D.internals.mask'))
    assert (other.get('H.gradients.W') == 0).all()
    other.buffer.parameters[...] = 0
    assert net.get('parameters').any()


def test_networks_are_freed():
    net = mlp()
    net.set_gradient_modifiers(bs.ClipValues())
    net.provide_external_data(random_batch())
    net.forward_pass()
    net.backward_pass()
    leaf = net.buffer.H.outputs.default
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    assert np.isfinite(leaf).all()


# ---- sizes and names at the edge ----

def test_names_beyond_ascii():
    net = classifier(layers.FullyConnected(2, activation='tanh', name='schön'))
    assert net.layers['schön'].kwargs['size'] == 2
    net.initialize(1.0)
    assert (net.get('schön.parameters.W') == 1).all()


def test_parameters_that_no_memory_holds():
    huge = {'@type': 'Convolution2D', 'num_filters': 1, 'kernel_size': (2 ** 20, 2 ** 20),
            'padding': 2 ** 20, 'stride': 2 ** 21}
    architecture = {'Input': {'@type': 'Input', 'out_shapes': {'default': ('T', 'B', 1, 1, 1)},
                              '@outgoing_connections': {'default': [f'C{i}' for i in range(64)]}}}
    architecture.update({f'C{i}': dict(huge) for i in range(64)})
    with pytest.raises(NetworkValidationError, match='too many for any memory'):
        bs.Network.from_architecture(architecture)
    architecture['C0']['kernel_size'] = (2 ** 29, 2 ** 29)
    architecture['C0']['padding'] = 2 ** 30
    with pytest.raises(LayerValidationError, match="'C0'.*too large for any memory"):
        bs.Network.from_architecture(architecture)


def test_the_flat_order_looks_at_whole_names():
    first, second = 'a' * 310 + '0', 'a' * 310 + '1'
    net = classifier(layers.FullyConnected(2, name=second), layers.FullyConnected(2, name=first))
    order = [layer for layer, parameter in net._core.parameter_order() if parameter == 'W']
    assert order == ['Output_projection', first, second]


def test_initial_values_of_complex_numbers_are_refused():
    net = classifier(layers.Recurrent(2, name='R'))
    with pytest.raises(TypeError, match='real numbers.*complex128'):
        net.initialize({'R': {'bias': np.ones(2, complex), 'default': 0}, 'default': 0})


def test_a_backward_pass_needs_a_forward_pass():
    net = mlp()
    with pytest.raises(RuntimeError, match='needs a forward pass'):
        net.backward_pass()
    net.provide_external_data(random_batch())
    net.forward_pass()
    net.backward_pass()
    net.provide_external_data(random_batch(seed=5))
    net.backward_pass()  # of the pass that ran
    net.provide_external_data(random_batch(batch_size=5))
    with pytest.raises(RuntimeError, match='needs a forward pass'):
        net.backward_pass()
    net.forward_pass()
    net.set_handler(NumpyHandler(np.float32))
    with pytest.raises(RuntimeError, match='needs a forward pass'):
        net.backward_pass()
