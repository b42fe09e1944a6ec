/* watchdog.h - the thread that looks after a server's listeners and connections.
 *
 * Ten times a second it closes connections that are a burden or sent no handshake in time. Once a
 * second it looks at each listener, and opens it again when it is dead: on proof alone (probe.h),
 * never because the process is busy.
 *
 * At once, when the budget of memory is pressed, it closes those who hold most for longest: the
 * greatest (bytes held) x (1 + milliseconds since the message that is coming in began, or since a
 * reply last left while some are unread, whichever is longer). It closes as many as bring what the
 * others hold below the budget again. They count as disconnected.
 *
 * Threads: one starts and stops it. */
#ifndef RPC_WATCHDOG_H
#define RPC_WATCHDOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "holdfast/status.h"
#include "rpc/connection.h"
#include "rpc/listener.h"

struct watchdog {
    struct listeners *listeners;
    struct connections *connections;
    atomic_uint_fast64_t relistens; /* listeners found dead and opened again */
    bool started;
    pthread_t thread;
    pthread_mutex_t lock; /* stop, pressed */
    pthread_cond_t wake;
    bool stop;
    bool pressed; /* memory is short: look at once */
};

/* No thread yet. */
void watchdog_init(struct watchdog *watchdog, struct listeners *listeners,
                   struct connections *connections);
void watchdog_deinit(struct watchdog *watchdog); /* stopped, or never started */

enum hf_status watchdog_start(struct watchdog *watchdog); /* OK or NO_MEMORY */

/* Waits until the thread has ended. Does nothing when it was not started. */
void watchdog_stop(struct watchdog *watchdog);

#endif
