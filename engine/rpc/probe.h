/* probe.h - whether a listener is alive, tested from outside by connecting to it.
 *
 * The probe introduces itself as what the listener itself is, which a live one accepts and then
 * refuses: REP speaks to REQ alone. To connect and hang up before that is what makes an ipc
 * listener of an nng 1.5.2 socket stop (nng issue 1518); so the probe waits until it is refused.
 *
 * Threads: any. Waits for the network, up to 3 seconds. */
#ifndef RPC_PROBE_H
#define RPC_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct probe_target {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    uint8_t protocol; /* that the listener speaks */
};

enum probe {
    PROBE_ALIVE,
    PROBE_DEAD,
    PROBE_UNKNOWN, /* could not be tried */
};

/* Dials a listener. */
enum probe probe_dial(const struct probe_target *target);

/* Removes a socket's file on which nobody answers: an engine that was killed has left it. False
 * when somebody answers. */
bool probe_frees_path(const struct probe_target *target);

#endif
