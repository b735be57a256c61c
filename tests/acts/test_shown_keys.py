"""Keys as people read them."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.acts.shown_keys import shown_key
from jobsd.arguments.keys import digest, encode


class Account:
    id = 7


_UUID = UUID(int=5)


@pytest.mark.parametrize(
    ("given_key", "shown"),
    [
        ("acme", "acme"),
        (7, "7"),
        ("mail/north~1", "mail/north~1"),
        (("acme", 7), "acme, 7"),
        ((("acme", "a/b"), 7), "(acme, a/b), 7"),
        ((), "()"),
        (_UUID, str(_UUID)),
        (Account(), "Account 7"),
        ((Account(), "day"), "Account 7, day"),
    ],
)
def test_a_key_is_shown_as_it_was_given(given_key: object, shown: str) -> None:
    assert shown_key(encode("app/mail.send", given_key)) == (shown, "app/mail.send")


def test_the_only_key_of_a_class_is_shown_as_the_class() -> None:
    assert shown_key(encode("mail.send", "")) == ("mail.send", "")
    assert str(shown_key("mail.send")) == "'mail.send'"
    assert str(shown_key("mail.send/7")) == "'7' of mail.send"


def test_a_key_of_all_arguments_is_labelled_arguments() -> None:
    assert shown_key(digest("mail.send", [1])).key.startswith("arguments ")


@given(st.text(alphabet="~()@#01/a.", max_size=60))
def test_whatever_a_program_of_another_language_has_stored_is_shown(stored: str) -> None:
    key, scope = shown_key(stored)

    assert bool(key) == bool(stored)
    assert not scope or "/" in stored
