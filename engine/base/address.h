/* address.h - addresses as tcp://HOST:PORT and ipc://PATH. The only place that reads them: for
 * engines that listen, for clients, and for the change stream.
 *
 * Reads only the text: no name is resolved, no path is opened. Threads: any. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_BYTES_MAX    249u /* of the whole text: a port may be added at its end */
#define ADDRESS_PATH_MAX     107u /* of an ipc path: the room in a socket address (unix(7)) */
#define ADDRESS_REASON_BYTES 384u

enum address_use {
    ADDRESS_LISTEN,  /* no host, or *: any interface; port 0: any free one */
    ADDRESS_CONNECT, /* host and port must be there */
};

struct address {
    bool ipc;
    char host[256];   /* tcp: without brackets; "": any */
    uint16_t port;    /* tcp */
    const char *path; /* ipc; inside the text */
};

/* Reads an address. False: reason (ADDRESS_REASON_BYTES) says what is wrong with it, without the
 * whole text. */
bool address_parse(const char *text, enum address_use use, struct address *address, char *reason);

/* True when the address can't be reached from the network: an ipc path, or a loopback address
 * (127.0.0.0/8, ::1, localhost). Other names may mean anything. */
bool address_is_local(const struct address *address);

/* True when nobody can listen on both addresses, as far as their text shows: the same path, or the
 * same port on the same host or on a host and on all. Port 0 is a different port each time. */
bool address_same(const struct address *a, const struct address *b);

#endif
