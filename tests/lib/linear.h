/* linear.h - a checker of concurrent histories: could one caller after another have been given
 * these answers, each at some moment between its call and its answer?
 *
 * A history is what callers saw of an engine: of each call its arguments, when it was made, when it
 * was answered, and what with; or that no answer came (the engine was killed), so that it has
 * happened at some time after the call, or never. The checker looks for an order of all calls that
 *   - keeps to the times: a call that was answered before another was made comes before it;
 *   - is legal: each answer is what a shop with one clerk would give there (the states of orders
 *     in docs/protocol.md, and the sums of stock), also after a kill: so what was answered, and
 *     what a reader saw, survives.
 * The checker takes all of a history together, so an order of several lines, a move between pools
 * and a reading of several items are each one step: nobody may see half of one.
 *
 * Where the engine promises less than that, so does the checker, and no less:
 *   - SOLD_OUT (and WOULD_OVERSELL, EXPIRED_SOLD_OUT): right when at one moment during the call
 *     fewer units were free than asked. Units that another call in progress has taken are not free,
 *     even if that call is refused in the end. Units that were credited are free once anybody can
 *     have seen that they were. For a line that is split over items, units that are moved between
 *     them are free all the time.
 *   - An order whose deadline has passed expires at any time after it. None expires early, and none
 *     is committed late.
 *
 * Why so, and what else was considered: docs/decisions/0024-histories.md.
 *
 * The search: Wing and Gong, "Testing and Verifying Concurrent Objects", 1993, with Lowe's memory
 * of what was tried, "Testing for linearizability", 2017. Its cost grows with how many calls
 * overlap, not with the length of the history: for four callers it is some thirty states, unless
 * there is no such order.
 *
 * Threads: one. A history is filled by one thread, after the others have ended. */
#ifndef TESTS_LIB_LINEAR_H
#define TESTS_LIB_LINEAR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "holdfast/status.h"

#define LINEAR_ITEMS       4u  /* numbered from 0 */
#define LINEAR_ORDERS      16u /* likewise */
#define LINEAR_ADJUSTMENTS 16u /* likewise */
#define LINEAR_CALLS       128u
#define LINEAR_NONE        UINT8_MAX
#define LINEAR_ANY_LIFE    UINT8_MAX

enum linear_type {
    LINEAR_RESERVE,
    LINEAR_COMMIT,
    LINEAR_RELEASE,
    LINEAR_RETURN,
    LINEAR_EXTEND,
    LINEAR_GET_ORDER,
    LINEAR_GET_STOCK,
    LINEAR_ADJUST,
    LINEAR_MOVE,
    LINEAR_RESTART, /* the engine was killed and started again, somewhere between the two times */
};

/* As the wire has them. */
enum linear_state {
    LINEAR_UNKNOWN = 0,
    LINEAR_HELD = 1,
    LINEAR_COMMITTED = 2,
    LINEAR_RELEASED = 3,
    LINEAR_EXPIRED = 4,
    LINEAR_RETURNED = 5,
};

struct linear_stock {
    int32_t stocked;
    int32_t held;
    int32_t sold;
    int32_t available;
};

struct linear_call {
    enum linear_type type;
    uint8_t thread; /* for people */
    uint8_t life;   /* which of the engine's lives gave the answer, from 0; or LINEAR_ANY_LIFE. What
                       has no answer: the life that it was sent to */

    /* What was asked. */
    uint8_t order;
    uint8_t content;              /* of a reserve: equal for equal lines and buyer */
    uint8_t wanted[LINEAR_ITEMS]; /* of a reserve: units of each item, a line each, in the order of
                                    the items */
    bool split;    /* of a reserve: one line of wanted[0] units, over the items 0 and 1 */
    uint8_t total; /* of a release: of the first line in all; 0: the whole order */
    bool late_ok;  /* of a commit */
    uint32_t hold_ms;
    uint8_t adjustment; /* its id, of an adjustment or a move */
    uint8_t item;
    uint8_t to_item; /* of a move */
    int32_t delta;   /* of a move: units, above 0 */
    uint8_t items;   /* of a reading of stock: bit i for item i */

    /* When. Nanoseconds are of the checker's own clock, milliseconds of the one that deadlines are
     * told in, looked at just before the call and just after the answer. */
    uint64_t called_ns;
    uint64_t answered_ns;
    uint64_t called_ms;
    uint64_t answered_ms;

    /* The answer. Without one the call may have happened up to the next restart, or not at all. */
    bool answered;
    enum hf_status status;
    bool replayed;
    bool replayed_unsure; /* the client may have sent it twice: either is right */
    bool brief;           /* an answer in columns: nothing but the status and `units`, which are as
                             wanted. Then replayed_unsure too */
    uint8_t blocking;     /* of SOLD_OUT: the line that was short, from 1 */
    uint8_t state;        /* the order's, enum linear_state */
    uint64_t deadline_ms;
    uint64_t lsn; /* of the order's change, or of its last one in a reading; 0: not known */
    uint8_t units[LINEAR_ITEMS];             /* that the order has now: reserve, get_order */
    struct linear_stock stock[LINEAR_ITEMS]; /* of a reading; of an adjustment: [0].stocked */
};

struct linear_history {
    int32_t stocked[LINEAR_ITEMS]; /* at the beginning; nothing is held or sold */
    uint32_t slack_ms;             /* by how much the two clocks may differ */
    uint32_t count;
    struct linear_call calls[LINEAR_CALLS];
};

enum linear_verdict {
    LINEAR_LEGAL,
    LINEAR_ILLEGAL,
    LINEAR_UNDECIDED, /* too many states */
};

struct linear_report {
    uint64_t states;               /* that were looked at */
    uint32_t placed;               /* of the calls, at the best try */
    bool was_placed[LINEAR_CALLS]; /* which */
    const char *malformed;         /* ILLEGAL for that alone; else NULL */
};

/* Looks at no more than states_max states (0: 2 000 000). */
enum linear_verdict linear_check(const struct linear_history *history, uint64_t states_max,
                                 struct linear_report *report);

/* The history in the order of calls, a line each; those that the best try could not place are
 * marked. */
void linear_print(const struct linear_history *history, const struct linear_report *report,
                  FILE *out);

#endif
