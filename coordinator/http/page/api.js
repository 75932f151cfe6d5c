// The coordinator's HTTP API: calls, streams that go on where they were cut off, who the user is.
const tokenKey = "seer.token";
let asking = null;  // the sign-in that is open

export class ApiError extends Error {
  constructor(status, error) {
    super(error?.message || `the server answered ${status}`);
    this.status = status;
    for (const detail of error?.details || []) {
      if (detail.reason) { this.reason = detail.reason; this.hint = detail.metadata?.hint; }
    }
  }
}

function askForToken(why) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("signin"), field = document.getElementById("token");
    document.getElementById("signin-why").textContent = why;
    field.value = "";
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      sessionStorage.setItem(tokenKey, field.value.trim());
      field.value = "";
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

// An answer that is good. Asks for a token as often as the server does.
async function request(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers };
    const token = sessionStorage.getItem(tokenKey);
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(path, { ...options, headers });
    if (answer.ok) return answer;
    const body = await answer.json().catch(() => null);
    if (answer.status !== 401) throw new ApiError(answer.status, body?.error);
    await askForToken(body?.error?.message || "");
  }
}

export const get = async (path, signal) => (await request(path, { signal })).json();

function post(path, body, signal) {
  return request(path, {
    method: "POST", signal, body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
  });
}

// All messages of a stream that ends, as they come.
export async function* read(path, body, signal) {
  const answer = await (body ? post(path, body, signal) : request(path, { signal }));
  for await (const line of pieces(answer.body, "\n")) {
    if (!line.trim()) continue;
    const message = JSON.parse(line);
    if (message.error) throw new ApiError(message.error.code, message.error);
    yield message;
  }
}

async function* pieces(stream, separator) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += value;
      for (let at; (at = rest.indexOf(separator)) >= 0; rest = rest.slice(at + separator.length))
        yield rest.slice(0, at);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
  if (rest) yield rest;
}

const wait = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

// Server-Sent Events until `signal`, dialled again after every break, from the last event that came.
// `state` is told "live", "offline" with the error, or "ended".
export async function watch(path, onMessage, state, signal) {
  let last = null, pause = 500;
  while (!signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream" };
      if (last !== null) headers["Last-Event-ID"] = last;
      const answer = await request(path, { headers, signal });
      state("live");
      pause = 500;
      for await (const block of pieces(answer.body, "\n\n")) {
        const event = { event: "message", data: "" };
        for (const line of block.split("\n")) {
          const at = line.indexOf(":");
          if (at > 0) event[line.slice(0, at)] = line.slice(at + 1).trimStart();
        }
        if (event.event === "end") return state("ended");
        if (event.event === "error") {
          const { error } = JSON.parse(event.data);
          throw new ApiError(error.code, error);
        }
        if (event.id) last = event.id;
        if (event.data) onMessage(JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      state("offline", error);
      if (error.status === 404) return;  // it will not come back
      if (error.reason === "OUT_OF_RANGE") last = null;  // that is no longer kept: as at first
    }
    await wait(pause * (0.5 + Math.random()), signal);
    pause = Math.min(pause * 2, 10000);
  }
}
