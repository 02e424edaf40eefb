"""Which model version an arm of an experiment stands for now. Light to import: apps ask for it."""

from core.errors import ConfigError
from core.experiment import Arm, ExperimentSettings
from core.experiment.settings import CHAMPION, PREVIOUS, UNTRAINED
from core.store.current import BASE, SHORT, current_model, version_of
from core.store.engine import transaction
from core.store.tables import ChampionRow, CheckpointRow, PromotionRow

DIGEST = 64
"""Letters of a whole digest."""


def version_of_arm(experiment: ExperimentSettings, arm: Arm) -> str:
    """What an app stores with every rating of this arm's answers.

    Raises: ConfigError where the slot has no model of that role; StoreError and RecordError as `current_model`.
    """
    if arm.model == UNTRAINED:
        return BASE
    if arm.model not in {CHAMPION, PREVIOUS}:
        return arm.model[:SHORT] if len(arm.model) == DIGEST else arm.model
    in_use = current_model(str(experiment.use_case), experiment.slot, preset=experiment.preset)
    return in_use.version if arm.model == CHAMPION else _before(in_use.use_case, in_use.slot)


def arm_versions(experiment: ExperimentSettings) -> dict[str, str]:
    """The version of every arm, by the arm's name.

    Raises: ConfigError where two arms stand for one version, which no rating could tell apart; else as `version_of_arm`.
    """
    arms: dict[str, str] = {}
    for arm in experiment.arms:
        version = version_of_arm(experiment, arm)
        if version in arms:
            raise ConfigError(
                f"experiment '{experiment.name}': {arms[version]} and {arm.name} ({arm.model}) are both version "
                f"'{version}', and no rating tells them apart: give them two models"
            )
        arms[version] = arm.name
    return {name: version for version, name in arms.items()}


def _before(use_case: str, slot: str) -> str:
    """The version that was in use before the promotion in force. Raises: ConfigError where there was none."""
    with transaction() as session:
        holder = session.get(ChampionRow, (use_case, slot))
        promotion = holder and holder.promotion_id and session.get(PromotionRow, holder.promotion_id)
        if not promotion:
            raise ConfigError(
                f"{use_case} has no promotion in force in slot '{slot}', so no previous model: name a version instead"
            )
        model = session.get_one(CheckpointRow, promotion.incumbent)
    return version_of(model.kind, model.sha256)
