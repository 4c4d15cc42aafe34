"""What a part is given: where to play, how long and how often, and where the figures go."""

import contextlib
import dataclasses
from collections.abc import Iterator

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

    def cores(self) -> Iterator[tuple[str, contextlib.AbstractContextManager[None]]]:
        """How cores are while single calls are timed, and what makes them so."""
        yield "as they are", contextlib.nullcontext()
        yield "kept awake", self.stage.awake()
