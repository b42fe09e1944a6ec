/* listener.c - listeners: their addresses, and accepting connections on them.
 *
 * Threads: see listener.h; listener_accepted() is nng's callback. */
#include "rpc/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/check.h"
#include "base/diag.h"

#define ACCEPT_PAUSE_MS 50 /* after a failure, such as having no more descriptors */

/* Of a TCP connection's bytes the kernel keeps at most about so many that were not read yet: a
 * queue must not hide there, where nobody sees how old it is. The kernel may round it. Measured:
 * docs/decisions/0027-memory-charged.md. */
#define LISTENER_RECEIVE_BYTES 262144
/* Connections that wait to be accepted; nng asks for 128. The kernel allows net.core.somaxconn. */
#define LISTENER_BACKLOG 4096

/* ---- Addresses ---- */

/* The path as a socket address. */
static void ipc_address(const char *path, struct listener *listener)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&listener->target.address;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    listener->target.address_bytes = sizeof *address;
}

/* The address that a TCP listener is bound to. */
static bool tcp_address(struct listener *listener)
{
    nng_sockaddr bound;
    if (nng_stream_listener_get_addr(listener->listener, NNG_OPT_LOCADDR, &bound) != 0) {
        return false;
    }
    if (bound.s_family == NNG_AF_INET) {
        struct sockaddr_in *address = (struct sockaddr_in *)&listener->target.address;
        memset(address, 0, sizeof *address);
        address->sin_family = AF_INET;
        address->sin_port = bound.s_in.sa_port;
        address->sin_addr.s_addr = bound.s_in.sa_addr;
        listener->target.address_bytes = sizeof *address;
        return true;
    }
    if (bound.s_family == NNG_AF_INET6) {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)&listener->target.address;
        memset(address, 0, sizeof *address);
        address->sin6_family = AF_INET6;
        address->sin6_port = bound.s_in6.sa_port;
        memcpy(&address->sin6_addr, bound.s_in6.sa_addr, sizeof address->sin6_addr);
        listener->target.address_bytes = sizeof *address;
        return true;
    }
    return false;
}

/* Puts the port that was really bound into a tcp URL. */
static bool tcp_actual_url(struct listener *listener)
{
    int port = 0;
    char *colon = strrchr(listener->url, ':');
    if (!colon || colon < listener->url + strlen("tcp://") ||
        nng_stream_listener_get_int(listener->listener, NNG_OPT_TCP_BOUND_PORT, &port) != 0) {
        return false;
    }
    size_t room = sizeof listener->url - (size_t)(colon - listener->url);
    return (size_t)snprintf(colon, room, ":%d", port) < room;
}

/* ---- Accepting ---- */

/* Accepts, again and again, until the listener is closed. */
static void listener_accepted(void *arg)
{
    struct listener *listener = arg;
    int error = nng_aio_result(listener->accepting);
    if (error == NNG_ECLOSED || error == NNG_ECANCELED) {
        return;
    }
    if (!listener->pausing && error == 0) {
        listener->failing = false;
        connection_begin(listener->connections, nng_aio_get_output(listener->accepting, 0),
                         listener->is_ipc, listener->url);
    }
    listener->pausing = !listener->pausing && error != 0;
    if (listener->pausing) {
        if (!listener->failing) {
            diag_warn("%s: accepting: %s", listener->url, nng_strerror(error));
        }
        listener->failing = true; /* one warning, until it works again */
        nng_sleep_aio(ACCEPT_PAUSE_MS, listener->accepting);
        return;
    }
    nng_stream_listener_accept(listener->listener, listener->accepting);
}

void listener_stop(struct listener *listener)
{
    if (listener->listener) {
        nng_stream_listener_close(listener->listener);
    }
    if (listener->accepting) {
        nng_aio_stop(listener->accepting);
        nng_aio_free(listener->accepting);
    }
    if (listener->listener) {
        nng_stream_listener_free(listener->listener);
    }
    listener->accepting = NULL;
    listener->listener = NULL;
    listener->target.fd = -1;
    listener->up = false;
}

/* Sets the socket's mode, which is what the umask left of 0777, to 0660 at most: to connect takes
 * the right to write. The socket is ours: it was made just now. */
static void narrow_socket(const struct listener *listener)
{
    const char *path = ((const struct sockaddr_un *)&listener->target.address)->sun_path;
    struct stat about;
    if (lstat(path, &about) == 0 && S_ISSOCK(about.st_mode) &&
        chmod(path, about.st_mode & 0660) != 0) {
        diag_warn("%s: its mode can't be set: %s", listener->url, strerror(errno));
    }
}

