/* gather_test.c - what is gathered comes back once, whole and in order: against a sorted
 * list of what was put in.
 *
 * Threads: one. */
#include "unit/wal/wal_rig.h"

#include "base/id.h"
#include "checkpoint/gather.h"

#define PUT_MAX 200000u

/* What was put in, as the model has it. */
struct put {
    uint64_t key;
    struct id128 id;
    uint64_t lsn;
    uint32_t bytes;
    uint64_t hash; /* of the record */
};

struct model {
    struct put *puts;
    uint32_t count;
    uint64_t lsn;
    uint64_t span_bytes; /* of the memory that a part's records were found in */
};

static uint8_t record[WAL_RECORD_BYTES_MAX];

static int compare_puts(const void *a, const void *b)
{
    const struct put *x = a;
    const struct put *y = b;
    const uint64_t xs[] = {x->key, x->id.hi, x->id.lo, x->lsn};
    const uint64_t ys[] = {y->key, y->id.hi, y->id.lo, y->lsn};
    for (size_t i = 0; i < 4; i++) {
        if (xs[i] != ys[i]) {
            return xs[i] < ys[i] ? -1 : 1;
        }
    }
    return 0;
}

static int setup(void **state)
{
    struct model *model = calloc(1, sizeof *model);
    model->puts = calloc(PUT_MAX, sizeof *model->puts);
    *state = model;
    return 0;
}

static int teardown(void **state)
{
    struct model *model = *state;
    free(model->puts);
    free(model);
    return 0;
}

/* Notes the record that was encoded, as the next of the log. */
static void put(struct model *model, const struct event *event)
{
    assert_true(model->count < PUT_MAX);
    uint32_t bytes = record_encode(event, record);
    model->lsn += bytes;
    model->puts[model->count++] = (struct put){.key = id_hash(event->id),
                                               .id = event->id,
                                               .lsn = model->lsn,
                                               .bytes = bytes,
                                               .hash = hash_bytes(record, bytes)};
}

static void put_plain(struct model *model, struct id128 id, enum event_type type)
{
    struct event event = {.type = type,
                          .id = id,
                          .buyer = model->lsn,
                          .deadline_ms = RIG_DEADLINE_MS + model->lsn,
                          .line_count = type == EVENT_ORDER_HELD,
                          .one = {1, 1}};
    event.lines = &event.one;
    put(model, &event);
}

static void add(struct gather *gather, const struct put *last)
{
    if (gather_has(gather_part(gather), last->key)) {
        assert_int_equal(gather_add(gather, last->key, last->lsn, record, last->bytes), HF_OK);
    }
}

/* The part's records are those that the model has from `first` to the last of the part, in order;
 * the model's are sorted. Returns how many. Sets span_bytes. */
static uint32_t check_part(struct gather *gather, struct model *model, uint64_t first)
{
    uint32_t i = 0;
    while (i < model->count && model->puts[i].key < first) {
        i++;
    }
    uint32_t from = i;
    uintptr_t lowest = UINTPTR_MAX;
    uintptr_t highest = 0;
    const struct gathered *records;
    uint64_t count;
    enum hf_status status;
    while ((status = gather_next(gather, &records, &count)) == HF_OK) {
        for (uint64_t at = 0; at < count; at++, i++) {
            assert_true(i < model->count);
            const struct put *expected = &model->puts[i];
            assert_true(records[at].key == expected->key);
            assert_true(records[at].lsn == expected->lsn);
            assert_int_equal(load_u32(records[at].record + 4), expected->bytes);
            assert_true(hash_bytes(records[at].record, expected->bytes) == expected->hash);
            uintptr_t place = (uintptr_t)records[at].record;
            lowest = place < lowest ? place : lowest;
            highest = place > highest ? place : highest;
        }
    }
    assert_int_equal(status, HF_NOT_FOUND);
    assert_true(i == model->count || model->puts[i].key > gather_part(gather)->last);
    model->span_bytes = highest - lowest;
    return i - from;
}

static void sort_model(struct model *model)
{
    qsort(model->puts, model->count, sizeof *model->puts, compare_puts);
}

