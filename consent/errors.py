"""What can go wrong in this room. ``status`` is the HTTP status, ``code`` the stable name of the problem."""


class ConsentError(Exception):
    """Base of everything the registry refuses on purpose."""

    status = 400
    code = "bad-request"


class NotFound(ConsentError):
    status = 404
    code = "not-found"


class NotAllowed(ConsentError):
    """The caller is known but may not do this."""

    status = 403
    code = "not-allowed"


class NotAuthenticated(ConsentError):
    """The request or document is not signed by whom it claims."""

    status = 401
    code = "not-authenticated"


class Conflict(ConsentError):
    """The request is well-formed, but the present state does not allow it; nothing was changed."""

    status = 409
    code = "conflict"


class StorageFailed(ConsentError):
    """The database did not accept the write; nothing was acknowledged."""

    status = 503
    code = "storage-failed"


class RegistryUnavailable(ConsentError):
    """The registry did not answer, or not with something that can be believed. Callers fail closed."""

    status = 503
    code = "registry-unavailable"


class AuditFailed(ConsentError):
    """The log does not prove what it should."""

    status = 500
    code = "audit-failed"
