// Login, end-to-end encryption, cross-signing and recovery of the one device in this process.
import * as sdk from 'matrix-js-sdk';
import {
  AllDevicesIsolationMode,
  OnlySignedDevicesIsolationMode,
  decodeRecoveryKey,
} from 'matrix-js-sdk/lib/crypto-api/index.js';
import { attachReports } from './mx_reports.mjs';
import { attachVerification } from './mx_verification.mjs';

let current = null;
let storageKey = null; // { id, key } of secret storage, once known

export const client = () => current;
export const stop = () => current?.stopClient();

// hs, user, password; optional: device_id, bootstrap (default true), isolation, recovery, recovery_key, sync_limit
// A slow line: the answer to a request of this device whose address holds `part` comes so much later.
let slow = { part: null, ms: 0 };
export const slowDown = (how) => { slow = how; };

async function slowly(url, init) {
  const answer = await fetch(url, init);
  if (slow.part && init?.method !== 'GET' && String(url).includes(slow.part)) {
    await new Promise((done) => { setTimeout(done, slow.ms); });
  }
  return answer;
}

export async function start(options) {
  const login = await logIn(options);
  if (options.recovery_key) storageKey = { key: decodeRecoveryKey(options.recovery_key) };
  current = sdk.createClient({
    fetchFn: slowly,
    baseUrl: options.hs, accessToken: login.access_token, userId: login.user_id, deviceId: login.device_id,
    timelineSupport: true, cryptoCallbacks: secretStorageCallbacks(),
  });
  await current.initRustCrypto({ useIndexedDB: false });
  if (options.isolation) isolate(options.isolation);
  attachReports(current);
  attachVerification(current);
  await firstSync(options.sync_limit ?? 50);
  return { user_id: login.user_id, device_id: login.device_id, ...(await prepareIdentity(options, login.user_id)) };
}

// all: no condition; strict: also refuses senders whose identity changed; signed: "exclude insecure devices" (MSC4153)
export function isolate(mode) {
  const signedOnly = mode === 'signed';
  current.getCrypto().setDeviceIsolationMode(
    signedOnly ? new OnlySignedDevicesIsolationMode() : new AllDevicesIsolationMode(mode === 'strict'));
}

async function logIn({ hs, user, password, device_id }) {
  const answer = await fetch(`${hs}/_matrix/client/v3/login`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      type: 'm.login.password', identifier: { type: 'm.id.user', user }, password, device_id,
      initial_device_display_name: 'Interop oracle',
    }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(`login: ${answer.status} ${JSON.stringify(body)}`);
  return body;
}

function secretStorageCallbacks() {
  return {
    getSecretStorageKey: async ({ keys }) => (storageKey ? [Object.keys(keys)[0], storageKey.key] : null),
    cacheSecretStorageKey: (id, _info, key) => { storageKey = { id, key }; },
  };
}

async function firstSync(limit) {
  const prepared = new Promise((resolve) => {
    current.on(sdk.ClientEvent.Sync, (state) => { if (state === 'PREPARED') resolve(); });
  });
  await current.startClient({ threadSupport: true, initialSyncLimit: limit, lazyLoadMembers: false });
  await prepared;
}

async function prepareIdentity(options, userId) {
  const crypto = current.getCrypto();
  await crypto.userHasCrossSigningKeys(userId, true); // own keys must be known before they are imported from secret storage
  if (options.bootstrap !== false) await signDevice(crypto, userId, options.password);
  const recoveryKey = options.recovery ? await makeRecovery(crypto) : undefined;
  const restored = options.recovery_key ? await restore(crypto) : undefined;
  return { crypto: crypto.getVersion(), cross_signing: await crypto.isCrossSigningReady(), recovery_key: recoveryKey, restored };
}

function signDevice(crypto, userId, password) {
  const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: userId }, user: userId, password };
  return crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: async (request) => request(auth) });
}

async function makeRecovery(crypto) {
  let encoded;
  await crypto.bootstrapSecretStorage({
    createSecretStorageKey: async () => {
      const key = await crypto.createRecoveryKeyFromPassphrase();
      encoded = key.encodedPrivateKey;
      return key;
    },
    setupNewKeyBackup: true, setupNewSecretStorage: true,
  });
  return encoded;
}

async function restore(crypto) {
  await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
  await crypto.checkKeyBackupAndEnable();
  const backup = await crypto.getKeyBackupInfo();
  const trust = backup && await crypto.isKeyBackupTrusted(backup);
  const { total, imported } = await crypto.restoreKeyBackup();
  const [, description] = await current.secretStorage.getKey();
  return {
    total, imported, backup_trusted: trust?.trusted, backup_key_matches: trust?.matchesDecryptionKey,
    storage_key_ok: await current.secretStorage.checkKey(storageKey.key, description),
    secret_storage_ready: await crypto.isSecretStorageReady(),
  };
}