static struct gather *open_gather(uint64_t memory_bytes)
{
    struct gather *gather;
    assert_int_equal(gather_open(&gather, memory_bytes, MIB(64)), HF_OK);
    return gather;
}

/* Random ids and types, orders of many lines among them; id n is one of `orders`. */
static struct event random_event(struct rng *rng, uint32_t orders, struct order_line *lines)
{
    uint64_t serial = rng_below(rng, orders);
    struct event event = {
        .type = (enum event_type)rng_between(rng, EVENT_ORDER_HELD, EVENT_ORDER_FORGOTTEN),
        .id = {hash_u64(serial), serial},
        .deadline_ms = rng_next(rng),
        .lines = lines};
    if (event.type == EVENT_ORDER_HELD) {
        event.line_count =
            rng_chance(rng, 200) ? ORDER_LINES_MAX : (uint32_t)rng_between(rng, 1, 4);
    }
    return event;
}

static void records_come_back_by_key_and_lsn(void **state)
{
    struct model *model = *state;
    static struct order_line lines[ORDER_LINES_MAX];
    struct rng rng;
    rng_init(&rng, 1);
    struct gather *gather = open_gather(MIB(64));
    for (unsigned round = 0; round < 3; round++) { /* what was there before is forgotten */
        model->count = 0;
        uint64_t first = round == 0 ? 0 : rng_next(&rng) >> 1;
        uint64_t last = round == 0 ? UINT64_MAX : first + (rng_next(&rng) >> 2 * round);
        gather_begin(gather, first, last);
        for (uint32_t i = 0; i < 50000; i++) {
            struct event event = random_event(&rng, round == 2 ? 50 : 20000, lines);
            uint32_t count = model->count;
            put(model, &event);
            add(gather, &model->puts[count]);
            uint64_t key = model->puts[count].key;
            model->count -= key < first || key > last;
        }
        sort_model(model);
        assert_true(gather_part(gather)->last == last);
        assert_int_equal(check_part(gather, model, 0), model->count);
    }
    gather_close(gather);
}

/* Encodes the record of order `i` of so many: all are made, then all expire. */
static void put_two_a_order(struct model *model, uint32_t i, uint32_t orders)
{
    put_plain(model, (struct id128){i % orders, i % orders},
              i < orders ? EVENT_ORDER_HELD : EVENT_ORDER_EXPIRED);
}

/* Each record is handed out in one part. 7.2 MB and memory of 1 MiB, in parts of 1.8 MB. */
static void the_highest_keys_are_given_up_when_memory_is_full(void **state)
{
    struct model *model = *state;
    const uint32_t orders = 100000;
    struct gather *gather = open_gather(MIB(1));
    uint32_t found = 0;
    unsigned parts = 0;
    for (uint64_t first = 0, last = 0; last < UINT64_MAX; first = last + 1, parts++) {
        uint64_t planned = first < UINT64_MAX / 4 * 3 ? first + UINT64_MAX / 4 : UINT64_MAX;
        gather_begin(gather, first, planned);
        model->count = 0;
        model->lsn = 0;
        for (uint32_t i = 0; i < 2 * orders; i++) {
            put_two_a_order(model, i, orders);
            add(gather, &model->puts[i]);
        }
        sort_model(model);
        last = gather_part(gather)->last;
        assert_true(last > first && last <= planned);
        found += check_part(gather, model, first);
        assert_true(model->span_bytes < MIB(1));
    }
    assert_int_equal(found, 2 * orders);
    assert_int_equal(parts, 8);
    gather_close(gather);
}

/* One order can't be had in parts. */
static void one_order_may_exceed_the_memory(void **state)
{
    struct model *model = *state;
    struct gather *gather = open_gather(MIB(1));
    gather_begin(gather, 0, UINT64_MAX);
    struct id128 much = {1, 1};
    while (id_hash(much) >= UINT64_MAX / 8) { /* so that it is not given up itself */
        much.lo++;
    }
    for (uint32_t i = 0; i < 100000; i++) { /* 3.2 MB */
        struct id128 id = i % 10 == 0 ? (struct id128){2, i} : much;
        put_plain(model, id, EVENT_ORDER_EXTENDED);
        add(gather, &model->puts[i]);
    }
    sort_model(model);
    uint64_t last = gather_part(gather)->last;
    assert_true(last >= id_hash(much) && last < UINT64_MAX);
    assert_in_range(check_part(gather, model, 0), 90000, 99999);
    assert_true(model->span_bytes > MIB(2));
    gather_begin(gather, last + 1, UINT64_MAX); /* and then it is given back */
    assert_int_equal(gather_part(gather)->last, UINT64_MAX);
    const struct gathered *records;
    uint64_t count;
    assert_int_equal(gather_next(gather, &records, &count), HF_NOT_FOUND);
    gather_close(gather);
}

