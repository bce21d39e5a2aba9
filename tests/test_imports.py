"""What importing the package costs, draws and promises."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import brainstorm as bs
import brainstorm.all


def in_a_child(code):
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_all_lists_hold_what_exists():
    for module in ('brainstorm.all', *(f'brainstorm.{name}' for name in (
            'data_iterators', 'handlers', 'hooks', 'initializers', 'layers', 'scorers', 'tools',
            'training', 'utils', 'value_modifiers'))):
        imported = importlib.import_module(module)
        assert [name for name in imported.__all__ if not hasattr(imported, name)] == []


def public_functions():
    """(name, [function]) of all that users call; of a method also what it overrides."""
    for name in bs.all.__all__:
        public = getattr(bs.all, name)
        if inspect.isfunction(public):
            yield name, [public]
        elif inspect.isclass(public):
            for attribute in {'__init__', *dir(public)}:
                found = [vars(base).get(attribute) for base in public.__mro__]
                functions = [getattr(function, '__func__', function) for function in found]
                if attribute == '__init__' or not attribute.startswith('_'):
                    yield f'{name}.{attribute}', list(filter(inspect.isfunction, functions))


def has_hints(function):
    parameters = set(inspect.signature(function).parameters) - {'self', 'cls'}
    return parameters <= set(inspect.get_annotations(function))


def test_the_public_api_has_type_hints():
    operations = {operation['name'] for operation in bs._core.operations}  # NumPy arrays, numbers
    bare = [name for name, functions in public_functions()
            if functions and name.split('.')[-1] not in operations
            and not any(map(has_hints, functions))]
    assert bare == []
    assert (Path(bs.__file__).parent / 'py.typed').exists()


def test_importing_needs_numpy_and_h5py_only():
    before = 'import sys, numpy.random, h5py; before = set(sys.modules); import brainstorm; '
    new = in_a_child(before + "print(*{name.split('.')[0] for name in set(sys.modules) - before})")
    allowed = set(sys.stdlib_module_names) | {'brainstorm', 'numpy', 'h5py'}
    assert set(new) <= allowed


def test_optional_libraries_wait_for_their_use():
    loaded = in_a_child('''
import sys
from brainstorm.all import *
import numpy as np
net = create_net_from_spec('classification', 4, 2, 'F3')
data = {'default': np.zeros((1, 4, 4)), 'targets': np.zeros((1, 4, 1))}
trainer = Trainer(SgdStepper(), verbose=False)
trainer.add_hook(MonitorScores('valid', [Accuracy()]))
trainer.add_hook(StopAfterEpoch(1))
trainer.train(net, Minibatches(2, **data), valid=Undivided(**data))
net.summary(), net._repr_html_(), net.predict(data['default'])
print(*{name.split('.')[0] for name in sys.modules})
''')
    assert not {'tqdm', 'bokeh', 'matplotlib', 'sklearn', 'scipy', 'pandas'} & set(loaded)


def test_the_seed_of_global_rnd_is_one_draw_from_numpy():
    first, second = in_a_child(
        'import numpy as np; np.random.seed(5); import brainstorm as bs; '
        'print(np.random.randint(1000), bs.global_rnd.get_seed())')
    import numpy as np
    twin = np.random.RandomState(5)
    assert int(second) == twin.randint(0, 1000000000)
    assert int(first) == twin.randint(1000)


def test_the_default_handler_takes_the_first_seed():
    seed, default, after = in_a_child(
        'import brainstorm as bs; print(bs.global_rnd.get_seed(), '
        'bs.handlers.default_handler.rnd.get_seed(), bs.global_rnd.generate_seed())')
    import numpy as np
    twin = np.random.RandomState(int(seed))
    assert [int(default), int(after)] == list(twin.randint(0, 1000000000, 2))


def test_threads_are_counted():
    before = bs._core.num_threads()
    bs.set_num_threads(1)
    assert bs._core.num_threads() == 1
    bs.set_num_threads(before)
    for wrong, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ('2', TypeError)):
        with pytest.raises(error):
            bs.set_num_threads(wrong)
