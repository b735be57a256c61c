"""The searches of one worker for limited jobs: as they come, or those of one kind alone.

One for jobs as they come begins at the head each time, and passes over the gaps that it has
found: nothing in them can be started here now, and they are cleared in the background.

One for functions alone, or for coroutines alone, walks over the jobs of the other kind, of
which there may be very many. It goes on where it has come to, up to the first of its own kind
that it may have left. It leaves no gaps: what it has passed over is for the other searches, and
what comes there later, or is given back, is found by its sweeps.
"""

from collections.abc import Iterator

from jobsd.clock import monotonic
from jobsd.states.series import Met

from .cursor import ClaimCursor, Gap
from .ways import Kind

Reached = tuple[str | None, int, int]
"""How far nothing is left: a queue (None: all of them), a priority and a position."""

SEARCH_MIN, SEARCH_MAX = 500, 20_000
"""Jobs that one statement meets; more only after statements that met none for us."""
WALK_MAX = 5000
"""The most that a search of one kind meets, which looks at the class of each."""
PAUSE_MIN_S = 0.005
PAUSE_MAX_S, PAUSE_BUSY_S = 5.0, 0.25
"""The pause before the next search, if none was found: while the worker is registered as idle,
so that a notification comes, and while it is not.
"""


class Search:
    """A search for jobs as they come: from where, how far, and when."""

    def __init__(self) -> None:
        self.cursor = ClaimCursor()
        self.depth = SEARCH_MIN
        self.due_at = 0.0
        """When to search (monotonic)."""
        self.met_none = False
        """Whether the last search met none, and no notification came since."""
        self._pause_s = PAUSE_MIN_S

    def now(self) -> None:
        """Search at once: there is reason to think that limited jobs may be claimed."""
        self.met_none = False
        self.due_at = 0.0
        self._pause_s = PAUSE_MIN_S

    def reset(self) -> None:
        """Begin at the head again: the database may be another, or jobs lie before."""
        self.cursor.reset()
        self.now()

    def pause(self, *, registered: bool) -> None:
        """Wait a while, twice as long as the last time."""
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S if registered else PAUSE_BUSY_S)
        self.due_at = monotonic() + self._pause_s

    def go_on(self, met: Met, claimed: int, took_s: float, *, registered: bool) -> None:
        """Note the jobs that a search has met, and the number that it has claimed."""
        self.met_none = not met.walked
        if claimed or met.left:
            self.depth = SEARCH_MIN
            self._pause_s = PAUSE_MIN_S
            self.due_at = 0.0 if claimed else monotonic() + PAUSE_MIN_S
        elif met.walked >= self.depth:
            self._pass_over(met, took_s)
        else:
            self.depth = SEARCH_MIN
            self.cursor.request_sweep()
            self.pause(registered=registered)

    def advance(self, met: Met, *, sweep: bool) -> None:  # noqa: ARG002 - one for one kind reads it
        """Let the cursor take note of a search: of its gaps only, it has no positions."""
        self.cursor.advance((), sweep=sweep)

    def _pass_over(self, met: Met, took_s: float) -> None:  # noqa: ARG002 - as above
        for queue, priority, first, last, _ in met.stretches:
            self.cursor.skip(Gap(queue, priority, first - 1, last))
        self.depth = SEARCH_MAX
        self.due_at = 0.0


class KindSearch(Search):
    """A search for jobs of one kind, which walks over those of the other."""

    def now(self) -> None:
        """Search at once; from the head, as soon as that may be."""
        super().now()
        self.cursor.request_sweep()

    def advance(self, met: Met, *, sweep: bool) -> None:
        """Go on from the first job of the kind: jobs of it may have been left."""
        self.cursor.advance(_passed(met), sweep=sweep)

    def _pass_over(self, met: Met, took_s: float) -> None:
        """Walk on, and pause for as long as it took: the other kind is to be served, too."""
        if self.depth >= WALK_MAX:
            reached = [(each.queue, each.priority, each.last) for each in met.stretches]
            self.cursor.advance(reached, sweep=False)
        self.depth = min(WALK_MAX, self.depth * 4)
        self.cursor.note_walk(took_s)
        self.due_at = monotonic() + took_s


class Searches:
    """The three of them. A worker that knows no asynchronous job uses one only."""

    def __init__(self) -> None:
        self._by_kind: dict[Kind, Search] = {
            None: Search(),
            False: KindSearch(),
            True: KindSearch(),
        }

    def __getitem__(self, kind: Kind) -> Search:
        return self._by_kind[kind]

    @property
    def due_at(self) -> float:
        """When the first of them is to search (monotonic)."""
        return min([search.due_at for search in self._by_kind.values()])

    def now(self) -> None:
        """Let all search at once."""
        for search in self._by_kind.values():
            search.now()

    def pause(self, *, registered: bool) -> None:
        """Let all wait a while."""
        for search in self._by_kind.values():
            search.pause(registered=registered)

    def reset(self) -> None:
        """Let all begin at the head."""
        for search in self._by_kind.values():
            search.reset()


def _passed(met: Met) -> Iterator[Reached]:
    """Yield how far the search has found no job of its kind, by queue and priority."""
    for queue, priority, first, last, meant in met.stretches:
        if meant is None:
            yield queue, priority, last
            continue
        if meant > first:
            yield queue, priority, meant - 1
        return
