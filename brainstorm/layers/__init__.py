"""The layers. Each function makes a layer to be wired with `>>` and `-`.

Shapes are (T, B, ...): time steps, sequences, features; images are (T, B, height, width, channels).
`act` stands for one of the activations 'rel', 'tanh', 'sigmoid', 'el' and 'linear'. Unless another
name is given, a layer is called like its type.
"""

from typing import Any

from brainstorm.layers.base_layer import builtin_layers
from brainstorm.layers.recurrent import (
    Bidirectional, Clockwork, ClockworkLstm, Gru, Lstm, LstmOpt, Recurrent, Reverse)
from brainstorm.structure.construction import ConstructionWrapper

__all__ = [
    'BatchNorm', 'Bidirectional', 'BinomialCrossEntropy', 'Clockwork', 'ClockworkLstm',
    'Convolution2D', 'DeltasScaling', 'Dropout', 'Elementwise', 'Embedding', 'FullyConnected',
    'GlobalPooling2D', 'Gru', 'Highway', 'Input', 'L1Decay', 'L2Decay', 'LayerNorm', 'Loss', 'Lstm',
    'LstmOpt', 'Mask', 'Merge', 'NoOp', 'Pooling2D', 'Recurrent', 'Reverse', 'SigmoidCE',
    'SoftmaxCE', 'SquaredDifference', 'SquaredError', 'SquaredLoss',
]


def Input(out_shapes: dict[str, Any]) -> ConstructionWrapper:
    """What is fed in from outside. Every network has exactly one, and it is called `Input`.

    Args:
        out_shapes (dict[str, tuple]): shapes of the data by name, for example
            {'default': ('T', 'B', 784), 'targets': ('T', 'B', 1)}; each is an output.
    """
    return ConstructionWrapper.create('Input', out_shapes=out_shapes)


def FullyConnected(size: int | tuple[int, ...] | None = None, activation: str = 'rel',
                   name: str | None = None) -> ConstructionWrapper:
    """act(W x + bias), the input flattened.

    Parameters: W (out, in), bias (out).

    Args:
        size (int | tuple[int] | None): feature shape of the output; None: that of the input.
        activation (str): act.
    """
    return ConstructionWrapper.create('FullyConnected', name=name, size=size,
                                      activation=activation)


def Convolution2D(num_filters: int, kernel_size: tuple[int, int], stride: tuple[int, int] = (1, 1),
                  padding: int = 0, activation: str = 'rel',
                  name: str | None = None) -> ConstructionWrapper:
    """act(W * x + bias) with the cross-correlation *; (H, W, C) becomes (H', W', num_filters).

    H' = (H + 2 padding - kernel height) // stride + 1, W' likewise.
    Parameters: W (num_filters, kernel height, kernel width, C), bias (num_filters).

    Args:
        num_filters (int): channels of the output.
        kernel_size (tuple[int]): height and width of the filters.
        stride (tuple[int]): vertical and horizontal step.
        padding (int): rows and columns of zeros put on each side.
        activation (str): act.
    """
    return ConstructionWrapper.create(
        'Convolution2D', name=name, num_filters=num_filters, kernel_size=kernel_size,
        stride=stride, padding=padding, activation=activation)


def Pooling2D(kernel_size: tuple[int, int], type: str = 'max', stride: tuple[int, int] = (1, 1),
              padding: int = 0, name: str | None = None) -> ConstructionWrapper:
    """The largest or the mean entry of each window, channel by channel.

    Padding never is the largest entry and does not count for the mean.
    Internals: argmax, for type 'max', which in float32 wants images of at most 2**24 values.

    Args:
        kernel_size (tuple[int]): height and width of the window.
        type (str): 'max' or 'avg'.
        stride (tuple[int]): vertical and horizontal step.
        padding (int): rows and columns put on each side.
    """
    return ConstructionWrapper.create('Pooling2D', name=name, kernel_size=kernel_size, type=type,
                                      stride=stride, padding=padding)


def GlobalPooling2D(type: str = 'max', name: str | None = None) -> ConstructionWrapper:
    """The largest or the mean entry of each channel over the whole image; (H, W, C) becomes (C,).

    Internals: argmax (C,), for type 'max', which in float32 wants images of at most 2**24 values.

    Args:
        type (str): 'max' or 'avg'.
    """
    return ConstructionWrapper.create('GlobalPooling2D', name=name, type=type)


def BatchNorm(name: str | None = None, decay: float = 0.9,
              epsilon: float = 1e-5) -> ConstructionWrapper:
    """Batch normalization over all but the last dimension: gamma (x - mean) / std + beta.

    Training uses mean and std of the batch and keeps running ones, which inference uses:
    running = decay running + (1 - decay) of the batch.
    Parameters (C,): gamma, beta, mu (the NEGATIVE running mean) and sigma (the running std); the
    last two have no gradient. Internals: sigma_b (C,), centered, x_hat.

    Reference: S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift", arXiv:1502.03167, 2015.

    Args:
        decay (float): how much of the running statistics stays at each step.
        epsilon (float): added to the variance.
    """
    return ConstructionWrapper.create('BatchNorm', name=name, decay=decay, epsilon=epsilon)


def LayerNorm(name: str | None = None, epsilon: float = 1e-5) -> ConstructionWrapper:
    """Layer normalization over the last dimension: gamma (x - mean) / sqrt(var + epsilon) + beta.

    Mean and (biased) variance are those of each row of the last dimension by itself, in training
    and inference alike. Parameters (C,): gamma, beta. Internals: sigma_b (..., 1), x_hat (..., C).

    Reference: J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization", arXiv:1607.06450,
    2016.

    Args:
        epsilon (float): added to the variance; above 0.
    """
    return ConstructionWrapper.create('LayerNorm', name=name, epsilon=epsilon)


