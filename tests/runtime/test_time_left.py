"""Times in words, and the time that is left of work at a steady pace."""

from types import SimpleNamespace

from isoslice.runtime.time_left import TimeLeft, spoken


def test_time_left_is_that_of_a_steady_pace():
    now = SimpleNamespace(time=0.0)
    left = TimeLeft(lambda: now.time)
    assert left.told("restoring", 0.5) == "restoring: 50%"  # went on there
    now.time = 10.0
    assert left.told("restoring", 0.75) == "restoring: 75%, 10 s left"
    now.time = 20.0
    assert left.told("restoring", 1.0) == "restoring: 100%, took 20 s"
    assert left.told("reading", 0.0) == "reading: 0%"


def test_days_of_work_are_foreseen_within_half_a_minute():
    now = SimpleNamespace(time=0.0)
    left = TimeLeft(lambda: now.time)
    left.told("restoring", 0.0)
    now.time = 29.0
    assert left.told("restoring", 1e-4) == "restoring: 0%"  # too early to tell
    now.time = 31.0
    assert left.told("restoring", 1e-4) == "restoring: 0%, 4 days left"


def test_times_are_told_in_one_unit():
    told = [spoken(seconds) for seconds in (-0.3, 3.4, 70, 5000, 10**6)]
    assert told == ["0 s", "3 s", "1 min", "1.4 h", "12 days"]
