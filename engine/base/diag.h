/* diag.h - diagnostic lines for the operator, on stderr. "Log" means the write-ahead log.
 *
 * Threads: any; one line is one write. A line is "2026-11-11T00:00:00.000Z LEVEL text". */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

enum diag_level { DIAG_DEBUG, DIAG_INFO, DIAG_WARN, DIAG_ERROR };

/* Lines below this level are dropped. Default: DIAG_INFO. */
void diag_set_level(enum diag_level level);

void diag_line(enum diag_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define diag_debug(...) diag_line(DIAG_DEBUG, __VA_ARGS__)
#define diag_info(...)  diag_line(DIAG_INFO, __VA_ARGS__)
#define diag_warn(...)  diag_line(DIAG_WARN, __VA_ARGS__)
#define diag_error(...) diag_line(DIAG_ERROR, __VA_ARGS__)

#endif
