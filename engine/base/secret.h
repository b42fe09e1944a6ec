/* secret.h - a token that is kept in a file of its own: so neither `ps` nor a settings file that
 * others may read shows it.
 *
 * Threads: any. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"

/* What is wrong with a token's text: it is empty, or has control characters. NULL: nothing. The
 * caller checks its length. */
const char *secret_fault(const char *text, size_t len);

/* Reads a token: the file's content without the line end after it. token: TOKEN_BYTES_MAX + 1
 * bytes. False: reason (reason_bytes) says why not, with the file's name: it can't be read, others
 * than owner and group may read it or others than the owner write it, it is empty, it is longer
 * than TOKEN_BYTES_MAX, or it holds more than one line or other control characters. */
bool secret_read(const char *path, char *token, char *reason, size_t reason_bytes);

#endif
