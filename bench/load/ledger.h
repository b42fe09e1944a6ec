/* ledger.h - what became of each order, a byte an order, by number.
 *
 * Threads: any, but an order belongs to one thread at a time (whoever has its message). Pages are
 * made on first use. Memory: one byte for each order sent, in pages of 1 MiB. */
#ifndef LOAD_LEDGER_H
#define LOAD_LEDGER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LEDGER_PAGE_ORDERS (UINT64_C(1) << 20)
#define LEDGER_PAGES_MAX   (UINT64_C(1) << 16)

enum fate {
    FATE_NONE = 0,        /* never sent, or known not to have happened */
    FATE_UNKNOWN,         /* sent, no answer */
    FATE_HELD,            /* acknowledged */
    FATE_COMMIT_UNKNOWN,  /* acknowledged as held; its commit was sent, no answer */
    FATE_RELEASE_UNKNOWN, /* the same for its release */
    FATE_COMMITTED,
    FATE_RELEASED,
    FATE_EXPIRED, /* was held; the engine said that its deadline has passed */
    FATE_SOLD_OUT,
    FATE_REFUSED, /* by a rule of the sale */
    FATE_FAILED,  /* by an error */
    FATE_COUNT,
};

struct ledger {
    pthread_mutex_t lock; /* making pages */
    _Atomic(uint8_t *) *pages;
};

/* False when out of memory. */
bool ledger_init(struct ledger *ledger);
void ledger_deinit(struct ledger *ledger);

/* Makes room for the numbers first..first+count-1; call before they are used. False when out of
 * memory. */
bool ledger_reserve(struct ledger *ledger, uint64_t first, uint64_t count);

static inline uint8_t *ledger_at(const struct ledger *ledger, uint64_t number)
{
    /* acquire: pairs with the release that stores a new page. */
    return atomic_load_explicit(&ledger->pages[number / LEDGER_PAGE_ORDERS], memory_order_acquire) +
           number % LEDGER_PAGE_ORDERS;
}

static inline enum fate ledger_get(const struct ledger *ledger, uint64_t number)
{
    return (enum fate) * ledger_at(ledger, number);
}

static inline void ledger_set(struct ledger *ledger, uint64_t number, enum fate fate)
{
    *ledger_at(ledger, number) = (uint8_t)fate;
}

/* True when the engine has acknowledged the order as reserved, whatever came later. */
static inline bool fate_is_acked(enum fate fate)
{
    return fate >= FATE_HELD && fate <= FATE_EXPIRED;
}

/* True when an answer is missing. */
static inline bool fate_is_open(enum fate fate)
{
    return fate == FATE_UNKNOWN || fate == FATE_COMMIT_UNKNOWN || fate == FATE_RELEASE_UNKNOWN;
}

#endif
