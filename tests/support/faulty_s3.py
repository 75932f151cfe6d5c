"""An S3 server on the loopback that fails on demand: moto, with faults between it and its clients.

    faulty_s3.py --bucket pools [--access-key KEY --secret-key SECRET]

The first line of stdout is the port. It ends when its stdin is closed, so that it never outlives its test.
With a key pair, requests that are not signed with it (SigV4) are refused as AWS refuses them; without one, everybody
may read the objects. GET /_redirect/N leads to /_redirect/N-1, and GET /_redirect/0 to /BUCKET/target.

PUT /_faults with a JSON object sets what goes wrong, and forgets what was set before; GET /_faults counts what has
happened:
  rates, 0 to 1, of the object requests whose method is in "methods" (default: all):
    error_500   an InternalError                   slow_down     a 503 SlowDown
    stall       "stall_seconds" before the answer  reset         the connection is reset without an answer
    truncate    half of the body, then a close     short         half of the body, with a length that agrees
    lost_reply  done, but the connection is reset instead of the answer
  expired, denied   all requests are refused: 1
  no_conditional    "If-None-Match" is answered with 501, as servers do that lack it: 1
"""

import argparse
import collections
import hashlib
import hmac
import io
import json
import os
import random
import socket
import struct
import sys
import threading
import time
import urllib.parse

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client

RATES = ("error_500", "slow_down", "stall", "reset", "truncate", "short", "lost_reply")


def error(code, message):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return body, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]


def signature_is_good(environ, body, access_key, secret_key):
    """AWS signature version 4, as the server of a bucket checks it."""
    fields = dict(
        part.strip().split("=", 1)
        for part in environ.get("HTTP_AUTHORIZATION", "").removeprefix("AWS4-HMAC-SHA256").split(",")
        if "=" in part
    )
    credential = fields.get("Credential", "").split("/")
    if len(credential) != 5 or credential[0] != access_key:
        return False
    digest = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if len(digest) == 64 and digest != hashlib.sha256(body).hexdigest():
        return False
    signed = fields["SignedHeaders"].split(";")
    special = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
    headers = "".join(
        f"{name}:{' '.join(environ.get(special.get(name, 'HTTP_' + name.upper().replace('-', '_')), '').split())}\n"
        for name in signed
    )
    query = "&".join(
        f"{urllib.parse.quote(name, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}"
        for name, value in sorted(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    )
    path = environ["REQUEST_URI"].split("?", 1)[0]
    request = "\n".join([environ["REQUEST_METHOD"], path, query, headers, ";".join(signed), digest])
    scope = "/".join(credential[1:])
    text = "\n".join(
        ["AWS4-HMAC-SHA256", environ["HTTP_X_AMZ_DATE"], scope, hashlib.sha256(request.encode()).hexdigest()]
    )
    key = ("AWS4" + secret_key).encode()
    for part in credential[1:]:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.new(key, text.encode(), "sha256").hexdigest(), fields["Signature"])


