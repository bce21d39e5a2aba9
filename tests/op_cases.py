"""One case per row of ops.def: arguments for some shapes, and the formula in NumPy.

A case is a class of `CASES`, by the operation's name:

shapes      what `arguments` is called with, one after another: 1-row, 1-column, odd sizes and
            sizes above one tile
arguments   (r, *shape) -> {argument: value} in float64; arrays for outputs too (what was there)
expected    (arguments) -> {output: array}, computed in float64 from what the handler got; arrays
            that may be left out are None then
in_place    outputs that may be the same array as these inputs: [(output, input), ...]
tolerance   relative to the largest expected value, in units of the dtype's epsilon
finite      inputs that test_nan_and_infinity leaves alone
"""

import math

import numpy as np

ELEMENTWISE = [(1, 1), (1, 7), (5, 1), (3, 4, 5), (2, 3, 4, 5, 6), (33, 65), (70001,)]
MATRICES = [(1, 1), (1, 7), (9, 1), (13, 17), (300, 257)]
CASES = {}


class Case:
    shapes = ELEMENTWISE
    in_place = ()
    tolerance = 4
    finite = ()

    @staticmethod
    def arguments(r, *shape):
        raise NotImplementedError


def case(cls):
    CASES[cls.__name__] = cls
    return cls


def elementwise(name, inputs, output, formula, numbers=None, tolerance=4, values=None, **more):
    """A case whose arrays all have one shape; `formula` takes the arguments by name."""

    class Elementwise(Case):
        in_place = [(output, i) for i in inputs if i != output]

        @staticmethod
        def arguments(r, *shape):
            args = {i: values(r, shape) if values else r.standard_normal(shape) for i in inputs}
            args.setdefault(output, r.standard_normal(shape))
            args.update({k: v(r, shape) for k, v in more.items()})
            args.update(numbers or {})
            return args

        @staticmethod
        def expected(a):
            return {output: formula(**a)}

    Elementwise.tolerance = tolerance
    CASES[name] = Elementwise


def some_zero(r, shape):
    return (r.random(shape) < 0.5) * r.standard_normal(shape)


def positive(r, shape):
    return r.random(shape) + 0.01


def nan_where(x, y):
    return np.where(np.isnan(x), np.nan, y)


# ---- memory ----

elementwise('copy_to', ['src'], 'dest', lambda src, dest: src, tolerance=0)
elementwise('fill', [], 'mem', lambda mem, val: np.full_like(mem, val), {'val': -1.5}, tolerance=0)
elementwise(
    'copy_to_if',
    ['src'],
    'dest',
    lambda src, dest, cond: np.where(cond != 0, src, dest),
    tolerance=0,
    cond=some_zero,
)
elementwise(
    'add_into_if',
    ['a'],
    'out',
    lambda a, out, cond: np.where(cond != 0, out + a, out),
    cond=some_zero,
)
elementwise(
    'fill_if',
    [],
    'mem',
    lambda mem, val, cond: np.where(cond != 0, val, mem),
    {'val': 2.5},
    tolerance=0,
    cond=some_zero,
)

# ---- elementwise ----

elementwise('abs_t', ['a'], 'out', lambda a, out: abs(a), tolerance=0)
elementwise('sign_t', ['a'], 'out', lambda a, out: np.sign(a), tolerance=0, values=some_zero)
elementwise('sqrt_t', ['a'], 'out', lambda a, out: np.sqrt(a), values=positive)
elementwise('log_t', ['a'], 'out', lambda a, out: np.log(a), values=positive)
elementwise(
    'clip_t',
    ['a'],
    'out',
    lambda a, a_min, a_max, out: np.clip(a, a_min, a_max),
    {'a_min': -0.5, 'a_max': 0.75},
    tolerance=0,
)
elementwise('add_tt', ['a', 'b'], 'out', lambda a, b, out: a + b)
elementwise('subtract_tt', ['a', 'b'], 'out', lambda a, b, out: a - b)
elementwise('mult_tt', ['a', 'b'], 'out', lambda a, b, out: a * b)
elementwise('mult_add_tt', ['a', 'b'], 'out', lambda a, b, out: out + a * b)
elementwise('divide_tt', ['a', 'b'], 'out', lambda a, b, out: a / b)
elementwise('modulo_tt', ['a', 'b'], 'out', lambda a, b, out: np.fmod(a, b))
elementwise('add_st', ['t'], 'out', lambda s, t, out: s + t, {'s': 0.5})
elementwise('mult_st', ['t'], 'out', lambda s, t, out: s * t, {'s': -1.75})
elementwise('mult_add_st', ['t'], 'out', lambda s, t, out: out + s * t, {'s': 0.25})

# ---- activations ----

elementwise('rel', ['x'], 'y', lambda x, y: np.where(x < 0, 0, x), tolerance=0)
elementwise('tanh', ['x'], 'y', lambda x, y: np.tanh(x))
elementwise('sigmoid', ['x'], 'y', lambda x, y: 1 / (1 + np.exp(-x)))
elementwise('el', ['x'], 'y', lambda x, y: np.where(x > 0, x, np.expm1(np.minimum(x, 0))))


def derivative(name, formula):
    elementwise(
        name,
        ['y', 'dy'],
        'dx',
        lambda x, y, dy, dx: formula(y, dy),
        x=lambda r, s: r.standard_normal(s),
    )


