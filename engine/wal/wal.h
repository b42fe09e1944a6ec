/* wal.h - the write-ahead log: append from any thread, group commit by one.
 *
 * Appenders copy their records into the group that is filling and get their LSN at once. The
 * writer seals the group (one XXH3, one header), writes it with one durable write, and when that
 * is done moves commit_lsn and calls the waiters. While one group is under way the next one fills:
 * groups grow with load and are immediate when idle. Groups are acknowledged strictly in order.
 *
 * After a failed write the log is closed for good: every waiter, present and future, is notified
 * INTERNAL, and nothing is written again.
 *
 * Threads: wal_append, wal_wait, wal_admit and the getters from any thread. The writer's steps
 * (wal_step) from one thread: its own after wal_start(), or a test's. */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/timekeeper.h"
#include "io/storage.h"
#include "wal/reader.h"

struct wal;

struct wal_options {
    uint64_t segment_bytes;  /* WAL_SEGMENT_BYTES_LEAST(group_bytes)..WAL_SEGMENT_BYTES_MAX, a
                                multiple of WAL_PAGE_BYTES */
    uint32_t group_bytes;    /* payload of one block, at most, and so of one append; 0, as in every
                                real log: WAL_GROUP_BYTES_MAX. Tests set less, a multiple of 8, for
                                segments that are soon full */
    uint32_t spare_segments; /* prepared ahead of use, at least 1 */
    uint64_t keep_bytes;     /* of all segments' files: while they have no more, those released
                                are kept to be used again; spare_segments of them always are */
    uint64_t covered; /* segments up to this one are covered by a checkpoint: they were durable
                         when it was made, and whether they can be read does not matter */
    uint32_t in_flight_max;      /* groups under way at once; 1 keeps the torn-tail rule exact */
    uint64_t digest_every_bytes; /* a DIGEST block after so much log; 0: none */
};

/* Who waits for the log. Owned by the caller; untouched by it from the call until done() runs. */
struct wal_waiter {
    struct wal_waiter *next;
    /* OK: all that the waiter depends on is durable; INTERNAL: the log is closed. Runs on the
     * writer's thread: short, and never blocks. */
    void (*done)(struct wal_waiter *waiter, enum hf_status status);
};

enum wal_state {
    WAL_OPEN,
    WAL_READ_ONLY, /* no segment can be made (a full disk, most often): appends that were admitted
                      still fit, no new ones */
    WAL_CLOSED,    /* a write failed */
};

/* Opens a log for appending after `end`, which a reader found (damaged: refused with DAMAGED;
 * torn: the suffix is cut off first, see wal_cut). What can be refused is refused before anything
 * is changed. Makes the first segment when the log is empty, and writes an EPOCH block with the
 * next term, which is durable on return. digest: the digest of the state at end->lsn. */
enum hf_status wal_open(struct wal **out, const struct wal_options *options,
                        struct storage *storage, struct timekeeper *time, const struct wal_end *end,
                        uint64_t digest);

/* Frees everything. The threads must have been stopped. */
void wal_close(struct wal *wal);

/* Starts the writer's thread and the one that prepares segments. */
enum hf_status wal_start(struct wal *wal);

/* Writes what was appended, notifies all waiters, adds a DIGEST block, and ends the threads. Nobody
 * appends any more. */
void wal_stop(struct wal *wal);

/* May new work be started? OK, BUSY (too much is waiting to be written), READ_ONLY (the
 * present segment is full and no other can be made: wal_stuck_reason), INTERNAL (closed). Work that
 * was admitted may append; wal_append then waits at worst for the writer. Costs a few loads. */
enum hf_status wal_admit(const struct wal *wal);

/* How long, in ns, an answer that is appended now will probably wait until it is durable: for the
 * rest of the write under way, the groups that wait before its own, and its own, by the times of
 * the last writes (wal/write_time.h). 0: nothing is known (nothing was written for a second), or
 * the log is closed. It grows while a write takes longer than usual. Any thread; costs a reading of
 * the monotonic clock and a few loads. */
uint64_t wal_expected_ns(const struct wal *wal);

/* Appends records: record_count of them in len bytes (1..WAL_APPEND_BYTES_MAX and no more than
 * wal_options.group_bytes, a multiple of 8).
 * Returns OK with *start_lsn, the LSN where the first record begins (so a record's LSN is
 * *start_lsn plus the offset of its end); or INTERNAL when the log is closed. They stay together
 * in one block. digest_delta: the sum of the events'. Nobody is notified when they are durable:
 * wal_wait does that, once the caller's response is complete. */
