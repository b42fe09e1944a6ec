/* probe.c - whether a listener is alive: whether its socket is still there and still listens. See
 * probe.h. */
#include "rpc/probe.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/frame.h"
#include "rpc/timing.h"

#define PROBE_TIMEOUT_MS 2000 /* for the handshake */
#define PROBE_REFUSAL_MS 1000 /* then for being refused */

/* ---- Whether a listener is alive ---- */

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family) {
        return false;
    }
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *x = (const struct sockaddr_in *)a;
        const struct sockaddr_in *y = (const struct sockaddr_in *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)a;
        const struct sockaddr_in6 *y = (const struct sockaddr_in6 *)b;
        return x->sin6_port == y->sin6_port &&
               memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0;
    }
    return a->ss_family == AF_UNIX && strcmp(((const struct sockaddr_un *)a)->sun_path,
                                             ((const struct sockaddr_un *)b)->sun_path) == 0;
}

/* The descriptor is a socket that listens at the target's address. */
static bool listens_there(int fd, const struct probe_target *target)
{
    int listening = 0;
    socklen_t bytes = sizeof listening;
    struct sockaddr_storage address;
    memset(&address, 0, sizeof address); /* a path may come without its end */
    socklen_t address_bytes = sizeof address;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening &&
           getsockname(fd, (struct sockaddr *)&address, &address_bytes) == 0 &&
           same_address(&address, &target->address);
}

static bool find_descriptor(struct probe_target *target)
{
    target->fd = -1;
    DIR *all = opendir("/proc/self/fd");
    if (!all) {
        return false;
    }
    struct dirent *entry;
    while (target->fd < 0 && (entry = readdir(all))) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        if (end != entry->d_name && *end == 0 && listens_there((int)fd, target)) {
            target->fd = (int)fd;
        }
    }
    (void)closedir(all);
    return target->fd >= 0;
}

static const char *path_of(const struct probe_target *target)
{
    return ((const struct sockaddr_un *)&target->address)->sun_path;
}

bool probe_find(struct probe_target *target)
{
    target->inode = 0;
    struct stat info;
    if (target->address.ss_family == AF_UNIX && lstat(path_of(target), &info) == 0) {
        target->device = info.st_dev;
        target->inode = info.st_ino;
    }
    return find_descriptor(target);
}

enum probe probe_look(const struct probe_target *target)
{
    if (target->fd >= 0 && !listens_there(target->fd, target)) {
        return PROBE_DEAD;
    }
    if (target->inode == 0) {
        return PROBE_ALIVE;
    }
    struct stat info;
    if (lstat(path_of(target), &info) != 0) {
        return errno == ENOENT ? PROBE_DEAD : PROBE_ALIVE;
    }
    if (info.st_dev == target->device && info.st_ino == target->inode) {
        return PROBE_ALIVE;
    }
    return PROBE_TAKEN;
}

/* ---- Files that an engine has left ---- */

/* Waits until the socket is ready or the time has come. */
static bool probe_wait(int fd, short events, uint64_t until_ms)
{
    uint64_t now = timing_now_ms();
    struct pollfd wait = {.fd = fd, .events = events};
    return now < until_ms && poll(&wait, 1, (int)(until_ms - now)) == 1;
}

/* Reads until the peer hangs up: true when it sent exactly its handshake before. */
static bool probe_refused(int fd, const uint8_t expected[GREETING_LEN], uint64_t until_ms)
{
    uint8_t got[GREETING_LEN + 1];
    size_t len = 0;
    while (len < sizeof got) {
        if (!probe_wait(fd, POLLIN, until_ms)) {
            return false;
        }
        ssize_t n = recv(fd, got + len, sizeof got - len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (n <= 0) {
            break; /* it hung up, with or without a reset */
        }
        len += (size_t)n;
        if (len == GREETING_LEN) {
            until_ms = timing_now_ms() + PROBE_REFUSAL_MS;
        }
    }
    return len == GREETING_LEN && memcmp(got, expected, len) == 0;
}

static bool probe_introduce(int fd, const struct probe_target *target, uint64_t until_ms)
{
    uint8_t introduction[GREETING_LEN];
    frame_greeting(introduction, target->protocol);
    return send(fd, introduction, sizeof introduction, MSG_NOSIGNAL) == sizeof introduction &&
           probe_refused(fd, introduction, until_ms);
}

bool probe_frees_path(const struct probe_target *target)
{
    const struct sockaddr_un *address = (const struct sockaddr_un *)&target->address;
    struct stat info;
    if (lstat(address->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) {
        return true; /* anything but a socket is left alone; binding will fail */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return true;
    }
    bool answers = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    if (answers) {
        (void)probe_introduce(fd, target, timing_now_ms() + PROBE_TIMEOUT_MS);
    } else if (errno == ECONNREFUSED) {
        (void)unlink(address->sun_path);
    }
    (void)close(fd);
    return !answers;
}
