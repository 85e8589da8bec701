"""A value head on a causal LM, inside its own forward pass so that DDP, FSDP and DeepSpeed see it."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainers.seams import FusedCausalLMOutput

NAME = "value_head"


@dataclass
class ScoredOutput(FusedCausalLMOutput):
    """What TRL's fused LM head gives, and the value of each position.

    A field called `values` would hide `dict.values`, which DDP calls.
    """

    value_preds: Tensor | None = None


def add_value_head(policy: Any, *, detach: bool) -> None:
    """Let `policy(..., fused_lm_head=True, with_values=True)` return a ScoredOutput.

    `policy` is a causal LM with TRL's fused LM head. The `value_preds`, (B, length - 1) as the `log_probs`, are the
    values of the states in which the next tokens are chosen; the last state has no next token and no value. The
    head is fp32 whatever the policy is, and begins at 0; with `detach` its loss does not reach other layers.

    It has one hidden layer, as trlX's (`make_head`): states have a large mean in common, and for a linear head what
    tells them apart is so small beside it that it is learned too slowly to explain any variance in a few hundred steps.
    """
    weight = next(policy.parameters())
    width = policy.config.get_text_config().hidden_size
    head = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)).to(weight.device, torch.float32)
    nn.init.zeros_(head[2].weight)
    nn.init.zeros_(head[2].bias)
    policy.add_module(NAME, head)
    score = policy.forward

    @functools.wraps(type(policy).forward)  # `generate` looks at the signature
    def forward(self: Any, *args: Any, with_values: bool = False, **kwargs: Any) -> Any:
        if not with_values:
            return score(*args, **kwargs)
        states: list[Tensor] = []
        hook = self.base_model.register_forward_hook(lambda _, __, output: states.append(output.last_hidden_state))
        try:
            output = score(*args, **kwargs)
        finally:
            hook.remove()
        state = states[0][:, :-1].detach() if detach else states[0][:, :-1]
        with torch.autocast(state.device.type, enabled=False):
            values = self.value_head(state.float()).squeeze(-1)
        return ScoredOutput(**{name: output[name] for name in output}, value_preds=values)

    policy.forward = types.MethodType(forward, policy)


class Scorer:
    """A model that is asked for values as well, called as TRL calls a model; `values` are those it gave."""

    def __init__(self, model: Callable[..., Any]) -> None:
        self._model = model
        self.values: list[Tensor] = []

    def __call__(self, **inputs: Any) -> Any:
        """The model's output, (B, length)."""
        output = self._model(**inputs, with_values=True)
        self.values.append(output.value_preds)
        return output


def split_state(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state of a model without its value head, and that of the head, under the head's own names."""
    mark = f"{NAME}."
    model = {name: tensor for name, tensor in state.items() if mark not in name}
    return model, {name.rpartition(mark)[2]: tensor for name, tensor in state.items() if mark in name}


@contextmanager
def hidden(policy: nn.Module) -> Iterator[None]:
    """`policy` without its value head, for whoever loads its weights into a model that has none (vLLM)."""
    head = policy._modules.pop(NAME)
    try:
        yield
    finally:
        policy._modules[NAME] = head
