"""Exact answers of queueing theory, in pure Python, to judge the router by: Erlang C, and the product form of FCFS-ALIS
by recursion over subsets of the servers (Stochastic Systems 4(1), 2014, 250-299)."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """For each type of customers: the chance to wait, and the mean wait of all of them."""

    p_wait: tuple[float, ...]
    mean_wait: tuple[float, ...]


def erlang_c(rate: float, service_rate: float, servers: int) -> tuple[float, float]:
    """P(wait) and E[wait] of M/M/n. Raises ValueError if the queue grows for ever."""
    offered = rate / service_rate
    if offered >= servers:
        raise ValueError("unstable")
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    waits = blocked / (1 - offered / servers * (1 - blocked))
    return waits, waits / (servers * service_rate - rate)


def fcfs_alis(rates: Sequence[float], can_serve: Sequence[set[int]], service_rates: Sequence[float]) -> Answer:
    """`can_serve[j]` are the types that server j serves. Sets of servers are bit masks. ValueError: unstable."""
    types, full = range(len(rates)), (1 << len(service_rates)) - 1
    served_by = [sum(1 << j for j, served in enumerate(can_serve) if c in served) for c in types]
    f, g = [1.0] * (full + 1), [1.0] * (full + 1)
    h = [[0.0] * (full + 1) for _ in types]
    for a in range(1, full + 1):
        smaller = [a ^ (1 << j) for j in range(len(service_rates)) if a >> j & 1]
        only = sum(rates[c] for c in types if served_by[c] | a == a)
        spare = sum(mu for j, mu in enumerate(service_rates) if a >> j & 1) - only
        if spare <= 0:
            raise ValueError("unstable")
        before = sum(f[b] for b in smaller)
        f[a] = before / spare
        g[a] = sum(g[b] for b in smaller) / sum(rates[c] for c in types if served_by[c] & a)
        for c in types:
            own = rates[c] / spare * before if served_by[c] | a == a else 0.0
            h[c][a] = (sum(h[c][b] for b in smaller) + own) / spare
    total = sum(f[a] * g[full ^ a] for a in range(full + 1))
    wait = [sum(f[a] * g[full ^ a] for a in range(full + 1) if served_by[c] | a == a) / total for c in types]
    mean = [sum(h[c][a] * g[full ^ a] for a in range(full + 1)) / total / rates[c] for c in types]
    return Answer(p_wait=tuple(wait), mean_wait=tuple(mean))
