"""A dashboard that learns from thumbs which widget answers a question, and how it should look."""

from core.use_case import UseCase
from core.use_cases.widget_ratings.config import WidgetRatingsConfig
from core.use_cases.widget_ratings.contest import contest, replay
from core.use_cases.widget_ratings.exam import exam
from core.use_cases.widget_ratings.gathering import gather, known_until, statistics
from core.use_cases.widget_ratings.groups import groups, too_few
from core.use_cases.widget_ratings.report import sections
from core.use_cases.widget_ratings.rows import NAME, collect, reward

WIDGET_RATINGS = UseCase(
    name=NAME,
    title="Widget ratings",
    config=WidgetRatingsConfig,
    collect=collect,
    reward=reward,
    groups=groups,
    too_few=too_few,
    contest=contest,
    replay=replay,
    sections=sections,
    reads={
        "collect": (
            "as_of",
            "source",
            "data_file",
            "ratings_file",
            "file_source",
            "problems",
            "votes",
        ),
        "reward": ("votes", "held_out", "validation"),
        "groups-dpo": ("model", "prompt_tokens", "completion_tokens", "dpo"),
        "groups-kto": ("model", "prompt_tokens", "completion_tokens", "dpo"),
        "contest": (
            "model",
            "prompt_tokens",
            "completion_tokens",
            "dpo",
            "contest",
            "simulation",
            "source",
            "data_file",
            "ratings_file",
        ),
    },
    stored=lambda _config, _snapshot: None,
    gather=gather,
    rows_of=lambda config: config.rows_of,
    known_until=known_until,
    statistics=statistics,
    exam=exam,
)
