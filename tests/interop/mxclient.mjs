// Element's engine (matrix-js-sdk with the Rust crypto), headless: one process is one device. It reads commands as JSON lines
// from standard input, `{"id": 1, "cmd": "send", ...}`, and writes replies and reports as JSON lines to standard output.
// It shares no code with Stellwerk and so is an independent judge of what Stellwerk sends.
// MX_LOG=1 shows the SDK's log on standard error.
import readline from 'node:readline';

redirectConsole();
const { commands } = await import('./mx_commands.mjs');
const { client, start, stop } = await import('./mx_session.mjs');
const { write } = await import('./mx_reports.mjs');

const all = { ...commands, init: start, quit };

process.on('unhandledRejection', (error) => write({ ev: 'unhandled', error: String(error?.stack ?? error) }));
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', answer);
lines.on('close', quit);
write({ ev: 'up', node: process.version, commands: Object.keys(all) });

async function answer(line) {
  if (!line.trim()) return;
  const request = JSON.parse(line);
  const reply = { ev: 'reply', id: request.id, cmd: request.cmd };
  try {
    if (!all[request.cmd]) throw new Error(`no command ${request.cmd}`);
    if (request.cmd !== 'init' && request.cmd !== 'quit' && !client()) throw new Error('init comes first');
    write({ ...reply, ok: true, result: (await all[request.cmd](request)) ?? null });
  } catch (error) {
    write({ ...reply, ok: false, error: String(error?.message ?? error), errcode: error?.errcode });
  }
}

function quit() {
  stop();
  setTimeout(() => process.exit(0), 50);
  return 'bye';
}

function redirectConsole() {
  // Standard output belongs to the protocol.
  for (const level of ['log', 'info', 'debug', 'warn', 'error', 'trace']) {
    console[level] = (...parts) => {
      if (!process.env.MX_LOG) return;
      const text = parts.map((part) => (typeof part === 'string' ? part : part?.stack ?? JSON.stringify(part))).join(' ');
      process.stderr.write(`[${level}] ${text}\n`);
    };
  }
}