class FaultyS3:
    def __init__(self, bucket, access_key, secret_key):
        self.bucket = bucket
        self.app = create_backend_app("s3")
        self.access_key, self.secret_key = access_key, secret_key
        self.lock = threading.Lock()
        self.faults, self.counts = {}, collections.Counter()
        self.random = random.Random(0)

    def control(self, environ, start_response):
        with self.lock:
            if environ["REQUEST_METHOD"] == "PUT":
                self.faults = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
                self.counts.clear()
                self.random.seed(self.faults.get("seed", 0))
            body = json.dumps(self.counts).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def refusal(self, environ, body):
        """Status, code and message of what is wrong with the caller; None: nothing."""
        if self.faults.get("expired"):
            return "400 Bad Request", "ExpiredToken", "The provided token has expired."
        if self.faults.get("denied"):
            return "403 Forbidden", "AccessDenied", "Access Denied"
        if self.faults.get("no_conditional") and "HTTP_IF_NONE_MATCH" in environ:
            return "501 Not Implemented", "NotImplemented", "A header implies what is not implemented."
        if not self.access_key:
            return None
        if "HTTP_AUTHORIZATION" not in environ:
            return "403 Forbidden", "AccessDenied", "Access Denied"
        if not signature_is_good(environ, body, self.access_key, self.secret_key):
            return "403 Forbidden", "SignatureDoesNotMatch", "The request signature we calculated does not match."
        return None

    def fault(self, environ):
        """The fault of this request, drawn by the rates; None: it is served."""
        methods = self.faults.get("methods")
        if "/" not in environ["PATH_INFO"].strip("/") or (methods and environ["REQUEST_METHOD"] not in methods):
            return None
        draw = self.random.random()
        for name in RATES:
            draw -= self.faults.get(name, 0)
            if draw < 0:
                return name
        return None

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/_faults":
            return self.control(environ, start_response)
        if environ["PATH_INFO"].startswith("/_redirect/"):
            left = int(environ["PATH_INFO"].rsplit("/", 1)[1])
            to = f"/_redirect/{left - 1}" if left > 0 else f"/{self.bucket}/target"
            start_response("302 Found", [("Location", to), ("Content-Length", "0")])
            return [b""]
        # The SDK sends bodies chunked; the server has put them together.
        length = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        with self.lock:
            self.counts["requests"] += 1
            self.counts[environ["REQUEST_METHOD"]] += 1
            refusal = self.refusal(environ, body)
            fault = None if refusal else self.fault(environ)
            if fault:
                self.counts[fault] += 1
        if refusal:
            body, headers = error(*refusal[1:])
            start_response(refusal[0], headers)
            return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]
        if fault == "error_500":
            body, headers = error("InternalError", "We encountered an internal error. Please try again.")
            start_response("500 Internal Server Error", headers)
            return [body]
        if fault == "slow_down":
            body, headers = error("SlowDown", "Please reduce your request rate.")
            start_response("503 Slow Down", headers)
            return [body]
        if fault == "reset":
            return self.reset(environ)
        if fault == "stall":
            time.sleep(self.faults.get("stall_seconds", 5))
        status, headers, answer = self.ask_moto(environ, body)
        if fault == "lost_reply":
            return self.reset(environ)
        if fault == "short" and len(answer) > 1:
            answer = answer[: len(answer) // 2]
            headers = [(k, str(len(answer)) if k.lower() == "content-length" else v) for k, v in headers]
        start_response(status, headers)
        if fault == "truncate" and len(answer) > 1:
            return self.half(environ, answer)
        return [answer]

    def ask_moto(self, environ, body):
        answer = {}

        def start(status, headers, exc_info=None):
            answer["status"], answer["headers"] = status, headers

        whole = {k: v for k, v in environ.items() if k not in ("HTTP_TRANSFER_ENCODING", "wsgi.input_terminated")}
        whole |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        if not self.access_key and environ["REQUEST_METHOD"] in ("PUT", "POST"):
            whole["HTTP_X_AMZ_ACL"] = "public-read"  # moto refuses to show anybody else's objects
        data = b"".join(self.app(whole, start))
        # moto names the root after the request; Arrow takes only S3's own name.
        data = data.replace(b"CompleteMultipartUploadResponse", b"CompleteMultipartUploadResult")
        headers = answer["headers"]
        if environ["REQUEST_METHOD"] != "HEAD" and not answer["status"].startswith("204"):
            headers = [(k, v) for k, v in headers if k.lower() not in ("content-length", "transfer-encoding")]
            headers.append(("Content-Length", str(len(data))))
        return answer["status"], headers, data

    def reset(self, environ):
        connection = environ["werkzeug.socket"]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())  # closed under the handler, which holds it open otherwise
        raise ConnectionResetError

    def half(self, environ, answer):
        yield answer[: len(answer) // 2]
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


class QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self):
        try:
            super().handle()
        except (OSError, ValueError):
            pass  # a connection that a fault has closed

    def log(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bucket", default="pools")
    parser.add_argument("--access-key", default="")
    parser.add_argument("--secret-key", default="")
    args = parser.parse_args()
    app = FaultyS3(args.bucket, args.access_key, args.secret_key)
    Client(app.app).put(f"/{args.bucket}", base_url="http://s3.amazonaws.com")
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
