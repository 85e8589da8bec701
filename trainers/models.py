"""Any causal language model, from a folder or the hub: its tokenizer, its adapter, its number format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from diagnostics.errors import UserError


def load_tokenizer(model: str) -> Any:
    """The tokenizer of `model`, padding on the left as generation needs. UserError where there is no such model."""
    from transformers import AutoConfig, AutoTokenizer

    try:
        AutoConfig.from_pretrained(model)
        return AutoTokenizer.from_pretrained(model, padding_side="left")
    except (OSError, ValueError) as error:
        if not Path(model).exists():
            raise UserError(
                f"there is no folder {model}, and no model of that name on a hub that can be reached",
                "Give a causal LM.",
            ) from error
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"the model in {model} cannot be loaded: {reason}", "Give a causal LM.") from error


def lora(rank: int) -> Any:
    """An adapter of `rank` on every linear layer but the head, scaled by 2 as is usual (alpha = 2 rank)."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def wants_bf16() -> bool:
    """Whether bf16 is the better default: on a GPU that has it. On a CPU it is slower than fp32 and less exact."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
