"""The rights of a person, for the command line: holds, restrictions, requests, and an erasure from its order to its
certificate."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from messenger.app.certificates import KIND, signed_part
from messenger.app.erasure import needs_homeserver
from messenger.bootstrap.acting import must_be_allowed
from messenger.bootstrap.database import Storage, open_storage
from messenger.bootstrap.desk_process import DeskProcess
from messenger.bootstrap.erasures import at_home, erasure_hands, reapply_erasures, signing_key
from messenger.bootstrap.export import Exported, export_person
from messenger.config import Settings
from messenger.domain.access import Action
from messenger.matrix.http import MatrixError, Unreachable
from messenger.observability.time import utc_now
from messenger.storage import erasures, leases
from messenger.storage.administration import NotPossible
from messenger.storage.retention import Due, OutOfReach, Retention
from messenger.storage.rights import HELD_AND_ASKED, Person, Request, RequestKind, Rights
from messenger.storage.signing import is_signed

log = logging.getLogger(__name__)

POLL_S = 0.3


class NeedsApproval(Exception):
    """Two people must agree. The text says what the other one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureState:
    """Where an erasure stands. `waits_for`: the code of what it waits for; `certificate`: when it is done."""

    id: UUID
    done_at: datetime | None
    step: str
    waits_for: str | None
    certificate: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    due: Sequence[Due]
    out_of_reach: Sequence[OutOfReach]
    ordered: int


