"""The ruleset as text: what it says for which wires, without a kernel."""

from __future__ import annotations

import re

from pycloud.drivers.nft import ruleset
from pycloud.testing.fabrics import wire

GOLDEN = """\
table arp pycloud_0
delete table arp pycloud_0
table arp pycloud_0 {
  set taps {
    type ifname
    elements = {
      "pc000000000000",
      "pc000000000001"
    }
  }
  set senders {
    type ifname . ether_addr . ipv4_addr
    elements = {
      "pc000000000000" . 0e:cd:0a:d5:40:04 . 10.213.64.4,
      "pc000000000001" . 0e:cd:0a:d5:40:05 . 10.213.64.5
    }
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname != @taps accept
    iifname . arp saddr ether . arp saddr ip @senders accept
    drop
  }
}
table inet pycloud_0
delete table inet pycloud_0
table inet pycloud_0 {
  set taps {
    type ifname
    elements = {
      "pc000000000000",
      "pc000000000001"
    }
  }
  set machines {
    type ifname . ether_addr
    elements = {
      "pc000000000000" . 0e:cd:0a:d5:40:04,
      "pc000000000001" . 0e:cd:0a:d5:40:05
    }
  }
  set senders {
    type ifname . ether_addr . ipv4_addr
    elements = {
      "pc000000000000" . 0e:cd:0a:d5:40:04 . 10.213.64.4,
      "pc000000000001" . 0e:cd:0a:d5:40:05 . 10.213.64.5
    }
  }
  set gateways {
    type ifname . ipv4_addr
    elements = {
      "pc000000000000" . 10.213.64.1,
      "pc000000000001" . 10.213.64.1
    }
  }
  set guests {
    type ipv4_addr
    elements = {
      10.213.64.4,
      10.213.64.5
    }
  }
  set uplinks {
    type ifname
    elements = {
      "eth0",
      "wlan0"
    }
  }
  set guarded {
    type ifname
    elements = {
      "eth0"
    }
  }
  chain spoofing {
    type filter hook prerouting priority raw; policy accept;
    iifname != @taps accept
    iifname . ether saddr . ip saddr @senders accept
    iifname . ether saddr @machines ip saddr 0.0.0.0 goto nameless
    drop
  }
  chain nameless {
    ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
    drop
  }
  chain metadata {
    type nat hook prerouting priority dstnat; policy accept;
    iifname @taps ip daddr 169.254.169.254 tcp dport 80 redirect to :8775
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname != @taps accept
    ct state established accept
    ct state related ct original ip daddr @guests accept
    udp sport 68 udp dport 67 accept
    iifname . ip daddr @gateways udp dport 53 accept
    iifname . ip daddr @gateways tcp dport 53 accept
    iifname . ip daddr @gateways icmp type echo-request accept
    tcp dport 8775 ct status dnat accept
    drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname @guarded oifname != "pc*" drop
    iifname @taps oifname @taps accept
    iifname @taps ip daddr 169.254.0.0/16 drop
    iifname @taps oifname @uplinks accept
    iifname @taps drop
    oifname @taps iifname @uplinks ct state established,related accept
    oifname @taps drop
  }
  chain masquerading {
    type nat hook postrouting priority srcnat; policy accept;
    oifname @uplinks ip saddr @guests masquerade
  }
}
"""


def test_the_ruleset_of_two_guests_with_a_way_out() -> None:
    text = ruleset(
        "pycloud_0",
        [wire(0), wire(1)],
        uplinks={"wlan0", "eth0"},
        guarded=["eth0"],
        metadata_port=8775,
    )
    assert text == GOLDEN


def test_guests_reach_the_services_of_their_gateway() -> None:
    text = ruleset("pycloud_0", [wire(0)], metadata_port=8775, service_ports=[8774, 53])
    rule = "    iifname . ip daddr @gateways tcp dport { 53, 8774 } accept\n"
    assert text.count(rule) == 1
    assert text.replace(rule, "") == ruleset("pycloud_0", [wire(0)], metadata_port=8775)


def test_empty_sets_have_no_list_of_elements() -> None:
    text = ruleset("pycloud_0", [], metadata_port=8775)
    assert "elements" not in text
    assert "set uplinks {\n    type ifname\n  }" in text


def test_many_guests_need_no_more_rules_than_one() -> None:
    few, many = (
        ruleset("pycloud_0", [wire(number) for number in range(count)], metadata_port=8775)
        for count in (1, 200)
    )
    assert _rules(few) == _rules(many)
    assert many.count("10.213.64.203") == 3


def _rules(text: str) -> list[str]:
    return re.findall(r"^    .* (?:accept|drop)$", text, re.MULTILINE)
