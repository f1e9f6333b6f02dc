// Uses the console in a real browser, as a person would.
// usage: node console.mjs SCENARIO URL ARGUMENTS, JSON: see each scenario
// Fails with the first expectation that does not hold, with an error on the page, or with a report of its Content-Security-Policy.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [, , scenario, url, json] = process.argv;
const options = JSON.parse(json);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SECTIONS = ["live", "events", "subscribers", "deliveries", "consumers", "health", "send"];

const browser = await chromium.launch({
  executablePath: process.env.HOOKBRIDGE_TEST_BROWSER,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
});
const problems = [];

async function open({ scheme = "light", width = 1200 } = {}) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // Responses that the scenarios provoke are logged as errors, too.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) problems.push(message.text());
  });
  page.on("dialog", (dialog) => problems.push(`a dialog: ${dialog.message()}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(options.stage ?? url)) problems.push(`a request to ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

async function enterToken(page, token) {
  await page.getByLabel("Token of the API").fill(token);
  await page.getByRole("button", { name: "Continue" }).click();
}

/** Sends the events of the page again, after the page said how many. */
async function sendAgain(page, target, question) {
  await page.getByLabel("Send to").selectOption(target);
  await page.getByRole("button", { name: "Send again" }).click();
  await page.getByText(question).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Send again" }).click();
}

async function goTo(page, section) {
  await page.getByRole("navigation").getByRole("link", { name: section, exact: true }).click();
  await page.getByRole("heading", { level: 1, name: section }).waitFor();
}

const api = (method, path, body) => fetch(`${url}${path}`, {
  method, headers: { authorization: `Bearer ${options.token}`, "content-type": "application/json" }, body: body && JSON.stringify(body),
});

/** Sends a GitHub webhook. `end` is signed, but lost from the end of the body. */
async function push(body, { type = "push", id = "d-1", end = "" } = {}) {
  const text = JSON.stringify(body);
  const signature = createHmac("sha256", options.secret).update(text + end).digest("hex");
  const headers = {
    "content-type": "application/json", "x-github-event": type, "x-github-delivery": id, "x-hub-signature-256": `sha256=${signature}`,
  };
  return (await fetch(`${url}hooks/github`, { method: "POST", headers, body: text })).status;
}

/** Checks accessibility, and that nothing is wider than the window. */
async function checkPage(page, name) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} px too wide`);
  // Playwright evaluates outside of the page's Content-Security-Policy.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(found, [], `axe-core on ${name}`);
}

const scenarios = {
  /** { token, secret, receiver } */
  async everything() {
    const page = await open();
    await page.getByRole("heading", { name: "Token" }).waitFor();
    await checkPage(page, "the token form");
    assert.ok(!(await page.locator("main").innerText()).includes("null"));
    await enterToken(page, "a guess");
    await page.getByText("The server does not accept this token.").waitFor();
    await enterToken(page, options.token);

    // Live
    await page.getByText("No webhook has arrived").waitFor();
    assert.equal(await push({ n: 1 }, { id: "arrives-live" }), 202);
    const row = page.getByRole("row").filter({ hasText: "arrives-live" });
    await row.waitFor();
    assert.match(await row.innerText(), /github\s+published 202\s+push/);
    assert.equal(await push({ n: 2 }, { end: "\n" }), 401);
    await page.getByText(/refused 401 \(wrong-signature\)/).waitFor();
    await page.getByText(/the body lost the line break at its end/).waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    assert.equal(await push({ n: 3 }, { id: "while-paused" }), 202);
    await page.waitForTimeout(500);
    assert.equal(await page.getByText("while-paused").count(), 0);
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByText("while-paused").waitFor();
    await page.getByLabel("Filter").fill("arrives-");
    assert.equal(await page.getByRole("row").count(), 2);

    // Markup from outside stays text.
    const markup = "<img src=x onerror=alert(1)><script>alert(2)</script>";
    assert.equal(await push({ text: markup, [markup]: [markup] }, { type: markup, id: markup }), 202);
    await page.getByLabel("Filter").fill("alert");
    await page.getByText(markup).first().waitFor();

    // Events
    await goTo(page, "Events");
    await page.getByRole("row").filter({ hasText: "onerror" }).getByRole("link").click();
    await page.getByRole("heading", { name: markup }).waitFor();
    await page.getByLabel("Search").fill("alert(2)");
    assert.equal(await page.locator("mark").count(), 3);
    assert.equal(await page.locator("main img, main script").count(), 0);
    await checkPage(page, "an event");
    await page.goBack();
    await page.getByLabel("Type").fill("push");
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByRole("row").filter({ hasText: "onerror" }).waitFor({ state: "detached" });
    await page.getByRole("table").waitFor();
    assert.equal(await page.getByRole("row").count(), 3);
    await page.getByLabel("Type").fill("nothing");
    await page.getByLabel("Type").press("Enter");
    await page.getByText("No event matches the filters.").waitFor();

    // Subscribers
    await goTo(page, "Subscribers");
    await page.getByText("There is no subscriber yet.").waitFor();
    await page.getByLabel("Name").fill("crm");
    await page.getByLabel("URL").fill("not a url");
    await page.getByRole("button", { name: "Create" }).click();
    assert.equal(await page.getByText("signing secret").count(), 0);
    await page.getByLabel("URL").fill("http://10.0.0.1/");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByText(/10\.0\.0\.1/).last().waitFor();
    await page.getByLabel("URL").fill(options.receiver);
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByText("Its signing secret").waitFor();
    assert.match(await page.locator("pre").innerText(), /^whsec_/);
    await page.getByRole("button", { name: "Send a test" }).click();
    await page.getByText(/The test was answered 200/).waitFor();
    await checkPage(page, "a subscriber");

    // A delivery that fails, and is retried.
    assert.equal(await push({ fails: true }, { id: "fails" }), 202);
    await goTo(page, "Deliveries");
    await page.getByRole("row").filter({ hasText: "waiting" }).getByRole("link").first().click();
    await page.getByRole("row").filter({ hasText: "503" }).waitFor();
    await checkPage(page, "a delivery");
    await page.getByRole("button", { name: "Retry now" }).click();
    await page.getByRole("row").filter({ hasText: "200" }).waitFor();
    await goTo(page, "Deliveries");
    await page.getByRole("row").filter({ hasText: "delivered" }).waitFor();
    await page.getByRole("button", { name: "Retry all failed" }).click();
    await page.getByText("No delivery is failed.").waitFor();

    // One event again, and then all that match.
    await goTo(page, "Events");
    await page.getByRole("row").filter({ hasText: "push" }).getByRole("link").first().click();
    await sendAgain(page, "crm", "Send 1 event to crm");
    await page.getByText("1 event will be delivered to crm now.").waitFor();
    await page.getByRole("link", { name: "All events" }).click();
    await page.getByRole("heading", { name: "Send these events again" }).waitFor();
    await sendAgain(page, "crm", "Send 4 events to crm");
    await page.getByText("4 events will be delivered to crm now.").waitFor();

    // An event by a part of its delivery id, to a URL and to the bus.
    await page.getByLabel("Event or delivery id").fill("le-paused");
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByRole("row").filter({ hasText: "push" }).nth(1).waitFor({ state: "detached" });
    await page.getByLabel("Send to").selectOption("crm");
    assert.equal(await page.getByRole("textbox", { name: "URL" }).count(), 0, "a subscriber has its URL");
    await page.getByLabel("Send to").selectOption("a URL");
    await page.getByRole("textbox", { name: "URL" }).fill("http://10.0.0.1/");
    await page.getByRole("button", { name: "Send again" }).click();
    await page.getByText(/10\.0\.0\.1 is blocked|only https/).waitFor();
    await page.getByRole("textbox", { name: "URL" }).fill(`${options.receiver}-by-url`);
    await sendAgain(page, "a URL", "Send 1 event to http");
    await page.getByText("1 event sent.").waitFor();
    await checkPage(page, "the events with a form to send them to a URL");
    await page.getByText("1 event sent.").waitFor({ state: "detached", timeout: 15000 });
    await sendAgain(page, "the bus", "Send 1 event to the bus");
    await page.getByText("1 event sent.").waitFor();

    // Consumers
    await goTo(page, "Consumers");
    await page.getByText("There is no named consumer.").waitFor();
    assert.equal((await api("PUT", "consumers/billing")).status, 201);
    await page.getByText(/\d events?, \d+ s/).waitFor({ timeout: 15000 });
    await page.getByRole("button", { name: "Move" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
    await page.getByText("0 events, 0 s").waitFor({ timeout: 15000 });

    // Health and samples
    await goTo(page, "Health");
    await page.getByRole("row").filter({ hasText: "log" }).filter({ hasText: "ok" }).waitFor();
    await goTo(page, "Send");
    await page.getByLabel(/^Provider/).selectOption("Stripe");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText(/Answered 202/).waitFor();

    // With the keyboard only.
    await page.keyboard.press("Control+Home");
    await page.getByRole("navigation").getByRole("link", { name: "Live", exact: true }).focus();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Events" }).waitFor();

    const storage = await page.evaluate(() => JSON.stringify([Object.keys(localStorage), document.cookie]));
    assert.equal(storage, '[[],""]', "the token stays in the tab");
    await page.getByRole("button", { name: "Forget the token" }).click();
    await page.getByLabel("Token of the API").waitFor();

    for (const [scheme, width] of [["light", 1200], ["dark", 1200], ["light", 360]]) {
      const other = await open({ scheme, width });
      await other.getByLabel("Token of the API").waitFor();
      await checkPage(other, `the token form, ${scheme}, ${width} px`);
      await enterToken(other, options.token);
      await other.getByRole("navigation").getByRole("link").first().waitFor();
      for (const section of SECTIONS) {
        await other.goto(`${url}#${section}`);
        await other.locator("main table, main .empty, main dl, main form").first().waitFor();
        await checkPage(other, `${section}, ${scheme}, ${width} px`);
        if (options.screenshots) await other.screenshot({ path: `${options.screenshots}/${section}-${scheme}-${width}.png` });
      }
      await other.context().close();
    }
  },

  /** { screenshot }: the demo, whose picture is in the documentation */
  async demo() {
    const page = await open({ width: 1100 });
    await page.getByText("6 accepted").first().waitFor();
    await page.getByText("1 refused or failed").first().waitFor();
    assert.equal(await page.getByRole("row").count(), 8);
    await page.screenshot({ path: options.screenshot, clip: { x: 0, y: 0, width: 1100, height: 690 } });
  },

  /** { token, events }: a log of so many events */
  async manyEvents() {
    const page = await open();
    await enterToken(page, options.token);
    await goTo(page, "Events");
    for (let turn = 0; turn < 5; turn += 1) {
      await page.getByRole("button", { name: "Older events" }).click();
      await page.getByRole("link", { name: `many-${options.events - 101 - 100 * turn}`, exact: true }).waitFor();
    }
    assert.equal(await page.getByRole("row").count(), 101);
    await page.getByLabel("Event or delivery id").fill("many-12345");
    await page.getByLabel("Event or delivery id").press("Enter");
    await page.getByRole("link", { name: "many-12345", exact: true }).waitFor({ timeout: 15000 });
    assert.equal(await page.getByRole("row").count(), 2);
  },

  /** { token, stage }: the console of the function feed behind an HTTP API, whose stage is part of each path */
  async feed() {
    const page = await open();
    await enterToken(page, "wrong");
    await page.getByText("does not accept this token").waitFor();
    await enterToken(page, options.token);
    await page.getByRole("link", { name: "many-149", exact: true }).waitFor();
    const sections = await page.getByRole("navigation").getByRole("link").allInnerTexts();
    assert.deepEqual(sections, ["Events", "Consumers"]);
    await page.getByRole("button", { name: "Older events" }).click();
    await page.getByRole("link", { name: "many-49", exact: true }).waitFor();
    await page.getByLabel("Event or delivery id").fill("many-14");
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByRole("link", { name: "many-49", exact: true }).waitFor({ state: "detached" });
    await page.getByRole("table").waitFor();
    assert.equal(await page.getByRole("row").count(), 12, "many-14 and many-140 to many-149");
    await page.getByRole("link", { name: "many-140", exact: true }).click();
    await page.getByRole("heading", { level: 2, name: "delivery" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Send again" }).count(), 0);
    await checkPage(page, "an event of feed");
    await goTo(page, "Consumers");
    await page.getByText("There is no named consumer.").waitFor();
  },

  /** { token }: prints "failing" once the console shows that the log fails, and "recovered" once it works again. */
  async outage() {
    const page = await open();
    await enterToken(page, options.token);
    await goTo(page, "Health");
    await page.getByText("ok").first().waitFor();
    console.log("shown");
    await page.getByRole("row").filter({ hasText: "log" }).filter({ hasText: "failing" }).waitFor({ timeout: 60000 });
    await goTo(page, "Events");
    await page.getByRole("alert").waitFor({ timeout: 60000 });
    console.log("failing");
    await page.waitForTimeout(3000);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("The log has no event yet.").waitFor({ timeout: 60000 });
    console.log("recovered");
  },

  /** { token }: prints "shown", and ends when the console asks for the token, which the server does not accept any more. */
  async revokedToken() {
    const page = await open();
    await enterToken(page, options.token);
    await page.getByText("No webhook has arrived").waitFor();
    console.log("shown");
    await page.getByText("The server does not accept this token.").waitFor({ timeout: 60000 });
  },
};

try {
  await scenarios[scenario]();
  assert.deepEqual(problems, []);
} catch (error) {
  console.error(problems.join("\n"));
  throw error;
} finally {
  await browser.close();
}
