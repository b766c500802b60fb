"""Verifies calls of webhooks with the library `standardwebhooks`: one a line on stdin, the count of those it believes on stdout."""

import json
import os
import sys

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
believed = 0
for line in sys.stdin:
    call = json.loads(line)
    try:
        webhook.verify(call["body"], call["headers"])
        believed += 1
    except WebhookVerificationError:
        pass
print(believed)
