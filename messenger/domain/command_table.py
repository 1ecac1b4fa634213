"""Every command of the staff, declared once. Parser, hints, help and reference page come from `COMMANDS`."""

from dataclasses import dataclass
from typing import Literal

from messenger.domain.people import Role

Who = Literal["all", "agent", "owner", "owner_or_lead", "lead", "author"]
Where = Literal["thread", "anywhere"]

_WITHOUT_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffCommand:
    """`name` is also the catalogue id of its help line (`help.claim`), `arguments` what the usage line shows. `en`,
    `de` and `zh` are further words with spaces between; `example_…` shows one use in that language.

    `who` may use it: `all` members of the group; an `agent` who answers (leads do); the `owner` of the conversation;
    the `author` of the message it is about. `where`: only at the conversation's `thread` (or room), or `anywhere`: in
    the main timeline of a group's room and in the direct chat with the desk, too. `takes_ref`: there the
    conversation's reference comes first.
    """

    name: str
    who: Who
    en: str = ""
    de: str = ""
    zh: str = ""
    arguments: str = ""
    needs_text: bool = False
    where: Where = "anywhere"
    takes_ref: bool = False
    example_en: str
    example_de: str
    example_zh: str

    @property
    def usage(self) -> str:
        return f"!{self.name} {self.arguments}".rstrip()

    def word_in(self, language: str) -> str:
        """What it is called there; English ones by their name."""
        words = () if language == "en" else self.aliases_in(language)
        return words[0] if words else self.name

    def usage_in(self, language: str) -> str:
        return f"!{self.word_in(language)} {self.arguments}".rstrip()

    @property
    def aliases(self) -> tuple[str, ...]:
        """All further words, German ones also without umlauts."""
        words = (word for language in ("en", "de", "zh") for word in self.aliases_in(language))
        return tuple(dict.fromkeys(form for word in words for form in (word, word.translate(_WITHOUT_UMLAUTS))))

    def aliases_in(self, language: str) -> tuple[str, ...]:
        return tuple({"en": self.en, "de": self.de, "zh": self.zh}[language].split())

    def example_in(self, language: str) -> str:
        return {"en": self.example_en, "de": self.example_de, "zh": self.example_zh}[language]

    def is_for(self, role: Role) -> bool:
        """May somebody in this role ever use it? Whether they may in this conversation is a rule of its own."""
        if self.who in ("all", "author"):
            return True
        return role is Role.LEAD if self.who == "lead" else role.can_answer


