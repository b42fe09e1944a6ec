/* fetch_test.c - the change stream's requests: what is answered, and what it costs to read.
 */
#include "feed/fetch.h"

#include <jansson.h>

#include "feed/changes.h"
#include "unit/wal/wal_rig.h"

/* ---- A storage that counts what is read through it ---- */

struct counter {
    struct storage *storage; /* the log */
    unsigned opens;
    uint64_t reads;
    uint64_t bytes;
    uint64_t stop_after; /* reads, from the first one on; 0: none */
    atomic_bool stop;
};

struct counting {
    struct storage base;
    struct counter *counter;
};

static struct storage *inner(struct storage *storage)
{
    return ((struct counting *)storage)->counter->storage;
}

static enum hf_status counting_list(struct storage *storage,
                                    bool (*visit)(void *context, const char *name), void *context)
{
    return inner(storage)->ops->list(inner(storage), visit, context);
}

static enum hf_status counting_open(struct storage *storage, const char *name, bool writable,
                                    storage_file *file, uint64_t *size)
{
    assert_false(writable);
    return inner(storage)->ops->open(inner(storage), name, false, file, size);
}

static void counting_close(struct storage *storage, storage_file file)
{
    inner(storage)->ops->close(inner(storage), file);
}

static enum hf_status counting_read(struct storage *storage, storage_file file, void *buffer,
                                    size_t len, uint64_t offset, size_t *got)
{
    struct counter *counter = ((struct counting *)storage)->counter;
    counter->reads++;
    counter->bytes += len;
    if (counter->reads == counter->stop_after) {
        atomic_store(&counter->stop, true);
    }
    return inner(storage)->ops->read(inner(storage), file, buffer, len, offset, got);
}

static void counting_destroy(struct storage *storage)
{
    free(storage);
}

static enum hf_status open_counting(void *context, struct storage **out)
{
    static const struct storage_ops ops = {
        .list = counting_list,
        .open = counting_open,
        .close = counting_close,
        .read = counting_read,
        .destroy = counting_destroy,
    };
    struct counting *counting = malloc(sizeof *counting);
    assert_non_null(counting);
    *counting = (struct counting){.base = {&ops}, .counter = context};
    counting->counter->opens++;
    *out = &counting->base;
    return HF_OK;
}

/* ---- A log, and who asks about it ---- */

struct fixture {
    struct rig rig;
    struct counter counter;
    struct feed_fetch *fetch;
};

#define BLOCK_RECORDS 1500u /* an answer has 1000: it ends inside a block, too */

static void append_blocks(struct rig *rig, unsigned blocks)
{
    for (unsigned i = 0; i < blocks; i++) {
        wal_prepare_step(rig->wal);
        assert_int_equal(rig_append(rig, BLOCK_RECORDS, NULL), HF_OK);
        rig_settle(rig);
    }
    rig->clock.ns += 10000000u; /* idle: a NOOP proves the last one */
    for (unsigned i = 0; i < 64; i++) {
        wal_step(rig->wal, false); /* a write under way is not always done at the first look */
    }
}

/* All blocks are proven durable. */
static void fixture_start(struct fixture *fixture, unsigned blocks, const char *token)
{
    memset(fixture, 0, sizeof *fixture);
    rig_init(&fixture->rig, 1);
    assert_int_equal(rig_open(&fixture->rig), HF_OK);
    append_blocks(&fixture->rig, blocks);
    fixture->counter.storage = fixture->rig.storage;
    struct feed_fetch_options options = {.token = token,
                                         .open = open_counting,
                                         .context = &fixture->counter,
                                         .stop = &fixture->counter.stop};
    fixture->fetch = feed_fetch_make(&options);
    assert_non_null(fixture->fetch);
}

static void fixture_stop(struct fixture *fixture)
{
    feed_fetch_free(fixture->fetch);
    rig_deinit(&fixture->rig);
}

