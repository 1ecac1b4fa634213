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
    relays,
    to_case_rooms,
    to_customer,
    to_person,
    to_rooms,
    to_thread,
    to_trust,
)
from messenger.app import effects as fx
from messenger.app.effects import Effect
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


async def _react(hands: Hands, effect: fx.React, txn: str) -> None:
    await hands.desk.react(effect.room, effect.event, effect.key, txn=txn)


async def _remove_reaction(hands: Hands, effect: fx.RemoveReaction, txn: str) -> None:
    await hands.desk.redact(effect.room, effect.event, txn=txn)


async def _trust(hands: Hands, effect: fx.TrustPerson, txn: str) -> None:
    await hands.desk.trust(effect.person)


def _same_again(arrange: Callable[[Hands, Any], Awaitable[Outcome | None]]) -> Step:
    """What is arranged needs no transaction id: it looks at what is there already."""

    async def step(hands: Hands, effect: Effect, txn: str) -> Outcome | None:
        return await arrange(hands, effect)

    return step


STEPS: Mapping[type[Effect], Step] = {
    fx.PostCard: to_thread.post_card,
    fx.ProvideCaseRoom: _same_again(to_case_rooms.provide_case_room),
    fx.SeatCase: _same_again(to_case_rooms.seat_case),
    fx.SeatInCase: _same_again(to_case_rooms.seat_in_case),
    fx.UnseatFromCase: _same_again(to_case_rooms.unseat_from_case),
    fx.EditCard: to_thread.edit_card,
    fx.EditFormerCard: to_thread.edit_former_card,
    fx.EditInThread: relays.edit_in_thread,
    fx.PostPack: packs.post_pack,
    fx.ShowFiles: packs.show_files,
    fx.ShowFilesLater: packs.show_files_later,
    fx.ShowHistory: packs.show_history,
    fx.ShowTranscript: packs.show_transcript,
    fx.RelayToThread: relays.relay_to_thread,
    fx.RelayFile: relays.relay_file,
    fx.PostNotice: to_thread.post_notice,
    fx.PostRemarks: to_thread.post_remarks,
    fx.PostContext: to_thread.post_context,
    fx.ShowFate: to_thread.show_fate,
    fx.SendToCustomer: to_customer.send_to_customer,
    fx.SendFile: to_customer.send_file,
    fx.EditAtCustomer: to_customer.edit_at_customer,
    fx.DeleteAtCustomer: to_customer.delete_at_customer,
    fx.MirrorReactions: mirror.mirror_reactions,
    fx.TellCustomer: to_customer.tell_customer,
    fx.OfferMenu: menu_polls.offer_menu,
    fx.EndMenu: menu_polls.end_menu,
    fx.OpenChat: to_customer.open_chat,
    fx.JoinChat: to_customer.join_chat,
    fx.FollowRoom: to_customer.follow_room,
    fx.LeaveRoom: to_customer.leave_room,
    fx.AnswerInRoom: to_rooms.answer_in_room,
    fx.SayAnswer: to_person.say_answer,
    fx.ShowQueue: to_person.show_queue,
    fx.ShowMine: to_person.show_mine,
    fx.TellPerson: to_person.tell_person,
    fx.SayOfTrust: to_trust.say_of_trust,
    fx.AskVerification: _same_again(to_trust.ask_verification),
    fx.ProvideDirectRoom: _same_again(to_trust.provide_direct_room),
    fx.CarryOutTrust: _same_again(to_trust.carry_out),
    fx.TellGroup: to_rooms.tell_group,
    fx.EditBoard: boards.edit_board,
    fx.ShowFlood: flood_card.show_flood,
    fx.ProvideGroupRoom: _same_again(to_rooms.arrange_group),
    fx.OpenNewRoom: to_rooms.open_new_room,
    fx.SeatMember: _same_again(to_rooms.arrange_group),
    fx.UnseatMember: _same_again(to_rooms.arrange_group),
    fx.React: _react,
    fx.RemoveReaction: _remove_reaction,
    fx.TrustPerson: _trust,
}
