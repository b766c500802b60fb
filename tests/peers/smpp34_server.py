"""An smpp34 message centre for our relay client: smpp34_server.py PORT. Its dialect is described in README.md."""

import asyncio
import json
import sys

import smpp34

RECEIPT_AFTER_S = 0.02
CODINGS = {0: "latin-1", 1: "ascii", 3: "latin-1", 8: "utf-16-be", 0x0E: "cp949"}
DELIVERED, UNDELIVERABLE = 2, 5


def show(line):
    print(json.dumps(line, ensure_ascii=False), flush=True)


def tlvs_of(event):
    return {tlv.tag: tlv.value for tlv in event.tlvs}


def place_of(event, tlvs, body):
    """(reference, total, number, text) of a part, by user data header or SAR parameters."""
    if smpp34.TLV_SAR_TOTAL_SEGMENTS in tlvs:
        reference = int.from_bytes(tlvs[smpp34.TLV_SAR_MSG_REF_NUM], "big")
        return reference, tlvs[smpp34.TLV_SAR_TOTAL_SEGMENTS][0], tlvs[smpp34.TLV_SAR_SEGMENT_SEQNUM][0], body
    if not event.esm_class & 0x40:
        return 0, 1, 1, body
    header, text = body[1 : body[0] + 1], body[body[0] + 1 :]
    if header[:2] == b"\x00\x03":
        return header[2], header[3], header[4], text
    if header[:2] == b"\x08\x04":
        return int.from_bytes(header[2:4], "big"), header[4], header[5], text
    return 0, 1, 1, text


class Centre:
    def __init__(self):
        self.last_id = 0
        self.sessions = {}
        self.incomplete = {}
        self.tasks = set()

    def on_submit(self, event):
        self.last_id += 1
        message_id = str(self.last_id)
        event.accept(message_id=message_id)
        tlvs = tlvs_of(event)
        self.join(event, tlvs, message_id)
        if event.registered_delivery & 1:
            task = asyncio.create_task(self.send_receipt(event, tlvs, message_id))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def join(self, event, tlvs, message_id):
        body = event.short_message or tlvs.get(smpp34.TLV_MESSAGE_PAYLOAD, b"")
        reference, total, number, text = place_of(event, tlvs, body)
        key = (event.source_addr, event.destination_addr, reference, total)
        own = tlvs.get(smpp34.TLV_USER_MESSAGE_REFERENCE)
        parts = self.incomplete.setdefault(key, {})
        parts[number] = (text, message_id, own and int.from_bytes(own, "big"))
        if len(parts) < total:
            return
        del self.incomplete[key]
        ordered = [parts[number] for number in sorted(parts)]
        show(
            {
                "event": "message",
                "to": event.destination_addr,
                "from": event.source_addr,
                "text": b"".join(part[0] for part in ordered).decode(CODINGS[event.data_coding]),
                "dataCoding": event.data_coding,
                "parts": total,
                "references": [part[2] for part in ordered],
                "ids": [part[1] for part in ordered],
            }
        )

    async def send_receipt(self, event, tlvs, message_id):
        await asyncio.sleep(RECEIPT_AFTER_S)
        unknown = event.destination_addr.endswith("0003")
        state, stat = (UNDELIVERABLE, "undeliv") if unknown else (DELIVERED, "delivrd")
        error = 1 if unknown else 0
        facts = [
            smpp34.Tlv(smpp34.TLV_RECEIPTED_MESSAGE_ID, message_id.encode() + b"\0"),
            smpp34.Tlv(smpp34.TLV_MESSAGE_STATE, bytes([state])),
            smpp34.Tlv(smpp34.TLV_NETWORK_ERROR_CODE, bytes([3, 0, error])),
        ]
        if smpp34.TLV_USER_MESSAGE_REFERENCE in tlvs:
            reference = tlvs[smpp34.TLV_USER_MESSAGE_REFERENCE]
            facts.append(smpp34.Tlv(smpp34.TLV_USER_MESSAGE_REFERENCE, reference))
        answer = await self.sessions[event.session_id].deliver_sm(
            source_addr=event.destination_addr,
            destination_addr=event.source_addr,
            esm_class=0x04,
            short_message=f"STAT:{stat} ID:{message_id}".encode(),
            tlvs=facts,
        )
        show({"event": "receipt", "id": message_id, "status": answer.command_status})

    async def serve(self, server):
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                self.sessions[event.session_id] = event
            elif isinstance(event, smpp34.SubmitSmEvent):
                self.on_submit(event)
            elif isinstance(event, smpp34.Unbound):
                self.sessions.pop(event.session_id, None)


async def main():
    port = int(sys.argv[1])
    server = smpp34.Server(host="127.0.0.1", port=port, system_id="SMPP34")
    await server.start()
    show({"event": "ready", "port": port})
    serving = asyncio.create_task(Centre().serve(server))
    closed = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.wait([serving, closed], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