static void assert_answer(struct fixture *fixture, struct bytes request, const char *expected)
{
    struct bytes answer = feed_fetch_answer(fixture->fetch, request);
    assert_int_equal(answer.len, strlen(expected));
    assert_memory_equal(answer.data, expected, answer.len);
}

/* Someone who asks on and on. */
struct reader {
    uint64_t lsn;
    uint64_t serial; /* of the next record */
    bool ended;
};

/* One request: checks that the records go on where they stopped; how many they were. */
static unsigned reader_ask(struct fixture *fixture, struct reader *reader)
{
    char request[32];
    unsigned rows = 0;
    snprintf(request, sizeof request, "%llu", (unsigned long long)reader->lsn);
    struct bytes answer = feed_fetch_answer(fixture->fetch, bytes_of(request));
    const char *at = (const char *)answer.data;
    const char *end = at + answer.len;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(line_end);
        json_t *row = json_loadb(at, (size_t)(line_end - at), 0, NULL);
        assert_non_null(row);
        if (line_end + 1 == end) {
            assert_string_equal(json_string_value(json_object_get(row, "status")), "OK");
            assert_true((uint64_t)json_integer_value(json_object_get(row, "next")) == reader->lsn);
            reader->ended = json_is_true(json_object_get(row, "end"));
        } else {
            char buyer[24];
            snprintf(buyer, sizeof buyer, "%llu", (unsigned long long)reader->serial++ * 7);
            assert_string_equal(json_string_value(json_object_get(row, "buyer")), buyer);
            reader->lsn = (uint64_t)json_integer_value(json_object_get(row, "lsn"));
            rows++;
        }
        json_decref(row);
        at = line_end + 1;
    }
    return rows;
}

/* ---- Places ---- */

/* As many readers as places, one after the other each time: every byte of the log is read once for
 * each (with a block's head looked at up to twice before), not once for each request. */
static void fetch_goes_on_where_each_answer_ended(void **state)
{
    (void)state;
    enum { BLOCKS = 40, RECORDS = BLOCKS * BLOCK_RECORDS };
    struct fixture fixture;
    struct reader readers[FETCH_CURSORS_MAX] = {{0}};
    fixture_start(&fixture, BLOCKS, "");
    for (unsigned i = 0; i < RECORDS / 1000; i++) {
        for (unsigned k = 0; k < FETCH_CURSORS_MAX; k++) {
            assert_int_equal(reader_ask(&fixture, &readers[k]), 1000);
            assert_false(readers[k].ended);
            if (i == 0) { /* the others begin behind it: else they would ask for the same place */
                for (unsigned more = 0; more < k; more++) {
                    assert_int_equal(reader_ask(&fixture, &readers[k]), 1000);
                }
            }
        }
        if (readers[FETCH_CURSORS_MAX - 1].serial == RECORDS) {
            break;
        }
    }
    assert_int_equal(fixture.counter.opens, FETCH_CURSORS_MAX);
    assert_int_equal(reader_ask(&fixture, &readers[FETCH_CURSORS_MAX - 1]), 0);
    assert_true(readers[FETCH_CURSORS_MAX - 1].ended);
    assert_int_equal(fixture.counter.opens, FETCH_CURSORS_MAX);
    uint64_t log_bytes = wal_tail_lsn(fixture.rig.wal);
    assert_in_range(fixture.counter.bytes, (FETCH_CURSORS_MAX - 1) * log_bytes,
                    2 * FETCH_CURSORS_MAX * log_bytes);
    /* What has come meanwhile is told from there, too. */
    assert_int_equal(rig_append(&fixture.rig, 7, NULL), HF_OK);
    rig_settle(&fixture.rig);
    /* The block that proves the last one durable is under way after a while, and then written. */
    struct wal_stats before;
    struct wal_stats now;
    wal_stats(fixture.rig.wal, &before);
    fixture.rig.clock.ns += 10000000u;
    do {
        (void)wal_step(fixture.rig.wal, false);
        wal_stats(fixture.rig.wal, &now);
    } while (now.index == before.index);
    assert_int_equal(reader_ask(&fixture, &readers[FETCH_CURSORS_MAX - 1]), 7);
    assert_int_equal(fixture.counter.opens, FETCH_CURSORS_MAX);
    fixture_stop(&fixture);
}

