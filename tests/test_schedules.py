import pytest

from brainstorm.training import schedules


def run(schedule, numbers, timescale='epoch', interval=1):
    """The values at the given counts of the timescale; the other counter is far off."""
    return [schedule(n if timescale == 'epoch' else 999, n if timescale == 'update' else 999,
                     timescale, interval, None, None, None) for n in numbers]


@pytest.mark.parametrize('timescale', ['epoch', 'update'])
def test_linear(timescale):
    linear = schedules.Linear(1.0, 0.2, 4)
    assert run(linear, range(7), timescale) == \
        pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2])
    assert run(linear, [0, 2, 3, 5, 6], timescale, interval=3) == \
        pytest.approx([1.0, 1.0, 0.8, 0.8, 0.6])


def test_exponential_between_its_limits():
    assert run(schedules.Exponential(1.0, 0.5, minimum=0.2), range(4)) == [1.0, 0.5, 0.25, 0.2]
    assert run(schedules.Exponential(1.0, 2, maximum=3), [0, 2, 4], 'update', 2) == [1.0, 2.0, 3]


def test_multi_step():
    schedule = schedules.MultiStep(1.0, [2, 4], [0.5, 0.1])
    assert run(schedule, range(6)) == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]
    with pytest.raises(ValueError, match='interval of 1, got 2'):
        run(schedule, [0], interval=2)


def test_decrease_after_epoch_counts_epochs_always():
    schedule = schedules.DecreaseAfterEpoch(1.0, 3)
    assert run(schedule, range(6)) == pytest.approx([1, 1, 1, 3 / 4, 3 / 5, 1 / 2])
    assert schedule(5, 0, 'update', 1, None, None, None) == pytest.approx(0.5)


@pytest.mark.parametrize('make, error', [
    (lambda: schedules.Linear(1, 0, 0), ValueError),
    (lambda: schedules.Linear('1', 0, 3), TypeError),
    (lambda: schedules.Exponential(1, 2, minimum=3, maximum=1), ValueError),
    (lambda: schedules.MultiStep(1, [1, 2], [3]), ValueError),
    (lambda: schedules.MultiStep(1, [2, 1], [3, 4]), ValueError),
    (lambda: schedules.DecreaseAfterEpoch(1, 0), ValueError),
])
def test_wrong_arguments_fail_at_construction(make, error):
    with pytest.raises(error):
        make()


def test_unknown_timescales_are_named():
    with pytest.raises(ValueError, match="'batch'"):
        run(schedules.Linear(1, 0, 3), [1], 'batch')
