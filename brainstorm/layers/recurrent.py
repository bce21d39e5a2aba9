"""Layers that run over time.

x is the input of a step, flattened, y its output; y' and c' are those of the step before. Before
the first step they are zero, or what `Network.forward_pass(context=...)` gives.
"""

from brainstorm.structure.construction import BidirectionalWrapper, ConstructionWrapper

__all__ = ['Bidirectional', 'Clockwork', 'ClockworkLstm', 'Gru', 'Lstm', 'LstmOpt', 'Recurrent',
           'Reverse']


def Recurrent(size: int, activation: str = 'tanh', name: str | None = None) -> ConstructionWrapper:
    """Simple recurrent layer: y = act(Ha) with Ha = W x + R y' + bias.

    Parameters: W (size, in), R (size, size), bias (size). Internals: Ha, dHa, dHb.

    Args:
        size (int): number of units.
        activation (str): act.
    """
    return ConstructionWrapper.create('Recurrent', name=name, size=size, activation=activation)


def Lstm(size: int, activation: str = 'tanh', name: str | None = None) -> ConstructionWrapper:
    """Long short-term memory with peepholes.

    z = act(Wz x + Rz y' + bz), i = sigmoid(Wi x + Ri y' + pi c' + bi),
    f = sigmoid(Wf x + Rf y' + pf c' + bf), c = i z + f c',
    o = sigmoid(Wo x + Ro y' + po c + bo), y = o act(c).

    Parameters: Wz Wi Wf Wo (size, in), pi pf po (1, size), Rz Ri Rf Ro (size, size),
    bz bi bf bo (size). Internals: Za Ia Fa Oa, the gates before, and Zb Ib Fb Ob, after their
    activations; Ca = c, Cb = act(c); and their deltas dZa ... dCb.

    References: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9,
    1997; peepholes: F. Gers, N. Schraudolph and J. Schmidhuber, "Learning Precise Timing with LSTM
    Recurrent Networks", JMLR 3, 2002.

    Args:
        size (int): number of cells.
        activation (str): act.
    """
    return ConstructionWrapper.create('Lstm', name=name, size=size, activation=activation)


def LstmOpt(size: int, activation: str = 'tanh', name: str | None = None) -> ConstructionWrapper:
    """An `Lstm` with fewer, larger parameters: the gates z, i, f, o are blocks of rows.

    Parameters: W (4 size, in), R (4 size, size), p (3, size) for i, f, o, b (4 size); the
    initializer `LstmOptInit` fills the blocks. Internals: Ga Gb (4 size), the gates before and
    after their activations, Ca Cb, and their deltas.

    Args:
        size (int): number of cells.
        activation (str): act.
    """
    return ConstructionWrapper.create('LstmOpt', name=name, size=size, activation=activation)


def Gru(size: int, activation: str = 'tanh', name: str | None = None) -> ConstructionWrapper:
    """Gated recurrent unit, in the variant whose reset gate acts behind the recurrent product.

    r = sigmoid(Wr x + Rr y' + br), z = sigmoid(Wz x + Rz y' + bz),
    h = act(Wh x + bh + r (Rh y' + bs)), y = (1 - z) h + z y'.
    This is the variant of cuDNN and PyTorch; there br and bz come in two parts.

    Parameters: Wh Wr Wz (size, in), Rr Rz Rh (size, size), bh br bz bs (size). Internals: Ha Ra Za
    before and Hb Rb Zb after the activations, S = Rh y' + bs, and their deltas dHa ... dZb.

    Reference: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
    Statistical Machine Translation", arXiv:1406.1078v1, 2014.

    Args:
        size (int): number of units.
        activation (str): act.
    """
    return ConstructionWrapper.create('Gru', name=name, size=size, activation=activation)


def Clockwork(size: int, activation: str = 'tanh', name: str | None = None) -> ConstructionWrapper:
    """A `Recurrent` layer whose units have clocks.

    Unit j computes at steps t with fmod(t, timing[j]) = 0 and keeps its output in between; t counts
    from 0 in each pass, and all units compute at step 0.

    Parameters: as Recurrent, and timing (size), which has no gradient and must be above 0:
    initialize it, for example with `{'Clockwork': {'timing': [1, 1, 2, 4]}}`.

    Reference: J. Koutnik, K. Greff, F. Gomez and J. Schmidhuber, "A Clockwork RNN", ICML 2014.

    Args:
        size (int): number of units.
        activation (str): act.
    """
    return ConstructionWrapper.create('Clockwork', name=name, size=size, activation=activation)


def ClockworkLstm(size: int, activation: str = 'tanh',
                  name: str | None = None) -> ConstructionWrapper:
    """An `Lstm` whose cells have clocks, as the units of `Clockwork`.

    Between the ticks of its clock a cell keeps c and y; the gates are computed at every step.

    Parameters: as Lstm, and timing (size), which has no gradient and must be above 0.

    Args:
        size (int): number of cells.
        activation (str): act.
    """
    return ConstructionWrapper.create('ClockworkLstm', name=name, size=size, activation=activation)


def Reverse(name: str | None = None) -> ConstructionWrapper:
    """Each sequence from its end to its beginning.

    Inputs: default (T, B, ...), and, if wired, mask (T, B, 1): a sequence ends with its last step
    whose mask is not 0, and the steps behind its end stay where they are. The mask gets no deltas.
    """
    return ConstructionWrapper.create('Reverse', name=name)


def Bidirectional(layer: ConstructionWrapper) -> ConstructionWrapper:
    """A recurrent layer that reads each sequence in both directions.

    Makes two copies of `layer`, called NAME_forward and NAME_backward, of which the second sees the
    steps in reverse; at each step the output is what the first has seen from the beginning and what
    the second has seen from the end, joined along the last dimension. If the data have sequences of
    different length, wire their mask to the input `mask`: sequences are then reversed by length.

    Reference: M. Schuster and K. Paliwal, "Bidirectional Recurrent Neural Networks", IEEE
    Transactions on Signal Processing 45, 1997.

    Args:
        layer: a layer that is not wired yet, for example `Lstm(100)`. It is not used itself.

    Raises:
        TypeError: not a layer, or one that is bidirectional itself.
        LayerValidationError: the layer is wired already.

    Example:
        >>> both = Bidirectional(Lstm(100))
        >>> inp - 'mask' >> 'mask' - both
        >>> inp >> both >> out
    """
    return BidirectionalWrapper(layer)
