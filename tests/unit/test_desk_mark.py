"""What a desk concludes from its own mark and the one at the homeserver."""

import pytest

from messenger.matrix.desk_mark import Mark, Verdict, verdict

CASES: dict[str, tuple[Mark, Mark, Verdict]] = {
    "both the same": (Mark(number=5, run="a"), Mark(number=5, run="a"), "fine"),
    "after a restart": (Mark(number=5), Mark(number=5, run="a"), "fine"),
    "ended between commit and call": (Mark(number=6, run="b"), Mark(number=5, run="a"), "fine"),
    "a new installation of an old account": (Mark(number=0), Mark(number=9, run="a"), "fine"),
    "a restored or cloned database": (Mark(number=5), Mark(number=6, run="a"), "we_are_older"),
    "a clone at the same time": (Mark(number=6, run="b"), Mark(number=6, run="a"), "somebody_else"),
    "a clone that is ahead": (Mark(number=6, run="b"), Mark(number=7, run="a"), "we_are_older"),
    "a restored homeserver": (Mark(number=9, run="a"), Mark(number=5, run="a"), "homeserver_is_older"),
    "a homeserver without our mark": (Mark(number=2, run="a"), Mark(), "homeserver_is_older"),
}


@pytest.mark.parametrize(("ours", "theirs", "expected"), CASES.values(), ids=CASES)
def test_marks_tell_who_is_older(ours: Mark, theirs: Mark, expected: Verdict) -> None:
    assert verdict(ours, theirs) == expected
