/* judge.h - opens what a power cut has left and holds it against the shop's ledger.
 *
 * Threads: one. */
#ifndef CRASH_JUDGE_H
#define CRASH_JUDGE_H

#include "crash/disk.h"
#include "crash/shop.h"

struct judge {
    const struct shop *shop;
    struct disk_image last; /* all of the trace, nothing lost: what archived files must be */
    char what[2048];        /* the first violation; "": none */
    uint64_t reopened;      /* states whose recovery was interrupted, too */
    uint64_t verified;      /* by the code of `wal verify`, too */
    uint64_t second_line;   /* opened with the newest checkpoint damaged, too */
    uint64_t torn;          /* whose log ended in a torn block */
};

void judge_init(struct judge *judge, const struct shop *shop);
void judge_deinit(struct judge *judge);

/* The power fails when `at` records were there, the last of them at time_ns. False: a promise is
 * broken, judge->what says which. */
bool judge_state(struct judge *judge, const struct disk_image *image, uint64_t at, uint64_t time_ns,
                 struct rng *rng);

/* Writes the state below a directory, which exists. */
void judge_write(const struct disk_image *image, const char *folder);

/* Writes it, and has the binary verify it, start from it, and stop. */
bool judge_with_binary(struct judge *judge, const struct disk_image *image, const char *binary);

#endif
