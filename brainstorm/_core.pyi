"""The engine. Everything that computes is here; the package around it wires, schedules, describes.

A *spec* of a buffer is the tuple ``(shape, context_size, is_backward_only)`` with ``shape`` as
users write it: ``('T', 'B', 10)``, ``('B', 3)`` or ``(5, 7)``.
"""

from typing import Any, Callable, Mapping, Optional, Sequence, Union

import numpy as np

Spec = tuple[tuple[Union[int, str], ...], int, bool]

class ValidationError(ValueError): ...
class NetworkValidationError(ValidationError): ...
class LayerValidationError(ValidationError): ...

# ---- the machine ----

def set_num_threads(n: int) -> None:
    """Use n threads (1 to 256). Results do not depend on it. ValueError / TypeError otherwise."""

def num_threads() -> int: ...
def info() -> dict[str, Any]:
    """Facts about this machine.

    {'threads': int, 'instruction_set': str, 'instruction_sets': tuple of str,
    'blas': path of the library or 'none', 'handlers': tuple of str}.
    """

def gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs here, by their numbers; none where a library is missing.

    This opens NVIDIA's libraries, which neither importing nor info() does.
    """

def set_host(
    find_library: Callable[[str], str],
    recall: Callable[[str], Optional[bytes]],
    keep: Callable[[str, bytes], None],
) -> None:
    """Whom the engine asks when it opens a GPU.

    find_library gives the path of 'cuda', 'nvrtc', 'cublas' or 'cudnn', or raises with what is to
    be installed. recall and keep store compiled kernels under a text.
    """

def fail_allocation(n: int) -> None:
    """For tests: the n-th allocation of the engine from now on fails; 0: none."""

def allocation_count() -> int:
    """For tests: how many allocations the engine has made so far."""

def live_allocation_count() -> int:
    """For tests: how many of them are not freed."""

operations: tuple[dict[str, Any], ...]
"""Every operation of a handler.

{'name': str, 'formula': str, 'required': bool, 'args': ((name, kind), ...)} with kind one of 'in',
'out', 'inout', 'number', 'int', 'flag', 'axis', 'pair', 'activation', or 'in_if', 'inout_if' for
arrays that may be None.
"""

layer_types: dict[str, dict[str, Any]]
"""Every built-in layer by name: {'inputs': ((port, template), ...), 'options': {name: default}}.

The default of an option that must be given is the object `required`.
"""

required: object

# ---- handlers ----

class RandomStream:
    """A Philox4x32-10 stream: element i of draw n depends on (key, n, i) alone."""

    def __init__(self, key: int = 0) -> None: ...
    @property
    def key(self) -> int: ...
    draw: int  # number of the next draw
    def restart(self, key: int) -> None:
        """Set the key and go back to draw 0."""

class Handler:
    """An opened handler with one method per row of `operations`, which lists the argument names.

    Subclassable. Raises KeyError for an unknown name, TypeError for a dtype that is not float32 or
    float64. For 'cuda' only: `device`, the number of the GPU, and `tf32`; ValueError if there is no
    such GPU, RuntimeError if none can be used.
    """

    def __init__(
        self, name: str, dtype: Any, stream: RandomStream, device: int = 0, tf32: bool = False
    ) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> Any: ...  # numpy.float32 or numpy.float64, the scalar type
    stream: RandomStream  # what generate_probability_mask and fill_gaussian draw from
    def is_fully_finite(self, a: Any) -> bool: ...
    def new_array(self, shape: Union[int, Sequence[int]], dtype: Any) -> GpuArray:
        """Zeros in new memory of the device. TypeError for a handler with NumPy's arrays."""

    def wrap_array(self, array: Any) -> GpuArray:
        """The memory of an array of another library on this device, without a copy."""