derivative('rel_deriv', lambda y, dy: np.where(y > 0, dy, nan_where(y, 0)))
derivative('tanh_deriv', lambda y, dy: dy * (1 - y * y))
derivative('sigmoid_deriv', lambda y, dy: dy * y * (1 - y))
derivative('el_deriv', lambda y, dy: np.where(y > 0, dy, dy * (y + 1)))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


elementwise('softmax_m', ['m'], 'out', lambda m, out: softmax(m), tolerance=8)
CASES['softmax_m'].shapes = MATRICES + [(2, 3, 5), (4000, 11)]


# ---- a matrix and a vector ----


def matrix_vector(name, formula, full=False, floor=0.0):
    class MatrixVector(Case):
        shapes = [
            (m, n, kind)
            for m, n in MATRICES
            for kind in ['row', 'column', 'flat'] + ['full'] * full
        ]
        in_place = [('out', 'm')]

        @staticmethod
        def arguments(r, m, n, kind):
            v = r.standard_normal(
                {'row': (1, n), 'column': (m, 1), 'flat': (n,), 'full': (m, n)}[kind]
            )
            return {
                'm': r.standard_normal((m, n)),
                'v': v + np.sign(v) * floor,
                'out': r.standard_normal((m, n)),
            }

        @staticmethod
        def expected(a):
            return {'out': formula(a['m'], a['v'], a['out'])}

    CASES[name] = MatrixVector


matrix_vector('add_mv', lambda m, v, out: m + v)
matrix_vector('subtract_mv', lambda m, v, out: m - v)
matrix_vector('mult_mv', lambda m, v, out: m * v, full=True)
matrix_vector('mult_add_mv', lambda m, v, out: out + m * v, full=True)
matrix_vector('divide_mv', lambda m, v, out: m / v, floor=0.1)


# ---- products ----


def product(name, add):
    class Product(Case):
        # m, n, k; the last ones are cut into tiles that share panels, or of whole rows, or are cut
        # along k; a BLAS may compute them
        shapes = [
            (m, n, k, ta, tb)
            for m, n, k in [
                (1, 1, 1),
                (3, 5, 0),
                (1, 40, 33),
                (7, 1, 9),
                (6, 16, 64),
                (37, 65, 129),
                (200, 530, 40),
                (300, 50, 3),
                (331, 70, 5),
                (5, 21, 5000),
                (257, 300, 2100),
                (200, 40, 1500),
            ]
            for ta in (False, True)
            for tb in (False, True)
        ]
        tolerance = 64

        @staticmethod
        def arguments(r, m, n, k, transa, transb):
            a, b = r.standard_normal((m, k)), r.standard_normal((k, n))
            return {
                'a': a.T.copy() if transa else a,
                'b': b.T.copy() if transb else b,
                'out': r.standard_normal((m, n)),
                'transa': transa,
                'transb': transb,
            }

        @staticmethod
        def expected(x):
            a, b = x['a'].T if x['transa'] else x['a'], x['b'].T if x['transb'] else x['b']
            return {'out': a @ b + (x['out'] if add else 0)}

    CASES[name] = Product


product('dot_mm', False)
product('dot_add_mm', True)


@case
class sum_t(Case):
    shapes = [((11,), 0, 1), ((11,), None, 1), ((2, 3, 4), None, 0), ((40001,), None, 0)] + [
        (s, axis, keep)
        for s in MATRICES + [(3, 40000), (4000, 70)]
        for axis in (None, 0, 1)
        for keep in (0, 1)
    ]
    tolerance = 64

    @staticmethod
    def arguments(r, shape, axis, keep):
        a = r.standard_normal(shape) + 0.25
        return {
            'a': a,
            'axis': axis,
            'out': np.full(a.sum(axis=axis, keepdims=bool(keep)).shape, 5.0),
        }

    @staticmethod
    def expected(x):
        return {'out': x['a'].sum(axis=x['axis']).reshape(x['out'].shape)}


@case
class broadcast_t(Case):
    shapes = [
        ((1,), 0, 5),
        ((3, 1), 1, 4),
        ((1, 3), 0, 4),
        ((2, 1, 3), 1, 5),
        ((2, 3, 4, 1), 3, 2),
        ((1, 70, 90), 0, 11),
    ]
    tolerance = 0

    @staticmethod
    def arguments(r, shape, axis, n):
        full = shape[:axis] + (n,) + shape[axis + 1 :]
        return {'a': r.standard_normal(shape), 'axis': axis, 'out': r.standard_normal(full)}

    @staticmethod
    def expected(x):
        return {'out': np.broadcast_to(x['a'], x['out'].shape)}


@case
class merge_tt(Case):
    shapes = [
        ((), 3, 4),
        ((5,), 1, 1),
        ((5,), 3, 0),
        ((2, 3), 4, 5),
        ((2, 3, 4), 1, 2),
        ((700,), 90, 33),
    ]
    tolerance = 0

    @staticmethod
    def arguments(r, rows, a, b):
        return {
            'a': r.standard_normal(rows + (a,)),
            'b': r.standard_normal(rows + (b,)),
            'out': r.standard_normal(rows + (a + b,)),
        }

    @staticmethod
    def expected(x):
        return {'out': np.concatenate([x['a'], x['b']], axis=-1)}


@case
class split_add_tt(Case):
    shapes = merge_tt.shapes

    @staticmethod
    def arguments(r, rows, a, b):
        return {
            'x': r.standard_normal(rows + (a + b,)),
            'out_a': r.standard_normal(rows + (a,)),
            'out_b': r.standard_normal(rows + (b,)),
        }

    @staticmethod
    def expected(x):
        n = x['out_a'].shape[-1]
        return {'out_a': x['out_a'] + x['x'][..., :n], 'out_b': x['out_b'] + x['x'][..., n:]}


