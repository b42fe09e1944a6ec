/* load.h - checks checkpoints, and loads them into an empty inventory.
 *
 * Threads: each call belongs to one thread; checkpoint_load starts more for itself. */
#ifndef CHECKPOINT_LOAD_H
#define CHECKPOINT_LOAD_H

#include "checkpoint/checkpoint.h"
#include "core/inventory.h"

struct frame_reader;

/* Loads everything except the orders into an empty inventory: SKUs, items, stock without what
 * orders hold, adjustments, limits. Results as of checkpoint_load. */
enum hf_status checkpoint_load_catalog(struct storage *storage, uint64_t number,
                                       struct inventory *inventory, struct checkpoint_info *info);

/* Checks every byte of a checkpoint. progress may be NULL. OK, DAMAGED (info->message), IO_ERROR,
 * NO_MEMORY. */
enum hf_status checkpoint_verify(struct storage *storage, uint64_t number,
                                 struct checkpoint_info *info,
                                 void (*progress)(void *context, uint64_t done, uint64_t total),
                                 void *context);

/* Loads it into an empty inventory; calling inventory_replayed is left to the caller.
 *
 * threads: how many may work at the same time, from 1. With 1, one thread enters the orders in the
 * order of the file. With more, several threads are started for each, because most of them wait for
 * the disk; they read past the page cache.
 * OK; DAMAGED, FULL, IO_ERROR, NO_MEMORY: throw the inventory away. */
enum hf_status checkpoint_load(struct storage *storage, uint64_t number,
                               struct inventory *inventory, unsigned threads,
                               struct checkpoint_info *info,
                               void (*progress)(void *context, uint64_t done, uint64_t total),
                               void *context);

/* Private to engine/checkpoint: loads the frames of the ledger into an inventory, and the marks.
 * OK, FULL, DAMAGED, IO_ERROR. */
enum hf_status checkpoint_load_ledger(struct frame_reader *reader, struct inventory *inventory,
                                      struct wal_marks *marks);

#endif
