// A call without any package: fetch, and server-sent events read by hand. Runs in Node.js 18 and newer, and nearly so in a browser.
//
//   OFFHOOK_URL=http://127.0.0.1:5080 OFFHOOK_TOKEN=… node plain.mjs 1001

const url = process.env.OFFHOOK_URL ?? "http://127.0.0.1:5080";
const headers = { authorization: `Bearer ${process.env.OFFHOOK_TOKEN}` };
const to = process.argv[2] ?? "echo";

/** Ask the phone for something; throw what it refuses. */
async function ask(method, path, body) {
  const answer = await fetch(url + path, {
    method,
    headers: body ? { ...headers, "content-type": "application/json" } : headers,
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const found = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(`${found.code}: ${found.detail}`);
  return found;
}

/** Yield events for ever. After a break it goes on behind the last one, so that none is lost and none comes twice. */
async function* events(types, after) {
  let last = after;
  for (;;) {
    try {
      const answer = await fetch(`${url}/v1/events?types=${types}`, {
        headers: { ...headers, accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) },
      });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      let text = "";
      for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
        text += part;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const data = block.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
          if (!data) continue; // a comment: the stream lives
          const event = JSON.parse(data);
          last = event.id ?? last;
          yield event;
        }
      }
    } catch (error) {
      console.error(`the stream broke (${error.message}); again in a second`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

const { as_of } = await ask("GET", "/v1/snapshot");
const { call } = await ask("POST", "/v1/calls", { to });

for await (const event of events("call.*", as_of)) {
  const about = event.data.call;
  if (about?.id !== call) continue;
  console.log(event.type, about.state, about.remote.uri);
  if (event.type === "call.active") await ask("POST", `/v1/calls/${call}/hangup`);
  if (event.type === "call.ended") {
    console.log(`ended by ${about.end.by} ${about.end.reason}`);
    break;
  }
}
process.exit(0);