# ---- ids ----


def ids(r, rows, n):
    return r.integers(0, n, rows + (1,)).astype(float)


@case
class binarize_v(Case):
    shapes = MATRICES
    tolerance = 0

    @staticmethod
    def arguments(r, m, n):
        return {'v': ids(r, (m,), n), 'out': r.standard_normal((m, n))}

    @staticmethod
    def expected(x):
        return {'out': (x['v'] == np.arange(x['out'].shape[1])).astype(float)}


@case
class index_m_by_v(Case):
    shapes = MATRICES
    tolerance = 0

    @staticmethod
    def arguments(r, m, n):
        return {
            'm': r.standard_normal((m, n)),
            'v': ids(r, (m,), n),
            'out': r.standard_normal((m, 1)),
        }

    @staticmethod
    def expected(x):
        return {'out': np.take_along_axis(x['m'], x['v'].astype(int), axis=1)}


@case
class embed(Case):
    shapes = [(1, 1, 1), (7, 4, 3), (13, 3, 130), (900, 60, 257)]  # ids, rows of the table, columns
    tolerance = 0

    @staticmethod
    def arguments(r, m, v, n):
        return {
            'w': r.standard_normal((v, n)),
            'ids': ids(r, (m,), v),
            'out': r.standard_normal((m, n)),
        }

    @staticmethod
    def expected(x):
        return {'out': x['w'][x['ids'][:, 0].astype(int)]}


@case
class embed_add(Case):
    shapes = embed.shapes
    tolerance = 32

    @staticmethod
    def arguments(r, m, v, n):
        return {
            'ids': ids(r, (m,), v),
            'd_out': r.standard_normal((m, n)),
            'd_w': r.standard_normal((v, n)),
        }

    @staticmethod
    def expected(x):
        d_w = x['d_w'].copy()
        np.add.at(d_w, x['ids'][:, 0].astype(int), x['d_out'])
        return {'d_w': d_w}


# ---- random numbers: Philox4x32-10, key 7, draw 3 ----

KEY, DRAW = 7, 3


def philox_words(count, key=KEY, draw=DRAW):
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [
        block & low,
        block >> np.uint64(32),
        np.full_like(block, draw & 0xFFFFFFFF),
        np.full_like(block, draw >> 32),
    ]
    k = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [
            (p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]),
            p1 & low,
            (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]),
            p0 & low,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, axis=1).reshape(-1)[:count]


def mask_of(shape, probability):
    words = philox_words(math.prod(shape)).reshape(shape)
    return (words < np.uint64(round(probability * 2**32))).astype(float)


@case
class generate_probability_mask(Case):
    shapes = [s + (p,) for s in ELEMENTWISE for p in (0.0, 0.3, 1.0)]
    tolerance = 0

    @staticmethod
    def arguments(r, *shape_and_probability):
        *shape, p = shape_and_probability
        return {'mask': r.standard_normal(shape), 'probability': p}

    @staticmethod
    def expected(x):
        return {'mask': mask_of(x['mask'].shape, x['probability'])}


@case
class fill_gaussian(Case):
    @staticmethod
    def arguments(r, *shape):
        return {'mean': 1.5, 'std': 2.0, 'out': r.standard_normal(shape)}

    @staticmethod
    def expected(x):
        n = x['out'].size
        words = philox_words(n + n % 2).astype(float).reshape(-1, 2)
        radius, angle = (
            np.sqrt(-2 * np.log((words[:, 0] + 1) / 2**32)),
            2 * np.pi * words[:, 1] / 2**32,
        )
        z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:n]
        return {'out': x['mean'] + x['std'] * z.reshape(x['out'].shape)}


# ---- images ----


def places(n, window, stride, padding):
    return max(0, (n + 2 * padding - window) // stride + 1) if n + 2 * padding >= window else 0


def windows(x, size, stride, padding, fill=0.0):
    """(N, H', W', kh, kw, C)"""
    pad = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)], constant_values=fill)
    rows, cols = (places(x.shape[1 + i], size[i], stride[i], padding) for i in (0, 1))
    out = np.empty((x.shape[0], rows, cols) + tuple(size) + x.shape[3:])
    for i in range(rows):
        for j in range(cols):
            y0, x0 = i * stride[0], j * stride[1]
            out[:, i, j] = pad[:, y0 : y0 + size[0], x0 : x0 + size[1]]
    return out


def add_windows(into, w, stride, padding):
    """The transpose of `windows`: adds (N, H', W', kh, kw, C) to the places they came from."""
    n, h, wd, c = into.shape
    pad = np.zeros((n, h + 2 * padding, wd + 2 * padding, c))
    for i in range(w.shape[1]):
        for j in range(w.shape[2]):
            y0, x0 = i * stride[0], j * stride[1]
            pad[:, y0 : y0 + w.shape[3], x0 : x0 + w.shape[4]] += w[:, i, j]
    return into + pad[:, padding : padding + h, padding : padding + wd]


# (N, H, W, C), filters, window, stride, padding
CONVS = [
    ((1, 1, 1, 1), 1, (1, 1), (1, 1), 0),
    ((2, 5, 4, 3), 7, (3, 2), (1, 1), 0),
    ((3, 7, 6, 2), 5, (3, 3), (2, 1), 1),
    ((20, 6, 5, 1), 33, (5, 5), (1, 3), 2),
    ((2, 9, 9, 17), 4, (2, 4), (3, 2), 3),
    ((1, 12, 12, 4), 18, (5, 3), (1, 1), 2),
    ((2, 2, 2, 3), 2, (3, 3), (1, 1), 0),
    ((2, 4, 25, 6), 53, (3, 3), (1, 1), 1),
]