class GpuArray:
    """A view of numbers in the memory of a GPU, with any strides. Handlers make them.

    It has the attributes of NumPy's arrays, is indexed by integers, slices and ..., and takes part
    in + - * / with numbers and arrays of its shape and ** with numbers; results are in the dtype of
    its handler. `np.asarray(a)` copies it to the host.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]: ...  # bytes
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def itemsize(self) -> int: ...
    @property
    def ptr(self) -> int: ...  # the address on the device; also `gpudata`
    @property
    def gpudata(self) -> int: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any) -> GpuArray: ...  # a view
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def get(self) -> np.ndarray: ...
    def set(self, ary: Any) -> None: ...  # which is broadcast
    def fill(self, value: float) -> None: ...
    def copy(self) -> GpuArray: ...
    def astype(self, dtype: Any) -> GpuArray: ...
    def reshape(self, *shape: Any) -> GpuArray: ...  # a view
    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray: ...
    def __dlpack__(
        self, *, stream: Optional[int] = None, max_version: Optional[tuple[int, int]] = None,
        dl_device: Optional[tuple[int, int]] = None, copy: Optional[bool] = None
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __add__(self, other: Any) -> GpuArray: ...
    def __sub__(self, other: Any) -> GpuArray: ...
    def __mul__(self, other: Any) -> GpuArray: ...
    def __truediv__(self, other: Any) -> GpuArray: ...
    def __radd__(self, other: Any) -> GpuArray: ...
    def __rsub__(self, other: Any) -> GpuArray: ...
    def __rmul__(self, other: Any) -> GpuArray: ...
    def __rtruediv__(self, other: Any) -> GpuArray: ...
    def __pow__(self, exponent: float) -> GpuArray: ...
    def __neg__(self) -> GpuArray: ...
    def __pos__(self) -> GpuArray: ...
    def __abs__(self) -> GpuArray: ...
    def __float__(self) -> float: ...
    def __bool__(self) -> bool: ...

class DebugHandler(Handler):
    """A Handler that runs the operations of another one and checks every call, also in networks.

    It shares the stream. ValueError or TypeError naming operation and argument: a wrong shape or
    dtype, an output that overlaps another array, a number that is NaN, an array that holds NaN or
    an infinity (before the operation: one that is read; after it: any). TypeError for a handler
    that is a DebugHandler itself.
    """

    def __init__(self, handler: Handler) -> None: ...

# ---- layers and memory by themselves ----

class Layer:
    """A built-in layer outside of any network, with memory of its own.

    Raises LayerValidationError for kwargs and inputs that do not fit.
    """

    def __init__(
        self, type_name: str, name: str, in_specs: dict[str, Spec], kwargs: dict[str, Any]
    ) -> None: ...
    @property
    def info(self) -> dict[str, Any]: ...  # as an entry of Network.layer_infos()
    @property
    def leaves(self) -> list[tuple[int, str, str, Spec]]:
        """(leaf, category, name, spec) of all buffers; category is 'inputs', 'outputs', ..."""

    def forward(
        self, handler: Handler, T: int, B: int, arrays: dict[int, np.ndarray], training: bool
    ) -> dict[int, np.ndarray]:
        """Copy the arrays in, run, and give copies of the same leaves back.

        LayerValidationError for arrays of the wrong shape.
        """

    def backward(
        self, handler: Handler, T: int, B: int, arrays: dict[int, np.ndarray]
    ) -> dict[int, np.ndarray]:
        """Likewise. Adds to deltas and gradients; differentiates the last forward pass."""

Hub = tuple[int, bool, int, int, int, int, int]
"""(scale, is_backward_only, context_size, n_sources, rank, pixels, columns).

For each time step and sequence there are `pixels` rows of `columns` numbers; scale is 0 constant,
1 batch, 2 time.
"""

def create_layout(
    layers: list[tuple[str, dict[str, Spec], dict[str, Spec], dict[str, Spec], dict[str, Spec]]],
    connections: list[tuple[str, str, str, str]],
) -> tuple[list[Hub], list[tuple[Optional[str], str, str, Spec, int, int]]]:
    """From (name, inputs, outputs, parameters, internals) to (hubs, leaves).

    A leaf is (layer, category, name, spec, hub, first column); the first two are the root's
    'parameters' and 'gradients'. NetworkValidationError if sources cannot be joined.
    """

class Buffers:
    """The memory of a layout: leaves are (spec, hub, first column), as create_layout has them.

    ValueError for hubs and leaves that do not fit together.
    """

    def __init__(
        self, hubs: list[Hub], leaves: list[tuple[Spec, int, int]], handler: Handler
    ) -> None: ...
    @property
    def time_steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    def resize(self, T: int, B: int) -> None: ...
    def set_handler(self, handler: Handler) -> None: ...
    def leaf(self, index: int) -> np.ndarray: ...

# ---- networks ----

Factory = Callable[
    [dict[str, Spec]],
    tuple[
        Any,                       # the layer object, kept and handed out by Network.layer_infos
        Sequence[str],             # input ports into which no deltas flow
        Sequence[str],             # parameters without a gradient
        dict[str, Spec],           # outputs
        dict[str, Spec],           # parameters
        dict[str, Spec],           # internals
        Callable[[bool], None],    # forward(training_pass)
        Callable[[], None],        # backward()
    ],
]
"""What makes a layer that is written in Python, given the specs of its inputs.

