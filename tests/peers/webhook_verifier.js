// Verifies calls of webhooks with the library `standardwebhooks`: one a line on stdin, the count of those it believes on stdout.
"use strict";

const readline = require("node:readline");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
let believed = 0;
const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { headers, body } = JSON.parse(line);
  try {
    webhook.verify(body, headers);
    believed += 1;
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
  }
});
lines.on("close", () => console.log(believed));
