import math

import numpy as np
import pytest

import brainstorm as bs
from brainstorm import layers
from brainstorm.handlers import NumpyHandler
from brainstorm.scorers import Accuracy, Hamming, MeanSquaredError, Scorer
from networks import classifier, mlp, mlp_predictions, random_batch

MASK = np.array([[1.], [0], [1], [1]])


def test_accuracy_counts_the_largest_outputs():
    predicted = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    labels = np.array([[1], [1], [0], [0]])
    assert Accuracy()(labels, predicted) == 2
    assert Accuracy()(labels, predicted, MASK) == 2
    assert Accuracy()(labels[:, ::-1], predicted, 1 - MASK) == 0


def test_accuracy_of_one_column_compares():
    assert Accuracy()(np.array([[1.], [2]]), np.array([[1.], [1]])) == 1


def test_hamming_counts_labels_on_the_right_side():
    predicted = np.array([[0.2, 0.5], [0.9, 0.4], [0.1, 0.1], [0.6, 0.3]])
    labels = np.array([[0, 1], [0, 0], [1, 1], [1, 1]])
    assert Hamming()(labels, predicted) == (2 + 1 + 0 + 1) / 2
    assert Hamming()(labels, predicted, MASK) == (2 + 0 + 1) / 2
    assert Hamming(0.25)(labels, predicted) == (2 + 0 + 0 + 2) / 2


def test_mean_squared_error():
    rnd = np.random.RandomState(0)
    t, p = rnd.randn(4, 3), rnd.randn(4, 3)
    assert MeanSquaredError()(t, p) == pytest.approx(0.5 * ((t - p) ** 2).sum())
    assert MeanSquaredError()(t, p, MASK) == pytest.approx(0.5 * ((t - p) ** 2 * MASK).sum())


@pytest.mark.parametrize('scorer', [Accuracy(), Hamming(), MeanSquaredError()])
def test_shapes_that_do_not_fit(scorer):
    with pytest.raises(ValueError, match=scorer.__name__):
        scorer(np.zeros((4, 2)), np.zeros((4, 5)))


def test_aggregate_divides_the_sums():
    assert Scorer.aggregate([(2, 1), (6, 5)]) == 0.75
    assert math.isnan(Scorer.aggregate([]))
    assert math.isnan(Scorer.aggregate([(0, 0)]))


def test_evaluate_averages_over_batches_of_different_size():
    net = mlp()
    data = random_batch(batch_size=7)
    p = mlp_predictions(net, data['default'])
    targets = data['targets'][..., 0]
    expected = -np.log(np.take_along_axis(p, data['targets'], axis=-1)).mean()
    result = bs.tools.evaluate(net, bs.Minibatches(3, **data), [Accuracy(name='right')])
    assert list(result) == ['total_loss', 'right']
    assert result['total_loss'] == pytest.approx(expected)
    assert result['right'] == pytest.approx((p.argmax(-1) == targets).mean())


class Recorder(Scorer):
    """Keeps what it is called with."""

    def __call__(self, true_labels, predicted, mask=None):
        self.seen = true_labels, predicted, mask
        return 0.0


def masked_net():
    """A Recurrent layer whose Input has a mask and other targets beside."""
    inp = layers.Input({'default': ('T', 'B', 2), 'targets': ('T', 'B', 1),
                        'others': ('T', 'B', 1), 'mask': ('T', 'B', 1)})
    out = layers.SoftmaxCE(name='Output')
    inp >> layers.Recurrent(3, name='R') >> out - 'loss' >> layers.Loss()
    inp - 'targets' >> 'targets' - out
    net = bs.Network.from_layer(out)
    net.set_handler(NumpyHandler(np.float64))
    net.initialize(bs.Gaussian(), seed=1)
    rnd = np.random.RandomState(0)
    data = {'default': rnd.randn(3, 2, 2), 'targets': rnd.randint(0, 3, (3, 2, 1)),
            'others': rnd.rand(3, 2, 1), 'mask': rnd.randint(0, 2, (3, 2, 1))}
    return net, data


def test_masks_weigh_and_names_of_the_scorer_come_first():
    net, data = masked_net()
    iterator = bs.Undivided(**data)
    recorder = Recorder(targets_name='others')
    bs.tools.evaluate(net, iterator, [recorder], targets_name='targets', mask_name='mask')
    assert np.array_equal(recorder.seen[0], data['others'].reshape(6, 1))
    assert np.array_equal(recorder.seen[1], net.get('Output.outputs.predictions').reshape(6, 3))
    assert np.array_equal(recorder.seen[2], data['mask'].reshape(6, 1))
    recorder = Recorder(targets_name='', out_name='R.outputs.default')
    bs.tools.evaluate(net, iterator, [recorder], targets_name='others')
    assert np.array_equal(recorder.seen[0], data['others'].reshape(6, 1))
    assert recorder.seen[2] is None
    accuracy = bs.tools.evaluate(net, iterator, [Accuracy(mask_name='mask')])['Accuracy']
    right = net.get('Output.outputs.predictions').argmax(-1) == data['targets'][..., 0]
    assert accuracy == pytest.approx(right[data['mask'][..., 0] == 1].mean())


def test_the_output_to_score_is_found_or_asked_for():
    net = mlp()
    data = bs.Undivided(**random_batch())
    assert 'Accuracy' in bs.tools.evaluate(net, data, [Accuracy()])
    net.output_name = 'H.outputs.nothing'
    with pytest.raises(KeyError, match='H.outputs.nothing'):
        bs.tools.evaluate(net, data, [Accuracy()])
    plain = bs.Network.from_layer(
        layers.Input({'default': ('T', 'B', 2)}) >> layers.FullyConnected(1) >> layers.Loss())
    with pytest.raises(ValueError, match='FullyConnected.outputs.default'):
        bs.tools.evaluate(plain, bs.Undivided(default=np.ones((1, 2, 2))), [Accuracy()])


def test_unknown_targets_and_masks_are_named():
    net = classifier()
    net.initialize(0)
    with pytest.raises(KeyError, match="Input.outputs.goals"):
        bs.tools.evaluate(net, bs.Undivided(**random_batch()), [Accuracy(targets_name='goals')])


def test_scorers_have_names_of_their_own():
    twins = [bs.scorers.Accuracy(), bs.scorers.Accuracy(out_name='Output.outputs.predictions')]
    with pytest.raises(ValueError, match="several scorers are called 'Accuracy'"):
        bs.hooks.MonitorScores('valid', twins)
    twins[1].__name__ = 'other'
    assert bs.hooks.MonitorScores('valid', twins).scorers == twins


def test_weights_are_added_without_rounding():
    class Weight(Scorer):
        def __call__(self, true_labels, predicted, mask=None):
            return 0.0

        @staticmethod
        def aggregate(errors):
            return sum(weight for weight, _ in errors)

    net = bs.tools.create_net_from_spec('classification', 4, 2, '', mask_name='mask')
    large = 2.0 ** 23 + 1  # of which float32 cannot hold the double
    batches = bs.Minibatches(1, default=np.zeros((1, 3, 4)), targets=np.zeros((1, 3, 1)),
                             mask=np.full((1, 3, 1), large))
    assert bs.tools.evaluate(net, batches, [Weight(mask_name='mask')])['Weight'] == 3 * large
