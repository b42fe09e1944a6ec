/* checkpointer.h - makes checkpoints in the background, and recycles the segments that they cover.
 *
 * It reads sealed segments and writes a file beside them; it never reads live memory. A
 * checkpoint is due when the segments since the last one hold an eighth of wal_bytes_max and the
 * engine has little to do, or a quarter of it whatever the engine does: the segments since the one
 * before are kept too, so that the log then has half of wal_bytes_max. While the engine is busy the
 * checkpointer takes a tenth of a processor, from half of wal_bytes_max on more and more, and
 * what it needs when the log has reached it.
 *
 * The last two checkpoints are kept. Segments that the older one covers are archived, if there is
 * an archive, and recycled. What fails is tried again after a second, then two, four, up to a
 * minute. When the newest checkpoint turns out to be damaged the next one is made from the one
 * before, whose segments are still there.
 *
 * Threads: its own; checkpointer_run also from a single-threaded simulation. */
#ifndef SERVER_CHECKPOINTER_H
#define SERVER_CHECKPOINTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "checkpoint/checkpoint.h"
#include "core/inventory.h"
#include "server/archive.h"
#include "server/pace.h"

struct checkpointer_options {
    struct storage *storage; /* of the log */
    struct storage *archive; /* gets segments before they are recycled; NULL: none */
    const struct clock *clock;
    struct wal *wal;
    struct inventory_options inventory;
    uint64_t wal_bytes_max;
    uint64_t segment_bytes;
    uint64_t memory_bytes; /* for sorting; 0: the default */
};

struct checkpointer {
    struct checkpointer_options options;
    struct pacer pacer;
    struct archive archive;
    pthread_t thread;
    bool running;
    uint64_t last;           /* number of the newest checkpoint; 0: none */
    uint64_t last_bytes;     /* of its file; 0: not known */
    uint64_t previous;       /* of the one before */
    uint64_t outdated;       /* to be removed; 0: none */
    uint64_t seen_lsn;       /* when the load was read last */
    bool failed;             /* to make one, the last time; reported once */
    uint64_t retry_pause_ns; /* after the next failure */
    uint64_t retry_ns;       /* nothing is tried before */
    /* For metrics; relaxed. */
    _Atomic uint64_t made;
    _Atomic uint64_t last_lsn;
    _Atomic uint64_t last_ms; /* what making it took */
};

/* Finds the checkpoints that are there; removes all but two: `newest`, the one that recovery began
 * with (0: none), and one before it. Newer ones are damaged; or, if unreadable, perhaps out of
 * reach for a while: then they stay. OK or IO_ERROR, NO_MEMORY. */
enum hf_status checkpointer_init(struct checkpointer *checkpointer,
                                 const struct checkpointer_options *options, uint64_t newest,
                                 bool unreadable);

/* OK or NO_MEMORY. */
enum hf_status checkpointer_start(struct checkpointer *checkpointer);

/* Abandons what it is making, and ends the thread. */
void checkpointer_stop(struct checkpointer *checkpointer);

/* Makes a checkpoint of what is sealed, or of a part of it if that is much. OK, NOT_FOUND (nothing
 * new is sealed), CANCELED, or why it failed (also in the diagnostics). */
enum hf_status checkpointer_run(struct checkpointer *checkpointer);

/* What the thread does five times a second: makes a checkpoint if one is due, archives what could
 * not be archived before. Otherwise for tests alone. */
void checkpointer_look(struct checkpointer *checkpointer);

#endif
