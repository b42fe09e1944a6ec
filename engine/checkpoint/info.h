/* info.h - which checkpoints there are, and what their headers say.
 *
 * Threads: each call belongs to one thread. */
#ifndef CHECKPOINT_INFO_H
#define CHECKPOINT_INFO_H

#include "checkpoint/checkpoint.h"

struct frame_reader;

/* The name of a checkpoint's file. */
void checkpoint_name(char name[STORAGE_NAME_BYTES_MAX], uint64_t number);

/* Numbers of all checkpoints, ascending. OK, IO_ERROR, NO_MEMORY. Free with free(). */
enum hf_status checkpoint_list(struct storage *storage, uint64_t **numbers, size_t *count);

/* Removes a checkpoint's file. */
enum hf_status checkpoint_remove(struct storage *storage, uint64_t number);

/* Reads the header, and that of the segment after it, if there is one: do they fit together? (All
 * that reads a checkpoint checks this.) OK, NOT_FOUND, DAMAGED, IO_ERROR, NO_MEMORY. */
enum hf_status checkpoint_read_info(struct storage *storage, uint64_t number,
                                    struct checkpoint_info *info);

/* Private to engine/checkpoint: as checkpoint_read_info, and leaves the file open when OK. All that
 * reads a checkpoint begins here, so that nothing reads one that belongs to another log. */
enum hf_status checkpoint_open(struct frame_reader *reader, struct storage *storage,
                               uint64_t number, struct checkpoint_info *info);

#endif
