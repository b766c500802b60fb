// A node-smpp client that checks our simulator: node_client.js SMPP-PORT CONTROL-PORT.
'use strict';

const http = require('http');
const iconv = require('iconv-lite');
const smpp = require('smpp');

const [smppPort, controlPort] = process.argv.slice(2).map(Number);
const PATIENCE_MS = 20_000;
const SENDER = '0212345678';
const UCS2_PART = 134;
const KSC = 0x0e;
const UCS2 = 8;

function fail(why) {
  console.error(`node-smpp: ${why}`);
  process.exit(1);
}

setTimeout(() => fail('not finished in time'), PATIENCE_MS).unref();
process.on('uncaughtException', (error) => fail(error.stack));
process.on('unhandledRejection', (error) => fail(error.stack || error));

// Numbers of one run do not meet those of another on the same simulator.
const run = String(process.pid % 10_000).padStart(4, '0');

function long(text, parts) {
  const bytes = iconv.encode(text, 'utf16-be');
  const total = Math.ceil(bytes.length / UCS2_PART);
  if (total !== parts) fail(`the test text makes ${total} parts`);
  return Array.from({ length: total }, (_, index) => ({
    data_coding: UCS2,
    short_message: {
      udh: Buffer.from([5, 0, 3, 0x42, total, index + 1]),
      message: bytes.subarray(index * UCS2_PART, (index + 1) * UCS2_PART),
    },
  }));
}

const korean = '안녕하세요, 봉수입니다. ';
const messages = [
  { to: `0101${run}001`, text: 'Hello from node', pdus: [{ short_message: 'Hello from node' }] },
  {
    to: `0101${run}002`,
    text: korean,
    pdus: [{ data_coding: KSC, short_message: iconv.encode(korean, 'cp949') }],
  },
  { to: `0101${run}003`, text: korean.repeat(12), pdus: long(korean.repeat(12), 3) },
  {
    to: `0101${run}004`,
    text: korean.repeat(60),
    pdus: [{ data_coding: KSC, message_payload: iconv.encode(korean.repeat(60), 'cp949') }],
  },
  { to: '01000000003', text: `nobody ${run}`, stat: 'UNDELIV', pdus: [{ short_message: `nobody ${run}` }] },
];

// Receipts by id; they may come before the answer.
const receipts = new Map();

function onReceipt(session, pdu) {
  session.send(pdu.response());
  const text = pdu.short_message.message.toString();
  const id = (/id:(\S+)/.exec(text) || [])[1];
  if (pdu.esm_class !== 4) fail(`esm_class ${pdu.esm_class}`);
  // The TLV type of this peer keeps the terminating NUL in some versions.
  if (String(pdu.receipted_message_id).replace(/\0$/, '') !== id) fail(`TLV ${pdu.receipted_message_id}, text ${id}`);
  receipts.set(id, { stat: /stat:(\S+)/.exec(text)[1], reference: pdu.user_message_reference });
}

function submit(session, pdu) {
  return new Promise((resolve) => session.submit_sm(pdu, resolve));
}

async function send(session, message, reference) {
  const ids = [];
  for (const part of message.pdus) {
    const pdu = {
      source_addr: SENDER,
      destination_addr: message.to,
      registered_delivery: 1,
      user_message_reference: reference,
      ...part,
    };
    const answer = await submit(session, pdu);
    if (answer.command_status !== 0 || !answer.message_id) fail(`submit answered ${answer.command_status}`);
    ids.push(answer.message_id);
  }
  return ids;
}

async function receiptOf(id) {
  while (!receipts.has(id)) await new Promise((resolve) => setTimeout(resolve, 5));
  return receipts.get(id);
}

function inbox(to) {
  return new Promise((resolve, reject) => {
    http
      .get({ host: '127.0.0.1', port: controlPort, path: `/inbox?to=${to}` }, (response) => {
        let body = '';
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () => resolve(JSON.parse(body)));
      })
      .on('error', reject);
  });
}

async function check(session, message, reference) {
  const ids = await send(session, message, reference);
  for (const id of ids) {
    const receipt = await receiptOf(id);
    if (receipt.stat !== (message.stat || 'DELIVRD')) fail(`receipt of ${id}: ${receipt.stat}`);
    if (receipt.reference !== reference) fail(`receipt of ${id}: reference ${receipt.reference}`);
  }
  const got = (await inbox(message.to)).pop();
  if (!got || got.text !== message.text) fail(`the handset got ${got && got.text} for ${message.text}`);
  if (got.parts !== ids.length) fail(`${got.parts} parts for ${ids.length}`);
}

const session = smpp.connect({ url: `smpp://127.0.0.1:${smppPort}` }, () => {
  session.bind_transceiver({ system_id: 'node', password: 'secret' }, async (pdu) => {
    if (pdu.command_status !== 0) fail(`bind answered ${pdu.command_status}`);
    for (const [index, message] of messages.entries()) await check(session, message, 40_000 + index);
    session.unbind((answer) => {
      if (answer.command_status !== 0) fail(`unbind answered ${answer.command_status}`);
      console.log('ok');
      process.exit(0);
    });
  });
});
session.on('deliver_sm', (pdu) => onReceipt(session, pdu));
session.on('error', (error) => fail(error.message));