@case
class conv2d_forward_batch(Case):
    shapes = CONVS
    tolerance = 64

    @staticmethod
    def arguments(r, shape, filters, window, stride, padding):
        n, h, w, c = shape
        out = (
            n,
            places(h, window[0], stride[0], padding),
            places(w, window[1], stride[1], padding),
            filters,
        )
        return {
            'inputs': r.standard_normal(shape),
            'weights': r.standard_normal((filters,) + window + (c,)),
            'bias': r.standard_normal(filters),
            'outputs': r.standard_normal(out),
            'padding': padding,
            'stride': stride,
        }

    @staticmethod
    def expected(x):
        w = windows(x['inputs'], x['weights'].shape[1:3], x['stride'], x['padding'])
        return {'outputs': np.tensordot(w, x['weights'], axes=([3, 4, 5], [1, 2, 3])) + x['bias']}


@case
class conv2d_backward_batch(Case):
    shapes = CONVS
    tolerance = 128
    finite = (
        'weights',
    )  # in_deltas may be a correlation with zero padding, and 0 * NaN is NaN there

    @staticmethod
    def arguments(r, shape, filters, window, stride, padding):
        forward = conv2d_forward_batch.arguments(r, shape, filters, window, stride, padding)
        return {
            'inputs': forward['inputs'],
            'weights': forward['weights'],
            'padding': padding,
            'stride': stride,
            'in_deltas': r.standard_normal(shape),
            'out_deltas': forward['outputs'],
            'weight_deltas': r.standard_normal(forward['weights'].shape),
            'bias_deltas': r.standard_normal(filters),
        }

    @staticmethod
    def expected(x):
        w = windows(x['inputs'], x['weights'].shape[1:3], x['stride'], x['padding'])
        d = x['out_deltas']
        out = {
            'weight_deltas': np.tensordot(d, w, axes=([0, 1, 2], [0, 1, 2])),
            'bias_deltas': d.sum(axis=(0, 1, 2)),
        }
        if x['in_deltas'] is not None:
            back = np.tensordot(d, x['weights'], axes=([3], [0]))
            out['in_deltas'] = add_windows(x['in_deltas'], back, x['stride'], x['padding'])
        return out


POOLS = [
    ((1, 1, 1, 1), (1, 1), (1, 1), 0),
    ((2, 6, 4, 3), (2, 2), (2, 2), 0),
    ((3, 7, 5, 1), (3, 2), (2, 1), 1),
    ((2, 5, 5, 17), (3, 3), (1, 2), 2),
    ((20, 8, 8, 9), (3, 3), (2, 2), 0),
    ((2, 3, 3, 2), (1, 1), (2, 2), 1),  # some windows lie in the padding
]


class Pool(Case):
    shapes = POOLS

    @staticmethod
    def arrays(r, shape, window, stride, padding):
        n, h, w, c = shape
        out = (
            n,
            places(h, window[0], stride[0], padding),
            places(w, window[1], stride[1], padding),
            c,
        )
        inputs = np.round(r.standard_normal(shape), 1)  # with ties
        return (
            inputs,
            r.standard_normal(out),
            {'window': window, 'stride': stride, 'padding': padding},
        )


def max_of_windows(x):
    w = windows(x['inputs'], x['window'], x['stride'], x['padding'], -np.inf)
    place = np.broadcast_to(
        np.arange(x['inputs'][0].size, dtype=float).reshape(x['inputs'].shape[1:]),
        x['inputs'].shape,
    )
    place = windows(place, x['window'], x['stride'], x['padding'], -1)
    n, h, wd, kh, kw, c = w.shape
    w, place = w.reshape(n, h, wd, kh * kw, c), place.reshape(n, h, wd, kh * kw, c)
    first = np.argmax(
        np.where(place >= 0, w, -np.inf), axis=3, keepdims=True
    )  # NaN counts as the largest
    value, argmax = (np.take_along_axis(v, first, axis=3)[:, :, :, 0] for v in (w, place))
    return np.where(argmax < 0, 0, value), argmax


@case
class maxpool2d_forward_batch(Pool):
    tolerance = 0

    @staticmethod
    def arguments(r, *how):
        inputs, outputs, numbers = Pool.arrays(r, *how)
        return dict(numbers, inputs=inputs, outputs=outputs, argmax=outputs * 0)

    @staticmethod
    def expected(x):
        value, argmax = max_of_windows(x)
        return {'outputs': value, 'argmax': argmax}


@case
class maxpool2d_backward_batch(Pool):
    @staticmethod
    def arguments(r, *how):
        inputs, deltas, numbers = Pool.arrays(r, *how)
        value, argmax = max_of_windows(dict(numbers, inputs=inputs))
        return dict(
            numbers,
            inputs=inputs,
            outputs=value,
            argmax=argmax,
            in_deltas=r.standard_normal(inputs.shape),
            out_deltas=deltas,
        )

    @staticmethod
    def expected(x):
        out = x['in_deltas'].reshape(len(x['inputs']), -1).copy()
        for image, place, delta in zip(out, x['argmax'], x['out_deltas']):
            np.add.at(image, place[place >= 0].astype(int), delta[place >= 0])
        return {'in_deltas': out.reshape(x['in_deltas'].shape)}


