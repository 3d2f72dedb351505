"""Exceptions of a lender's node."""

from crypto.errors import TahiniError


class NodeError(TahiniError):
    """Base of everything a node refuses on purpose."""


class GateClosed(NodeError):
    """A rule failed, so no row was read. The message names the rule."""


class StoreFailed(NodeError):
    """The node's ledger could not be written."""


class SourceError(NodeError):
    """The loan book cannot be read or does not fit its registry."""


class NotApproved(NodeError):
    """This node's own operator has not signed it, or rejected it. Nothing in that is about
    anybody's row."""
