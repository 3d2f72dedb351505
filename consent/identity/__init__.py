"""Identity of callers: logins of borrowers, client keys of institutions, and the access tokens that both can have.

- ``access``      one place that answers who is calling
- ``callers``     what the rest of the registry sees: roles, borrowers, logins
- ``settings``    trusted OIDC issuers from ``issuers.json``, and what may be trusted outside development
- ``issuers``     verification of ID tokens; ``jwks`` key sets, ``jwts`` strict reading of tokens
- ``exchange``    assertions and ID tokens for access tokens (RFC 7523); ``tokens`` of the registry's own (RFC 9068)
- ``sessions``    sessions of institutions
- ``replays``     signed requests act once; ``single_use`` nonces, assertions, tickets too
- ``keys``        an institution's keys, added, rotated and revoked on the record
- ``links``       which pseudonyms a login may speak for
- ``limits``      how much each caller may ask
- ``devissuer``   an issuer for development
- ``errors``      what is refused
"""

from consent.identity.callers import Borrower, Caller, Login

__all__ = ["Borrower", "Caller", "Login"]
