"""All that is imported of TRL by what builds on its private parts; under another TRL it says so in one line."""

from __future__ import annotations

from trainers.supported import require_trl

require_trl()  # first: under another TRL some of these imports fail, and others bring what has changed

from trl import GRPOConfig, GRPOTrainer  # noqa: E402
from trl.models.utils import disable_gradient_checkpointing  # noqa: E402
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head  # noqa: E402

__all__ = ["FusedCausalLMOutput", "GRPOConfig", "GRPOTrainer", "add_fused_lm_head", "disable_gradient_checkpointing"]
