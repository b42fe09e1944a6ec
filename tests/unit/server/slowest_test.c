/* slowest_test.c - the slowest answer of each second is kept, with its stages; the engine stamps
 * them. Times are made up by hand.
 *
 * Threads: one, and in one test several that note answers beside each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "engine_rig.h"
#include "server/engine_internal.h"
#include "server/slowest.h"

#define SECOND 1000000000u
#define MS     1000000u
#define START  (5000u * (uint64_t)SECOND)

/* Notes an answer that was handed over at this moment, and took so long. */
static void note(struct slowest *slowest, uint64_t replied_ns, uint64_t total_ns, uint64_t lsn)
{
    const struct slowest_answer answer = {
        .received_ns = replied_ns - total_ns, .replied_ns = replied_ns, .lsn = lsn};
    slowest_note(slowest, &answer);
}

static void slowest_keeps_the_worst_of_each_second_the_newest_first(void **state)
{
    (void)state;
    static struct slowest slowest;
    struct slowest_answer answers[SLOWEST_SECONDS];
    slowest = (struct slowest){0};
    assert_int_equal(slowest_read(&slowest, START, answers), 0);
    note(&slowest, START, 3 * MS, 1);
    note(&slowest, START + 1, 9 * MS, 2);
    note(&slowest, START + SECOND - 1, 4 * MS, 3); /* the last moment of the first second */
    note(&slowest, START + SECOND, 2 * MS, 4);     /* less, but the worst of its second */
    note(&slowest, START + SECOND + 1, 1 * MS, 5);
    note(&slowest, START + 4 * (uint64_t)SECOND, 1, 6); /* nothing was answered in between */
    assert_int_equal(slowest_read(&slowest, START + 4 * (uint64_t)SECOND, answers), 3);
    assert_int_equal(answers[0].lsn, 6);
    assert_int_equal(answers[1].lsn, 4);
    assert_int_equal(answers[2].lsn, 2);
}

static void slowest_keeps_what_is_a_part_slower_and_no_less(void **state)
{
    (void)state;
    static struct slowest slowest;
    struct slowest_answer answers[SLOWEST_SECONDS];
    slowest = (struct slowest){0};
    const uint64_t first_ns = 64 * MS;
    note(&slowest, START, first_ns, 1);
    note(&slowest, START, first_ns + first_ns / SLOWEST_PART, 2);
    assert_int_equal(slowest_read(&slowest, START, answers), 1);
    assert_int_equal(answers[0].lsn, 1);
    note(&slowest, START, first_ns + first_ns / SLOWEST_PART + 1, 3);
    assert_int_equal(slowest_read(&slowest, START, answers), 1);
    assert_int_equal(answers[0].lsn, 3);
}

static void slowest_forgets_what_is_sixty_seconds_old(void **state)
{
    (void)state;
    static struct slowest slowest;
    struct slowest_answer answers[SLOWEST_SECONDS];
    slowest = (struct slowest){0};
    for (uint64_t i = 0; i < 2 * SLOWEST_SECONDS; i++) {
        note(&slowest, START + i * SECOND, MS, i + 1);
    }
    uint64_t now_ns = START + (2 * SLOWEST_SECONDS - 1) * (uint64_t)SECOND;
    assert_int_equal(slowest_read(&slowest, now_ns, answers), SLOWEST_SECONDS);
    for (unsigned i = 0; i < SLOWEST_SECONDS; i++) {
        assert_int_equal(answers[i].lsn, 2 * SLOWEST_SECONDS - i);
    }
    /* A second in which nothing was answered has no line, and the oldest is forgotten. */
    assert_int_equal(slowest_read(&slowest, now_ns + SECOND, answers), SLOWEST_SECONDS - 1);
    assert_int_equal(answers[0].lsn, 2 * SLOWEST_SECONDS);
    assert_int_equal(slowest_read(&slowest, now_ns + SLOWEST_SECONDS * (uint64_t)SECOND, answers),
                     0);
}

