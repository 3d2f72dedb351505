"""Terms of before version 0.7.0, well formed or not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from support.commands import refused

from protocol.notices import Terms

EARLIER = {"pii_type": {"ordinary": []}}


def test_an_earlier_way_to_withdraw_was_in_english():
    assert Terms.model_validate(EARLIER | {"withdrawal_method": "by mail"}).withdrawal_method == {"en": "by mail"}


def test_earlier_terms_without_a_way_to_withdraw_are_no_traceback():
    assert Terms.model_validate(EARLIER).withdrawal_method == {}
    with pytest.raises(ValidationError):
        Terms.model_validate(EARLIER | {"withdrawal_method": 5})


@pytest.mark.parametrize(
    "text",
    [
        "id = 5",
        'id = "x"\nversion = "a"',
        "texts = 5",
        '[terms]\ncategories = ["money"]',
        'id="x"\nversion=1\nrecipients=["aspen"]\n[texts]\nen="hi"\n[terms]\npii_type = 5\nvalidity_days = 0',
        'id="x"\nversion=1\nrecipients=["aspen"]\n[texts]\nen="hi"\n[terms]\npii_type = 5\nwithdrawal_method = 5',
    ],
)
def test_a_notice_that_is_none_is_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "notice.toml"
    path.write_text(text, encoding="utf-8")
    assert "notice.toml" in refused("notice", "show", path)