Deltas and gradients are zeroed before its backward is called.
"""

class Network:
    """A graph of layers, its memory and its program.

    layers: (name, type, kwargs) in any order; type is the name of a built-in or a Factory (then
        kwargs is ignored).
    connections: (start_layer, output_name, end_layer, input_name), in any order. `output_name` may
        be an output's name or '..parameters.NAME' / '..internals.NAME'.
    Raises NetworkValidationError (wiring), LayerValidationError (a layer's kwargs and input
    shapes), and whatever a Factory raises.

    Every method raises RuntimeError when another thread is inside, or when it is called from
    inside a pass.
    `leaf` alone may be called by a Python layer during its own pass.
    """

    def __init__(
        self,
        layers: Sequence[tuple[str, Union[str, Factory], Mapping[str, Any]]],
        connections: Sequence[tuple[str, str, str, str]],
        handler: Handler,
        stream: RandomStream,
    ) -> None: ...
    @property
    def tree(self) -> dict[str, Any]:
        """All buffers by name.

        {'parameters': leaf, 'gradients': leaf, layer: {'inputs': {port: leaf}, 'outputs': ...,
        'parameters': ..., 'internals': ..., 'input_deltas': ..., 'output_deltas': ...,
        'gradients': ...}}, layers in execution order, children in the documented order; a leaf is
        an int for `leaf()`.
        """

    def layer_infos(self) -> list[dict[str, Any]]:
        """All layers in execution order.

        {'name', 'type' (name of the built-in or None), 'object' (of a Factory or None), 'kwargs'
        (with defaults filled in), 'in_shapes', 'out_shapes', 'parameter_shapes',
        'internal_shapes': {name: Spec}, 'inputs_without_deltas', 'outputs_without_deltas' (whose
        deltas the layer ignores), 'without_gradient' (parameters): tuples of names}.
        """

    def parameter_order(self) -> list[tuple[str, str]]:
        """(layer, parameter) in the order of the flat vector."""

    def context_leaves(self) -> list[tuple[str, str, str, int]]:
        """(layer, 'outputs' | 'internals', name, leaf) of all forward buffers with context."""

    def leaf(self, index: int) -> np.ndarray:
        """The live array. Backward memory is made at the first touch.

        RuntimeError for deltas that the last backward pass left out (is_lean).
        """

    @property
    def time_steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def has_run_forward(self) -> bool: ...  # since the network was made or last got a handler
    @property
    def has_run_backward(self) -> bool: ...
    @property
    def handler(self) -> Handler: ...
    def set_handler(self, handler: Handler) -> None:
        """Parameters and gradients move along; the other buffers are zero afterwards."""

    stream: RandomStream  # what random operations of a pass draw from
    is_lean: bool  # backward passes leave out deltas that no gradient depends on
    gradient_hook: Optional[Callable[[], None]]  # ends every backward pass, also in Stepper.run
    def provide_external_data(self, data: Mapping[str, Any], all_inputs: bool = True) -> None: ...
    def forward_pass(
        self,
        training_pass: bool = False,
        context: Optional[Sequence[tuple[int, np.ndarray]]] = None,
    ) -> None:
        """context: (leaf, array of shape (1, B, ...)) for the context slots not to be zero."""

    def backward_pass(self) -> None: ...
    def get_loss_values(self) -> dict[str, float]: ...
    def finish(self) -> None:
        """Wait for the last update, and raise what was wrong with its data."""

# ---- steppers ----

class Stepper:
    """A training method of the engine, by name: 'Sgd', 'Momentum', 'Adam' and so on. Subclassable.

    options: those that the type has; TypeError for others.
    """

    def __init__(self, type_name: str, **options: float) -> None: ...
    def get_option(self, name: str) -> Union[float, bool]: ...
    def set_option(self, name: str, value: Union[float, bool]) -> None: ...
    def state(self, i: int = 0) -> Optional[np.ndarray]:
        """Live view of the i-th vector of its own; None before start or if there is none."""

    updates: int  # since start; may be set
    def start(self, network: Network) -> None:
        """Zero state of the network's size."""

    def run(self) -> None:
        """Forward, backward, update, with the GIL released: one update is this one call."""
