/* server.h - the running engine: directory lock, recovery, sockets, signals, and an orderly end.
 *
 * Threads: server_run from the main thread, once, before any other thread is made (it blocks the
 * signals that it waits for in all threads to come). */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/config.h"

/* Exit codes of `holdfast serve`. */
enum server_exit {
    SERVER_DONE = 0,       /* stopped by SIGTERM or SIGINT; every answer was sent and synced */
    SERVER_REFUSED = 1,    /* the directory is locked or damaged, or an address can't be had */
    SERVER_LOG_FAILED = 4, /* a write to the log failed: it was closed, nothing more was promised */
};

/* Keeps what a shell or a service manager does by the way from ending the engine: SIGHUP changes
 * nothing, since settings are read at the start alone; writing to a pipe without a reader, or
 * beyond RLIMIT_FSIZE, is an error of that write. And takes from the umask what lets others in, for
 * files and sockets alike. Call first of all, before any thread is made. */
void server_guard_process(void);

/* Prints to stdout what others wait for: "listening" with an address, and then "ready" with NULL.
 */
typedef void (*server_announce)(const char *what, const char *url);

/* Runs an engine until a signal stops it; what goes wrong is reported on stderr. Call preflight()
 * before. */
int server_run(const struct config *config, server_announce announce);

#endif
