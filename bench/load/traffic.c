/* traffic.c - messages that go round.
 *
 * A message belongs to one thread at a time: in the idle or the waiting list of its lane to whoever
 * takes it out under the lane's lock; under way to the client library, whose callback gets it. The
 * ledger's bytes of its orders belong to it.
 *
 * Threads: the caller's (drive), and the client library's (callbacks). Lane locks are spin locks:
 * nothing under them makes a system call. Atomics are relaxed unless a comment says more: they are
 * counters and hints; messages are handed over by locks. */
#include "load/traffic.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/spin.h"
#include "load/pause.h"
#include "load/report.h"

#define NAP_NS UINT64_C(1000000) /* the caller's thread looks around so often */
/* Open loop sends what is due together, at most so late: a thread that wakes for each message of a
 * high rate takes a large share of a processor from the engine beside it. Latency counts from when
 * a message was due, so it is in the figures. */
#define NAP_NS_MIN      UINT64_C(200000)
#define WINDOW_NS       UINT64_C(250000000)
#define END_GRACE_NS    UINT64_C(20000000) /* for what was due just before the end to leave */
#define WINDOW_ORDERS   5000u              /* answers that tell whether demand still finds units */
#define METERS_MAX      16u
#define SWEEP_EACH_MAX  4096u
#define SWEEP_ROUND_MAX (1u << 20)
#define SENT_MARK_MS    100u

enum step { STEP_RESERVE, STEP_COMMIT, STEP_RELEASE };

struct message {
    struct lane *lane;
    struct message *next;
    enum step step;
    uint32_t count; /* orders of the present step that have no final answer yet */
    bool counted;   /* due after the warm-up */
    uint64_t due_ns;
    uint64_t since_ns; /* the present step was first sent */
    uint64_t retry_at_ns;
    uint64_t *reserve; /* order numbers, which are the lower halves of ids */
    uint64_t *commit;
    uint64_t *release;
    uint32_t commit_count;
    uint32_t release_count;
    uint64_t *buyer; /* columns of the orders in `reserve` */
    uint32_t *item;
    uint32_t *qty;
    uint32_t *index;
    uint8_t *then;
};

/* What lanes count in. Lanes may be thousands and histograms are large, so lanes share meters. */
struct meter {
    _Alignas(CACHE_LINE_BYTES) struct spin lock; /* of all below */
    uint64_t retries;
    struct tally all;
    struct tally measured;
    struct histogram reserve;
    struct histogram follow;
};

struct lane {
    _Alignas(CACHE_LINE_BYTES) struct spin lock; /* of the lists */
    struct message *idle;
    struct message *waiting; /* to be sent again at retry_at_ns */
    struct message *parked;  /* to be sent when the client library has room */
    uint32_t idle_count;
    /* Below: set once. */
    struct meter *meter;
    struct traffic *traffic;
    struct hf_client *client;
    struct message *messages;
};

struct traffic {
    const struct load_options *options;
    const struct stockroom *room;
    struct demand *demand;
    struct ledger ledger;
    struct lane *lanes;
    uint32_t lane_count;
    struct meter *meters;
    uint32_t meter_count;
    uint64_t give_up_ns;
    uint64_t run_hi; /* upper half of every id of this run */
    uint64_t *id_hi; /* it, `batch` times: a column */
    void *columns;   /* memory of all messages' columns */

    _Atomic(uint32_t) *sold_out_qty; /* by item */
    _Atomic(uint8_t) *marks;         /* by item: ITEM_CLOSED, ITEM_SWEPT */
    atomic_uint items_done;          /* refused one unit, or closed */

    _Alignas(CACHE_LINE_BYTES) _Atomic(uint64_t) next; /* order number to be sent next */
    _Atomic(uint64_t) limit;                           /* and the first that may not be */
    atomic_bool stopping;
    atomic_bool gave_up;
    _Atomic(uint64_t) measure_from_ns;
    uint64_t sweep_first; /* from this number on nothing is given back; UINT64_MAX: not yet */
    /* Pace; changed only while nothing is under way. */
    bool paced; /* else as fast as answers come */
    struct schedule schedule;
    uint64_t pace_ns; /* order pace_number is due at this time: the schedule's start */
    uint64_t pace_number;

    /* Messages in lists that the caller's thread looks through: so that it need not look at
     * thousands of lanes for nothing. Hints, but never less than there are. */
    _Alignas(CACHE_LINE_BYTES) atomic_uint idle_messages;
    atomic_uint late_messages; /* waiting and parked */
    uint32_t next_lane;        /* the caller's thread's: the lane to start a message of next */

    _Alignas(CACHE_LINE_BYTES) _Atomic(uint64_t) last_answer_ns;
    _Atomic(uint64_t) stall_ns;

    pthread_mutex_t error_lock;
    char error[TRAFFIC_ERROR_BYTES];

    /* The caller's thread's. */
    struct report_ticker ticker;
    bool ended; /* the figures */
    uint64_t unsent;
    struct timeline timeline; /* windows NULL: not wanted, or not begun */
    struct cost cost_before;
    struct cost cost_after;
    struct sent_mark *sent; /* ascending */
    size_t sent_count;
    size_t sent_room;
};

enum { ITEM_CLOSED = 1, ITEM_SWEPT = 2 };

/* The numbers below `next` had been given out at a time, and no others. */
struct sent_mark {
    uint64_t next;
    uint64_t unix_ms;
};

static void message_go_on(struct message *message);

/* ---- Small parts ---- */

static void add_tally(struct tally *into, const struct tally *from)
{
    into->ok += from->ok;
    into->sold_out += from->sold_out;
    into->refused += from->refused;
    into->failed += from->failed;
    into->committed += from->committed;
    into->released += from->released;
    into->expired += from->expired;
}

