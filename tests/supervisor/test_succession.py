"""Who follows whom, when the tree becomes another meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from jobsd.supervisor.children import Place
from jobsd.supervisor.succession import Step, Succession


def test_who_is_gone_with_a_place_that_was_given_up_is_told_nothing_more() -> None:
    told: list[str] = []
    spec: Any = SimpleNamespace(kind="worker")
    old, new = (_child(pid, told) for pid in (1, 2))
    place = Place(spec)
    place.child = old
    crew: Any = SimpleNamespace(places=[place], living={1: old, 2: new})
    crew.start = lambda _place, _spec: new  # pyright: ignore[reportUnknownLambdaType]
    succession = Succession(crew, 5.0)
    succession.plan([Step(place, spec, "recycled")])
    succession.go_on(0.0)

    # TTOU, or a reload with fewer of them; the old one has ended before the new one works.
    crew.places.remove(place)
    del crew.living[1]
    new.at_work = True
    succession.go_on(1.0)

    assert told == []
    assert not succession.under_way


def _child(pid: int, told: list[str]) -> Any:
    slot = SimpleNamespace(name=f"worker-{pid}")
    return SimpleNamespace(pid=pid, slot=slot, at_work=False, dismiss=told.append)
