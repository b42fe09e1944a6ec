/* address.c - see address.h. */
#include "server/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_BYTES  256u
#define NOT_ADDRESS "not an address"

/* A listener of ours may be bound where one was that is gone, and so may this. */
static const char *bind_fault(const struct addrinfo *address)
{
    const int yes = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return NULL;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    bool can = bind(fd, address->ai_addr, address->ai_addrlen) == 0;
    const char *fault = can ? NULL : strerror(errno);
    close(fd);
    return fault;
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 5 && text[digits] == '\0' && atoi(text) <= UINT16_MAX;
}

static const char *tcp_fault(const char *text)
{
    char host[HOST_BYTES];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host || !is_port(colon + 1)) {
        return NOT_ADDRESS;
    }
    bool brackets = text[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - (brackets ? 2 : 0), text + brackets);
    bool any = host[0] == '\0' || strcmp(host, "*") == 0;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int error = getaddrinfo(any ? NULL : host, colon + 1, &hints, &found);
    if (error != 0) {
        return gai_strerror(error);
    }
    /* A name may stand for addresses that this machine does not have: one that serves is enough. */
    const char *fault = bind_fault(found);
    for (const struct addrinfo *next = found->ai_next; fault && next; next = next->ai_next) {
        fault = bind_fault(next);
    }
    freeaddrinfo(found);
    return fault;
}

/* A socket's file that nobody listens on is no hindrance: connecting is refused. A listener's is of
 * another type than what connects here, and says so without a connection: to connect and hang up
 * may stop an nng 1.5.2 listener (rpc/probe.c). */
static const char *ipc_fault(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof address.sun_path) {
        return NOT_ADDRESS;
    }
    memcpy(address.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return NULL;
    }
    bool taken =
        connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EPROTOTYPE;
    close(fd);
    return taken ? strerror(EADDRINUSE) : NULL;
}

const char *address_fault(const char *url)
{
    if (strncmp(url, "ipc://", 6) == 0) {
        return ipc_fault(url + 6);
    }
    return strncmp(url, "tcp://", 6) == 0 ? tcp_fault(url + 6) : NOT_ADDRESS;
}
