"""Steppers run a network on the data it holds and update its parameters once."""

from brainstorm import _core
from brainstorm.describable import Describable, DescribedByArguments
from brainstorm.structure.network import Network
from brainstorm.utils import check_number, check_type

__all__ = ['MomentumStepper', 'NesterovStepper', 'SgdStepper', 'TrainingStepper']


class TrainingStepper(Describable):
    """Base class of steppers.

    Attributes:
        net (Network | None): what is trained; None before `start`.
    """

    __undescribed__ = {'net': None}

    def __init__(self):
        self.net = None

    def start(self, net):
        """Prepare to train the Network `net`, from scratch. TypeError for anything else."""
        self.net = check_type(type(self).__name__, 'net', net, Network)

    def run(self):
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
    """An option that is a number. A bool is refused."""

    def __set__(self, stepper, value):
        super().__set__(stepper, check_number(type(stepper).__name__, self.name, value))


class _EngineStepper(DescribedByArguments, TrainingStepper):
    """A stepper of the engine: `run` is one call into it."""

    core_type = None
    options = ()

    def __init__(self, **options):
        super().__init__()
        self._core = _core.Stepper(self.core_type)
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
        for name in self.options:
            value = getattr(self, name)
            if name not in self.__default_values__ or value != self.__default_values__[name]:
                description[name] = value
        return description

    def __repr__(self):
        options = ', '.join(f'{name}={getattr(self, name)!r}' for name in self.options)
        return f'{type(self).__name__}({options})'

    def __getstate__(self):
        state = self._core.state()
        return {'net': self.net, 'state': None if state is None else state.copy(),
                'options': {name: getattr(self, name) for name in self.options}}

    def __setstate__(self, state):
        self.__init__(**state['options'])
        if state['net'] is not None:
            self.start(state['net'])
            self._core.state()[...] = state['state']


class SgdStepper(_EngineStepper):
    """Stochastic gradient descent: p += update with update = -learning_rate * gradient.

    Attributes:
        learning_rate (float): may be changed between updates.
        update (array | None): the last update of all parameters; None before `start`.
    """

    core_type = 'Sgd'
    options = ('learning_rate',)
    learning_rate = _Number()

    def __init__(self, learning_rate=0.1):
        super().__init__(learning_rate=learning_rate)

    @property
    def update(self):
        """Live array of the last update of all parameters, flat; None before `start`."""
        return self._core.state()


class _MomentumBase(_EngineStepper):
    __default_values__ = {'scale_learning_rate': True}
    options = ('learning_rate', 'momentum', 'scale_learning_rate')
    learning_rate = _Number()
    momentum = _Number()
    scale_learning_rate = _Option()

    def __init__(self, learning_rate=0.1, momentum=0.0, scale_learning_rate=True):
        super().__init__(learning_rate=learning_rate, momentum=momentum,
                         scale_learning_rate=scale_learning_rate)

    @property
    def velocity(self):
        """Live array of the velocity of all parameters, flat; None before `start`."""
        return self._core.state()


class MomentumStepper(_MomentumBase):
    """Gradient descent with momentum: v = momentum * v - rate * gradient; p += v.

    rate is learning_rate * (1 - momentum), or learning_rate if `scale_learning_rate` is False.

    Attributes:
        learning_rate (float), momentum (float), scale_learning_rate (bool): may be changed
            between updates.
        velocity (array | None): v of all parameters, 0 after `start`; None before it.
    """

    core_type = 'Momentum'


class NesterovStepper(_MomentumBase):
    """Gradient descent with Nesterov's momentum.

    v = momentum * v; p += v; the gradient is taken there; v -= rate * gradient;
    p -= rate * gradient. Arguments and attributes are those of `MomentumStepper`.

    Reference: I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization
    and momentum in deep learning", ICML 2013.
    """

    core_type = 'Nesterov'


ENGINE_STEPPERS = {MomentumStepper, NesterovStepper, SgdStepper}
"""Steppers whose `run` never leaves the engine."""
