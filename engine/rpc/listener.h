/* listener.h - listeners: their addresses, and accepting connections on them.
 *
 * Threads: any may add a listener. Only the watchdog closes one and opens it again; the thread that
 * ends the server closes all, when the watchdog has ended. */
#ifndef RPC_LISTENER_H
#define RPC_LISTENER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "holdfast/status.h"
#include "rpc/connection.h"
#include "rpc/probe.h"

#define URL_BYTES_MAX 256
#define LISTENERS_MAX 16u

struct listener {
    struct connections *connections; /* where accepted streams go */
    nng_stream_listener *listener;
    nng_aio *accepting;
    bool pausing; /* the aio sleeps instead of accepting */
    bool failing; /* the last attempt to accept failed */
    bool up;
    bool lost;         /* its path was taken, and an error was written; only the watchdog */
    unsigned failures; /* attempts to open it again; only the watchdog */
    bool is_ipc;
    char url[URL_BYTES_MAX];    /* the address really listened on */
    struct probe_target target; /* the same, and what listens there */
};

/* A server's listeners. */
struct listeners {
    pthread_mutex_t lock; /* all below; entries are only added while the server lives */
    struct listener *at[LISTENERS_MAX];
    unsigned count;
};

void listeners_init(struct listeners *all);
void listeners_deinit(struct listeners *all);

/* Adds a listener, as transport_server_listen() has it. */
enum hf_status listeners_add(struct listeners *all, struct connections *connections,
                             const char *url, char *actual_url, size_t actual_url_bytes);

unsigned listeners_count(struct listeners *all);

/* Closes and frees all. Connections stay. Nobody may add one any more, and the watchdog has ended.
 */
void listeners_close(struct listeners *all);

/* Opens nng's listener on listener->url, and accepts. */
enum hf_status listener_start(struct listener *listener);

/* Closes it. Connections stay. Nothing is accepted afterwards. */
void listener_stop(struct listener *listener);

#endif
