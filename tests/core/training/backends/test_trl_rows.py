"""What TRL counts as one of a batch."""

from core.language.row import TokenGroup
from core.training.backends.trl_rows import batched_groups
from core.training.config import DpoSettings, GrpoSettings, KtoSettings
from core.training.data import TrainingGroup

GROUP = TrainingGroup(
    "g", TokenGroup((1, 2), ((3,), (4,), (5,), (6, 7))), rewards=(1.0, 0.0, 0.5), mismatched=1
)


def completions(settings) -> list[tuple[tuple[int, ...], ...]]:
    return [group.tokens.completions for group in batched_groups([GROUP], settings)]


def test_a_batch_is_counted_as_trl_counts_it():
    """Pairs for DPO; for KTO the completions that one of another prompt can stand beside; prompts for GRPO."""
    assert completions(DpoSettings(trainer="trl")) == [((3,), (4,)), ((3,), (5,)), ((5,), (4,))]
    assert completions(KtoSettings(trainer="trl")) == [((3,),)]
    online = GrpoSettings(trainer="trl", estimator="online")
    assert batched_groups([GROUP], online) == [GROUP]