/* A thread that was held up between its answer and its note comes late with an old second. */
static void slowest_takes_a_late_note_for_its_own_second(void **state)
{
    (void)state;
    static struct slowest slowest;
    struct slowest_answer answers[SLOWEST_SECONDS];
    slowest = (struct slowest){0};
    note(&slowest, START + SECOND, 2 * MS, 1);
    note(&slowest, START, 7 * MS, 2); /* a second that has nothing yet */
    note(&slowest, START, 6 * MS, 3);
    note(&slowest, START + SECOND, 3 * MS, 4); /* the bar is still this second's */
    note(&slowest, START + SECOND - SLOWEST_SECONDS * (uint64_t)SECOND, 9 * MS, 5); /* too old */
    assert_int_equal(slowest_read(&slowest, START + SECOND, answers), 2);
    assert_int_equal(answers[0].lsn, 4);
    assert_int_equal(answers[1].lsn, 2);
}

/* Nobody waits: who does not get the lock leaves its answer out. */
static void slowest_does_not_wait_for_the_lock(void **state)
{
    (void)state;
    static struct slowest slowest;
    struct slowest_answer answers[SLOWEST_SECONDS];
    slowest = (struct slowest){0};
    note(&slowest, START, 2 * MS, 1);
    spin_lock(&slowest.lock);
    note(&slowest, START, 5 * MS, 2);
    spin_unlock(&slowest.lock);
    assert_int_equal(slowest_read(&slowest, START, answers), 1);
    assert_int_equal(answers[0].lsn, 1);
}

static uint64_t hand_ns;

static uint64_t hand_clock_ns(void *context)
{
    (void)context;
    return hand_ns;
}

static const struct clock hand_clock = {.monotonic_ns = hand_clock_ns};

static void answered(struct slowest *slowest, uint64_t received_ns, uint64_t lsn)
{
    struct slowest_answer answer = {.received_ns = received_ns, .lsn = lsn};
    slowest_answered(slowest, &hand_clock, &answer);
}

/* The first of a run to have come has waited longest, whatever its place, and until the end. */
static void slowest_notes_the_first_of_a_run_at_its_end(void **state)
{
    (void)state;
    static struct slowest slowest;
    struct slowest_answer answers[SLOWEST_SECONDS];
    slowest = (struct slowest){0};
    hand_ns = START + 5 * MS;
    slowest_run_begin();
    answered(&slowest, START + 2, 1);
    answered(&slowest, START + 1, 2);
    answered(&slowest, START + 3, 3);
    assert_int_equal(slowest_read(&slowest, hand_ns, answers), 0);
    hand_ns = START + 9 * MS;
    slowest_run_end(&slowest, &hand_clock);
    assert_int_equal(slowest_read(&slowest, hand_ns, answers), 1);
    assert_int_equal(answers[0].lsn, 2);
    assert_int_equal(answers[0].replied_ns, START + 9 * MS);

    /* Nothing of a run is left for the next, which has no answers; outside of one, at once. */
    hand_ns = START + 2 * (uint64_t)SECOND;
    slowest_run_begin();
    slowest_run_end(&slowest, &hand_clock);
    assert_int_equal(slowest_read(&slowest, hand_ns, answers), 1);
    answered(&slowest, START + SECOND, 4);
    assert_int_equal(slowest_read(&slowest, hand_ns, answers), 2);
    assert_int_equal(answers[0].lsn, 4);
    assert_int_equal(answers[0].replied_ns, hand_ns);
}

static void assert_stages(const struct slowest_answer *answer, uint64_t queue, uint64_t decide,
                          uint64_t append, uint64_t sync, uint64_t reply)
{
    uint64_t stage_ns[SLOWEST_STAGES];
    slowest_stages(answer, stage_ns);
    assert_int_equal(stage_ns[SLOWEST_QUEUE], queue);
    assert_int_equal(stage_ns[SLOWEST_DECIDE], decide);
    assert_int_equal(stage_ns[SLOWEST_APPEND], append);
    assert_int_equal(stage_ns[SLOWEST_SYNC], sync);
    assert_int_equal(stage_ns[SLOWEST_REPLY], reply);
}

