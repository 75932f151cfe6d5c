"""A headless Chromium, driven through its DevTools protocol over a pipe: no driver, no package."""
import base64
import ctypes
import json
import os
import select
import signal
import subprocess
import tempfile
import time

PATIENCE = 60  # seconds
PR_SET_CHILD_SUBREAPER = 36


class Browser:
  """One page. `requests` and `errors` collect what it asked for and what it complained of."""

  def __init__(self, program="chromium"):
    # Chromium's helpers outlive its first process and still write to the profile: as children
    # of ours, once they are orphans, close() can wait for each of them.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    self._folder = tempfile.TemporaryDirectory(prefix="seer-browser-")
    to_browser, self._in = os.pipe()
    self._out, from_browser = os.pipe()
    for fd in (to_browser, from_browser):
      os.set_inheritable(fd, True)
    self._process = subprocess.Popen(
        ["bash", "-c", f"exec 3<&{to_browser} 4>&{from_browser}; exec \"$@\"", "bash", program,
         "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--remote-debugging-pipe", "--no-first-run", "--disable-extensions",
         "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
         f"--user-data-dir={self._folder.name}", "about:blank"],
        close_fds=False, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(to_browser)
    os.close(from_browser)
    self._buffer = b""
    self._last = 0
    self._session = None
    self.requests, self.errors = [], []
    self._answer = None  # answers requests in the place of the server
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Network", "Log", "Accessibility", "DOM"):
      self.call(domain + ".enable")

  def close(self):
    group = self._process.pid
    os.killpg(group, signal.SIGKILL)
    self._process.wait()
    try:
      while True:
        os.waitpid(-group, 0)
    except ChildProcessError:
      pass  # none is left
    os.close(self._in)
    os.close(self._out)
    self._folder.cleanup()

  def call(self, method, **parameters):
    self._last += 1
    message = {"id": self._last, "method": method, "params": parameters}
    if self._session and not method.startswith("Target."):
      message["sessionId"] = self._session
    os.write(self._in, json.dumps(message).encode() + b"\0")
    wanted = self._last
    deadline = time.monotonic() + PATIENCE
    while True:
      got = self._next(deadline)
      if got.get("id") == wanted:
        if "error" in got:
          raise RuntimeError(f"{method}: {got['error']['message']}")
        return got["result"]
      if "id" not in got:
        self._event(got)

  def _next(self, deadline):
    while b"\0" not in self._buffer:
      ready, _, _ = select.select([self._out], [], [], max(0, deadline - time.monotonic()))
      if not ready:
        raise TimeoutError("the browser does not answer")
      piece = os.read(self._out, 1 << 20)
      if not piece:
        raise RuntimeError("the browser ended")
      self._buffer += piece
    text, self._buffer = self._buffer.split(b"\0", 1)
    return json.loads(text)

  def _event(self, event):
    parameters = event.get("params", {})
    if event["method"] == "Network.requestWillBeSent":
      self.requests.append(parameters["request"]["url"])
    elif event["method"] == "Runtime.exceptionThrown":
      details = parameters["exceptionDetails"]
      self.errors.append(details.get("exception", {}).get("description", details["text"]))
    elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
      self.errors.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
    elif event["method"] == "Fetch.requestPaused":
      self._answer_paused(parameters)

  def _answer_paused(self, paused):
    answer = self._answer and self._answer(paused["request"])
    if answer is None:
      return self._send("Fetch.continueRequest", requestId=paused["requestId"])
    status, body = answer
    self._send("Fetch.fulfillRequest", requestId=paused["requestId"], responseCode=status,
               responseHeaders=[{"name": "Content-Type", "value": "application/json"}],
               body=base64.b64encode(json.dumps(body).encode()).decode())

  def _send(self, method, **parameters):  # without waiting: in the middle of another call
    self._last += 1
    os.write(self._in, json.dumps({"id": self._last, "method": method, "params": parameters,
                                   "sessionId": self._session}).encode() + b"\0")

  def answer(self, answer):
    """`answer(request)` gives (status, body) in the place of the server, or None."""
    self._answer = answer
    if answer:
      self.call("Fetch.enable", patterns=[{"urlPattern": "*/v1/*"}])
    else:
      self.call("Fetch.disable")

  def open(self, url):
    self.call("Page.navigate", url="about:blank")
    self.call("Page.navigate", url=url)

  def size(self, width, height):
    self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
              deviceScaleFactor=1, mobile=width < 600)

  def scheme(self, name):
    self.call("Emulation.setEmulatedMedia",
              features=[{"name": "prefers-color-scheme", "value": name},
                        {"name": "prefers-reduced-motion", "value": "reduce"}])

  def value(self, expression):
    result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                       returnByValue=True)
    if "exceptionDetails" in result:
      raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", expression))
    return result["result"].get("value")

  def wait_for(self, expression, what, seconds=PATIENCE):
    """Until it is true in the page, which looks at each of its changes."""
    deadline = time.monotonic() + seconds
    while True:
      found = self.value(f"""new Promise((resolve) => {{
        const look = () => {{ try {{ return ({expression}); }} catch {{ return false; }} }};
        if (look()) return resolve(true);
        const end = (value) => {{ watcher.disconnect(); clearInterval(timer); clearTimeout(limit); resolve(value); }};
        const watcher = new MutationObserver(() => look() && end(true));
        watcher.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
        const timer = setInterval(() => look() && end(true), 200);
        const limit = setTimeout(() => end(false), 5000);
      }})""")
      if found:
        return
      if time.monotonic() > deadline:
        text = self.value("document.body.innerText.slice(0, 1500)")
        raise AssertionError(f"{what}: `{expression}` did not come true; the page says:\n{text}")

  def key(self, name, code=0, text=None):
    self.call("Input.dispatchKeyEvent", type="keyDown", key=name, code=name,
              windowsVirtualKeyCode=code, **({"text": text} if text else {}))
    self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name,
              windowsVirtualKeyCode=code)

  def type(self, text):
    self.call("Input.insertText", text=text)

  def screenshot(self, path):
    data = self.call("Page.captureScreenshot", format="png")["data"]
    with open(path, "wb") as file:
      file.write(base64.b64decode(data))

  def nameless(self):
    """What a screen reader would meet without a name."""
    wanted = {"button", "link", "image", "img", "textbox", "combobox", "progressbar", "progressIndicator", "progress", "dialog", "navigation"}
    found = []
    for node in self.call("Accessibility.getFullAXTree")["nodes"]:
      if node.get("ignored"):
        continue
      role = node.get("role", {}).get("value")
      if role in wanted and not node.get("name", {}).get("value"):
        found.append(role)
    return found
