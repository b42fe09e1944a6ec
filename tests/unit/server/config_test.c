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
    static const char *const near[] = {
        "tcp://127.0.0.1:7413", "tcp://127.9.8.7:0",  "tcp://localhost:7413",
        "tcp://[::1]:7413",     "ipc:///run/hf.sock", "ipc://stream.sock",
    };
    static const char *const far[] = {
        "tcp://0.0.0.0:7413",
        "tcp://*:7413",
        "tcp://:7413",
        "tcp://[::]:7413",
        "tcp://10.0.0.5:7413",
        "tcp://[::1]x:7413",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:7413@0.0.0.0",
        "tcp://127.0.0.1:7@0.0.0.0:7413",
        "tcp://127.0.0.1.example.com:7413",
        "tcp://localhost.example.com:7413",
        "tcp://128.0.0.1:7413",
        "ws://127.0.0.1:7413",
        "tcp://",
        "tcp://[::1:7413",
    };
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        assert_true(set("stream", far[i]));
        assert_true(set("stream-fetch", far[i])); /* requests carry the token */
        assert_true(set("token", ""));
        assert_true(config_check(&config, error, sizeof error));
        assert_true(set("token", "secret"));
        assert_false(config_check(&config, error, sizeof error));
        assert_error_has("stream: ");
        assert_error_has("token");
    }
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        assert_true(set("stream", near[i]));
        assert_true(config_check(&config, error, sizeof error));
    }
    assert_true(set("stream", ""));
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
}

static void write_file(char path[64], const char *text)
{
    strcpy(path, "/tmp/holdfast-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(config_has_the_designs_defaults, setup),
        cmocka_unit_test_setup(config_takes_numbers_up_to_their_bounds, setup),
        cmocka_unit_test_setup(config_bounds_the_segments_prepared_ahead, setup),
        cmocka_unit_test_setup(config_knows_units, setup),
        cmocka_unit_test_setup(config_refuses_a_default_hold_above_the_greatest, setup),
        cmocka_unit_test_setup(config_says_what_is_wrong_in_words_and_units_of_the_setting, setup),
        cmocka_unit_test_setup(config_refuses_to_publish_to_strangers_where_there_is_a_token,
                               setup),
        cmocka_unit_test_setup(config_names_what_it_does_not_know, setup),
        cmocka_unit_test_setup(config_reads_a_file_and_options_replace_its_addresses, setup),
        cmocka_unit_test_setup(config_names_file_and_line_of_a_mistake, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
