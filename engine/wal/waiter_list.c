/* waiter_list.c - lists of those who wait for the log.
 *
 * Threads: a list belongs to whoever holds the lock that guards it. */
#include "wal/waiter_list.h"

#include <stddef.h>

#include "base/check.h"

void waiter_list_add(struct waiter_list *list, struct wal_waiter *waiter)
{
    CHECK(waiter->done != NULL);
    CHECK((list->first == NULL) == (list->last == NULL));
    waiter->next = NULL;
    if (list->last) {
        list->last->next = waiter;
    } else {
        list->first = waiter;
    }
    list->last = waiter;
}

void waiter_list_join(struct waiter_list *list, struct waiter_list *more)
{
    CHECK((more->first == NULL) == (more->last == NULL));
    CHECK((list->first == NULL) == (list->last == NULL));
    if (!more->first) {
        return;
    }
    if (list->last) {
        list->last->next = more->first;
    } else {
        list->first = more->first;
    }
    list->last = more->last;
    *more = (struct waiter_list){0};
}

bool waiter_list_longer(const struct waiter_list *list, unsigned count)
{
    const struct wal_waiter *waiter = list->first;
    for (; waiter && count > 0; count--) {
        waiter = waiter->next;
    }
    return waiter != NULL;
}

bool waiter_list_tell(struct waiter_list *list, enum hf_status status)
{
    struct wal_waiter *waiter = list->first;
    *list = (struct waiter_list){0};
    bool any = waiter != NULL;
    while (waiter) {
        struct wal_waiter *next = waiter->next; /* done() may free or reuse it */
        waiter->done(waiter, status);
        waiter = next;
    }
    return any;
}
