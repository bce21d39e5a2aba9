"""Tasks that need memory are solved, and sequences of different lengths train together."""

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from layer_cases import RECURRENT


def masked_net(task_type, layer, in_size, out_size):
    inp, out = bs.tools.get_in_out_layers(task_type, in_size, out_size, mask_name='mask')
    return bs.Network.from_layer(inp >> layer >> out)


def adding_problem(n, time_steps, seed):
    """Numbers in [0, 1], of which two are marked; the target of the last step is their sum.

    S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997.
    """
    rnd = np.random.RandomState(seed)
    numbers, marks = rnd.rand(time_steps, n), np.zeros((time_steps, n))
    marks[rnd.randint(0, time_steps // 2, n), np.arange(n)] = 1
    marks[rnd.randint(time_steps // 2, time_steps, n), np.arange(n)] = 1
    targets, mask = np.zeros((2, time_steps, n, 1))
    targets[-1, :, 0], mask[-1] = (numbers * marks).sum(axis=0), 1
    return {'default': np.stack([numbers, marks], axis=-1), 'targets': targets, 'mask': mask}


@pytest.mark.parametrize('layer, timing', [
    (layers.Lstm(16, name='R'), {}),
    (layers.ClockworkLstm(16, name='R'), {'timing': 4 * [1, 2, 4, 8]})])
def test_the_adding_problem(layer, timing):
    bs.global_rnd.set_seed(1)
    net = masked_net('regression', layer, 2, 1)
    net.initialize({'R': {'bf': 1, **timing}, 'default': bs.Gaussian(0.2)})
    net.set_gradient_modifiers(bs.ClipValues(-1, 1))
    trainer = bs.Trainer(bs.training.MomentumStepper(1.0, momentum=0.9), verbose=False)
    trainer.add_hook(bs.hooks.StopAfterEpoch(50))
    trainer.train(net, bs.Minibatches(20, **adding_problem(1000, 20, seed=2)))

    test = adding_problem(500, 20, seed=3)
    loss_of_best_constant = 0.5 * test['targets'][-1].var()
    assert bs.tools.evaluate(net, bs.Undivided(**test))['total_loss'] < loss_of_best_constant / 10


@pytest.mark.parametrize('kind', RECURRENT)
def test_padded_sequences_count_as_by_themselves(kind):
    net = masked_net('classification', getattr(layers, kind)(4, name='R'), 3, 5)
    net.set_handler(NumpyHandler(np.float64))
    timing = {'R': {'timing': [1, 2, 3, 4]}} if kind.startswith('Clockwork') else {}
    net.initialize({**timing, 'default': bs.Gaussian(0.5)}, seed=1)
    rnd, lengths = np.random.RandomState(2), [4, 1, 7]
    data = {'default': rnd.randn(7, 3, 3), 'targets': rnd.randint(0, 5, (7, 3, 1)),
            'mask': np.arange(7).reshape(7, 1, 1) < np.reshape(lengths, (3, 1))}

    def run(batch):
        net.provide_external_data(batch)
        net.forward_pass(training_pass=True)
        net.backward_pass()
        return (net.get_loss_values()['total_loss'], net.get('gradients'),
                net.get('Output.outputs.predictions'), net.get('R.input_deltas.default'))

    loss, gradients, predictions, deltas = run(data)
    alone = [run({name: values[:length, b:b + 1] for name, values in data.items()})
             for b, length in enumerate(lengths)]
    assert loss == pytest.approx(np.mean([result[0] for result in alone]), rel=1e-12)
    np.testing.assert_allclose(gradients, np.mean([result[1] for result in alone], axis=0),
                               rtol=1e-10, atol=1e-14)
    for b, (length, result) in enumerate(zip(lengths, alone)):
        np.testing.assert_allclose(predictions[:length, b], result[2][:, 0], rtol=1e-12)
        np.testing.assert_allclose(deltas[:length, b], result[3][:, 0] / 3, rtol=1e-10, atol=1e-14)
        assert (deltas[length:, b] == 0).all()
