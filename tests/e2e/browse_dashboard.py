"""The dashboard of a real coordinator in a real browser, as people use it.

browse_dashboard.py URL JOB NAME COORDINATOR_PID OUT RESTART...

JOB runs on two ranks and is called NAME; RESTART is the command that starts the coordinator again.
Screenshots go to the folder OUT.
"""
import os
import signal
import subprocess
import sys

from browser import Browser

LUMINANCE = """(() => {
  const rgb = (text) => { const c = document.createElement('canvas').getContext('2d'); c.fillStyle = text; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const light = (text) => rgb(text).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const probe = document.body.appendChild(document.createElement('i'));
  const token = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const contrast = (a, b) => { const [x, y] = [light(token(a)), light(token(b))].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const pairs = [['--ink', '--bg'], ['--ink', '--card'], ['--muted', '--card'], ['--muted', '--bg'], ['--accent', '--card'], ['--accent', '--accent-soft'], ['--good', '--good-soft'], ['--bad', '--bad-soft'], ['--warn', '--warn-soft'], ['--on-accent', '--accent'], ['--bad', '--card']];
  const low = pairs.filter(([a, b]) => contrast(a, b) < 4.5).map(([a, b]) => `${a} on ${b}: ${contrast(a, b).toFixed(2)}`);
  probe.remove();
  return low;
})()"""


def check(truth, what):
  if not truth:
    raise AssertionError(what)


def section(name):
  print(f"- {name}", flush=True)


def text_of(selector):
  return f"document.querySelector('{selector}')?.textContent || ''"


