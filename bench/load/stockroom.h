/* stockroom.h - the items that a run buys from, and their stock before and after.
 *
 * Threads: one. */
#ifndef LOAD_STOCKROOM_H
#define LOAD_STOCKROOM_H

#include <stdint.h>

#include "load/link.h"
#include "load/options.h"

#define STOCKROOM_ERROR_BYTES 512u

struct stockroom {
    uint32_t count;
    uint32_t *handles;
    struct hf_stock *before; /* as the run began */
    struct hf_stock *after;  /* as last read by the oracle */
};

/* Makes, looks up or lists the items that the options ask for, stocks its own ones, and reads
 * `before`. error says what went wrong. OK, INVALID (the file, or no item at all), UNKNOWN_ITEM,
 * UNREACHABLE and such. */
enum hf_status stockroom_open(struct stockroom *room, const struct link *link,
                              const struct load_options *options,
                              char error[STOCKROOM_ERROR_BYTES]);

/* Room for items whose handles are known, in `handles`, unread. */
enum hf_status stockroom_init(struct stockroom *room, uint32_t count);
void stockroom_close(struct stockroom *room);

/* Reads the stock of all items, in their order. */
enum hf_status stockroom_read(const struct stockroom *room, const struct link *link,
                              struct hf_stock *into);

/* Defines items of pool `default` by code, and fills their handles. */
enum hf_status stockroom_define(const struct link *link, const char *const *skus, uint32_t count,
                                uint32_t *handles);

/* Sends adjustments until each is answered. `failed` is the first that was refused, when the result
 * is not OK. */
enum hf_status stockroom_adjust(const struct link *link, const struct hf_adjustment *adjustments,
                                uint32_t count, uint32_t *failed);

#endif
