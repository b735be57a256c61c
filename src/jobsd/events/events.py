"""Events: emits them to the log, to hooks and to metrics.

A room calls `emit`; logs and hooks subscribe. Without a subscriber, as in a program that only
enqueues, nothing is logged: a library is silent.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .event_list import EVENTS, Event, Level

Subscriber = Callable[[Event, dict[str, Any]], None]

__all__ = ["EVENTS", "Event", "Level", "emit", "is_subscribed", "pass_on", "subscribe"]

_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True, eq=False)
class _Subscription:
    call: Subscriber
    names: frozenset[str]
    everywhere: bool


_subscriptions: tuple[_Subscription, ...] = ()
_subscribed: frozenset[str] = frozenset()
_subscribed_levels: frozenset[str] = frozenset()


def is_subscribed(level: Level) -> bool:
    """Return whether events of this level have a subscriber; for events with costly facts."""
    return level in _subscribed_levels


def emit(name: str, /, **facts: Any) -> None:  # noqa: ANN401 - facts are of any type
    """Call the subscribers of an event. Safe from any thread.

    Raises:
        KeyError: for a name that is not in the list.
    """
    if name not in _subscribed:
        _ = EVENTS[name]
        return
    event = EVENTS[name]
    for subscription in _subscriptions:
        if name in subscription.names:
            subscription.call(event, facts)


def pass_on(name: str, facts: dict[str, Any]) -> None:
    """Call the subscribers `everywhere` of an event from another process."""
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
    """Call `subscriber(event, facts)` for each event; return a function that ends this.

    It is called only for events of this `level` or above that are among `names`; an event
    without a subscriber costs next to nothing. With `everywhere` it is also called for events
    that other processes pass on.
    """
    grave = _LEVELS[_LEVELS.index(level) :]
    chosen = frozenset(name for name in names if EVENTS[name].level in grave)
    subscription = _Subscription(subscriber, chosen, everywhere)
    _set((*_subscriptions, subscription))
    return lambda: _set(each for each in _subscriptions if each is not subscription)


def _set(subscriptions: Iterable[_Subscription]) -> None:
    global _subscriptions, _subscribed, _subscribed_levels  # noqa: PLW0603 - read at each event
    _subscriptions = tuple(subscriptions)
    _subscribed = frozenset[str]().union(*(each.names for each in _subscriptions))
    _subscribed_levels = frozenset(EVENTS[name].level for name in _subscribed)
