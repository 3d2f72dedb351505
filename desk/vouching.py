"""Whose customer somebody is who logged in at the lender's own front: the registry knows.

The registry believes the issuer, and knows which login is which customer. A token of a login at
this lender's front says that here; one of a login anywhere else says nothing, so that no other
party at which a person logs in can speak for them here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from desk.errors import NotACustomer
from protocol.errors import Conflict, NotAuthenticated, RegistryUnavailable
from protocol.schema import Pseudonym, Slug

Vouching = Callable[[str], str]
"""The pseudonym of a registry token's person at this lender. Raises NotAuthenticated, NotACustomer,
Conflict, RegistryUnavailable."""


class _AtCounter(BaseModel):
    model_config = ConfigDict(extra="ignore")

    lender: Slug
    pseudonyms: list[Pseudonym] = Field(min_length=1, max_length=100)


@dataclass(frozen=True)
class RegistryVouches:
    """Asks the registry, with the person's own token."""

    http: httpx.Client
    lender: str

    def __call__(self, token: str) -> str:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            answer = self.http.get("/v1/me/counter", headers=headers)
        except httpx.TransportError as error:
            raise RegistryUnavailable("the registry does not say who this is; try again") from error
        if answer.status_code == 401:
            raise NotAuthenticated("the registry does not know this login; log in again")
        if answer.status_code == 403:
            raise NotACustomer("this login is not that of a customer at this lender's front")
        try:
            found = _AtCounter.model_validate_json(answer.content)
        except ValidationError as error:
            raise RegistryUnavailable("the registry does not say who this is; try again") from error
        if not answer.is_success or found.lender != self.lender:
            raise NotACustomer("this login is not that of a customer at this lender's front")
        if len(found.pseudonyms) > 1:
            raise Conflict("this login is linked to several customers here; keep one at the portal")
        return found.pseudonyms[0]
