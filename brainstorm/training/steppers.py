"""Steppers run a network on the data it holds and update its parameters once."""

from brainstorm import _core
from brainstorm.checks import LARGEST, check_flag, check_number, check_type
from brainstorm.describable import Describable, DescribedByArguments
from brainstorm.structure.network import Network

__all__ = ['AdadeltaStepper', 'AdagradStepper', 'AdamStepper', 'ForwardStepper', 'MomentumStepper',
           'NesterovStepper', 'RmsPropStepper', 'SgdStepper', 'TrainingStepper']


class TrainingStepper(Describable):
    """Base class of steppers.

    Attributes:
        net (Network | None): what is trained; None before `start`.
    """

    __undescribed__ = {'net': None}

    def __init__(self) -> None:
        self.net = None

    def start(self, net: Network) -> None:
        """Prepare to train the Network `net`, from scratch. TypeError for anything else."""
        self.net = check_type(type(self).__name__, 'net', net, Network)

    def run(self) -> None:
        """One forward pass, one backward pass, one update. Returns None."""
        raise NotImplementedError(f"{type(self).__name__} does not define run()")


class _Option:
    """An attribute that lives in the engine's stepper."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, stepper, owner=None):
        return self if stepper is None else stepper._core.get_option(self.name)

    def __set__(self, stepper, value):
        stepper._core.set_option(self.name, value)


class _Number(_Option):
    """An option that is a number from `low` to `high`. A bool is refused."""

    def __init__(self, low=-LARGEST, high=LARGEST):
        self.bounds = low, high

    def __set__(self, stepper, value):
        super().__set__(stepper, check_number(type(stepper).__name__, self.name, value,
                                              *self.bounds))


class _Flag(_Option):
    """An option that is a bool."""

    def __set__(self, stepper, value):
        super().__set__(stepper, check_flag(type(stepper).__name__, self.name, value))


class _State:
    """An attribute that shows a vector of the engine's stepper: live, None before `start`."""

    def __init__(self, index=0):
        self.index = index

    def __get__(self, stepper, owner=None):
        return self if stepper is None else stepper._core.state(self.index)


class _EngineStepper(DescribedByArguments, TrainingStepper):
    """A stepper of the engine: `run` is one call into it."""

    _core_type: str
    _options: tuple[str, ...] = ()

    def __init__(self, **options):
        super().__init__()
        self._core = _core.Stepper(self._core_type)
        for name, value in options.items():
            setattr(self, name, value)

    def start(self, net):
        check_type(type(self).__name__, 'net', net, Network)
        self._core.start(net._core)
        super().start(net)

    def run(self):
        if self.net is None:
            raise RuntimeError(f"{type(self).__name__}: start(net) must come before run()")
        self._core.run()

    def __describe__(self):
        description = {'@type': type(self).__name__}
        for name in self._options:
            value = getattr(self, name)
            if name not in self.__default_values__ or value != self.__default_values__[name]:
                description[name] = value
        return description

    def __repr__(self):
        options = ', '.join(f'{name}={getattr(self, name)!r}' for name in self._options)
        return f'{type(self).__name__}({options})'

    def __getstate__(self):
        return {'net': self.net, 'updates': self._core.updates,
                'states': [state.copy() for state in self._states()],
                'options': {name: getattr(self, name) for name in self._options}}

    def __setstate__(self, state):
        self.__init__(**state['options'])
        if state['net'] is not None:
            self.start(state['net'])
            self._core.updates = state['updates']
            for own, saved in zip(self._states(), state['states']):
                own[...] = saved

    def _states(self):
        states = (self._core.state(i) for i in range(2))
        return [state for state in states if state is not None]


class SgdStepper(_EngineStepper):
    """Stochastic gradient descent: p += update with update = -learning_rate * gradient.

    Attributes:
        learning_rate (float): may be changed between updates.
        update (array | None): the last update of all parameters; None before `start`.
    """

    _core_type = 'Sgd'
    _options = ('learning_rate',)
    learning_rate = _Number()

    update = _State()

    def __init__(self, learning_rate: float = 0.1):
        super().__init__(learning_rate=learning_rate)


class _MomentumBase(_EngineStepper):
    __default_values__ = {'scale_learning_rate': True}
    _options = ('learning_rate', 'momentum', 'scale_learning_rate')
    learning_rate = _Number()
    momentum = _Number()
    scale_learning_rate = _Flag()
    velocity = _State()

    def __init__(self, learning_rate: float = 0.1, momentum: float = 0.0,
                 scale_learning_rate: bool = True):
        super().__init__(learning_rate=learning_rate, momentum=momentum,
                         scale_learning_rate=scale_learning_rate)


class MomentumStepper(_MomentumBase):
    """Gradient descent with momentum: v = momentum * v - rate * gradient; p += v.

    rate is learning_rate * (1 - momentum), or learning_rate if `scale_learning_rate` is False.

    Attributes:
        learning_rate (float), momentum (float), scale_learning_rate (bool): may be changed
            between updates.
        velocity (array | None): v of all parameters, 0 after `start`; None before it.
    """

    _core_type = 'Momentum'


