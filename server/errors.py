"""Exceptions of the coordinator."""

from crypto.errors import TahiniError


class CampaignStopped(TahiniError):
    """A campaign cannot go on. The message says which node or rule stopped it; nothing was released
    after that."""


class CoordinatorError(TahiniError):
    """The coordinator's home or input is not in order."""


class BadOption(CoordinatorError):
    """One thing that an operator asked for is missing or wrong.

    Attributes:
        option: which, as the command spells it, without the hyphens.
        code: what is wrong with it, for whoever says it in another language.
    """

    def __init__(self, option: str, code: str, sentence: str) -> None:
        super().__init__(f"--{option} {sentence}")
        self.option, self.code = option, code
