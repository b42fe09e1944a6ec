/* probe.c - whether a listener is alive, tested from outside. See probe.h. */
#include "rpc/probe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/frame.h"
#include "rpc/timing.h"

#define PROBE_TIMEOUT_MS 2000 /* for the handshake */
#define PROBE_REFUSAL_MS 1000 /* then for being refused */

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

enum probe probe_dial(const struct probe_target *target)
{
    int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return PROBE_UNKNOWN; /* out of descriptors: not the listener's fault */
    }
    uint64_t until_ms = timing_now_ms() + PROBE_TIMEOUT_MS;
    int rc = connect(fd, (const struct sockaddr *)&target->address, target->address_bytes);
    enum probe probe = PROBE_DEAD;
    if ((rc == 0 || (errno == EINPROGRESS && probe_wait(fd, POLLOUT, until_ms))) &&
        probe_introduce(fd, target, until_ms)) {
        probe = PROBE_ALIVE;
    }
    (void)close(fd);
    return probe;
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
