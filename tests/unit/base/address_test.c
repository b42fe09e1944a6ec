/* address_test.c - addresses as text: what is one, what is wrong with the others, which are near.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/address.h"

static struct address address;
static char reason[ADDRESS_REASON_BYTES];

static bool parse(const char *text, enum address_use use)
{
    reason[0] = '\0';
    return address_parse(text, use, &address, reason);
}

static void address_reads_hosts_ports_and_paths(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        unsigned port;
    } right[] = {
        {"tcp://127.0.0.1:7411", "127.0.0.1", 7411},
        {"tcp://[::1]:1", "::1", 1},
        {"tcp://[fe80::1%eth0]:80", "fe80::1%eth0", 80},
        {"tcp://db-1.shop.example.:65535", "db-1.shop.example.", 65535},
        {"tcp://localhost:07411", "localhost", 7411},
        {"tcp://a_b:9", "a_b", 9},
    };
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        for (int use = ADDRESS_LISTEN; use <= ADDRESS_CONNECT; use++) {
            assert_true(parse(right[i].text, (enum address_use)use));
            assert_false(address.ipc);
            assert_string_equal(address.host, right[i].host);
            assert_int_equal(address.port, right[i].port);
        }
    }
    assert_true(parse("ipc:///run/a b/h\xC3\xB6.sock", ADDRESS_CONNECT));
    assert_true(address.ipc);
    assert_string_equal(address.path, "/run/a b/h\xC3\xB6.sock");
}

/* "listening on URL" and "ready" are lines that others read. */
static void address_is_one_line_of_what_can_be_seen(void **state)
{
    static const char *const bad[][2] = {
        {"ipc:///run/a\nready", "\\x0a at byte 12 is not allowed"},
        {"ipc:///run/\x1b[2J.sock", "\\x1b at byte 11 is not allowed"},
        {"ipc:///run/a\xE2\x80\xA8"
         "b",
         "\\u2028 at byte 12 is not allowed"},
        {"ipc:///run/\xFF", "\\xff at byte 11 is not allowed"},
        {"tcp://127.0.0.1\r:1", "\\x0d at byte 15 is not allowed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(parse(bad[i][0], ADDRESS_LISTEN));
        assert_string_equal(reason, bad[i][1]);
    }
    assert_true(parse("ipc:///run/back\\x0aslash", ADDRESS_LISTEN));
}

static void address_any_host_and_any_port_are_for_listening(void **state)
{
    static const char *const any[] = {"tcp://*:7411", "tcp://:7411", "tcp://127.0.0.1:0"};
    (void)state;
    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
        assert_true(parse(any[i], ADDRESS_LISTEN));
        assert_false(parse(any[i], ADDRESS_CONNECT));
    }
    assert_string_equal(reason, "port 0: must be 1..65535");
}

static void address_says_what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } wrong[] = {
        {"", "empty"},
        {"127.0.0.1:7411", "must be tcp://HOST:PORT or ipc://PATH"},
        {"tcp:/127.0.0.1:7411", "must be tcp://HOST:PORT or ipc://PATH"},
        {"http://127.0.0.1:7411", "no scheme \"http\""},
        {"TCP://127.0.0.1:7411", "no scheme \"TCP\""},
        {"tcp://", "port is missing"},
        {"tcp://127.0.0.1", "port is missing"},
        {"tcp://127.0.0.1:", "port is missing"},
        {"tcp://[::1]", "port is missing"},
        {"tcp://127.0.0.1:http", "port \"http\" is not a number"},
        {"tcp://127.0.0.1:-1", "port \"-1\" is not a number"},
        {"tcp://127.0.0.1:+1", "port \"+1\" is not a number"},
        {"tcp://127.0.0.1: 80", "port \" 80\" is not a number"},
        {"tcp://127.0.0.1:70000", "port 70000: must be"},
        {"tcp://127.0.0.1:65536", "port 65536: must be"},
        {"tcp://127.0.0.1:18446744073709559027", "must be"},
        {"tcp://127.0.0.1:7411/", "nothing may follow the port"},
        {"tcp://127.0.0.1:7411/x", "nothing may follow the port"},
        {"tcp://::1:7411", "brackets"},
        {"tcp://::1", "brackets"},
        {"tcp://fe80::1:7411", "brackets"},
        {"tcp://[::1:7411", "bracket is not closed"},
        {"tcp://[::1]x:7411", "bracket is not closed"},
        {"tcp://[127.0.0.1]:7411", "\"127.0.0.1\" is not an IPv6 address"},
        {"tcp://[]:7411", "is not an IPv6 address"},
        {"tcp://[fe80::1%]:7411", "is not an IPv6 address"},
        {"tcp://1.2.3:7411", "\"1.2.3\" is not an IPv4 address"},
        {"tcp://256.1.1.1:7411", "\"256.1.1.1\" is not an IPv4 address"},
        {"tcp://host name:7411", "neither an IP address nor a host's name"},
        {"tcp://h\xC3\xB6st:7411", "neither an IP address nor a host's name"},
        {"tcp://a..b:7411", "neither an IP address nor a host's name"},
        {"tcp://me@host:7411", "user's name"},
        {"tcp://127.0.0.1:7@0.0.0.0:7413", "user's name"},
        {"tcp://a:b:7411", "has a colon"},
        {"ipc://", "path is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        for (int use = ADDRESS_LISTEN; use <= ADDRESS_CONNECT; use++) {
            if (parse(wrong[i].text, (enum address_use)use) || !strstr(reason, wrong[i].why)) {
                fail_msg("%s: \"%s\", expected \"%s\"", wrong[i].text, reason, wrong[i].why);
            }
        }
    }
}

