"""Decides whose code a thread is in: an interrupt may be raised only in the user's code."""

import traceback
from types import FrameType

from .calls import CODE

_OURS = ("jobsd", "logging")
_THROUGH = ("jobsd.jobs.middleware", "jobsd.jobs.definition", "jobsd.jobs.enqueueable")
"""Modules of ours that call the user's code."""
_FRAMES_MAX = 30


def is_open(frame: FrameType) -> bool:
    """Return whether a thread that is in this frame runs the user's code only."""
    found: FrameType | None = frame
    while found is not None and found.f_code is not CODE:
        if is_ours(found) and (found is frame or found.f_globals["__name__"] not in _THROUGH):
            return False
        found = found.f_back
    return found is not None


def is_ours(frame: FrameType) -> bool:
    """Return whether this is code of ours, or of `logging`, which may hold a lock."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS


def authors_frames(frame: FrameType) -> list[FrameType]:
    """Return the frames of the user's code, from this one up to the call of the job."""
    frames: list[FrameType] = []
    found: FrameType | None = frame
    while found is not None and found.f_code is not CODE:
        if not is_ours(found):
            frames.append(found)
        found = found.f_back
    return frames


def stack_of(frame: FrameType | None) -> str:
    """Return the stack of a thread as text, its innermost 30 frames; empty without a frame."""
    return "".join(traceback.format_stack(frame, _FRAMES_MAX)) if frame else ""
