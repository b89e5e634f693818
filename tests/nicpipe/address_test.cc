#include "nicpipe/address.h"

#include <catch2/catch.hpp>
#include <initializer_list>

#include "nicpipe/ip_address.h"

using namespace gannet::nicpipe;

namespace {

TEST_CASE("addresses are read from text and written back", "[nicpipe][address]") {
  for (const char* text : {"0.0.0.0", "10.77.0.2", "255.255.255.255", "192.168.100.9"}) {
    Ipv4 address;
    REQUIRE(parse(text, address));
    REQUIRE(to_text(address) == text);
  }
  Mac mac;
  REQUIRE(parse("02:00:0A:4d:00:fF", mac));
  REQUIRE(to_text(mac) == "02:00:0a:4d:00:ff");
  Ipv4Prefix prefix;
  REQUIRE(parse("10.77.0.0/24", prefix));
  REQUIRE(to_text(prefix) == "10.77.0.0/24");
  REQUIRE(parse("10.77.0.9", prefix));
  REQUIRE(prefix.bits == 32);
  REQUIRE(parse("0.0.0.0/0", prefix));
  REQUIRE(prefix.bits == 0);
}

TEST_CASE("what is no address is refused and changes nothing", "[nicpipe][address]") {
  Ipv4 address{7};
  for (const char* text : {"", "1", "1.2.3", "1.2.3.", "1.2.3.4.", "1.2.3.4.5", "256.1.1.1", "1.2.3.1000", "01.2.3.4",
                           "1.2.3.-4", " 1.2.3.4", "1.2.3.4 ", "1..3.4", "a.b.c.d", "1.2.3.4/8"}) {
    INFO(text);
    REQUIRE_FALSE(parse(text, address));
  }
  REQUIRE(address.value == 7);
  Ipv4Prefix prefix{{7}, 3};
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/8x", "10.0.0.0-8", "/8", "10.0.0/8"}) {
    INFO(text);
    REQUIRE_FALSE(parse(text, prefix));
  }
  REQUIRE(prefix == Ipv4Prefix{{7}, 3});
  Mac mac{{1}};
  for (const char* text :
       {"", "02:00:0a:4d:00", "02:00:0a:4d:00:02:", "02-00-0a-4d-00-02", "0g:00:0a:4d:00:02", "020:0:0a:4d:00:02"}) {
    INFO(text);
    REQUIRE_FALSE(parse(text, mac));
  }
  REQUIRE(mac == Mac{{1}});
}

TEST_CASE("a prefix contains its addresses and knows its broadcasts", "[nicpipe][address]") {
  const Ipv4Prefix subnet{{0x0a4d0002}, 24};
  REQUIRE(subnet.contains({0x0a4d00ff}));
  REQUIRE_FALSE(subnet.contains({0x0a4d0100}));
  REQUIRE(subnet.is_broadcast({0x0a4d00ff}));
  REQUIRE(subnet.is_broadcast({0x0a4d0000}));
  REQUIRE_FALSE(subnet.is_broadcast({0x0a4d0001}));
  REQUIRE_FALSE(subnet.is_broadcast({0x0a4d01ff}));
  const Ipv4Prefix pair{{0x0a4d0002}, 31};
  REQUIRE(pair.contains({0x0a4d0003}));
  REQUIRE_FALSE(pair.is_broadcast({0x0a4d0003}));
  REQUIRE(Ipv4Prefix{{1}, 0}.contains({0xffffffff}));
  REQUIRE_FALSE(Ipv4Prefix{{1}, 32}.contains({2}));
}

TEST_CASE("only an address a host may have is unicast", "[nicpipe][address]") {
  for (const std::uint32_t value : {0x01000000u, 0x0a4d0001u, 0x7effffffu, 0x80000000u, 0xdfffffffu}) {
    INFO(to_text(Ipv4{value}));
    REQUIRE(Ipv4{value}.is_unicast());
  }
  for (const std::uint32_t value : {0u, 0x00ffffffu, 0x7f000001u, 0x7fffffffu, 0xe0000001u, 0xf0000000u, 0xffffffffu}) {
    INFO(to_text(Ipv4{value}));
    REQUIRE_FALSE(Ipv4{value}.is_unicast());
  }
}

