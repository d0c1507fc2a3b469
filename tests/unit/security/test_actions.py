"""What the names of actions in a key stand for. That nodes read them so is tested on a node."""

from __future__ import annotations

import pytest

from miroir.security.actions import ACTIONS, covered


@pytest.mark.parametrize(
    ("names", "actions"),
    [
        ([], set()),
        (["*"], ACTIONS),
        (["search"], {"search"}),
        (["documents.*"], {"documents.add", "documents.get", "documents.delete"}),
        (["chats.*"], {"chats.get", "chats.delete"}),
        (["documents.edit"], set()),
        (["version", "metrics.*"], {"version", "metrics.get"}),
        (["something.new", "new.*"], set()),
    ],
)
def test_names(names: list[str], actions: set[str]) -> None:
    assert covered(names) == actions


def test_reading_everything_reads_no_keys() -> None:
    reading = covered(["*.get"])
    assert {"search", "documents.get", "version", "export", "chatsSettings.get"} <= reading
    assert not {"keys.get", "documents.add", "chatCompletions", "indexes.create"} & reading
