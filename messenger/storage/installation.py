"""What makes this database one installation: its namespace of deterministic ids, and the root key that it was made
with."""

from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.encryption import BadRootKey
from messenger.storage.models.keys import installation
from messenger.storage.root_keys import RootKeys


async def open_installation(engine: AsyncEngine, roots: RootKeys) -> UUID:
    """Returns the namespace; makes the installation at first use. Raises BadRootKey for a root key of another
    installation."""
    async with engine.begin() as connection:
        await connection.execute(
            insert(installation).values(id=1, namespace=uuid4(), root_kid=roots.first.kid).on_conflict_do_nothing()
        )
        row = (await connection.execute(sa.select(installation))).one()
    if not roots.holds(row.root_kid):
        raise BadRootKey(
            "this root key is not the one that this database was made with; nothing could be opened with it"
        )
    return UUID(str(row.namespace))