/* An id whose hash lies in [first, last]. */
static struct id128 id_between(uint64_t first, uint64_t last)
{
    struct id128 id = {3, 1};
    while (id_hash(id) < first || id_hash(id) > last) {
        id.lo++;
    }
    return id;
}

/* Only the part's first bucket holds anything, the memory is full, and another order comes: that
 * one is for the next reading. */
static void one_order_alone_may_exceed_the_memory(void **state)
{
    struct model *model = *state;
    static const uint64_t firsts[] = {0, 1ull << 62};
    for (size_t k = 0; k < 2; k++) {
        model->count = 0;
        struct gather *gather = open_gather(MIB(1));
        uint64_t first = firsts[k];
        gather_begin(gather, first, UINT64_MAX);
        struct id128 much = id_between(first, first + UINT64_MAX / 100000);
        struct id128 other = id_between(UINT64_MAX / 2, UINT64_MAX);
        for (uint32_t i = 0; i < 40001; i++) {
            put_plain(model, i < 40000 ? much : other, EVENT_ORDER_EXTENDED);
            add(gather, &model->puts[i]);
        }
        sort_model(model);
        uint64_t last = gather_part(gather)->last;
        assert_true(last >= id_hash(much) && last < id_hash(other));
        assert_int_equal(check_part(gather, model, first), 40000);
        gather_close(gather);
    }
}

/* With this lower half the hash of an id does not depend on the upper one. */
#define LOW_HALF_ALIKE (0xE7037ED1A0B428DBull ^ 1)

static void orders_of_one_key_come_one_after_the_other(void **state)
{
    struct model *model = *state;
    struct gather *gather = open_gather(MIB(1));
    gather_begin(gather, 0, UINT64_MAX);
    for (uint32_t i = 0; i < 3000; i++) {
        struct id128 id = {i % 7 * 1000003 % 11, i % 2 ? LOW_HALF_ALIKE : i % 10};
        put_plain(model, id, i < 1000 ? EVENT_ORDER_HELD : EVENT_ORDER_EXTENDED);
        add(gather, &model->puts[i]);
    }
    assert_true(model->puts[1].key == model->puts[3].key);
    assert_false(id_equal(model->puts[1].id, model->puts[3].id));
    sort_model(model);
    assert_int_equal(check_part(gather, model, 0), 3000);
    gather_close(gather);
}

/* A log of hardly anything but definitions. */
static void lsns_far_apart_come_back(void **state)
{
    struct model *model = *state;
    struct gather *gather = open_gather(MIB(1));
    gather_begin(gather, 0, UINT64_MAX);
    const uint64_t far = (uint64_t)UINT32_MAX * 8;
    const uint64_t lsns[] = {24, 24 + far, 56 + far, 56 + 3 * far, (uint64_t)1 << 62};
    for (uint32_t i = 0; i < 5; i++) {
        model->lsn = lsns[i] - 24;
        put_plain(model, (struct id128){1, 1}, EVENT_ORDER_EXPIRED);
        assert_true(model->lsn == lsns[i]);
        add(gather, &model->puts[i]);
    }
    sort_model(model);
    assert_int_equal(check_part(gather, model, 0), 5);
    gather_close(gather);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_come_back_by_key_and_lsn, setup, teardown),
        cmocka_unit_test_setup_teardown(the_highest_keys_are_given_up_when_memory_is_full, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_order_may_exceed_the_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(one_order_alone_may_exceed_the_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_of_one_key_come_one_after_the_other, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(lsns_far_apart_come_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