/* unix(7): sun_path has 108 bytes, and its end is one of them. */
static void address_says_how_long_a_path_may_be(void **state)
{
    char text[6 + 108 + 1] = "ipc:///";
    (void)state;
    memset(text + 7, 'x', 106);
    text[6 + 107] = '\0';
    assert_true(parse(text, ADDRESS_LISTEN));
    memset(text + 7, 'x', 107);
    text[6 + 108] = '\0';
    assert_false(parse(text, ADDRESS_LISTEN));
    assert_string_equal(reason, "the path has 108 bytes, a socket's path may have 107 at most");
}

static void address_bounds_names(void **state)
{
    char text[400];
    char label[65];
    (void)state;
    memset(label, 'a', 64);
    label[64] = '\0';
    snprintf(text, sizeof text, "tcp://%.63s:1", label);
    assert_true(parse(text, ADDRESS_CONNECT));
    snprintf(text, sizeof text, "tcp://%s:1", label);
    assert_false(parse(text, ADDRESS_CONNECT));
    snprintf(text, sizeof text, "tcp://%.63s.%.63s.%.63s.%.49s:1", label, label, label, label);
    assert_int_equal(strlen(text), ADDRESS_BYTES_MAX);
    assert_true(parse(text, ADDRESS_CONNECT));
    snprintf(text, sizeof text, "tcp://%.63s.%.63s.%.63s.%.50s:1", label, label, label, label);
    assert_false(parse(text, ADDRESS_CONNECT));
}

static bool is_local(const char *text)
{
    assert_true(parse(text, ADDRESS_LISTEN));
    return address_is_local(&address);
}

static void address_knows_what_strangers_reach(void **state)
{
    static const char *const near[] = {"tcp://127.0.0.1:1",          "tcp://127.9.8.7:0",
                                       "tcp://localhost:1",          "tcp://[::1]:1",
                                       "tcp://[::ffff:127.0.0.1]:1", "ipc://stream.sock"};
    static const char *const far[] = {"tcp://0.0.0.0:1",
                                      "tcp://*:1",
                                      "tcp://:1",
                                      "tcp://[::]:1",
                                      "tcp://10.0.0.5:1",
                                      "tcp://[::ffff:10.0.0.5]:1",
                                      "tcp://127.0.0.1.example.com:1",
                                      "tcp://localhost.example.com:1",
                                      "tcp://128.0.0.1:1",
                                      "tcp://shop:1"};
    (void)state;
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        assert_true(is_local(near[i]));
    }
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        assert_false(is_local(far[i]));
    }
}

static bool same(const char *a, const char *b)
{
    struct address first;
    assert_true(address_parse(a, ADDRESS_LISTEN, &first, reason));
    assert_true(parse(b, ADDRESS_LISTEN));
    assert_int_equal(address_same(&first, &address), address_same(&address, &first));
    return address_same(&first, &address);
}

static void address_knows_what_is_the_same(void **state)
{
    (void)state;
    assert_true(same("tcp://127.0.0.1:7411", "tcp://127.0.0.1:07411"));
    assert_true(same("tcp://127.0.0.1:7411", "tcp://0.0.0.0:7411"));
    assert_true(same("tcp://127.0.0.1:7411", "tcp://*:7411"));
    assert_true(same("tcp://[::1]:7411", "tcp://[0:0::1]:7411"));
    assert_true(same("tcp://[::1]:7411", "tcp://[::]:7411"));
    assert_true(same("tcp://Shop:7411", "tcp://shop:7411"));
    assert_true(same("ipc:///a", "ipc:///a"));
    assert_false(same("tcp://127.0.0.1:7411", "tcp://127.0.0.1:7412"));
    assert_false(same("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"));
    assert_false(same("tcp://127.0.0.1:7411", "tcp://127.0.0.2:7411"));
    assert_false(same("tcp://127.0.0.1:7411", "tcp://[::1]:7411"));
    assert_false(same("ipc:///a", "ipc:///b"));
    assert_false(same("ipc:///a", "tcp://a:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_reads_hosts_ports_and_paths),
        cmocka_unit_test(address_is_one_line_of_what_can_be_seen),
        cmocka_unit_test(address_any_host_and_any_port_are_for_listening),
        cmocka_unit_test(address_says_what_is_wrong),
        cmocka_unit_test(address_says_how_long_a_path_may_be),
        cmocka_unit_test(address_bounds_names),
        cmocka_unit_test(address_knows_what_strangers_reach),
        cmocka_unit_test(address_knows_what_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
