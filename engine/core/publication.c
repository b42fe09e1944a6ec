/* publication.c - turns of publishers, and reading between them.
 *
 * Each slot has a turn, odd while it publishes. A reader notes all turns, reads, and then checks
 * the turns again. If none was odd and none has changed, then no publisher was between its append
 * and the end of its publication from the reader's last note to its first check. So what the reader
 * read is the state after all records that were appended, and nothing of those that were not.
 *
 * Order of memory: a turn is made odd before anything is changed and even after all is. Each change
 * of what is read is a release, or is made and read under a lock; each read is an acquire. So a
 * reader that sees a change also sees the odd turn when it checks again; a reader that notes an
 * even turn sees all that was published in that turn.
 *
 * Holding: a reader that has tried often enough closes the gate. A publisher makes its turn odd and
 * then reads the gate; the reader closes the gate and then reads the turns. All of these are
 * seq_cst, so one of the two sees the other. A publisher that finds the gate closed takes its turn
 * back and waits; the reader waits for the publishers whose turns are odd. One of these may be
 * waiting for the log's disk (an append without a free buffer), and then its `waits` is true as
 * long as it has no LSN. After a while the reader reads although such publishers are left, because
 * nothing of theirs is in the log. If one of them resumes during that, the reader reads again; no
 * other publisher can begin, so this is seldom and ends. While a publisher is past its append the
 * reader never reads, however long that takes: it would see half of the publication, or a later
 * record without an earlier one. `waits` is false again before there is an LSN, so a reader that
 * sees anything of a publication also sees that its publisher does not wait.
 *
 * Source: the reader's side is a sequence lock of many writers, each with its own count. */
#include "core/publication.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mutex.h"
#include "base/schedule.h"
#include "base/spin.h"

/* Tries before holding: 100 short pauses, then yields (spin_pause). */
#define READ_TRIES SCHEDULE_BOUND(250u, 2u)
/* Checks while holding: they take at least some 10 ms. */
#define HOLD_STEPS SCHEDULE_BOUND(20000u, 2u)

struct turn {
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t number; /* this and waits are written only by the
                                                          slot's publisher */
    atomic_bool waits; /* it publishes, has no LSN yet, and waits for the log */
};

struct publication {
    struct turn turns[THREADS_MAX];
    alignas(CACHE_LINE_BYTES) _Atomic uint32_t slots; /* that have ever published; only rises */
    _Atomic bool gate;                                /* closed: no publisher may begin */
    pthread_mutex_t holder;                           /* one reader at a time holds */
};

enum hf_status publication_init(struct publication **out)
{
    struct publication *publication = aligned_alloc(CACHE_LINE_BYTES, sizeof *publication);
    *out = publication;
    if (!publication) {
        return HF_NO_MEMORY;
    }
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        atomic_init(&publication->turns[i].number, 0);
        atomic_init(&publication->turns[i].waits, false);
    }
    atomic_init(&publication->slots, 0);
    atomic_init(&publication->gate, false);
    pthread_mutex_init(&publication->holder, NULL);
    return HF_OK;
}

void publication_deinit(struct publication *publication)
{
    if (publication) {
        pthread_mutex_destroy(&publication->holder);
        free(publication);
    }
}

/* ---- Publishers ---- */

static void slot_enlist(struct publication *publication, unsigned slot)
{
    CHECK(slot < THREADS_MAX);
    uint32_t slots = atomic_load_explicit(&publication->slots, memory_order_relaxed);
    while (slots <= slot &&
           !atomic_compare_exchange_weak_explicit(&publication->slots, &slots, slot + 1,
                                                  memory_order_seq_cst, memory_order_relaxed)) {
    }
}

void publication_begin(struct publication *publication, unsigned slot)
{
    CHECK(slot < THREADS_MAX);
    SCHEDULE_POINT("publication.enlist");
    /* Before the turn is made odd: a reader that did not know the slot sees that there are more
     * slots now (reading_again). */
    slot_enlist(publication, slot);
    _Atomic uint64_t *number = &publication->turns[slot].number;
    uint64_t turn = atomic_load_explicit(number, memory_order_relaxed);
    CHECK(turn % 2 == 0);
    for (unsigned step = 0;;) {
        SCHEDULE_POINT("publication.begin");
        /* seq_cst, both: see the top. */
        atomic_store_explicit(number, ++turn, memory_order_seq_cst);
        SCHEDULE_POINT("publication.turn_odd");
        if (!atomic_load_explicit(&publication->gate, memory_order_seq_cst)) {
            return;
        }
        atomic_store_explicit(number, ++turn, memory_order_release);
        while (atomic_load_explicit(&publication->gate, memory_order_acquire)) {
            spin_pause(step++);
        }
    }
}

