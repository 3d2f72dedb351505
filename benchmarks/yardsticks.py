"""The yardstick of the registry: a plain FastAPI and SQLAlchemy service as its documentation shows
one, which inserts one row per request, or reads one.

No login, no signature, no log, no groups: what a bare CRUD service costs on this machine, over this
database. ``benchmarks.registry`` runs it beside the registry.

    python -m benchmarks.yardsticks --url postgresql://… --port 8000
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import sqlalchemy as sa
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

EXAMPLE = {
    "subject": "v1." + "A" * 43,
    "purpose": "https://w3id.org/dpv#CreditChecking",
    "recipient": "aspen",
    "action": "give",
}


class Base(DeclarativeBase):
    pass


class PlainRow(Base):
    __tablename__ = "plain_rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(index=True)
    purpose: Mapped[str]
    recipient: Mapped[str]
    action: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Asked(BaseModel):
    subject: str
    purpose: str
    recipient: str
    action: str


class Answered(Asked):
    id: int
    made_at: datetime


def create_app(url: str) -> FastAPI:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), pool_size=32)
    Base.metadata.create_all(engine)
    app = FastAPI()

    def session() -> Iterator[Session]:
        with Session(engine) as opened:
            yield opened

    Opened = Annotated[Session, Depends(session)]  # noqa: N806 - a type

    @app.post("/rows", status_code=201)
    def insert(asked: Asked, opened: Opened) -> Answered:
        row = PlainRow(**asked.model_dump(), made_at=datetime.now(UTC))
        opened.add(row)
        opened.commit()
        return Answered.model_validate(row, from_attributes=True)

    @app.get("/rows/{number}")
    def read(number: int, opened: Opened) -> Answered:
        row = opened.get(PlainRow, number)
        if row is None:
            raise HTTPException(404)
        return Answered.model_validate(row, from_attributes=True)

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    uvicorn.run(create_app(chosen.url), port=chosen.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
