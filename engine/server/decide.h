/* decide.h - how one order is decided, in rows and in columns.
 *
 * Threads: any; a worker belongs to one. */
#ifndef SERVER_DECIDE_H
#define SERVER_DECIDE_H

#include "server/worker.h"
#include "wire/message.h"

/* An operation of the core on one order; subject: its order_request, order_edit or the like. */
typedef enum txn_step (*decide_function)(struct txn *txn, const void *subject,
                                         struct order_outcome *outcome);

/* What decide_extend takes. */
struct extension {
    struct id128 id;
    uint32_t hold_ms;
};

/* Decides on one order: flushes or waits as often as it takes, and keeps the time of decisions
 * close to the clock however long the request is. lines: about how much work it is. False:
 * the log is closed. */
bool request_decide(struct worker *worker, decide_function decide, const void *subject,
                    uint32_t lines, struct order_outcome *outcome);

/* Notes what an outcome means for the whole answer: whether it waits for the log's tail. */
void request_note_outcome(struct worker *worker, const struct order_outcome *outcome);

enum txn_step decide_reserve(struct txn *txn, const void *order, struct order_outcome *outcome);
enum txn_step decide_extend(struct txn *txn, const void *subject, struct order_outcome *outcome);

/* What a request of edits asks for, and the name of its field for messages. */
decide_function request_decision(enum request_type type, const char **name);

#endif
