"""A script that knows nothing of autotune: REINFORCE with a KL penalty, on a policy of a few hundred numbers.

The policy writes eight tokens, each drawn from logits of its own; the reward is the share of them that follow a
pattern. Every step is a line of JSON in `log.jsonl`: `score` is a name of the script's own, the others are names that
autotune diagnoses.
"""

import argparse
import json
from pathlib import Path

import numpy as np

LENGTH, TOKENS = 8, 32
TARGET = np.arange(LENGTH) * 3 % TOKENS


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def main() -> None:
    """Train and log."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--beta", type=float, default=0.04, help="weight of the KL penalty")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path())
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    reference = rng.normal(0, 0.5, (LENGTH, TOKENS))  # where it starts, and what the penalty holds it to
    reference[np.arange(LENGTH), TARGET] += 1.0
    logits, known = reference.copy(), np.log(softmax(reference))
    batch, places = 64, np.arange(LENGTH)
    with (args.out / "log.jsonl").open("w", buffering=1) as log:
        for step in range(args.steps + 1):
            policy = softmax(logits)
            tokens = (policy.cumsum(-1)[None] < rng.random((batch, LENGTH, 1))).sum(-1).clip(max=TOKENS - 1)
            rewards = (tokens == TARGET).mean(-1)
            ratio = known[places, tokens] - np.log(policy[places, tokens])  # of the reference to the policy
            advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
            chosen = np.eye(TOKENS)[tokens] - policy[None]  # the gradient of the log-probability of each token
            gradient = ((advantages[:, None] + args.beta * ratio)[..., None] * chosen).mean(0)
            row = {
                "step": step,
                "score": float(policy[places, TARGET].mean()),  # the reward to be expected
                "reward_mean": float(rewards.mean()),
                "kl.reference.k3.token": float((np.exp(ratio) - 1 - ratio).mean()),
                "entropy.token": float(-(policy * np.log(policy + 1e-30)).sum(-1).mean()),
                "grad_norm": float(np.linalg.norm(gradient)),
                "learning_rate": args.lr,
                "completions_generated": batch * (step + 1),
            }
            print(json.dumps(row), file=log)
            logits += args.lr * gradient
    print(f"score {row['score']:.3f}")


if __name__ == "__main__":
    main()
