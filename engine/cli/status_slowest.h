/* status_slowest.h - `holdfast status --slowest`: the slowest answer of each second, for people and
 * as JSON.
 *
 * Threads: the main thread. */
#ifndef CLI_STATUS_SLOWEST_H
#define CLI_STATUS_SLOWEST_H

#include <holdfast/client.h>

#include "cli/print.h"

/* Prints them as a table, in their order: a line each, with ms in each stage, and the longest stage
 * marked. */
void slowest_print(const struct hf_slow_answer *answers, uint32_t count);

/* The same as an array of objects; times in ns. */
json_t *slowest_array(const struct hf_slow_answer *answers, uint32_t count);

#endif
