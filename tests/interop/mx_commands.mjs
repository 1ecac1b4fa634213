// The commands: what a person does in Element, and what an observer asks it.
import { UserId } from '@matrix-org/matrix-sdk-crypto-wasm';
import { EventShieldColour, EventShieldReason } from 'matrix-js-sdk/lib/crypto-api/index.js';
import { PollResponseEvent } from 'matrix-js-sdk/lib/extensible_events_v1/PollResponseEvent.js';
import { downloadFile, sendFile } from './mx_files.mjs';
import { describe } from './mx_reports.mjs';
import { slowDown, client, isolate } from './mx_session.mjs';
import { acceptAll, answer, verify } from './mx_verification.mjs';

export const commands = {
  // the device
  isolation: ({ mode }) => isolate(mode),
  rotate: ({ room }) => client().getCrypto().forceDiscardSession(room),
  export_keys: exportKeys,
  devices: devicesOf,
  shield,
  auto_verify: ({ on = true }) => acceptAll(on),
  verify_user: verifyUser,
  verify_device: verifyDevice,
  slow_down: ({ part, ms }) => slowDown({ part, ms }),
  when_compared: ({ say }) => answer(say),
  logout: () => client().logout(true),

  // rooms
  create_room: createRoom,
  join,
  invite: ({ room, user }) => client().invite(room, user),
  leave: ({ room }) => client().leave(room),
  kick: ({ room, user }) => client().kick(room, user),
  members,
  rooms: () => client().getRooms().map((room) => ({
    id: room.roomId, name: room.name, membership: room.getMyMembership(), encrypted: room.hasEncryptionStateEvent() })),
  state: ({ room, type, state_key = '' }) => client().getStateEvent(room, type, state_key),
  set_state: ({ room, type, content, state_key = '' }) => client().sendStateEvent(room, type, content, state_key),
  set_displayname: ({ name }) => client().setDisplayName(name),

  // people
  knows_identity: knowsIdentity,

  // messages
  send,
  send_raw: ({ room, type, content }) => client().sendEvent(room, type, content),
  edit,
  vote,
  reactions,
  react: ({ room, event, key }) => maybeEchoed(client().sendEvent(room, 'm.reaction', {
    'm.relates_to': { rel_type: 'm.annotation', event_id: event, key } })),
  redact: ({ room, event, reason }) => client().redactEvent(room, event, undefined, reason ? { reason } : undefined),
  send_file: sendFile,
  download: downloadFile,
  typing: ({ room, on = true }) => client().sendTyping(room, on, 5000),
  receipt: async ({ room, event }) => client().sendReadReceipt(await eventOf(room, event)),
  timeline,
  thread: ({ room, root }) => {
    const thread = known(room).getThread(root);
    return thread && { root: thread.id, length: thread.length, events: thread.timeline.map(describe) };
  },
  threads: ({ room }) => known(room).getThreads().map((thread) => ({ root: thread.id, length: thread.length })),
};

// The engine asks, and keeps what it hears. `userHasCrossSigningKeys` forgets it where the engine does not track the user.
async function knowsIdentity({ user }) {
  const { olmMachine, outgoingRequestProcessor } = client().getCrypto();
  await outgoingRequestProcessor.makeOutgoingRequest(olmMachine.queryKeysForUsers([new UserId(user)]));
  return (await olmMachine.getIdentity(new UserId(user))) !== undefined;
}

// The SDK trips over its own event where that came back before the answer to its sending. Then it has been sent.
async function maybeEchoed(sending) {
  try {
    return await sending;
  } catch (error) {
    if (!String(error).includes('not a local echo')) throw error;
    return null;
  }
}

export function known(roomId) {
  const room = client().getRoom(roomId);
  if (!room) throw new Error(`this device does not know room ${roomId}`);
  return room;
}

// From this device's timelines, else from the homeserver: a reply is reported a moment before its thread knows it.
export async function eventOf(roomId, eventId) {
  const event = known(roomId).findEventById(eventId)
    ?? client().getEventMapper()(await client().fetchRoomEvent(roomId, eventId));
  await client().decryptEventIfNeeded(event);
  return event;
}

export function relation({ thread, reply_to }) {
  const reply = { 'm.in_reply_to': { event_id: reply_to ?? thread } };
  if (thread) return { 'm.relates_to': { rel_type: 'm.thread', event_id: thread, is_falling_back: !reply_to, ...reply } };
  return reply_to ? { 'm.relates_to': reply } : {};
}

