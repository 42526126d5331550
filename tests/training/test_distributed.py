"""Which of several processes one is, and what is refused before any of them works."""

import pytest
import torch

from conftest import Cli
from isoslice.errors import SettingsError
from isoslice.training.distributed.topology import ProcessTopology, cores, find_topology, first_host

CPU, GPU = torch.device("cpu"), torch.device("cuda")
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "GROUP_RANK": "1",
}
SLURM = {
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}


def test_alone_nothing_is_looked_at():
    assert find_topology(1, 1, CPU, TORCHRUN) == ProcessTopology()
    assert ProcessTopology().first


def test_without_a_cluster_processes_have_yet_to_be_started():
    if cores() < 2:
        pytest.skip("one core")
    assert find_topology(2, 1, CPU, {}) is None


@pytest.mark.parametrize(
    ("environment", "meeting"), [(TORCHRUN, "env://"), (SLURM, "tcp://gpu07:18456")]
)
def test_what_a_cluster_says(environment, meeting):
    found = find_topology(4, 2, CPU, environment)
    assert found == ProcessTopology(5, 8, 1, 4, 1, meeting)
    assert found.nodes == 2
    assert not found.first


def test_an_allocation_without_srun_is_one_process():
    """A batch script knows how many tasks there could be; only srun starts them."""
    batch = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}
    with pytest.raises(SettingsError, match=r"got nodes 2, but neither SLURM nor torchrun"):
        find_topology(4, 2, CPU, batch)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[07-09,12],big1", "gpu07"),
        ("a1,b[2-3]", "a1"),
        ("one", "one"),
        ("rack[3,5]-ib", "rack3-ib"),
    ],
)
def test_first_host_of_a_list(nodes, first):
    assert first_host(nodes) == first


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM])
@pytest.mark.parametrize(("devices", "nodes"), [(8, 2), (8, 1), (2, 4), (2, 1)])
def test_other_numbers_than_were_started_are_refused(environment, devices, nodes):
    with pytest.raises(SettingsError, match="but 8 processes were started on 2 node"):
        find_topology(devices, nodes, CPU, environment)


def test_uneven_nodes_are_refused():
    with pytest.raises(SettingsError, match="expected 4 on each of 2"):
        find_topology(4, 2, CPU, SLURM | {"SLURM_LOCALID": "4"})


@pytest.mark.parametrize(
    ("devices", "nodes", "device", "words"),
    [
        (0, 1, CPU, "got devices 0, expected at least 1"),
        (1, -1, CPU, "got nodes -1, expected at least 1"),
        (10_000, 1, CPU, r"got devices 10000 with \d+ core"),
        (10_000, 1, GPU, r"got devices 10000 with \d+ GPU"),
        (2, 1, torch.device("mps"), "use --devices 1, or --device cpu"),
    ],
)
def test_refusals(devices, nodes, device, words):
    with pytest.raises(SettingsError, match=words):
        find_topology(devices, nodes, device, {})


def test_refusals_by_command(cli: Cli, tmp_path, stack_file, monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    out = tmp_path / "model"
    for options, words in (
        (["--devices", 10_000, "--device", "cpu"], "got devices 10000"),
        (["--nodes", 2], "neither SLURM nor torchrun started this process"),
    ):
        code, _, (line,) = cli("train", stack_file, "-o", out, "--steps", 1, *options)
        assert code == 1
        assert words in line
    assert cli("train", stack_file, "-o", out, "--devices", 0).code == 2
    assert not list(tmp_path.glob("model*"))
