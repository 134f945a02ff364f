"""Every sentence is one that fits its column and tells a person something."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from capture.agent.protocol import SourceError
from capture.drivers import words

SENTENCES = [
    function
    for name, function in inspect.getmembers(words, inspect.isfunction)
    if not name.startswith("_")
]
LONG: dict[str, Any] = {"int": 99_999_999, "bool": True, "float": 5.0}
# Words of our own; everything else may be as long and odd as somebody likes.
OURS = ("stage", "question", "protocol", "names", "package", "what")
CODES = {
    *("refused", "not_found", "no_answer", "silent", "unreachable", "redirected", "no_video"),
    *("busy", "permission", "bad_address", "ended", "missing_program", "failed"),
}


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda each: each.__name__)
def test_it_is_a_sentence_of_a_length_that_can_be_kept(sentence: Any) -> None:
    asked = inspect.signature(sentence).parameters.values()
    error = sentence(
        *(
            "PLAY" if each.name in OURS else LONG.get(each.annotation, "x\r\n\0y" * 100)
            for each in asked
        )
    )
    assert isinstance(error, SourceError)
    assert error.code in CODES
    if sentence is not words.bad_address:  # hands on a sentence that was checked before
        assert len(str(error)) <= 300
        assert str(error).isprintable()
        assert str(error)[-1] in ".?"


def test_every_kind_of_trouble_was_looked_at() -> None:
    assert len(SENTENCES) > 25
