/* parts_test.c - parts of the core alone, in every interleaving that a seed finds: turns of
 * publication, entries of the order table, blocks for lines, tickets, units of buyers.
 *
 * Threads: coroutines of one thread (lib/schedule.h). */
#include <string.h>

#include "base/check.h"
#include "core/buyers.h"
#include "core/lines.h"
#include "core/orders.h"
#include "core/presale.h"
#include "core/publication.h"
#include "lib/schedule.h"

/* ---- Publication ----
 *
 * Each publication is one more of its slot, told in two places. What a reader saw must be the same
 * in both, and must be what some prefix of the log makes. */

#define PUBLISHERS 3u
#define RECORDS    (PUBLISHERS * 3u)

struct publishing {
    struct schedule *schedule;
    struct publication *publication;
    uint32_t log[RECORDS]; /* the slots, in the order of their appends */
    uint32_t log_count;
    _Atomic uint32_t first[PUBLISHERS];
    _Atomic uint32_t second[PUBLISHERS];
};

struct publisher {
    struct publishing *all;
    uint32_t slot;
    uint32_t rounds;
};

static void publish_some(void *context)
{
    struct publisher *self = context;
    struct publishing *all = self->all;
    struct rng *rng = &all->schedule->rng;
    for (uint32_t round = 0; round < self->rounds; round++) {
        publication_begin(all->publication, self->slot);
        if (rng_chance(rng, 3)) {
            atomic_bool *waits = publication_waits(all->publication, self->slot);
            atomic_store_explicit(waits, true, memory_order_release);
            for (uint64_t i = rng_below(rng, 12); i > 0; i--) {
                schedule_wait();
            }
            atomic_store_explicit(waits, false, memory_order_release);
        }
        schedule_point("test.append");
        all->log[all->log_count++] = self->slot;
        schedule_point("test.appended");
        atomic_fetch_add_explicit(&all->first[self->slot], 1, memory_order_release);
        schedule_point("test.first");
        atomic_fetch_add_explicit(&all->second[self->slot], 1, memory_order_release);
        schedule_point("test.second");
        publication_end(all->publication, self->slot);
    }
}

static bool is_prefix(const struct publishing *all, const uint32_t *seen)
{
    uint32_t count[PUBLISHERS] = {0};
    for (uint32_t at = 0;; at++) {
        bool same = true;
        for (uint32_t i = 0; i < PUBLISHERS; i++) {
            same = same && count[i] == seen[i];
        }
        if (same || at == all->log_count) {
            return same;
        }
        count[all->log[at]]++;
    }
}

static void read_publications(void *context)
{
    struct publishing *all = context;
    for (unsigned round = 0; round < 3; round++) {
        uint32_t seen[PUBLISHERS];
        uint32_t again[PUBLISHERS];
        struct reading reading;
        reading_init(&reading);
        do {
            reading_begin(all->publication, &reading);
            for (uint32_t i = 0; i < PUBLISHERS; i++) {
                schedule_point("test.read");
                seen[i] = atomic_load_explicit(&all->first[i], memory_order_acquire);
                schedule_point("test.read");
                again[i] = atomic_load_explicit(&all->second[i], memory_order_acquire);
            }
        } while (reading_again(all->publication, &reading));
        for (uint32_t i = 0; i < PUBLISHERS; i++) {
            SCHEDULE_CHECK_EQUAL(seen[i], again[i]);
        }
        SCHEDULE_CHECK(is_prefix(all, seen));
    }
}

static void readers_look_between_publications(struct schedule *schedule)
{
    struct publishing all = {.schedule = schedule};
    SCHEDULE_CHECK(publication_init(&all.publication) == HF_OK);
    struct publisher publishers[PUBLISHERS];
    uint32_t count = (uint32_t)rng_between(&schedule->rng, 1, PUBLISHERS);
    for (uint32_t i = 0; i < count; i++) {
        publishers[i] = (struct publisher){&all, i, 1 + (uint32_t)rng_below(&schedule->rng, 3)};
        schedule_add(schedule, publish_some, &publishers[i]);
    }
    schedule_add(schedule, read_publications, &all);
    if (rng_chance(&schedule->rng, 4)) {
        schedule_add(schedule, read_publications, &all);
    }
    schedule_run(schedule);
    publication_deinit(all.publication);
}