static void slowest_stages_add_up_to_the_whole(void **state)
{
    (void)state;
    struct slowest_answer answer = {.received_ns = 100,
                                    .begun_ns = 110,
                                    .appended_ns = 150,
                                    .append_ns = 15,
                                    .durable_ns = 1150,
                                    .replied_ns = 1160};
    assert_stages(&answer, 10, 25, 15, 1000, 10);
    answer.paused_ns = 5; /* it let others in between */
    assert_stages(&answer, 15, 20, 15, 1000, 10);
    answer.paused_ns = 0;
    answer.durable_ns = 0; /* it waited for nothing */
    assert_stages(&answer, 10, 25, 15, 0, 1010);
    answer.appended_ns = 0; /* refused */
    answer.append_ns = 0;
    assert_stages(&answer, 10, 1050, 0, 0, 0);
    answer.begun_ns = 0;
    assert_stages(&answer, 0, 1060, 0, 0, 0);
}

static void slowest_describes_requests(void **state)
{
    (void)state;
    struct slowest_answer answer;
    const struct order_message orders[] = {{.line_count = 2}, {.line_count = 3}};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 2;
    request.reserve.orders = orders;
    slowest_describe(&answer, &request);
    assert_int_equal(answer.type, REQUEST_RESERVE);
    assert_int_equal(answer.orders, 2);
    assert_int_equal(answer.lines, 5);

    const struct edit_message edits[] = {{.line_count = 0}, {.line_count = 4}};
    request = (struct request){.type = REQUEST_RELEASE};
    request.edit.count = 2;
    request.edit.edits = edits;
    slowest_describe(&answer, &request);
    assert_int_equal(answer.orders, 2);
    assert_int_equal(answer.lines, 4);

    request = (struct request){.type = REQUEST_RESERVE_BATCH};
    request.batch.id_hi_count = 7;
    request.batch.item_count = 9;
    slowest_describe(&answer, &request);
    assert_int_equal(answer.orders, 7);
    assert_int_equal(answer.lines, 9);

    request = (struct request){.type = REQUEST_STATUS};
    slowest_describe(&answer, &request);
    assert_int_equal(answer.orders, 0);
    assert_int_equal(answer.lines, 0);
}

/* ---- Threads ---- */

#define NOTERS   4u
#define NOTES    20000u
#define WORST_NS (NOTES * 1000u)

static void *note_many(void *argument)
{
    struct slowest *slowest = argument;
    for (uint64_t i = 1; i <= NOTES; i++) {
        note(slowest, START + i, i * 1000, i);
    }
    return NULL;
}

/* Each answer is slower than the one before it, as in an overload. What is kept is whole, and no
 * more than a part less than the worst, unless the lock was taken each time. */
static void slowest_keeps_whole_answers_beside_others(void **state)
{
    (void)state;
    static struct slowest slowest;
    struct slowest_answer answers[SLOWEST_SECONDS];
    pthread_t threads[NOTERS];
    slowest = (struct slowest){0};
    for (unsigned i = 0; i < NOTERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, &slowest), 0);
    }
    for (unsigned i = 0; i < 1000; i++) {
        unsigned count = slowest_read(&slowest, START, answers);
        assert_true(count <= 1);
        assert_true(count == 0 ||
                    answers[0].replied_ns - answers[0].received_ns == answers[0].lsn * 1000);
    }
    for (unsigned i = 0; i < NOTERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    note(&slowest, START + NOTES, 2 * (uint64_t)WORST_NS, 2 * NOTES);
    assert_int_equal(slowest_read(&slowest, START, answers), 1);
    assert_int_equal(answers[0].lsn, 2 * NOTES);
}

/* ---- The engine's stamps ---- */

