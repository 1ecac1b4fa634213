"""The tables, one file per topic. SQLAlchemy Core: rows are mapped by hand where they become values."""

from sqlalchemy import MetaData

from messenger.storage.models import (
    access,
    audit,
    conversations,
    crypto,
    disaster,
    floods,
    keys,
    people,
    queues,
    rights,
    rooms,
    trust,
)
from messenger.storage.models.base import metadata

TOPICS = (access, audit, conversations, crypto, disaster, floods, keys, people, queues, rights, rooms, trust)


def whole_schema() -> MetaData:
    """The metadata with every table in it."""
    return metadata
