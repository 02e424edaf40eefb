"""A draft agent for fantasy football: simulated snake drafts, the value of a roster, a 12-team league tournament."""

from core.use_case import UseCase
from core.use_cases.fantasy_draft.config import FantasyDraftConfig
from core.use_cases.fantasy_draft.contest import contest
from core.use_cases.fantasy_draft.report import SFT_LOSS, sections
from core.use_cases.fantasy_draft.rows import collect, groups, replay, reward

FANTASY_DRAFT = UseCase(
    name="fantasy_draft",
    title="Fantasy draft",
    config=FantasyDraftConfig,
    collect=collect,
    reward=reward,
    groups=groups,
    contest=contest,
    replay=replay,
    sections=sections,
    reads={
        "collect": ("as_of", "players", "field", "collect"),
        "reward": ("as_of", "players", "field", "collect", "reward"),
        "groups-sft": (),
        "groups-grpo": (),
        "groups-dpo": (),
        "groups-kto": (),
        "groups-ppo": (),
        "contest": ("as_of", "players", "field", "contest"),
    },
    choices=True,
    loss_targets={"sft": SFT_LOSS},
)
