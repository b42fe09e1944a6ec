/* traffic.h - sends the demand: messages, answers, retries, follow-ups, and the figures.
 *
 * Each connection has a fixed number of messages. A message goes round: reserve a batch of new
 * orders, then commit those that are to be committed, release those that are to be released, and
 * begin again. Its callback, on a thread of the client library, does the next step itself; the
 * caller's thread only starts messages, sends again what was not answered, and watches the time.
 *
 * With a rate, the message with order n is due at start + n/rate and leaves then or, when all
 * messages are under way, as soon as one comes back; its latency counts from when it was due. So a
 * stall shows in every message that it delayed (the "coordinated omission" of Gil Tene's talks).
 * Messages that were due but still could not be sent when the time was up count with the time that
 * they had waited by then, so that a stall at the end is not hidden either.
 *
 * Threads: one thread calls these functions. */
#ifndef LOAD_TRAFFIC_H
#define LOAD_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "load/demand.h"
#include "load/ledger.h"
#include "load/link.h"
#include "load/options.h"
#include "load/schedule.h"
#include "load/stockroom.h"
#include "load/timeline.h"

#define TRAFFIC_ERROR_BYTES 320u

struct traffic;

/* Counts of answers, by order. */
struct tally {
    uint64_t ok;
    uint64_t sold_out;
    uint64_t refused; /* by a rule of the sale */
    uint64_t failed;  /* by an error */
    uint64_t committed;
    uint64_t released;
    uint64_t expired; /* a commit came too late */
};

/* What the generator itself has used, from the end of the warm-up to the end of the figures. */
struct cost {
    double user_s; /* CPU of all threads of the process */
    double system_s;
    double wall_s;
    uint64_t orders;      /* answered in that time */
    uint64_t max_rss_kib; /* of the whole run */
};

struct figures {
    struct tally all;
    struct tally measured;    /* after the warm-up */
    struct histogram reserve; /* ns, one value a message: due to all of it answered */
    struct histogram follow;  /* ns, the same for commits and releases */
    uint64_t measured_ns;     /* first due to last answer, after the warm-up */
    uint64_t stall_ns;        /* longest time between two answers while some were awaited,
                                 after the warm-up */
    uint64_t sent;            /* orders */
    uint64_t retries;         /* messages sent again, after the warm-up */
    uint64_t unsent;          /* orders that were due at the end and could not be sent */
    struct cost cost;
    bool gave_up;                    /* the engine did not answer for give_up_s */
    char error[TRAFFIC_ERROR_BYTES]; /* the first error; "": none */
};

/* What the answers showed about an item. */
struct item_news {
    uint32_t sold_out_qty; /* least quantity that was refused as sold out; UINT32_MAX: none */
    bool closed;           /* refused by a rule that holds for everybody: not open, paused */
    bool swept;            /* refused one unit when nothing was given back any more */
};

/* demand, room, link and options stay the caller's and must outlive it. */
enum hf_status traffic_open(struct traffic **out, const struct load_options *options,
                            const struct link *link, const struct stockroom *room,
                            struct demand *demand);

/* Nothing may be under way; clients must be closed first if the traffic gave up. */
void traffic_close(struct traffic *traffic);

/* Random demand as the options bound it; with until_sold_out until little of it finds units. */
void traffic_run(struct traffic *traffic);

/* Sells what is left of every item, in rounds of one-unit orders. */
void traffic_sell_out(struct traffic *traffic);

/* One order for one unit of each item, given back at once. *first is the first order's number, of
 * index_count. False when it could not be sent. */
bool traffic_probe(struct traffic *traffic, const uint32_t *indexes, uint32_t index_count,
                   uint64_t *first);

/* Numbers used so far are 1 up to below this one. */
uint64_t traffic_next_number(const struct traffic *traffic);

/* The id of an order of this run. */
struct hf_id traffic_id(const struct traffic *traffic, uint64_t number);

/* Unix time in ms: the order of this number was not sent before it. A tenth of a second early at
 * the most. 0 without options->retain_s. */
uint64_t traffic_not_sent_before(const struct traffic *traffic, uint64_t number);

struct ledger *traffic_ledger(struct traffic *traffic);
struct item_news traffic_news(const struct traffic *traffic, uint32_t index);

/* The figures end here: what is sent from now on, as the oracle's probes, is not part of them. */
void traffic_end_figures(struct traffic *traffic);

/* The windows of the measured time; NULL unless options->report. Complete once the figures ended.
 * The traffic's. */
const struct timeline *traffic_timeline(const struct traffic *traffic);

/* The pace; NULL without --rate. The traffic's. *lead_s: how long after its start measuring began.
 */
const struct schedule *traffic_schedule(const struct traffic *traffic, double *lead_s);

/* The figures so far. Also while messages are under way. */
void traffic_figures(struct traffic *traffic, struct figures *figures);

#endif
