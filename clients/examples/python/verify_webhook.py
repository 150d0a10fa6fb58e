#!/usr/bin/env python3
"""Verifies webhooks (Standard Webhooks 1.0) and prints what they tell:

    COURSEWRIGHT_WEBHOOK_SECRET=whsec_... python3 verify_webhook.py [PORT]

Without a port it takes a free one; it prints its address first. Needs Python 3.9 or newer and nothing else.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Mapping

# An older or newer delivery may be one that somebody recorded, in seconds (the tolerance of the specification's
# libraries).
TOLERANCE_SECS = 5 * 60


class InvalidSignature(Exception):
    """The delivery is not from the service, or not from now."""


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> dict:
    """The event of a delivery. `body` must be the bytes as they came: JSON that was read and written again differs."""
    delivery, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_at.isdecimal() or abs(time.time() - int(sent_at)) > TOLERANCE_SECS:
        raise InvalidSignature("the timestamp is missing or too far from now")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{delivery}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    # There may be several, separated by spaces, while a secret is being changed.
    signatures = headers.get("webhook-signature", "").encode().split(b" ")
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise InvalidSignature("no signature matches")
    return json.loads(body)


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what it takes and 401 to what is not signed."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            event = verify(os.environ["COURSEWRIGHT_WEBHOOK_SECRET"], self.headers, body)
        except InvalidSignature as problem:
            self.send_error(401, str(problem))
            return
        # A delivery may come twice: its id tells. What takes long is done after the answer.
        print(self.headers["webhook-id"], event["type"], event["data"]["courseId"], flush=True)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Receiver)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
