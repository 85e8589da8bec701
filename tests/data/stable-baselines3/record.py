"""Writes progress.csv and monitor.csv with the real Logger and Monitor of Stable-Baselines3 (2.9.2 wrote those here).

Run it from an environment that has it, and gymnasium.
"""

from __future__ import annotations

import math
from pathlib import Path

import gymnasium
from stable_baselines3.common.logger import CSVOutputFormat, Logger
from stable_baselines3.common.monitor import Monitor

HERE = Path(__file__).parent


def progress() -> None:
    """Training is logged from the second time on, so the columns become more; an evaluation has rows of its own."""
    logger = Logger(str(HERE), [CSVOutputFormat(str(HERE / "progress.csv"))])
    for i in range(1, 6):
        if i > 1:
            logger.record("train/approx_kl", math.nan if i == 4 else i / 1000)
            logger.record("train/n_updates", 10 * (i - 1))
        logger.record("rollout/ep_rew_mean", i * 1.5)
        logger.record("time/total_timesteps", 2048 * i)
        logger.record("note", 'a, "b"')
        logger.dump(i)
        if i == 3:
            logger.record("eval/mean_reward", 7.25)
            logger.record("time/total_timesteps", 2048 * i + 1)
            logger.dump(i)
    logger.close()


class Countdown(gymnasium.Env):  # type: ignore[type-arg]
    """Ends after more and more steps, each with a reward of a half."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    episodes = 0

    def reset(self, *, seed=None, options=None):
        self.episodes += 1
        self.left = self.episodes
        return 0, {}

    def step(self, action):
        self.left -= 1
        return 0, 0.5, self.left == 0, False, {"is_success": self.left == 0}


def monitor() -> None:
    environment = Monitor(Countdown(), str(HERE / "monitor.csv"), info_keywords=("is_success",))
    for _ in range(6):
        environment.reset()
        done = False
        while not done:
            done = environment.step(0)[2]
    environment.close()


if __name__ == "__main__":
    progress()
    monitor()
