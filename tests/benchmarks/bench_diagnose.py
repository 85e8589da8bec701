"""Reading and diagnosing a run of 100,000 steps x 30 metrics, as `autotune diagnose` does. Budget: 6 s, 400 MB."""

import random
import resource
import tempfile
import time
from pathlib import Path

from diagnostics.engine import diagnose
from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.metrics import metrics
from diagnostics.readers import events

STEPS = 100_000
METRICS = [name for name, metric in metrics().items() if not metric.family][:30]


def write(folder: Path) -> int:
    """A run of noise around 0.5; returns the size of its log in bytes."""
    noise = random.Random(0)
    log = EventLog(folder / "events.jsonl")
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {}))
    for step in range(STEPS):
        log.emit(MetricsLogged(step, {name: noise.uniform(0.4, 0.6) for name in METRICS}))
    log.emit(RunEnded(STEPS - 1, Outcome.FINISHED))
    log.close()
    return (folder / "events.jsonl").stat().st_size


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        size = write(Path(folder))
        begin = time.perf_counter()
        run = events.read(Path(folder))
        read = time.perf_counter()
        report = diagnose(run)
        end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{STEPS} steps x {len(METRICS)} metrics, {size / 1e6:.0f} MB: read {read - begin:.2f} s, rules "
        f"{end - read:.2f} s, {len(report.findings)} findings, {len(report.skips)} skips, peak {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
