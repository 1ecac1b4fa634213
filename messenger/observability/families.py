"""Metrics whose labels have closed lists of values: whatever else somebody counts becomes `other`. So no id, name or
room can get into a label, and nobody outside can make their number grow."""

from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # of every counter; nobody asks since when it counts
REGISTRY = CollectorRegistry(auto_describe=False)
OTHER = "other"

_M = TypeVar("_M", Counter, Gauge, Histogram)


class Alias:
    """Ids, and the words that may be seen instead of them. An id that it does not know is `other`."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def learn(self, words: Mapping[str, str]) -> None:
        """From now on these, and no others."""
        self._words = dict(words)

    def word(self, id: object) -> str:
        return self._words.get(str(id), OTHER)

    @property
    def words(self) -> frozenset[str]:
        return frozenset(self._words.values())


class Closed:
    """A list of values that are seen as they are."""

    def __init__(self, values: Collection[str]) -> None:
        self.words = frozenset(values)

    def word(self, value: object) -> str:
        return str(value) if value in self.words else OTHER


Labels = Mapping[str, Alias | Collection[str]]


class Family(Generic[_M]):
    """A metric with the values that its labels may have."""

    def __init__(self, kind: type[_M], name: str, about: str, labels: Labels, **options: Any) -> None:
        self.name, self.about, self.kind = name, about, kind.__name__.lower()
        self.labels = {
            label: values if isinstance(values, Alias) else Closed(values) for label, values in labels.items()
        }
        self._metric: _M = kind(name, about, list(labels), registry=REGISTRY, **options)

    def of(self, **values: object) -> _M:
        """The one with these labels. All labels of the metric must be given."""
        if not self.labels:
            return self._metric
        return self._metric.labels(*(words.word(values[label]) for label, words in self.labels.items()))

    def total(self, **wanted: Collection[str]) -> float:
        """Of all its values whose labels are among these."""
        found = (sample for metric in self._metric.collect() for sample in metric.samples if sample.name == self.name)
        return sum(
            sample.value for sample in found if all(sample.labels[label] in words for label, words in wanted.items())
        )

    def forget(self) -> None:
        """All of its values, before it is sampled anew: what is gone must not stay at its last number."""
        self._metric.clear()


def counter(name: str, about: str, **labels: Alias | Collection[str]) -> Family[Counter]:
    return Family(Counter, name, about, labels)


def gauge(name: str, about: str, **labels: Alias | Collection[str]) -> Family[Gauge]:
    return Family(Gauge, name, about, labels)


def histogram(
    name: str, about: str, buckets: Collection[float], **labels: Alias | Collection[str]
) -> Family[Histogram]:
    return Family(Histogram, name, about, labels, buckets=tuple(buckets))
