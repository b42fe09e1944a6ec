/* order_report.h - what an operation on an order came to, as text or JSON.
 *
 * Threads: the main thread. */
#ifndef CLI_ORDER_REPORT_H
#define CLI_ORDER_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "cli/values.h"

/* What the lines of a reserve were given, with the items' names. */
struct order_grants {
    struct hf_order_line *lines;
    uint32_t count;         /* 0: all that was asked */
    struct hf_stock *items; /* one for each */
};

struct order_outcome {
    struct hf_id id;
    enum hf_status status;
    const struct hf_result *result;
    /* Of a reserve; else NULL and 0. */
    const struct line_wish *lines;
    uint32_t line_count;
    const struct order_grants *granted;
    const char *replayed; /* what `replayed` means to people; NULL: that nothing was changed */
    bool json;
};

/* Prints it, and on stderr why it was refused. Returns the exit code. Call directly after the call
 * that it is about. */
int order_report(struct hf_client *client, const struct order_outcome *outcome);

#endif