def pixels_of_windows(x):
    return windows(np.ones_like(x['inputs']), x['window'], x['stride'], x['padding'])


@case
class avgpool2d_forward_batch(Pool):
    tolerance = 8

    @staticmethod
    def arguments(r, *how):
        inputs, outputs, numbers = Pool.arrays(r, *how)
        return dict(numbers, inputs=inputs, outputs=outputs)

    @staticmethod
    def expected(x):
        w = windows(x['inputs'], x['window'], x['stride'], x['padding'])
        return {
            'outputs': w.sum(axis=(3, 4)) / np.maximum(pixels_of_windows(x).sum(axis=(3, 4)), 1)
        }


@case
class avgpool2d_backward_batch(Pool):
    tolerance = 8

    @staticmethod
    def arguments(r, *how):
        inputs, deltas, numbers = Pool.arrays(r, *how)
        return dict(
            numbers,
            inputs=inputs,
            outputs=deltas * 2,
            in_deltas=r.standard_normal(inputs.shape),
            out_deltas=deltas,
        )

    @staticmethod
    def expected(x):
        pixels = pixels_of_windows(x)
        each = x['out_deltas'] / np.maximum(pixels.sum(axis=(3, 4)), 1)
        return {
            'in_deltas': add_windows(
                x['in_deltas'], pixels * each[:, :, :, None, None, :], x['stride'], x['padding']
            )
        }


# ---- fusions ----

ACTIVATIONS = {
    'linear': lambda x: x,
    'rel': lambda x: np.where(x < 0, 0, x),
    'tanh': np.tanh,
    'sigmoid': lambda x: 1 / (1 + np.exp(-x)),
    'el': lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}
DERIVATIVES = {
    'linear': lambda y, dy: dy,
    'rel': lambda y, dy: np.where(y > 0, dy, nan_where(y, 0.0)),
    'tanh': lambda y, dy: dy * (1 - y * y),
    'sigmoid': lambda y, dy: dy * y * (1 - y),
    'el': lambda y, dy: np.where(y > 0, dy, dy * (y + 1)),
}


@case
class maxpool2d_backward_set(maxpool2d_backward_batch):
    @staticmethod
    def expected(x):
        return maxpool2d_backward_batch.expected(dict(x, in_deltas=x['in_deltas'] * 0))


@case
class conv2d_forward_act(Case):
    shapes = [c + (a,) for c, a in zip(CONVS + CONVS[1:4], 3 * list(ACTIVATIONS))]
    tolerance = 64

    @staticmethod
    def arguments(r, *how):
        forward = conv2d_forward_batch.arguments(r, *how[:-1])
        return dict(forward, activation=how[-1])

    @staticmethod
    def expected(x):
        y = conv2d_forward_batch.expected(x)['outputs']
        return {'outputs': ACTIVATIONS[x['activation']](y)}


# most out_deltas are 0, of 9 images and more: the backward pass sums over the others alone
SPARSE_CONVS = [
    ((20, 6, 5, 1), 33, (5, 5), (1, 3), 2),
    ((9, 7, 6, 19), 5, (3, 2), (1, 1), 1),
    ((40, 5, 5, 32), 18, (3, 3), (1, 1), 0),
    ((10, 9, 8, 3), 17, (4, 3), (2, 2), 3),
]


@case
class conv2d_backward_act(Case):
    shapes = [c + (0.9, a) for c, a in zip(CONVS, 2 * list(ACTIVATIONS))]
    shapes += [c + (0.15, a) for c, a in zip(SPARSE_CONVS, ACTIVATIONS)]
    tolerance = 128
    finite = ('inputs', 'weights')  # a product with a delta of 0 may be left out; 0 * NaN is NaN

    @staticmethod
    def arguments(r, *how):
        *conv, density, activation = how
        args = conv2d_backward_batch.arguments(r, *conv)
        args['out_deltas'] *= r.random(args['out_deltas'].shape) < density
        args['outputs'] = ACTIVATIONS[activation](r.standard_normal(args['out_deltas'].shape))
        return dict(args, activation=activation)

    @staticmethod
    def expected(x):
        d = DERIVATIVES[x['activation']](x['outputs'], x['out_deltas'])
        return dict(conv2d_backward_batch.expected(dict(x, out_deltas=d)), out_deltas=d)


@case
class linear_act(Case):
    shapes = [
        s + (a,)
        for s in [(1, 1, 1), (3, 5, 4), (20, 33, 70), (150, 260, 90), (4, 9, 3000),
                  (200, 40, 1500)]
        for a in ACTIVATIONS
    ]
    tolerance = 64

    @staticmethod
    def arguments(r, m, n, k, activation):
        return {
            'x': r.standard_normal((m, k)),
            'w': r.standard_normal((n, k)) / k**0.5,
            'bias': r.standard_normal(n),
            'y': r.standard_normal((m, n)),
            'activation': activation,
        }

    @staticmethod
    def expected(a):
        return {'y': ACTIVATIONS[a['activation']](a['x'] @ a['w'].T + a['bias'])}


CLASSES = [((5,), 3), ((1,), 1), ((3, 4), 10), ((4000,), 11)]


@case
class softmax_ce(Case):
    shapes = CLASSES
    tolerance = 16

    @staticmethod
    def arguments(r, rows, n):
        return {
            'x': 3 * r.standard_normal(rows + (n,)),
            'targets': ids(r, rows, n),
            'p': r.standard_normal(rows + (n,)),
            'loss': r.standard_normal(rows + (1,)),
        }

    @staticmethod
    def expected(a):
        p = softmax(a['x'])
        q = np.take_along_axis(p, a['targets'].astype(int), axis=-1)
        return {'p': p, 'loss': -np.log(np.clip(q, 1e-6, 1))}


