/* oracle.c - the questions after a run, and the judgement. Threads: see oracle.h.
 *
 * While orders are asked back, each thread of the crew owns the orders of its numbers; what they
 * find is added up under a lock. */
#include "load/oracle.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "load/crew.h"
#include "load/pause.h"
#include "load/report.h"

#define ASK_RANGE UINT64_C(64) /* order numbers that a thread takes at a time */

static void note(struct verdict *verdict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct verdict *verdict, const char *format, ...)
{
    if (verdict->note[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(verdict->note, sizeof verdict->note, format, arguments);
        va_end(arguments);
    }
}

/* ---- Judging an item ---- */

static int64_t positive(int64_t units)
{
    return units > 0 ? units : 0;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* How many units may be held and sold. */
static int64_t sellable(const struct hf_stock *stock)
{
    return stock->stocked - stock->safety + stock->presale_cap;
}

static int64_t judge_oversold(const struct hf_stock *before, const struct hf_stock *after,
                              const struct claims *claims)
{
    /* A forced adjustment may have left too little already. */
    int64_t earlier = positive(before->held + before->sold - sellable(before));
    int64_t by_engine = after->held + after->sold - sellable(after);
    int64_t by_claims = before->sold + claims->committed + claims->held - sellable(after);
    return positive(larger(by_engine, by_claims) - earlier);
}

uint64_t oracle_judge_item(const struct hf_stock *before, const struct hf_stock *after,
                           const struct claims *claims, bool holds_soft, struct verdict *verdict)
{
    int64_t oversold = judge_oversold(before, after, claims);
    /* A claim about holds that may have expired is none. */
    if (holds_soft && oversold > 0) {
        struct claims hard = *claims;
        hard.held = 0;
        oversold = judge_oversold(before, after, &hard);
    }
    verdict->oversold += (uint64_t)oversold;

    int64_t undersold = 0;
    if (claims->refused_qty != UINT32_MAX && after->available >= (int64_t)claims->refused_qty) {
        undersold = after->available;
    }
    verdict->undersold += (uint64_t)undersold;

    int64_t sold = after->sold - before->sold;
    int64_t taken = sold + after->held - before->held;
    /* Holds from before the run may have expired during it: they excuse nothing that is too much,
     * and everything of theirs that is too little. */
    int64_t taken_most = sold + after->held;
    int64_t claimed_least = claims->committed + (holds_soft ? 0 : claims->held);
    int64_t missing = positive(larger(claims->committed - sold, claimed_least - taken_most));
    int64_t surplus =
        positive(larger(sold - claims->committed, taken - claims->committed - claims->held) -
                 claims->doubtful);
    verdict->duplicated += (uint64_t)surplus;

    if (after->available != sellable(after) - after->held - after->sold) {
        note(verdict, "%s@%s: available is %" PRId64 ", its other numbers say %" PRId64, after->sku,
             after->pool, after->available, sellable(after) - after->held - after->sold);
    }
    if (oversold || undersold || missing || surplus) {
        note(verdict,
             "%s@%s: held %" PRId64 ", sold %" PRId64 ", free %" PRId64 " of %" PRId64
             "; acknowledged held %" PRId64 ", sold %" PRId64,
             after->sku, after->pool, after->held, sold, after->available, after->stocked,
             claims->held, claims->committed);
    }
    return (uint64_t)missing;
}

bool oracle_is_clean(const struct verdict *verdict)
{
    return verdict->checked && verdict->oversold == 0 && verdict->undersold == 0 &&
           verdict->lost == 0 && verdict->duplicated == 0;
}

/* ---- Asking orders back ---- */

struct inquiry {
    const struct link *link;
    struct stockroom *room;
    const struct demand *demand;
    struct traffic *traffic;
    struct verdict *verdict;
    uint64_t hold_ms;
    uint64_t retain_ms;          /* 0: nothing is forgotten */
    uint64_t expiry_possible_ms; /* Unix time from which a hold of this run may have expired */
    uint64_t next_number;
    uint64_t ask_below; /* of 2^64: orders whose hash is below are asked back */
    bool open_only;     /* ask for those without an answer */
    bool show;
    pthread_mutex_t lock; /* of the verdict and status */
    enum hf_status status;
};

static bool hold_may_be_over(const struct inquiry *inquiry)
{
    return clock_unix_ms(clock_real()) >= inquiry->expiry_possible_ms;
}

/* What the engine's state is in the ledger. */
static enum fate fate_of_state(enum hf_order_state state)
{
    switch (state) {
    case HF_ORDER_HELD:
        return FATE_HELD;
    case HF_ORDER_COMMITTED:
        return FATE_COMMITTED;
    case HF_ORDER_RELEASED:
        return FATE_RELEASED;
    case HF_ORDER_EXPIRED:
        return FATE_EXPIRED;
    default:
        return FATE_NONE;
    }
}

/* An order with an answer missing: what the engine says is so, as long as it could have become so.
 * False: it contradicts an earlier answer. */
static bool resolve(const struct inquiry *inquiry, uint64_t number, enum fate fate, enum fate found)
{
    bool possible = found != FATE_NONE || fate == FATE_UNKNOWN;
    possible = possible && (found != FATE_COMMITTED || fate == FATE_COMMIT_UNKNOWN);
    possible = possible && (found != FATE_RELEASED || fate == FATE_RELEASE_UNKNOWN);
    possible = possible && (found != FATE_EXPIRED || hold_may_be_over(inquiry));
    ledger_set(traffic_ledger(inquiry->traffic), number,
               possible               ? found
               : fate == FATE_UNKNOWN ? FATE_NONE
                                      : FATE_HELD);
    return possible;
}

/* An acknowledged order: true when the engine knows it as we do. */
static bool is_kept(const struct inquiry *inquiry, uint64_t number, enum fate fate, enum fate found,
                    const struct hf_order_info *info, const struct hf_order_line *line)
{
    if (found == FATE_EXPIRED && fate != FATE_COMMITTED && hold_may_be_over(inquiry)) {
        ledger_set(traffic_ledger(inquiry->traffic), number, FATE_EXPIRED);
        return true;
    }
    if (found != fate) {
        return false;
    }
    struct wish wish = demand_wish(inquiry->demand, number);
    if (info->buyer != wish.buyer) {
        return false;
    }
    if (fate != FATE_HELD && fate != FATE_COMMITTED) {
        return true; /* has no units any more */
    }
    return info->line_count == 1 && line->item == inquiry->room->handles[wish.index] &&
           line->qty == wish.qty;
}

/* Whether the engine may have forgotten an order by now. An order can't have ended before it was
 * sent, and one that is held not before its deadline. */
static bool may_be_forgotten(const struct inquiry *inquiry, uint64_t number, enum fate fate)
{
    if (inquiry->retain_ms == 0) {
        return false;
    }
    uint64_t ended_ms = traffic_not_sent_before(inquiry->traffic, number) +
                        (fate == FATE_HELD ? inquiry->hold_ms : 0);
    return clock_unix_ms(clock_real()) >= ended_ms + inquiry->retain_ms;
}

/* Notes that an order is forgotten. One that was held has expired before; of one whose last answer
 * is missing nobody will ever know what became of it. */
static void forget(const struct inquiry *inquiry, uint64_t number, enum fate fate,
                   struct verdict *found_here)
{
    if (fate == FATE_HELD) {
        ledger_set(traffic_ledger(inquiry->traffic), number, FATE_EXPIRED);
    }
    found_here->forgotten++;
}

static void ask_order(struct inquiry *inquiry, struct hf_client *client, uint64_t number,
                      enum fate fate, struct verdict *found_here, enum hf_status *status)
{
    struct hf_id id = traffic_id(inquiry->traffic, number);
    struct hf_order_info info;
    struct hf_order_line line = {0};
    uint64_t since = pause_now_ns();
    do {
        *status = hf_get_order(client, id, &info, &line, 1);
    } while (link_again(inquiry->link, *status, since));
    if (*status != HF_OK && *status != HF_NOT_FOUND) {
        return;
    }
    enum fate found = *status == HF_OK ? fate_of_state(info.state) : FATE_NONE;
    *status = HF_OK;
    if (found == FATE_NONE && may_be_forgotten(inquiry, number, fate)) {
        found_here->asked++;
        forget(inquiry, number, fate, found_here);
        return;
    }
    bool right = fate_is_open(fate) ? resolve(inquiry, number, fate, found)
                                    : is_kept(inquiry, number, fate, found, &info, &line);
    found_here->asked++;
    if (!right) {
        char text[37];
        hf_id_to_text(id, text);
        found_here->lost++;
        note(found_here, "order %s: acknowledged as %s, the engine has it as %s", text,
             report_fate_name(fate), found == FATE_NONE ? "unknown" : report_fate_name(found));
    }
}

/* One range of numbers: crew_work. */
static bool ask_range(void *context, uint32_t thread, uint64_t range)
{
    struct inquiry *inquiry = context;
    struct hf_client *client = inquiry->link->clients[thread % inquiry->link->client_count];
    const struct ledger *ledger = traffic_ledger(inquiry->traffic);
    if (inquiry->retain_ms > 0) {
        /* Newest first: the others are forgotten by then anyway. */
        range = (inquiry->next_number + ASK_RANGE - 1) / ASK_RANGE - 1 - range;
    }
    uint64_t first = range * ASK_RANGE;
    uint64_t end = first + ASK_RANGE;
    struct verdict here = {0};
    enum hf_status status = HF_OK;
    first = first > 0 ? first : 1;
    end = end < inquiry->next_number ? end : inquiry->next_number;
    for (uint64_t number = first; number < end && status == HF_OK; number++) {
        enum fate fate = ledger_get(ledger, number);
        bool ask = inquiry->open_only ? fate_is_open(fate)
                                      : fate_is_acked(fate) && !fate_is_open(fate) &&
                                            hash_u64(number) <= inquiry->ask_below;
        if (ask) {
            ask_order(inquiry, client, number, fate, &here, &status);
        }
    }
    CHECK(pthread_mutex_lock(&inquiry->lock) == 0);
    inquiry->verdict->asked += here.asked;
    inquiry->verdict->forgotten += here.forgotten;
    inquiry->verdict->lost += here.lost;
    if (here.note[0]) {
        note(inquiry->verdict, "%s", here.note);
    }
    if (status != HF_OK) {
        inquiry->status = status;
    }
    CHECK(pthread_mutex_unlock(&inquiry->lock) == 0);
    return status == HF_OK;
}

static void show_asking(void *context, uint64_t begun)
{
    struct inquiry *inquiry = context;
    if (inquiry->show) {
        uint64_t ranges = (inquiry->next_number + ASK_RANGE - 1) / ASK_RANGE;
        fprintf(stderr, "asking back: %u %%\n",
                (unsigned)(100 * (begun < ranges ? begun : ranges) / (ranges ? ranges : 1)));
    }
}

static enum hf_status ask_all(struct inquiry *inquiry)
{
    uint64_t ranges = (inquiry->next_number + ASK_RANGE - 1) / ASK_RANGE;
    inquiry->status = HF_OK;
    if (!crew_run(ask_range, inquiry, 0, ranges, show_asking) && inquiry->status == HF_OK) {
        return HF_NO_MEMORY;
    }
    return inquiry->status;
}

/* ---- Adding up ---- */

struct sums {
    uint64_t by_fate[FATE_COUNT];
    uint64_t acked;
    uint64_t open;
};

static struct sums count_fates(struct inquiry *inquiry)
{
    struct sums sums = {0};
    const struct ledger *ledger = traffic_ledger(inquiry->traffic);
    for (uint64_t number = 1; number < inquiry->next_number; number++) {
        enum fate fate = ledger_get(ledger, number);
        sums.by_fate[fate]++;
        sums.acked += fate_is_acked(fate);
        sums.open += fate_is_open(fate);
    }
    return sums;
}

/* What the ledger says about each item. */
static struct claims *add_claims(const struct inquiry *inquiry)
{
    struct claims *claims = calloc(inquiry->room->count, sizeof *claims);
    if (!claims) {
        return NULL;
    }
    const struct ledger *ledger = traffic_ledger(inquiry->traffic);
    for (uint64_t number = 1; number < inquiry->next_number; number++) {
        enum fate fate = ledger_get(ledger, number);
        if (!fate_is_acked(fate)) {
            continue;
        }
        struct wish wish = demand_wish(inquiry->demand, number);
        struct claims *claim = &claims[wish.index];
        if (fate == FATE_HELD) {
            claim->held += wish.qty;
        } else if (fate == FATE_COMMITTED) {
            claim->committed += wish.qty;
        } else {
            const struct demand_round *round = demand_round_of(inquiry->demand, number);
            claim->gave_back |= !round || round->kind != ROUND_PROBE;
            claim->doubtful += fate_is_open(fate) ? (int64_t)wish.qty : 0;
        }
    }
    for (uint32_t i = 0; i < inquiry->room->count; i++) {
        struct item_news news = traffic_news(inquiry->traffic, i);
        /* Holds from before the run may have expired at any time. */
        bool earlier_holds = inquiry->room->before[i].held > 0;
        claims[i].gave_back |= earlier_holds;
        claims[i].refused_qty = news.swept && !earlier_holds ? 1
                                : claims[i].gave_back        ? UINT32_MAX
                                                             : news.sold_out_qty;
    }
    return claims;
}

/* Items that refused one unit while others gave units back, and have some now: one unit must be had
 * now. What is refused all the same is undersold. */
static enum hf_status probe(struct inquiry *inquiry, const struct claims *claims)
{
    const struct stockroom *room = inquiry->room;
    uint32_t *indexes = malloc((size_t)room->count * sizeof *indexes);
    if (!indexes) {
        return HF_NO_MEMORY;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < room->count; i++) {
        struct item_news news = traffic_news(inquiry->traffic, i);
        if (claims[i].refused_qty == UINT32_MAX && news.sold_out_qty != UINT32_MAX &&
            !news.closed && room->after[i].available >= 1) {
            indexes[count++] = i;
        }
    }
    uint64_t first = 0;
    bool asked = count == 0 || traffic_probe(inquiry->traffic, indexes, count, &first);
    for (uint32_t i = 0; asked && i < count; i++) {
        const struct hf_stock *stock = &room->after[indexes[i]];
        if (ledger_get(traffic_ledger(inquiry->traffic), first + i) == FATE_SOLD_OUT) {
            inquiry->verdict->undersold += (uint64_t)stock->available;
            note(inquiry->verdict,
                 "%s@%s: %" PRId64 " units are free, and an order for one is refused", stock->sku,
                 stock->pool, stock->available);
        }
    }
    free(indexes);
    inquiry->next_number = traffic_next_number(inquiry->traffic);
    return asked ? HF_OK : HF_TIMED_OUT;
}

static void judge_items(struct inquiry *inquiry, const struct claims *claims)
{
    const struct stockroom *room = inquiry->room;
    struct verdict *verdict = inquiry->verdict;
    bool soft = hold_may_be_over(inquiry);
    uint64_t missing = 0;
    for (uint32_t i = 0; i < room->count; i++) {
        struct claims claim = claims[i];
        if (soft) {
            claim.refused_qty = UINT32_MAX; /* what expired since has been given back */
        }
        missing += oracle_judge_item(&room->before[i], &room->after[i], &claim, soft, verdict);
        verdict->units_held += claim.held;
        verdict->units_sold += claim.committed;
        if (room->after[i].stocked != room->before[i].stocked) {
            note(verdict, "%s@%s: somebody changed its stock during the run", room->after[i].sku,
                 room->after[i].pool);
        }
    }
    if (verdict->lost == 0) {
        verdict->lost = missing;
    }
}

/* Reads the items, probes, reads again, judges. */
static enum hf_status weigh_items(struct inquiry *inquiry)
{
    struct stockroom *room = inquiry->room;
    struct claims *claims = add_claims(inquiry);
    enum hf_status status =
        claims ? stockroom_read(room, inquiry->link, room->after) : HF_NO_MEMORY;
    if (status == HF_OK) {
        status = probe(inquiry, claims);
    }
    if (status == HF_OK) {
        status = stockroom_read(room, inquiry->link, room->after);
    }
    if (status == HF_OK) {
        judge_items(inquiry, claims);
    }
    free(claims);
    return status;
}

enum hf_status oracle_run(struct verdict *verdict, const struct load_options *options,
                          const struct link *link, struct stockroom *room,
                          const struct demand *demand, struct traffic *traffic, uint64_t started_ms)
{
    struct inquiry inquiry = {
        .link = link,
        .room = room,
        .demand = demand,
        .traffic = traffic,
        .verdict = verdict,
        .hold_ms = options->hold_ms,
        .retain_ms = (uint64_t)(options->retain_s * 1000),
        .expiry_possible_ms = started_ms + options->hold_ms,
        .next_number = traffic_next_number(traffic),
        .ask_below = UINT64_MAX,
        .open_only = true,
        .show = options->progress,
    };
    memset(verdict, 0, sizeof *verdict);
    CHECK(pthread_mutex_init(&inquiry.lock, NULL) == 0);
    enum hf_status status = HF_OK;
    verdict->unknown = count_fates(&inquiry).open;
    if (verdict->unknown > 0) {
        status = ask_all(&inquiry);
        verdict->asked = 0;
    }
    struct sums sums = count_fates(&inquiry);
    verdict->unresolved = sums.open;
    verdict->acked = sums.acked;
    if (sums.acked > ORACLE_ASK_ALL) {
        inquiry.ask_below = (uint64_t)((double)ORACLE_ASK_SAMPLE / (double)sums.acked * 0x1p64);
    }
    inquiry.open_only = false;
    if (status == HF_OK) {
        status = ask_all(&inquiry);
    }
    if (status == HF_OK) {
        status = weigh_items(&inquiry);
    }
    verdict->checked = status == HF_OK;
    CHECK(pthread_mutex_destroy(&inquiry.lock) == 0);
    return status;
}
