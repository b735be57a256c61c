"""The two ways to use a page that nobody may be kept from: without JavaScript, and by keys."""

from __future__ import annotations

import itertools
from typing import Any

_IS_FOCUSED = "element => element === document.activeElement"
_TABS_MAX = 250


class Pointer:
    """Clicks and fills."""

    javascript = False

    def __init__(self, page: Any) -> None:
        self._page = page

    def come(self, address: str) -> None:
        """Open a page."""
        self._page.goto(address)

    def use(self, control: Any) -> None:
        """Press a button, follow a link, open what is folded."""
        control.click()

    def write(self, field: Any, text: str) -> None:
        """Give a field another text."""
        field.fill(text)


class Keys:
    """Reaches everything by Tab, and presses it by Enter and Space in turns."""

    javascript = True

    def __init__(self, page: Any) -> None:
        self._page, self._keyboard = page, page.keyboard
        self._keys = itertools.cycle(["Enter", "Space"])

    def come(self, address: str) -> None:
        """Open a page, and skip to its content as its first link offers."""
        self._page.goto(address)
        self._keyboard.press("Tab")
        first = self._page.evaluate("document.activeElement.textContent")
        assert first == "Skip to the content"
        self._keyboard.press("Enter")

    def use(self, control: Any) -> None:
        """Press a button, follow a link, open what is folded."""
        self._reach(control)
        # A space follows no link: it scrolls. Enter ticks no box: it sends the form.
        kind = control.evaluate("element => element.type || element.tagName")
        only = {"A": "Enter", "checkbox": "Space"}.get(kind)
        self._keyboard.press(only or next(self._keys))

    def write(self, field: Any, text: str) -> None:
        """Give a field another text: who comes to it by Tab has all of it selected."""
        self._reach(field)
        self._keyboard.type(text)

    def _reach(self, control: Any) -> None:
        control = control.element_handle()
        for _ in range(_TABS_MAX):
            if self._page.evaluate(_IS_FOCUSED, control):
                return
            self._keyboard.press("Tab")
        raise AssertionError(f"no Tab leads to {control}")