@case
class softmax_ce_deriv(Case):
    shapes = CLASSES

    @staticmethod
    def arguments(r, rows, n):
        return {
            'p': softmax(r.standard_normal(rows + (n,))),
            'targets': ids(r, rows, n),
            'dloss': r.standard_normal(rows + (1,)),
            'dx': r.standard_normal(rows + (n,)),
        }

    @staticmethod
    def expected(a):
        onehot = a['targets'] == np.arange(a['p'].shape[-1])
        return {'dx': (a['p'] - onehot) * a['dloss']}


@case
class dropout(Case):
    shapes = [s + (0.25,) for s in ELEMENTWISE]
    in_place = [('y', 'x')]

    @staticmethod
    def arguments(r, *shape_and_probability):
        *shape, p = shape_and_probability
        return {
            'drop_prob': p,
            'x': r.standard_normal(shape),
            'mask': r.standard_normal(shape),
            'y': r.standard_normal(shape),
        }

    @staticmethod
    def expected(a):
        mask = mask_of(a['x'].shape, 1 - a['drop_prob'])
        return {'mask': mask, 'y': a['x'] * mask / (1 - a['drop_prob'])}


@case
class sgd_step(Case):
    shapes = [(1,), (70001,)]

    @staticmethod
    def arguments(r, n):
        return {
            'rate': 0.125,
            'g': r.standard_normal(n),
            'update': r.standard_normal(n),
            'p': r.standard_normal(n),
        }

    @staticmethod
    def expected(a):
        return {'update': -a['rate'] * a['g'], 'p': a['p'] - a['rate'] * a['g']}


@case
class momentum_step(Case):
    shapes = sgd_step.shapes

    @staticmethod
    def arguments(r, n):
        return {
            'rate': 0.125,
            'momentum': 0.75,
            'g': r.standard_normal(n),
            'v': r.standard_normal(n),
            'p': r.standard_normal(n),
        }

    @staticmethod
    def expected(a):
        v = a['momentum'] * a['v'] - a['rate'] * a['g']
        return {'v': v, 'p': a['p'] + v}


@case
class dot_momentum_step(Case):
    shapes = CASES['dot_mm'].shapes
    tolerance = CASES['dot_mm'].tolerance

    @staticmethod
    def arguments(r, *shape):
        product = CASES['dot_mm'].arguments(r, *shape)
        more = {name: r.standard_normal(product['out'].shape) for name in ('v', 'p')}
        return {'rate': 0.125, 'momentum': 0.75, **product, **more}

    @staticmethod
    def expected(a):
        out = CASES['dot_mm'].expected(a)['out']
        v = a['momentum'] * a['v'] - a['rate'] * out
        return {'out': out, 'v': v, 'p': a['p'] + v}


# ---- one step of an LSTM or a GRU ----

CELLS = [s + (a,) for s in [(1, 1), (1, 9), (5, 1), (6, 33), (9, 700)] for a in ACTIVATIONS]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def split(a, n):
    """The blocks of n columns."""
    return [a[:, i : i + n] for i in range(0, a.shape[1], n)]


@case
class mult_sum_add_mm(Case):
    shapes = [*MATRICES, (5000, 40)]
    tolerance = 256

    @staticmethod
    def arguments(r, m, n):
        return {
            'a': r.standard_normal((m, n)),
            'b': r.standard_normal((m, n)),
            'out': r.standard_normal((1, n)),
        }

    @staticmethod
    def expected(a):
        return {'out': a['out'] + np.sum(a['a'] * a['b'], axis=0, keepdims=True)}


@case
class lstm_forward(Case):
    shapes = CELLS
    tolerance = 64

    @staticmethod
    def arguments(r, b, n, activation):
        sizes = dict(c_before=1, y_before=1, ga=4, gb=4, ca=1, cb=1, y=1)
        arrays = {name: r.standard_normal((b, k * n)) for name, k in sizes.items()}
        return {**arrays, 'keep': (r.random((b, n)) < 0.3) * 1.0,
                'p': r.standard_normal((3, n)), 'activation': activation}

    @staticmethod
    def expected(a):
        act, n = ACTIVATIONS[a['activation']], a['ca'].shape[1]
        (za, ia, fa, oa), before, (pi, pf, po) = split(a['ga'], n), a['c_before'], a['p']
        ia, fa = ia + pi * before, fa + pf * before
        z, i, f = act(za), sigmoid(ia), sigmoid(fa)
        c = i * z + f * before
        oa = oa + po * c
        o, cb, keep = sigmoid(oa), act(c), a['keep'] != 0
        return {
            'ga': np.hstack([za, ia, fa, oa]),
            'gb': np.hstack([z, i, f, o]),
            'ca': np.where(keep, before, c),
            'cb': cb,
            'y': np.where(keep, a['y_before'], o * cb),
        }


