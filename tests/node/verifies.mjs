// Verifies what was received, with the library of Standard Webhooks.
// usage: node verifies.mjs SECRET < REQUESTS, each a line of JSON: {"headers": {...}, "body": "..."}
// Prints a line for each: "true", or why not.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.argv[2]);
for await (const line of createInterface({ input: process.stdin })) {
  const { headers, body } = JSON.parse(line);
  try {
    webhook.verify(body, headers);
    console.log("true");
  } catch (error) {
    console.log(error.message);
  }
}
