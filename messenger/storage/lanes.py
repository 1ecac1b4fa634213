"""Walking the lanes of a queue: along the partial index from one lane's first open row to the next lane's, one probe
for each, beginning behind the lane that was served last and once around. A claim so costs the same with ten waiting
rows as with ten thousand, and no lane waits for a busy one."""

from collections.abc import Iterable


def walk(table: str, is_open: str) -> str:
    """The beginning of a statement: `walk(lane, id)` holds the first open row of each lane, found one after the other
    as they are asked for. It takes the parameter `after`. `is_open` must imply the predicate of the table's index on
    (lane, id), in literals: with parameters PostgreSQL's generic plans do not recognise a partial index."""
    return f"""
WITH RECURSIVE walk AS (
  SELECT CAST(:after AS text) AS lane, CAST(NULL AS bigint) AS id, false AS is_round
  UNION ALL
  SELECT step.lane, step.id, walk.is_round OR step.lane <= walk.lane
  FROM walk CROSS JOIN LATERAL (
    (SELECT lane, id FROM {table} WHERE {is_open} AND lane > walk.lane ORDER BY lane, id LIMIT 1)
    UNION ALL
    (SELECT lane, id FROM {table} WHERE {is_open} AND NOT walk.is_round ORDER BY lane, id LIMIT 1)
    LIMIT 1
  ) AS step
  WHERE step.lane <= CAST(:after AS text) OR (step.lane > walk.lane AND NOT walk.is_round)
)"""  # noqa: S608 - fixed texts of ours


class Round:
    """Where the last walk has ended; the next begins behind it."""

    def __init__(self) -> None:
        self.after = ""

    def served(self, lanes: Iterable[str]) -> None:
        before = self.after
        self.after = max(lanes, key=lambda lane: (lane <= before, lane), default=before)
