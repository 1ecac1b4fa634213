"""What the desk says and asks about verification and trust."""

from messenger.app import render
from messenger.app.effects.staff import ProvideDirectRoom
from messenger.app.effects.trust import AskVerification, CarryOutTrust, SayOfTrust
from messenger.app.hands import Hands
from messenger.app.notices import worded
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.records import Place, Said
from messenger.domain.ids import AgentId
from messenger.domain.people import DevicePolicy
from messenger.i18n import texts


async def say_of_trust(hands: Hands, effect: SayOfTrust, txn: str) -> None:
    text = worded(texts(effect.language), effect.text, render.Clock(), effect.fields)
    said = Said(plain=text.plain, html=text.html, is_notice=True, is_about_trust=True)
    await hands.say(Place(room=effect.room), said, txn=txn, policy=DevicePolicy.ANY)


async def provide_direct_room(hands: Hands, effect: ProvideDirectRoom) -> Outcome:
    async with hands.units.look() as unit:
        agent = await unit.people.agent(AgentId(effect.agent))
        known = await unit.people.direct_room_of(agent.id)
    return NOTHING if known else Outcome(direct_room=(agent.id, await hands.desk.provide_direct_room(agent)))


async def carry_out(hands: Hands, effect: CarryOutTrust) -> Outcome:
    await hands.desk.decide(
        effect.room, effect.person, effect.device, effect.cause, trusted=effect.trusted, key=effect.key
    )
    return Outcome(is_decision=True)


async def ask_verification(hands: Hands, effect: AskVerification) -> None:
    body = texts(effect.language).plain("verify.request", org=hands.organisation.name)
    await hands.desk.ask_verification(effect.person, effect.room, body)
