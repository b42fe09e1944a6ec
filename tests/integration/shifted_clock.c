/* shifted_clock.c - a library to preload into an engine: its wall clock is off by what a file says.
 *
 * CLOCK_SHIFT names a file that begins with an int64, the milliseconds that CLOCK_REALTIME is
 * ahead; it is mapped, so whoever writes to it shifts the clock of a running process. All other
 * clocks are left alone. Threads: any. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_ms;

__attribute__((constructor)) static void shifted_clock_init(void)
{
    const char *path = getenv("CLOCK_SHIFT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift_ms, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "shifted_clock: CLOCK_SHIFT does not name a file that can be mapped\n");
        abort();
    }
    close(fd);
    shift_ms = memory;
}

/* The kernel's own, without the C library's, which this stands before. */
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && shift_ms) {
        int64_t ms = *shift_ms;
        int64_t nsec = now->tv_nsec + ms % 1000 * 1000000;
        now->tv_sec += (time_t)(ms / 1000 + (nsec < 0 ? -1 : nsec / 1000000000));
        now->tv_nsec = (long)(nsec < 0 ? nsec + 1000000000 : nsec % 1000000000);
    }
    return result;
}
