"""Shapes of buffers, as layers declare them, and the templates that inputs must match.

A shape is a tuple of dimensions, where 'T' stands for the time steps and 'B' for the sequences of
a batch: ('T', 'B', 10) grows with both, ('B', 10) with the batch, (5, 10) is constant.
"""

from brainstorm.utils import StructureValidationError

__all__ = ['BufferStructure', 'StructureTemplate']


class BufferStructure:
    """The shape of a buffer.

    Args:
        shape: its dimensions, for example `'T', 'B', 10`.
        context_size (int): extra time steps after the last one, 0 or 1.
        is_backward_only (bool): needed in backward passes only.

    Attributes:
        shape (tuple): all dimensions.
        buffer_type (int): 0 constant, 1 grows with the batch, 2 with time and batch.
        feature_shape (tuple[int]): the dimensions without 'T' and 'B'.
        feature_size (int): product of the feature shape.
        scales_with_time, scales_with_batch_size (bool): whether 'T' or 'B' is in the shape.
        nr_dims (int): number of dimensions.
    """

    def __init__(self, *shape, context_size=0, is_backward_only=False):
        self.shape = _flatten(shape)
        self.buffer_type = sum(dimension in ('T', 'B') for dimension in self.shape)
        self.feature_shape = self.shape[self.buffer_type:]
        _check_prefix(self.shape, self.buffer_type)
        if not self.feature_shape or not all(_is_size(size) for size in self.feature_shape):
            raise StructureValidationError(
                "the features of a buffer are positive integers after 'T' and 'B', "
                f"got the shape {self.shape}")
        if context_size not in (0, 1) or (context_size and self.buffer_type != 2):
            raise StructureValidationError("context_size must be 0, or 1 for a buffer of shape "
                                           f"('T', 'B', ...), got {context_size!r} "
                                           f"for {self.shape}")
        self.context_size = context_size
        self.is_backward_only = bool(is_backward_only)

    @classmethod
    def from_layout(cls, node):
        """The structure of an array node of a layout."""
        return cls(*node['@shape'], context_size=node.get('@context_size', 0),
                   is_backward_only=node.get('@is_backward_only', False))

    @property
    def feature_size(self):
        """Number of entries per step and sequence: the product of the feature shape."""
        size = 1
        for dimension in self.feature_shape:
            size *= dimension
        return size

    @property
    def scales_with_time(self):
        """Whether 'T' is in the shape."""
        return self.buffer_type == 2

    @property
    def scales_with_batch_size(self):
        """Whether 'B' is in the shape."""
        return self.buffer_type >= 1

    @property
    def nr_dims(self):
        """Number of dimensions, 'T' and 'B' included."""
        return len(self.shape)

    @property
    def spec(self):
        """The tuple (shape, context_size, is_backward_only) that the engine speaks."""
        return self.shape, self.context_size, self.is_backward_only

    def to_json(self, i):
        """The array node of a layout, standing at position i among its siblings."""
        node = {'@type': 'array', '@index': i, '@shape': self.shape}
        if self.context_size:
            node['@context_size'] = self.context_size
        if self.is_backward_only:
            node['@is_backward_only'] = True
        return node

    def __eq__(self, other):
        if not isinstance(other, BufferStructure):
            return NotImplemented
        return self.shape == other.shape

    def __hash__(self):
        return hash(self.shape)

    def __repr__(self):
        options = ''.join([f', context_size={self.context_size}' if self.context_size else '',
                           ', is_backward_only=True' if self.is_backward_only else ''])
        return f"BufferStructure({', '.join(map(repr, self.shape))}{options})"


class StructureTemplate:
    """What shapes an input takes: ('T', 'B', '...') any features over time, ('...') anything.

    Args:
        shape: dimensions as for `BufferStructure`; 'F' stands for a feature dimension of any
            size, a final '...' for any number of them.
        context_size (int): kept as an attribute.
        is_backward_only (bool): kept as an attribute.
    """

    def __init__(self, *shape, context_size=0, is_backward_only=False):
        self.shape = _flatten(shape)
        self.context_size = context_size
        self.is_backward_only = is_backward_only
        self._prefix = sum(dimension in ('T', 'B') for dimension in self.shape)
        self.feature_shape = self.shape[self._prefix:]
        _check_prefix(self.shape, self._prefix)
        fixed = self.feature_shape[:-1] if self.feature_shape[-1:] == ('...',) \
            else self.feature_shape
        if not all(size == 'F' or _is_size(size) for size in fixed):
            raise StructureValidationError(
                "a template has positive integers, 'F' or a final '...' after 'T' and 'B', "
                f"got {self.shape}")

    def matches(self, structure):
        """Whether a BufferStructure has a shape that this template allows."""
        shape = structure.shape
        if self.shape == ('...',):
            return True
        if structure.buffer_type != self._prefix:
            return False
        wanted = self.shape
        if wanted[-1] == '...':
            wanted = wanted[:-1]
            shape = shape[:len(wanted)]
        return len(shape) == len(wanted) and all(
            want in ('F', got) for want, got in zip(wanted, shape))

    def __repr__(self):
        return f"StructureTemplate({', '.join(map(repr, self.shape))})"


def _flatten(shape):
    """The dimensions as a tuple, given one by one or as a single sequence."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    return tuple(int(size) if hasattr(size, '__index__') and not isinstance(size, bool) else size
                 for size in shape)


def _check_prefix(shape, length):
    if shape[:length] not in ((), ('B',), ('T', 'B')):
        raise StructureValidationError("a shape starts with 'T', 'B' or with 'B' or has neither, "
                                       f"got {shape}")


def _is_size(size):
    return isinstance(size, int) and not isinstance(size, bool) and size > 0