/* One more reader than places: the one that has waited longest loses its place, and finds it. */
static void fetch_gives_up_the_place_least_recently_used(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reader readers[FETCH_CURSORS_MAX + 1] = {{0}};
    fixture_start(&fixture, 12, "");
    for (unsigned k = 0; k <= FETCH_CURSORS_MAX; k++) {
        for (unsigned count = 0; count <= k; count++) {
            assert_int_equal(reader_ask(&fixture, &readers[k]), 1000);
        }
    }
    assert_int_equal(fixture.counter.opens, FETCH_CURSORS_MAX + 1);
    assert_int_equal(reader_ask(&fixture, &readers[2]), 1000); /* still there */
    assert_int_equal(fixture.counter.opens, FETCH_CURSORS_MAX + 1);
    readers[0].lsn--; /* nobody has been at just this LSN */
    readers[0].serial--;
    assert_int_equal(reader_ask(&fixture, &readers[0]), 1000); /* takes reader 1's */
    assert_int_equal(fixture.counter.opens, FETCH_CURSORS_MAX + 2);
    assert_int_equal(reader_ask(&fixture, &readers[2]), 1000);
    assert_int_equal(reader_ask(&fixture, &readers[4]), 1000);
    assert_int_equal(fixture.counter.opens, FETCH_CURSORS_MAX + 2);
    assert_int_equal(reader_ask(&fixture, &readers[1]), 1000);
    assert_int_equal(fixture.counter.opens, FETCH_CURSORS_MAX + 3);
    fixture_stop(&fixture);
}

/* ---- Stopping ---- */

static uint64_t last_lsn(struct fixture *fixture)
{
    struct reader reader = {0};
    while (!reader.ended) {
        reader_ask(fixture, &reader);
    }
    return reader.lsn;
}

/* The log's last record is wanted: all blocks before it are passed over. */
static void changes_next_ends_when_it_is_told_to(void **state)
{
    (void)state;
    enum { BLOCKS = 40 };
    struct fixture fixture;
    struct storage *storage;
    static struct changes changes;
    struct event event;
    uint64_t wall_ms;
    fixture_start(&fixture, BLOCKS, "");
    uint64_t lsn = last_lsn(&fixture);
    assert_int_equal(open_counting(&fixture.counter, &storage), HF_OK);
    assert_int_equal(changes_open(&changes, storage, lsn - 1), HF_OK);
    changes.stop = &fixture.counter.stop;
    fixture.counter.reads = 0;
    fixture.counter.stop_after = 5;
    assert_int_equal(changes_next(&changes, &event, &wall_ms), HF_CANCELED);
    assert_in_range(fixture.counter.reads, 5, 9); /* to the end of a block, not of the log */
    assert_int_equal(changes_next(&changes, &event, &wall_ms), HF_CANCELED);
    atomic_store(&fixture.counter.stop, false);
    assert_int_equal(changes_next(&changes, &event, &wall_ms), HF_OK);
    assert_true(event.lsn == lsn);
    assert_int_equal(event.id.lo, BLOCKS * BLOCK_RECORDS - 1);
    assert_true(fixture.counter.reads > 2 * BLOCKS);
    changes_close(&changes);
    storage_destroy(storage);
    fixture_stop(&fixture);
}

