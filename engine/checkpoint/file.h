/* file.h - writing and reading a checkpoint's file, frame by frame. Private to
 * engine/wal.
 *
 * Threads: each writer and reader belongs to one thread; several readers of one file may read at
 * once. */
#ifndef CHECKPOINT_FILE_H
#define CHECKPOINT_FILE_H

#include "checkpoint/format.h"

/* ---- Writing ---- */

struct frame_writer {
    struct storage *storage;
    storage_file file;
    char temporary[STORAGE_NAME_BYTES_MAX];
    uint8_t *frame; /* FRAME_BYTES_MAX: being filled */
    uint32_t payload_bytes;
    uint32_t record_count;
    uint32_t room_bytes; /* what frame_writer_room has given and not been used yet */
    enum frame_kind kind;
    uint64_t offset;                 /* in the file: where the frame goes */
    struct checkpoint_header header; /* number set by open; frames and offsets as they come */
};

/* Makes checkpoint-<number>.ckp.tmp. OK, NO_SPACE, IO_ERROR, NO_MEMORY. */
enum hf_status frame_writer_open(struct frame_writer *writer, struct storage *storage,
                                 uint64_t number);

/* Room for a record of up to `most` bytes, in a frame of a kind; NULL with *status when the frame
 * before could not be written. Follow with frame_writer_added. */
uint8_t *frame_writer_room(struct frame_writer *writer, enum frame_kind kind, uint32_t most,
                           enum hf_status *status);
void frame_writer_added(struct frame_writer *writer, uint32_t bytes);

/* Ends the present frame, if it holds anything. */
enum hf_status frame_writer_flush(struct frame_writer *writer);

/* Writes the header, syncs, and gives the file its name. Closes the writer, as frame_writer_abandon
 * does, which removes the file. */
enum hf_status frame_writer_finish(struct frame_writer *writer);
void frame_writer_abandon(struct frame_writer *writer);

/* ---- Reading ---- */

struct frame_reader {
    struct storage *storage;
    storage_file file;
    char name[STORAGE_NAME_BYTES_MAX];
    uint64_t file_bytes;
    struct checkpoint_header header;
    uint8_t *buffer; /* FRAME_BYTES_MAX: the present frame */
    uint64_t offset; /* of the next frame */
    uint64_t end;    /* no frame from here on */
    uint64_t fault_offset;
    const char *fault; /* what is wrong with the file; NULL: nothing yet */
    /* Over the frames that were read. */
    uint64_t chain;
    uint64_t next_sequence; /* UINT64_MAX: the next one may have any */
};

/* Opens a file and checks its header. OK; NOT_FOUND; DAMAGED (see fault); IO_ERROR, NO_MEMORY: the
 * reader is closed then, except for DAMAGED. */
enum hf_status frame_reader_open(struct frame_reader *reader, struct storage *storage,
                                 uint64_t number);
void frame_reader_close(struct frame_reader *reader);

/* Goes on reading at an offset where a frame begins, up to another. */
void frame_reader_seek(struct frame_reader *reader, uint64_t offset, uint64_t end);

/* The next frame: OK with *payload, valid until the next call; NOT_FOUND at the end; DAMAGED. */
enum hf_status frame_reader_next(struct frame_reader *reader, struct frame_header *header,
                                 const uint8_t **payload);

/* A damage found by who reads the payload. Returns DAMAGED. */
enum hf_status frame_reader_fault(struct frame_reader *reader, const char *what);

/* Why a file could not be read (`status`): the damage, "FILE, offset N: what"; or, in the thread
 * where it failed, the system's reason, "FILE can't be read: why". */
void frame_reader_message(const struct frame_reader *reader, enum hf_status status, char *to,
                          size_t to_bytes);

#endif
