"""Outbox rows carried out: look at the newest state in a short unit, render, call the outside with no transaction open,
and say what to remember. Everything here may run twice for one row: each call outside bears the row's transaction
id."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from messenger.app import (
    boards,
    flood_card,
    menu_polls,
    mirror,
    packs,
    relay_changes,
    relays,
    to_case_rooms,
    to_chats,
    to_customer,
    to_person,
    to_rooms,
    to_thread,
    to_trust,
)
from messenger.app.effects import customer, groups, places, staff, thread, trust
from messenger.app.effects.base import Effect
from messenger.app.files import Impatient
from messenger.app.hands import Hands
from messenger.app.outcome import NOTHING, Outcome

Step = Callable[[Hands, Any, str], Awaitable[Outcome | None]]


@dataclass(frozen=True, slots=True)
class Deliverer:
    hands: Hands

    def without_patience(self) -> "Deliverer":
        """For rows that have waited long for a file."""
        return Deliverer(replace(self.hands, files=Impatient(self.hands.files)))

    def with_care(self) -> "Deliverer":
        """For rows of which an earlier try may have got through."""
        return Deliverer(replace(self.hands, is_careful=True))

    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        """Raises ChannelError; the worker decides what becomes of the row."""
        return await step_of(type(effect))(self.hands, effect, txn) or NOTHING


def step_of(kind: type[Effect]) -> Step:
    """Of the effect itself, or of what it is a special case of."""
    for each in kind.__mro__:
        if each in STEPS:
            return STEPS[each]
    raise TypeError(f"nobody carries out {kind.__name__}")


async def _react(hands: Hands, effect: staff.React, txn: str) -> None:
    await hands.desk.react(effect.room, effect.event, effect.key, txn=txn)


async def _remove_reaction(hands: Hands, effect: staff.RemoveReaction, txn: str) -> None:
    await hands.desk.redact(effect.room, effect.event, txn=txn)


async def _trust(hands: Hands, effect: trust.TrustPerson, txn: str) -> None:
    await hands.desk.trust(effect.person)


def _same_again(arrange: Callable[[Hands, Any], Awaitable[Outcome | None]]) -> Step:
    """What is arranged needs no transaction id: it looks at what is there already."""

    async def step(hands: Hands, effect: Effect, txn: str) -> Outcome | None:
        return await arrange(hands, effect)

    return step


STEPS: Mapping[type[Effect], Step] = {
    places.PostCard: to_thread.post_card,
    places.ProvideCaseRoom: _same_again(to_case_rooms.provide_case_room),
    places.SeatCase: _same_again(to_case_rooms.seat_case),
    places.SeatInCase: _same_again(to_case_rooms.seat_in_case),
    places.UnseatFromCase: _same_again(to_case_rooms.unseat_from_case),
    places.EditCard: to_thread.edit_card,
    places.EditFormerCard: to_thread.edit_former_card,
    thread.EditInThread: relay_changes.edit_in_thread,
    thread.PostPack: packs.post_pack,
    thread.ShowFiles: packs.show_files,
    thread.ShowFilesLater: packs.show_files_later,
    thread.ShowHistory: packs.show_history,
    thread.ShowTranscript: packs.show_transcript,
    thread.RelayToThread: relays.relay_to_thread,
    thread.RelayFile: relays.relay_file,
    thread.PostNotice: to_thread.post_notice,
    thread.PostRemarks: to_thread.post_remarks,
    thread.PostContext: to_thread.post_context,
    thread.ShowFate: to_thread.show_fate,
    customer.SendToCustomer: to_customer.send_to_customer,
    customer.SendFile: to_customer.send_file,
    customer.EditAtCustomer: to_customer.edit_at_customer,
    customer.DeleteAtCustomer: to_customer.delete_at_customer,
    customer.MirrorReactions: mirror.mirror_reactions,
    customer.TellCustomer: to_customer.tell_customer,
    customer.OfferMenu: menu_polls.offer_menu,
    customer.EndMenu: menu_polls.end_menu,
    customer.OpenChat: to_chats.open_chat,
    customer.JoinChat: to_chats.join_chat,
    customer.FollowRoom: to_chats.follow_room,
    customer.LeaveRoom: to_chats.leave_room,
    staff.AnswerInRoom: to_rooms.answer_in_room,
    staff.SayAnswer: to_person.say_answer,
    staff.ShowQueue: to_person.show_queue,
    staff.ShowMine: to_person.show_mine,
    staff.TellPerson: to_person.tell_person,
    staff.ProvideDirectRoom: _same_again(to_trust.provide_direct_room),
    staff.React: _react,
    staff.RemoveReaction: _remove_reaction,
    groups.TellGroup: to_rooms.tell_group,
    groups.EditBoard: boards.edit_board,
    groups.ShowFlood: flood_card.show_flood,
    groups.ProvideGroupRoom: _same_again(to_rooms.arrange_group),
    groups.OpenNewRoom: to_rooms.open_new_room,
    groups.SeatMember: _same_again(to_rooms.arrange_group),
    groups.UnseatMember: _same_again(to_rooms.arrange_group),
    trust.SayOfTrust: to_trust.say_of_trust,
    trust.AskVerification: _same_again(to_trust.ask_verification),
    trust.CarryOutTrust: _same_again(to_trust.carry_out),
    trust.TrustPerson: _trust,
}
