"""How far a trained model has moved from its base where nothing was trained: on general text."""

from collections.abc import Sequence

import torch

from core.checkpoint import Checkpoint
from core.language.choice import answering_dtype
from core.language.model import base_checkpoint, load_checkpoint, pick_device
from core.language.tokens import prompt_tokens

GENERAL = (
    "The capital of France is Paris, and the river that runs through it is the Seine.",
    "To make bread you need flour, water, salt and yeast. Mix them, let the dough rise, and bake it.",
    "Water boils at a hundred degrees at sea level, and at less on a mountain, where the air is thinner.",
    "def add(first, second):\n    return first + second\n\nprint(add(2, 3))  # prints 5",
    "Dear Ms Weber, thank you for your letter of 3 May. We are glad to send you the papers you asked for.",
    "Question: How many days are in a leap year?\nAnswer: 366, since February then has 29 days.",
    "The cat sat by the window and watched the snow fall until the street lamps came on.",
    "If all dogs are animals and Rex is a dog, then Rex is an animal.",
    "SELECT name, count(*) FROM orders GROUP BY name ORDER BY 2 DESC LIMIT 10;",
    "Once upon a time there was a miller who had three sons, a mill, a donkey and a cat.",
)
"""Sentences of many kinds that have nothing to do with any use case."""


def general_kl(checkpoint: Checkpoint, texts: Sequence[str], *, dtype: str = "auto") -> float:
    """Mean KL(base || model) a token over some texts, in nats: 0 where nothing was lost. Raises: ModelError."""
    base = base_checkpoint(checkpoint.base_model)
    if base.sha256 == checkpoint.sha256:
        return 0.0
    theirs, ours = (_logprobs(one, checkpoint, texts, dtype) for one in (base, checkpoint))
    total = sum(
        float((p_T_V.exp() * (p_T_V - q_T_V)).sum()) for p_T_V, q_T_V in zip(theirs, ours, strict=True)
    )
    return max(0.0, total / sum(len(each) for each in ours))


def _logprobs(one: Checkpoint, as_in: Checkpoint, texts: Sequence[str], dtype: str) -> list[torch.Tensor]:
    """Each text's next-token distributions, (tokens, vocabulary), in float32."""
    device = pick_device()
    loaded = load_checkpoint(one, answering_dtype(as_in, dtype, device), device)
    found = []
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([prompt_tokens(loaded.tokenizer, text)], device=device)
            found.append(loaded.model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1).cpu())
    return found
