/* diag.c - lines for the operator, on stderr.
 *
 * Threads: any. A line is built on the caller's stack and leaves in one write, so that lines of
 * different threads do not mix. */
#include "base/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/escape.h"

/* PIPE_BUF on Linux: a longer write to a pipe may mix with other writers' lines. */
#define LINE_BYTES_MAX 4096

/* Alone, so relaxed: a thread that sees a new level late drops or prints a few lines more. */
static _Atomic int least_level = DIAG_INFO;

void diag_set_level(enum diag_level level)
{
    atomic_store_explicit(&least_level, (int)level, memory_order_relaxed);
}

/* Writes "2026-11-11T00:00:00.000Z LEVEL " and returns its length. */
static size_t write_prefix(char *line, size_t line_bytes, enum diag_level level)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    CHECK((size_t)level < sizeof names / sizeof *names);
    uint64_t now_ms = clock_unix_ms(clock_real());
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    CHECK(gmtime_r(&seconds, &utc) != NULL);
    size_t len = strftime(line, line_bytes, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(line + len, line_bytes - len, ".%03uZ %s ", (unsigned)(now_ms % 1000),
                        names[level]);
    CHECK(len > 0 && more > 0);
    return len + (size_t)more;
}

void diag_line(enum diag_level level, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed)) {
        return;
    }
    int saved_errno = errno;
    char text[LINE_BYTES_MAX];
    char line[LINE_BYTES_MAX];
    size_t start = write_prefix(line, sizeof line, level);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* A text from outside (a code, a file's name) must not forge a line of its own. */
    size_t end = start + escape_text(bytes_of(text), line + start, sizeof line - start);
    line[end] = '\n'; /* in the terminator's place */
    while (write(STDERR_FILENO, line, end + 1) < 0 && errno == EINTR) {
    }
    errno = saved_errno;
}
