"""Outbox rows carried out: look at the newest state in a short unit, render, call the outside with no transaction open,
and say what to remember. Everything here may run twice for one row: each call outside bears the row's transaction
id."""

from dataclasses import dataclass, replace

from messenger.app import (
    boards,
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


@dataclass(frozen=True, slots=True)
class Deliverer:
    hands: Hands

    def without_patience(self) -> "Deliverer":
        """For rows that have waited long for a file."""
        return Deliverer(replace(self.hands, files=Impatient(self.hands.files)))

    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        """Raises ChannelError; the worker decides what becomes of the row."""
        match effect:
            case fx.PostCard():
                return await to_thread.post_card(self.hands, effect, txn)
            case fx.ProvideCaseRoom():
                return await to_case_rooms.provide_case_room(self.hands, effect)
            case fx.SeatCase():
                return await to_case_rooms.seat_case(self.hands, effect)
            case fx.SeatInCase():
                return await to_case_rooms.seat_in_case(self.hands, effect)
            case fx.UnseatFromCase():
                return await to_case_rooms.unseat_from_case(self.hands, effect)
            case fx.EditCard():
                return await to_thread.edit_card(self.hands, effect, txn)
            case fx.EditFormerCard():
                return await to_thread.edit_former_card(self.hands, effect, txn)
            case fx.EditInThread():
                return await relays.edit_in_thread(self.hands, effect, txn)
            case fx.PostPack():
                return await packs.post_pack(self.hands, effect, txn)
            case fx.ShowFiles():
                return await packs.show_files(self.hands, effect, txn)
            case fx.ShowHistory():
                return await packs.show_history(self.hands, effect, txn)
            case fx.ShowTranscript():
                return await packs.show_transcript(self.hands, effect, txn)
            case fx.RelayToThread():
                return await relays.relay_to_thread(self.hands, effect, txn)
            case fx.PostNotice():
                return await to_thread.post_notice(self.hands, effect, txn)
            case fx.PostContext():
                return await to_thread.post_context(self.hands, effect, txn)
            case fx.ShowFate():
                return await to_thread.show_fate(self.hands, effect, txn)
            case fx.SendToCustomer():
                return await to_customer.send_to_customer(self.hands, effect, txn)
            case fx.EditAtCustomer():
                return await to_customer.edit_at_customer(self.hands, effect, txn)
            case fx.DeleteAtCustomer():
                return await to_customer.delete_at_customer(self.hands, effect, txn)
            case fx.MirrorReactions():
                return await mirror.mirror_reactions(self.hands, effect, txn)
            case fx.TellCustomer():
                return await to_customer.tell_customer(self.hands, effect, txn)
            case fx.OfferMenu():
                return await menu_polls.offer_menu(self.hands, effect, txn)
            case fx.EndMenu():
                return await menu_polls.end_menu(self.hands, effect, txn)
            case fx.OpenChat():
                return await to_customer.open_chat(self.hands, effect, txn)
            case fx.JoinChat():
                return await to_customer.join_chat(self.hands, effect, txn)
            case fx.React():
                await self.hands.desk.react(effect.room, effect.event, effect.key, txn=txn)
            case fx.RemoveReaction():
                await self.hands.desk.redact(effect.room, effect.event, txn=txn)
            case fx.AnswerInRoom():
                await to_rooms.answer_in_room(self.hands, effect, txn)
            case fx.SayAnswer():
                await to_person.say_answer(self.hands, effect, txn)
            case fx.ShowQueue():
                await to_person.show_queue(self.hands, effect, txn)
            case fx.ShowMine():
                await to_person.show_mine(self.hands, effect, txn)
            case fx.TellPerson():
                await to_person.tell_person(self.hands, effect, txn)
            case fx.SayOfTrust():
                await to_trust.say_of_trust(self.hands, effect, txn)
            case fx.TrustPerson():
                await self.hands.desk.trust(effect.person)
            case fx.AskVerification():
                await to_trust.ask_verification(self.hands, effect)
            case fx.TellGroup():
                await to_rooms.tell_group(self.hands, effect, txn)
            case fx.EditBoard():
                return await boards.edit_board(self.hands, effect, txn)
            case fx.ProvideGroupRoom() | fx.SeatMember() | fx.UnseatMember():
                return await to_rooms.arrange_group(self.hands, effect)
            case _:
                raise TypeError(f"nobody carries out {type(effect).__name__}")
        return NOTHING
