/* reader_private.h - the reader's state, shared by reader.c and tail.c. Private to engine/wal.
 *
 * Threads: one. */
#ifndef WAL_READER_PRIVATE_H
#define WAL_READER_PRIVATE_H

#include "wal/reader.h"

/* One read is as large as what was read in a row before it: who wants one page pays for little of
 * the buffer (each page of it that is touched is a page fault), and who reads a whole log soon
 * reads it in large pieces. */
#define READER_BUFFER_BYTES MIB(4)
#define READER_FIRST_BYTES  KIB(64)
#define READER_GENTLE_BYTES KIB(256) /* no more than this while going easy or searching */

static_assert(READER_BUFFER_BYTES >= 2 * (WAL_GROUP_BYTES_MAX + 2 * WAL_PAGE_BYTES),
              "the largest block fits, however it lies");
static_assert(READER_FIRST_BYTES >= WAL_PAGE_BYTES && READER_FIRST_BYTES <= READER_GENTLE_BYTES &&
                  READER_GENTLE_BYTES <= READER_BUFFER_BYTES,
              "reads grow from the first to the whole buffer");

struct wal_reader {
    struct storage *storage;
    struct segment_list segments;
    size_t position; /* of the open segment in the list */
    bool file_open;
    storage_file file;
    uint64_t file_bytes;
    uint64_t offset;   /* in the open segment: where the next block is expected */
    bool recycled;     /* the open segment's header says so */
    bool end_recycled; /* the same of the segment that the last valid block is in */

    uint8_t *buffer; /* READER_BUFFER_BYTES, page aligned */
    uint64_t buffer_offset;
    size_t buffer_bytes;
    size_t read_bytes; /* of the next read */

    /* What has been read so far, as the end would be if nothing more came. end.segment 0: no valid
     * block yet; the other fields then are what the first block must fit. */
    struct wal_end end;
    uint64_t start_segment; /* reading began after a checkpoint, here; 0: at the first there is */
    uint64_t last_segment;  /* reading stops at its end; 0: at the log's */
    bool cluster_known;
    bool ended;
    bool gentle;            /* see wal_reader_read_gently */
    bool searching;         /* after the end, for what proves a later block */
    bool following;         /* a block that is not there will come: see wal_reader_follow */
    unsigned looks_left;    /* before a torn tail is reported: see wal_reader_be_patient */
    uint64_t retried_index; /* a block that was read again before it was called damaged; 0: none */

    /* The check that failed last, and where. */
    char bad_file[STORAGE_NAME_BYTES_MAX];
    uint64_t bad_offset;
    const char *bad_reason;
    const char *next_reason; /* why the next segment was not entered; NULL: not tried */

    char trouble[160]; /* see wal_reader_trouble */

    uint64_t done_bytes;
    uint64_t total_bytes;
};

/* Makes [offset, offset + len) of the open file available. OK with *data, or *data NULL when the
 * file ends before; IO_ERROR. */
enum hf_status reader_need(struct wal_reader *reader, uint64_t offset, size_t len,
                           const uint8_t **data);

/* Reads the list of the segments to be read again. OK, IO_ERROR, NO_MEMORY. */
enum hf_status reader_list_segments(struct wal_reader *reader);

/* What is read next is little, whatever was read before. */
void reader_read_small(struct wal_reader *reader);

/* Opens the segment at a position in the list, from its start. */
enum hf_status reader_open_segment(struct wal_reader *reader, size_t position);
void reader_close_segment(struct wal_reader *reader);

/* Starts over at the end reached so far, with the directory as it is now. OK; CANCELED: that
 * segment was released; IO_ERROR, NO_MEMORY. */
enum hf_status reader_start_again(struct wal_reader *reader);

#endif
