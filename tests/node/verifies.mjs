// Verifies received requests with the libraries of Standard Webhooks and of Svix.
// usage: node verifies.mjs SECRET < REQUESTS, each a line of JSON: {"headers": {...}, "body": "..."}
// Prints two lines per request, one per library: "true" or the error.
import { createInterface } from "node:readline";
import * as standard from "standardwebhooks";
import * as svix from "svix";

for await (const line of createInterface({ input: process.stdin })) {
  const { headers, body } = JSON.parse(line);
  for (const { Webhook } of [standard, svix]) {
    try {
      new Webhook(process.argv[2]).verify(body, headers);
      console.log("true");
    } catch (error) {
      console.log(error.message);
    }
  }
}
