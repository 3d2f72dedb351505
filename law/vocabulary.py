"""What categories of data, consents and legal bases are called elsewhere: by the W3C Data Privacy
Vocabulary, and to the people whom they concern. Pure.

IRIs are those of DPV's extension for personal data (https://w3id.org/dpv/pd).
"""

from __future__ import annotations

from law.bases import LegalBasis
from law.categories import DataCategory, Sensitivity

_PD = "https://w3id.org/dpv/pd#"
_DPV = "https://w3id.org/dpv#"
LANGUAGES = ("en", "zh")
"""In which everything here can be said; more cost one column each."""

_TERMS = {
    DataCategory.REPAYMENT: ("CreditRecord", "how you repaid loans", "还款记录"),
    DataCategory.CONSUMPTION: ("PurchasesAndSpendingHabit", "what you buy and spend", "消费记录"),
    DataCategory.BUREAU: ("CreditWorthiness", "credit reports about you", "征信记录"),
    DataCategory.SOCIAL: ("SocialNetwork", "your social relations", "社交关系"),
    DataCategory.IDENTITY: ("Identifying", "facts about your identity", "身份信息"),
    DataCategory.EMPLOYMENT: ("EmploymentHistory", "your work", "职业信息"),
    DataCategory.EDUCATION: ("Education", "your education", "教育信息"),
    DataCategory.DEVICE: ("DeviceBased", "your devices", "设备信息"),
    DataCategory.COMMUNICATION: ("Communication", "your communication", "通信记录"),
    DataCategory.LOCATION: ("Location", "where you are and were", "位置信息"),
    DataCategory.AGE: ("Age", "your age", "年龄"),
    DataCategory.SEX: ("Gender", "your sex", "性别"),
    DataCategory.MARITAL: ("MaritalStatus", "whether you are married", "婚姻状况"),
    DataCategory.NATIONALITY: ("Nationality", "your nationality", "国籍"),
    DataCategory.INCOME: ("Income", "your income", "收入"),
    DataCategory.DEPOSITS: ("BankAccount", "your deposits", "存款"),
    DataCategory.SECURITIES: ("FinancialAccount", "your securities", "有价证券"),
    DataCategory.INSURANCE: ("Insurance", "your commercial insurance", "商业保险"),
    DataCategory.PROPERTY: ("Ownership", "what you own", "不动产等财产"),
    DataCategory.TAX: ("Tax", "the taxes you paid", "纳税数额"),
    DataCategory.RELIGION: ("Religion", "your religion", "宗教信仰"),
    DataCategory.GENETIC: ("Genetic", "your genes", "基因"),
    DataCategory.BIOMETRIC: (
        "Biometric",
        "your fingerprints, face or voice",
        "指纹、人脸、声纹等生物识别信息",
    ),
    DataCategory.BLOOD_TYPE: ("BloodType", "your blood type", "血型"),
    DataCategory.HEALTH: ("Health", "your health", "疾病和病史等健康信息"),
    DataCategory.ETHNICITY: ("EthnicOrigin", "your ethnic origin", "民族"),
    DataCategory.POLITICAL: ("PoliticalAffiliation", "your political opinions", "政治观点"),
    DataCategory.UNION: ("TradeUnionMembership", "membership of a trade union", "工会成员身份"),
    DataCategory.ORIENTATION: ("SexualPreference", "your sexual orientation", "性取向"),
    DataCategory.CRIMINAL: ("Criminal", "criminal records", "犯罪记录"),
}
"""Term of DPV, words in English, words in Chinese."""


def iri(category: DataCategory) -> str:
    """The term of DPV's personal-data extension."""
    return _PD + _TERMS[category][0]


def words(category: DataCategory, language: str) -> str:
    """What the category is called in one of :data:`LANGUAGES`."""
    return _TERMS[category][1 + LANGUAGES.index(language)]


CONSENT_WORDS: dict[Sensitivity, tuple[str, str]] = {
    "ordinary": ("ordinary data", "一般个人信息"),
    "sensitive": ("other sensitive data", "其他敏感个人信息"),
    "income": ("income", "收入"),
    "deposits": ("deposits", "存款"),
    "securities": ("securities", "有价证券"),
    "insurance": ("commercial insurance", "商业保险"),
    "property": ("property", "不动产等财产"),
    "tax": ("tax", "纳税数额"),
}
"""What each consent is about, in the order of :data:`LANGUAGES`."""


def broader(basis: LegalBasis) -> str:
    """The term of DPV that a legal basis is an instance of."""
    explicit = {LegalBasis.PIPL_SEPARATE_CONSENT, LegalBasis.GDPR_EXPLICIT_CONSENT}
    return _DPV + ("ExplicitlyExpressedConsent" if basis in explicit else "Consent")