static unsigned read_all(struct rig *rig, struct slowest_answer answers[SLOWEST_SECONDS])
{
    return slowest_read(&rig->engine->slowest, rig_monotonic_ns(rig), answers);
}

/* One request that arrived 3 ms ago and was begun 2 ms ago; the disk takes disk_ms, and the reply
 * 5 ms. */
static struct slowest_answer ask_slowly(struct rig *rig, const struct request *request,
                                        unsigned disk_ms)
{
    struct ask ask = {.call = {.done = ask_done}};
    struct slowest_answer answers[SLOWEST_SECONDS];
    arena_init(&ask.arena, MIB(1));
    ask.call.arena = &ask.arena;
    ask.call.received_ns = rig_monotonic_ns(rig) - 3 * MS;
    ask.call.begun_ns = rig_monotonic_ns(rig) - 2 * MS;
    sim_storage_hold(rig->storage, true);
    engine_submit(rig->engine, &ask.call, request);
    engine_step(rig->engine);
    rig->ms += disk_ms;
    sim_storage_hold(rig->storage, false);
    rig_settle(rig);
    assert_true(ask.done);
    struct slowest_answer way = engine_answer_way(&ask.call, 100, 50);
    ask_free(&ask);
    rig->ms += 5;
    engine_answered(rig->engine, &way);
    assert_true(read_all(rig, answers) >= 1);
    return answers[0];
}

static void engine_stamps_the_stages_of_a_request(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    static const uint8_t id[ID_BYTES] = {7};
    const struct line_message line = {.item = 1, .qty = 1};
    const struct order_message order = {.id = {id, ID_BYTES}, .line_count = 1, .lines = &line};
    struct request reserve = {.type = REQUEST_RESERVE};
    reserve.reserve.count = 1;
    reserve.reserve.orders = &order;
    struct slowest_answer answer = ask_slowly(&rig, &reserve, 300);
    assert_stages(&answer, 1 * MS, 2 * MS, 0, 300 * MS, 5 * MS);
    assert_int_equal(answer.type, REQUEST_RESERVE);
    assert_int_equal(answer.status, HF_OK);
    assert_int_equal(answer.orders, 1);
    assert_int_equal(answer.lines, 1);
    assert_int_equal(answer.request_bytes, 100);
    assert_int_equal(answer.answer_bytes, 50);
    assert_int_equal(answer.lsn, wal_commit_lsn(engine_wal(rig.engine)));

    /* Of the next second: a request that only reads, and that waits for nothing. */
    rig.ms += 1000;
    struct request request = {.type = REQUEST_STATUS};
    answer = ask_slowly(&rig, &request, 0);
    assert_stages(&answer, 1 * MS, 2 * MS, 0, 0, 5 * MS);
    assert_int_equal(answer.type, REQUEST_STATUS);

    /* Refused before it is started: all but the queue is DECIDE. */
    rig.ms += 1000;
    reserve.timeout_ms = 2;
    answer = ask_slowly(&rig, &reserve, 0);
    assert_stages(&answer, 1 * MS, 7 * MS, 0, 0, 0);
    assert_int_equal(answer.status, HF_BUSY);
    assert_int_equal(answer.lsn, 0);
    rig_verify(&rig);
    rig_close(&rig);
}

static unsigned stalls;

/* The disk works again 9 ms after an append began to wait. */
static void end_stall(void *context)
{
    struct rig *rig = context;
    stalls++;
    rig->ms += 9;
    sim_storage_hold(rig->storage, false);
    rig_settle(rig);
}

