"""Who plays in the demonstration: invented people and groups. The seed chooses names, never passwords."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["agent", "clerk", "customer"]

DESK = "desk"
ORGANISATION = "Linden Health"

_AGENTS = {
    "de": (("jonas", "Jonas Weber"), ("leonie", "Leonie Brandt"), ("karim", "Karim Vogel")),
    "en": (("emily", "Emily Carter"), ("daniel", "Daniel Price"), ("grace", "Grace Hollis")),
    "zh": (("chenyu", "陈宇"), ("lina", "李娜"), ("haoran", "王浩然")),
}
_CUSTOMERS = {
    "en": (("tom", "Tom Baker"), ("olivia", "Olivia Reed"), ("sam", "Sam Doyle")),
    "zh": (("xiaolin", "张晓琳"), ("weiming", "刘伟明"), ("meihua", "赵美华")),
}
# The story's customer, whatever the seed.
ANNA = ("anna", "Anna Krüger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    user: str
    name: str
    language: str
    kind: Kind
    groups: tuple[str, ...] = ()
    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    name: str
    is_default: bool = False
    languages: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    reply_mode: str = "owner"


# These two are there whatever the seed: the story needs the one, and the other shows what a clerk may do.
BACK_OFFICE = Person(
    user="ruth", name="Ruth Albers", language="de", kind="agent", groups=("Claims", "Prescriptions"), task="back office"
)
CLERK = Person(user="paul", name="Paul Winter", language="de", kind="clerk", groups=("Claims", "Prescriptions"))


GROUPS = (
    Group(name="General", is_default=True),
    # Here nothing leaves before somebody else has read it.
    Group(name="Claims", keywords=("Erstattung", "Schaden", "claim", "refund", "理赔"), reply_mode="explicit"),
    Group(name="Appointments", keywords=("Termin", "appointment", "预约")),
    Group(name="Prescriptions", keywords=("Rezept", "prescription", "处方"), languages=("zh",)),
)
_GROUPS_OF = {
    "de": ("General", "Claims", "Appointments", "Prescriptions"),
    "en": ("General", "Claims", "Appointments"),
    "zh": ("General", "Appointments", "Prescriptions"),
}


def cast(seed: int) -> tuple[Person, ...]:
    """Three agents (German, English, Chinese), the back office, a clerk, three customers; the same number gives
    the same people."""
    # Chooses names for a show; nothing here is secret.
    dice = random.Random(seed)
    agents = [_agent(language, dice.choice(names)) for language, names in _AGENTS.items()]
    customers = [Person(user=ANNA[0], name=ANNA[1], language="de", kind="customer")]
    for language, names in _CUSTOMERS.items():
        user, name = dice.choice(names)
        customers.append(Person(user=user, name=name, language=language, kind="customer"))
    return (*agents, BACK_OFFICE, CLERK, *customers)


def _agent(language: str, who: tuple[str, str]) -> Person:
    return Person(user=who[0], name=who[1], language=language, kind="agent", groups=_GROUPS_OF[language])
