/* slow_disk.c - a library to preload into an engine that writes with --wal-io sync: each durable
 * write takes longer, by what a file says.
 *
 * SLOW_DISK names a file that begins with a uint32, the milliseconds; it is mapped, so whoever
 * writes to it makes the disk of a running engine slow, and well again. Threads: any. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static const volatile uint32_t *delay_ms;
static ssize_t (*next_pwritev2)(int, const struct iovec *, int, off_t, int);
static int (*next_fdatasync)(int);

static void find_next(void *pointer, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(pointer, &found, sizeof found);
}

__attribute__((constructor)) static void slow_disk_init(void)
{
    const char *path = getenv("SLOW_DISK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *delay_ms, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "slow_disk: SLOW_DISK does not name a file that can be mapped\n");
        abort();
    }
    close(fd);
    find_next(&next_pwritev2, "pwritev2");
    find_next(&next_fdatasync, "fdatasync");
    delay_ms = memory;
}

static void take_time(void)
{
    uint32_t ms = delay_ms ? *delay_ms : 0;
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    if (ms > 0) {
        nanosleep(&time, NULL);
    }
}

/* With flags: what must be on the disk when it returns. */
EXPORT ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    if (flags != 0) {
        take_time();
    }
    return next_pwritev2(fd, parts, count, offset, flags);
}

EXPORT int fdatasync(int fd)
{
    take_time();
    return next_fdatasync(fd);
}
