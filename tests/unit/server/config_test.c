/* config_test.c - settings from options and files: both sides of each bound, and who wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/storage_open.h"
#include "server/config.h"

static struct config config;
static char error[512];

static int setup(void **state)
{
    (void)state;
    config_init(&config);
    error[0] = '\0';
    return 0;
}

static bool set(const char *name, const char *value)
{
    return config_set(&config, name, value, false, error, sizeof error);
}

static void assert_error_has(const char *words)
{
    if (!strstr(error, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, error);
    }
}

static void config_has_the_designs_defaults(void **state)
{
    (void)state;
    assert_string_equal(config.data, "./holdfast-data");
    assert_int_equal(config.listen_count, 0);
    assert_int_equal(config.wal_io, STORAGE_AUTO);
    assert_int_equal(config.hold_ms, 900000);
    assert_true(config_check(&config, error, sizeof error));
    assert_int_equal(config_engine(&config).wal.in_flight_max, 1);
}

static void config_takes_numbers_up_to_their_bounds(void **state)
{
    (void)state;
    assert_true(set("orders-max", "1"));
    assert_true(set("orders-max", "1073741824"));
    assert_int_equal(config.orders_max, 1073741824);
    assert_false(set("orders-max", "1073741825"));
    assert_error_has("orders-max: 1073741825, must be 1..1073741824");
    assert_false(set("orders-max", "0"));
    assert_false(set("orders-max", "-1"));
    assert_error_has("not a number");
    assert_false(set("orders-max", ""));
    assert_false(set("orders-max", "12x"));
    assert_false(set("orders-max", "99999999999999999999"));
    assert_int_equal(config.orders_max, 1073741824);
}

/* What is let in here is checked again, by abort, where the log is opened. */
static void config_bounds_the_segments_prepared_ahead(void **state)
{
    (void)state;
    assert_true(set("wal-spare-segments", "1"));
    assert_true(set("wal-spare-segments", "16"));
    assert_int_equal(config_engine(&config).wal.spare_segments, 16);
    assert_false(set("wal-spare-segments", "0"));
    assert_false(set("wal-spare-segments", "17"));
}

/* Each number, from docs/operations.md and limits.h: the least and the greatest are taken, what is
 * one beyond is refused with the setting's name, and what was set stays. */
static void config_takes_each_number_up_to_its_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t min;
        uint64_t max;
    } rows[] = {
        {"items-max", 1, 16777216},
        {"orders-max", 1, 1073741824},
        {"orders-ready", 0, 1073741824},
        {"hold-ms", 1, 4294967295},
        {"hold-ms-max", 1, 4294967295},
        {"buyers-max", 1, 1073741824},
        {"retain-ended", 0, 4294967295},
        {"wal-bytes-max", 0, 1099511627776},
        {"checkpoint-memory", 1048576, 68719476736},
        {"recovery-threads", 0, 16},
        {"wal-segment-bytes", 4194304, 4294967296},
        {"wal-spare-segments", 1, 16},
        {"contexts", 1, 4096},
        {"connections-per-address", 0, 16384},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        const uint64_t bounds[] = {rows[i].min, rows[i].max};
        for (unsigned k = 0; k < 2; k++) {
            snprintf(text, sizeof text, "%llu", (unsigned long long)bounds[k]);
            if (!set(rows[i].name, text)) {
                fail_msg("%s", error);
            }
        }
        struct config before = config;
        const uint64_t beyond[] = {rows[i].max + 1, UINT64_MAX, rows[i].min - 1};
        for (unsigned k = 0; k < (rows[i].min > 0 ? 3 : 2); k++) {
            snprintf(text, sizeof text, "%llu", (unsigned long long)beyond[k]);
            if (set(rows[i].name, text)) {
                fail_msg("%s takes %s", rows[i].name, text);
            }
            assert_error_has(rows[i].name);
        }
        assert_memory_equal(&config, &before, sizeof config);
    }
}