void publication_end(struct publication *publication, unsigned slot)
{
    _Atomic uint64_t *number = &publication->turns[slot].number;
    uint64_t turn = atomic_load_explicit(number, memory_order_relaxed);
    CHECK(turn % 2 == 1);
    SCHEDULE_POINT("publication.end");
    /* release: pairs with the acquire in note_turns. */
    atomic_store_explicit(number, turn + 1, memory_order_release);
}

atomic_bool *publication_waits(struct publication *publication, unsigned slot)
{
    CHECK(slot < THREADS_MAX);
    return &publication->turns[slot].waits;
}

/* ---- Readers ---- */

/* Notes all turns. True: no slot publishes. */
static bool note_turns(struct publication *publication, struct reading *reading)
{
    bool odd = false;
    reading->slots = atomic_load_explicit(&publication->slots, memory_order_seq_cst);
    CHECK(reading->slots <= THREADS_MAX);
    for (uint32_t i = 0; i < reading->slots; i++) {
        SCHEDULE_POINT("publication.note");
        /* seq_cst: for the holder; for others it is an acquire. */
        reading->turns[i] =
            atomic_load_explicit(&publication->turns[i].number, memory_order_seq_cst);
        odd |= reading->turns[i] % 2 != 0;
    }
    return !odd;
}

static bool turns_are_the_same(struct publication *publication, const struct reading *reading)
{
    /* acquire: what was read came before. */
    bool same = atomic_load_explicit(&publication->slots, memory_order_acquire) == reading->slots;
    for (uint32_t i = 0; same && i < reading->slots; i++) {
        SCHEDULE_POINT("publication.look_again");
        same = atomic_load_explicit(&publication->turns[i].number, memory_order_acquire) ==
               reading->turns[i];
    }
    return same;
}

/* True when each slot whose noted turn is odd still has that turn, and waits for the log. */
static bool all_wait(struct publication *publication, const struct reading *reading)
{
    for (uint32_t i = 0; i < reading->slots; i++) {
        const struct turn *turn = &publication->turns[i];
        SCHEDULE_POINT("publication.all_wait");
        /* acquire, both: as in turns_are_the_same. A slot that waits has not begun another turn. */
        if (reading->turns[i] % 2 != 0 &&
            (!atomic_load_explicit(&turn->waits, memory_order_acquire) ||
             atomic_load_explicit(&turn->number, memory_order_acquire) != reading->turns[i])) {
            return false;
        }
    }
    return true;
}

/* Waits, with the gate closed, until no turn is odd; after a number of checks, until all publishers
 * whose turns are odd wait for the log. */
static void await_others(struct publication *publication, struct reading *reading, unsigned looks)
{
    for (unsigned step = 0; !note_turns(publication, reading); step++) {
        if (step >= looks && all_wait(publication, reading)) {
            return;
        }
        spin_pause(step);
    }
}

static void hold(struct publication *publication, struct reading *reading)
{
    CHECK(!reading->holds);
    mutex_lock(&publication->holder);
    /* relaxed: only the holder changes it. */
    CHECK(!atomic_load_explicit(&publication->gate, memory_order_relaxed));
    atomic_store_explicit(&publication->gate, true, memory_order_seq_cst);
    reading->holds = true;
    SCHEDULE_POINT("publication.held");
    await_others(publication, reading, HOLD_STEPS);
}

void reading_begin(struct publication *publication, struct reading *reading)
{
    if (reading->holds) {
        await_others(publication, reading, 0);
        return;
    }
    while (reading->tries++ < READ_TRIES) {
        if (note_turns(publication, reading)) {
            return;
        }
        spin_pause(reading->tries);
    }
    hold(publication, reading);
}

bool reading_again(struct publication *publication, struct reading *reading)
{
    if (!reading->holds) {
        return !turns_are_the_same(publication, reading);
    }
    /* A publisher that is about to begin and finds the gate closed makes its turn odd and even
     * again. That is no publication, so turns that were even don't matter. */
    if (!all_wait(publication, reading)) {
        return true;
    }
    SCHEDULE_POINT("publication.release");
    CHECK(atomic_load_explicit(&publication->gate, memory_order_relaxed));
    atomic_store_explicit(&publication->gate, false, memory_order_release);
    mutex_unlock(&publication->holder);
    reading->holds = false;
    return false;
}
