"""Exceptions of the engine, each one sentence."""

from crypto.errors import TahiniError


class FleetError(TahiniError):
    """The engine, its certificates or its keys are not in order."""


class BundleRefused(FleetError):
    """A bundle is not one that this node's operator signed, or not what is installed. No line of it
    was loaded."""