class NesterovStepper(_MomentumBase):
    """Gradient descent with Nesterov's momentum.

    v = momentum * v; p += v; the gradient is taken there; v -= rate * gradient;
    p -= rate * gradient. Arguments and attributes are those of `MomentumStepper`.

    Reference: I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization
    and momentum in deep learning", ICML 2013.
    """

    _core_type = 'Nesterov'


class RmsPropStepper(_EngineStepper):
    """Gradient descent with rates by the root of a running mean of squared gradients.

    s = decay s + (1 - decay) g**2; v = momentum v - learning_rate g / (sqrt(s) + epsilon); p += v.

    Reference: T. Tieleman and G. Hinton, "Lecture 6.5 - rmsprop", Neural Networks for Machine
    Learning, 2012.

    Attributes:
        learning_rate (float), decay (float in [0, 1]), epsilon (float >= 0), momentum (float): may
            be changed between updates.
        velocity, squares (array | None): v and s of all parameters, 0 after `start`.
    """

    _core_type = 'RmsProp'
    _options = ('learning_rate', 'decay', 'epsilon', 'momentum')
    learning_rate = _Number()
    decay = _Number(0, 1)
    epsilon = _Number(0)
    momentum = _Number()
    velocity = _State(0)
    squares = _State(1)

    def __init__(self, learning_rate: float = 0.001, decay: float = 0.9, epsilon: float = 1e-8,
                 momentum: float = 0.0):
        super().__init__(learning_rate=learning_rate, decay=decay, epsilon=epsilon,
                         momentum=momentum)


class AdamStepper(_EngineStepper):
    """Gradient descent with running means of the gradient and of its square, and weight decay.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g**2;
    p -= learning_rate weight_decay p;
    p -= learning_rate (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon), t = 1, 2, ...

    The decay is that of AdamW. Parameters without gradient (the running statistics of BatchNorm,
    the timing of Clockwork) do not decay.

    References: D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015;
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Attributes:
        learning_rate (float), beta1, beta2 (floats in [0, 1)), epsilon (float >= 0), weight_decay
            (float >= 0): may be changed between updates.
        first_moment, second_moment (array | None): m and v of all parameters, 0 after `start`.
    """

    _core_type = 'Adam'
    _options = ('learning_rate', 'beta1', 'beta2', 'epsilon', 'weight_decay')
    learning_rate = _Number()
    beta1 = _Number(0, 1 - 2 ** -53)
    beta2 = _Number(0, 1 - 2 ** -53)
    epsilon = _Number(0)
    weight_decay = _Number(0)
    first_moment = _State(0)
    second_moment = _State(1)

    def __init__(self, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, weight_decay: float = 0.0):
        super().__init__(learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon,
                         weight_decay=weight_decay)


class AdagradStepper(_EngineStepper):
    """Gradient descent with rates by the root of the sum of all squared gradients.

    s += g**2; p -= learning_rate g / (sqrt(s) + epsilon).

    Reference: J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods for Online Learning
    and Stochastic Optimization", JMLR 12, 2011.

    Attributes:
        learning_rate (float), epsilon (float >= 0): may be changed between updates.
        squares (array | None): s of all parameters, 0 after `start`.
    """

    _core_type = 'Adagrad'
    _options = ('learning_rate', 'epsilon')
    learning_rate = _Number()
    epsilon = _Number(0)
    squares = _State()

    def __init__(self, learning_rate: float = 0.01, epsilon: float = 1e-8):
        super().__init__(learning_rate=learning_rate, epsilon=epsilon)


class AdadeltaStepper(_EngineStepper):
    """Gradient descent whose rates come from past gradients and past updates alone.

    s = decay s + (1 - decay) g**2; u = sqrt(d + epsilon) / sqrt(s + epsilon) g;
    d = decay d + (1 - decay) u**2; p -= learning_rate u.

    Reference: M. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701, 2012, where
    the learning rate is 1.

    Attributes:
        learning_rate (float), decay (float in [0, 1]), epsilon (float >= 0): may be changed between
            updates.
        squares, squared_updates (array | None): s and d of all parameters, 0 after `start`.
    """

    _core_type = 'Adadelta'
    _options = ('learning_rate', 'decay', 'epsilon')
    learning_rate = _Number()
    decay = _Number(0, 1)
    epsilon = _Number(0)
    squares = _State(0)
    squared_updates = _State(1)

    def __init__(self, learning_rate: float = 1.0, decay: float = 0.95, epsilon: float = 1e-6):
        super().__init__(learning_rate=learning_rate, decay=decay, epsilon=epsilon)


class ForwardStepper(DescribedByArguments, TrainingStepper):
    """Runs the forward pass alone and changes nothing.

    Args:
        use_training_pass (bool): run it as in training, with Dropout for example.
    """

    def __init__(self, use_training_pass: bool = False):
        super().__init__()
        self.use_training_pass = check_flag('ForwardStepper', 'use_training_pass',
                                            use_training_pass)

    def run(self):
        if self.net is None:
            raise RuntimeError("ForwardStepper: start(net) must come before run()")
        self.net.forward_pass(training_pass=self.use_training_pass)


ENGINE_STEPPERS = {AdadeltaStepper, AdagradStepper, AdamStepper, MomentumStepper, NesterovStepper,
                   RmsPropStepper, SgdStepper}
"""Steppers whose `run` never leaves the engine."""
