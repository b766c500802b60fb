"""An smpplib client that checks our simulator: smpplib_client.py SMPP-PORT CONTROL-PORT."""

import json
import os
import re
import sys
import time
import urllib.request

import smpplib.client
import smpplib.consts as consts
import smpplib.gsm

PATIENCE_S = 20
SENDER = "0212345678"
KSC = 0x0E
DEADLINE = time.monotonic() + PATIENCE_S


def fail(why):
    print(f"smpplib: {why}", file=sys.stderr)
    sys.exit(1)


class Peer:
    """One session: sends, waits for answers and receipts, reads the inbox of a handset."""

    def __init__(self, smpp_port, control_port):
        self.control = f"http://127.0.0.1:{control_port}"
        self.ids = {}
        self.receipts = {}
        self.client = smpplib.client.Client("127.0.0.1", smpp_port, allow_unknown_opt_params=True)
        self.client.set_message_sent_handler(self.on_answer)
        self.client.set_message_received_handler(self.on_receipt)
        self.client.set_error_pdu_handler(lambda pdu: fail(f"{pdu.command} answered {pdu.status}"))
        self.client.connect()
        self.client.bind_transceiver(system_id="smpplib", password="secret")

    def on_answer(self, pdu):
        self.ids[pdu.sequence] = pdu.message_id.decode()

    def on_receipt(self, pdu):
        text = pdu.short_message.decode("latin-1")
        found = re.search(r"id:(\S+) .*stat:(\S+)", text)
        if pdu.esm_class != 4 or not found:
            fail(f"esm_class {pdu.esm_class}: {text}")
        by_tlv = pdu.receipted_message_id.decode().rstrip("\0")
        if by_tlv != found[1]:
            fail(f"TLV {by_tlv}, text {found[1]}")
        self.receipts[found[1]] = (found[2], pdu.user_message_reference)

    def until(self, what, ready):
        while not ready():
            if time.monotonic() > DEADLINE:
                fail(f"no {what} in time")
            self.client.read_once()

    def submit(self, to, reference, **fields):
        pdu = self.client.send_message(
            source_addr_ton=consts.SMPP_TON_NATNL,
            source_addr_npi=consts.SMPP_NPI_ISDN,
            source_addr=SENDER,
            dest_addr_ton=consts.SMPP_TON_NATNL,
            dest_addr_npi=consts.SMPP_NPI_ISDN,
            destination_addr=to,
            registered_delivery=True,
            user_message_reference=reference,
            **fields,
        )
        self.until("answer", lambda: pdu.sequence in self.ids)
        return self.ids[pdu.sequence]

    def check(self, to, text, pdus, reference, stat="DELIVRD"):
        ids = [self.submit(to, reference, **fields) for fields in pdus]
        for message_id in ids:
            self.until("receipt", lambda: message_id in self.receipts)
            if self.receipts[message_id] != (stat, reference):
                fail(f"receipt of {message_id}: {self.receipts[message_id]}")
        with urllib.request.urlopen(f"{self.control}/inbox?to={to}") as answer:
            got = json.load(answer)[-1]
        if (got["text"], got["parts"]) != (text, len(ids)):
            fail(f"the handset got {got} for {text}")


def long(text, encoding):
    parts, coding, esm_class = smpplib.gsm.make_parts(text, encoding)
    return [{"short_message": part, "data_coding": coding, "esm_class": esm_class} for part in parts]


def main():
    peer = Peer(int(sys.argv[1]), int(sys.argv[2]))
    # Numbers of one run do not meet those of another on the same simulator.
    run = f"{os.getpid() % 10_000:04}"
    korean = "안녕하세요, 봉수입니다. "
    ascii_text = "Hello from Python. " * 12
    peer.check(f"0102{run}001", "Hello", long("Hello", consts.SMPP_ENCODING_DEFAULT), 40_001)
    peer.check(f"0102{run}002", ascii_text, long(ascii_text, consts.SMPP_ENCODING_DEFAULT), 40_002)
    peer.check(f"0102{run}003", korean * 12, long(korean * 12, consts.SMPP_ENCODING_ISO10646), 40_003)
    korean_bytes = korean.encode("cp949")
    peer.check(f"0102{run}004", korean, [{"short_message": korean_bytes, "data_coding": KSC}], 40_004)
    payload = [{"message_payload": korean_bytes * 60, "data_coding": KSC, "short_message": b""}]
    peer.check(f"0102{run}005", korean * 60, payload, 40_005)
    nobody = f"nobody {run}"
    peer.check("01000000003", nobody, long(nobody, consts.SMPP_ENCODING_DEFAULT), 40_006, "UNDELIV")
    peer.client.unbind()
    peer.client.disconnect()
    print("ok")


if __name__ == "__main__":
    main()