/* Whoever asked is told nothing wrong: it may ask on from where it was. */
static void fetch_answers_what_it_has_when_the_engine_stops(void **state)
{
    (void)state;
    struct fixture fixture;
    char request[32];
    char expected[128];
    fixture_start(&fixture, 40, "");
    uint64_t lsn = last_lsn(&fixture);
    snprintf(request, sizeof request, "%llu", (unsigned long long)lsn - 1);
    snprintf(expected, sizeof expected,
             "{\"status\":\"OK\",\"next\":%llu,\"oldest\":0,\"end\":false}\n",
             (unsigned long long)lsn - 1);
    fixture.counter.reads = 0;
    fixture.counter.stop_after = 10;
    assert_answer(&fixture, bytes_of(request), expected);
    assert_true(fixture.counter.reads < 20);
    fixture_stop(&fixture);
}

/* ---- Segments that are given back ---- */

/* Where the log begins: what is behind the segments that were given back. */
static uint64_t log_begin(struct storage *storage)
{
    struct wal_reader *reader;
    struct wal_block block;
    assert_int_equal(wal_reader_open(&reader, storage), HF_OK);
    assert_int_equal(wal_reader_next(reader, &block), HF_OK);
    wal_reader_close(reader);
    return block.header.first_lsn;
}

/* In the middle of segment 3, when that is given back; then more is, before the next request. */
static void fetch_says_expired_and_where_the_rest_begins(void **state)
{
    (void)state;
    struct fixture fixture;
    struct reader reader = {0};
    char request[32];
    char expected[128];
    fixture_start(&fixture, 400, "");
    uint64_t sealed = wal_sealed_segment(fixture.rig.wal);
    assert_true(sealed >= 6);
    while (reader.lsn < 3 * WAL_SEGMENT_BYTES_MIN - WAL_SEGMENT_BYTES_MIN / 2) {
        assert_int_equal(reader_ask(&fixture, &reader), 1000);
    }
    wal_recycle(fixture.rig.wal, 4, NULL);
    append_blocks(&fixture.rig, 40);
    snprintf(request, sizeof request, "%llu", (unsigned long long)reader.lsn);
    struct bytes answer = feed_fetch_answer(fixture.fetch, bytes_of(request));
    uint64_t oldest = log_begin(fixture.rig.storage);
    assert_true(oldest > reader.lsn);
    /* What was left of a block that it had read already. */
    while (answer.len > sizeof expected) {
        assert_int_equal(answer.data[answer.len - 1], '\n');
        const uint8_t *line = memrchr(answer.data, '\n', answer.len - 1);
        json_t *last = json_loadb((const char *)line + 1, 80, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(last);
        assert_true(json_is_false(json_object_get(last, "end")));
        reader.lsn = (uint64_t)json_integer_value(json_object_get(last, "next"));
        json_decref(last);
        snprintf(request, sizeof request, "%llu", (unsigned long long)reader.lsn);
        answer = feed_fetch_answer(fixture.fetch, bytes_of(request));
    }
    snprintf(expected, sizeof expected,
             "{\"status\":\"EXPIRED\",\"next\":%llu,\"oldest\":%llu,\"end\":false}\n",
             (unsigned long long)reader.lsn, (unsigned long long)oldest);
    assert_int_equal(answer.len, strlen(expected));
    assert_memory_equal(answer.data, expected, answer.len);
    /* And so for who asks anew; what is left is told from there on. */
    assert_answer(&fixture, bytes_of(request), expected);
    snprintf(request, sizeof request, "%llu", (unsigned long long)oldest);
    answer = feed_fetch_answer(fixture.fetch, bytes_of(request));
    assert_true(answer.len > sizeof expected);
    fixture_stop(&fixture);
}

/* ---- Tokens and bad requests ---- */

#define UNAUTHORIZED(why) "{\"status\":\"UNAUTHORIZED\",\"message\":\"token: " why "\"}\n"
#define NO_LSN                                                                                     \
    "{\"status\":\"INVALID\",\"message\":\"a request is an LSN in decimal digits, and, where "     \
    "there is a token, a space and the token\"}\n"
#define AT_END "{\"status\":\"OK\",\"next\":%llu,\"oldest\":0,\"end\":true}\n"

static void fetch_wants_the_token_where_there_is_one(void **state)
{
    (void)state;
    struct fixture fixture;
    char end[128];
    char request[128];
    fixture_start(&fixture, 1, "open sesame");
    static const char *const wrong[] = {
        "0 open sesam", "0 open sesame ", "0  open sesame", "0 OPEN SESAME",
        "x y",          "0 open sesame2",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_answer(&fixture, bytes_of(wrong[i]), UNAUTHORIZED("not the right one"));
    }
    static const char *const missing[] = {"0", "0 ", "", "nonsense", "1234567890123456789012345"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_answer(&fixture, bytes_of(missing[i]), UNAUTHORIZED("missing"));
    }
    assert_answer(&fixture, (struct bytes){(const uint8_t *)"0 open sesame", 14},
                  UNAUTHORIZED("not the right one")); /* with its NUL */
    assert_int_equal(fixture.counter.opens, 0);       /* nothing was read for them */
    assert_answer(&fixture, bytes_of("x open sesame"), NO_LSN);

    uint64_t lsn = wal_tail_lsn(fixture.rig.wal);
    snprintf(request, sizeof request, "%llu open sesame", (unsigned long long)lsn);
    snprintf(end, sizeof end, AT_END, (unsigned long long)lsn);
    assert_answer(&fixture, bytes_of(request), end);
    fixture_stop(&fixture);
}

static void fetch_refuses_what_is_no_lsn(void **state)
{
    (void)state;
    struct fixture fixture;
    char request[64];
    char expected[256];
    fixture_start(&fixture, 1, "");
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      "0x10",
                                      " 1",
                                      "1.0",
                                      "one",
                                      "1\n",
                                      "9223372036854775808",
                                      "000000000000000000001"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_answer(&fixture, bytes_of(bad[i]), NO_LSN);
    }
    assert_answer(&fixture, (struct bytes){(const uint8_t *)"1\0", 2}, NO_LSN);
    unsigned long long lsn = wal_tail_lsn(fixture.rig.wal);
    snprintf(request, sizeof request, "%llu a token, which nobody asked for", lsn);
    snprintf(expected, sizeof expected, AT_END, lsn);
    assert_answer(&fixture, bytes_of(request), expected);
    snprintf(request, sizeof request, "%llu", lsn + 1);
    snprintf(expected, sizeof expected,
             "{\"status\":\"INVALID\",\"message\":\"LSN %llu is after the log's end, which is LSN "
             "%llu\"}\n",
             lsn + 1, lsn);
    assert_answer(&fixture, bytes_of(request), expected);
    fixture_stop(&fixture);
}

