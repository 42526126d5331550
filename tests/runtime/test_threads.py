"""Work on all cores: what comes out, in which order, and what stays as it was."""

import threading
import time
from functools import partial

import numpy as np
import pytest
import torch

from isoslice.data.grid import even_grid
from isoslice.models.config import ModelConfig
from isoslice.models.networks.denoiser import Denoiser
from isoslice.runtime.threads import behind, on_all_cores
from restoring import restore

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 3])
def test_all_is_done_and_told_in_order(threads, count):
    threads(count)
    done: list[int] = []
    assert list(on_all_cores(done.append, range(20), CPU)) == list(range(20))
    assert sorted(done) == list(range(20))
    assert torch.get_num_threads() == count


def test_threads_compute_alone(threads):
    threads(3)
    seen = []

    def work(item):
        seen.append((torch.get_num_threads(), threading.current_thread()))

    list(on_all_cores(work, range(8), CPU))
    assert {number for number, _ in seen} == {1}
    assert threading.main_thread() not in {thread for _, thread in seen}


def test_an_error_ends_it(threads):
    threads(2)
    done = []

    def work(item):
        if item == 3:
            raise ValueError("three")
        time.sleep(0.001)
        done.append(item)

    with pytest.raises(ValueError, match="three"):
        list(on_all_cores(work, range(1000), CPU))
    assert len(done) < 900
    assert torch.get_num_threads() == 2


def test_other_devices_take_turns():
    names = []
    list(on_all_cores(lambda _: names.append(threading.current_thread()), range(3), META))
    assert set(names) == {threading.main_thread()}


def test_calls_behind_keep_their_order_and_one_waits():
    done: list[int] = []
    held = threading.Event()
    with behind() as run:
        run(held.wait)
        threading.Timer(0.05, held.set).start()
        run(partial(done.append, 0))  # once the first has ended
        assert held.is_set()
        for number in range(1, 20):
            run(partial(done.append, number))
            assert len(done) >= number - 1
    assert done == list(range(20))


def ends_badly(calls, error=None):
    """Run calls behind, then raise an error here."""
    with behind() as run:
        for call in calls:
            run(call)
        if error is not None:
            raise error


@pytest.mark.parametrize("following", [0, 1])
def test_an_error_behind_is_raised_here(following):
    went_on: list[int] = []
    calls = [partial(int, "behind"), *[partial(went_on.append, 1)] * following]
    with pytest.raises(ValueError, match="behind"):
        ends_badly(calls)
    assert not went_on


def test_an_error_here_waits_for_what_is_behind():
    done: list[int] = []

    def slow():
        time.sleep(0.05)
        done.append(1)

    with pytest.raises(KeyError):
        ends_badly([slow], KeyError())
    assert done


@pytest.mark.slow
@pytest.mark.usefixtures("arithmetic")
def test_any_number_of_threads_gives_the_same_bits(threads):
    torch.manual_seed(0)
    network = Denoiser(2, (8, 12, 16), (1, 1, 1), (1, 1, 0)).eval()
    network.renormalize()
    with torch.no_grad():
        network.leave_gain.fill_(0.5)
    planes = np.random.default_rng(0).random((2, 9, 75, 93), np.float32)
    config = ModelConfig(sigma_data=0.1)
    found = []
    for count in (1, 2, 3, 5):
        threads(count)
        found.append(restore(network, config, planes, even_grid(9, 4)))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
