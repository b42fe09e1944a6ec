/* segment.h - names of a log's numbered files, and which there are. Private to engine/wal. What the
 * names prove together: catalogue.h.
 *
 * Threads: any; a list belongs to its user. */
#ifndef WAL_SEGMENT_H
#define WAL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/storage.h"

enum segment_kind {
    SEGMENT_LOG,        /* wal-<16 hex digits>.seg: part of the log, or prepared to become so */
    SEGMENT_SPARE,      /* spare-<16 hex digits>.seg: given back, to be used again */
    SEGMENT_CHECKPOINT, /* checkpoint-<16 hex digits>.ckp: covers the log up to that segment */
    SEGMENT_BEGUN,      /* begun-<16 hex digits>.mark: that segment holds a durable block */
};

void segment_name(char name[STORAGE_NAME_BYTES_MAX], enum segment_kind kind, uint64_t number);

/* True when the name is one of that kind, with *number. */
bool segment_name_parse(const char *name, enum segment_kind kind, uint64_t *number);

bool bytes_all_zero(const uint8_t *data, size_t len);

struct segment_list {
    uint64_t *numbers; /* ascending */
    size_t count;
};

/* All files of a kind. OK, IO_ERROR, NO_MEMORY. The list is empty unless OK. */
enum hf_status segment_list_read(struct segment_list *list, struct storage *storage,
                                 enum segment_kind kind);
void segment_list_free(struct segment_list *list);

#endif