class PersonsRights:
    def __init__(self, storage: Storage, settings: Settings) -> None:
        self._storage, self._settings = storage, settings
        self._rights = Rights(storage.engine, storage.keys)

    async def hold(self, address: str, reason: str, by: str) -> None:
        person = await self._rights.person(address)
        await self._gate(by, Action.RESTRICT, person.id, "contact.hold")
        await self._rights.hold(person.id, reason, by)

    async def release(self, address: str, reason: str, by: str) -> None:
        person = await self._rights.person(address)
        await self._gate(by, Action.RESTRICT, person.id, "contact.release")
        if person.held_at is None:
            raise NotPossible(f"there is no legal hold on {address}")
        await self._rights.release(person.id, reason, by)

    async def restrict(self, address: str, reason: str, by: str) -> None:
        person = await self._rights.person(address)
        await self._gate(by, Action.RESTRICT, person.id, "contact.restrict")
        await self._rights.restrict(person.id, reason, by)

    async def unrestrict(self, address: str, reason: str, by: str) -> None:
        person = await self._rights.person(address)
        await self._gate(by, Action.RESTRICT, person.id, "contact.unrestrict")
        if person.restricted_at is None:
            raise NotPossible(f"the processing of {address} is not restricted")
        await self._rights.unrestrict(person.id, reason, by)

    async def retention(self, *, dry_run: bool) -> RetentionReport:
        """What was due when it was asked."""
        kept = Retention(self._storage.engine, self._storage.keys)
        due, out_of_reach = await kept.report(utc_now()), await kept.out_of_reach()
        ordered = 0 if dry_run else await kept.run(utc_now())
        return RetentionReport(due=due, out_of_reach=out_of_reach, ordered=ordered)

    async def _gate(self, by: str, action: Action, about: UUID | str, command: str) -> None:
        """Raises NotPossible."""
        object = f"contact:{about}" if isinstance(about, UUID) else f"request:{about}"
        engine, keys = self._storage.engine, self._storage.keys
        await must_be_allowed(engine, keys, by=by, action=action, object=object, command=command)

    async def requests(self) -> Sequence[Request]:
        return await self._rights.requests(now=utc_now())

    async def approve(self, id: str, by: str) -> Request:
        await self._gate(by, Action.ERASE, id, "contact.approve")
        return await self._rights.approve(id, by, now=utc_now(), lasting=self._lasting)

    async def erase(self, address: str, by: str) -> UUID:
        """Orders it. Raises NotPossible and NeedsApproval."""
        person = await self._rights.person(address)
        await self._gate(by, Action.ERASE, person.id, "contact.erase")
        await self._refuse_under_hold(person, by)
        request = await self.permitted("erase", person, by)
        await self._rights.note(by, "contact.erase", person.id, request.id if request else "")
        return await erasures.order(
            self._storage.engine,
            scope="person",
            ordered_by=by,
            approved_by=request.approved_by if request else None,
            subject=signing_key(self._settings).pseudonym(str(person.id)),
            contact=person.id,
        )

    async def export(self, address: str, by: str, target: Path) -> Exported:
        """Raises NotPossible, NeedsApproval and FileIsThere. An approval is spent when the archive is whole. Nobody is
        exported from a restored database who was erased."""
        await reapply_erasures(self._storage, self._settings)
        person = await self._rights.person(address)
        await self._gate(by, Action.EXPORT, person.id, "contact.export")
        approval = await self._approved("export", person, by)
        made = await export_person(self._storage, self._settings, person.id, target)
        if approval is not None:
            await self._rights.use("export", person.id, by, now=utc_now())
        await self._rights.note(by, "contact.export", person.id, approval.id if approval else "")
        return made

    async def _approved(self, kind: RequestKind, person: Person, by: str) -> Request | None:
        """As `permitted`, without spending it."""
        if not self._settings.privacy.four_eyes:
            return None
        request = await self._rights.approved(kind, person.id, by, now=utc_now())
        return request if request is not None else await self.permitted(kind, person, by)

    async def permitted(self, kind: RequestKind, person: Person, by: str) -> Request | None:
        """None: this installation asks for no second person. Raises NeedsApproval."""
        if not self._settings.privacy.four_eyes:
            return None
        request = await self._rights.use(kind, person.id, by, now=utc_now())
        if request is not None:
            return request
        id = await self._rights.ask(kind, person.id, by, now=utc_now(), lasting=self._lasting)
        raise NeedsApproval(
            f"asked for, as request {id}. Somebody else approves it: stellwerk contact approve {id}. "
            f"Then give the same command again, within {self._settings.privacy.approval_hours} hours"
        )

    async def state(self, id: UUID) -> ErasureState:
        done_at, step, code, signed = await erasures.when_done(self._storage.engine, id)
        return ErasureState(id=id, done_at=done_at, step=step, waits_for=code, certificate=signed)

    async def carry_out(self, id: UUID, *, patience_s: float) -> ErasureState:
        """A running desk does it; without one we do, and what the homeserver does not let us do now waits for the
        desk's next start."""
        desk = self._settings.desk()
        lasting = timedelta(seconds=self._settings.limits.lease_seconds)
        owner = f"{socket.gethostname()}:{os.getpid()}"
        try:
            async with asyncio.timeout(patience_s):
                while (state := await self.state(id)).done_at is None:
                    lease = await leases.acquire(self._storage.engine, f"desk:{desk.user_id}", owner, lasting)
                    if lease is not None:
                        return await self._ourselves(id, lease)
                    await asyncio.sleep(POLL_S)
                return state
        except TimeoutError:
            return await self.state(id)

    async def _ourselves(self, id: UUID, lease: leases.Lease) -> ErasureState:
        process = DeskProcess(self._storage, self._settings, self._settings.desk(), lease)
        try:
            hands = erasure_hands(self._storage, self._settings, self._settings.desk(), rooms=None)
            if needs_homeserver(await at_home(self._storage, hands, id)):
                await process.start()
                await self._at_the_homeserver(process, id)
        except (MatrixError, Unreachable) as error:
            log.warning("the homeserver's part waits for the desk", extra={"error": type(error).__name__})
        finally:
            await process.close()
        return await self.state(id)

    async def _at_the_homeserver(self, process: DeskProcess, id: UUID) -> None:
        while (await self.state(id)).done_at is None:
            erasure = await erasures.get(self._storage.engine, id)
            await process.erasures.take(erasure)
            after = await erasures.get(self._storage.engine, id)
            if after.failures > erasure.failures:
                await asyncio.sleep(POLL_S)

    async def _refuse_under_hold(self, person: Person, by: str) -> None:
        """What must be kept by law is kept, and not used (GDPR, article 17 (3) and 18)."""
        if person.held_at is None:
            return
        if person.restricted_at is None:
            await self._rights.restrict(person.id, HELD_AND_ASKED, by)
        raise NotPossible(
            f"not erased: a legal hold stands since {person.held_at:%Y-%m-%d} ({person.held_reason}). "
            "The processing of this person's data is restricted instead. After `contact release` it can be erased"
        )

    @property
    def _lasting(self) -> timedelta:
        return timedelta(hours=self._settings.privacy.approval_hours)


@asynccontextmanager
async def open_rights(settings: Settings) -> AsyncIterator[PersonsRights]:
    async with open_storage(settings) as storage:
        yield PersonsRights(storage, settings)


def certificate_fault(file: Path, public: str) -> str:
    """Empty: genuine."""
    try:
        document = json.loads(file.read_text())
        body, key, signature = signed_part(document)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "is no certificate"
    if key != public:
        return f"is signed with another key, {str(key)[:64]}"
    return "" if is_signed(public, KIND, body, signature) else "was changed: the signature does not match"
