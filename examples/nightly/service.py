"""The shop's services, as a stand-in: what would be servers somewhere is a process on this machine.

``python service.py DAYS HANGS`` listens on a free port of the loopback interface, prints which, and serves until it is
ended.  It wants a token.  ``stock`` is overloaded and answers only when it is asked again, ``visits`` is slow,
``weather`` was switched off, and the one named HANGS never answers at all.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import random
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN_SHA256 = "4bf2d128aa2e57b0f7b5a0b2e2dfe8a1ac176132aafd0b45a2992a7f478e93bc"  # of the token that the README uses
FIRST_DAY = datetime.date(2026, 1, 1)
PRODUCTS = {
    "kettle": ("kitchen", 3900),
    "teapot": ("kitchen", 2450),
    "lamp": ("living", 5500),
    "cushion": ("living", 1800),
    "spade": ("garden", 2100),
    "bench": ("garden", 12900),
}
SLOW_S = 1.4


def orders(days: int, dice: random.Random) -> Iterator[str]:
    """Give what was sold, with the faults that such tables have: rows twice, numbers that are none."""
    yield "day,product,quantity,cents"
    for day in range(days):
        for _ in range(dice.randint(8, 16)):
            product = dice.choice(list(PRODUCTS))
            quantity = "n/a" if dice.random() < 0.03 else str(dice.randint(1, 4))
            row = f"{_date(day)}T{dice.randrange(86400):05d},{product},{quantity},{PRODUCTS[product][1]}"
            yield from [row] * (2 if dice.random() < 0.05 else 1)


def stock(days: int, dice: random.Random) -> Iterator[str]:
    """Give which products there are."""
    yield "product,category,left"
    for product, (category, _) in PRODUCTS.items():
        yield f" {product.upper()} ,{category},{dice.randint(0, days)}"


def visits(days: int, dice: random.Random) -> Iterator[str]:
    """Give how many people looked."""
    time.sleep(SLOW_S)
    yield "day,visits"
    for day in range(days):
        yield f"{_date(day)},{dice.randint(200, 400)}"


TABLES = {"orders": orders, "stock": stock, "visits": visits}


class Handler(BaseHTTPRequestHandler):
    """One request, on a thread of its own."""

    def do_GET(self) -> None:
        """Answer with a table, or with a reason why not."""
        name = self.path.strip("/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), TOKEN_SHA256):
            self.answer(HTTPStatus.UNAUTHORIZED, "this token is not known here\n")
        elif name == sys.argv[2]:
            threading.Event().wait()
        elif name not in TABLES:
            self.answer(HTTPStatus.GONE, f"there is no {name} any more\n")
        elif name == "stock" and self.headers.get("X-Attempt") == "1":
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many questions, ask again\n")
        else:
            rows = TABLES[name](int(sys.argv[1]), random.Random(name))  # the same numbers in every run
            self.answer(HTTPStatus.OK, "".join(f"{row}\n" for row in rows))

    def answer(self, status: HTTPStatus, text: str) -> None:
        """Send it."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing: what was asked, the task says."""


def _date(day: int) -> str:
    return (FIRST_DAY + datetime.timedelta(days=day)).isoformat()


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