/* Sets what nng has no option for, on the socket that listens: accepted ones inherit it. */
static void tune_socket(struct listener *listener)
{
    const int bytes = LISTENER_RECEIVE_BYTES;
    bool found = probe_find(&listener->target);
    int fd = listener->target.fd;
    if (!found) {
        diag_warn("%s: its socket was not found among this process's descriptors: its buffers and "
                  "its queue of connections stay as the system has them",
                  listener->url);
    } else if (listen(fd, LISTENER_BACKLOG) != 0 ||
               (!listener->is_ipc &&
                setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) != 0)) {
        diag_warn("%s: its buffers can't be set: %s", listener->url, strerror(errno));
    }
}

enum hf_status listener_start(struct listener *listener)
{
    CHECK(!listener->up);
    CHECK(!listener->listener);
    if (listener->is_ipc && !probe_frees_path(&listener->target)) {
        return HF_UNREACHABLE;
    }
    listener->pausing = false;
    if (nng_aio_alloc(&listener->accepting, listener_accepted, listener) != 0) {
        listener->accepting = NULL;
        return HF_NO_MEMORY;
    }
    nng_aio_set_timeout(listener->accepting, NNG_DURATION_INFINITE);
    int error = nng_stream_listener_alloc(&listener->listener, listener->url);
    if (error != 0) {
        listener->listener = NULL;
        listener_stop(listener);
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_INVALID;
    }
    if (!listener->is_ipc) {
        (void)nng_stream_listener_set_bool(listener->listener, NNG_OPT_TCP_NODELAY, true);
        /* A subscriber sends nothing: without this, one whose machine is gone would keep its place.
         */
        (void)nng_stream_listener_set_bool(listener->listener, NNG_OPT_TCP_KEEPALIVE, true);
    }
    error = nng_stream_listener_listen(listener->listener);
    if (error != 0) {
        listener_stop(listener);
        return error == NNG_ENOMEM ? HF_NO_MEMORY : HF_UNREACHABLE;
    }
    if (!listener->is_ipc && (!tcp_actual_url(listener) || !tcp_address(listener))) {
        listener_stop(listener);
        return HF_UNREACHABLE;
    }
    if (listener->is_ipc) {
        narrow_socket(listener);
    }
    tune_socket(listener);
    listener->up = true;
    nng_stream_listener_accept(listener->listener, listener->accepting);
    return HF_OK;
}

/* ---- All of a server's ---- */

void listeners_init(struct listeners *all)
{
    pthread_mutex_init(&all->lock, NULL);
}

void listeners_deinit(struct listeners *all)
{
    CHECK(all->count == 0);
    pthread_mutex_destroy(&all->lock);
}

static enum hf_status add_listener(struct listeners *all, struct listener *listener)
{
    pthread_mutex_lock(&all->lock);
    enum hf_status status = all->count == LISTENERS_MAX ? HF_INVALID : listener_start(listener);
    if (status == HF_OK) {
        all->at[all->count++] = listener;
    }
    pthread_mutex_unlock(&all->lock);
    return status;
}

enum hf_status listeners_add(struct listeners *all, struct connections *connections,
                             const char *url, char *actual_url, size_t actual_url_bytes)
{
    struct address address;
    char reason[ADDRESS_REASON_BYTES];
    if (!address_parse(url, ADDRESS_LISTEN, &address, reason)) {
        return HF_INVALID;
    }
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        return HF_NO_MEMORY;
    }
    listener->connections = connections;
    listener->target.fd = -1;
    listener->target.protocol = connections->options.kind->self;
    listener->is_ipc = address.ipc;
    if (address.ipc) {
        ipc_address(address.path, listener);
    }
    CHECK(strlen(url) < sizeof listener->url); /* address_parse() refuses longer ones */
    memcpy(listener->url, url, strlen(url) + 1);
    enum hf_status status = add_listener(all, listener);
    if (status != HF_OK) {
        free(listener);
        return status;
    }
    if (actual_url) {
        (void)snprintf(actual_url, actual_url_bytes, "%s", listener->url);
    }
    return HF_OK;
}

unsigned listeners_count(struct listeners *all)
{
    pthread_mutex_lock(&all->lock);
    unsigned count = all->count;
    pthread_mutex_unlock(&all->lock);
    return count;
}

/* Without the lock: nobody adds one any more, and nng's callbacks end in listener_stop(). */
void listeners_close(struct listeners *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        listener_stop(all->at[i]);
        free(all->at[i]);
    }
    all->count = 0;
}
