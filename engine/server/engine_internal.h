/* engine_internal.h - what the files of the engine share: its struct, its workers, the answers. */
#ifndef SERVER_ENGINE_INTERNAL_H
#define SERVER_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/spin.h"
#include "base/text.h"
#include "base/timekeeper.h"
#include "server/checkpointer.h"
#include "server/engine.h"
#include "server/forgetter.h"

/* What a thread needs while it executes a request: a transaction and room for its records. Taken
 * from the engine's stock of them for one request at a time, so there are as many as there have
 * been requests at once, and each has a slot of its own in the core. */
struct worker {
    struct worker *next;
    struct engine *engine;
    uint64_t lsn;           /* end of the last record that this request appended; 0: none */
    int64_t shown_ahead_ms; /* what deadlines are shown with: time_shown_ms */
    bool depends_on_tail;   /* an outcome was a refusal or a replay: rule 3 */
    uint32_t lines_decided; /* since the clock was last looked at */
    uint64_t admitted_lsn;  /* `lsn` when the log was last asked whether it takes more */
    bool read_only;         /* it does not: the rest of the request is refused */
    uint8_t *records;       /* WAL_APPEND_BYTES_MAX */
    struct txn txn;
};

struct engine {
    struct engine_options options;
    struct storage *storage;
    const struct clock *clock;
    struct inventory *inventory;
    struct wal *wal;
    uint64_t started_ns;
    struct timekeeper time; /* ticked by the expirer, or by who steps the engine */
    _Atomic uint64_t digest;
    _Atomic uint64_t expired; /* orders, by this process */

    struct spin workers_lock;
    struct worker *workers_free;
    struct worker *workers_spent; /* left with events when the log closed: those orders must stay
                                     invisible until the process ends */
    unsigned worker_count;        /* made so far, at most THREADS_MAX */

    struct worker *expirer; /* made at open: expiry never waits for a worker */
    struct forgetter forgetter;
    struct checkpointer checkpointer;
    pthread_t expirer_thread;
    bool expirer_running;
    atomic_bool expirer_stop;
};

/* Takes the present time for the worker's decisions and answers. */
void worker_look_at_clock(struct worker *worker);

/* A worker with an empty transaction and the present time; waits for one if all THREADS_MAX are
 * in use. NULL: out of memory, or the log is closed and no worker comes free any more. */
struct worker *worker_acquire(struct engine *engine);

/* Gives the worker back. usable false: its transaction could not be appended. */
void worker_release(struct worker *worker, bool usable);

/* Appends and publishes what the transaction holds. False: the log is closed. */
bool worker_flush(struct worker *worker);

/* After TXN_AGAIN: flushes, or pauses when there is nothing to flush. `step` counts the pauses,
 * from 0. False: the log is closed, the decision can't be made. */
bool worker_again(struct worker *worker, unsigned *step);

/* May the request start one more order? What was admitted has room for a flush or two, but one
 * request may make many. OK, or READ_ONLY when the disk has filled up since it was started. */
enum hf_status worker_admit(struct worker *worker);

/* Recovers the newest checkpoint that is whole, and the log behind it, into engine->inventory,
 * which it makes; on OK *end says where the log ends. */
enum hf_status recovery_run(struct engine *engine, struct engine_recovery *recovery,
                            struct wal_end *end);

/* ---- Answers ---- */

