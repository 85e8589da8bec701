"""What a process that trains takes of its machine: memory, processor, and of a GPU where there is one."""

from __future__ import annotations

import time
from importlib.util import find_spec

import psutil
import torch

GIB = 2.0**30  # bytes


class Usage:
    """Reads canonical metrics of this process and of its `device`; those of a GPU only where that is one.

    A reading takes about 0.1 ms. It waits for nothing: the GPU is asked what was allocated, and NVML, where it is
    installed, how busy it has been.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._asks_nvml = device.type == "cuda" and find_spec("pynvml") is not None
        self._told = self._clocks()

    def read(self) -> dict[str, float]:
        """What is taken now, and of the processor since the last reading."""
        before, self._told = self._told, self._clocks()
        used = {"process_memory": self._process.memory_info().rss / GIB}
        if self._told[0] > before[0]:
            used["process_cpu"] = (self._told[1] - before[1]) / (self._told[0] - before[0])
        if self._device.type == "cuda":
            used |= self._of_gpu()
        return used

    def _clocks(self) -> tuple[float, float]:
        """Seconds that passed, and that processors worked for this process."""
        return time.perf_counter(), time.process_time()

    def _of_gpu(self) -> dict[str, float]:
        cuda = torch.cuda
        used = {
            "gpu_memory_allocated": cuda.memory_allocated(self._device) / GIB,
            "gpu_memory_reserved": cuda.memory_reserved(self._device) / GIB,
            "gpu_memory_peak": cuda.max_memory_allocated(self._device) / GIB,
        }
        if self._asks_nvml:
            try:
                used["gpu_utilization"] = cuda.utilization(self._device) / 100
            except RuntimeError:  # a GPU, or a part of one, whose driver does not say
                self._asks_nvml = False
        return used