enum hf_status wal_append(struct wal *wal, const void *records, uint32_t len, uint32_t record_count,
                          uint64_t digest_delta, uint64_t *start_lsn);

/* How an append that must wait for the writer reports it. */
struct wal_patience {
    atomic_bool *waits; /* true while the call waits, false at all other times: so it is false
                           before the records have an LSN */
    uint64_t waited_ns; /* how long it waited is added */
};

/* As wal_append; patience: NULL, or the caller's. */
enum hf_status wal_append_patient(struct wal *wal, const void *records, uint32_t len,
                                  uint32_t record_count, uint64_t digest_delta, uint64_t *start_lsn,
                                  struct wal_patience *patience);

/* Waits until all before lsn is durable: the LSN of the caller's own last record, or wal_tail_lsn()
 * read after the decision, for refusals, replays and reads (rule 3). lsn: at most wal_tail_lsn().
 * True: the waiter was taken and will be told (once that group is durable, not later ones; told
 * INTERNAL when the log is closed). False: it is durable now, the waiter is not used. */
bool wal_wait(struct wal *wal, uint64_t lsn, struct wal_waiter *waiter);

/* When the last groups were found durable: of the log's monotonic clock, in ns. Only from a
 * waiter's done(), and with OK: it is the time of that waiter's group, or of one that came in with
 * it. */
uint64_t wal_durable_ns(const struct wal *wal);

/* Why the next segment can't be made; "" when it can. Any thread. */
#define WAL_REASON_BYTES 128u
void wal_stuck_reason(struct wal *wal, char text[WAL_REASON_BYTES]);

uint64_t wal_commit_lsn(const struct wal *wal); /* all before it is durable */
uint64_t wal_tail_lsn(const struct wal *wal);   /* all before it has been appended */
enum wal_state wal_state(const struct wal *wal);
struct id128 wal_cluster(const struct wal *wal);

struct wal_stats {
    uint64_t blocks;
    uint64_t payload_bytes;
    uint64_t written_bytes;
    uint64_t segments; /* begun by this process */
    uint64_t term;
    uint64_t index; /* of the last durable block */
    uint64_t group_records_max;
};
void wal_stats(const struct wal *wal, struct wal_stats *stats);

/* One pass of the writer: reap, seal, submit, tell waiters. wait: sleep until there is something
 * to do (at most 100 ms). Returns true if it did anything. For the writer's thread and for
 * single-threaded simulations. */
bool wal_step(struct wal *wal, bool wait);

/* One pass of the segment preparer: makes at most one spare segment; tries again what failed
 * before. Returns true if it made one. */
bool wal_prepare_step(struct wal *wal);

/* Told when a wal_append must wait for the writer and nobody else runs it: single-threaded
 * simulations set it to run wal_step. NULL: sleep. */
void wal_set_stall_hook(struct wal *wal, void (*hook)(void *context), void *context);

/* before() and after() are called on the writer's thread around each run of waiters that it tells
 * (done() of one or more waiters, one after another), so that what the waiters send can be gathered
 * and sent at once. They must not block.
 * Both or neither (NULL: none, as at first). Before wal_start(), or while nobody steps. */
void wal_set_tell_hooks(struct wal *wal, void (*before)(void *context),
                        void (*after)(void *context), void *context);

/* What wal_recycle asks its caller. */
struct wal_recycler {
    /* Called with each segment before it is released, to archive it: false keeps it and all
     * after it for now. */
    bool (*before)(void *context, uint64_t number);
    /* Called between the pieces in which a file goes that is not kept; see
     * storage_unlink_gradually. */
    bool (*rest)(void *context);
    void *context;
};

/* Gives back the segments whose numbers are at or below `last`: they are renamed to spares and used
 * again, or removed where wal_options.keep_bytes says that there are enough. recycler: NULL, or
 * either of its functions NULL: not asked. For the checkpointer, one thread. */
void wal_recycle(struct wal *wal, uint64_t last, const struct wal_recycler *recycler);

/* The greatest number of a segment that is sealed: written full, and durable to its end; 0: none.
 */
uint64_t wal_sealed_segment(const struct wal *wal);

/* Bytes of the log's begun segments. */
uint64_t wal_log_bytes(struct wal *wal);

#endif
