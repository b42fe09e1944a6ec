/* slowest.c - the slowest answer of each second.
 *
 * Threads: any. `newest` and `bar_ns` change under the lock. Who sees a second in `newest`
 * (acquire) does not see the bar of an earlier one: the bar is lowered before the second is named.
 * Only a thread that is held up between its two readings, while the second ends, may compare with a
 * later second's bar, and leave out an answer. */
#include "server/slowest.h"

#include <stdbool.h>

#include "base/check.h"

#define SECOND_NS  1000000000u
#define LOCK_TRIES 16u

/* ---- What a request is ---- */

static uint32_t order_lines(const struct request *request)
{
    uint32_t lines = 0;
    for (uint32_t i = 0; i < request->reserve.count; i++) {
        lines += request->reserve.orders[i].line_count;
    }
    return lines;
}

static uint32_t edit_lines(const struct request *request)
{
    uint32_t lines = 0;
    for (uint32_t i = 0; i < request->edit.count; i++) {
        lines += request->edit.edits[i].line_count;
    }
    return lines;
}

void slowest_describe(struct slowest_answer *answer, const struct request *request)
{
    *answer = (struct slowest_answer){.type = request->type};
    switch (request->type) {
    case REQUEST_RESERVE:
        answer->orders = request->reserve.count;
        answer->lines = order_lines(request);
        break;
    case REQUEST_COMMIT:
    case REQUEST_RELEASE:
    case REQUEST_RETURN:
        answer->orders = request->edit.count;
        answer->lines = edit_lines(request);
        break;
    case REQUEST_RESERVE_BATCH:
    case REQUEST_COMMIT_BATCH:
    case REQUEST_RELEASE_BATCH:
        answer->orders = request->batch.id_hi_count;
        answer->lines = request->batch.item_count;
        break;
    case REQUEST_EXTEND:
    case REQUEST_GET_ORDER:
        answer->orders = 1;
        break;
    case REQUEST_GET_STOCK:
        answer->orders = request->get_stock.item_count + request->get_stock.sku_count;
        break;
    case REQUEST_GET_SKUS:
        answer->orders = request->get_skus.count;
        break;
    case REQUEST_DEFINE:
        answer->orders = request->define.sku_count + request->define.item_count;
        break;
    case REQUEST_ADJUST:
        answer->orders = request->adjust.count;
        break;
    case REQUEST_NONE:
    case REQUEST_LIST_STOCK:
    case REQUEST_LIST_ORDERS:
    case REQUEST_STATUS:
        break;
    }
}

/* ---- Keeping ---- */

static uint64_t between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

static uint64_t total_ns(const struct slowest_answer *answer)
{
    return between(answer->received_ns, answer->replied_ns);
}

static uint64_t bar_of(const struct slowest_answer *answer)
{
    return total_ns(answer) + total_ns(answer) / SLOWEST_PART;
}

/* The number that stands for an answer's second. */
static uint64_t second_of(uint64_t ns)
{
    return ns / SECOND_NS + 1;
}

static bool try_lock(struct slowest *slowest)
{
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (spin_try_lock(&slowest->lock)) {
            return true;
        }
        spin_pause(0);
    }
    return false;
}

/* The lock is held. */
static void keep(struct slowest *slowest, const struct slowest_answer *answer)
{
    uint64_t number = second_of(answer->replied_ns);
    struct slowest_second *second = &slowest->seconds[number % SLOWEST_SECONDS];
    if (second->number > number ||
        (second->number == number && total_ns(answer) <= bar_of(&second->answer))) {
        return;
    }
    second->number = number;
    second->answer = *answer;
    /* relaxed: it changes under the lock. */
    uint64_t newest = atomic_load_explicit(&slowest->newest, memory_order_relaxed);
    if (number < newest) {
        return; /* this thread was held up since: the bar is a later second's */
    }
    /* relaxed: a bar that is raised late lets one more try. A bar that is lowered is seen with the
     * new second: release pairs with the acquire in slowest_note. */
    if (number > newest) {
        atomic_store_explicit(&slowest->bar_ns, 0, memory_order_relaxed);
        atomic_store_explicit(&slowest->newest, number, memory_order_release);
    }
    atomic_store_explicit(&slowest->bar_ns, bar_of(answer), memory_order_relaxed);
}

void slowest_note(struct slowest *slowest, const struct slowest_answer *answer)
{
    CHECK(answer->received_ns > 0);
    /* acquire: pairs with the release in keep(): the bar is that second's, or a later one's. */
    uint64_t newest = atomic_load_explicit(&slowest->newest, memory_order_acquire);
    if (second_of(answer->replied_ns) == newest &&
        total_ns(answer) <= atomic_load_explicit(&slowest->bar_ns, memory_order_relaxed)) {
        return;
    }
    if (try_lock(slowest)) {
        keep(slowest, answer);
        spin_unlock(&slowest->lock);
    }
}

/* ---- Runs ---- */

/* This thread's run. */
static _Thread_local struct {
    bool on;
    bool any;
    struct slowest_answer first; /* of its answers, that which was received first */
} run;

void slowest_answered(struct slowest *slowest, const struct clock *clock,
                      struct slowest_answer *answer)
{
    if (!run.on) {
        answer->replied_ns = clock_monotonic_ns(clock);
        slowest_note(slowest, answer);
    } else if (!run.any || answer->received_ns < run.first.received_ns) {
        run.any = true;
        run.first = *answer;
    }
}

void slowest_run_begin(void)
{
    CHECK(!run.on);
    run.on = true;
    run.any = false;
}

void slowest_run_end(struct slowest *slowest, const struct clock *clock)
{
    CHECK(run.on);
    run.on = false;
    if (run.any) {
        slowest_answered(slowest, clock, &run.first);
    }
}

/* ---- Reading ---- */

unsigned slowest_read(struct slowest *slowest, uint64_t now_ns,
                      struct slowest_answer answers[SLOWEST_SECONDS])
{
    unsigned count = 0;
    uint64_t number = second_of(now_ns);
    for (unsigned i = 0; i < SLOWEST_SECONDS && number > 0; i++, number--) {
        const struct slowest_second *second = &slowest->seconds[number % SLOWEST_SECONDS];
        /* One at a time: who keeps an answer does not wait for sixty copies. */
        spin_lock(&slowest->lock);
        if (second->number == number) {
            answers[count++] = second->answer;
        }
        spin_unlock(&slowest->lock);
    }
    return count;
}

void slowest_stages(const struct slowest_answer *answer, uint64_t stage_ns[SLOWEST_STAGES])
{
    uint64_t begun_ns = answer->begun_ns ? answer->begun_ns : answer->received_ns;
    uint64_t appended_ns = answer->appended_ns ? answer->appended_ns : answer->replied_ns;
    uint64_t durable_ns = answer->durable_ns ? answer->durable_ns : appended_ns;
    stage_ns[SLOWEST_QUEUE] = between(answer->received_ns, begun_ns) + answer->paused_ns;
    stage_ns[SLOWEST_DECIDE] =
        between(begun_ns + answer->paused_ns + answer->append_ns, appended_ns);
    stage_ns[SLOWEST_APPEND] = answer->append_ns;
    stage_ns[SLOWEST_SYNC] = between(appended_ns, durable_ns);
    stage_ns[SLOWEST_REPLY] = between(durable_ns, answer->replied_ns);
}