/* text: what came with this very status; "": nothing. Never the text of another call. */
static void note_error(struct traffic *traffic, const char *what, enum hf_status status,
                       const char *text)
{
    CHECK(pthread_mutex_lock(&traffic->error_lock) == 0);
    if (traffic->error[0] == '\0') {
        char message[LINK_MESSAGE_BYTES];
        snprintf(traffic->error, sizeof traffic->error, "%s: %s: %.200s", what,
                 hf_status_name(status), link_reason(status, text, message));
    }
    CHECK(pthread_mutex_unlock(&traffic->error_lock) == 0);
}

static void note_answer(struct traffic *traffic, uint64_t now_ns)
{
    uint64_t before =
        atomic_exchange_explicit(&traffic->last_answer_ns, now_ns, memory_order_relaxed);
    uint64_t from = atomic_load_explicit(&traffic->measure_from_ns, memory_order_relaxed);
    before = before > from ? before : from; /* a wait in the warm-up is not counted */
    uint64_t gap = now_ns > before ? now_ns - before : 0;
    uint64_t most = atomic_load_explicit(&traffic->stall_ns, memory_order_relaxed);
    while (gap > most &&
           !atomic_compare_exchange_weak_explicit(&traffic->stall_ns, &most, gap,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void lane_put_idle(struct lane *lane, struct message *message)
{
    spin_lock(&lane->lock);
    message->next = lane->idle;
    lane->idle = message;
    lane->idle_count++;
    atomic_fetch_add_explicit(&lane->traffic->idle_messages, 1, memory_order_relaxed);
    spin_unlock(&lane->lock);
}

static struct message *lane_take_idle(struct lane *lane)
{
    spin_lock(&lane->lock);
    struct message *message = lane->idle;
    if (message) {
        lane->idle = message->next;
        lane->idle_count--;
        atomic_fetch_sub_explicit(&lane->traffic->idle_messages, 1, memory_order_relaxed);
    }
    spin_unlock(&lane->lock);
    return message;
}

/* To be sent again a little later. */
static void lane_put_waiting(struct message *message)
{
    struct lane *lane = message->lane;
    message->retry_at_ns = pause_now_ns() + LINK_RETRY_NS;
    if (message->counted) {
        spin_lock(&lane->meter->lock);
        lane->meter->retries++;
        spin_unlock(&lane->meter->lock);
    }
    spin_lock(&lane->lock);
    message->next = lane->waiting;
    lane->waiting = message;
    atomic_fetch_add_explicit(&lane->traffic->late_messages, 1, memory_order_relaxed);
    spin_unlock(&lane->lock);
}

/* To be sent as soon as the client library has room: while a callback runs its message still counts
 * as under way, so the last one of all can't send from its own callback. The next callback does it,
 * or the caller's thread. */
static void lane_park(struct message *message)
{
    struct lane *lane = message->lane;
    spin_lock(&lane->lock);
    message->next = lane->parked;
    lane->parked = message;
    atomic_fetch_add_explicit(&lane->traffic->late_messages, 1, memory_order_relaxed);
    spin_unlock(&lane->lock);
}

static struct message *lane_unpark(struct lane *lane)
{
    spin_lock(&lane->lock);
    struct message *message = lane->parked;
    if (message) {
        lane->parked = message->next;
        atomic_fetch_sub_explicit(&lane->traffic->late_messages, 1, memory_order_relaxed);
    }
    spin_unlock(&lane->lock);
    return message;
}

/* ---- News of items ---- */

static void mark_item(struct traffic *traffic, uint32_t index, uint8_t mark)
{
    uint8_t before = atomic_fetch_or_explicit(&traffic->marks[index], mark, memory_order_relaxed);
    if (mark == ITEM_CLOSED && !(before & ITEM_CLOSED)) {
        atomic_fetch_add_explicit(&traffic->items_done, 1, memory_order_relaxed);
    }
}

static void note_sold_out(struct traffic *traffic, uint32_t index, uint32_t qty, uint64_t number)
{
    uint32_t least = atomic_load_explicit(&traffic->sold_out_qty[index], memory_order_relaxed);
    while (qty < least &&
           !atomic_compare_exchange_weak_explicit(&traffic->sold_out_qty[index], &least, qty,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    if (qty == 1 && least > 1) {
        atomic_fetch_add_explicit(&traffic->items_done, 1, memory_order_relaxed);
    }
    if (number >= traffic->sweep_first) {
        mark_item(traffic, index, ITEM_SWEPT);
    }
}

/* ---- Sending ---- */

/* Columns of the orders in message->reserve. */
static void fill_columns(struct message *message)
{
    const struct traffic *traffic = message->lane->traffic;
    for (uint32_t i = 0; i < message->count; i++) {
        struct wish wish = demand_wish(traffic->demand, message->reserve[i]);
        message->index[i] = wish.index;
        message->item[i] = traffic->room->handles[wish.index];
        message->qty[i] = wish.qty;
        message->buyer[i] = wish.buyer;
        message->then[i] = (uint8_t)wish.then;
    }
}

static uint64_t due_ns_of(const struct traffic *traffic, uint64_t number)
{
    double due_s = schedule_due_s(&traffic->schedule, number - traffic->pace_number);
    return traffic->pace_ns + (uint64_t)(due_s * 1e9);
}

/* Takes new order numbers; false when there are none, or none that is due. */
static bool message_claim(struct message *message)
{
    struct traffic *traffic = message->lane->traffic;
    if (atomic_load_explicit(&traffic->stopping, memory_order_relaxed)) {
        return false;
    }
    uint64_t now = pause_now_ns();
    uint64_t due = now;
    uint64_t first = atomic_load_explicit(&traffic->next, memory_order_relaxed);
    uint64_t count;
    do {
        uint64_t limit = atomic_load_explicit(&traffic->limit, memory_order_relaxed);
        if (first >= limit) {
            return false;
        }
        if (traffic->paced) {
            due = due_ns_of(traffic, first);
            if (due > now) {
                return false;
            }
        }
        count = limit - first < traffic->options->batch ? limit - first : traffic->options->batch;
    } while (!atomic_compare_exchange_weak_explicit(&traffic->next, &first, first + count,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (!ledger_reserve(&traffic->ledger, first, count)) {
        note_error(traffic, "the ledger of orders", HF_NO_MEMORY, "");
        atomic_store_explicit(&traffic->limit, 0, memory_order_relaxed);
        atomic_store_explicit(&traffic->stopping, true, memory_order_relaxed);
        return false;
    }
    message->step = STEP_RESERVE;
    message->count = (uint32_t)count;
    message->commit_count = 0;
    message->release_count = 0;
    message->due_ns = due;
    message->since_ns = now;
    message->counted = due >= atomic_load_explicit(&traffic->measure_from_ns, memory_order_relaxed);
    for (uint64_t i = 0; i < count; i++) {
        message->reserve[i] = first + i;
        ledger_set(&traffic->ledger, first + i, FATE_UNKNOWN);
    }
    fill_columns(message);
    return true;
}

static void batch_done(void *user, enum hf_status status, const struct hf_batch_result *result);

static enum hf_status send_columns(struct message *message)
{
    struct hf_client *client = message->lane->client;
    struct traffic *traffic = message->lane->traffic;
    switch (message->step) {
    case STEP_RESERVE: {
        struct hf_batch batch = {
            .count = message->count,
            .id_hi = traffic->id_hi,
            .id_lo = message->reserve,
            .buyer = message->buyer,
            .item = message->item,
            .qty = traffic->options->qty_max > 1 ? message->qty : NULL,
            .hold_ms = traffic->options->hold_ms,
        };
        return hf_reserve_batch_async(client, &batch, batch_done, message);
    }
    case STEP_COMMIT:
        return hf_commit_batch_async(client, message->count, traffic->id_hi, message->commit,
                                     batch_done, message);
    default:
        return hf_release_batch_async(client, message->count, traffic->id_hi, message->release,
                                      batch_done, message);
    }
}

/* The present step could not be carried out and will not be tried again: its orders keep what the
 * ledger says, unless the engine said a plain no. */
static void abandon_step(struct message *message, enum hf_status status, const char *text)
{
    struct traffic *traffic = message->lane->traffic;
    static const char *const names[] = {"reserve", "commit", "release"};
    note_error(traffic, names[message->step], status, text);
    if (link_is_transient(status) || status == HF_CANCELED) {
        atomic_store_explicit(&traffic->gave_up, true, memory_order_relaxed);
        atomic_store_explicit(&traffic->stopping, true, memory_order_relaxed);
        message->commit_count = 0;
        message->release_count = 0;
        message->count = 0;
        return;
    }
    uint64_t *numbers = message->step == STEP_RESERVE  ? message->reserve
                        : message->step == STEP_COMMIT ? message->commit
                                                       : message->release;
    enum fate fate = message->step == STEP_RESERVE ? FATE_FAILED : FATE_HELD;
    for (uint32_t i = 0; i < message->count; i++) {
        ledger_set(&traffic->ledger, numbers[i], fate);
    }
    struct meter *meter = message->lane->meter;
    spin_lock(&meter->lock);
    meter->all.failed += message->count;
    meter->measured.failed += message->counted ? message->count : 0;
    spin_unlock(&meter->lock);
    message->count = 0;
}

/* Sends the present step, or sees to it that it is sent later. */
static void message_send(struct message *message)
{
    CHECK(message->count > 0);
    enum hf_status status = send_columns(message);
    if (status == HF_OK) {
        return; /* it may be back already */
    }
    if (status == HF_BUSY) {
        lane_park(message);
        return;
    }
    abandon_step(message, status, hf_last_message());
    /* Not message_go_on(): what can't be sent now would call itself for order after order. */
    lane_put_idle(message->lane, message);
}

/* ---- Answers ---- */

/* What an answer says about one order of it: a text goes with malformed orders and with limits of
 * the engine; any other status has none of its own. */
static const char *order_text(enum hf_status status, const char *text)
{
    return status == HF_INVALID || status == HF_UNKNOWN_ITEM || status == HF_FULL ? text : "";
}

/* Final answers leave the message; the rest is moved to its front. text: the answer's. Returns how
 * many are left. */
static uint32_t settle_reserve(struct message *message, const uint32_t *statuses, const char *text,
                               struct tally *tally)
{
    struct traffic *traffic = message->lane->traffic;
    uint32_t left = 0;
    for (uint32_t i = 0; i < message->count; i++) {
        uint64_t number = message->reserve[i];
        enum hf_status status = statuses ? (enum hf_status)statuses[i] : HF_OK;
        if (status == HF_OK) {
            ledger_set(&traffic->ledger, number, FATE_HELD);
            tally->ok++;
            if (message->then[i] == THEN_COMMIT) {
                message->commit[message->commit_count++] = number;
            } else if (message->then[i] == THEN_RELEASE) {
                message->release[message->release_count++] = number;
            }
        } else if (status == HF_SOLD_OUT) {
            ledger_set(&traffic->ledger, number, FATE_SOLD_OUT);
            tally->sold_out++;
            note_sold_out(traffic, message->index[i], message->qty[i], number);
        } else if (link_is_transient(status)) {
            message->reserve[left++] = number;
        } else if (status == HF_NOT_OPEN || status == HF_CLOSED || status == HF_PAUSED ||
                   status == HF_LIMIT_EXCEEDED || status == HF_BUYER_REQUIRED) {
            ledger_set(&traffic->ledger, number, FATE_REFUSED);
            tally->refused++;
            if (status != HF_LIMIT_EXCEEDED && status != HF_BUYER_REQUIRED) {
                mark_item(traffic, message->index[i], ITEM_CLOSED);
            }
        } else {
            ledger_set(&traffic->ledger, number, FATE_FAILED);
            tally->failed++;
            note_error(traffic, "reserve", status, order_text(status, text));
        }
    }
    return left;
}

/* Whether orders that this commit or release ended when it was first sent may be forgotten by now.
 */
static bool may_have_been_forgotten(const struct message *message)
{
    double retain_s = message->lane->traffic->options->retain_s;
    return retain_s > 0 && (double)(pause_now_ns() - message->since_ns) >= retain_s * 1e9;
}

/* The same for commits and releases. */
static uint32_t settle_follow(struct message *message, uint64_t *numbers, const uint32_t *statuses,
                              const char *text, struct tally *tally)
{
    struct traffic *traffic = message->lane->traffic;
    bool is_commit = message->step == STEP_COMMIT;
    uint32_t left = 0;
    for (uint32_t i = 0; i < message->count; i++) {
        uint64_t number = numbers[i];
        enum hf_status status = statuses ? (enum hf_status)statuses[i] : HF_OK;
        if (status == HF_OK) {
            ledger_set(&traffic->ledger, number, is_commit ? FATE_COMMITTED : FATE_RELEASED);
            tally->committed += is_commit;
            tally->released += !is_commit;
        } else if (link_is_transient(status)) {
            numbers[left++] = number;
        } else if (status == HF_EXPIRED) {
            ledger_set(&traffic->ledger, number, FATE_EXPIRED);
            tally->expired++;
        } else {
            /* The engine contradicts itself: it said OK to the reserve. The oracle will look. But
             * it may have done this when it was first asked, and have forgotten the order since:
             * then what became of it stays unknown. */
            if (status != HF_NOT_FOUND || !may_have_been_forgotten(message)) {
                ledger_set(&traffic->ledger, number, FATE_HELD);
            }
            tally->failed++;
            note_error(traffic, is_commit ? "commit" : "release", status, order_text(status, text));
        }
    }
    return left;
}

static void count_answers(struct message *message, const struct tally *tally, bool complete,
                          uint64_t now_ns)
{
    struct meter *meter = message->lane->meter;
    bool is_reserve = message->step == STEP_RESERVE;
    uint64_t from_ns = is_reserve ? message->due_ns : message->since_ns;
    spin_lock(&meter->lock);
    add_tally(&meter->all, tally);
    if (message->counted) {
        add_tally(&meter->measured, tally);
        if (complete) {
            histogram_add(is_reserve ? &meter->reserve : &meter->follow, now_ns - from_ns);
        }
    }
    spin_unlock(&meter->lock);
}

/* The message is back, one way or the other. text: what came with the status. */
static void message_answered(struct message *message, enum hf_status status,
                             const uint32_t *statuses, const char *text)
{
    struct traffic *traffic = message->lane->traffic;
    uint64_t now = pause_now_ns();
    if (status == HF_OK) {
        note_answer(traffic, now);
        struct tally tally = {0};
        uint32_t left;
        if (message->step == STEP_RESERVE) {
            left = settle_reserve(message, statuses, text, &tally);
        } else {
            left = settle_follow(message,
                                 message->step == STEP_COMMIT ? message->commit : message->release,
                                 statuses, text, &tally);
        }
        count_answers(message, &tally, left == 0, now);
        message->count = left;
        status = left > 0 ? HF_BUSY : HF_OK;
        text = "";
        if (left > 0 && message->step == STEP_RESERVE) {
            fill_columns(message);
        }
    }
    if (link_is_transient(status) && now - message->since_ns <= traffic->give_up_ns) {
        lane_put_waiting(message);
        return;
    }
    if (status != HF_OK) {
        abandon_step(message, status, text);
    }
    message_go_on(message);
}

/* The present step is over: the next one, or new orders, or rest. */
static void message_go_on(struct message *message)
{
    struct lane *lane = message->lane;
    struct ledger *ledger = &lane->traffic->ledger;
    CHECK(message->count == 0);
    if (message->step < STEP_COMMIT && message->commit_count > 0) {
        message->step = STEP_COMMIT;
        message->count = message->commit_count;
        for (uint32_t i = 0; i < message->count; i++) {
            ledger_set(ledger, message->commit[i], FATE_COMMIT_UNKNOWN);
        }
    } else if (message->step < STEP_RELEASE && message->release_count > 0) {
        message->step = STEP_RELEASE;
        message->count = message->release_count;
        for (uint32_t i = 0; i < message->count; i++) {
            ledger_set(ledger, message->release[i], FATE_RELEASE_UNKNOWN);
        }
    } else if (!message_claim(message)) {
        lane_put_idle(lane, message);
        return;
    }
    message->since_ns = message->step == STEP_RESERVE ? message->since_ns : pause_now_ns();
    message_send(message);
}

static void batch_done(void *user, enum hf_status status, const struct hf_batch_result *result)
{
    struct message *message = user;
    if (status == HF_OK) {
        CHECK(result->count == message->count);
    }
    const uint32_t *statuses = status == HF_OK ? result->status : NULL;
    /* The library's text is copied before the next call replaces it. */
    char text[HF_MESSAGE_BYTES] = "";
    if (status != HF_OK || statuses) {
        snprintf(text, sizeof text, "%s", hf_last_message());
    }
    struct message *parked = lane_unpark(message->lane);
    if (parked) {
        message_send(parked);
    }
    message_answered(message, status, statuses, text);
}

/* ---- The caller's thread ---- */

/* Sends again what is due. */
static void resend_waiting(struct traffic *traffic)
{
    uint64_t now = pause_now_ns();
    if (atomic_load_explicit(&traffic->late_messages, memory_order_relaxed) == 0) {
        return;
    }
    for (uint32_t i = 0; i < traffic->lane_count; i++) {
        struct lane *lane = &traffic->lanes[i];
        struct message *due = NULL;
        spin_lock(&lane->lock);
        struct message **at = &lane->waiting;
        while (*at) {
            struct message *message = *at;
            if (message->retry_at_ns <= now) {
                *at = message->next;
                message->next = due;
                due = message;
                atomic_fetch_sub_explicit(&traffic->late_messages, 1, memory_order_relaxed);
            } else {
                at = &message->next;
            }
        }
        spin_unlock(&lane->lock);
        while (due) {
            struct message *message = due;
            due = message->next;
            message_send(message);
        }
        struct message *parked = lane_unpark(lane);
        if (parked) {
            message_send(parked);
        }
    }
}

static bool all_claimed(const struct traffic *traffic)
{
    return atomic_load_explicit(&traffic->next, memory_order_relaxed) >=
           atomic_load_explicit(&traffic->limit, memory_order_relaxed);
}

/* Starts idle messages, one of each lane in turn; the next time it goes on with the next lane, so
 * that all connections get their share of a pace that few of them could keep. */
static void start_idle(struct traffic *traffic)
{
    uint32_t empty_lanes = 0;
    while (empty_lanes < traffic->lane_count &&
           atomic_load_explicit(&traffic->idle_messages, memory_order_relaxed) > 0) {
        struct lane *lane = &traffic->lanes[traffic->next_lane];
        struct message *message = lane_take_idle(lane);
        if (message && !message_claim(message)) {
            lane_put_idle(lane, message);
            return;
        }
        traffic->next_lane = (traffic->next_lane + 1) % traffic->lane_count;
        if (message) {
            message_send(message);
            empty_lanes = 0;
        } else {
            empty_lanes++;
        }
    }
}

static bool is_quiet(struct traffic *traffic)
{
    for (uint32_t i = 0; i < traffic->lane_count; i++) {
        struct lane *lane = &traffic->lanes[i];
        spin_lock(&lane->lock);
        bool idle = lane->idle_count == traffic->options->in_flight;
        spin_unlock(&lane->lock);
        if (!idle) {
            return false;
        }
    }
    return true;
}

/* Until the next order is due, within the bounds of a nap. */
static void nap(const struct traffic *traffic)
{
    uint64_t nap_ns = NAP_NS;
    if (traffic->paced && !all_claimed(traffic)) {
        uint64_t due = due_ns_of(traffic, traffic_next_number(traffic));
        uint64_t now = pause_now_ns();
        uint64_t left_ns = due > now ? due - now : 0;
        nap_ns = left_ns < NAP_NS_MIN ? NAP_NS_MIN : left_ns < NAP_NS ? left_ns : NAP_NS;
    }
    pause_ns(nap_ns);
}

/* Until when to go on. */
struct goal {
    uint64_t
        warm_until_ns; /* then the figures begin and `orders` are counted; 0: they have begun */
    uint64_t orders;   /* after the warm-up; 0: no bound */
    uint64_t end_ns;   /* 0: no bound */
    bool until_spent;  /* until little of the demand still finds units */
    uint64_t window_ns;
    struct tally window;
};

static uint64_t answers_of(const struct tally *tally)
{
    return tally->ok + tally->sold_out + tally->refused + tally->failed;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void read_cost(struct cost *cost, uint64_t orders)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    *cost = (struct cost){
        .user_s = seconds_of(usage.ru_utime),
        .system_s = seconds_of(usage.ru_stime),
        .wall_s = (double)pause_now_ns() / 1e9,
        .orders = orders,
        .max_rss_kib = (uint64_t)usage.ru_maxrss,
    };
}

static struct cost cost_between(const struct cost *before, const struct cost *after)
{
    return (struct cost){
        .user_s = after->user_s - before->user_s,
        .system_s = after->system_s - before->system_s,
        .wall_s = after->wall_s - before->wall_s,
        .orders = after->orders - before->orders,
        .max_rss_kib = after->max_rss_kib,
    };
}

/* The warm-up is over. */
static void begin_figures(struct traffic *traffic)
{
    uint64_t answers = 0;
    for (uint32_t i = 0; i < traffic->meter_count; i++) {
        spin_lock(&traffic->meters[i].lock);
        answers += answers_of(&traffic->meters[i].all);
        spin_unlock(&traffic->meters[i].lock);
    }
    read_cost(&traffic->cost_before, answers);
    if (traffic->options->report &&
        !timeline_init(&traffic->timeline,
                       atomic_load_explicit(&traffic->measure_from_ns, memory_order_relaxed))) {
        note_error(traffic, "the windows of the report", HF_NO_MEMORY, "");
    }
}

static struct timeline_counts timeline_counts_of(const struct tally *tally)
{
    return (struct timeline_counts){
        .ok = tally->ok,
        .sold_out = tally->sold_out,
        .other = tally->refused + tally->failed,
    };
}

/* The progress line and the next window, when they are due. */
static void look_at_figures(struct traffic *traffic)
{
    uint64_t now = pause_now_ns();
    bool window = traffic->timeline.windows && timeline_is_due(&traffic->timeline, now);
    bool line = report_due(&traffic->ticker);
    if (traffic->ended || (!window && !line)) {
        return;
    }
    struct figures *figures = malloc(sizeof *figures);
    if (!figures) {
        return;
    }
    traffic_figures(traffic, figures);
    if (window) {
        struct timeline_counts totals = timeline_counts_of(&figures->measured);
        timeline_add(&traffic->timeline, now, &totals, &figures->reserve);
    }
    if (line) {
        report_progress(&traffic->ticker, figures);
    }
    free(figures);
}

/* Counts what was due before the end and never left: as if it had been answered now, which is
 * sooner than it would have been. */
static void count_unsent(struct traffic *traffic)
{
    uint64_t now = pause_now_ns();
    uint64_t from = atomic_load_explicit(&traffic->measure_from_ns, memory_order_relaxed);
    uint64_t limit = atomic_load_explicit(&traffic->limit, memory_order_relaxed);
    uint64_t batch = traffic->options->batch;
    struct meter *meter = &traffic->meters[0];
    if (atomic_load_explicit(&traffic->gave_up, memory_order_relaxed)) {
        return; /* nothing could be sent, and the run says so */
    }
    spin_lock(&meter->lock);
    for (uint64_t number = traffic_next_number(traffic); number < limit; number += batch) {
        uint64_t due = due_ns_of(traffic, number);
        if (due >= from && due < now) {
            histogram_add(&meter->reserve, now - due);
            traffic->unsent += limit - number < batch ? limit - number : batch;
        }
    }
    spin_unlock(&meter->lock);
}

void traffic_end_figures(struct traffic *traffic)
{
    CHECK(!traffic->ended);
    report_ticker_stop(&traffic->ticker);
    struct figures *figures = malloc(sizeof *figures);
    uint64_t now = pause_now_ns();
    if (figures) {
        traffic_figures(traffic, figures);
        if (traffic->timeline.windows) {
            struct timeline_counts totals = timeline_counts_of(&figures->measured);
            timeline_end(&traffic->timeline, now, &totals, &figures->reserve);
        }
        read_cost(&traffic->cost_after, answers_of(&figures->all));
    }
    free(figures);
    traffic->ended = true;
}

static bool demand_is_spent(struct traffic *traffic, struct goal *goal, uint64_t now)
{
    if (atomic_load_explicit(&traffic->items_done, memory_order_relaxed) >= traffic->room->count) {
        return true;
    }
    if (now < goal->window_ns) {
        return false;
    }
    struct figures *figures = malloc(sizeof *figures);
    if (!figures) {
        return false;
    }
    traffic_figures(traffic, figures);
    const struct tally *all = &figures->all;
    uint64_t ok = all->ok - goal->window.ok;
    uint64_t answers =
        ok + all->sold_out + all->refused - goal->window.sold_out - goal->window.refused;
    bool spent = answers >= WINDOW_ORDERS && ok * 4 < answers;
    if (answers >= WINDOW_ORDERS) {
        goal->window = *all;
        goal->window_ns = now + WINDOW_NS;
    }
    free(figures);
    return spent;
}

static void watch_goal(struct traffic *traffic, struct goal *goal)
{
    uint64_t now = pause_now_ns();
    if (goal->warm_until_ns && now >= goal->warm_until_ns) {
        goal->warm_until_ns = 0;
        begin_figures(traffic);
        if (goal->orders) {
            atomic_store_explicit(&traffic->limit,
                                  atomic_load_explicit(&traffic->next, memory_order_relaxed) +
                                      goal->orders,
                                  memory_order_relaxed);
        }
    }
    uint64_t grace_ns = traffic->paced ? END_GRACE_NS : 0;
    if ((goal->end_ns && now >= goal->end_ns + grace_ns) ||
        (goal->until_spent && demand_is_spent(traffic, goal, now))) {
        atomic_store_explicit(&traffic->stopping, true, memory_order_relaxed);
    }
}

/* Notes which orders have been sent by now, so that it is known how old each of them is at least.
 */
static void note_sent(struct traffic *traffic)
{
    if (!(traffic->options->retain_s > 0)) {
        return;
    }
    uint64_t now_ms = clock_unix_ms(clock_real());
    if (traffic->sent_count > 0 &&
        now_ms < traffic->sent[traffic->sent_count - 1].unix_ms + SENT_MARK_MS) {
        return;
    }
    if (traffic->sent_count == traffic->sent_room) {
        size_t room = 2 * traffic->sent_room + 1024;
        struct sent_mark *sent = realloc(traffic->sent, room * sizeof *sent);
        if (!sent) {
            return; /* orders then count as older than they are */
        }
        traffic->sent = sent;
        traffic->sent_room = room;
    }
    traffic->sent[traffic->sent_count++] = (struct sent_mark){traffic_next_number(traffic), now_ms};
}

uint64_t traffic_not_sent_before(const struct traffic *traffic, uint64_t number)
{
    size_t low = 0;
    size_t high = traffic->sent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (traffic->sent[middle].next <= number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? traffic->sent[low - 1].unix_ms : 0;
}

/* Sends orders up to the limit, until the goal is reached and all is quiet. */
static void drive(struct traffic *traffic, struct goal *goal)
{
    /* An engine that was awaited by nobody did not stall. */
    atomic_store_explicit(&traffic->last_answer_ns, pause_now_ns(), memory_order_relaxed);
    if (atomic_load_explicit(&traffic->gave_up, memory_order_relaxed)) {
        return;
    }
    atomic_store_explicit(&traffic->stopping, false, memory_order_relaxed);
    for (;;) {
        watch_goal(traffic, goal);
        note_sent(traffic);
        resend_waiting(traffic);
        bool stopping = atomic_load_explicit(&traffic->stopping, memory_order_relaxed);
        if (!stopping) {
            start_idle(traffic);
        }
        if ((stopping || all_claimed(traffic)) && is_quiet(traffic)) {
            return;
        }
        look_at_figures(traffic);
        nap(traffic);
    }
}

void traffic_run(struct traffic *traffic)
{
    const struct load_options *options = traffic->options;
    uint64_t now = pause_now_ns();
    uint64_t measure_from = now + (uint64_t)(options->warm_up_s * 1e9);
    struct goal goal = {
        .warm_until_ns = options->warm_up_s > 0 ? measure_from : 0,
        .orders = options->orders,
        .end_ns =
            options->duration_s > 0 ? measure_from + (uint64_t)(options->duration_s * 1e9) : 0,
        .until_spent = options->until_sold_out,
        .window_ns = now + WINDOW_NS,
    };
    uint64_t limit = LEDGER_PAGES_MAX * LEDGER_PAGE_ORDERS;
    if (options->orders && !goal.warm_until_ns) {
        limit = traffic_next_number(traffic) + options->orders;
    }
    if (options->rate > 0) {
        schedule_init(&traffic->schedule, options->shape, options->rate, options->warm_up_s,
                      options->duration_s);
        traffic->paced = true;
        traffic->pace_ns = now;
        traffic->pace_number = traffic_next_number(traffic);
        if (goal.end_ns) {
            double count = schedule_count(&traffic->schedule, (double)(goal.end_ns - now) / 1e9);
            limit = traffic->pace_number + (uint64_t)count;
        }
    }
    atomic_store_explicit(&traffic->limit, limit, memory_order_relaxed);
    atomic_store_explicit(&traffic->measure_from_ns, measure_from, memory_order_relaxed);
    if (!goal.warm_until_ns) {
        begin_figures(traffic);
    }
    /* The kernel may delay a sleeper by 50 us to save power; pacing does not want that. */
    (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0, 0, 0);
    drive(traffic, &goal);
    if (traffic->paced && goal.end_ns) {
        count_unsent(traffic);
    }
    traffic->paced = false;
}

/* ---- Rounds ---- */

static bool run_round(struct traffic *traffic, enum round_kind kind, const uint32_t *indexes,
                      uint32_t index_count, uint32_t each)
{
    uint64_t first = traffic_next_number(traffic);
    if (!demand_add_round(traffic->demand, kind, first, indexes, index_count, each)) {
        note_error(traffic, "a round of orders", HF_NO_MEMORY, "");
        return false;
    }
    if (kind == ROUND_SWEEP && traffic->sweep_first == UINT64_MAX) {
        traffic->sweep_first = first;
    }
    atomic_store_explicit(&traffic->limit, first + (uint64_t)index_count * each,
                          memory_order_relaxed);
    struct goal goal = {0};
    drive(traffic, &goal);
    return all_claimed(traffic) && !atomic_load_explicit(&traffic->gave_up, memory_order_relaxed);
}

/* Keeps the items that have not refused their last order; returns how many. */
static uint32_t keep_unfinished(const struct traffic *traffic, uint32_t *indexes, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t marks = atomic_load_explicit(&traffic->marks[indexes[i]], memory_order_relaxed);
        if (!(marks & (ITEM_CLOSED | ITEM_SWEPT))) {
            indexes[kept++] = indexes[i];
        }
    }
    return kept;
}

static uint64_t count_ok(struct traffic *traffic)
{
    uint64_t ok = 0;
    for (uint32_t i = 0; i < traffic->meter_count; i++) {
        spin_lock(&traffic->meters[i].lock);
        ok += traffic->meters[i].all.ok;
        spin_unlock(&traffic->meters[i].lock);
    }
    return ok;
}

void traffic_sell_out(struct traffic *traffic)
{
    uint32_t count = traffic->room->count;
    uint32_t *indexes = malloc((size_t)count * sizeof *indexes);
    if (!indexes) {
        note_error(traffic, "selling what is left", HF_NO_MEMORY, "");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        indexes[i] = i;
    }
    uint32_t each = 1;
    while ((count = keep_unfinished(traffic, indexes, count)) > 0) {
        uint64_t ok_before = count_ok(traffic);
        uint32_t before = count;
        if (!run_round(traffic, ROUND_SWEEP, indexes, count, each)) {
            break;
        }
        if (count_ok(traffic) == ok_before && keep_unfinished(traffic, indexes, count) == before) {
            note_error(traffic, "selling what is left: items neither sell nor are sold out",
                       HF_INTERNAL, "");
            break;
        }
        each = each * 2 <= SWEEP_EACH_MAX && (uint64_t)each * 2 * count <= SWEEP_ROUND_MAX
                   ? each * 2
                   : each;
    }
    free(indexes);
}

bool traffic_probe(struct traffic *traffic, const uint32_t *indexes, uint32_t index_count,
                   uint64_t *first)
{
    *first = traffic_next_number(traffic);
    return run_round(traffic, ROUND_PROBE, indexes, index_count, 1);
}

/* ---- Opening, closing, reading ---- */

/* Meters shared by the lanes: one for each of a few lanes, a bounded number for thousands. */
static bool open_meters(struct traffic *traffic)
{
    uint32_t count = traffic->lane_count < METERS_MAX ? traffic->lane_count : METERS_MAX;
    traffic->meters = aligned_alloc(CACHE_LINE_BYTES, count * sizeof *traffic->meters);
    if (!traffic->meters) {
        return false;
    }
    memset(traffic->meters, 0, count * sizeof *traffic->meters);
    traffic->meter_count = count;
    for (uint32_t i = 0; i < traffic->lane_count; i++) {
        traffic->lanes[i].meter = &traffic->meters[i % count];
    }
    return true;
}

/* Cuts one column off the memory of all. */
static void *take_column(uint8_t **at, size_t bytes)
{
    void *column = *at;
    *at += (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    return column;
}

#define MESSAGE_ORDER_BYTES (4 * sizeof(uint64_t) + 3 * sizeof(uint32_t) + 1)
#define MESSAGE_COLUMNS     8u

static bool open_messages(struct traffic *traffic)
{
    uint32_t batch = traffic->options->batch;
    uint32_t in_flight = traffic->options->in_flight;
    size_t message_bytes =
        (size_t)batch * MESSAGE_ORDER_BYTES + (size_t)MESSAGE_COLUMNS * CACHE_LINE_BYTES;
    size_t total = ((size_t)traffic->lane_count * in_flight + 1) * message_bytes;
    uint8_t *at = calloc(total + CACHE_LINE_BYTES, 1);
    traffic->columns = at;
    traffic->id_hi = malloc((size_t)batch * sizeof *traffic->id_hi);
    if (!at || !traffic->id_hi) {
        return false;
    }
    for (uint32_t i = 0; i < batch; i++) {
        traffic->id_hi[i] = traffic->run_hi;
    }
    for (uint32_t l = 0; l < traffic->lane_count; l++) {
        struct lane *lane = &traffic->lanes[l];
        lane->messages = calloc(in_flight, sizeof *lane->messages);
        if (!lane->messages) {
            return false;
        }
        for (uint32_t m = 0; m < in_flight; m++) {
            struct message *message = &lane->messages[m];
            message->lane = lane;
            message->reserve = take_column(&at, batch * sizeof(uint64_t));
            message->commit = take_column(&at, batch * sizeof(uint64_t));
            message->release = take_column(&at, batch * sizeof(uint64_t));
            message->buyer = take_column(&at, batch * sizeof(uint64_t));
            message->item = take_column(&at, batch * sizeof(uint32_t));
            message->qty = take_column(&at, batch * sizeof(uint32_t));
            message->index = take_column(&at, batch * sizeof(uint32_t));
            message->then = take_column(&at, batch);
            lane_put_idle(lane, message);
        }
    }
    return true;
}

static bool open_items(struct traffic *traffic)
{
    uint32_t count = traffic->room->count;
    traffic->sold_out_qty = malloc((size_t)count * sizeof *traffic->sold_out_qty);
    traffic->marks = calloc(count, sizeof *traffic->marks);
    if (!traffic->sold_out_qty || !traffic->marks) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        atomic_init(&traffic->sold_out_qty[i], UINT32_MAX);
    }
    return true;
}

enum hf_status traffic_open(struct traffic **out, const struct load_options *options,
                            const struct link *link, const struct stockroom *room,
                            struct demand *demand)
{
    struct traffic *traffic = aligned_alloc(CACHE_LINE_BYTES, sizeof *traffic);
    size_t lanes_bytes = (size_t)link->client_count * sizeof(struct lane);
    if (!traffic) {
        return HF_NO_MEMORY;
    }
    memset(traffic, 0, sizeof *traffic);
    CHECK(pthread_mutex_init(&traffic->error_lock, NULL) == 0);
    traffic->options = options;
    traffic->room = room;
    traffic->demand = demand;
    traffic->lane_count = link->client_count;
    traffic->give_up_ns = link->give_up_ns;
    traffic->sweep_first = UINT64_MAX;
    traffic->run_hi = id_from_bytes(hf_id_random().bytes).hi;
    atomic_store_explicit(&traffic->next, 1, memory_order_relaxed);
    report_ticker_start(&traffic->ticker, options->progress);
    traffic->lanes = aligned_alloc(CACHE_LINE_BYTES, lanes_bytes);
    if (traffic->lanes) {
        memset(traffic->lanes, 0, lanes_bytes);
        for (uint32_t i = 0; i < traffic->lane_count; i++) {
            traffic->lanes[i].traffic = traffic;
            traffic->lanes[i].client = link->clients[i];
        }
    }
    if (!traffic->lanes || !open_meters(traffic) || !open_messages(traffic) ||
        !open_items(traffic) || !ledger_init(&traffic->ledger)) {
        traffic_close(traffic);
        return HF_NO_MEMORY;
    }
    *out = traffic;
    return HF_OK;
}

void traffic_close(struct traffic *traffic)
{
    if (!traffic) {
        return;
    }
    for (uint32_t i = 0; traffic->lanes && i < traffic->lane_count; i++) {
        free(traffic->lanes[i].messages);
    }
    ledger_deinit(&traffic->ledger);
    timeline_deinit(&traffic->timeline);
    free(traffic->lanes);
    free(traffic->meters);
    free(traffic->columns);
    free(traffic->id_hi);
    free(traffic->sent);
    free(traffic->sold_out_qty);
    free(traffic->marks);
    pthread_mutex_destroy(&traffic->error_lock);
    free(traffic);
}

uint64_t traffic_next_number(const struct traffic *traffic)
{
    return atomic_load_explicit(&traffic->next, memory_order_relaxed);
}

struct hf_id traffic_id(const struct traffic *traffic, uint64_t number)
{
    struct hf_id id;
    id_to_bytes((struct id128){traffic->run_hi, number}, id.bytes);
    return id;
}

struct ledger *traffic_ledger(struct traffic *traffic)
{
    return &traffic->ledger;
}

struct item_news traffic_news(const struct traffic *traffic, uint32_t index)
{
    uint8_t marks = atomic_load_explicit(&traffic->marks[index], memory_order_relaxed);
    return (struct item_news){
        .sold_out_qty = atomic_load_explicit(&traffic->sold_out_qty[index], memory_order_relaxed),
        .closed = marks & ITEM_CLOSED,
        .swept = marks & ITEM_SWEPT,
    };
}

void traffic_figures(struct traffic *traffic, struct figures *figures)
{
    memset(figures, 0, sizeof *figures);
    for (uint32_t i = 0; i < traffic->meter_count; i++) {
        struct meter *meter = &traffic->meters[i];
        spin_lock(&meter->lock);
        add_tally(&figures->all, &meter->all);
        add_tally(&figures->measured, &meter->measured);
        histogram_merge(&figures->reserve, &meter->reserve);
        histogram_merge(&figures->follow, &meter->follow);
        figures->retries += meter->retries;
        spin_unlock(&meter->lock);
    }
    uint64_t from = atomic_load_explicit(&traffic->measure_from_ns, memory_order_relaxed);
    uint64_t last = atomic_load_explicit(&traffic->last_answer_ns, memory_order_relaxed);
    figures->measured_ns = last > from ? last - from : 0;
    figures->stall_ns = atomic_load_explicit(&traffic->stall_ns, memory_order_relaxed);
    figures->sent = traffic_next_number(traffic) - 1;
    figures->unsent = traffic->unsent;
    struct cost now;
    read_cost(&now, answers_of(&figures->all));
    figures->cost =
        cost_between(&traffic->cost_before, traffic->ended ? &traffic->cost_after : &now);
    figures->gave_up = atomic_load_explicit(&traffic->gave_up, memory_order_relaxed);
    CHECK(pthread_mutex_lock(&traffic->error_lock) == 0);
    memcpy(figures->error, traffic->error, sizeof figures->error);
    CHECK(pthread_mutex_unlock(&traffic->error_lock) == 0);
}

const struct timeline *traffic_timeline(const struct traffic *traffic)
{
    return traffic->timeline.windows ? &traffic->timeline : NULL;
}

const struct schedule *traffic_schedule(const struct traffic *traffic, double *lead_s)
{
    *lead_s = traffic->options->warm_up_s;
    return traffic->options->rate > 0 ? &traffic->schedule : NULL;
}
