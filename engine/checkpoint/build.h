/* build.h - builds a checkpoint from the one before it and the sealed segments since.
 *
 * Threads: each call belongs to one thread. It reads files that nobody writes any more, so it can
 * run beside the engine. */
#ifndef CHECKPOINT_BUILD_H
#define CHECKPOINT_BUILD_H

#include "checkpoint/checkpoint.h"
#include "core/inventory.h"

struct checkpoint_build_options {
    struct storage *storage; /* has the segments and the base; gets the new file */
    struct storage *out;     /* where the new file goes; NULL: to storage */
    uint64_t base;           /* number of the checkpoint to start from; 0: the log's beginning */
    uint64_t upto;           /* last segment to cover: sealed, above base */
    uint64_t memory_bytes;   /* for order records, at least 1 MiB */
    bool gently;             /* an engine writes to the same disk: see wal_reader_read_gently */
    struct inventory_options inventory; /* sizes of the ledger. It holds no orders, but some of its
                                           sizes follow from orders_max */
    /* Called often, between steps of some 100 us. It may sleep, to leave the disk and the processor
     * to the engine; false stops the building with CANCELED. done and total: bytes to read and
     * write. NULL: not called. */
    bool (*pace)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Builds the checkpoint of segment `upto`. OK; CANCELED; DAMAGED (segments or base: info->message);
 * NO_SPACE, IO_ERROR, NO_MEMORY, FULL. Unless OK nothing is left except perhaps a .tmp file, which
 * the next storage_open removes. */
enum hf_status checkpoint_build(const struct checkpoint_build_options *options,
                                struct checkpoint_info *info);

#endif
