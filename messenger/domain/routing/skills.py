"""Skills with levels: what a conversation needs, what a person has."""

from collections.abc import Mapping

Skills = Mapping[str, int]
"""Skill name -> level from 0 (none) to 5."""

MAX_LEVEL = 5


def meets(has: Skills, needs: Skills) -> bool:
    """A skill that a person does not have counts as level 0."""
    return all(has.get(name, 0) >= level for name, level in needs.items())


def missing(has: Skills, needs: Skills) -> int:
    """How many of the needed skills the person lacks or has at a lower level."""
    return sum(has.get(name, 0) < level for name, level in needs.items())
