// Encrypted attachments (Matrix spec, client-server API, "Sending encrypted attachments"), written independently of the SDK.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { eventOf, known, relation } from './mx_commands.mjs';
import { client } from './mx_session.mjs';

const unpadded = (bytes) => Buffer.from(bytes).toString('base64').replace(/=+$/, '');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest();

export async function sendFile({ room, path, name = basename(path), mime = 'application/octet-stream', caption, ...where }) {
  const plain = await readFile(path);
  const msgtype = mime.startsWith('image/') ? 'm.image' : 'm.file';
  const place = known(room).hasEncryptionStateEvent() ? await uploadEncrypted(plain) : await uploadPlain(plain, mime, name);
  return client().sendMessage(room, {
    msgtype, body: caption ?? name, filename: name, info: { size: plain.length, mimetype: mime }, ...place,
    ...relation(where) });
}

// The sha256 is that of the plain bytes; `path` keeps them.
export async function downloadFile({ room, event, path }) {
  const { file, url } = (await eventOf(room, event)).getContent();
  const stored = await fetchMedia(file?.url ?? url);
  const plain = file ? decrypt(stored, file) : stored;
  if (path) await writeFile(path, plain);
  return { size: plain.length, sha256: sha256(plain).toString('hex'), encrypted: Boolean(file) };
}

async function uploadEncrypted(plain) {
  const { stored, file } = encrypt(plain);
  const { content_uri: url } = await client().uploadContent(stored, {
    type: 'application/octet-stream', includeFilename: false });
  return { file: { ...file, url } };
}

async function uploadPlain(plain, type, name) {
  return { url: (await client().uploadContent(plain, { type, name })).content_uri };
}

async function fetchMedia(mxc) {
  const url = client().mxcUrlToHttp(mxc, undefined, undefined, undefined, false, true, true);
  const answer = await fetch(url, { headers: { authorization: `Bearer ${client().getAccessToken()}` } });
  if (!answer.ok) throw new Error(`download: ${answer.status}`);
  return Buffer.from(await answer.arrayBuffer());
}

function encrypt(plain) {
  const key = randomBytes(32);
  const iv = Buffer.concat([randomBytes(8), Buffer.alloc(8)]);
  const cipher = createCipheriv('aes-256-ctr', key, iv);
  const stored = Buffer.concat([cipher.update(plain), cipher.final()]);
  const jwk = { alg: 'A256CTR', ext: true, k: key.toString('base64url'), key_ops: ['encrypt', 'decrypt'], kty: 'oct' };
  return { stored, file: { v: 'v2', key: jwk, iv: unpadded(iv), hashes: { sha256: unpadded(sha256(stored)) } } };
}

function decrypt(stored, { key, iv, hashes }) {
  if (unpadded(sha256(stored)) !== hashes.sha256.replace(/=+$/, '')) throw new Error('the file is not the one that was sent');
  const cipher = createDecipheriv('aes-256-ctr', Buffer.from(key.k, 'base64url'), Buffer.from(iv, 'base64'));
  return Buffer.concat([cipher.update(stored), cipher.final()]);
}
