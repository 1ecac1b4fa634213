// Verification by emoji (SAS): this device accepts everything, and confirms what it shows or says that it differs. It
// stands for a person who compared.
import {
  CryptoEvent,
  VerificationPhase,
  VerificationRequestEvent,
  VerifierEvent,
} from 'matrix-js-sdk/lib/crypto-api/index.js';
import { write } from './mx_reports.mjs';

let me;
let acceptsAll = false;
let says = 'match';

export const acceptAll = (on) => { acceptsAll = on; };
export const answer = (word) => { says = word; };

export function attachVerification(client) {
  me = client;
  client.on(CryptoEvent.VerificationRequestReceived, (request) => {
    write({ ev: 'verification_request', from: request.otherUserId, device: request.otherDeviceId });
    if (acceptsAll) verify(request);
  });
}

export async function verify(request, { first = false } = {}) {
  try {
    if (!request.initiatedByMe) await request.accept();
    await reached(request, () => request.phase >= VerificationPhase.Ready);
    const verifier = first ? await request.startVerification('m.sas.v1') : await startedByOther(request);
    verifier.on(VerifierEvent.ShowSas, compare);
    // On a busy machine /sync may have brought the other side's key before our start was answered.
    const shown = verifier.getShowSasCallbacks();
    if (shown) compare(shown);
    await verifier.verify();
    await reached(request, () => request.phase === VerificationPhase.Done);
    await forgotten();
    write({ ev: 'verified', user: request.otherUserId });
  } catch (error) {
    await ended(request);
    await forgotten();
    write({ ev: 'verify_failed', error: String(error) });
    throw error;
  }
}

async function ended(request) {
  if (request.phase < VerificationPhase.Cancelled) {
    await reached(request, () => request.phase === VerificationPhase.Done).catch(() => {});
  }
}

// Its engine (matrix-sdk-crypto, `VerificationCache` and `garbage_collect`) forgets what has ended with the next /sync.
// What is begun before that with the same person is a second one at once to it: it cancels both, or drops the new one's
// key. Nobody who compares emoji is that fast.
async function forgotten() {
  await me.setAccountData('net.stellwerk.test.ended', { at: performance.now() });
}

function compare(sas) {
  write({ ev: 'sas', emoji: sas.sas.emoji?.map(([, name]) => name), pictures: sas.sas.emoji?.map(([each]) => each),
    decimal: sas.sas.decimal });
  if (says === 'match') sas.confirm();
  if (says === 'mismatch') sas.mismatch();
}

async function startedByOther(request) {
  await reached(request, () => request.phase >= VerificationPhase.Started && request.verifier);
  return request.verifier;
}

function reached(request, condition) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (request.phase === VerificationPhase.Cancelled) reject(new Error(`cancelled: ${request.cancellationCode}`));
      else if (condition()) resolve();
    };
    request.on(VerificationRequestEvent.Change, look);
    look();
  });
}
