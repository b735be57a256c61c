"""Cuts a phrase into words, numbers, clock times, ordinals and zones."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .error import ScheduleError, quoted, refusal
from .vocabulary import AND, GLUED, KNOWN, NUMBERS, ORDINALS

_TOKEN = re.compile(
    r"(?P<offset>(?<![^\s])[+-]\d\d:?(?:\d\d)?(?![^\s]))"
    r"|(?P<zone>[a-z][a-z0-9_+-]*(?:/[a-z0-9_+-]+)+|[a-z]{3}\d[a-z]{3}"
    r"|(?:utc|gmt)[+-]?\d+(?::\d\d)?|(?:gb-eire|nz-chat|w-su)(?![a-z0-9]))"
    r"|(?P<clock>\d\d?:\d\d(?![\d:]))"
    r"|(?P<ordinal>\d\d?(?:st|nd|rd|th)(?![a-z0-9]))"
    r"|(?P<number>\d+)"
    r"|(?P<word>[ap]\.m\.?|[a-z]+(?:'[a-z]+)?)"
    r"|(?P<mark>[,:-])",
    re.ASCII | re.IGNORECASE,
)
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a phrase; `kind` is one of the names in the pattern, or "end"."""

    kind: str
    text: str
    word: str
    start: int
    spaced: bool


_END = Token("end", "", "", -1, spaced=True)


class Tokens:
    """The tokens of a phrase, taken from the front."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _join_hyphenated(list(_cut(text)))
        self.position = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return the token that comes next, or the one `ahead` of it."""
        index = self.position + ahead
        return self._tokens[index] if 0 <= index < len(self._tokens) else _END

    def take(self) -> Token:
        """Return the next token and step over it."""
        token = self.peek()
        self.position += 1
        return token

    def take_word(self, *words: str) -> str | None:
        """Step over the next token if it is one of these words, and return it."""
        return self.take().word if self.peek().word in words else None

    def take_words(self, words: str) -> bool:
        """Step over the next tokens if they are just these words."""
        wanted = words.split()
        if [self.peek(ahead).word for ahead in range(len(wanted))] != wanted:
            return False
        self.position += len(wanted)
        return True

    def take_separator(self) -> bool:
        """Step over ",", "and", "or" or ", and"; return whether there was one."""
        comma = self.take_word(",")
        return bool(self.take_word(*AND) or comma)

    def take_separator_before(self, starts: Callable[[], bool]) -> bool:
        """Step over a separator if the next item of a list `starts` after it."""
        before = self.position
        if self.take_separator() and starts():
            return True
        self.position = before
        return False

    def refusal(self, reason: str, hint: str = "") -> ScheduleError:
        """Return the error that refuses the phrase."""
        return refusal(self.text, reason, hint)

    def wrong(self, hint: str = "") -> ScheduleError:
        """Return the refusal of whatever comes next."""
        token = self.peek()
        if token.kind == "end":
            message = f"{quoted(self.text)} is incomplete"
        else:
            at = f" at {quoted(token.text)}" if token.start else ""
            message = f"{quoted(self.text)} is not understood{at}"
        return ScheduleError(message, hint)


def _cut(text: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    while True:
        space = _SPACE.match(text, position)
        start = space.end() if space else position
        if start == len(text):
            return tokens
        found = _TOKEN.match(text, start)
        if not found:
            raise ScheduleError(f"{quoted(text)} is not understood at {quoted(text[start])}")
        kind = found.lastgroup or ""
        token = Token(kind, found[0], found[0].lower(), start, start > position or not start)
        tokens += _unglue(token) if kind == "word" else [token]
        position = found.end()


def _unglue(token: Token) -> list[Token]:
    """Cut "noonand" into "noon" and "and"; leave known words and all others alone."""
    word = token.word.replace(".", "")
    if word not in KNOWN:
        for tail in GLUED:
            head = word.removesuffix(tail)
            if head != word and head in KNOWN:
                cut = len(head)
                return [
                    Token("word", token.text[:cut], head, token.start, token.spaced),
                    Token("word", token.text[cut:], tail, token.start + cut, spaced=False),
                ]
    return [Token("word", token.text, word, token.start, token.spaced)]


def _join_hyphenated(tokens: list[Token]) -> list[Token]:
    """Make one word of `twenty-first`, `twenty first` and `forty-five`."""
    joined: list[Token] = []
    for token in tokens:
        joined.append(token)
        dashed = len(joined) > 2 and joined[-2].word == "-"
        pieces = [joined[-3 if dashed else -2], token] if len(joined) > 1 else [token]
        word = "-".join(piece.word for piece in pieces)
        if len(pieces) == 2 and (word in NUMBERS or word in ORDINALS):
            head = pieces[0]
            joined[-3 if dashed else -2 :] = [
                Token("word", head.text, word, head.start, head.spaced)
            ]
    return joined