class LstmBackward(Case):
    shapes = CELLS
    tolerance = 64
    adds = 0

    @staticmethod
    def arguments(r, b, n, activation):
        sizes = dict(dy=1, c_before=1, cb=1, dca=1, dga=4, dgb=4, dcb=1, dc_before=1)
        arrays = {name: r.standard_normal((b, k * n)) for name, k in sizes.items()}
        return {**arrays, 'gb': r.random((b, 4 * n)), 'keep': (r.random((b, n)) < 0.3) * 1.0,
                'p': r.standard_normal((3, n)), 'activation': activation}

    @classmethod
    def expected(cls, a):
        n, keep = a['cb'].shape[1], a['keep'] != 0
        derivative = DERIVATIVES[a['activation']]
        (z, i, f, o), (pi, pf, po) = split(a['gb'], n), a['p']
        old = {k: a[k] if cls.adds else np.zeros_like(a[k])
               for k in ('dga', 'dgb', 'dcb', 'dc_before')}
        (eza, eia, efa, eoa), (ezb, eib, efb, eob) = split(old['dga'], n), split(old['dgb'], n)
        dy, dc_later = np.where(keep, 0, a['dy']), np.where(keep, 0, a['dca'])
        dob = eob + dy * a['cb']
        doa = eoa + dob * o * (1 - o)
        dcb = derivative(a['cb'], old['dcb'] + dy * o)
        dc = dcb + po * doa + dc_later
        shown = np.where(keep, a['dca'], dc)
        dia = eia + (eib + dc * z) * i * (1 - i)
        dfa = efa + (efb + dc * a['c_before']) * f * (1 - f)
        dza = eza + derivative(z, ezb + dc * i)
        before = old['dc_before'] + np.where(keep, a['dca'], 0) + dc * f + pi * dia + pf * dfa
        return {
            'dca': shown,
            'dga': np.hstack([dza, dia, dfa, doa]),
            'dgb': np.hstack([ezb + shown * i, eib + shown * z, efb + shown * a['c_before'], dob]),
            'dcb': dcb,
            'dc_before': before,
        }


CASES['lstm_backward'] = LstmBackward
CASES['lstm_backward_add'] = type('lstm_backward_add', (LstmBackward,), {'adds': 1})

# T, B, n: single steps, rows and cells beyond one tile, sequences of one task and of many
SEQUENCES = [s + (a,) for s in [(1, 1, 1), (1, 3, 5), (4, 1, 7), (3, 9, 33), (5, 20, 64),
                                (4, 17, 200)] for a in ACTIVATIONS]


def kept(timing, t, b):
    """keep of step t for b sequences."""
    return np.tile((t > 0) & (np.fmod(t, timing) != 0), (b, 1)) if timing is not None else False


@case
class lstm_forward_steps(Case):
    shapes = SEQUENCES
    tolerance = 256

    @staticmethod
    def arguments(r, t, b, n, activation):
        sizes = dict(ga=4, gb=4, ca=1, cb=1, y=1)
        arrays = {name: r.standard_normal((t, b, k * n)) for name, k in sizes.items()}
        return {**arrays, 'r': r.standard_normal((4 * n, n)) / n,
                'timing': r.choice([1., 2.], (1, n)), 'c_before': r.standard_normal((b, n)),
                'y_before': r.standard_normal((b, n)), 'p': r.standard_normal((3, n)),
                'activation': activation}

    @staticmethod
    def expected(a):
        out = {name: a[name].copy() for name in ('ga', 'gb', 'ca', 'cb', 'y')}
        c, y = a['c_before'], a['y_before']
        for t in range(len(out['y'])):
            step = CASES['lstm_forward'].expected({
                **{name: all[t] for name, all in out.items()}, 'ga': a['ga'][t] + y @ a['r'].T,
                'c_before': c, 'y_before': y, 'keep': kept(a['timing'], t, len(y)),
                'p': a['p'], 'activation': a['activation']})
            for name, value in step.items():
                out[name][t] = value
            c, y = out['ca'][t], out['y'][t]
        return out


class LstmBackwardSteps(Case):
    shapes = SEQUENCES
    tolerance = 256
    step = LstmBackward

    @staticmethod
    def arguments(r, t, b, n, activation):
        sizes = dict(ca=1, cb=1, dy=1, dga=4, dgb=4, dcb=1)
        arrays = {name: r.standard_normal((t, b, k * n)) for name, k in sizes.items()}
        return {**arrays, 'gb': r.random((t, b, 4 * n)), 'r': r.standard_normal((4 * n, n)) / n,
                'timing': r.choice([1., 2.], (1, n)), 'p': r.standard_normal((3, n)),
                'c_before': r.standard_normal((b, n)), 'dca': r.standard_normal((t + 1, b, n)),
                'activation': activation}

    @classmethod
    def expected(cls, a):
        old = {name: a[name] if cls.step.adds else np.zeros_like(a[name])
               for name in ('dca', 'dga', 'dgb', 'dcb')}
        out, steps = {name: value.copy() for name, value in old.items()}, len(a['dy'])
        dy = a['dy'].copy()
        for t in reversed(range(steps)):
            keep = kept(a['timing'], t, dy.shape[1])
            done = cls.step.expected({
                'dy': dy[t], 'keep': keep, 'p': a['p'], 'gb': a['gb'][t], 'cb': a['cb'][t],
                'c_before': a['ca'][t - 1] if t else a['c_before'], 'dca': out['dca'][t],
                'dga': old['dga'][t], 'dgb': old['dgb'][t], 'dcb': old['dcb'][t],
                'dc_before': old['dca'][t - 1], 'activation': a['activation']})
            out['dca'][t - 1] = done.pop('dc_before')
            for name, value in done.items():
                out[name][t] = value
            if t:
                dy[t - 1] += out['dga'][t] @ a['r'] + np.where(keep, dy[t], 0)
        return out


