/* probe.h - whether a listener is alive: whether its socket is still there and still listens.
 *
 * Nothing is dialed. A process that is busy answers a dial late, and a listener that is closed for
 * that would make the busiest moment worse; a probe that was dialed would also take a connection's
 * place. What is looked at instead is proof, however busy the process is: the descriptor that
 * listens, and for ipc the socket's file.
 *
 * Threads: one at a time for each target. */
#ifndef RPC_PROBE_H
#define RPC_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct probe_target {
    struct sockaddr_storage address; /* that the listener is bound to */
    socklen_t address_bytes;
    uint8_t protocol; /* that the listener speaks */
    int fd;           /* that listens, nng's; -1: not found. Never closed here */
    dev_t device;     /* ipc: of the socket's file */
    ino_t inode;      /* the same; 0: not known */
};

enum probe {
    PROBE_ALIVE, /* or nothing shows that it is not */
    PROBE_DEAD,  /* nobody can connect to it any more */
    PROBE_TAKEN, /* ipc: something else is at its path now; it is left alone */
};

/* Notes what a listener that was opened just now has: its descriptor and its file. nng 1.5.2 does
 * not give its descriptor out; it is found among this process's, by its address. False: it is not
 * among them. Costs a few system calls for each descriptor of the process. */
bool probe_find(struct probe_target *target);

/* Looks at a listener. A few system calls. */
enum probe probe_look(const struct probe_target *target);

/* Removes a socket's file on which nobody answers: an engine that was killed has left it. False
 * when somebody answers: waits for that up to 3 seconds. The caller introduces itself as what the
 * listener itself is, which a live one accepts and then refuses: REP speaks to REQ alone. To
 * connect and hang up before that stops an ipc listener of an nng 1.5.2 socket (nng issue 1518). */
bool probe_frees_path(const struct probe_target *target);

#endif
