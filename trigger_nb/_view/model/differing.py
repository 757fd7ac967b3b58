"""Where two texts differ: the part itself, with what is around it."""

from __future__ import annotations

from collections.abc import Callable

_AROUND = 24  # characters that are shown before and after what differs
_WORD = 20  # characters of a word that is marked as a whole


def excerpts(here: str, there: str, most: int) -> tuple[str, str]:
    """Two texts of about `most` characters each; of longer ones, the part that differs, with what is around it.

    >>> excerpts("a quick brown fox " * 9 + "barks", "a quick brown fox " * 9 + "sleeps", 60)
    ('…brown fox barks', '…brown fox sleeps')
    """
    if here == there or (len(here) <= most and len(there) <= most):
        return _cut(here, 0, len(here), most), _cut(there, 0, len(there), most)
    before, after = common(here, there)
    around = min(_AROUND, most // 4)
    start = max(0, before - around)
    start = here.find(" ", start, before) + 1 or start if start else 0
    first, second = (_cut(text, start, len(text) - after + around, most) for text in (here, there))
    return first, second


def common(here: str, there: str) -> tuple[int, int]:
    """How many characters two texts have in common at the beginning and at the end; words count as a whole.

    >>> common("the spam was read", "the ham was read")
    (4, 9)
    """
    most = min(len(here), len(there))
    before = _longest(most, lambda count: here[:count] == there[:count])
    after = _longest(most - before, lambda count: here[len(here) - count :] == there[len(there) - count :])
    if any(_is_in_word(text[before : before + 1]) for text in (here, there)):
        before = _beginning(here, before)
    ends = len(here) - after, len(there) - after
    if any(
        end > before and _is_in_word(text[end - 1]) for text, end in zip((here, there), ends, strict=True)
    ):
        after -= _ending(here, ends[0]) - ends[0]
    return before, after


def pieces(text: str, before: int, after: int) -> tuple[str, str, str]:
    """A text in what comes before the part that differs, this part, and what comes after it."""
    end = max(before, len(text) - after)
    return text[:before], text[before:end], text[end:]


def _longest(most: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `most` for which it holds, as it does for all smaller ones."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        if holds(middle):
            least = middle
        else:
            most = middle - 1
    return least


def _is_in_word(character: str) -> bool:
    """Whether it belongs to a word or a number, such as 0.25."""
    return character.isalnum() or character in ("_", ".")


def _beginning(text: str, at: int) -> int:
    """Where the word begins that `at` is within or at the end of; `at` itself for a long one."""
    start = at
    while start and at - start <= _WORD and _is_in_word(text[start - 1]):
        start -= 1
    return start if at - start <= _WORD else at


def _ending(text: str, at: int) -> int:
    end = at
    while end < len(text) and end - at <= _WORD and _is_in_word(text[end]):
        end += 1
    return end if end - at <= _WORD else at


def _cut(text: str, start: int, end: int, most: int) -> str:
    end = min(end, start + most, len(text))
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