/* More log than there are buffers, while the disk stands still. */
static void engine_counts_waiting_for_room_as_append(void **state)
{
    (void)state;
    enum { COUNT = 30000 };
    static uint8_t ids[COUNT][ID_BYTES];
    static struct adjustment_message changes[COUNT];
    static char reason[REASON_BYTES_MAX + 1];
    struct rig rig;
    struct ask ask;
    uint64_t stage_ns[SLOWEST_STAGES];
    memset(reason, 'r', REASON_BYTES_MAX);
    for (unsigned i = 0; i < COUNT; i++) {
        id_to_bytes((struct id128){0xF1, i + 1}, ids[i]);
        changes[i] = (struct adjustment_message){.id = {ids[i], ID_BYTES},
                                                 .item = 1,
                                                 .has_delta = true,
                                                 .reason = bytes_of(reason),
                                                 .reference = bytes_of(reason)};
    }
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = COUNT;
    request.adjust.adjustments = changes;
    rig_open(&rig, MIB(32));
    define_phone(&rig, 5);
    stalls = 0;
    wal_set_stall_hook(engine_wal(rig.engine), end_stall, &rig);
    sim_storage_hold(rig.storage, true);
    assert_int_equal(ask_wait(&rig, &ask, &request)->status, HF_OK);
    assert_true(stalls > 0);
    struct slowest_answer way = engine_answer_way(&ask.call, 0, 0);
    way.received_ns = way.appended_ns - 9 * stalls * (uint64_t)MS; /* the rest takes no time here */
    way.replied_ns = way.durable_ns;
    slowest_stages(&way, stage_ns);
    assert_int_equal(stage_ns[SLOWEST_APPEND], 9 * stalls * (uint64_t)MS);
    assert_int_equal(stage_ns[SLOWEST_DECIDE], 0);
    ask_free(&ask);
    rig_close(&rig);
}

/* Each look at the clock takes a millisecond. */
static uint64_t looking_monotonic_ns(void *context)
{
    ((struct rig *)context)->ms++;
    return rig_monotonic_ns(context);
}

/* The stage of an append of so many orders, whose ids begin with `first`. */
static uint64_t append_ns_of(struct rig *rig, uint64_t first, uint32_t count)
{
    uint64_t hi[SLOWEST_TIMED_EVENTS] = {0};
    uint64_t lo[SLOWEST_TIMED_EVENTS];
    uint32_t item[SLOWEST_TIMED_EVENTS];
    uint32_t qty[SLOWEST_TIMED_EVENTS];
    uint64_t stage_ns[SLOWEST_STAGES];
    struct ask ask;
    assert_true(count <= SLOWEST_TIMED_EVENTS);
    for (uint32_t i = 0; i < count; i++) {
        lo[i] = first + i;
        item[i] = 1;
        qty[i] = 1;
    }
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    request.batch = (struct batch_message){.id_hi_count = count,
                                           .id_hi = hi,
                                           .id_lo_count = count,
                                           .id_lo = lo,
                                           .item_count = count,
                                           .item = item,
                                           .qty_count = count,
                                           .qty = qty};
    assert_int_equal(ask_wait(rig, &ask, &request)->batch.ok_count, count);
    struct slowest_answer way = engine_answer_way(&ask.call, 0, 0);
    slowest_stages(&way, stage_ns);
    ask_free(&ask);
    return stage_ns[SLOWEST_APPEND];
}

static void engine_times_the_append_of_many_records_alone(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 100);
    rig.clock.monotonic_ns = looking_monotonic_ns;
    assert_int_equal(append_ns_of(&rig, 1, SLOWEST_TIMED_EVENTS - 1), 0);
    assert_int_equal(append_ns_of(&rig, 100, SLOWEST_TIMED_EVENTS), 1 * MS);
    rig_verify(&rig);
    rig_close(&rig);
}

static unsigned pauses;

/* Others take 4 ms. */
static void pause_for_others(struct engine_call *call)
{
    pauses++;
    ((struct rig *)call->engine->clock->context)->ms += 4;
}

