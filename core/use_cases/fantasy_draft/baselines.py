"""Who plays in every contest besides the trained models, and what is measured."""

from core.evaluation import EvaluationSettings, check_names
from core.use_cases.fantasy_draft.policies import SCRIPTED, Policy, noisy
from core.use_cases.fantasy_draft.shortlist import first_of_shortlist

METRICS = ("title", "playoffs", "wins", "points")
"""Points a week over the league's mean."""
SAMPLED = "candidate, sampled"
"""The candidate again, drawing its picks from its distribution instead of taking the likeliest."""
MODELS = ("candidate", "incumbent", "untrained", SAMPLED)
"""Those that always play; a chain adds its own."""
BASELINES: dict[str, Policy] = {**SCRIPTED, "first of the shortlist": first_of_shortlist}
AA_BASELINE, AA_NOISE = "VOR + needs", 0.1
"""A baseline against itself needs dice of its own, or it would be the very same."""


def aa_policies() -> dict[str, Policy]:
    """One baseline twice, with other dice."""
    return {
        f"{AA_BASELINE}, dice {stream + 1}": noisy(BASELINES[AA_BASELINE], AA_NOISE, stream)
        for stream in (0, 1)
    }


def check_evaluation(settings: EvaluationSettings) -> EvaluationSettings:
    """Settings that name only who plays and what is measured here. Raises: ValueError, for the config's validator."""
    return check_names(settings, METRICS, (*MODELS, *BASELINES))