/* ---- The order table ---- */

#define TABLE_ORDERS 256u /* one block of entries: all slots but one take from another's */

struct entering {
    struct schedule *schedule;
    struct orders *orders;
    uint64_t next_id;
    bool used[TABLE_ORDERS];
};

struct enterer {
    struct entering *all;
    unsigned slot;
};

static void enter_and_remove(void *context)
{
    struct enterer *self = context;
    struct entering *all = self->all;
    uint32_t handles[2] = {ORDER_NO_HANDLE, ORDER_NO_HANDLE};
    for (unsigned round = 0; round < 5; round++) {
        unsigned which = (unsigned)rng_below(&all->schedule->rng, 2);
        if (handles[which] == ORDER_NO_HANDLE) {
            struct id128 id = {0xB0, all->next_id++};
            struct order_shard *shard = orders_shard(all->orders, id_hash(id));
            spin_lock(&shard->spin);
            uint32_t handle = orders_enter(all->orders, self->slot, shard, id_hash(id), id);
            spin_unlock(&shard->spin);
            SCHEDULE_CHECK(handle < TABLE_ORDERS);
            SCHEDULE_CHECK(!all->used[handle]);
            all->used[handle] = true;
            handles[which] = handle;
        } else {
            uint32_t handle = handles[which];
            struct order_shard *shard = orders_shard_of(all->orders, handle);
            uint64_t hash = id_hash(orders_at(all->orders, handle)->id);
            spin_lock(&shard->spin);
            SCHEDULE_CHECK(orders_find(all->orders, shard, hash,
                                       orders_at(all->orders, handle)->id) == handle);
            all->used[handle] = false;
            orders_remove(all->orders, self->slot, shard, hash, handle);
            spin_unlock(&shard->spin);
            handles[which] = ORDER_NO_HANDLE;
        }
    }
}

static void an_entry_has_one_order(struct schedule *schedule)
{
    static struct entering all;
    struct orders orders;
    SCHEDULE_CHECK(orders_init(&orders, TABLE_ORDERS) == HF_OK);
    all = (struct entering){.schedule = schedule, .orders = &orders, .next_id = 1};
    struct enterer threads[3];
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = (struct enterer){&all, i};
        schedule_add(schedule, enter_and_remove, &threads[i]);
    }
    schedule_run(schedule);
    orders_deinit(&orders);
}

/* ---- Blocks for lines ---- */

struct block_thread {
    struct schedule *schedule;
    struct lines *lines;
    uint32_t mark; /* what it writes into its blocks */
};

/* Blocks of one pool, each written all over: nobody else has it. */
static void have_blocks(void *context)
{
    struct block_thread *self = context;
    struct order_line_view *blocks[2] = {NULL, NULL};
    for (unsigned round = 0; round < 6; round++) {
        unsigned which = (unsigned)rng_below(&self->schedule->rng, 2);
        if (!blocks[which]) {
            blocks[which] = lines_alloc(self->lines, 0, 2);
            SCHEDULE_CHECK(blocks[which] != NULL);
            blocks[which][0].item = 0; /* where a free block has its link */
            blocks[which][0].qty = 0;
            blocks[which][0].committed = self->mark + which;
            blocks[which][1].committed = self->mark + which;
        } else {
            schedule_point("test.block");
            SCHEDULE_CHECK_EQUAL(blocks[which][0].committed, self->mark + which);
            SCHEDULE_CHECK_EQUAL(blocks[which][1].committed, self->mark + which);
            lines_free(self->lines, 0, blocks[which], 2);
            blocks[which] = NULL;
        }
    }
}

static void a_block_has_one_owner(struct schedule *schedule)
{
    struct lines *lines;
    SCHEDULE_CHECK(lines_init(&lines) == HF_OK);
    struct block_thread threads[3];
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = (struct block_thread){schedule, lines, 1000 * (i + 1)};
        schedule_add(schedule, have_blocks, &threads[i]);
    }
    schedule_run(schedule);
    lines_deinit(lines);
}

/* ---- Tickets of two items, from one pool of chunks ---- */

struct ticket_thread {
    struct schedule *schedule;
    struct presale *presale;
    uint32_t drawn[2]; /* by item: the last one of this thread */
    uint64_t units[2]; /* by item: what its tickets have */
};

static bool tickets_taken[3][64];

