/* replayer.h - applies a log's blocks to an inventory, with several threads.
 *
 * Who reads the log hands block after block over. Records of orders are sorted by whose they are
 * (replay.h: each lane has its shards of the order table), gathered into batches, and applied by
 * the lanes' threads, each in the order of the log. All else waits until the lanes are done with
 * what came before, and is applied by the reading thread.
 *
 * What is found wrong is what one thread alone would have found first: each lane reports its first
 * fault, batches end in the order of the log, and of one batch's faults the first counts. A DIGEST
 * block ends a batch; the lanes' digests at that point must add up to it.
 *
 * Threads: the calls belong to one thread, the one that reads. */
#ifndef SERVER_REPLAYER_H
#define SERVER_REPLAYER_H

#include "core/inventory.h"
#include "wal/reader.h"

struct replayer;

/* What was wrong. */
struct replayer_fault {
    char file[STORAGE_NAME_BYTES_MAX];
    uint64_t offset;
    const char *reason; /* static */
};

/* threads: that apply, 1 up; with one there is no other than the caller's. digest: of the inventory
 * as it is. NO_MEMORY. */
enum hf_status replayer_start(struct replayer **out, struct inventory *inventory, unsigned threads,
                              uint64_t digest);

/* Takes a block, which may be gone afterwards. OK; DAMAGED or FULL, of this block or one before:
 * then no more is taken. */
enum hf_status replayer_block(struct replayer *replayer, const struct wal_block *block);

/* Waits until all blocks are applied, and puts what was added up into the inventory. OK with its
 * digest; DAMAGED or FULL as above: the inventory is to be thrown away. */
enum hf_status replayer_finish(struct replayer *replayer, uint64_t *digest);

/* After DAMAGED. */
const struct replayer_fault *replayer_fault(const struct replayer *replayer);

/* So far: records handed over, and DIGEST blocks that agreed. */
uint64_t replayer_records(const struct replayer *replayer);
uint64_t replayer_digests(const struct replayer *replayer);

/* Ends the threads and frees it. NULL is allowed. */
void replayer_stop(struct replayer *replayer);

#endif
