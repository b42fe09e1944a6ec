/* changes.h - the stream of a log's records from an LSN on, with the names of their items.
 *
 * Threads: one at a time. */
#ifndef FEED_CHANGES_H
#define FEED_CHANGES_H

#include <stdatomic.h>

#include "history/item_names.h"
#include "history/replay.h"
#include "wal/follow.h"

/* As LSNs: from wherever the log begins; or from as late as all names are known, which is before
 * anything that is written from now on. */
#define CHANGES_OLDEST UINT64_MAX
#define CHANGES_NEWEST (UINT64_MAX - 1)

#define CHANGES_TEXT_BYTES 128u

/* All zero is closed. */
struct changes {
    struct storage *storage;
    struct wal_follow *follow;
    struct item_names names;
    uint64_t lsn;        /* of the last record returned; at first, what was asked for */
    uint64_t oldest_lsn; /* where the log began when the stream was opened, or had EXPIRED */
    bool in_block;
    struct wal_block block;
    struct history_records records;
    const char *reason;      /* DAMAGED: what is wrong; NULL: not known */
    const atomic_bool *stop; /* the caller's to set, after opening; NULL: nothing stops it */
};

/* Opens the stream of the records after an LSN. OK; as wal_follow_open. */
enum hf_status changes_open(struct changes *changes, struct storage *storage, uint64_t lsn);
void changes_close(struct changes *changes);

/* After changes_next returned NOT_FOUND: does the log end before an LSN? Then an error's text is in
 * `text` (CHANGES_TEXT_BYTES). */
bool changes_end_before(const struct changes *changes, uint64_t lsn, char *text);

/* The next record, valid until the next call, and when its block was sealed. As wal_follow_next; or
 * NO_MEMORY, or CANCELED: *stop is true. After CANCELED it may be called again. */
enum hf_status changes_next(struct changes *changes, struct event *event, uint64_t *wall_ms);

#endif
