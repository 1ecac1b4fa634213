// What happens at this device, reported as JSON lines: events (decrypted or not), memberships, threads, typing.
import * as sdk from 'matrix-js-sdk';

const REPORTED_STATE = ['m.room.member', 'm.room.encryption', 'm.room.name', 'm.room.topic', 'm.room.tombstone'];
const lastReported = new Map(); // event id -> 'ok' or 'utd'

export const write = (message) => process.stdout.write(JSON.stringify(message) + '\n');

export function describe(event) {
  return {
    id: event.getId(), room: event.getRoomId(), type: event.getType(), sender: event.getSender(), ts: event.getTs(),
    state_key: event.getStateKey(), content: event.getContent(), wire_content: event.getWireContent(),
    encrypted: event.isEncrypted(), failed: event.isDecryptionFailure(),
    reason: event.isDecryptionFailure() ? event.decryptionFailureReason : undefined,
    thread: event.threadRootId, relates: event.getWireContent()?.['m.relates_to'],
    redacted: event.isRedacted() || undefined, redacts: event.event?.redacts ?? event.getContent()?.redacts,
  };
}

export function attachReports(client) {
  client.on(sdk.RoomEvent.Timeline, (event, _room, toStart, _removed, data) => report(event, !toStart && !!data?.liveEvent));
  client.on(sdk.MatrixEventEvent.Decrypted, (event) => { if (event.getRoomId()) report(event, true); });
  client.on(sdk.ThreadEvent.New, (thread) => write({ ev: 'thread', room: thread.roomId, root: thread.id }));
  client.on(sdk.RoomMemberEvent.Membership, (event, member) => write({
    ev: 'member', room: member.roomId, user: member.userId, membership: member.membership, sender: event.getSender() }));
  client.on(sdk.RoomEvent.MyMembership, (room, membership, previous) => write({
    ev: 'my_membership', room: room.roomId, membership, previous }));
  client.on(sdk.RoomEvent.Redaction, (event, room) => write({
    ev: 'redaction', room: room.roomId, redacts: event.event.redacts ?? event.getContent().redacts, sender: event.getSender() }));
  client.on(sdk.RoomMemberEvent.Typing, (_event, member) => write({
    ev: 'typing', room: member.roomId, user: member.userId, typing: member.typing }));
  client.on(sdk.RoomEvent.Receipt, (event, room) => write({ ev: 'receipt', room: room.roomId, content: event.getContent() }));
}

// An event is reported once when it is readable, once when it is not; a key that comes later brings a second report (`late`).
function report(event, live) {
  if (isNotOurs(event) || isStillEncrypted(event)) return;
  const state = event.isDecryptionFailure() ? 'utd' : 'ok';
  const before = lastReported.get(event.getId());
  if (before === state) return;
  lastReported.set(event.getId(), state);
  write({ ev: state === 'utd' ? 'utd' : 'event', live, late: before === 'utd' || undefined, ...describe(event) });
}

function isNotOurs(event) {
  const isLocalEcho = !event.getId() || event.getId().startsWith('~');
  return isLocalEcho || (event.isState() && !REPORTED_STATE.includes(event.getType()));
}

function isStillEncrypted(event) {
  return event.isBeingDecrypted()
    || (event.isEncrypted() && event.getType() === 'm.room.encrypted' && !event.isDecryptionFailure());
}
