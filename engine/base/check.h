/* check.h - assertions that stay on in release builds.
 *
 * They catch our own mistakes. What comes from a client or a disk is checked and answered,
 * never asserted. One fact each, so that the message names it. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/* Prints where and what, then aborts. */
__attribute__((noreturn, cold)) void check_failed(const char *file, int line, const char *function,
                                                  const char *what);

#define CHECK(condition)                                                                           \
    (__builtin_expect(!!(condition), 1) ? (void)0                                                  \
                                        : check_failed(__FILE__, __LINE__, __func__, #condition))

#endif