COMMANDS = (
    StaffCommand(
        name="claim",
        who="agent",
        en="take",
        de="übernehmen",
        zh="接手",
        arguments="[REF]",
        takes_ref=True,
        example_en="!claim K-4F7Q",
        example_de="!übernehmen K-4F7Q",
        example_zh="!接手 K-4F7Q",
    ),
    StaffCommand(
        name="release",
        who="owner_or_lead",
        de="zurückgeben",
        zh="退回",
        arguments="[REASON]",
        takes_ref=True,
        example_en="!release I am off from tomorrow",
        example_de="!zurückgeben ab morgen im Urlaub",
        example_zh="!退回 我明天休假",
    ),
    StaffCommand(
        name="assign",
        who="owner_or_lead",
        de="zuweisen",
        zh="分配",
        arguments="@PERSON",
        needs_text=True,
        takes_ref=True,
        example_en="!assign @ben:example.org",
        example_de="!zuweisen @ben:example.org",
        example_zh="!分配 @ben:example.org",
    ),
    StaffCommand(
        name="transfer",
        who="owner_or_lead",
        en="move",
        de="übergeben",
        zh="转交",
        arguments="GROUP|@PERSON [COMMENT]",
        needs_text=True,
        takes_ref=True,
        example_en="!transfer Prescriptions needs a pharmacist",
        example_de="!übergeben Rezepte Frage zur Dosis",
        example_zh="!转交 处方 需要药剂师",
    ),
    StaffCommand(
        name="pause",
        who="owner",
        en="snooze wait",
        de="pausieren zurückstellen",
        zh="暂停",
        arguments="[WHEN] [keep] [REASON]",
        takes_ref=True,
        example_en="!pause fri 9:00 waiting for the report",
        example_de="!pausieren Fr 9 Uhr wartet auf den Befund",
        example_zh="!暂停 周五 9:00 等待报告",
    ),
    StaffCommand(
        name="resume",
        who="agent",
        en="wake",
        de="fortsetzen wiederaufnehmen",
        zh="恢复",
        takes_ref=True,
        example_en="!resume",
        example_de="!fortsetzen",
        example_zh="!恢复",
    ),
    StaffCommand(
        name="resolve",
        who="owner_or_lead",
        en="close done",
        de="erledigen erledigt",
        zh="解决",
        arguments="[REASON]",
        takes_ref=True,
        example_en="!resolve settled by phone",
        example_de="!erledigen am Telefon geklärt",
        example_zh="!解决 已在电话中处理",
    ),
    StaffCommand(
        name="reopen",
        who="agent",
        de="wiederöffnen",
        zh="重开",
        takes_ref=True,
        example_en="!reopen K-4F7Q",
        example_de="!wiederöffnen K-4F7Q",
        example_zh="!重开 K-4F7Q",
    ),
    StaffCommand(
        name="note",
        who="all",
        de="notiz",
        zh="备注",
        arguments="TEXT",
        needs_text=True,
        where="thread",
        example_en="!note the doctor confirmed the dose",
        example_de="!notiz die Praxis hat die Dosis bestätigt",
        example_zh="!备注 医生已确认剂量",
    ),
    StaffCommand(
        name="r",
        who="owner",
        en="reply send",
        de="antwort",
        zh="回复",
        arguments="TEXT",
        needs_text=True,
        where="thread",
        example_en="!r Your prescription is ready.",
        example_de="!antwort Ihr Rezept liegt bereit.",
        example_zh="!回复 您的处方已准备好。",
    ),
    StaffCommand(
        name="later",
        who="owner",
        de="später",
        zh="稍后",
        arguments="TIME TEXT",
        needs_text=True,
        where="thread",
        example_en="!later 14:00 Your prescription is ready.",
        example_de="!später 14:00 Ihr Rezept liegt bereit.",
        example_zh="!稍后 14:00 您的处方已准备好。",
    ),
    StaffCommand(
        name="undo",
        who="author",
        de="rückgängig",
        zh="撤销",
        where="thread",
        example_en="!undo",
        example_de="!rückgängig",
        example_zh="!撤销",
    ),
    StaffCommand(
        name="tag",
        who="all",
        en="label",
        de="stichwort",
        zh="标签",
        arguments="[+WORD -WORD …]",
        takes_ref=True,
        example_en="!tag +invoice -urgent",
        example_de="!stichwort +Rechnung -eilig",
        example_zh="!标签 +发票 -紧急",
    ),
    StaffCommand(
        name="history",
        who="all",
        de="verlauf",
        zh="记录",
        arguments="[N|files]",
        takes_ref=True,
        example_en="!history 20",
        example_de="!verlauf 20",
        example_zh="!记录 20",
    ),
    StaffCommand(
        name="who",
        who="all",
        de="wer",
        zh="谁",
        takes_ref=True,
        example_en="!who K-4F7Q",
        example_de="!wer K-4F7Q",
        example_zh="!谁 K-4F7Q",
    ),
    StaffCommand(
        name="why",
        who="all",
        de="warum",
        zh="原因",
        takes_ref=True,
        example_en="!why K-4F7Q",
        example_de="!warum K-4F7Q",
        example_zh="!原因 K-4F7Q",
    ),
    StaffCommand(
        name="fate",
        who="all",
        de="verbleib",
        zh="去向",
        where="thread",
        example_en="!fate",
        example_de="!verbleib",
        example_zh="!去向",
    ),
    StaffCommand(
        name="room",
        who="owner_or_lead",
        de="raum",
        zh="单独房间",
        arguments="[@PEOPLE]",
        takes_ref=True,
        example_en="!room @ben:example.org",
        example_de="!raum @ben:example.org",
        example_zh="!单独房间 @ben:example.org",
    ),
    StaffCommand(
        name="invite",
        who="owner_or_lead",
        de="einladen",
        zh="邀请",
        arguments="@PERSON",
        needs_text=True,
        where="thread",
        example_en="!invite @ben:example.org",
        example_de="!einladen @ben:example.org",
        example_zh="!邀请 @ben:example.org",
    ),
    StaffCommand(
        name="remove",
        who="owner_or_lead",
        de="entfernen",
        zh="移除",
        arguments="@PERSON",
        needs_text=True,
        example_en="!remove @ben:example.org",
        example_de="!entfernen @ben:example.org",
        example_zh="!移除 @ben:example.org",
    ),
    StaffCommand(
        name="glass",
        who="agent",
        en="breakglass",
        de="notzugriff",
        zh="紧急查看",
        arguments="REF REASON",
        needs_text=True,
        takes_ref=True,
        example_en="!glass K-4F7Q emergency, the practice is on the phone",
        example_de="!notzugriff K-4F7Q Notfall, die Praxis ist am Telefon",
        example_zh="!紧急查看 K-4F7Q 紧急情况，诊所来电",
    ),
    StaffCommand(
        name="start",
        who="agent",
        en="new",
        de="beginnen",
        zh="发起",
        arguments="CONTACT [TEXT]",
        needs_text=True,
        example_en="!start @kim:example.org Good morning, your report is here.",
        example_de="!beginnen @kim:example.org Guten Tag, Ihr Befund ist da.",
        example_zh="!发起 @kim:example.org 您好，您的报告已出。",
    ),
    StaffCommand(
        name="queue",
        who="agent",
        de="warteschlange",
        zh="队列",
        example_en="!queue",
        example_de="!warteschlange",
        example_zh="!队列",
    ),
    StaffCommand(
        name="mine",
        who="agent",
        de="meine",
        zh="我的",
        example_en="!mine",
        example_de="!meine",
        example_zh="!我的",
    ),
    StaffCommand(
        name="next",
        who="agent",
        de="nächste nächster",
        zh="下一个",
        example_en="!next",
        example_de="!nächste",
        example_zh="!下一个",
    ),
    StaffCommand(
        name="status",
        who="all",
        zh="状态",
        arguments="[available | busy REASON | break | training | meeting | away]",
        example_en="!status busy on the phone",
        example_de="!status busy am Telefon",
        example_zh="!状态 busy 正在通话",
    ),
    StaffCommand(
        name="flood",
        who="agent",
        de="flut",
        zh="刷屏",
        arguments="[NUMBER admit | NUMBER drop REASON]",
        example_en="!flood 3 admit",
        example_de="!flut 3 einlassen",
        example_zh="!刷屏 3 放行",
    ),
    StaffCommand(
        name="trust",
        who="lead",
        de="vertrauen",
        zh="信任",
        arguments="@PERSON",
        needs_text=True,
        example_en="!trust @ben:example.org",
        example_de="!vertrauen @ben:example.org",
        example_zh="!信任 @ben:example.org",
    ),
    StaffCommand(
        name="verify",
        who="all",
        de="verifizieren",
        zh="验证",
        example_en="!verify",
        example_de="!verifizieren",
        example_zh="!验证",
    ),
    StaffCommand(
        name="help",
        who="all",
        en="?",
        de="hilfe",
        zh="帮助",
        arguments="[COMMAND|all]",
        example_en="!help pause",
        example_de="!hilfe pausieren",
        example_zh="!帮助 暂停",
    ),
)
