"""What drafters are worth in the default field: the simulator is then as it was measured.

Every policy drafts the same leagues from the same seats, and plays the same seasons.
"""

import argparse
import sys

import numpy as np

from benchmarks.figures import Figure, report
from core.use_cases.fantasy_draft.league import play
from core.use_cases.fantasy_draft.policies import SCRIPTED
from core.use_cases.fantasy_draft.rules import Floats
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers

SEED = 30_000
CLAIMS = (("greedy VOR", 5.0), ("VOR + needs", 1.5))
BEST = "VONA"


def title_rates(policy: str, leagues: int, seasons: int) -> Floats:
    """The share of titles in each league, in percent."""
    tournament = play(SCRIPTED[policy], leagues, seasons, SEED, SyntheticPlayers())
    return 100 * tournament.simulated.titles_L_K.mean(axis=1)


def main() -> int:
    """Measure, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="960 leagues of 16 seasons, not 1,920 of 32")
    leagues, seasons = (960, 16) if parser.parse_args().quick else (1_920, 32)
    best = title_rates(BEST, leagues, seasons)
    figures = []
    for baseline, points in CLAIMS:
        rates = title_rates(baseline, leagues, seasons)
        error = np.std(best - rates, ddof=1) / leagues**0.5
        told = (
            f"{leagues} leagues x {seasons} seasons: {best.mean():.2f} % against {rates.mean():.2f} %, "
            f"paired standard error {error:.2f}"
        )
        name = f"title rate of {BEST} minus {baseline}"
        figures.append(Figure(name, float((best - rates).mean()), "points", points, told))
    return report(figures)


if __name__ == "__main__":
    sys.exit(main())
