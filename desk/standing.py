"""How the model stands that scores at a desk: whether its consortium has recalled it, and whether
the day is past by which its instructions ask to evaluate it anew.

Any lender of its campaign, or the coordinator, stops a model for everybody
(:mod:`protocol.recalls`). A desk that serves asks for recalls every few seconds. What it hears is
kept beside the model, in the node's home, where every process of the desk sees it before its next
decision: from then on nothing is scored, and people decide (PBOC 数据安全办法 34; AI Act 26(5): who
deploys a system suspends its use). Then it is acknowledged, signed by the lender, and logged.

A model is good for a year (:data:`protocol.instructions.EVALUATED_AGAIN`): from its release, or
from when the lender last looked at it, until about that day and without an alarm (``tahini desk
monitor``), if that is later.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select

from clients.errors import NodeError
from clients.home import Node
from clients.models import MODELS_FOLDER, RECALLS_FILE, KeptModel, check_origin, keep_recalls
from clients.rules import STATE_AGE
from crypto.errors import TahiniError
from desk.storage.database import DeskDatabase
from desk.storage.tables import model_reviews
from protocol.client.filing import acknowledge_recall, recalls_of
from protocol.client.institutions import InstitutionClient
from protocol.instructions import EVALUATED_AGAIN
from protocol.recalls import ModelRecall, RecallAcknowledgement
from protocol.schema import now

EVERY_S = 15.0
"""So often a desk asks: a recall is to reach it within a minute, a question that fails included."""
UNHEARD_S = STATE_AGE.total_seconds()
"""After so long without an answer a desk that serves uses the model no more: it is as long as it
may go by its copy of the consents."""
RECENT = timedelta(days=31)
"""A look at a model is of days until about when it was looked at, or it says nothing of today."""
_UNSEEN = (-1, -1, -1)
logger = logging.getLogger("tahini.desk")


class ModelStanding:
    """Of the model of one campaign. For any number of threads.

    Args:
        client: the registry, as this lender.
        database: of the desk; that the model was looked at stands there.
        campaign: whose model scores; it was fetched to the node's home, and verifies.
    """

    def __init__(
        self,
        node: Node,
        client: InstitutionClient,
        database: DeskDatabase,
        campaign: str,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Raises NodeError: the model that was kept does not verify."""
        self._node, self._client, self._clock = node, client, clock
        self._database = database
        self._folder, self._sha256 = node.home / MODELS_FOLDER / campaign, campaign
        kept = KeptModel.read(self._folder)
        verified = check_origin(kept, campaign, node.consortium)
        self._campaign, self._card = verified.campaign, verified.card
        logged = datetime.fromisoformat(json.loads(kept.leaf)["time"]) + timedelta(days=1)
        self._released = min(self._card.released_at, logged)  # a card is not younger than its entry
        self._good_until = self._released + EVALUATED_AGAIN
        self._heard = time.monotonic()
        self._seen = _UNSEEN
        self._recall: ModelRecall | None = None
        self._looking = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def recall(self) -> ModelRecall | None:
        """The first recall of the model that is kept here; one look at the file system.

        Raises:
            NodeError: what is kept does not verify any more, so nothing may be scored.
        """
        try:
            found = (self._folder / RECALLS_FILE).stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            seen = (0, 0, 0)
        except OSError as error:
            raise NodeError(f"{self._folder / RECALLS_FILE}: {type(error).__name__}") from error
        with self._looking:
            if seen != self._seen:
                kept = KeptModel.read(self._folder)
                verified = check_origin(kept, self._sha256, self._node.consortium)
                self._recall = next(iter(verified.recalls), None)
                self._seen = seen
            return self._recall

    @property
    def good_until(self) -> datetime:
        """When nothing is scored by it any more unless somebody looks at it first."""
        sound = model_reviews.c.model_hash == self._card.model_sha256, ~model_reviews.c.alarm
        looks = select(model_reviews.c.reviewed_at, model_reviews.c.as_of).where(*sound)
        with self._database.read() as connection:
            found = connection.execute(looks).all()
        looked = [at for at, as_of in found if at.date() - as_of <= RECENT]
        newest = max([self._released, *looked])
        self._good_until = newest + EVALUATED_AGAIN
        return self._good_until

    def stops(self) -> str | None:
        """Why nothing may be scored by it now; None where it may.

        Raises:
            NodeError: what is kept of recalls does not verify any more. StorageFailed: the database
                does not say when it was looked at, and a year is past.
        """
        if (recall := self.recall) is not None:
            return recall.told
        unheard = time.monotonic() - self._heard
        if self._thread is not None and unheard > UNHEARD_S:
            return (
                "whether the model was recalled could not be asked for "
                f"{unheard / 60:.0f} minutes; see the desk's log"
            )
        moment = self._clock()
        if moment < self._good_until or moment < self.good_until:
            return None
        return (
            f"the model of campaign {self._sha256[:12]} was to be evaluated anew by "
            f"{self._good_until:%Y-%m-%d}: look at it (tahini desk monitor, of the one in use), or "
            "train the next one"
        )

    def barred(self) -> str | None:
        """Why nothing may be scored by it now, or why that cannot be told; None where it may."""
        try:
            return self.stops()
        except TahiniError as error:
            return str(error)

    def hear(self) -> ModelRecall | None:
        """Ask for recalls, keep them, and acknowledge what was not yet.

        Raises:
            RegistryUnavailable, ConsentError: it does not answer, or says what does not verify.
            NodeError: a recall cannot be kept.
        """
        told = recalls_of(self._client, self._campaign, self._card)
        keep_recalls(self._folder, told.tokens)
        found = self.recall
        self._heard = time.monotonic()
        if told.unsound:
            logger.error("%s recalls or acknowledgements do not verify", told.unsound)
        mine = {one.lender for one in told.acknowledgements}
        if told.recalls and found is not None and self._node.lender not in mine:
            said = RecallAcknowledgement(
                campaign_sha256=self._sha256,
                card_sha256=self._card.sha256,
                lender=self._node.lender,
                acknowledged_at=self._clock(),
            )
            acknowledge_recall(self._client, said, self._node.key)
            logger.warning("%s; nothing is scored by it here any more", told.recalls[0].told)
        return found

    @property
    def ended(self) -> bool:
        """Whoever asks is gone, though nobody stopped it."""
        return self._thread is not None and not self._thread.is_alive()

    def start(self) -> None:
        """Ask in the background, at once and then again and again."""
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, name="desk-recalls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        self._ending.set()
        if thread is not None:
            thread.join(10)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.hear()
            except TahiniError as error:
                logger.warning("cannot ask whether the model was recalled: %s", error)
            except Exception:  # whatever it is, the next question may find it gone
                logger.exception("cannot ask whether the model was recalled")
            self._ending.wait(EVERY_S)
