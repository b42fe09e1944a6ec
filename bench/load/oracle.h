/* oracle.h - asks back what was acknowledged, and judges.
 *
 * oversold    units held and sold beyond what may be sold, by the engine's numbers or by ours
 * undersold   units still free of an item that had refused an order for as many, though nothing was
 *             given back after that
 * lost        acknowledged orders that the engine knows differently or not at all; if all those
 *             that were asked back are right, units that are missing in the items' sums
 * duplicated  units held and sold beyond those that were acknowledged or are in doubt
 *
 * With options->retain_s an order that ended so long ago may be unknown to the engine: it is then
 * forgotten, not lost. What the items' sums say is bound to hold all the same, but for orders whose
 * last answer is missing and which are forgotten: their units may have been sold or not.
 *
 * Every order is asked back up to ORACLE_ASK_ALL of them; of more a random sample, while the items'
 * sums still cover all of them. Threads: one calls; it starts some of its own. */
#ifndef LOAD_ORACLE_H
#define LOAD_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "load/demand.h"
#include "load/link.h"
#include "load/options.h"
#include "load/stockroom.h"
#include "load/traffic.h"

#define ORACLE_ASK_ALL    UINT64_C(200000)
#define ORACLE_ASK_SAMPLE UINT64_C(120000) /* expected; at least 100 000 but for 1 in 10^1000 */
#define ORACLE_NOTE_BYTES 320u

struct verdict {
    bool checked;        /* the questions below were answered */
    uint64_t unknown;    /* orders that had an answer missing when sending ended */
    uint64_t unresolved; /* of these, those that could not be asked back either */
    uint64_t acked;      /* orders acknowledged */
    uint64_t asked;      /* of these, orders asked back one by one */
    uint64_t forgotten;  /* of these, orders that the engine had forgotten, as it may */
    int64_t units_held;  /* acknowledged, and so at the end */
    int64_t units_sold;
    uint64_t oversold;
    uint64_t undersold;
    uint64_t lost;
    uint64_t duplicated;
    char note[ORACLE_NOTE_BYTES]; /* the first thing that is wrong or doubtful; "": nothing is */
};

/* What the run's answers say about an item. */
struct claims {
    int64_t held; /* units acknowledged and neither committed nor released */
    int64_t committed;
    int64_t doubtful;     /* units that nobody can tell of: acknowledged, then a commit or a release
                             without an answer, and the order was forgotten */
    bool gave_back;       /* something may have been given back while it was sold */
    uint32_t refused_qty; /* least quantity refused as sold out with nothing given back later, or
                             UINT32_MAX */
};

/* Judges one item; adds to the verdict's numbers, and returns units that are missing. holds_soft:
 * holds may have expired since. Pure. */
uint64_t oracle_judge_item(const struct hf_stock *before, const struct hf_stock *after,
                           const struct claims *claims, bool holds_soft, struct verdict *verdict);

/* True when the verdict says that nothing is wrong. */
bool oracle_is_clean(const struct verdict *verdict);

/* Asks and judges after a run of traffic, which must be quiet. started_ms: Unix time when it began.
 * room->after is filled. OK, or why the engine could not be asked. */
enum hf_status oracle_run(struct verdict *verdict, const struct load_options *options,
                          const struct link *link, struct stockroom *room,
                          const struct demand *demand, struct traffic *traffic,
                          uint64_t started_ms);

#endif
