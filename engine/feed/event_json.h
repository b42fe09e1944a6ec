/* event_json.h - the log's records as JSON objects: for the change stream, and for commands with
 * --json.
 *
 * Threads: any; pure functions. */
#ifndef FEED_EVENT_JSON_H
#define FEED_EVENT_JSON_H

#include <jansson.h>

#include "core/event.h"
#include "history/item_names.h"

/* A record as an object (docs/protocol.md has its members). wall_ms: when its block was sealed.
 * NULL: no memory. */
json_t *event_object(const struct item_names *names, const struct event *event, uint64_t wall_ms);

#endif
