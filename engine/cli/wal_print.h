/* wal_print.h - the log's records as lines of text.
 *
 * Threads: the main thread. */
#ifndef CLI_WAL_PRINT_H
#define CLI_WAL_PRINT_H

#include "core/event.h"
#include "history/item_names.h"

/* One line: LSN, time, type, and what it holds. */
void print_event(const struct item_names *names, const struct event *event, uint64_t wall_ms);

/* Learns an ITEM_DEFINED record's name, as item_names_learn() does; out of memory ends the process.
 */
void wal_learn_item(struct item_names *names, const struct item_def *def);

#endif