static void config_knows_units(void **state)
{
    (void)state;
    assert_true(set("wal-segment-bytes", "4M"));
    assert_int_equal(config.wal_segment_bytes, 4 << 20);
    assert_true(set("wal-segment-bytes", "1GiB"));
    assert_int_equal(config.wal_segment_bytes, 1 << 30);
    assert_true(set("wal-segment-bytes", "64m")); /* in any letter case */
    assert_int_equal(config.wal_segment_bytes, 64 << 20);
    assert_false(set("wal-segment-bytes", "4095K"));
    assert_false(set("wal-segment-bytes", "5G"));
    assert_false(set("wal-segment-bytes", "10s"));
    assert_true(set("hold-ms", "15m"));
    assert_int_equal(config.hold_ms, 900000);
    assert_true(set("hold-ms", "250"));
    assert_int_equal(config.hold_ms, 250);
    assert_false(set("hold-ms", "2M"));
    assert_true(set("wal-segment-bytes", "4194305"));
    assert_false(config_check(&config, error, sizeof error));
    assert_error_has("multiple of 4096");
}

static void config_refuses_a_default_hold_above_the_greatest(void **state)
{
    (void)state;
    assert_true(set("hold-ms-max", "1000"));
    assert_true(set("hold-ms", "1000"));
    assert_true(config_check(&config, error, sizeof error));
    assert_true(set("hold-ms", "1001"));
    assert_false(config_check(&config, error, sizeof error));
    assert_error_has("hold-ms: 1001ms, greater than hold-ms-max, 1s");
}

static void config_says_what_is_wrong_in_words_and_units_of_the_setting(void **state)
{
    (void)state;
    assert_false(set("wal-io", "fast"));
    assert_error_has("wal-io: \"fast\" is none of auto, uring, sync");
    assert_false(set("log-level", "loud"));
    assert_error_has("log-level: \"loud\" is none of debug, info, warn, error");
    assert_false(set("checkpoint-memory", "512K"));
    assert_error_has("checkpoint-memory: 512K, must be 1M..64G");
    assert_false(set("hold-ms", "50d"));
    assert_error_has("hold-ms: 50d, must be 1ms..4294967295ms, which is 49 days");
    assert_true(set("wal-bytes-max", "10M"));
    assert_false(config_check(&config, error, sizeof error));
    assert_error_has(
        "wal-bytes-max: 10M, must be 0, or at least four times wal-segment-bytes, 64M");
}

/* With a token nobody may listen in without it. */
static void config_refuses_to_publish_to_strangers_where_there_is_a_token(void **state)
{
    (void)state;
    assert_true(set("stream", "tcp://0.0.0.0:7413"));
    assert_true(set("stream-fetch", "tcp://0.0.0.0:7414")); /* requests carry the token */
    assert_true(set("insecure", "yes"));
    assert_true(config_check(&config, error, sizeof error));
    assert_true(set("token", "secret"));
    assert_false(config_check(&config, error, sizeof error));
    assert_error_has("stream: ");
    assert_error_has("token");
    assert_true(set("stream", "tcp://127.0.0.1:7413"));
    assert_true(config_check(&config, error, sizeof error));
    assert_true(set("stream", ""));
    assert_true(config_check(&config, error, sizeof error));
}

/* Which addresses are near is the address's own rule (address_test.c). */
static void config_wants_a_token_or_a_word_where_strangers_get(void **state)
{
    static const char *const settings[] = {"listen", "stream", "stream-fetch"};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        config_init(&config);
        assert_true(set(settings[i], "tcp://0.0.0.0:7413"));
        assert_false(config_check(&config, error, sizeof error));
        assert_error_has(settings[i]);
        assert_error_has("insecure");
        assert_true(set("insecure", "no"));
        assert_false(config_check(&config, error, sizeof error));
        assert_true(set("insecure", "yes"));
        assert_true(config_check(&config, error, sizeof error));
        assert_true(set("insecure", "no"));
        assert_true(set("token-file", "/x"));
        assert_int_equal(config_check(&config, error, sizeof error), i != 1);
    }
}

