"""Logs two runs of one name with trackio: python log_trackio.py PROJECT

After half of the second run it says `half` and waits for a line, so that it can be read while it is written.
"""

from __future__ import annotations

import math
import sys

import trackio

STEPS = 60
CONFIG = {"learning_rate": 1e-6, "beta": 0.04, "trainer": {"packing": True}}


def row(run: int, step: int) -> dict[str, float]:
    """What is logged at a step: the reward of the second run falls, and one gradient is no number."""
    return {
        "train/reward": 0.25 - run * step / 128,
        "train/kl": 0.01 * math.exp(step / 16),
        "train/grad_norm": math.nan if step == 7 else math.inf if step == 9 else 1.0,
        "train/global_step": 10 * (step + 1),
    }


def main(project: str) -> None:
    """Log both runs."""
    for run in range(2):
        trackio.init(project=project, name="same", config=CONFIG | {"seed": run})
        for step in range(STEPS):
            trackio.log(row(run, step))
            if run and step == STEPS // 2 - 1:
                print("half", flush=True)
                sys.stdin.readline()
        trackio.finish()


if __name__ == "__main__":
    main(sys.argv[1])