static void draw_tickets(void *context)
{
    struct ticket_thread *self = context;
    struct rng *rng = &self->schedule->rng;
    for (unsigned round = 0; round < 4; round++) {
        uint32_t item = 1 + (uint32_t)rng_below(rng, 2);
        uint32_t ticket = presale_draw(self->presale, item);
        SCHEDULE_CHECK(ticket > self->drawn[item - 1] && ticket < 64);
        SCHEDULE_CHECK(!tickets_taken[item][ticket]);
        tickets_taken[item][ticket] = true;
        self->drawn[item - 1] = ticket;
        uint32_t units = 1 + (uint32_t)rng_below(rng, 3);
        /* A later ticket may have its chunk by now (presale_draw): then it has no room. */
        if (!presale_take(self->presale, item, ticket, units)) {
            continue;
        }
        presale_publish(self->presale, item, ticket);
        self->units[item - 1] += units;
        if (rng_chance(rng, 2)) {
            SCHEDULE_CHECK(presale_change(self->presale, item, ticket, -(int64_t)units));
            self->units[item - 1] -= units;
        }
    }
}

static void tickets_are_drawn_once(struct schedule *schedule)
{
    struct presale *presale;
    SCHEDULE_CHECK(presale_init(&presale, 2, 64) == HF_OK);
    memset(tickets_taken, 0, sizeof tickets_taken);
    struct ticket_thread threads[3];
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = (struct ticket_thread){.schedule = schedule, .presale = presale};
        schedule_add(schedule, draw_tickets, &threads[i]);
    }
    schedule_run(schedule);
    for (uint32_t item = 1; item <= 2; item++) {
        uint64_t units = 0;
        for (unsigned i = 0; i < 3; i++) {
            units += threads[i].units[item - 1];
        }
        SCHEDULE_CHECK_EQUAL(presale_behind(presale, item, 0), units);
    }
    presale_deinit(presale);
}

/* ---- The table of buyers, with one shard ---- */

struct buyer_thread {
    struct schedule *schedule;
    struct buyers *buyers;
    uint64_t own; /* a buyer whom nobody else counts */
    uint32_t units;
};

static void count_own(void *context)
{
    struct buyer_thread *thread = context;
    for (unsigned round = 0; round < 4; round++) {
        if (thread->units > 0 && rng_chance(&thread->schedule->rng, 2)) {
            buyers_give(thread->buyers, 1, thread->own, thread->units);
            thread->units = 0;
        } else {
            uint32_t taken;
            enum hf_status status = buyers_take(thread->buyers, 1, thread->own, 1, 1, 2, &taken);
            SCHEDULE_CHECK(status == (thread->units < 2 ? HF_OK : HF_LIMIT_EXCEEDED));
            thread->units += taken;
        }
        SCHEDULE_CHECK_EQUAL(buyers_units(thread->buyers, 1, thread->own), thread->units);
    }
}

static void buyers_are_counted_apart(struct schedule *schedule)
{
    struct buyers *buyers;
    SCHEDULE_CHECK(buyers_init(&buyers, 3) == HF_OK);
    struct buyer_thread threads[3];
    for (unsigned i = 0; i < 3; i++) {
        threads[i] =
            (struct buyer_thread){schedule, buyers, 1 + rng_below(&schedule->rng, 1000) * 3 + i, 0};
        schedule_add(schedule, count_own, &threads[i]);
    }
    schedule_run(schedule);
    uint32_t counted = 0;
    for (unsigned i = 0; i < 3; i++) {
        SCHEDULE_CHECK_EQUAL(buyers_units(buyers, 1, threads[i].own), threads[i].units);
        counted += threads[i].units > 0;
    }
    SCHEDULE_CHECK_EQUAL(buyers_count(buyers), counted);
    buyers_deinit(buyers);
}

int main(int argc, char **argv)
{
    static const struct schedule_case cases[] = {
        {"readers_look_between_publications", readers_look_between_publications},
        {"an_entry_has_one_order", an_entry_has_one_order},
        {"a_block_has_one_owner", a_block_has_one_owner},
        {"tickets_are_drawn_once", tickets_are_drawn_once},
        {"buyers_are_counted_apart", buyers_are_counted_apart},
    };
    return schedule_main(argc, argv, cases, sizeof cases / sizeof *cases, 2000, 1.5, 1000000);
}