static void config_refuses_addresses_when_they_are_set(void **state)
{
    static const char *const settings[] = {"listen", "stream", "stream-fetch"};
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        assert_false(set(settings[i], "tcp://127.0.0.1:70000"));
        assert_error_has(settings[i]);
        assert_error_has("port 70000: must be 0..65535");
        assert_false(set(settings[i], "tcp://::1:7411"));
        assert_false(set(settings[i], "http://127.0.0.1:1"));
    }
    assert_int_equal(config.listen_count, 0);
    assert_string_equal(config.stream, "");
}

static void config_refuses_two_equal_addresses(void **state)
{
    (void)state;
    assert_true(set("listen", "tcp://127.0.0.1:7411"));
    assert_true(set("listen", "tcp://127.0.0.1:7412"));
    assert_true(config_check(&config, error, sizeof error));
    assert_true(set("stream-fetch", "tcp://127.0.0.1:7412"));
    assert_false(config_check(&config, error, sizeof error));
    assert_error_has("stream-fetch: ");
    assert_error_has("listen has tcp://127.0.0.1:7412, and");
    config_init(&config);
    assert_true(set("stream", "tcp://127.0.0.1:7411")); /* the default has it */
    assert_false(config_check(&config, error, sizeof error));
}

/* unix(7): 107 bytes; the default socket is in the data directory. */
static void config_refuses_a_data_path_too_long_for_its_socket(void **state)
{
    char data[128];
    (void)state;
    memset(data, 'd', sizeof data);
    data[107 - strlen("/holdfast.sock")] = '\0';
    assert_true(set("data", data));
    assert_true(config_check(&config, error, sizeof error));
    data[107 - strlen("/holdfast.sock")] = 'd';
    data[108 - strlen("/holdfast.sock")] = '\0';
    assert_true(set("data", data));
    assert_false(config_check(&config, error, sizeof error));
    assert_error_has("data: can't listen on ipc://ddd");
    assert_error_has("108 bytes, a socket's path may have 107");
    assert_true(set("listen", "tcp://127.0.0.1:7411"));
    assert_true(config_check(&config, error, sizeof error));
}

static void config_names_what_it_does_not_know(void **state)
{
    (void)state;
    assert_false(set("order-max", "1"));
    assert_error_has("order-max");
    assert_false(set("wal-io", "fast"));
    assert_error_has("wal-io");
    assert_true(set("wal-io", "sync"));
    assert_int_equal(config.wal_io, STORAGE_SYNC);
    assert_false(set("listen", "http://x"));
    assert_error_has("tcp://");
    assert_false(set("data", ""));
    char long_token[TOKEN_BYTES_MAX + 2];
    memset(long_token, 'x', sizeof long_token);
    long_token[TOKEN_BYTES_MAX + 1] = '\0';
    assert_false(set("token", long_token));
    long_token[TOKEN_BYTES_MAX] = '\0';
    assert_true(set("token", long_token));
    assert_false(set("token", "")); /* as of a variable that is not set */
    assert_error_has("token: it is empty");
    assert_false(set("token", "one\ntwo")); /* as a file's token is read */
    assert_error_has("token: it holds more than one line");
    assert_false(set("token", "a\x1b"));
    assert_error_has("token: it holds a control character");
    assert_false(set("orders_max", "1"));
    assert_error_has("orders_max: there is no such setting (did you mean 'orders-max'");
    assert_false(set("insecure", "perhaps"));
    assert_error_has("insecure: \"perhaps\" is none of no, yes, false, true, off, on, 0, 1");
}

