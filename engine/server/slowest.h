/* slowest.h - the slowest answer of each second, and where its time went.
 *
 * Always on. A request's way is stamped as it goes on (struct slowest_answer); when its answer has
 * been handed to the connection, the way is compared with the slowest of the same second. It is
 * kept if it took more than a SLOWEST_PART-th longer: so however answers get slower and slower, few
 * are kept, and what is kept is within that part of the worst.
 *
 * Answers that one thread hands over in a row are a run: those of a group that has become durable.
 * They leave together, so the end of the run is the end of each, and the one that came first took
 * longest: it alone is compared, and the clock is read once.
 *
 * Costs: an answer that is not kept reads two shared words, which change only when one is kept; in
 * a run, nothing but its thread's own. One that is kept takes a lock for the time of a copy; a
 * thread that does not get the lock at once leaves its answer out, so that nobody waits for a
 * thread that has lost its processor.
 *
 * Threads: any. Times are of one monotonic clock, in ns. */
#ifndef SERVER_SLOWEST_H
#define SERVER_SLOWEST_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/spin.h"
#include "wire/message.h"

#define SLOWEST_SECONDS 60u /* how many seconds back answers are kept */
#define SLOWEST_PART    64u

/* The stages of a request's way, in their order. */
enum slowest_stage {
    SLOWEST_QUEUE,  /* from the socket until a handler began with it, and its pauses: a large
                       request lets others in between */
    SLOWEST_DECIDE, /* decoding, checks, decisions; all of a request that was refused, or that no
                       record was appended for */
    SLOWEST_APPEND, /* in the log's buffer, and published. Less than SLOWEST_TIMED_EVENTS records
                       at a time take no time worth a reading of the clock: then only the waiting
                       for room in the log is counted, and the rest is in DECIDE */
    SLOWEST_SYNC,   /* until all that the answer depends on was durable */
    SLOWEST_REPLY,  /* until the answer was handed to the connection, with those of its run */
    SLOWEST_STAGES,
};

#define SLOWEST_TIMED_EVENTS 32u

/* One answer and its way. */
struct slowest_answer {
    uint64_t received_ns; /* its bytes were read from the socket */
    uint64_t begun_ns;    /* a handler began with it; 0: at once */
    uint64_t paused_ns;   /* how long it let others in between, after that */
    uint64_t appended_ns; /* it was decided, appended and published; 0: it was refused before */
    uint64_t append_ns;   /* how much of that was SLOWEST_APPEND */
    uint64_t durable_ns;  /* 0: it waited for nothing */
    uint64_t replied_ns;  /* its answer was handed to the connection */
    uint64_t lsn;         /* what the answer waited for; 0: nothing */
    enum request_type type;
    enum hf_status status;
    uint32_t orders; /* orders, or adjustments, definitions, items and SKUs that it names */
    uint32_t lines;  /* of those orders, as far as the request names them */
    uint32_t request_bytes;
    uint32_t answer_bytes;
};

struct slowest_second {
    uint64_t number; /* of the second, plus one; 0: none was kept yet */
    struct slowest_answer answer;
};

/* All zeros: nothing is kept. */
struct slowest {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t newest; /* number of the newest second, plus one */
    _Atomic uint64_t bar_ns; /* an answer of that second that took no longer is not kept */
    _Alignas(CACHE_LINE_BYTES) struct spin lock;
    struct slowest_second seconds[SLOWEST_SECONDS]; /* each at its number modulo their count */
};

/* Begins the way of a request: sets type, orders and lines, and all else to 0. */
void slowest_describe(struct slowest_answer *answer, const struct request *request);

/* Keeps the answer if it is the slowest of the second in which it was handed over. All stamps are
 * set. Never waits. */
void slowest_note(struct slowest *slowest, const struct slowest_answer *answer);

/* The answer has just been handed over: replied_ns is set here. In a run it is noted at the run's
 * end, if it is the one that came first. */
void slowest_answered(struct slowest *slowest, const struct clock *clock,
                      struct slowest_answer *answer);

/* This thread begins and ends a run. All answers of a run are of one `slowest`. */
void slowest_run_begin(void);
void slowest_run_end(struct slowest *slowest, const struct clock *clock);

/* Copies what was kept of the SLOWEST_SECONDS seconds up to now_ns, the newest first; returns how
 * many there were. */
unsigned slowest_read(struct slowest *slowest, uint64_t now_ns,
                      struct slowest_answer answers[SLOWEST_SECONDS]);

/* How long the answer was in each stage; the sum is replied_ns - received_ns if the stamps are in
 * order. */
void slowest_stages(const struct slowest_answer *answer, uint64_t stage_ns[SLOWEST_STAGES]);

#endif
