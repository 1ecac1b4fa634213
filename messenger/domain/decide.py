"""The one door to the rules: a command in, the events that follow from it out."""

from collections.abc import Sequence
from typing import assert_never

from messenger.domain import case_room, handover, life, speaking
from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, known


def decide(conversation: Conversation | None, command: c.Command) -> Sequence[e.Event]:
    """Returns the events, oldest first; none if there is nothing to do. Raises DomainError when the command is
    refused."""
    match command:
        case c.OpenConversation():
            return life.open_(command)
        case c.StartConversation():
            return life.start(command)
        case _:
            return _decide(known(conversation), command)


def _decide(conversation: Conversation, command: c.Command) -> Sequence[e.Event]:
    match command:
        case c.OpenConversation() | c.StartConversation():
            raise TypeError("a conversation opens once")
        case c.ChooseGroup():
            return life.choose_group(conversation, command)
        case c.AskAgain():
            return life.ask_again(conversation, command)
        case c.ReceiveMessage():
            return life.receive(conversation, command)
        case c.ReceiveEdit():
            return [e.MessageEdited(message=command.message, is_unverified=command.is_unverified)]
        case c.ReceiveDeletion():
            return [e.MessageDeleted(message=command.message)]
        case c.ClaimConversation():
            return handover.claim(conversation, command)
        case c.ReleaseConversation():
            return handover.release(conversation, command)
        case c.AssignConversation():
            return handover.assign(conversation, command)
        case c.TransferConversation():
            return handover.transfer(conversation, command)
        case c.RenewRoom():
            return case_room.renew_room(conversation, command)
        case c.MoveToRoom():
            return case_room.move_to_room(conversation, command)
        case c.InviteMember():
            return case_room.invite_member(conversation, command)
        case c.RemoveMember():
            return case_room.remove_member(conversation, command)
        case c.PauseConversation():
            return life.pause(conversation, command)
        case c.ResumeConversation():
            return life.resume(conversation, command)
        case c.WakeConversation():
            return life.wake(conversation, command)
        case c.ResolveConversation():
            return life.resolve(conversation, command)
        case c.ReopenConversation():
            return life.reopen(conversation, command)
        case c.MindSilence():
            return life.mind_silence(conversation, command)
        case c.RenewCard():
            return life.renew_card(conversation)
        case c.AddStaffMessage():
            return speaking.add_staff_message(conversation, command)
        case c.EditStaffMessage():
            return speaking.edit_staff_message(conversation, command)
        case c.DeleteStaffMessage():
            return speaking.delete_staff_message(conversation, command)
        case c.ScheduleReply():
            return speaking.schedule_reply(conversation, command)
        case c.SendScheduled():
            return speaking.send_scheduled(conversation, command)
        case c.ApproveMessage():
            return speaking.approve(conversation, command)
        case c.WithdrawMessage():
            return speaking.withdraw(conversation, command)
        case c.RecordDelivery():
            return [e.MessageDelivered(message=command.message)]
        case c.RecordFailure():
            return [e.MessageFailed(message=command.message, code=command.code)]
        case _:
            assert_never(command)
