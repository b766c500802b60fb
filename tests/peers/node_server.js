// A node-smpp message centre for our relay client: node_server.js PORT. Its dialect is described in README.md.
'use strict';

const iconv = require('iconv-lite');
const smpp = require('smpp');

const port = Number(process.argv[2]);
const RECEIPT_AFTER_MS = 20;
const KSC = 0x0e;

// High enough that hexadecimal and decimal differ.
let nextId = 1000;
// Incomplete long messages by addresses, reference and number of parts.
const incomplete = new Map();

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function textOf(pdu) {
  const field = pdu.message_payload && !pdu.short_message.message.length ? pdu.message_payload : pdu.short_message;
  const message = field.message;
  if (!Buffer.isBuffer(message)) return message;
  return pdu.data_coding === KSC ? iconv.decode(message, 'cp949') : message.toString('latin1');
}

// [reference, total, number] of a part, by user data header or SAR parameters.
function placeOf(pdu) {
  for (const element of pdu.short_message.udh || []) {
    if (element[0] === 0 && element[1] === 3) return [element[2], element[3], element[4]];
    if (element[0] === 8 && element[1] === 4) return [element.readUInt16BE(2), element[4], element[5]];
  }
  if (pdu.sar_total_segments > 1) return [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum];
  return [0, 1, 1];
}

function join(pdu, id) {
  const [reference, total, number] = placeOf(pdu);
  const key = [pdu.source_addr, pdu.destination_addr, reference, total].join('/');
  const parts = incomplete.get(key) || new Map();
  parts.set(number, { text: textOf(pdu), id, reference: pdu.user_message_reference });
  incomplete.set(key, parts);
  if (parts.size < total) return;
  incomplete.delete(key);
  const ordered = [...parts.keys()].sort((a, b) => a - b).map((n) => parts.get(n));
  print({
    event: 'message',
    to: pdu.destination_addr,
    from: pdu.source_addr,
    text: ordered.map((part) => part.text).join(''),
    dataCoding: pdu.data_coding,
    parts: total,
    references: ordered.map((part) => (part.reference === undefined ? null : part.reference)),
    ids: ordered.map((part) => part.id),
  });
}

// yyMMddHHmm in Korean time.
function date() {
  const digits = new Date(Date.now() + 9 * 3_600_000).toISOString().replace(/\D/g, '');
  return digits.slice(2, 12);
}

function sendReceipt(session, pdu, id) {
  const unknown = pdu.destination_addr.endsWith('0003');
  const [delivered, stat, error] = unknown ? ['000', 'UNDELIV', '001'] : ['001', 'DELIVRD', '000'];
  const text =
    `id:${id} sub:001 dlvrd:${delivered} submit date:${date()} done date:${date()} ` +
    `stat:${stat} err:${error} text:`;
  const receipt = {
    source_addr: pdu.destination_addr,
    destination_addr: pdu.source_addr,
    esm_class: 4,
    short_message: Buffer.from(text),
  };
  session.deliver_sm(receipt, (answer) => print({ event: 'receipt', id: String(id), status: answer.command_status }));
}

function serve(session) {
  const accept = (pdu) => session.send(pdu.response({ system_id: 'NODE' }));
  session.on('bind_transceiver', accept);
  session.on('bind_transmitter', accept);
  session.on('bind_receiver', accept);
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('submit_sm', (pdu) => {
    const id = nextId++;
    const written = id.toString(16).padStart(8, '0');
    session.send(pdu.response({ message_id: written }));
    join(pdu, written);
    if (pdu.registered_delivery & 1) setTimeout(() => sendReceipt(session, pdu, id), RECEIPT_AFTER_MS);
  });
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  // A client that goes away is no fault of this server.
  session.on('error', () => session.destroy());
}

const server = smpp.createServer(serve);
server.listen(port, '127.0.0.1', () => print({ event: 'ready', port: server.address().port }));
process.stdin.resume().on('end', () => process.exit(0));