/* Sets the response's status and message (printf-like; into the arena). */
void answer_fail(struct engine_call *call, enum hf_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Where in a request something is: written out only when it must be told, as
 * "reserve.orders[3].lines[0]". */
struct place {
    const char *name; /* the field, as "reserve.orders" */
    uint32_t index;   /* in a repeated field; PLACE_NONE: it is not one */
    uint32_t line;    /* of the order there; PLACE_NONE: all of it */
};
#define PLACE_NONE UINT32_MAX

static inline struct place place_at(const char *name, uint32_t index)
{
    return (struct place){name, index, PLACE_NONE};
}

/* Sets the response's message to the place, the text's first part directly behind it ("%s" begins
 * with ".field" or ":"), but keeps a message that is there: a request names its first bad order. */
void answer_note(struct engine_call *call, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Text that is not terminated, for printf's "%.*s": its length as an int, cut at 80. */
static inline int text_len(struct bytes text)
{
    return text.len < 80 ? (int)text.len : 80;
}

/* ---- The steps of a request: one function a body. Each fills call->response. False: the log is
 * closed. The worker's transaction is empty before and after. ---- */

/* An operation of the core on one order; subject: its order_request, order_edit or the like. */
typedef enum txn_step (*decide_function)(struct txn *txn, const void *subject,
                                         struct order_outcome *outcome);

/* Decides on one order: flushes or waits as often as it takes, and keeps the time of decisions
 * close to the clock however long the request is. lines: about how much it is to look at. False:
 * the log is closed. */
bool request_decide(struct worker *worker, decide_function decide, const void *subject,
                    uint32_t lines, struct order_outcome *outcome);

/* What a request of edits asks for, and the name of its field for messages. */
decide_function request_decision(enum request_type type, const char **name);
enum txn_step decide_reserve(struct txn *txn, const void *order, struct order_outcome *outcome);

/* What an outcome says about the answer as a whole. */
void request_note_outcome(struct worker *worker, const struct order_outcome *outcome);

/* True when a request has 1..max of something; else the answer is INVALID. */
bool request_count_fits(struct engine_call *call, const char *field, uint32_t count, uint32_t max);

#define REQUEST_MEMORY_RETRY_MS 1000u /* until there may be memory again */

/* The machine has no memory now: BUSY. Nothing was changed. */
void answer_starved(struct engine_call *call);

/* The arena gave no memory: the answer is INVALID when the request needs more than one may take,
 * and BUSY when the machine has none now. Nothing was changed. */
void answer_no_memory(struct engine_call *call);

/* True when there is memory; else answer_no_memory. */
bool request_memory_fits(struct engine_call *call, const void *memory);

/* The same of memory that is not the arena's: else answer_starved. */
bool request_memory_there(struct engine_call *call, const void *memory);

/* An id that may name an order or an adjustment; else the message is noted at the place, behind
 * `field` (".id", or nothing). Logs of older engines may hold others: recovery does not ask. */
bool request_check_id(struct engine_call *call, struct place place, const char *field,
                      struct id128 id);

/* The same from bytes, with their length. */
bool request_parse_id(struct engine_call *call, struct place place, struct bytes bytes,
                      struct id128 *id);

/* Makes a text of a request as it is to be kept (base/text.h). False: the message is noted, the
 * status is for the caller to set. Codes that an older log has are left as they are: a SKU's when
 * there is such a SKU, a pool's when the SKU is in such a pool. An empty pool is the default one.
 */
bool request_take_text(struct engine_call *call, struct place place, const char *field,
                       enum text_kind kind, struct bytes *text);
bool request_take_sku(struct engine *engine, struct engine_call *call, struct place place,
                      const char *field, struct bytes *sku);
bool request_take_pool(struct engine *engine, struct engine_call *call, struct place place,
                       const char *field, struct bytes sku, struct bytes *pool);
/* Both, in fields named sku and pool. */
bool request_take_item(struct engine *engine, struct engine_call *call, struct place place,
                       struct bytes *sku, struct bytes *pool);
/* A place in the order of codes, which need not be one: what could not be is left as it is. False:
 * out of memory, the answer says so. */
bool request_take_after(struct engine *engine, struct engine_call *call, struct bytes *after);

struct stock_message request_stock_of(const struct item_view *view);

bool request_reserve(struct worker *worker, struct engine_call *call,
                     const struct request *request);
bool request_edit(struct worker *worker, struct engine_call *call, const struct request *request);
bool request_extend(struct worker *worker, struct engine_call *call, const struct request *request);
bool request_reserve_batch(struct worker *worker, struct engine_call *call,
                           const struct request *request);
bool request_edit_batch(struct worker *worker, struct engine_call *call,
                        const struct request *request);
bool request_define(struct worker *worker, struct engine_call *call, const struct request *request);
bool request_adjust(struct worker *worker, struct engine_call *call, const struct request *request);
void request_get_order(struct engine *engine, struct engine_call *call,
                       const struct request *request);
void request_get_stock(struct engine *engine, struct engine_call *call,
                       const struct request *request);
void request_list_stock(struct engine *engine, struct engine_call *call,
                        const struct request *request);
void request_list_orders(struct engine *engine, struct engine_call *call,
                         const struct request *request);
void request_get_skus(struct engine *engine, struct engine_call *call,
                      const struct request *request);
void request_status(struct engine *engine, struct engine_call *call);

/* Finds the item that a line or an adjustment names. 0 with a noted message when the name is
 * malformed (*status INVALID) or there is none (*status UNKNOWN_ITEM). */
uint32_t request_resolve(struct engine *engine, struct engine_call *call, struct place place,
                         uint32_t item, struct bytes sku, struct bytes pool,
                         enum hf_status *status);

#endif
