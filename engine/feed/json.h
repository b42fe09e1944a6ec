/* json.h - JSON text that any reader can take line by line, and JSON of bytes that may not be
 * UTF-8.
 *
 * Threads: any; pure functions. */
#ifndef FEED_JSON_H
#define FEED_JSON_H

#include <stddef.h>

#include <jansson.h>

/* A value as text, with jansson's flags; drops the reference. No character in it but those that the
 * flags ask for ends a line or is a control, for whatever reader (U+0085 and U+2028 are escaped
 * too). NULL: no memory, or no value. Free it with free(). */
char *json_dumped(json_t *value, size_t flags);

/* The same on one line, without the line's end. */
char *json_line(json_t *value);

/* A JSON text of bytes that may not be UTF-8: those that are not become U+FFFD. NULL: no memory. */
json_t *json_text(const void *data, size_t len);

#endif
