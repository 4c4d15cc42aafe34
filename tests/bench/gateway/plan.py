"""What a part is given: where to play, how long and how often, and where the figures go."""

import dataclasses

from report import Report
from stage import Stage


@dataclasses.dataclass
class Bench:
    """A run of the benchmark."""

    stage: Stage
    report: Report
    # Whether only to see that it runs.
    quick: bool
    # Of one run of wrk.
    secs: float
    rounds: int
    # From the large bodies to the last look at memory.
    settle_secs: float
