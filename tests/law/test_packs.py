"""Law packs: whole, dated, with articles; and the names that give a category away."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from law.categories import LISTED, SENSITIVE_CATEGORIES, DataCategory
from law.packs import PACKS, Jurisdiction, Pack, adverse_days, objection, spoken_of

LAW = Path(__file__).resolve().parents[2] / "law"
TODAY = date(2026, 11, 28)

RECOGNISED = {
    "religion": (
        "religion religious_group churchMember faith 宗教信仰 halal_purchases 清真 mosque_donations 清真食品消费 "
        "temple_visits kosher_meals zakat_paid 佛教 穆斯林 church_tithes zongjiao is_muslim 宗\u200b教 宗_教"
    ),
    "genetic": "gene DNA genetic_risk genomeScore 基因检测 genotype_7 遗传病史",
    "biometric": (
        "fingerprint fingerPrint 指纹 face_embedding voiceprint 声纹 人脸特征 iris_scan palmprint faceTemplate gait"
    ),
    "blood-type": "bloodType blood-group BLOOD_TYPE 血型 xuexing",
    "health": (
        "hospital_visits 体检结果 病历 hepatitis 残疾 怀孕 药品消费 HIV_positive cancer healthRecord diagnosis "
        "既往病史 is_pregnant disability_benefit diabetic pharmacy_spend drugstore_spend prescription_count "
        "medicalBills 住院天数 糖尿病 抑郁症 mental_health_score sick_leave_days bmi 医疗支出 慢性病 "
        "clinic_visits health surgery_count diseased"
    ),
    "ethnicity": "race ethnicity 民族 种族 racial_group hispanic skin_color caste minzu",
    "political": "political_party politicalViews 党员 政治面貌 voter_registration",
    "union": "trade_union labour_union_member union_dues 工会会员",
    "orientation": "sexual_orientation sexualPreference is_gay 性取向 lgbt",
    "criminal": "criminal_record convictions arrests 犯罪记录 前科",
    "social": "facebook_friends weibo_followers social_network_size 微博粉丝 朋友圈",
    "sex": "sex gender applicantGender 性别 is_female FEMALE maleFlag woman women_share 女性 女 男性申请人 mrs Male",
    "marital": (
        "marital_status married spouse_income 婚姻状况 is_divorced husbandIncome wife_age 丈夫收入 妻子职业 "
        "peiou 丧偶 婚否 civil_status unmarried 配偶收入 夫妻共同债务 wives"
    ),
    "nationality": (
        "nationality national_origin 国籍 citizenship citizenshipCode native_place 籍贯 hukou hukou_type "
        "户口性质 户口 农业户口 户籍所在地 place_of_birth birthPlace 出生地 hometown immigrant jiguan "
        "visa_status foreigner"
    ),
    "age": "age applicant_age date_of_birth 年龄",
    "location": "gps_trace last_longitude 行踪轨迹",
    "income": "monthly_income annualInc salary 月收入 工资 debt_to_income dti",
    "deposits": "savings_account bank_flow 存款余额 公积金缴存 银行流水",
    "securities": "fund_holdings 理财余额 股票市值",
    "insurance": "insurance_premium 保单数",
    "property": "home_owner real_estate_value 房产数",
    "tax": "tax_paid 个税",
}
CASES = [(name, kind) for kind, names in RECOGNISED.items() for name in names.split()]
INNOCENT = (
    "general_ledger generation agency urgency agenda oxygen hydrogen_car engine_size archive shiver "
    "cancelled_orders cancellations racetrack racing_bets trace brace embraced interface_version surface_area "
    "typeface face_value face_amount unionpay_card credit_union_account template_id contemplated essex middlesex "
    "sextant mortgage average package mileage blood_relatives fundamental_score impatient_clicks "
    "chronic_delinquency disabled_account account_disabled taxi_rides syntax_errors incoming_transfers "
    "livestock_loans in_stock arrears financial_health_score islamabad_branch christmas_spend attribute tribute "
    "minority_shareholder party_size third_party orientation screen_orientation times_late utilisation inquiries "
    "open_accounts loan_amount late_30 逾期次数 查询次数 授信额度 信用卡张数 贷款笔数 类型 finger distance "
    "deceased decreased_limit doctorate visa_card_spend malefactor mail_count maleic_acid citizens_bank_accounts "
    "hukoutao manual_review human_checked housewares midwifery_supplies single_payments mrsp separated_tables boycott "
    "girlscout nation international_transfers native_app_logins birthday_bonus 公积 户数 用户口碑 账户口令 子女数"
)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_name_that_gives_its_category_away_is_recognised(name, kind):
    assert kind in list(spoken_of(name))


def test_the_second_net_knows_more_than_the_52_names_that_once_passed_it():
    protected = {category for pack in PACKS.values() for bar in pack.barred for category in bar.kinds}
    assert sum(kind in protected for _, kind in CASES) >= 52
    assert set(RECOGNISED) == set(tomllib.loads((LAW / "words.toml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["", *INNOCENT.split()])
def test_a_name_that_only_looks_alike_is_not(name):
    assert list(spoken_of(name)) == []


@pytest.mark.parametrize(
    "name", [name for name, kind in CASES if kind in {"religion", "genetic", "biometric", "health"}]
)
def test_what_chinas_credit_reporting_law_forbids_is_refused_by_name_under_any_category(name):
    """征信业管理条例 14(1)."""
    said = objection(["CN"], [DataCategory.CONSUMPTION], name)
    assert said is not None and "the law forbids (CN: 征信业管理条例 14(1)" in said


def test_a_name_of_a_sensitive_kind_must_be_declared_as_that():
    assert "speaks of income" in str(objection(["CN"], [DataCategory.BUREAU], "debt to income"))
    assert objection(["CN"], [DataCategory.BUREAU, DataCategory.INCOME], "debt to income") is None
    assert "speaks of criminal" in str(objection(["CN"], [DataCategory.IDENTITY], "犯罪"))
    assert "is about ethnicity" in str(objection(["CN"], [DataCategory.IDENTITY], "民族"))


def test_each_text_is_read_by_itself():
    assert list(spoken_of("blood", "type")) == []
    assert list(spoken_of("x", "age")) == [DataCategory.AGE]


@pytest.mark.parametrize("name", get_args(Jurisdiction))
def test_a_pack_is_whole(name):
    pack = PACKS[name]
    assert pack.jurisdiction == name
    articles = [*(bar.article for bar in pack.barred), *pack.consent]
    laws = (*pack.laws, "Tahini's own rule")
    assert all(any(article.startswith(law) for law in laws) for article in articles), articles
    for kinds in ([kind for bar in pack.barred for kind in bar.kinds if bar.until is None],
                  [kind for of in pack.consent.values() for kind in of]):  # fmt: skip
        assert len(kinds) == len(set(kinds)), "a category is barred, and needs a consent, by one article"
    assert all(bar.source and (bar.until is None or bar.since < bar.until) for bar in pack.barred)
    assert all(url.startswith("https://") for url in pack.laws.values())
    assert all(one.source and (one.until is None or one.since < one.until) for one in pack.parameters)
    for one in pack.parameters:
        others = [other for other in pack.parameters if other.key == one.key and other is not one]
        assert not any(other.since <= one.since < (other.until or date.max) for other in others), "two figures on a day"


def test_whatever_china_calls_sensitive_is_forbidden_or_needs_a_consent_by_an_article():
    pack = PACKS["CN"]
    said = {kind for of in (*(bar.kinds for bar in pack.barred), *pack.consent.values()) for kind in of}
    assert said >= SENSITIVE_CATEGORIES
    assert set(pack.consent["征信业管理条例 14(2)"]) == set(LISTED)


FORBIDDEN = {
    "CN": "religion genetic biometric blood-type health sex marital nationality ethnicity orientation political union",
    "EU": "ethnicity political religion union genetic biometric blood-type health orientation social criminal sex "
    "nationality marital",
    "US": "ethnicity religion nationality sex marital orientation age health genetic blood-type political union",
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_each_law_forbids_is_written_here_a_second_time(name):
    """So that no category slips out of a table unseen."""
    pack = PACKS[name]
    assert {kind for bar in pack.barred for kind in bar.kinds} == set(FORBIDDEN[name].split())
    for kind in DataCategory:
        assert (pack.article_against(kind) is not None) == (kind in FORBIDDEN[name].split())


def test_adverse_records_are_kept_as_long_as_the_strictest_law_lets_them():
    assert adverse_days(["CN"], TODAY) in (5 * 365 + 1, 5 * 365 + 2)
    assert adverse_days(["US"], TODAY) == 7 * 365 + 1
    assert adverse_days(["US", "CN", "EU"], TODAY) == adverse_days(["CN"], TODAY)
    assert adverse_days(["EU"], TODAY) is None
    assert adverse_days(["CN"], date(2013, 3, 14)) is None, "the regulation was not in force"


def test_a_figure_holds_from_its_first_day_to_the_day_before_its_last():
    turn = date(2027, 1, 1)
    rows = [{"key": "cap", "value": "0.24", "from": date(2026, 8, 1), "until": turn, "source": "a"},
            {"key": "cap", "value": "0.20", "from": turn, "source": "b"}]  # fmt: skip
    pack = Pack.model_validate(PACKS["EU"].model_dump(by_alias=True) | {"parameters": rows})
    day = timedelta(days=1)
    moments = (date(2026, 8, 1) - day, date(2026, 8, 1), turn - day, turn, date.max)
    found = [pack.parameter("cap", moment) for moment in moments]
    assert [one and one.value for one in found] == [None, "0.24", "0.24", "0.20", "0.20"]
    assert pack.parameter("floor", turn) is None


BAR = PACKS["EU"].barred[0].model_dump(by_alias=True)


@pytest.mark.parametrize(
    "wrong",
    [{"surprise": 1}, {"jurisdiction": "Atlantis"}, {"barred": [BAR | {"kinds": ["horoscope"]}]},
     {"barred": [BAR | {"bar": "allowed"}]},
     {"parameters": [{"key": "cap", "value": 0.24, "from": TODAY, "source": "a double"}]}],
)  # fmt: skip
def test_a_pack_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Pack.model_validate(PACKS["EU"].model_dump(by_alias=True) | wrong)
