/* segment.h - the names of a log's numbered files, and lists of the files that exist. The only
 * place where such a name is made or read. What the names prove together: catalogue.h.
 *
 * Threads: any; a list belongs to its user. */
#ifndef WAL_SEGMENT_H
#define WAL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/storage.h"

enum segment_kind {
    SEGMENT_LOG,        /* wal-<16 hex digits>.seg: part of the log, or prepared to become part */
    SEGMENT_SPARE,      /* spare-<16 hex digits>.seg: no longer needed, to be used again */
    SEGMENT_CHECKPOINT, /* checkpoint-<16 hex digits>.ckp: covers the log up to that segment */
    SEGMENT_BEGUN,      /* begun-<16 hex digits>.mark: that segment holds a durable block */
};

/* Makes the name of a file of a kind. */
void segment_name(char name[STORAGE_NAME_BYTES_MAX], enum segment_kind kind, uint64_t number);

/* The name of a segment of the log: of kind SEGMENT_LOG. */
void wal_segment_name(char name[STORAGE_NAME_BYTES_MAX], uint64_t number);

/* True when the name is one of that kind, with *number. */
bool segment_name_parse(const char *name, enum segment_kind kind, uint64_t *number);

struct segment_list {
    uint64_t *numbers; /* ascending */
    size_t count;
};

/* All files of a kind. OK, IO_ERROR, NO_MEMORY. The list is empty unless OK. */
enum hf_status segment_list_read(struct segment_list *list, struct storage *storage,
                                 enum segment_kind kind);
void segment_list_free(struct segment_list *list);

/* The lowest number of a segment of the log; 0: the log has no segment. OK, IO_ERROR, NO_MEMORY. */
enum hf_status wal_first_segment(struct storage *storage, uint64_t *number);

#endif
