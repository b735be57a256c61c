"""The one way to tell what has happened.

Rooms call `emit`; who listens (logs, hooks) subscribes. Without a subscriber, as in a
program that only enqueues, nothing is told: a library is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .event_list import EVENTS, Event, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Subscriber = Callable[[Event, dict[str, Any]], None]

__all__ = ["EVENTS", "Event", "Level", "emit", "pass_on", "subscribe", "tells"]

_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True, eq=False)
class _Subscription:
    call: Subscriber
    names: frozenset[str]
    everywhere: bool


_subscriptions: tuple[_Subscription, ...] = ()
_heard: frozenset[str] = frozenset()
_heard_levels: frozenset[str] = frozenset()


def tells(level: Level) -> bool:
    """Return whether anybody hears events of this level: for those whose facts are costly."""
    return level in _heard_levels


def emit(name: str, /, **facts: Any) -> None:  # noqa: ANN401 - facts are of any type
    """Tell everybody who listens what has happened; safe from any thread.

    Raises:
        KeyError: for a name that is not in the list.
    """
    if name not in _heard:
        _ = EVENTS[name]
        return
    event = EVENTS[name]
    for subscription in _subscriptions:
        if name in subscription.names:
            subscription.call(event, facts)


def pass_on(name: str, facts: dict[str, Any]) -> None:
    """Tell those who hear `everywhere` what has happened in another process."""
    for subscription in _subscriptions:
        if subscription.everywhere and name in subscription.names:
            subscription.call(EVENTS[name], facts)


def subscribe(
    subscriber: Subscriber,
    *,
    level: str = "debug",
    names: Iterable[str] = EVENTS,
    everywhere: bool = False,
) -> Callable[[], None]:
    """Call `subscriber(event, facts)` for what happens; return how to end it.

    Only what is at least as grave as `level`, and among `names`, is told: what nobody
    hears costs next to nothing. With `everywhere` also what other processes pass on.
    """
    grave = _LEVELS[_LEVELS.index(level) :]
    heard = frozenset(name for name in names if EVENTS[name].level in grave)
    subscription = _Subscription(subscriber, heard, everywhere)
    _set((*_subscriptions, subscription))
    return lambda: _set(each for each in _subscriptions if each is not subscription)


def _set(subscriptions: Iterable[_Subscription]) -> None:
    global _subscriptions, _heard, _heard_levels  # noqa: PLW0603 - read at each event
    _subscriptions = tuple(subscriptions)
    _heard = frozenset[str]().union(*(each.names for each in _subscriptions))
    _heard_levels = frozenset(EVENTS[name].level for name in _heard)
