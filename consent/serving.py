"""Run one of the room's services under uvicorn, with the house's logging."""

from __future__ import annotations

import logging
import sys

import uvicorn
from fastapi import FastAPI

SWITCH_INTERVAL_S = 0.002
"""A commit gives up the interpreter at every step that waits for the disk. With Python's five milliseconds it would get
it back only that much later each time, while requests are being parsed."""


def run(app: FastAPI, host: str, port: int) -> None:
    """Serve until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, proxy_headers=False)
