"""What the registry's refusals say, by stable names, with the values that stand in each sentence:
whoever shows a refusal to somebody says it in their language by these. Pure.

A refusal without one is said by its code (``type`` of the problem details) alone.
"""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, tuple[str, ...]] = {
    "acted-before": (),
    "another-text": ("notice",),
    "cannot-change": ("event", "state"),
    "changed-since": (),
    "dated-wrongly": ("days",),
    "decided-since": (),
    "ends-in-the-past": (),
    "erased-since": (),
    "fresh-login-needed": ("seconds",),
    "guardian-needed": (),
    "issuer-not-for-lender": ("lender",),
    "key-known": (),
    "key-needed": (),
    "key-used-otherwise": (),
    "kind-not-asked": ("notice", "sensitivity"),
    "linked-already": (),
    "must-be-in-writing": ("notice",),
    "no-key-there": (),
    "no-rules-for-children": ("notice",),
    "no-text-in-language": ("languages", "notice"),
    "not-enrolled-there": (),
    "not-linked": (),
    "not-named-by-notice": ("notice",),
    "not-shown-long-enough": ("notice", "seconds"),
    "older-than-notice": ("notice", "version"),
    "recorded-before": (),
    "session-over": (),
    "several-there": (),
    "ticket-expired": (),
    "ticket-refused": (),
    "too-many-keys": ("most",),
    "too-many-links": ("most",),
    "too-many-requests": ("seconds",),
    "twice": (),
}
"""Names of the parameters of each, in alphabetical order."""
MISFIT = "misfit"
"""What does not fit its schema: ``fault`` names how, beside the bounds that it says; never what was
sent. ``errors`` says where."""
