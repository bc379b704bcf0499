"""What may be a rule, and its one form."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.errors import InvalidValue
from pycloud.ids import SecurityGroupId
from pycloud.network.rules import Rule, checked_rule, missing_of

WORLD = "0.0.0.0/0"

rules = st.builds(
    Rule,
    protocol=st.sampled_from(["tcp", "UDP", "6", "17", "1", "icmp", "58", "-1", "all", "50", "0"]),
    from_port=st.none() | st.integers(-2, 300),
    to_port=st.none() | st.integers(-2, 70_000),
    cidr=st.none() | st.sampled_from([WORLD, "10.1.2.3/8", "2001:db8::1/32", "10.0.0.1", "x"]),
    source_group_id=st.none() | st.just(SecurityGroupId("sg-1")),
    description=st.text(max_size=5),
)


@given(rules)
def test_the_one_form_of_a_rule_is_its_own(rule: Rule) -> None:
    try:
        checked = checked_rule(rule)
    except InvalidValue:
        return
    assert checked_rule(checked) == checked
    assert checked.description == rule.description


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Rule("TCP", 80, 443, WORLD), ("tcp", 80, 443, WORLD)),
        (Rule("6", -1, -1, WORLD), ("tcp", 0, 65535, WORLD)),
        (Rule("017", 53, 53, WORLD), ("udp", 53, 53, WORLD)),
        (Rule("icmp", None, None, WORLD), ("icmp", -1, -1, WORLD)),
        (Rule("1", 8, -1, WORLD), ("icmp", 8, -1, WORLD)),
        (Rule("58", -1, -1, "::/0"), ("icmpv6", -1, -1, "::/0")),
        (Rule("all", 1, 2, WORLD), ("-1", None, None, WORLD)),
        (Rule("-1", None, None, "10.1.2.3/8"), ("-1", None, None, "10.0.0.0/8")),
        (Rule("50", 7, 7, "2001:DB8::1/32"), ("50", None, None, "2001:db8::/32")),
        (Rule("255", None, None, "10.0.0.1"), ("255", None, None, "10.0.0.1/32")),
    ],
)
def test_a_rule_is_kept_in_one_form(
    given: Rule, kept: tuple[str, int | None, int | None, str]
) -> None:
    checked = checked_rule(given)
    assert (checked.protocol, checked.from_port, checked.to_port, checked.cidr) == kept


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (Rule("sctp", 1, 1, WORLD), "'sctp' is not a protocol"),
        (Rule("256", None, None, WORLD), "'256' is not a protocol"),
        (Rule("-2", None, None, WORLD), "'-2' is not a protocol"),
        (Rule("٦", 1, 1, WORLD), "is not a protocol"),
        (Rule("9" * 5000, None, None, WORLD), "is not a protocol"),
        (Rule("", None, None, WORLD), "'' is not a protocol"),
        (Rule("tcp", None, 80, WORLD), "a rule for tcp names its ports"),
        (Rule("tcp", 80, None, WORLD), "a rule for tcp names its ports"),
        (Rule("tcp", 80, 79, WORLD), "not 80 to 79"),
        (Rule("udp", -1, 80, WORLD), "not -1 to 80"),
        (Rule("udp", 0, 65536, WORLD), "not 0 to 65536"),
        (Rule("icmp", 256, 0, WORLD), "not 256 and 0"),
        (Rule("icmp", 8, -2, WORLD), "not 8 and -2"),
        (Rule("icmp", -1, 3, WORLD), "all ICMP types"),
        (Rule("tcp", 80, 80), "a rule names one peer"),
        (Rule("tcp", 80, 80, WORLD, SecurityGroupId("sg-1")), "a rule names one peer"),
        (Rule("tcp", 80, 80, ""), "'' is not a network"),
        (Rule("tcp", 80, 80, "10.0.0.0/33"), "is not a network"),
        (Rule("tcp", 80, 80, "10.0.0/8"), "is not a network"),
        (Rule("tcp", 80, 80, "fe80::1%eth0/64"), "is not a network"),
        (Rule("tcp", 80, 80, "10.0.0.0/8\0"), "is not a network"),
    ],
)
def test_what_is_no_rule_is_refused(rule: Rule, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        checked_rule(rule)


def test_rules_that_differ_in_their_description_are_one() -> None:
    rule = Rule("tcp", 80, 80, WORLD, description="web")
    assert rule == attrs.evolve(rule, description="")
    assert missing_of([rule], [attrs.evolve(rule, description="")]) == []
    other = attrs.evolve(rule, to_port=81)
    assert missing_of([rule, other], [rule]) == [other]
