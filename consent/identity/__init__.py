"""Who is calling: logins of borrowers, client keys of institutions, and the access tokens that both
can have.

- ``callers``: what the rest of the registry sees: roles, borrowers, logins;
- ``settings``: trusted OIDC issuers from ``issuers.json``, and what may be trusted outside
  development;
- ``jwts``, ``jwks``, ``issuers``: strict reading of tokens, key sets, verification of ID tokens;
- ``single_use``: nonces that the registry hands out, and everything that acts once;
- ``keys``: an institution's keys, added, rotated and revoked on the record;
- ``exchange``, ``tokens``: assertions and ID tokens for access tokens (RFC 7523, RFC 9068);
- ``links``: which pseudonyms a login may speak for;
- ``sessions``, ``replays``: ten minutes of MACs instead of signatures; requests that were made
  before;
- ``limits``: how much each caller may ask; ``errors``: what is refused, in OAuth's words;
- ``access``: all of them together: one place answers who is calling;
- ``devissuer``: an issuer for development; ``devcodes`` its logins by code.

Over HTTP: ``consent.api.identity``.
"""

from consent.identity.callers import Caller, CallingBorrower, Login

__all__ = ["Caller", "CallingBorrower", "Login"]
