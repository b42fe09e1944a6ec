/* catalogue.h - which files a log's folder has, and what their names prove. Private to engine/wal.
 *
 * Segments get their names in the order of their numbers, each durably before the next; they lose
 * them from the lowest up (released) or from the highest down (cut off). So at any moment, after
 * any crash, the numbers there are follow one another. Also:
 *
 *     spare-S       a segment after S holds a durable block: S was released only then
 *     checkpoint-C  the same: only sealed segments are covered
 *     begun-B       segment B itself holds a durable block
 *
 * Whatever is in the files, their names can't lie about that. Where a name contradicts what the log
 * holds, a file was lost, whatever it held:
 *
 *   - a number is missing between two that are there: catalogue_gap.
 *   - the log ends before a segment that must hold a block: catalogue_short. So the last segment's
 *     loss is found, also when it was emptied, replaced by an earlier life of it or by a copy of
 *     another, and also when all those prepared after it are gone.
 *   - a spare, checkpoint or segment is another log's: catalogue_foreign. It would be mixed into
 * this one: a segment that a checkpoint covers, which nobody reads at a start, would be released
 * and be a spare.
 *
 * The reader asks all three where a log ends (tail.c), and so everything that reads a log to its
 * end decides alike: an engine's start, `wal verify`, `repair`, `checkpoint`, `replay`, `dump`,
 * `stats`. What comes before where reading begins, after a checkpoint, is asked for by
 * wal_check_covered().
 *
 * Not a fault: segments missing at the beginning, if a checkpoint covers them; prepared segments
 * missing at the end; no mark at all (an older version's log has none). Not noticed: the last
 * segments gone together with the mark; an earlier state of the whole folder.
 *
 * Threads: one. Beside a running engine what a name proves was durable when the folder was listed:
 * who has read the log before that reads on before it believes in a loss. */
#ifndef WAL_CATALOGUE_H
#define WAL_CATALOGUE_H

#include "base/id.h"
#include "wal/segment.h"

struct catalogue {
    struct segment_list segments; /* of the log, and prepared */
    struct segment_list spares;
    struct segment_list checkpoints;
    struct segment_list begun; /* marks: one, or two after a crash */
};

/* What is wrong. */
struct catalogue_fault {
    bool any;
    uint64_t segment; /* that is missing, or holds too little; 0: another file is at fault */
    char file[STORAGE_NAME_BYTES_MAX];
    char reason[160];
};

/* OK; IO_ERROR, NO_MEMORY: the catalogue is empty. */
enum hf_status catalogue_read(struct catalogue *catalogue, struct storage *storage);
void catalogue_free(struct catalogue *catalogue);

/* The first number that is missing from `from` on (0: from the lowest there is) and not after
 * `upto`, while a higher one is there. True: *fault says which. */
bool catalogue_gap(const struct catalogue *catalogue, uint64_t from, uint64_t upto,
                   struct catalogue_fault *fault);

/* The log's last block is in segment `last` (0: there is none): does a name prove that it
 * continued?
 */
bool catalogue_short(const struct catalogue *catalogue, uint64_t last,
                     struct catalogue_fault *fault);

/* Segments up to `base`, which a checkpoint covers and nobody reads at a start: the first whose
 * file can't be opened, or whose header or size is not right. OK (look at fault->any), NO_MEMORY.
 */
enum hf_status catalogue_covered(const struct catalogue *catalogue, struct storage *storage,
                                 uint64_t base, struct catalogue_fault *fault);

/* Spares, checkpoints and segments of another cluster. A file that can't be read is none. OK (look
 * at fault->any), NO_MEMORY. */
enum hf_status catalogue_foreign(const struct catalogue *catalogue, struct storage *storage,
                                 struct id128 cluster, struct catalogue_fault *fault);

#endif
