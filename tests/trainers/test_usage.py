"""What a process takes of its machine; the GPU of these tests says what it is told to."""

from types import SimpleNamespace

import pytest
import torch

from diagnostics.metrics import is_metric
from trainers import usage
from trainers.usage import Usage


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    said = {"memory_allocated": 2**30, "memory_reserved": 3 * 2**30, "max_memory_allocated": 2.5 * 2**30}
    for name, value in said.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 75)
    return torch.device("cuda", 0)


def test_of_a_processor_what_was_used_since_the_last_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = iter([(0.0, 0.0), (10.0, 5.0), (12.0, 9.0)])
    passed: list[float] = []

    def perf_counter() -> float:
        now, worked = next(clocks)
        passed.append(worked)
        return now

    monkeypatch.setattr(usage, "time", SimpleNamespace(perf_counter=perf_counter, process_time=lambda: passed[-1]))
    used = Usage(torch.device("cpu"))
    assert used.read()["process_cpu"] == 0.5
    assert used.read() == {"process_cpu": 2.0, "process_memory": pytest.approx(0.5, abs=10)}


def test_of_a_gpu_its_memory_and_how_busy_it_is_where_nvml_is_there(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "find_spec", lambda name: None)
    memory = {"gpu_memory_allocated": 1.0, "gpu_memory_reserved": 3.0, "gpu_memory_peak": 2.5}
    assert memory.items() <= Usage(gpu).read().items()
    assert "gpu_utilization" not in Usage(gpu).read()
    monkeypatch.setattr(usage, "find_spec", lambda name: object())
    used = Usage(gpu).read()
    assert used["gpu_utilization"] == 0.75
    assert all(is_metric(name) for name in used)


def test_a_driver_that_does_not_say_is_asked_once(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def refuse(device: torch.device) -> int:
        asked.append(device)
        raise RuntimeError("not supported")

    monkeypatch.setattr(usage, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    used = Usage(gpu)
    assert "gpu_utilization" not in used.read()
    assert "gpu_memory_peak" in used.read()
    assert len(asked) == 1
