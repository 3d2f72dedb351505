"""What can go wrong in this room."""


class DemoError(Exception):
    """The demo cannot go on; one sentence says what happened and where."""