static void engine_counts_pauses_as_queue(void **state)
{
    (void)state;
    enum { COUNT = 4000 }; /* enough that a request pauses */
    static const uint64_t hi[COUNT];
    static uint64_t lo[COUNT];
    static uint32_t item[COUNT];
    static uint32_t qty[COUNT];
    struct rig rig;
    struct ask ask = {.call = {.done = ask_done, .pause = pause_for_others}};
    uint64_t stage_ns[SLOWEST_STAGES];
    for (unsigned i = 0; i < COUNT; i++) {
        lo[i] = i + 1;
        item[i] = 1;
        qty[i] = 1;
    }
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    request.batch = (struct batch_message){.id_hi_count = COUNT,
                                           .id_hi = hi,
                                           .id_lo_count = COUNT,
                                           .id_lo = lo,
                                           .item_count = COUNT,
                                           .item = item,
                                           .qty_count = COUNT,
                                           .qty = qty};
    rig_open(&rig, MIB(4));
    define_phone(&rig, COUNT);
    pauses = 0;
    arena_init(&ask.arena, MIB(1));
    ask.call.arena = &ask.arena;
    ask.call.received_ns = rig_monotonic_ns(&rig);
    engine_submit(rig.engine, &ask.call, &request);
    rig_settle(&rig);
    assert_true(ask.done);
    assert_true(pauses > 0);
    struct slowest_answer way = engine_answer_way(&ask.call, 0, 0);
    slowest_stages(&way, stage_ns);
    assert_int_equal(stage_ns[SLOWEST_QUEUE], 4 * pauses * (uint64_t)MS);
    assert_int_equal(stage_ns[SLOWEST_DECIDE], 0);
    ask_free(&ask);
    rig_close(&rig);
}

static void engine_tells_the_slowest_answers_to_who_asks(void **state)
{
    (void)state;
    struct rig rig;
    struct ask ask;
    struct request request = {.type = REQUEST_STATUS};
    rig_open(&rig, MIB(4));
    (void)ask_slowly(&rig, &request, 0);
    rig.ms += 2500;
    assert_int_equal(ask_wait(&rig, &ask, &request)->status_info.slowest_count, 0);
    ask_free(&ask);
    request.status.slowest = true;
    const struct response *response = ask_wait(&rig, &ask, &request);
    assert_int_equal(response->status_info.slowest_count, 1);
    const struct slow_answer_message *slow = &response->status_info.slowest[0];
    assert_int_equal(slow->at_ms, response->status_info.wall_ms - 2500);
    assert_int_equal(slow->request.len, 6);
    assert_memory_equal(slow->request.data, "status", 6);
    assert_int_equal(slow->status, HF_OK);
    assert_int_equal(slow->queue_ns, 1 * MS);
    assert_int_equal(slow->decide_ns, 2 * MS);
    assert_int_equal(slow->append_ns, 0);
    assert_int_equal(slow->sync_ns, 0);
    assert_int_equal(slow->reply_ns, 5 * MS);
    assert_int_equal(slow->request_bytes, 100);
    assert_int_equal(slow->answer_bytes, 50);
    ask_free(&ask);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slowest_keeps_the_worst_of_each_second_the_newest_first),
        cmocka_unit_test(slowest_keeps_what_is_a_part_slower_and_no_less),
        cmocka_unit_test(slowest_forgets_what_is_sixty_seconds_old),
        cmocka_unit_test(slowest_takes_a_late_note_for_its_own_second),
        cmocka_unit_test(slowest_does_not_wait_for_the_lock),
        cmocka_unit_test(slowest_notes_the_first_of_a_run_at_its_end),
        cmocka_unit_test(slowest_stages_add_up_to_the_whole),
        cmocka_unit_test(slowest_describes_requests),
        cmocka_unit_test(slowest_keeps_whole_answers_beside_others),
        cmocka_unit_test(engine_stamps_the_stages_of_a_request),
        cmocka_unit_test(engine_counts_waiting_for_room_as_append),
        cmocka_unit_test(engine_times_the_append_of_many_records_alone),
        cmocka_unit_test(engine_counts_pauses_as_queue),
        cmocka_unit_test(engine_tells_the_slowest_answers_to_who_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
