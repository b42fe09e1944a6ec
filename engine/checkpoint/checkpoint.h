/* checkpoint.h - the state that a log prefix leads to, as a file: made from the checkpoint before
 * and the sealed segments since, never from live memory.
 *
 * checkpoint(k) + segments -> checkpoint(k+1) is a pure function: equal logs give equal bytes. It
 * streams. The state but for orders is a ledger in memory (core/image.h). Orders are in the file in
 * the order of id_hash(); the segments' order records are gathered, sorted by id_hash and LSN, and
 * merged with the old file's orders into the new one. When they exceed memory_bytes, the segments
 * are read several times, each time for a part of the hashes. So memory does not grow with the
 * number of orders.
 *
 * A checkpoint always covers whole segments: its number is that of the last segment it covers, and
 * reading goes on with the next one. Files: checkpoint-<16 hex digits>.ckp; *.tmp while being made.
 * Written beside, synced, renamed, directory synced. docs/checkpoint-format.md has every byte.
 *
 * Threads: each call belongs to one thread; building reads files that nobody writes any more, so it
 * runs beside the engine. */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/inventory.h"
#include "io/storage.h"
#include "wal/marks.h"
#include "wal/reader.h"

/* What a checkpoint's header tells. */
struct checkpoint_info {
    uint64_t number;        /* of the last segment it covers */
    struct wal_start start; /* where the log goes on: in segment number + 1 */
    uint64_t wall_ms;       /* of the last block it covers */
    uint64_t engine_ms;     /* likewise; 0: not known */
    uint64_t digest;        /* of the state at start.lsn */
    uint64_t file_bytes;
    uint64_t skus;
    uint64_t items;
    uint64_t orders;
    uint64_t orders_held;
    struct wal_marks marks;
    bool apart;        /* DAMAGED, because the segment behind it does not go on where it ends */
    char message[256]; /* DAMAGED, IO_ERROR: file and reason; else "" */
};

/* What became of reading a checkpoint is the file's own fault: its bytes are damaged or can't be
 * read. An older one and the log behind it lead to the same state, so it may be passed over. Not so
 * out of memory, or settings that are too small: an older one would meet the same. */
static inline bool checkpoint_is_lost(enum hf_status status)
{
    return status == HF_DAMAGED || status == HF_IO_ERROR;
}

/* Numbers of all checkpoints, ascending. OK, IO_ERROR, NO_MEMORY. Free with free(). */
enum hf_status checkpoint_list(struct storage *storage, uint64_t **numbers, size_t *count);
void checkpoint_name(char name[STORAGE_NAME_BYTES_MAX], uint64_t number);

/* Reads the header alone, and that of the segment behind it, if it is there: do they fit? (So does
 * all that reads a checkpoint.) OK, NOT_FOUND, DAMAGED, IO_ERROR. */
enum hf_status checkpoint_read_info(struct storage *storage, uint64_t number,
                                    struct checkpoint_info *info);

/* Loads all of it but the orders into an empty inventory: SKUs, items, stock without what orders
 * hold, adjustments, limits. As checkpoint_load. */
enum hf_status checkpoint_load_catalog(struct storage *storage, uint64_t number,
                                       struct inventory *inventory, struct checkpoint_info *info);

/* Checks every byte of it. progress may be NULL. OK, DAMAGED (info->message), IO_ERROR. */
enum hf_status checkpoint_verify(struct storage *storage, uint64_t number,
                                 struct checkpoint_info *info,
                                 void (*progress)(void *context, uint64_t done, uint64_t total),
                                 void *context);

/* Loads it into an empty inventory (inventory_replayed is left to the caller). threads: 1 up, that
 * may be at work at once. One alone enters the file's orders one after another; with more there are
 * others beside, which wait for the disk meanwhile, past the page cache. OK; DAMAGED, FULL,
 * IO_ERROR, NO_MEMORY: the inventory is to be thrown away. */
enum hf_status checkpoint_load(struct storage *storage, uint64_t number,
                               struct inventory *inventory, unsigned threads,
                               struct checkpoint_info *info,
                               void (*progress)(void *context, uint64_t done, uint64_t total),
                               void *context);

struct checkpoint_build_options {
    struct storage *storage; /* has the segments and the base; gets the new file */
    struct storage *out;     /* NULL: storage; where the new file goes */
    uint64_t base;           /* number of the checkpoint to start from; 0: the log's beginning */
    uint64_t upto;           /* last segment to cover: sealed, above base */
    uint64_t memory_bytes;   /* for order records, at least 1 MiB */
    bool gently;             /* an engine writes to the same disk: see wal_reader_go_easy */
    struct inventory_options inventory; /* the ledger's sizes; orders are none of it, but what else
                                           follows from orders_max */
    /* Called often, between steps of some 100 us: may sleep to go easy; false stops the building
     * with CANCELED. done and total in bytes to read and write. NULL: none. */
    bool (*pace)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Builds the checkpoint of segment `upto`. OK; CANCELED; DAMAGED (segments or base: info->message);
 * NO_SPACE, IO_ERROR, NO_MEMORY, FULL. Unless OK nothing is left behind but perhaps a .tmp file,
 * which the next storage_open removes. */
enum hf_status checkpoint_build(const struct checkpoint_build_options *options,
                                struct checkpoint_info *info);

/* Removes a checkpoint's file. */
enum hf_status checkpoint_remove(struct storage *storage, uint64_t number);

#endif