static enum hf_status open_nothing(void *context, struct storage **out)
{
    (void)context;
    *out = NULL;
    return HF_NOT_FOUND;
}

static void fetch_says_where_it_ends_when_there_is_no_log_yet(void **state)
{
    (void)state;
    atomic_bool stop = false;
    struct feed_fetch *fetch = feed_fetch_make(
        &(struct feed_fetch_options){.token = "", .open = open_nothing, .stop = &stop});
    assert_non_null(fetch);
    static const char expected[] = "{\"status\":\"OK\",\"next\":5,\"oldest\":0,\"end\":true}\n";
    struct bytes answer = feed_fetch_answer(fetch, bytes_of("5"));
    assert_int_equal(answer.len, strlen(expected));
    assert_memory_equal(answer.data, expected, answer.len);
    feed_fetch_free(fetch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch_goes_on_where_each_answer_ended),
        cmocka_unit_test(fetch_gives_up_the_place_least_recently_used),
        cmocka_unit_test(changes_next_ends_when_it_is_told_to),
        cmocka_unit_test(fetch_answers_what_it_has_when_the_engine_stops),
        cmocka_unit_test(fetch_says_expired_and_where_the_rest_begins),
        cmocka_unit_test(fetch_wants_the_token_where_there_is_one),
        cmocka_unit_test(fetch_refuses_what_is_no_lsn),
        cmocka_unit_test(fetch_says_where_it_ends_when_there_is_no_log_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