def main():
  url, job, name, pid, out, *restart = sys.argv[1:]
  browser = Browser()
  try:
    browser.scheme("light")
    browser.size(1440, 900)

    section("the list of jobs")
    browser.open(url)
    browser.wait_for(f"[...document.querySelectorAll('tbody th a')].some((a) => a.textContent === '{name}')", "the job is listed")
    browser.wait_for("document.querySelector('.live').dataset.state === 'live'", "the page is live")
    browser.wait_for("[...document.querySelectorAll('.chip')].some((c) => c.textContent === 'running')", "its state")
    browser.wait_for(f"[...document.querySelectorAll('tbody tr')].some((r) => r.textContent.includes('{name}') && r.querySelector('progress').value > 0)", "its progress")
    check(browser.nameless() == [], f"elements without a name: {browser.nameless()}")
    browser.screenshot(os.path.join(out, "jobs.png"))

    section("a job, with the keyboard")
    browser.value("document.body.focus(); getSelection().removeAllRanges()")
    browser.key("Tab", 9)
    check(browser.value("document.activeElement.className") == "skip", "the first Tab gives the link that skips the header")
    browser.value(f"[...document.querySelectorAll('tbody th a')].find((a) => a.textContent === '{name}').focus()")
    browser.key("Enter", 13, "\r")
    browser.wait_for(f"document.querySelector('h1')?.textContent === '{name}'", "Enter opens the job")
    browser.wait_for("[...document.querySelectorAll('.chart .curve')].filter((p) => p.getAttribute('d').split('L').length > 2).length === 6", "six curves have points")
    browser.wait_for("/productive/.test(document.querySelector('.stack').getAttribute('aria-label'))", "the ledger has productive time")
    browser.wait_for("document.querySelectorAll('.heat tbody tr td.cell').length >= 8", "both ranks are shown")
    browser.wait_for("[...document.querySelectorAll('.heat td.cell')].some((c) => / m?s$/.test(c.textContent))", "a rank's step is split")
    browser.wait_for("/Generation/.test(document.body.innerText) && /Bad images/.test(document.body.innerText)", "the pool's numbers")
    browser.wait_for("document.querySelectorAll('.sheet canvas').length >= 12", "the contact sheet")
    check(browser.value("""[...document.querySelectorAll('.sheet canvas')].every((c) => {
      const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      return new Set(p).size > 4; })"""), "the crops have pixels")
    browser.wait_for("document.querySelectorAll('section tbody tr td.text').length >= 2", "its events")
    browser.wait_for("document.querySelector('pre.log').textContent.includes('rank 0')", "its log")
    before = browser.value("Number(document.querySelector('.tile dd span').textContent)")
    browser.wait_for(f"Number(document.querySelector('.tile dd span').textContent) > {before}", "the step moves by itself")
    check(browser.nameless() == [], f"elements without a name: {browser.nameless()}")
    browser.screenshot(os.path.join(out, "job.png"))
    browser.value("document.querySelector('.chart svg').focus()")
    browser.key("ArrowLeft", 37)
    check(browser.value(text_of("#announce")).startswith("step "), "an arrow key reads a point of a curve")

    section("narrow and wide, light and dark")
    for scheme in ("light", "dark"):
      browser.scheme(scheme)
      low = browser.value(LUMINANCE)
      check(low == [], f"too little contrast, {scheme}: {low}")
      for width, height in ((360, 740), (820, 1100), (1440, 900), (3840, 2160)):
        browser.size(width, height)
        browser.value("new Promise(requestAnimationFrame)")
        wide = browser.value("document.scrollingElement.scrollWidth - innerWidth")
        check(wide <= 0, f"at {width} pixels the page is {wide} too wide")
        browser.screenshot(os.path.join(out, f"job-{scheme}-{width}.png"))
    browser.size(1440, 900)
    browser.value("document.getElementById('theme').click()")
    check(browser.value("document.documentElement.dataset.theme") == "light", "the button switches to light")
    check(browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)", "and it is light")
    browser.value("localStorage.clear()")
    browser.scheme("light")

    for address, what in (("queues", "default"), ("workers", "worker-0"), ("pools", "digits"), ("events", "job created")):
      section(address)
      browser.size(1440, 900)
      browser.open(f"{url}#/{address}")
      browser.wait_for(f"/{what}/.test(document.querySelector('main').innerText)", what)
      check(browser.nameless() == [], f"elements without a name: {browser.nameless()}")
      browser.screenshot(os.path.join(out, f"{address}.png"))
      browser.size(360, 740)
      check(browser.value("document.scrollingElement.scrollWidth - innerWidth") <= 0, f"{address} is too wide for a telephone")
    browser.size(1440, 900)
    browser.open(f"{url}#/pools/digits")
    browser.wait_for("document.querySelectorAll('.sheet canvas').length >= 12", "the pool's images")
    browser.screenshot(os.path.join(out, "pool.png"))
    check(browser.errors == [], f"the browser complains: {browser.errors}")

    section("the coordinator is gone, and comes back")
    browser.open(f"{url}#/events")
    browser.wait_for("document.querySelectorAll('tbody tr').length > 2", "events")
    os.kill(int(pid), signal.SIGKILL)
    browser.wait_for("document.querySelector('.live').dataset.state === 'offline' && !document.getElementById('trouble').hidden", "the page says that it is offline")
    browser.screenshot(os.path.join(out, "offline.png"))
    subprocess.run(restart, check=True, stdout=subprocess.DEVNULL)
    browser.wait_for("document.querySelector('.live').dataset.state === 'live' && document.getElementById('trouble').hidden", "the page is live again")
    numbers = "[...document.querySelectorAll('tbody tr')].map((r) => Number(r.children[0].textContent))"
    top = browser.value(f"{numbers}[0]")
    browser.wait_for(f"{numbers}[0] > {top} || /SUCCEEDED|→ succeeded|→ running/.test(document.body.innerText)", "new events come")
    seen = browser.value(numbers)
    check(seen == sorted(set(seen), reverse=True), f"events are repeated or out of order: {seen}")
    check(seen == list(range(seen[0], seen[0] - len(seen), -1)), f"events are missing: {seen}")
    browser.errors.clear()  # the break itself was complained of

    section("no jobs, errors, and who are you")
    browser.answer(lambda request: (200, {}) if "/v1/jobs?" in request["url"] else None)
    browser.open(f"{url}#/jobs")
    browser.wait_for("/No jobs yet/.test(document.querySelector('main').innerText)", "the empty list says what to do")
    browser.screenshot(os.path.join(out, "empty.png"))

    refused = {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "you may not list jobs",
                         "details": [{"reason": "NOT_ALLOWED", "metadata": {"hint": "ask for the role viewer"}}]}}
    browser.answer(lambda request: (403, refused) if "/v1/" in request["url"] else None)
    browser.open(f"{url}#/jobs")
    browser.wait_for("/NOT_ALLOWED: you may not list jobs ask for the role viewer/.test(document.getElementById('trouble').innerText)", "an error with reason and hint")

    asks = {"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "a token is needed", "details": []}}
    browser.answer(lambda request: None if request["headers"].get("Authorization") == "Bearer good-token" else (401, asks))
    browser.open(f"{url}#/jobs")
    browser.wait_for("document.getElementById('signin').open", "the page asks for a token")
    check(browser.nameless() == [], f"elements without a name: {browser.nameless()}")
    browser.screenshot(os.path.join(out, "signin.png"))
    check(browser.value("document.activeElement.id") == "token", "the field has the focus")
    browser.type("bad-token")
    browser.key("Enter", 13, "\r")
    browser.wait_for("document.getElementById('signin').open && document.getElementById('token').value === ''", "a bad token is asked for again")
    browser.type("good-token")
    browser.key("Enter", 13, "\r")
    browser.wait_for(f"[...document.querySelectorAll('tbody th a')].some((a) => a.textContent === '{name}')", "a good token opens the page")
    check(browser.value("sessionStorage.length === 1 && localStorage.length === 0"), "the token stays in the tab")
    browser.answer(None)

    foreign = [request for request in browser.requests if not request.startswith((url, "about:", "data:"))]
    check(foreign == [], f"requests to others: {foreign}")
  finally:
    browser.close()
  print("the dashboard works", flush=True)


main()
