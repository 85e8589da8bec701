"""REINFORCE with a KL penalty through a real Trainer of transformers, which logs under TRL's names; seconds on a CPU.

The policy writes eight tokens, each drawn from logits of its own; the reward is the share of them that are even,
as a noisy judge sees it. Its `trainer_state.json` lies in `--out`; with `--wandb` wandb logs the run, too, offline,
below that folder.
"""

import argparse
import os
from dataclasses import dataclass

import torch
from transformers import Trainer, TrainingArguments

LENGTH, TOKENS, PROMPTS = 8, 16, 8


@dataclass
class Arguments(TrainingArguments):
    """What TRL's GRPOConfig has beside those of transformers, as far as it is needed here."""

    beta: float = 0.04
    num_generations: int = 8
    temperature: float = 1.0
    num_iterations: int = 1
    scale_rewards: str = "group"


class Policy(torch.nn.Module):
    """Logits for each place, and those that it began with."""

    def __init__(self) -> None:
        super().__init__()
        start = 0.5 * torch.randn(LENGTH, TOKENS)
        self.logits = torch.nn.Parameter(start.clone())
        self.register_buffer("reference", start)


class Reinforce(Trainer):
    """One batch of groups in each step."""

    def compute_loss(self, model, inputs, **_):
        policy = torch.distributions.Categorical(logits=model.logits / self.args.temperature)
        reference = torch.distributions.Categorical(logits=model.reference)
        tokens = policy.sample((PROMPTS, self.args.num_generations))
        rewards = (tokens % 2 == 0).float().mean(-1) + 1.0 * torch.randn(tokens.shape[:2])
        spread = rewards.std(1, keepdim=True)
        advantages = (rewards - rewards.mean(1, keepdim=True)) / (spread + 1e-4)
        ratio = reference.log_prob(tokens) - policy.log_prob(tokens)
        kl = ratio.exp() - 1 - ratio
        self.told = {
            "reward": rewards.mean(),
            "reward_std": spread.mean(),
            "frac_reward_zero_std": (spread == 0).float().mean(),
            "kl": kl.mean(),
            "entropy": policy.entropy().mean(),
        }
        return -(advantages[..., None] * policy.log_prob(tokens)).mean() + self.args.beta * kl.mean()

    def log(self, logs, *rest):
        logs |= {name: float(value) for name, value in self.told.items()}
        if self.state.global_step % 10 == 0:  # what it has learned, without the noise
            logs["eval_reward"] = float(self.model.logits.softmax(-1)[:, ::2].sum(-1).mean())
        super().log(logs, *rest)


def main() -> None:
    """Train and log."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--beta", type=float, default=0.04)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", required=True)
    parser.add_argument("--wandb", action="store_true")
    args = parser.parse_args()
    if args.wandb:
        os.environ |= {"WANDB_MODE": "offline", "WANDB_DIR": args.out, "WANDB_SILENT": "true"}
    torch.manual_seed(args.seed)
    trainer = Reinforce(
        Policy(),
        Arguments(
            args.out,
            learning_rate=args.lr,
            beta=args.beta,
            seed=args.seed,
            max_steps=args.steps,
            per_device_train_batch_size=1,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to="wandb" if args.wandb else "none",
            use_cpu=True,
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        ),
        train_dataset=[{"input_ids": [0]}] * args.steps,
    )
    trainer.train()
    trainer.save_state()


if __name__ == "__main__":
    main()
