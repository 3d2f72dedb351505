"""Legal bases of processing, by jurisdiction: the only ones that a notice or a campaign can name.

IRIs are those of the W3C Data Privacy Vocabulary where it has them (https://w3id.org/dpv/legal/eu).
It has no extension for China; those are ours (``https://w3id.org/tahini/``: identifiers, nothing is
served there), each an instance of a DPV basis (:func:`law.vocabulary.broader`).
"""

from __future__ import annotations

from enum import StrEnum

_GDPR = "https://w3id.org/dpv/legal/eu/gdpr#"
_PIPL = "https://w3id.org/tahini/law/cn/pipl#"


class LegalBasis(StrEnum):
    """By what right data are processed."""

    PIPL_CONSENT = _PIPL + "A13-1-1"
    PIPL_SEPARATE_CONSENT = _PIPL + "A29"
    GDPR_CONSENT = _GDPR + "A6-1-a"
    GDPR_EXPLICIT_CONSENT = _GDPR + "A9-2-a"

    @property
    def jurisdiction(self) -> str:
        """ISO 3166 code; ``EU`` for the Union."""
        return "CN" if self.value.startswith(_PIPL) else "EU"


CONSENT_BASIS = {"CN": LegalBasis.PIPL_CONSENT, "EU": LegalBasis.GDPR_CONSENT}
"""Consent, where ordinary data are concerned. Only consent is enforced here, so only consent can be
named."""
