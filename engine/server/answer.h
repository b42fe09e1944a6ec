/* answer.h - the status and message of an answer when a request is refused.
 *
 * Threads: any; a call belongs to one. */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "server/engine.h"

#define REQUEST_MEMORY_RETRY_MS 1000u /* until there may be memory again */

/* Sets the response's status and message (printf-like; into the arena). */
void answer_fail(struct engine_call *call, enum hf_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Where in a request something is: written out only when a message needs it, as
 * "reserve.orders[3].lines[0]". */
struct answer_place {
    const char *name; /* the field, as "reserve.orders" */
    uint32_t index;   /* in a repeated field; PLACE_NONE: it is not one */
    uint32_t line;    /* of the order there; PLACE_NONE: all of it */
};
#define PLACE_NONE UINT32_MAX

static inline struct answer_place place_at(const char *name, uint32_t index)
{
    return (struct answer_place){name, index, PLACE_NONE};
}

/* Sets the response's message to the place and, directly after it, the text ("%s" begins
 * with ".field" or ":"), but keeps a message that is there: a request names its first bad order. */
void answer_note(struct engine_call *call, struct answer_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Text that is not terminated, for printf's "%.*s": its length as an int, cut at 80. */
static inline int text_len(struct bytes text)
{
    return text.len < 80 ? (int)text.len : 80;
}

/* The machine has no memory now: BUSY. Nothing was changed. */
void answer_starved(struct engine_call *call);

/* The arena gave no memory: the answer is INVALID when the request needs more than one may take,
 * and BUSY when the machine has none now. Nothing was changed. */
void answer_no_memory(struct engine_call *call);

#endif