static void write_bytes(char path[64], const char *text, size_t len)
{
    strcpy(path, "/tmp/holdfast-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static void write_file(char path[64], const char *text)
{
    write_bytes(path, text, strlen(text));
}

/* Reads a file of these bytes into a fresh configuration. */
static bool read_bytes(const char *text, size_t len)
{
    char path[64];
    config_init(&config);
    error[0] = '\0';
    write_bytes(path, text, len);
    bool fine = config_read(&config, path, error, sizeof error);
    unlink(path);
    return fine;
}

static bool read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void config_reads_a_file_and_options_replace_its_addresses(void **state)
{
    (void)state;
    char path[64];
    write_file(path, "; a comment\ndata = /var/lib/x\nlisten = tcp://a:1\nlisten = tcp://b:2\n"
                     "[holdfast]\norders-max = 5\n");
    bool fine = config_read(&config, path, error, sizeof error);
    unlink(path);
    assert_true(fine);
    assert_string_equal(config.data, "/var/lib/x");
    assert_int_equal(config.listen_count, 2);
    assert_int_equal(config.orders_max, 5);
    assert_true(set("listen", "tcp://c:3"));
    assert_true(set("listen", "tcp://d:4"));
    assert_int_equal(config.listen_count, 2);
    assert_string_equal(config.listen[0], "tcp://c:3");
}

static void config_names_file_and_line_of_a_mistake(void **state)
{
    (void)state;
    char path[64];
    write_file(path, "data = x\norders-max = many\nitems-max = none\n");
    bool fine = config_read(&config, path, error, sizeof error);
    unlink(path);
    assert_false(fine);
    assert_error_has("line 2");
    assert_error_has("orders-max");
    write_file(path, "data = x\n\n[engine]\n; a comment\nitems-max = 5\n");
    fine = config_read(&config, path, error, sizeof error);
    unlink(path);
    assert_false(fine);
    assert_error_has("line 3"); /* the section's, not its first key's */
    assert_error_has("[engine]");
    write_file(path, "data = x\nnonsense\nitems-max = none\n");
    fine = config_read(&config, path, error, sizeof error);
    unlink(path);
    assert_false(fine);
    assert_error_has("line 2: not of the form NAME = VALUE");
    assert_false(config_read(&config, "/", error, sizeof error)); /* a directory */
    assert_error_has("can't be read");
    assert_false(config_read(&config, "/nonexistent/holdfast.ini", error, sizeof error));
    assert_error_has("can't be read");
}

static void config_reads_long_lines_whole(void **state)
{
    char text[4096];
    char token[TOKEN_BYTES_MAX + 1];
    (void)state;
    memset(token, 't', TOKEN_BYTES_MAX);
    token[TOKEN_BYTES_MAX] = '\0';
    snprintf(text, sizeof text, "; %0900d\ntoken = %s\norders-max = 7 ; %0900d\n", 0, token, 0);
    assert_true(read_text(text));
    assert_string_equal(config.token, token);
    assert_int_equal(config.orders_max, 7);
    snprintf(text, sizeof text, "; %02000d\ntoken = %s\nitems-max = none\n", 0, token);
    assert_false(read_text(text));
    assert_error_has("line 3: items-max: ");
    snprintf(text, sizeof text, "# a\ntoken = %st\n", token);
    assert_false(read_text(text));
    assert_error_has("line 2: token: 257 bytes, must be 1..256 bytes");
}

static void config_reads_what_other_machines_write(void **state)
{
    (void)state;
    assert_true(read_text("\xEF\xBB\xBF"
                          "orders-max = 5\r\n\r\n[holdfast]\r\nitems-max: 6 ; six\r\n"));
    assert_int_equal(config.orders_max, 5);
    assert_int_equal(config.items_max, 6);
    assert_true(read_text("orders-max = 5\n  items-max = 6")); /* an indented line is a line */
    assert_int_equal(config.items_max, 6);
    assert_true(read_text("token = a;b#c=d:e\n"));
    assert_string_equal(config.token, "a;b#c=d:e");
    assert_true(read_text(""));
    assert_true(read_text("insecure = true\n"));
    assert_true(config.insecure);
}

static void config_names_the_line_of_what_is_no_setting(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } wrong[] = {
        {"orders-max = 5\n\norders-max = 6\n", "line 3: orders-max: line 1 has it already"},
        {"\norders-max =\n", "line 2: orders-max: its value is missing"},
        {"orders-max = ; 5\n", "line 1: orders-max: its value is missing"},
        {"orders-max\n", "line 1: not of the form NAME = VALUE"},
        {"= 5\n", "line 1: the name is missing"},
        {"\n\nitem-max = 5\n",
         "line 3: item-max: there is no such setting (did you mean 'items-max'"},
        {"[holdfast\n", "line 1: a section's bracket is not closed"},
        {"[holdfast] data = x\n", "line 1: nothing may follow a section's closing bracket"},
        {"data = a\rlisten = b\n", "line 1: byte 9 is a control character (0x0d)"},
        {"token = a\x1b[31m\n", "line 1: byte 10 is a control character (0x1b)"},
        {"listen = tcp://127.0.0.1\n",
         "line 1: listen: can't listen on tcp://127.0.0.1: the port is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(read_text(wrong[i].text));
        assert_error_has(wrong[i].why);
    }
    assert_false(read_bytes("data = a\n\0\n", 11));
    assert_error_has("line 2: byte 1 is a control character (0x00): not a text in UTF-8");
    assert_false(read_bytes("\xFF\xFE"
                            "d\0",
                            4)); /* UTF-16 */
    assert_error_has("line 1: ");
    assert_false(config_read(&config, "/dev/zero", error, sizeof error));
    assert_error_has("File too large");
}

static void config_takes_a_token_of_a_file_or_in_text(void **state)
{
    char path[64];
    char text[128];
    (void)state;
    write_file(path, "hush\n");
    assert_true(set("token-file", path));
    assert_true(config_read_token(&config, error, sizeof error));
    assert_string_equal(config.token, "hush");
    config_init(&config);
    assert_true(set("token", "open"));
    assert_true(set("token-file", path));
    assert_false(config_read_token(&config, error, sizeof error));
    assert_error_has("token");
    /* An option replaces the file's, whichever of the two it is. */
    assert_true(read_text("token = of the file\n"));
    assert_true(set("token-file", path));
    assert_true(config_read_token(&config, error, sizeof error));
    assert_string_equal(config.token, "hush");
    snprintf(text, sizeof text, "token-file = %s\n", path);
    assert_true(read_text(text));
    assert_true(set("token", "open"));
    assert_true(config_read_token(&config, error, sizeof error));
    assert_string_equal(config.token, "open");
    unlink(path);
    config_init(&config);
    assert_true(set("token-file", path));
    assert_false(config_read_token(&config, error, sizeof error));
    assert_error_has("token-file: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(config_has_the_designs_defaults, setup),
        cmocka_unit_test_setup(config_takes_numbers_up_to_their_bounds, setup),
        cmocka_unit_test_setup(config_bounds_the_segments_prepared_ahead, setup),
        cmocka_unit_test_setup(config_takes_each_number_up_to_its_bounds, setup),
        cmocka_unit_test_setup(config_knows_units, setup),
        cmocka_unit_test_setup(config_refuses_a_default_hold_above_the_greatest, setup),
        cmocka_unit_test_setup(config_says_what_is_wrong_in_words_and_units_of_the_setting, setup),
        cmocka_unit_test_setup(config_refuses_to_publish_to_strangers_where_there_is_a_token,
                               setup),
        cmocka_unit_test_setup(config_wants_a_token_or_a_word_where_strangers_get, setup),
        cmocka_unit_test_setup(config_refuses_addresses_when_they_are_set, setup),
        cmocka_unit_test_setup(config_refuses_two_equal_addresses, setup),
        cmocka_unit_test_setup(config_refuses_a_data_path_too_long_for_its_socket, setup),
        cmocka_unit_test_setup(config_names_what_it_does_not_know, setup),
        cmocka_unit_test_setup(config_reads_a_file_and_options_replace_its_addresses, setup),
        cmocka_unit_test_setup(config_names_file_and_line_of_a_mistake, setup),
        cmocka_unit_test_setup(config_reads_long_lines_whole, setup),
        cmocka_unit_test_setup(config_reads_what_other_machines_write, setup),
        cmocka_unit_test_setup(config_names_the_line_of_what_is_no_setting, setup),
        cmocka_unit_test_setup(config_takes_a_token_of_a_file_or_in_text, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