async function createRoom({ name, invite = [], encrypted = true, history, version, is_direct }) {
  const state = encrypted ? [stateEvent('m.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })] : [];
  if (history) state.push(stateEvent('m.room.history_visibility', { history_visibility: history }));
  const { room_id } = await client().createRoom({
    name, invite, preset: 'private_chat', visibility: 'private', initial_state: state, is_direct, room_version: version });
  await until(() => client().getRoom(room_id)?.hasEncryptionStateEvent() || !encrypted);
  return { room_id };
}

const stateEvent = (type, content) => ({ type, state_key: '', content });

async function join({ room }) {
  const joined = await client().joinRoom(room);
  await until(() => client().getRoom(joined.roomId)?.getMyMembership() === 'join');
  return { room_id: joined.roomId };
}

async function members({ room }) {
  await known(room).loadMembersIfNeeded();
  return known(room).getMembers().map((member) => ({
    user: member.userId, membership: member.membership, name: member.name, power: member.powerLevel }));
}

function send({ room, body, html, msgtype = 'm.text', ...where }) {
  const formatted = html ? { format: 'org.matrix.custom.html', formatted_body: html } : {};
  return client().sendMessage(room, { msgtype, body, ...formatted, ...relation(where) });
}

function edit({ room, event, body }) {
  return client().sendMessage(room, {
    msgtype: 'm.text', body: `* ${body}`, 'm.new_content': { msgtype: 'm.text', body },
    'm.relates_to': { rel_type: 'm.replace', event_id: event } });
}

// As the engine understands the poll: an answer that it does not find there cannot be chosen.
async function vote({ room, poll, answer }) {
  const chosen = (await eventOf(room, poll)).unstableExtensibleEvent.answers.find((each) => each.text === answer);
  const { type, content } = PollResponseEvent.from([chosen.id], poll).serialize();
  return client().sendEvent(room, type, content);
}

// What stands below a message, from the homeserver: key -> senders.
async function reactions({ room, event }) {
  const { events } = await client().relations(room, event, 'm.annotation', 'm.reaction');
  const standing = events.filter((each) => !each.isRedacted());
  const keys = new Set(standing.map((each) => each.getRelation().key));
  return Object.fromEntries([...keys].map((key) => [
    key, standing.filter((each) => each.getRelation().key === key).map((each) => each.getSender())]));
}

async function timeline({ room, scroll = 0 }) {
  for (let page = 0; page < scroll; page += 1) await client().scrollback(known(room), 50);
  const events = known(room).getLiveTimeline().getEvents();
  await Promise.all(events.map((event) => client().decryptEventIfNeeded(event)));
  return events.map(describe);
}

// What Element draws next to a message: NONE, GREY or RED, and why.
async function shield({ room, event }) {
  const info = await client().getCrypto().getEncryptionInfoForEvent(await eventOf(room, event));
  return info && {
    colour: EventShieldColour[info.shieldColour],
    reason: info.shieldReason === null ? null : EventShieldReason[info.shieldReason] };
}

async function devicesOf({ user }) {
  const crypto = client().getCrypto();
  const devices = (await crypto.getUserDeviceInfo([user], true)).get(user) ?? new Map();
  const status = await crypto.getUserVerificationStatus(user);
  return {
    devices: await Promise.all([...devices.keys()].map((device) => deviceStatus(crypto, user, device))),
    verified: status.isCrossSigningVerified(), needs_approval: status.needsUserApproval };
}

// null: this client does not follow the user's devices (no shared room yet).
async function deviceStatus(crypto, user, device) {
  const status = await crypto.getDeviceVerificationStatus(user, device);
  return { device, signed_by_owner: status?.signedByOwner ?? null, verified: status?.isVerified() ?? null };
}

async function exportKeys() {
  const keys = JSON.parse(await client().getCrypto().exportRoomKeysAsJson());
  return keys.map((key) => ({
    room: key.room_id, session: key.session_id, sender_key: key.sender_key,
    shared_history: key['m.shared_history'] ?? false }));
}

async function verifyUser({ user, room }) {
  await verify(await client().getCrypto().requestVerificationDM(user, room), { first: true });
}

async function verifyDevice({ user, device }) {
  await client().getCrypto().getUserDeviceInfo([user], true);
  await verify(await client().getCrypto().requestDeviceVerification(user, device), { first: true });
}

async function until(condition, timeoutMs = 15_000) {
  const giveUpAt = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > giveUpAt) throw new Error('the homeserver did not send what was expected in time');
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}