TEST_CASE("an address of either family comes from text and goes back", "[nicpipe][address]") {
  for (const char* text : {"::", "::1", "fd77::2", "fe80::aff:fe4d:2", "2001:db8:1:2:3:4:5:6", "10.77.0.2"}) {
    IpAddress address;
    REQUIRE(parse(text, address));
    REQUIRE(to_text(address) == text);
  }
  IpAddress address{7, 8};
  for (const char* bad : {"", ":", "1", "fd77::2::3", "fd77:::2", "fd77::12345", "fd77::2 ", " fd77::2", "fd77::2%eth0",
                          "[fd77::2]", "fd77::2/64", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "10.77.0", "g::"})
    REQUIRE_FALSE(parse(bad, address));
  REQUIRE_FALSE(parse(std::string_view("fd77::2\0", 8), address));
  REQUIRE_FALSE(parse(std::string(200, ':'), address));
  REQUIRE(address == IpAddress{7, 8});
  REQUIRE(parse("::ffff:10.77.0.2", address));
  REQUIRE(address == IpAddress(Ipv4{0x0a4d0002}));
}

TEST_CASE("a prefix of either family contains what it says", "[nicpipe][address]") {
  const auto prefix = [](const char* text) {
    IpPrefix out;
    REQUIRE(parse(text, out));
    return out;
  };
  const auto address = [](const char* text) {
    IpAddress out;
    REQUIRE(parse(text, out));
    return out;
  };
  REQUIRE(prefix("10.77.0.0/16").contains(address("10.77.255.1")));
  REQUIRE_FALSE(prefix("10.77.0.0/16").contains(address("10.78.0.1")));
  REQUIRE(prefix("0.0.0.0/0").contains(address("203.0.113.1")));
  REQUIRE_FALSE(prefix("0.0.0.0/0").contains(address("fd77::1")));
  REQUIRE(prefix("::/0").contains(address("fd77::1")));
  REQUIRE(prefix("fd77::/63").contains(address("fd77:0:0:1::1")));
  REQUIRE_FALSE(prefix("fd77::/64").contains(address("fd77:0:0:1::1")));
  REQUIRE(prefix("fd77::4/126").contains(address("fd77::7")));
  REQUIRE_FALSE(prefix("fd77::4/126").contains(address("fd77::8")));
  REQUIRE(prefix("fd77::4").bits == 128);
  REQUIRE_FALSE(prefix("fd77::4").contains(address("fd77::5")));
  for (const char* text : {"10.77.0.0/16", "fd77::/64", "::/0"}) REQUIRE(to_text(prefix(text)) == text);
  IpPrefix untouched({1, 2}, 3);
  for (const char* bad : {"", "/64", "fd77::/", "fd77::/129", "fd77::/064", "fd77::/6x", "fd77::/-1", "10.0.0.0/33"})
    REQUIRE_FALSE(parse(bad, untouched));
  REQUIRE(untouched == IpPrefix({1, 2}, 3));
}

TEST_CASE("the addresses that follow from others are those of the RFCs", "[nicpipe][address]") {
  REQUIRE(to_text(link_local_of({{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}})) == "fe80::3656:78ff:fe9a:bcde");
  IpAddress address;  // RFC 4291 section 2.7.1.
  REQUIRE(parse("4037::01:800:200e:8c6c", address));
  REQUIRE(to_text(solicited_node_of(address)) == "ff02::1:ff0e:8c6c");
  REQUIRE(to_text(group_mac_of(solicited_node_of(address))) == "33:33:ff:0e:8c:6c");
  REQUIRE(to_text(kAllNodes) == "ff02::1");
  REQUIRE(address.is_unicast6());
  for (const char* no : {"::", "::1", "::10.0.0.1", "10.0.0.1", "ff02::1", "ff0e::1"}) {
    REQUIRE(parse(no, address));
    REQUIRE_FALSE(address.is_unicast6());
  }
}

}  // namespace
