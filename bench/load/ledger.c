/* ledger.c - pages of the ledger. Threads: see ledger.h. */
#include "load/ledger.h"

#include <stdlib.h>

#include "base/check.h"

bool ledger_init(struct ledger *ledger)
{
    ledger->pages = calloc(LEDGER_PAGES_MAX, sizeof *ledger->pages);
    if (!ledger->pages) {
        return false;
    }
    CHECK(pthread_mutex_init(&ledger->lock, NULL) == 0);
    return true;
}

void ledger_deinit(struct ledger *ledger)
{
    if (!ledger->pages) {
        return;
    }
    for (uint64_t i = 0; i < LEDGER_PAGES_MAX; i++) {
        free(atomic_load_explicit(&ledger->pages[i], memory_order_relaxed));
    }
    free(ledger->pages);
    ledger->pages = NULL;
    pthread_mutex_destroy(&ledger->lock);
}

static bool make_page(struct ledger *ledger, uint64_t page)
{
    bool made = true;
    CHECK(pthread_mutex_lock(&ledger->lock) == 0);
    if (!atomic_load_explicit(&ledger->pages[page], memory_order_relaxed)) {
        uint8_t *bytes = calloc(LEDGER_PAGE_ORDERS, 1);
        made = bytes != NULL;
        /* release: pairs with the acquire in ledger_at and ledger_reserve. */
        atomic_store_explicit(&ledger->pages[page], bytes, memory_order_release);
    }
    CHECK(pthread_mutex_unlock(&ledger->lock) == 0);
    return made;
}

bool ledger_reserve(struct ledger *ledger, uint64_t first, uint64_t count)
{
    CHECK(count > 0);
    uint64_t last_page = (first + count - 1) / LEDGER_PAGE_ORDERS;
    if (last_page >= LEDGER_PAGES_MAX) {
        return false;
    }
    for (uint64_t page = first / LEDGER_PAGE_ORDERS; page <= last_page; page++) {
        /* acquire: pairs with the release in make_page. */
        if (!atomic_load_explicit(&ledger->pages[page], memory_order_acquire) &&
            !make_page(ledger, page)) {
            return false;
        }
    }
    return true;
}