def Dropout(drop_prob: float = 0.5, name: str | None = None) -> ConstructionWrapper:
    """In training sets inputs to 0 with probability drop_prob and scales the others up.

    y = x mask / (1 - drop_prob); in inference y = x. Internals: mask.

    Reference: N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15, 2014.

    Args:
        drop_prob (float): probability in [0, 1) of an input to be dropped.
    """
    return ConstructionWrapper.create('Dropout', name=name, drop_prob=drop_prob)


def Elementwise(activation: str = 'rel', name: str | None = None) -> ConstructionWrapper:
    """act(x)."""
    return ConstructionWrapper.create('Elementwise', name=name, activation=activation)


def Embedding(vocab_size: int, size: int, name: str | None = None) -> ConstructionWrapper:
    """Looks up a row of W for each id: (..., 1) becomes (..., size).

    Ids are whole numbers from 0 to vocab_size - 1; anything else is an IndexError at the pass.
    No deltas flow to them. The gradient of W is the sum of the deltas of each row, wherever it was
    used. Parameters: W (vocab_size, size), one row per id.

    Args:
        vocab_size (int): number of ids.
        size (int): features of each row.
    """
    return ConstructionWrapper.create('Embedding', name=name, vocab_size=vocab_size, size=size)


def Highway(name: str | None = None) -> ConstructionWrapper:
    """Highway connection: T H + (1 - T) x, elementwise.

    Inputs, all of one shape: `H` (the transformed data), `T` (the gate, in [0, 1]) and `x` (what is
    carried on).

    Reference: R. Srivastava, K. Greff and J. Schmidhuber, "Highway Networks", arXiv:1505.00387,
    2015.
    """
    return ConstructionWrapper.create('Highway', name=name)


def Mask(name: str | None = None) -> ConstructionWrapper:
    """Multiplies the input by a mask.

    Inputs: default (..., C); mask of shape (1,), one number for each sequence and step, or (..., 1)
    or (..., C). No deltas flow to the mask.
    """
    return ConstructionWrapper.create('Mask', name=name)


def Merge(name: str | None = None) -> ConstructionWrapper:
    """Joins `inputs_1` and `inputs_2` along the last dimension."""
    return ConstructionWrapper.create('Merge', name=name)


def NoOp(name: str | None = None) -> ConstructionWrapper:
    """Passes its input on unchanged."""
    return ConstructionWrapper.create('NoOp', name=name)


def DeltasScaling(factor: float, name: str | None = None) -> ConstructionWrapper:
    """Passes its input on unchanged, and multiplies the deltas on their way back by a factor.

    Args:
        factor (float): any finite number; a negative one reverses the gradient.
    """
    return ConstructionWrapper.create('DeltasScaling', name=name, factor=factor)


def SoftmaxCE(name: str | None = None) -> ConstructionWrapper:
    """Softmax over the last dimension and the cross entropy with class ids.

    Inputs: default (..., C), targets (..., 1) with ids from 0 to C - 1.
    Outputs: predictions (..., C), loss (..., 1) = -ln(clip(predictions[target], 1e-6, 1)).
    Deltas flow from the loss only, and not to the targets. Internals: t_bin.
    """
    return ConstructionWrapper.create('SoftmaxCE', name=name)


def SigmoidCE(name: str | None = None) -> ConstructionWrapper:
    """Sigmoid and the cross entropy with targets in [0, 1], elementwise.

    Inputs: default x and targets t of one shape. Outputs of that shape: predictions y = sigmoid(x),
    loss = -(t ln(y) + (1 - t) ln(1 - y)) with y and 1 - y clipped to [1e-6, 1].
    Deltas flow from the loss only, and not to the targets. Internals: dcee.
    """
    return ConstructionWrapper.create('SigmoidCE', name=name)


def BinomialCrossEntropy(name: str | None = None) -> ConstructionWrapper:
    """Cross entropy of probabilities with targets in [0, 1], summed over all features.

    Inputs: default y and targets t of one shape. Output: default (1,), the sum of
    -(t ln(y) + (1 - t) ln(1 - y)) with y and 1 - y clipped to [1e-6, 1].
    No deltas flow to the targets. Internals: cee, ceed.
    """
    return ConstructionWrapper.create('BinomialCrossEntropy', name=name)


def SquaredError(name: str | None = None) -> ConstructionWrapper:
    """Half of the squared difference.

    Inputs: default and targets of one shape. Outputs: predictions (the input), loss = diff**2 / 2.
    Deltas flow from the loss only, and not to the targets. Internals: diff.
    """
    return ConstructionWrapper.create('SquaredError', name=name)


SquaredLoss = SquaredError


def SquaredDifference(name: str | None = None) -> ConstructionWrapper:
    """(inputs_1 - inputs_2)**2, elementwise; both of one shape. Internals: diff."""
    return ConstructionWrapper.create('SquaredDifference', name=name)


def L1Decay(name: str | None = None) -> ConstructionWrapper:
    """Sum of |x| over all features. Output: loss (1,). Internals: tmp."""
    return ConstructionWrapper.create('L1Decay', name=name)


def L2Decay(name: str | None = None) -> ConstructionWrapper:
    """Half the sum of x**2 over all features. Output: loss (1,).

    Internals: tmp, dsq_activations.
    """
    return ConstructionWrapper.create('L2Decay', name=name)


def Loss(importance: float = 1.0, name: str | None = None) -> ConstructionWrapper:
    """A value to be minimized: importance / B times the sum of the input.

    A network minimizes the sum of all its Loss layers.

    Args:
        importance (float): factor of this loss.
    """
    return ConstructionWrapper.create('Loss', name=name, importance=importance)


globals().update(builtin_layers)  # FullyConnectedLayerImpl and so on
