/* clock.c - the machine's clocks. Threads: any. */
#include "base/clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"

#define UNIX_S_MAX 18000000000 /* the year 2540: in ns it fits 64 bits */

static uint64_t real_unix_ns(void *context)
{
    (void)context;
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    uint64_t seconds = now.tv_sec < UNIX_S_MAX ? (uint64_t)now.tv_sec : UNIX_S_MAX;
    return seconds * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t real_monotonic_ns(void *context)
{
    (void)context;
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t real_boottime_ns(void *context)
{
    (void)context;
    struct timespec now;
    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A file's or link's beginning; 0 bytes: it can't be read. */
static size_t read_start(const char *path, bool link, char *to, size_t room)
{
    ssize_t got = -1;
    if (link) {
        got = readlink(path, to, room);
    } else {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            got = read(fd, to, room);
            close(fd);
        }
    }
    return got > 0 ? (size_t)got : 0;
}

/* Of the kernel's id, and the time namespace's: another one may count from elsewhere. */
static uint64_t real_boot(void *context)
{
    (void)context;
    char text[128];
    size_t len = read_start("/proc/sys/kernel/random/boot_id", false, text, 64);
    if (len < 36) {
        return 0;
    }
    len += read_start("/proc/self/ns/time", true, text + len, sizeof text - len);
    uint64_t boot = hash_bytes(text, len) >> (64 - CLOCK_BOOT_BITS);
    return boot ? boot : 1;
}

const struct clock *clock_real(void)
{
    static const struct clock real = {
        .context = NULL,
        .unix_ns = real_unix_ns,
        .monotonic_ns = real_monotonic_ns,
        .boottime_ns = real_boottime_ns,
        .boot = real_boot,
    };
    return &real;
}
