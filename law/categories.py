"""Kinds of data about a person, and the consent that each of them needs.

One closed list for features, notices, campaigns and records, so that what was asked can be compared
with what is used. What they are called elsewhere is in :mod:`law.vocabulary`.

征信业管理条例 (2013) article 14 lists six kinds one by one, each of which needs a written consent
of its own after its adverse consequences were told; PIPL articles 28 and 29 ask a separate consent
for whatever is sensitive.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args


class DataCategory(StrEnum):
    """What kind of fact about a person something is."""

    REPAYMENT = "repayment"
    CONSUMPTION = "consumption"
    BUREAU = "bureau"
    SOCIAL = "social"
    IDENTITY = "identity"
    EMPLOYMENT = "employment"
    EDUCATION = "education"
    DEVICE = "device"
    COMMUNICATION = "communication"
    LOCATION = "location"
    AGE = "age"
    SEX = "sex"
    MARITAL = "marital"
    NATIONALITY = "nationality"
    INCOME = "income"
    DEPOSITS = "deposits"
    SECURITIES = "securities"
    INSURANCE = "insurance"
    PROPERTY = "property"
    TAX = "tax"
    RELIGION = "religion"
    GENETIC = "genetic"
    BIOMETRIC = "biometric"
    BLOOD_TYPE = "blood-type"
    HEALTH = "health"
    ETHNICITY = "ethnicity"
    POLITICAL = "political"
    UNION = "union"
    ORIENTATION = "orientation"
    CRIMINAL = "criminal"


LISTED = (
    DataCategory.INCOME,
    DataCategory.DEPOSITS,
    DataCategory.SECURITIES,
    DataCategory.INSURANCE,
    DataCategory.PROPERTY,
    DataCategory.TAX,
)
"""Listed one by one in 征信业管理条例 article 14: each needs a written consent of its own."""
SENSITIVE_CATEGORIES = frozenset(
    {
        *LISTED,
        DataCategory.LOCATION,
        DataCategory.RELIGION,
        DataCategory.GENETIC,
        DataCategory.BIOMETRIC,
        DataCategory.BLOOD_TYPE,
        DataCategory.HEALTH,
        DataCategory.ETHNICITY,
        DataCategory.POLITICAL,
        DataCategory.UNION,
        DataCategory.ORIENTATION,
        DataCategory.CRIMINAL,
    }
)
"""Sensitive whatever a lender declares (征信业管理条例 article 14; PIPL article 28; GDPR articles
9 and 10)."""

Sensitivity = Literal[
    "ordinary", "sensitive", "income", "deposits", "securities", "insurance", "property", "tax"
]
"""Which of a person's consents something needs: ``sensitive`` is for sensitive data other than the
six that the law lists one by one, each of which is named by itself."""
SENSITIVITIES: tuple[Sensitivity, ...] = get_args(Sensitivity)
"""In the order in which they are stored and sent; new ones come last."""


def consent_for(category: DataCategory, declared_sensitive: bool = False) -> Sensitivity:
    """The consent that a fact of this category needs.

    >>> consent_for(DataCategory.INCOME), consent_for(DataCategory.REPAYMENT)
    ('income', 'ordinary')
    >>> consent_for(DataCategory.REPAYMENT, declared_sensitive=True)
    'sensitive'
    """
    for listed in SENSITIVITIES[2:]:
        if category.value == listed:
            return listed
    return "sensitive" if declared_sensitive or category in SENSITIVE_CATEGORIES else "ordinary"