CASES['lstm_backward_steps'] = LstmBackwardSteps
CASES['lstm_backward_add_steps'] = type(
    'lstm_backward_add_steps', (LstmBackwardSteps,), {'step': CASES['lstm_backward_add']})


@case
class gru_forward(Case):
    shapes = CELLS
    tolerance = 64

    @staticmethod
    def arguments(r, b, n, activation):
        sizes = dict(y_before=1, ga=4, gb=3, y=1)
        arrays = {name: r.standard_normal((b, k * n)) for name, k in sizes.items()}
        return {**arrays, 'b': r.standard_normal((1, n)), 'activation': activation}

    @staticmethod
    def expected(a):
        ha, ra, za, s = split(a['ga'], a['y'].shape[1])
        r, z, s = sigmoid(ra), sigmoid(za), s + a['b']
        ha = ha + r * s
        h = ACTIVATIONS[a['activation']](ha)
        return {'ga': np.hstack([ha, ra, za, s]), 'gb': np.hstack([h, r, z]),
                'y': (1 - z) * h + z * a['y_before']}


class GruBackward(Case):
    shapes = CELLS
    tolerance = 64
    adds = 0

    @staticmethod
    def arguments(r, b, n, activation):
        sizes = dict(dy=1, y_before=1, ga=4, dga=4, dgb=3, dy_before=1)
        arrays = {name: r.standard_normal((b, k * n)) for name, k in sizes.items()}
        return {**arrays, 'gb': r.random((b, 3 * n)), 'activation': activation}

    @classmethod
    def expected(cls, a):
        n = a['dy'].shape[1]
        (h, r, z), s, dy = split(a['gb'], n), split(a['ga'], n)[3], a['dy']
        old = {k: a[k] if cls.adds else np.zeros_like(a[k]) for k in ('dga', 'dgb')}
        (eha, era, eza, es), (ehb, erb, ezb) = split(old['dga'], n), split(old['dgb'], n)
        dhb, dzb = ehb + dy * (1 - z), ezb + dy * (a['y_before'] - h)
        dha = eha + DERIVATIVES[a['activation']](h, dhb)
        drb = erb + dha * s
        dra, dza = era + drb * r * (1 - r), eza + dzb * z * (1 - z)
        return {'dga': np.hstack([dha, dra, dza, es + dha * r]),
                'dgb': np.hstack([dhb, drb, dzb]), 'dy_before': dy * z}


CASES['gru_backward'] = GruBackward
CASES['gru_backward_add'] = type('gru_backward_add', (GruBackward,), {'adds': 1})


@case
class reverse_steps(Case):
    shapes = [(1, 1, 1), (1, 5, 3), (7, 1, 2), (6, 5), (6, 5, 4), (9, 4, 2, 3), (50, 30, 40)]
    tolerance = 0

    @staticmethod
    def arguments(r, *shape):
        return {
            'x': r.standard_normal(shape),
            'mask': (r.random(shape[:2] + (1,)) < 0.4) * 2.5,
            'y': r.standard_normal(shape),
        }

    @staticmethod
    def expected(a):
        y = a['x'].copy()
        for b, mask in enumerate(a['mask'][:, :, 0].T):
            n = max(np.flatnonzero(mask), default=-1) + 1
            y[:n, b] = a['x'][:n, b][::-1]
        return {'y': y}


# ---- steppers ----


def stepper_case(name, numbers, states, formula):
    """A case over flat vectors; `formula` gives the new values of the states and of p."""

    class StepperCase(Case):
        shapes = [(1,), (77,), (70001,)]
        tolerance = 64

        @staticmethod
        def arguments(r, n):
            args = {state: r.random(n) for state in states}
            return {**args, 'g': r.standard_normal(n), 'p': r.standard_normal(n), **numbers}

        @staticmethod
        def expected(a):
            return formula(**a)

    CASES[name] = StepperCase


def rmsprop(rate, decay, epsilon, momentum, g, s, v, p):
    s = decay * s + (1 - decay) * g * g
    v = momentum * v - rate * g / (np.sqrt(s) + epsilon)
    return {'s': s, 'v': v, 'p': p + v}


def adam(rate, beta1, beta2, epsilon, bias1, bias2, g, m, v, p):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return {'m': m, 'v': v, 'p': p - rate * (m / bias1) / (np.sqrt(v / bias2) + epsilon)}


def adagrad(rate, epsilon, g, s, p):
    s = s + g * g
    return {'s': s, 'p': p - rate * g / (np.sqrt(s) + epsilon)}


def adadelta(rate, decay, epsilon, g, s, d, p):
    s = decay * s + (1 - decay) * g * g
    u = np.sqrt(d + epsilon) / np.sqrt(s + epsilon) * g
    return {'s': s, 'd': decay * d + (1 - decay) * u * u, 'p': p - rate * u}


stepper_case('rmsprop_step', {'rate': 0.1, 'decay': 0.75, 'epsilon': 0.01, 'momentum': 0.5},
             ('s', 'v'), rmsprop)
stepper_case('adam_step', {'rate': 0.1, 'beta1': 0.75, 'beta2': 0.875, 'epsilon': 0.01,
                           'bias1': 0.25, 'bias2': 0.125}, ('m', 'v'), adam)
stepper_case('adagrad_step', {'rate': 0.1, 'epsilon': 0.01}, ('s',), adagrad)
stepper_case('adadelta_step', {'rate': 0.5, 'decay': 0.75, 'epsilon': 0.01}, ('s', 'd'), adadelta)
