// Signs every payload of @octokit/webhooks-examples with @octokit/webhooks-methods and posts it to URL. Prints one JSON line per
// webhook, with the request and the status of the response. usage: github_signs.mjs URL SECRET
// scripts/test copies it into the folder of node_modules.

import definitions from "@octokit/webhooks-examples" with { type: "json" };
import { sign } from "@octokit/webhooks-methods";

const [url, secret] = process.argv.slice(2);

async function post(event, id, body, contentType, signature) {
  const headers = {
    "content-type": contentType,
    "x-github-event": event,
    "x-github-delivery": id,
    "x-hub-signature-256": signature,
  };
  const answer = await fetch(url, { method: "POST", headers, body });
  await answer.text();
  console.log(JSON.stringify({ event, id, body, contentType, status: answer.status }));
}

let number = 0;
for (const { name, examples } of definitions) {
  for (const example of examples) {
    const body = JSON.stringify(example);
    await post(name, `payload-${number++}`, body, "application/json", await sign(secret, body));
  }
}
const body = `payload=${encodeURIComponent(JSON.stringify({ form: "Grüße ✓" }))}`;
await post("push", "form", body, "application/x-www-form-urlencoded", await sign(secret, body));
await post("push", "forged", "{}", "application/json", await sign("another secret", "{}"));
